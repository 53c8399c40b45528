#!/usr/bin/env bash
# Builds and tests what calls the library from other languages: bindings/, docs/ffi.md.
#
#   scripts/bindings.sh BUILD_DIR [LANGUAGE...]   a build directory of CMake, with the program iscp;
#                                                 python, go, csharp, swift, or all of them
#
# The library is installed first, and found as an installed library is: by its header, pkg-config and the loader.
# A language without its tools is reported as not run and does not fail the run.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if (($# == 0)); then
    echo "usage: scripts/bindings.sh BUILD_DIR [python|go|csharp|swift...]" >&2
    exit 2
fi
cmake_build=$(cd "$1" && pwd)
shift
languages=("$@")
((${#languages[@]})) || languages=(python go csharp swift)

sources=$root/bindings
build=$root/build/bindings
prefix=$build/prefix
not_run=()

# missing LANGUAGE WHY
missing() {
    not_run+=("$1: $2")
}

# at_least WANTED FOUND: compares versions.
at_least() {
    [[ -n $2 && $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]
}

install_library() {
    rm -rf "$prefix"
    mkdir -p "$build"
    cmake --install "$cmake_build" --prefix "$prefix" >"$build/install.log"
    local pc
    pc=$(find "$prefix" -name iscp.pc)
    export PKG_CONFIG_PATH=${pc%/*}
    LD_LIBRARY_PATH=$(cd "${pc%/*}/.." && pwd)
    export LD_LIBRARY_PATH
    export ISCP_PROGRAM=$prefix/bin/iscp ISCP_HEADER=$prefix/include/iscp/iscp.h ISCP_LAYOUT=$build/layout.txt
    "${CC:-cc}" -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$prefix/include" "$sources/layout.c" -o "$build/layout"
    "$build/layout" >"$ISCP_LAYOUT"
}

run_python() {
    local wanted=3.9 found
    found=$(python3 -c 'import ctypes, platform; print(platform.python_version())' 2>/dev/null || true)
    if ! at_least "$wanted" "$found"; then
        missing python "Python $wanted with ctypes is needed, this machine has ${found:-none}"
        return
    fi
    echo "bindings: Python $found"
    # As modules of the package, and without bytecode in the sources.
    (cd "$sources/python" && PYTHONPATH=. PYTHONDONTWRITEBYTECODE=1 python3 -W error -m unittest discover -s tests)
}

run_go() {
    local wanted=1.21 found
    found=$(go env GOVERSION 2>/dev/null | sed 's/^go//' || true)
    if ! at_least "$wanted" "$found"; then
        missing go "Go $wanted is needed, this machine has ${found:-none}"
        return
    fi
    echo "bindings: Go $found"
    (
        cd "$sources/go"
        export CGO_ENABLED=1 GOFLAGS=-mod=mod GOTOOLCHAIN=local
        local unformatted
        unformatted=$(gofmt -l .)
        if [[ -n $unformatted ]]; then
            echo "bindings: gofmt would change $unformatted" >&2
            exit 1
        fi
        go vet ./...
        # -count=1: the library is not among what the go command looks at for its cache.
        go test -count=1 -timeout 5m .
    )
}

run_csharp() {
    local found out=$build/csharp example
    found=$(mono --version 2>/dev/null | sed -n '1s/.*version \([0-9.]*\).*/\1/p' || true)
    if [[ -z $found ]] || ! command -v mcs >/dev/null; then
        missing csharp "Mono and its compiler mcs are needed (Debian: mono-runtime, mono-mcs)"
        return
    fi
    echo "bindings: Mono $found"
    mkdir -p "$out"
    local compile=(mcs -langversion:7 -warnaserror -debug)
    "${compile[@]}" -target:library -out:"$out/Iscp.dll" "$sources"/csharp/src/*.cs
    "${compile[@]}" -r:"$out/Iscp.dll" -out:"$out/Tests.exe" "$sources"/csharp/tests/*.cs
    for example in Send Receive; do
        "${compile[@]}" -r:"$out/Iscp.dll" -out:"$out/$example.exe" "$sources/csharp/examples/$example.cs"
    done
    # By signals, as by default, Mono cannot stop the threads of the library: bindings/csharp/README.md.
    MONO_THREADS_SUSPEND=coop MONO=$(command -v mono) mono --debug "$out/Tests.exe"
}

run_swift() {
    if ! command -v clang >/dev/null; then
        missing swift "clang is needed to import the module"
        return
    fi
    clang -std=c11 -Wall -Wextra -Werror -fmodules -fmodules-cache-path="$build/modules" -I"$prefix/include" \
        -fmodule-map-file="$sources/swift/Sources/CIscp/module.modulemap" -fsyntax-only "$sources/swift/test_module.c"
    echo "bindings: clang imports the Swift module"
    if ! command -v swift >/dev/null; then
        missing swift "its sources are neither compiled nor run without Swift"
        return
    fi
    swift build --package-path "$sources/swift" --scratch-path "$build/swift"
}

install_library
for language in "${languages[@]}"; do
    case $language in
        python | go | csharp | swift) "run_$language" ;;
        *)
            echo "bindings: no such language: $language" >&2
            exit 2
            ;;
    esac
done
if ((${#not_run[@]})); then
    echo "bindings: NOT RUN:"
    printf '  %s\n' "${not_run[@]}"
fi
