#!/usr/bin/env bash
# Lists the hand-written C and C++ files, each ended by a NUL; iscp.h is generated and has its own layout.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

for directory in include bindings bench c_examples docs tests; do
    [[ ! -d $directory ]] || find "$directory" -name build -prune -o -type f \
        \( -name '*.c' -o -name '*.h' -o -name '*.cc' -o -name '*.cpp' -o -name '*.hpp' \) \
        ! -path include/iscp/iscp.h -print0
done
