#!/usr/bin/env bash
# Runs every check of the repository, cheapest first, and stops at the first that fails.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

scripts/setup.sh test

# What the compiler keeps for the next build fills gigabytes, and here each thing is built once. Who works on one test
# runs cargo himself.
export CARGO_INCREMENTAL=0

build=build/test
step=
timings=()

finish() {
    local status=$?
    if ((${#timings[@]})); then
        printf '\n%s\n' "Seconds per step:"
        printf '%s\n' "${timings[@]}"
    fi
    if [[ $status -ne 0 && -n $step ]]; then
        printf '\nFAILED: %s\n' "$step" >&2
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# run STEP COMMAND...
run() {
    local start=$SECONDS
    step=$1
    shift
    printf '\n=== %s ===\n' "$step"
    "$@"
    timings+=("$(printf '%6d  %s' $((SECONDS - start)) "$step")")
    step=
}

rust_format() {
    cargo fmt --all --check
    cargo fmt --manifest-path tests/consumer/two_rust/Cargo.toml --check
    cargo fmt --manifest-path fuzz/Cargo.toml --check
    cargo fmt --manifest-path tests/interop/Cargo.toml --all --check
    cargo fmt --manifest-path bench/peers/rs/Cargo.toml --check
}

fuzz_targets() {
    # In the same directory as all else: most dependencies are there already.
    cargo clippy --locked --manifest-path fuzz/Cargo.toml --target-dir target --all-targets -- -D warnings
}

c_format() {
    scripts/c_sources.sh | xargs -0r clang-format --dry-run -Werror
}

cmake_build() {
    cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DISCP_BUILD_TESTS=ON -DISCP_BUILD_EXAMPLES=ON
    cmake --build "$build" --parallel "$jobs"
}

# A build without a change must compile nothing: it takes minutes otherwise, and nobody notices why.
cmake_build_again() {
    local output
    output=$(cmake --build "$build" --parallel "$jobs" 2>&1)
    if grep -q 'Compiling' <<<"$output"; then
        printf '%s\n' "$output" "A second build compiles again what did not change." >&2
        return 1
    fi
}

# Stripped, with every feature; docs/building.md says what it was.
library_size() {
    local limit=$((5 * 1024 * 1024)) size
    strip --strip-all -o "$build/libiscp-stripped.so" "$build/lib/libiscp.so"
    size=$(stat -L -c %s "$build/libiscp-stripped.so")
    rm "$build/libiscp-stripped.so"
    printf 'libiscp.so, stripped: %d of at most %d bytes\n' "$size" "$limit"
    if ((size > limit)); then
        printf 'The shared library is too large by %d bytes; docs/building.md says how to find out why.\n' \
            $((size - limit)) >&2
        return 1
    fi
}

c_tests() {
    # Not ctest --test-dir, which CMake knows only since 3.20.
    (cd "$build" && ctest --output-on-failure --parallel "$jobs")
}

run "Rust formatting" rust_format
run "C formatting" c_format
run "Documents" tests/docs/links.sh
run "Reference" scripts/docs.sh
run "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
run "Fuzz targets" fuzz_targets
run "Rust tests" cargo test --locked --workspace --no-fail-fast
run "Small library" cargo test --locked -p iscp --no-default-features --features websocket
run "CMake build" cmake_build
run "CMake build again" cmake_build_again
run "Size of the library" library_size
run "Costs of a point" bench/costs.sh
run "Snippets of the documents" tests/docs/readme_snippets.sh "$build"
run "C tests" c_tests
run "Bindings" scripts/bindings.sh "$build"
run "Benchmark" bench/smoke.sh "$build"
run "Consumer projects" tests/consumer/run.sh "$build"
if command -v go >/dev/null; then
    run "Interoperability" scripts/interop.sh
else
    printf '\nNot run without Go: scripts/interop.sh, the official clients against the broker and the library.\n'
fi

printf '\nAll tests passed.\n'
