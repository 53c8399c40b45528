//! What this build can do.

/// Every cargo feature of the library that a user can miss, and whether it is built in.
pub const FEATURES: &[(&str, bool)] = &[
    ("protobuf", true),
    ("websocket", cfg!(feature = "websocket")),
    ("quic", cfg!(feature = "quic")),
    ("webtransport", cfg!(feature = "webtransport")),
    ("tls", cfg!(feature = "tls")),
    ("json", cfg!(feature = "json")),
    ("oauth2", cfg!(feature = "oauth2")),
    ("proxy", cfg!(feature = "proxy")),
    ("compression", cfg!(feature = "compression")),
    ("multi", cfg!(feature = "multi")),
];

/// Whether `feature` is built in; false for names of no feature.
pub fn has(feature: &str) -> bool {
    FEATURES.iter().any(|&(name, built)| name == feature && built)
}
