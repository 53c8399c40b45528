#!/usr/bin/env bash
# Sends points through the C interface over every combination of transport, encoding, compression and QoS.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

scripts/setup.sh test

build=build/test
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DISCP_BUILD_TESTS=ON -DISCP_BUILD_EXAMPLES=ON
cmake --build "$build" --parallel "$jobs"
# ctest's limit is for the part that `make test` runs; a property of a test is stronger than --timeout.
for transport in ws wss quic webtransport; do
    printf '\n=== %s ===\n' "$transport"
    MATRIX=whole TEST_DEADLINE=3600 "$build/tests/c/test_matrix" "$transport"
done
