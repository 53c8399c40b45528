#!/usr/bin/env bash
# The C and C++ programs in README.md and docs/ are the files in docs/snippets/, and these compile, run and do what
# the text says. A program in a document stands in a ```c or ```cpp block below a line
# <!-- snippet: docs/snippets/NAME.c -->, a function of an example, which CMake compiles, below a line
# <!-- snippet: c_examples/NAME.c:FUNCTION -->.
#
#   tests/docs/readme_snippets.sh BUILD_DIR             a build directory of CMake, with the program iscp
#   tests/docs/readme_snippets.sh --update [BUILD_DIR]  copies the files into the documents first
# shellcheck disable=SC2016 # backticks are text here
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
update=
if [[ ${1:-} == --update ]]; then
    update=yes
    shift
fi
build=
if [[ -n ${1:-} ]]; then
    build=$(cd "$1" && pwd)
elif [[ -z $update ]]; then
    echo "usage: readme_snippets.sh [--update] BUILD_DIR" >&2
    exit 2
fi
cd "$source_dir"

work=$(mktemp -d)
broker=
cleanup() {
    local status=$?
    trap - EXIT
    [[ -z $broker ]] || kill "$broker" 2>/dev/null || true
    wait
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
    echo "snippets: $*" >&2
    exit 1
}

# --- The documents hold the files -----------------------------------------------------------------------

# Prints a document with every marked block replaced by its file.
render() {
    awk '
        /^<!-- snippet: .* -->$/ { file = $3 }
        inside && /^```$/ { inside = 0 }
        !inside { print }
        /^```(c|cpp)$/ {
            if (file == "") next
            name = file
            sub(/^[^:]*:?/, "", name)
            sub(/:.*/, "", file)
            # A function goes from the line with its name to the first brace at the margin, with its comment.
            shown = name == ""
            found = shown
            comment = ""
            while ((getline line < file) > 0) {
                if (!shown && line ~ "^[a-z].*[ *]" name "\\(") {
                    printf "%s", comment
                    shown = found = 1
                }
                if (shown) {
                    print line
                    if (name != "" && line == "}") shown = 0
                } else if (line ~ /^\/\*/ || (comment != "" && line ~ /^ \*/)) {
                    comment = line ~ /^\/\*/ ? line "\n" : comment line "\n"
                } else {
                    comment = ""
                }
            }
            if (!found) print "no such snippet: " file " " name
            close(file)
            file = ""
            inside = 1
        }
    ' "$1"
}

documents=(README.md)
while IFS= read -r -d '' document; do
    documents+=("$document")
done < <(find docs -name '*.md' ! -path 'docs/protocol/*' -print0 | sort -z)

for document in "${documents[@]}"; do
    sed -n 's/^<!-- snippet: \(.*\) -->$/\1/p' "$document" >>"$work/shown"
    render "$document" >"$work/rendered"
    if grep '^no such snippet: ' "$work/rendered"; then
        die "$document"
    fi
    if ! cmp -s "$document" "$work/rendered"; then
        if [[ -n $update ]]; then
            cp "$work/rendered" "$document"
        else
            diff "$document" "$work/rendered" || die "$document is stale: run tests/docs/readme_snippets.sh --update"
        fi
    fi
    # A whole program without a marker is one that nobody compiles.
    awk '/^```(c|cpp)$/ { marked = previous ~ /^<!-- snippet: / } /int main\(/ && !marked { exit 1 } { previous = $0 }' \
        "$document" || die "$document: a program without a marker"
