//! The compiler of protobuf schemas, where the crate `protobuf-src` has it.

use std::path::PathBuf;

/// The program.
#[must_use]
pub fn protoc() -> PathBuf {
    protoc_bin_vendored::protoc_bin_path().expect("there is one for this system")
}

/// The schemas that belong to it.
#[must_use]
pub fn include() -> PathBuf {
    protoc_bin_vendored::include_path().expect("they come with the program")
}
