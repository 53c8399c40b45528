#!/usr/bin/env bash
# Measures the files that are shipped: the shared library with all features and with few, and the smallest program
# that contains the static one. Writes JSON to build/bench/sizes.json: bytes by file, stripped.
#
#   bench/sizes.sh [--full-only]    only what bench/build.sh has built already; the small libraries take minutes
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

build=build/bench
sizes=()

# size NAME FILE: strips a copy and notes its size.
size() {
    strip --strip-all -o "$build/stripped" "$2"
    sizes+=("$(printf '  "%s": %d' "$1" "$(stat -L -c %s "$build/stripped")")")
    rm "$build/stripped"
}

# hello NAME LIBRARY: links the smallest sender with a static library, without what it does not use.
hello() {
    "${CC:-cc}" -std=c11 -O2 -D_GNU_SOURCE -Iinclude -ffunction-sections -fdata-sections c_examples/hello_upstream.c \
        -Wl,--gc-sections -o "$build/hello" "$2" -lpthread -ldl -lm
    size "$1" "$build/hello"
}

# small NAME FEATURES: builds a library with few features in a directory of its own, where it stays for the next time.
small() {
    local target=$build/small
    local options=(--locked -p iscp --lib --no-default-features --features "$2" --target-dir "$target")
    cargo rustc "${options[@]}" --profile release-shared --crate-type cdylib
    size "libiscp.so $1" "$target/release-shared/libiscp.so"
    cargo rustc "${options[@]}" --release --crate-type staticlib
    hello "hello_upstream, static, $1" "$target/release/libiscp.a"
}

size "libiscp.so full" "$build/lib/libiscp.so"
hello "hello_upstream, static, full" "$build/lib/libiscp.a"
if [[ ${1:-} != --full-only ]]; then
    small "websocket" websocket
    small "websocket+tls" websocket,tls
fi

{
    echo '{'
    (
        IFS=,
        echo "${sizes[*]}"
    ) | sed 's/,  /,\n  /g'
    echo '}'
} >"$build/sizes.json"
