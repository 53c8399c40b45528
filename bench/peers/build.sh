#!/usr/bin/env bash
# Builds the workers of the peers.
#
#   bench/peers/build.sh OUT_DIR [PEER...]   of go, rs, paho and nats; all of them by default
#
# Leaves the program OUT_DIR/PEER, or OUT_DIR/PEER.missing with the reason in one line where a peer cannot be had on
# this machine: that is no failure. A worker that does not compile with the client at hand is one.
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

bench=${root:?}/bench
sources=$bench/peers
if (($# == 0)); then
    echo "usage: bench/peers/build.sh OUT_DIR [PEER...]" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
peers=("$@")
((${#peers[@]})) || peers=(go rs paho nats)
warnings=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror)

# missing PEER WHY
missing() {
    rm -f "$out/$1"
    printf '%s\n' "$2" >"$out/$1.missing"
    printf 'peers: %s cannot be built: %s\n' "$1" "$2" >&2
}

# refused PEER LOG: what the log ends with are the words of the registry.
refused() {
    missing "$1" "could not be fetched: $(grep -v '^$' "$2" | tail -n 1)"
}

# c_peer NAME HEADER LIBRARY PACKAGES
c_peer() {
    local name=$1 header=$2 library=$3 packages=$4
    if ! printf '#include <%s>\nint main(void) { return 0; }\n' "$header" |
        "${CC:-cc}" -x c - -o /dev/null "-l$library" 2>"$out/$name.log"; then
        missing "$name" "needs $packages, which scripts/setup.sh bench installs"
        return
    fi
    "${CC:-cc}" "${warnings[@]}" -O2 "-I$bench" "$sources/$name/$name.c" "$bench"/common/*.c -o "$out/$name" \
        "-l$library" -lm -lpthread
}

rust_peer() {
    local target=$out/rs-target
    if ! command -v cargo >/dev/null; then
        missing rs "Rust is not installed"
        return
    fi
    if ! cargo fetch --locked --manifest-path "$sources/rs/Cargo.toml" >"$out/rs.log" 2>&1; then
        refused rs "$out/rs.log"
        return
    fi
    CARGO_TARGET_DIR=$target cargo build --release --locked --manifest-path "$sources/rs/Cargo.toml"
    cp "$target/release/bench-rs" "$out/rs"
}

go_peer() {
    local client=github.com/aptpod/iscp-go module=$out/go-module log=$out/go.log downloaded version gomod
    if ! command -v go >/dev/null; then
        missing go "Go is not installed"
        return
    fi
    if ! downloaded=$(go mod download -json "$client@latest" 2>"$log"); then
        # The words of the go command are in what it prints.
        sed -n 's/\\[nt]/ /g;s/^\t*"Error": "\(.*\)",\{0,1\}$/\1/p' <<<"$downloaded" >>"$log"
        refused go "$log"
        return
    fi
    version=$(sed -n 's/^\t"Version": "\(.*\)",$/\1/p' <<<"$downloaded")
    gomod=$(sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p' <<<"$downloaded")
    rm -rf "$module"
    mkdir -p "$module"
    cp "$sources"/go/*.go "$module"
    (
        cd "$module" || exit
        # The client's own replacements are needed to build it, and the go command takes none of a dependency.
        { echo 'module bench-go' && sed -n '/^go /p;/^replace /p' "$gomod"; } >go.mod
        go mod edit -require="$client@$version"
    )
    if ! (cd "$module" && GOFLAGS=-mod=mod go mod tidy) >"$log" 2>&1; then
        refused go "$log"
        return
    fi
    (
        cd "$module" || exit
        export GOFLAGS=-mod=mod
        go vet .
        go build -o "$out/go" .
    )
}

for peer in "${peers[@]}"; do
    rm -f "$out/$peer.missing"
    case $peer in
        go) go_peer ;;
        rs) rust_peer ;;
        paho) c_peer paho MQTTAsync.h paho-mqtt3a "libpaho-mqtt-dev" ;;
        nats) c_peer nats nats/nats.h nats "libnats-dev" ;;
        *)
            echo "build.sh: there is no peer $peer" >&2
            exit 2
            ;;
    esac
done
