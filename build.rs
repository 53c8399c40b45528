//! Names the shared library.
//!
//! Cargo gives a cdylib no SONAME, so the linker would record whatever path the library was found under.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // SONAME and `-z nodelete` are ELF; the library is packaged for Linux only.
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let part = |name: &str| env::var(name).expect("cargo sets the package version for build scripts");
    let (major, minor) = (part("CARGO_PKG_VERSION_MAJOR"), part("CARGO_PKG_VERSION_MINOR"));
    // Before 1.0 every minor version may break the ABI, so it is part of the name. CMakeLists.txt installs
    // the link of this name; tests/consumer/run.sh fails when the two differ.
    let abi = if major == "0" { format!("0.{minor}") } else { major };
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libiscp.so.{abi}");
    // Threads of the library may still be running, and its thread-local destructors still be registered,
    // when a plugin host calls dlclose: unmapping the code then would crash the process.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
