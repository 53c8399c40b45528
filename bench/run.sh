#!/usr/bin/env bash
# Builds and runs the benchmark; bench/README.md describes it. The results are in bench/results.
#
#   bench/run.sh [OPTION...]            everything, about twelve minutes and the builds
#   bench/run.sh --quick [OPTION...]    fewer points and runs, and the other clients only if they are built already
#
# Options go to the program iscp-bench, see its --help.
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

if [[ ${1:-} == --quick ]]; then
    shift
    scripts/setup.sh demo
    bench/build.sh --without-peers
    bench/sizes.sh --full-only
    extent=quick
else
    # Without the other clients, the results say so.
    scripts/setup.sh bench || scripts/setup.sh demo
    bench/build.sh
    bench/sizes.sh
    extent=full
fi
build/bench/bin/iscp-bench --extent "$extent" --sizes build/bench/sizes.json "$@"
