#!/usr/bin/env bash
# Runs the C tests with library, program and tests instrumented by a sanitizer, or the tests of the FFI layer in Miri.
#
#   scripts/sanitize.sh                     all of them, one after the other
#   scripts/sanitize.sh address [REGEX]     memory errors and leaks; only the tests that match, as for ctest -R
#   scripts/sanitize.sh thread [REGEX]      data races
#   scripts/sanitize.sh miri                undefined behaviour in src/ffi and the codec of points
#
# `address` works with every compiler of Rust; `thread` and `miri` need nightly.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

target=$(rustc -vV | sed -n 's/^host: //p')

die() {
    echo "sanitize: $*" >&2
    exit 1
}

need_nightly() {
    local component
    for component in "$@"; do
        rustup component list --toolchain nightly --installed 2>/dev/null | grep -q "^$component" ||
            die "missing: rustup toolchain install nightly --component $component"
    done
}

# sanitize SANITIZER CARGO SKIPPED LINK [REGEX]: builds everything in directories of its own and runs the tests but those that
# match SKIPPED.
sanitize() {
    local sanitizer=$1 cargo=$2 skipped=$3 link=$4 wanted=${5:-.} build=build/sanitize-$1
    # With a target, Cargo does not instrument what runs while it builds.
    export RUSTFLAGS="-Zsanitizer=$sanitizer -Cforce-frame-pointers=yes"
    cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Debug -DISCP_BUILD_TESTS=ON -DISCP_BUILD_EXAMPLES=ON -DISCP_TEST_TIMEOUT=400 \
        -DCMAKE_C_FLAGS="-fsanitize=$sanitizer -fno-omit-frame-pointer" \
        -DCMAKE_CXX_FLAGS="-fsanitize=$sanitizer -fno-omit-frame-pointer" \
        -DCMAKE_EXE_LINKER_FLAGS="$link" -DISCP_CARGO="$cargo" -DISCP_CARGO_TARGET="$target" \
        -DISCP_CARGO_TARGET_DIR="$root/target/sanitize-$sanitizer"
    cmake --build "$build" --parallel "$jobs"
    unset RUSTFLAGS
    # Without the instrumentation every test would pass for nothing.
    [[ $(nm -D "$build/lib/libiscp.so") == *"__${sanitizer:0:1}san_"* ]] || die "libiscp.so is not instrumented"
    # valgrind and a sanitizer exclude each other; headers are not run.
    (cd "$build" && ctest --output-on-failure --parallel "$jobs" --label-exclude valgrind \
        --tests-regex "$wanted" --exclude-regex '^(cpp\.)?header\.|complete$|'"$skipped")
}

address() {
    # A forked child that exits is checked for leaks, and finds what the threads of its parent had on their stacks.
    # Sanitizers of Rust are for nightly only, unless a stable compiler is told that it is one.
    RUSTC_BOOTSTRAP=1 TEST_DEADLINE=240 \
        sanitize address "$(command -v cargo)" 'process.forked_child|forked_child_that_exits' "" "$@"
}

thread() {
    need_nightly rust-src
    # The standard library is built too: the sanitizer knows of no synchronisation in what is not instrumented.
    mkdir -p build/sanitize-thread
    printf '#!/bin/sh\nif [ "$1" = build ]; then shift; exec cargo +nightly build -Zbuild-std "$@"; fi\nexec cargo "$@"\n' \
        >build/sanitize-thread/cargo
    chmod +x build/sanitize-thread/cargo
    local shim=$root/build/sanitize-thread/tsan_shim.o
    cc -O1 -fno-builtin -c -o "$shim" tests/c/tsan_shim.c
    # The sanitizer cannot follow a process with threads into a forked child, and keeps a signal back from a process whose
    # first thread sleeps.
    TSAN_OPTIONS=halt_on_error=1 TEST_DEADLINE=240 \
        sanitize thread "$root/build/sanitize-thread/cargo" 'fork|exit|broker_that_ends_in_order' "-rdynamic $shim" "$@"
}

miri() {
    need_nightly rust-src miri
    # The tests of the documents read large texts, for hours, and have nothing to do with memory.
    MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --locked --target-dir target/miri -p iscp --lib \
        --no-default-features --features websocket -- ffi:: message::points --skip documents
}

mode=${1:-all}
shift || true
case $mode in
address | thread | miri) "$mode" "$@" ;;
all)
    address
    thread
    miri
    ;;
*)
    echo "usage: scripts/sanitize.sh [address|thread [REGEX] | miri]" >&2
    exit 2
    ;;
esac
