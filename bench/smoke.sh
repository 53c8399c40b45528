#!/usr/bin/env bash
# Runs every workload of the benchmark with hardly any points, with libiscp and the bare sockets: all of their points
# arrive, and results, page and plots are written.
#
#   bench/smoke.sh BUILD_DIR    a CMake build with ISCP_BUILD_TESTS or ISCP_BUILD_BENCH
#
# The benchmark itself is that of the last `cargo test --workspace`: to build it alone would compile all it depends on
# once more, with other features.
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

programs=$(mktemp -d)
trap 'rm -r "$programs"' EXIT
target=${CARGO_TARGET_DIR:-target}/debug
if [[ ! -x $target/iscp-bench || ! -x $target/bare ]]; then
    echo "smoke.sh: there is no $target/iscp-bench and bare; cargo test --workspace builds them" >&2
    exit 1
fi
cp "$target/bare" "$1/bin/iscp" "$1/bin/iscp_c" "$programs"
"$target/iscp-bench" --extent smoke --programs "$programs" --out "$programs/results"

# A worker that says it cannot do something would not fail the run.
if grep '^- not run: libiscp' "$programs/results/latest.md"; then
    echo "The worker for libiscp has left something out." >&2
    exit 1
fi
for plot in throughput cpu latency memory fanout; do
    test -s "$programs/results/$plot.svg"
done
