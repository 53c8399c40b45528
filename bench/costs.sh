#!/usr/bin/env bash
# Counts what each step on the way of a point costs, in instructions and allocations, and compares with bench/budgets.txt.
# Counts are the same in every run of one build, whatever else the machine does.
#
#   bench/costs.sh            fails when a budget is exceeded
#   bench/costs.sh --profile  also says in which functions the instructions are
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

budgets=bench/budgets.txt
chunks=200
profile=
case ${1:-} in
'') ;;
--profile) profile=yes ;;
*)
    echo "usage: bench/costs.sh [--profile]" >&2
    exit 2
    ;;
esac

cargo build --locked --release -p iscp-bench --bin cost
program=${CARGO_TARGET_DIR:-target}/release/cost
counts=$(mktemp -d)
trap 'rm -r "$counts"' EXIT

# measure STEP READERS: instructions and allocations per point.
measure() {
    local output points allocations instructions
    output=$(valgrind --tool=callgrind --callgrind-out-file="$counts/$1.$2" --toggle-collect='*cost::measured*' \
        "$program" "$1" "$chunks" "$2" 2>"$counts/log")
    read -r _ points _ allocations <<<"$output"
    instructions=$(sed -n 's/^==[0-9]*== Collected : \([0-9]*\).*/\1/p' "$counts/log")
    if [[ -z $instructions || $instructions -eq 0 ]]; then
        cat "$counts/log" >&2
        echo "costs: callgrind has counted nothing in the step $1" >&2
        return 1
    fi
    awk -v i="$instructions" -v a="$allocations" -v p="$points" 'BEGIN { printf "%.2f %.4f", i / p, a / p }'
}

exceeded=
printf '%-8s %8s %22s %22s\n' step readers 'instructions a point' 'allocations a point'
while read -r step readers most_instructions most_allocations; do
    [[ $step != '#'* && -n $step ]] || continue
    measured=$(measure "$step" "$readers")
    read -r instructions allocations <<<"$measured"
    printf '%-8s %8s %12s of %6s %12s of %6s\n' "$step" "$readers" "$instructions" "$most_instructions" "$allocations" \
        "$most_allocations"
    if awk -v i="$instructions" -v mi="$most_instructions" -v a="$allocations" -v ma="$most_allocations" \
        'BEGIN { exit !(i > mi || a > ma) }'; then
        exceeded="$exceeded $step"
    fi
    if [[ -n $profile ]]; then
        callgrind_annotate "$counts/$step.$readers" | sed -n '/^Ir/,$p' | sed -n 1,20p
    fi
done <"$budgets"
if [[ -n $exceeded ]]; then
    echo "costs: more than the budget:$exceeded. bench/costs.sh --profile says where; if it is worth it, $budgets is" \
        "where to say so." >&2
    exit 1
fi
