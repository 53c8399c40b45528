#!/usr/bin/env bash
# Runs the official clients against the broker and the C library: tests/interop, docs/interop.md.
#
#   scripts/interop.sh [OPTION...]   options of the driver, such as --only PART; see --help of it
#
# The clients come from their registries, by the ordinary tools. Those that cannot be had are reported as not run,
# with the reason, and do not fail the run.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

sources=tests/interop
build=build/interop
arguments=()
mkdir -p "$build"

# missing LANGUAGE@VERSION WHY
missing() {
    local why=$2
    printf 'interop: %s is not run: %s\n' "$1" "$why" >&2
    arguments+=(--missing "$1=$why")
}

# refused LANGUAGE@VERSION LOG: what the log ends with are the words of the registry.
refused() {
    missing "$1" "could not be fetched: $(grep -v '^$' "$2" | tail -n 1)"
}

# --- The C library, the broker and the driver -------------------------------------------------------------

cargo build --locked -p iscp -p iscp-cli
"${CC:-cc}" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -Iinclude "$sources/c/peer.c" \
    -o "$build/peer-c" target/debug/libiscp.a -lpthread -ldl -lm
version=$(sed -n 's/^#define ISCP_VERSION_STRING "\(.*\)"/\1/p' include/iscp/iscp.h)
arguments+=(--peer "c@$version=$build/peer-c")
export CARGO_TARGET_DIR=$root/$build/rust
cargo build --locked --manifest-path "$sources/Cargo.toml" -p interop-driver

# --- Rust -------------------------------------------------------------------------------------------------

cargo build --locked --manifest-path "$sources/Cargo.toml" -p interop-rust
version=$(sed -n '/^name = "iscp-rs"/{n;s/^version = "\(.*\)"/\1/p}' "$sources/Cargo.lock")
arguments+=(--peer "rust@$version=$build/rust/debug/interop-rust")

# --- Go ---------------------------------------------------------------------------------------------------

go_module=github.com/aptpod/iscp-go

# go_peer VERSION: builds the peer with that version of the client, in a module of its own.
go_peer() {
    local asked=$1 log=$root/$build/go-$1.log module=$build/go-$1 name gomod
    local downloaded
    if ! downloaded=$(go mod download -json "$go_module@$asked" 2>"$log"); then
        # The words of the go command are in what it prints.
        sed -n 's/\\[nt]/ /g;s/^\t*"Error": "\(.*\)",\{0,1\}$/\1/p' <<<"$downloaded" >>"$log"
        refused "go@${asked#v}" "$log"
        return
    fi
    name=$(sed -n 's/^\t"Version": "v\(.*\)",$/\1/p' <<<"$downloaded")
    gomod=$(sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p' <<<"$downloaded")
    rm -rf "$module"
    mkdir -p "$module"
    cp -r "$sources"/go/peer/*.go "$sources/go/samples" "$module"
    local tags=multi
    case $name in
        1.0.* | 1.1.*)
            # Neither has multi-transport; go mod tidy would look for it in a later version.
            rm "$module/multi.go"
            tags=
            ;;
    esac
    (
        cd "$module"
        # The client's own replacements are needed to build it, and the go command takes none of a dependency.
        { echo 'module interop' && sed -n '/^go /p;/^replace /p' "$gomod"; } >go.mod
        go mod edit -require="$go_module@v$name"
    )
    if ! (cd "$module" && GOFLAGS=-mod=mod go mod tidy) >"$log" 2>&1; then
        refused "go@$name" "$log"
        return
    fi
    (
        cd "$module"
        export GOFLAGS=-mod=mod
        go vet -tags "$tags" ./...
        go build -tags "$tags" -o peer .
        go build -o . ./samples/...
    )
    arguments+=(--peer "go@$name=$module/peer")
}

if command -v go >/dev/null; then
    go_peer latest
    go_peer v1.0.0
else
    missing go@latest "Go is not installed"
    missing go@1.0.0 "Go is not installed"
fi

# --- Python -----------------------------------------------------------------------------------------------

version=$(sed -n 's/^iscp==//p' "$sources/python/requirements.txt")
if ! command -v python3 >/dev/null; then
    missing "python@$version" "Python is not installed"
elif ! { python3 -m venv "$build/python" &&
    "$build/python/bin/pip" install --quiet --requirement "$sources/python/requirements.txt"; } \
    >"$build/python.log" 2>&1; then
    refused "python@$version" "$build/python.log"
else
    arguments+=(--peer "python@$version=$build/python/bin/python $sources/python/peer.py")
fi

# --- TypeScript -------------------------------------------------------------------------------------------

version=$(sed -n 's/.*"@aptpod\/iscp-ts": "\(.*\)".*/\1/p' "$sources/typescript/package.json")
mkdir -p "$build/typescript"
cp "$sources"/typescript/* "$build/typescript"
if ! command -v npm >/dev/null; then
    missing "typescript@$version" "npm is not installed"
elif ! (cd "$build/typescript" && npm ci --no-audit --no-fund) >"$build/typescript.log" 2>&1; then
    refused "typescript@$version" "$build/typescript.log"
else
    arguments+=(--peer "typescript@$version=node $build/typescript/peer.js")
fi

# --- Run --------------------------------------------------------------------------------------------------

# The page in the repository is of a run with every client; another one is kept apart.
page=docs/interop.md
for argument in "${arguments[@]}" "$@"; do
    case $argument in
        --missing | --only) page=$build/interop.md ;;
    esac
done
"$CARGO_TARGET_DIR/debug/interop-driver" --program target/debug/iscp "${arguments[@]}" --logs "$build/logs" \
    --introduction "$sources/introduction.txt" --date "$(date -u +%Y-%m-%d)" --page "$page" "$@"
echo "interop: $page"
