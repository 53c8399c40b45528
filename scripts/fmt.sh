#!/usr/bin/env bash
# Formats all Rust and C sources.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cargo fmt --all
cargo fmt --manifest-path tests/consumer/two_rust/Cargo.toml
cargo fmt --manifest-path fuzz/Cargo.toml
cargo fmt --manifest-path bench/peers/rs/Cargo.toml
scripts/c_sources.sh | xargs -0r clang-format -i
