#!/usr/bin/env bash
# Fuzzes the decoders: each target in fuzz/ for FUZZ_SECONDS, up to the first finding.
#
#   scripts/fuzz.sh              every target
#   scripts/fuzz.sh TARGET...    these only
#
# What the fuzzer learns is kept in fuzz/corpus and used the next time.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

seconds=${FUZZ_SECONDS:-600}
# libFuzzer survives the signal in its own way, with a status as if it had found something.
trap 'exit 130' INT
trap 'exit 143' TERM

if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install cargo-fuzz --locked
fi
# Instrumentation is a nightly feature, which a stable compiler has too if it is told so.
if cargo +nightly --version >/dev/null 2>&1; then
    fuzz=(cargo +nightly fuzz)
else
    fuzz=(cargo fuzz)
    export RUSTC_BOOTSTRAP=1
fi

targets=("$@")
if ((${#targets[@]} == 0)); then
    mapfile -t targets < <("${fuzz[@]}" list)
fi

cargo run --quiet --locked --manifest-path fuzz/Cargo.toml --example seeds
for target in "${targets[@]}"; do
    "${fuzz[@]}" build "$target"
done
for target in "${targets[@]}"; do
    printf '\n=== %s, %s seconds ===\n' "$target" "$seconds"
    options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1)
    if [[ -f fuzz/dictionaries/$target ]]; then
        options+=(-dict="fuzz/dictionaries/$target")
    fi
    if ! "${fuzz[@]}" run "$target" -- "${options[@]}"; then
        printf '\nFINDING in %s, see above. The input that shows it is in fuzz/artifacts/%s/.\n' \
            "$target" "$target" >&2
        printf 'To run it again: %s run %s FILE\n' "${fuzz[*]}" "$target" >&2
        printf 'Once mended it belongs into a test of the decoder.\n' >&2
        exit 1
    fi
done
printf '\nNo finding in: %s\n' "${targets[*]}"
