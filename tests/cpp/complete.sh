#!/usr/bin/env bash
# Every function and constant of iscp.h is used by iscp.hpp, or stands in not_in_hpp.txt with a reason.
#
#   tests/cpp/complete.sh INCLUDE_DIR
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
include=${1:?usage: complete.sh INCLUDE_DIR}/iscp

# Without comments: what is only mentioned is not used.
code() {
    cat "$@" | gcc -fpreprocessed -dD -E -P -x c++ -w -
}

declared=$(
    {
        gcc -E -P "$include/iscp.h" | grep -o '\biscp_[a-z0-9_]*\b *(' | tr -d '( '
        gcc -E -dM "$include/iscp.h" | awk '{ print $2 }' | grep '^ISCP_' | sed 's/(.*//' |
            grep -vx 'ISCP_ISCP_H'
    } | sort -u
)
used=$(code "$include/iscp.hpp" "$include"/cpp/*.hpp | grep -oE '\b(iscp_[a-z0-9_]+|ISCP_[A-Z0-9_]+)\b' | sort -u)
status=0
unused=$(comm -23 <(echo "$declared") <(echo "$used"))

while read -r pattern reason; do
    [[ $pattern != '#' && -n $pattern ]] || continue
    if [[ -z $reason ]]; then
        echo "not_in_hpp.txt: $pattern without a reason"
        status=1
    fi
    rest=()
    matched=
    for name in $unused; do
        # shellcheck disable=SC2053 # the right side is a pattern
        if [[ $name == $pattern ]]; then
            matched=yes
        else
            rest+=("$name")
        fi
    done
    if [[ -z $matched ]]; then
        echo "not_in_hpp.txt: $pattern is used, or no longer in iscp.h"
        status=1
    fi
    unused=${rest[*]-}
done <"$here/not_in_hpp.txt"

for name in $unused; do
    echo "iscp.hpp does not use $name, and not_in_hpp.txt does not say why"
    status=1
done
count=$(wc -l <<<"$declared")
if ((count < 200)); then
    echo "only $count names were found in iscp.h"
    status=1
fi
exit $status
