#!/usr/bin/env bash
# Checks that this machine has what a build needs; as root on a Debian-like system, installs what is missing.
#
#   scripts/setup.sh demo    a compiler, CMake and Rust
#   scripts/setup.sh test    everything the tests use (the default)
#   scripts/setup.sh bench   what the benchmark uses: the clients and brokers that libiscp is compared with, too
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

mode=${1:-test}
packages=()
# What tests can do without: they then say what they did not run.
optional=()
lacking=

# need PACKAGES COMMAND...: the command succeeds, or the packages are missing.
need() {
    local missing
    read -ra missing <<<"$1"
    shift
    if ! "$@" >/dev/null 2>&1; then
        packages+=("${missing[@]}")
        mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    fi
}

# want PACKAGES COMMAND...: the same for what tests can do without.
want() {
    local former=("${packages[@]}")
    packages=("${optional[@]}")
    need "$@"
    optional=("${packages[@]}")
    packages=("${former[@]}")
}

# compiles COMPILER LANGUAGE HEADER: the compiler is there, and so are its headers and libraries.
compiles() {
    echo 'int main() { return 0; }' | "$1" -x "$2" -include "$3" -o /dev/null -
}

# at_least WANTED FOUND: compares versions.
at_least() {
    [[ -n $2 && $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]
}
cmake_is_new() {
    at_least 3.16 "$(cmake --version | sed -n 's/^cmake version //p')"
}
build_tool() {
    command -v ninja || command -v make
}
has_mono() {
    command -v mono && command -v mcs
}

# has_library HEADER LIBRARY
has_library() {
    printf '#include <%s>\nint main(void) { return 0; }\n' "$1" | gcc -x c - -o /dev/null "-l$2"
}
# Where Debian has brokers, an ordinary user's shell does not look.
has_broker() {
    PATH="$PATH:/usr/local/sbin:/usr/sbin" command -v "$1"
}

check_packages() {
    packages=()
    optional=()
    need "gcc libc6-dev" compiles gcc c stdio.h
    need "cmake" cmake_is_new
    need "ninja-build" build_tool
    # The demo's examples are configured together with the C++ ones.
    need "g++" compiles g++ c++ new
    if [[ $mode == bench ]]; then
        need "python3" command -v python3
        need "libpaho-mqtt-dev" has_library MQTTAsync.h paho-mqtt3a
        need "libnats-dev" has_library nats/nats.h nats
        need "mosquitto" has_broker mosquitto
        need "nats-server" has_broker nats-server
    fi
    [[ $mode == test ]] || return 0
    need "clang" compiles clang c stdio.h
    need "clang" compiles clang++ c++ new
    need "clang-format" command -v clang-format
    need "make" command -v make
    need "libgtest-dev" compiles g++ c++ gtest/gtest.h
    # For the examples with event loops.
    need "libuv1-dev" pkg-config --exists libuv
    need "libglib2.0-dev" pkg-config --exists glib-2.0
    need "pkg-config" command -v pkg-config
    need "valgrind" command -v valgrind
    need "binutils" command -v readelf
    need "doxygen" command -v doxygen
    # For the callers in other languages, scripts/bindings.sh.
    want "python3" command -v python3
    want "mono-runtime mono-mcs" has_mono
}

check_rust() {
    local wanted found component missing=()
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    found=$(cargo --version 2>/dev/null | awk '{print $2}' || true)
    if ! at_least "$wanted" "$found"; then
        # Not installed from here: Debian's Rust is too old, and another toolchain is its owner's decision.
        echo "setup: Rust $wanted or newer is needed, this machine has ${found:-none}. Install it with" >&2
        echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y" >&2
        echo "or, where rustup is already there, with" >&2
        echo "  rustup update stable" >&2
        lacking=yes
        return 0
    fi
    [[ $mode == test ]] || return 0
    for component in rustfmt clippy; do
        "cargo-${component/rust/}" --version >/dev/null 2>&1 || missing+=("$component")
    done
    if ((${#missing[@]})); then
        echo "setup: cargo lacks ${missing[*]}. Install with" >&2
        echo "  rustup component add ${missing[*]}" >&2
        lacking=yes
    fi
}

# install PACKAGES...
install() {
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# install_stopped PACKAGES...: the same, but Debian starts none of the brokers, neither now nor at every boot: the
# benchmark does when it needs them. Those that were there before are their owner's.
install_stopped() {
    local policy=/usr/sbin/policy-rc.d package services=()
    for package in "$@"; do
        case $package in
        mosquitto | nats-server) services+=("$package") ;;
        esac
    done
    if ((${#services[@]} == 0)) || [[ -e $policy ]]; then
        install "$@"
    else
        (
            trap 'rm -f "$policy"' EXIT
            # The status means: not allowed.
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod +x "$policy"
            install "$@"
        )
    fi
    if ((${#services[@]})) && command -v systemctl >/dev/null; then
        # Fails where systemd does not run, and nothing with it.
        systemctl --quiet disable --now "${services[@]}" || true
    fi
}

case $mode in
demo | test | bench) ;;
*)
    echo "usage: scripts/setup.sh [demo|test|bench]" >&2
    exit 2
    ;;
esac

check_packages
if ((${#packages[@]} + ${#optional[@]})) && [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
    echo "setup: installing ${packages[*]} ${optional[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    if ((${#packages[@]})); then
        install_stopped "${packages[@]}"
    fi
    if ((${#optional[@]})); then
        install "${optional[@]}" || true
    fi
    check_packages
fi
if ((${#optional[@]})); then
    echo "setup: not there, and not needed for most tests: ${optional[*]}" >&2
fi
if ((${#packages[@]})); then
    echo "setup: missing: ${packages[*]}. On Debian or Ubuntu install with" >&2
    echo "  sudo apt-get install --no-install-recommends ${packages[*]}" >&2
    lacking=yes
fi
check_rust
[[ -z $lacking ]] || exit 1
echo "setup: everything for '$mode' is there"
