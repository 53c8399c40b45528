#!/usr/bin/env bash
# What the documents refer to exists: relative links and their anchors, files named as code, functions and constants.
# shellcheck disable=SC2016 # backticks are text here
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

failures=0
complain() {
    echo "links: $*" >&2
    failures=$((failures + 1))
}

documents=()
while IFS= read -r -d '' document; do
    documents+=("$document")
done < <(find . \( -name target -o -name build -o -name '.?*' \) -prune -o -name '*.md' -print0 | sort -z)

# The anchors that a document's headings get where it is displayed.
anchors() {
    sed -n '/^```/,/^```/d; s/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

# Text of a document without its code blocks.
prose() {
    sed '/^ *```/,/^ *```/d' "$1"
}

for document in "${documents[@]}"; do
    directory=$(dirname "$document")
    while IFS= read -r link; do
        path=${link%%#*}
        anchor=
        [[ $link != *'#'* ]] || anchor=${link#*#}
        target=$document
        [[ -z $path ]] || target=$directory/$path
        if [[ ! -e $target ]]; then
            complain "$document: $link does not exist"
        elif [[ -n $anchor ]] && ! anchors "$target" | grep -qx -- "$anchor"; then
            complain "$document: $link: no such heading"
        fi
    done < <(prose "$document" | sed 's/`[^`]*`//g' | grep -o ']([^) ]*)' | sed 's/^](//; s/)$//' |
        grep -vE '^[a-z]+:' || true)
done

# Names in the guide, as far as the guide is about this repository.
for document in "${documents[@]}"; do
    [[ $document != ./docs/protocol/* ]] || continue
    while IFS= read -r name; do
        grep -qrwF --include='*' -- "$name" include/iscp CMakeLists.txt Makefile src scripts tests cli/src ||
            complain "$document: nothing is called $name"
    done < <(grep -oE '\b(iscp|ISCP)_[A-Za-z0-9_]*[A-Za-z0-9]\b' "$document" | sort -u)
    while IFS= read -r name; do
        [[ -e $name || -e ${name%/} ]] || complain "$document: there is no $name"
    done < <(prose "$document" | grep -oE '`(src|docs|tests|scripts|proto|broker|cli|cmake|include|c_examples)/[A-Za-z0-9_./-]*`' |
        tr -d '`' | sort -u)
done

((failures == 0)) || exit 1
echo "links: ${#documents[@]} documents, everything they refer to exists"
