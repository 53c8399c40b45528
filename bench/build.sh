#!/usr/bin/env bash
# Builds everything the benchmark runs, for release, into build/bench/bin.
#
#   bench/build.sh [--without-peers]    the other clients are not built; those that are there already are used
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

case ${1:-} in
'' | --without-peers) ;;
*)
    echo "usage: bench/build.sh [--without-peers]" >&2
    exit 2
    ;;
esac

build=build/bench
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DISCP_BUILD_BENCH=ON
cmake --build "$build" --parallel "$jobs"
# In a call of its own, so that nothing it depends on adds a feature to the library that is measured.
cargo build --locked --release -p iscp-bench --no-default-features
for program in iscp-bench bare; do
    cp "${CARGO_TARGET_DIR:-target}/release/$program" "$build/bin/"
done

if [[ ${1:-} != --without-peers && -x bench/peers/build.sh ]]; then
    bench/peers/build.sh "$build/bin"
fi