done
for snippet in docs/snippets/*.c docs/snippets/*.cpp; do
    grep -qx "$snippet" "$work/shown" || die "$snippet is in no document"
done
if [[ -z $build ]]; then
    exit 0
fi

# --- The programs run -----------------------------------------------------------------------------------

cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
for snippet in docs/snippets/*.c; do
    "${cc:-cc}" -std=c11 -Wall -Wextra -Wpedantic -Werror -I include -o "$work/$(basename "$snippet" .c)" "$snippet" \
        -L "$build/lib" -liscp -Wl,-rpath,"$build/lib"
done
cxx=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
for snippet in docs/snippets/*.cpp; do
    options=()
    # Its name is what it is about.
    [[ $snippet != *no_exceptions* ]] || options=(-fno-exceptions -fno-rtti)
    "${cxx:-c++}" -std=c++17 -Wall -Wextra -Wpedantic -Werror "${options[@]}" -I include \
        -o "$work/$(basename "$snippet" .cpp)" "$snippet" -L "$build/lib" -liscp -Wl,-rpath,"$build/lib" -pthread
done

# wait_for FILE TEXT: until a line of the file begins with the text.
wait_for() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        if grep -q "^$2" "$1" 2>/dev/null; then
            return 0
        fi
        sleep 0.05
    done
    die "no '$2' in $(basename "$1"): $(cat "$1")"
}

timeout 60 "$build/bin/iscp" broker --ws 127.0.0.1:0 >"$work/broker" &
broker=$!
wait_for "$work/broker" listening
url=$(sed -n 's/^listening //p' "$work/broker")

timeout 30 "$work/subscribe" "$url" >"$work/subscribed" &
subscriber=$!
mkfifo "$work/keyboard"
timeout 30 "$work/callback" "$url" <"$work/keyboard" >"$work/called" &
callback=$!
exec {keyboard}>"$work/keyboard"
wait_for "$work/subscribed" subscribed
wait_for "$work/called" subscribed

timeout 30 "$work/event_loop" "$url" >"$work/looped" &
looping=$!
wait_for "$work/looped" subscribed

timeout 30 "$work/readme" "$url" >"$work/sent"
grep -qx 'the server confirmed every point' "$work/sent" || die "readme.c printed: $(cat "$work/sent")"

wait "$subscriber" || die "subscribe.c failed"
for ((i = 0; i < 10; i++)); do
    printf 'room/temperature %d ms: 20.5\n' $((i * 100))
done >"$work/expected"
diff "$work/expected" <(tail -n +2 "$work/subscribed") || die "subscribe.c printed something else (>)"

wait_for "$work/called" '10 points'
exec {keyboard}>&-
wait "$callback" || die "callback.c failed"
[[ $(tail -n 1 "$work/called") == released ]] || die "callback.c: no release before the end"

wait "$looping" || die "event_loop.c failed: $(cat "$work/looped")"
grep -qx connected "$work/looped" || die "event_loop.c printed no event: $(cat "$work/looped")"
[[ $(tail -n 1 "$work/looped") == "10 points" ]] || die "event_loop.c printed: $(cat "$work/looped")"

timeout 30 "$work/cpp" "$url" >"$work/cpp.out" || die "cpp.cpp failed: $(cat "$work/cpp.out")"
grep -qx 'room/temperature at 100 ms: 20.5' "$work/cpp.out" || die "cpp.cpp printed: $(cat "$work/cpp.out")"
timeout 30 "$work/cpp_no_exceptions" "$url" >"$work/cpp_no.out" || die "cpp_no_exceptions.cpp failed"
[[ $(cat "$work/cpp_no.out") == delivered ]] || die "cpp_no_exceptions.cpp printed: $(cat "$work/cpp_no.out")"
if timeout 30 "$work/cpp_no_exceptions" ws://127.0.0.1:1 2>"$work/cpp_no.err"; then
    die "cpp_no_exceptions.cpp: no failure without a server"
fi
grep -q '^connect: .* (ISCP_ERR_CONNECT_FAILED)$' "$work/cpp_no.err" || die "$(cat "$work/cpp_no.err")"

echo "snippets: $(find docs/snippets -name '*.c' -o -name '*.cpp' | wc -l) programs are in the documents, compile and run"
