#!/usr/bin/env bash
# Makes the reference of the C and C++ interface, build/docs/index.html. Every warning of Doxygen is an error.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ISCP_VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
ISCP_DOCS_OUTPUT=build/docs
export ISCP_VERSION ISCP_DOCS_OUTPUT
rm -rf "$ISCP_DOCS_OUTPUT"
mkdir -p "$ISCP_DOCS_OUTPUT"

# The C header alone, where nothing may be without documentation. Doxygen reads comments only while it writes them.
{
    cat docs/Doxyfile
    printf '%s\n' 'INPUT = include/iscp/iscp.h' 'EXTRACT_ALL = NO' 'WARN_NO_PARAMDOC = YES' 'HTML_OUTPUT = c'
} | doxygen -
rm -r "$ISCP_DOCS_OUTPUT/c"
doxygen docs/Doxyfile

# Doxygen leaves out what it does not understand, without a word.
missing=$(sed '/^#/d; s/ .*//' abi/symbols.txt | while IFS= read -r name; do
    grep -qF ">$name<" "$ISCP_DOCS_OUTPUT/iscp_8h.html" || echo "$name"
done)
if [[ -n $missing ]]; then
    printf 'Not in the reference:\n%s\n' "$missing" >&2
    exit 1
fi
echo "docs: $ISCP_DOCS_OUTPUT/index.html"
