//! What this build can do.

/// Every cargo feature of the library that a user can miss, and whether it is built in.
pub const FEATURES: &[(&str, bool)] = &[
    ("protobuf", true),
    ("websocket", cfg!(feature = "websocket")),
    ("tls", cfg!(feature = "tls")),
    ("json", cfg!(feature = "json")),
    ("compression", cfg!(feature = "compression")),
];

/// Whether `feature` is built in; false for names of no feature.
pub fn has(feature: &str) -> bool {
    FEATURES.iter().any(|&(name, built)| name == feature && built)
}
