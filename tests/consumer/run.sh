#!/usr/bin/env bash
# Uses libiscp the way outside projects do: installs it from a build directory into a fresh prefix, looks at
# what was installed, and builds and runs small programs against it.
#
#   tests/consumer/run.sh BUILD_DIR
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=$(cd "$here/../.." && pwd)
build=$(cd "${1:?usage: run.sh BUILD_DIR}" && pwd)
# The space is a test too.
work="$build/consumer projects"
prefix="$work/moved here"
log="$work/log"
# The trap below runs while a case's output is still redirected.
exec 3>&2
rm -rf "$work"
mkdir -p "$work"

case_name=preparation
failed() {
    local status=$?
    # A failing check in a subshell reports twice; only the script itself speaks.
    if [[ $BASH_SUBSHELL -eq 0 && $status -ne 0 ]]; then
        [[ ! -f $log ]] || cat "$log" >&3
        echo "consumer $case_name: FAILED" >&3
    fi
}
trap failed EXIT

# A case is a function of the same name; all it prints is shown only if it fails.
run_case() {
    case_name=$1
    shift
    "$@" >"$log" 2>&1
    echo "consumer $case_name: ok"
}

die() {
    echo "$*"
    exit 1
}

cache() {
    sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"
}

cargo_target_dir=$(cache ISCP_CARGO_TARGET_DIR)
cargo=$(cache ISCP_CARGO)
cc=$(cache CMAKE_C_COMPILER)
cxx=$(cache CMAKE_CXX_COMPILER)
# The generator of the build under test, so both Ninja and make get their turn.
generator=$(cache CMAKE_GENERATOR)
version=$(cache CMAKE_PROJECT_VERSION)

# --- Installation ---------------------------------------------------------------------------------------

# Installed to one place and moved to another before anything is built: every case below uses the moved one.
install_and_move() {
    cmake --install "$build" --prefix "$work/installed"
    mv "$work/installed" "$prefix"
    lib=$(dirname "$(find "$prefix" -name libiscp.a)")
}

the_files() {
    local file
    [[ -f "$prefix/include/iscp/iscp.h" ]] || die "iscp.h is missing"
    [[ -f "$prefix/include/iscp/iscp.hpp" ]] || die "iscp.hpp is missing"
    [[ $(cache ISCP_BUILD_CLI) != ON || -x "$prefix/bin/iscp" ]] || die "the program iscp is missing"
    for file in libiscp.a libiscp.so "libiscp.so.$version" pkgconfig/iscp.pc \
        cmake/iscp/iscp-config.cmake cmake/iscp/iscp-config-version.cmake; do
        [[ -f "$lib/$file" ]] || die "$lib/$file is missing"
    done
}

the_soname() {
    local soname expected=${version%%.*}
    [[ $expected != 0 ]] || expected=${version%.*}
    soname=$(LC_ALL=C readelf -d "$lib/libiscp.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
    [[ $soname == "libiscp.so.$expected" ]] || die "SONAME is '$soname'"
    [[ $(readlink "$lib/$soname") == "libiscp.so.$version" ]] || die "$soname does not lead to the library"
    [[ $(readlink "$lib/libiscp.so") == "$soname" ]] || die "libiscp.so does not lead to $soname"
}

never_unloaded() {
    LC_ALL=C readelf -d "$lib/libiscp.so" | grep -w NODELETE || die "not linked with -z nodelete"
}

the_exports() {
    local exports
    exports=$(LC_ALL=C nm -D --defined-only "$lib/libiscp.so" | awk '{print $NF}')
    grep -qx iscp_version <<<"$exports" || die "iscp_version is not exported"
    if grep -v '^iscp_' <<<"$exports"; then
        die "these are exported and do not begin with iscp_"
    fi
    # Functions only: a program on Windows would have to know of data that it is imported.
    if LC_ALL=C nm -D --defined-only "$lib/libiscp.so" | awk '$2 != "T" {print; found = 1} END {exit !found}'; then
        die "these are exported and are no functions"
    fi
}

# Everything the header declares is in the library, and the library has nothing the header does not declare.
header_and_exports() {
    local declared exports
    declared=$("$cc" -E -P -I "$prefix/include" "$prefix/include/iscp/iscp.h" | tr '\n' ' ' |
        sed 's/static inline [^;{]*{/{/g' | grep -o '\biscp_[a-z0-9_]*\b *(' | tr -d '( ' | sort -u)
    exports=$(LC_ALL=C nm -D --defined-only "$lib/libiscp.so" | awk '{print $NF}' | sort -u)
    diff <(echo "$declared") <(echo "$exports") || die "header (<) and library (>) differ"
    diff <(sed '/^#/d; s/ .*//' "$source_dir/abi/symbols.txt") <(echo "$exports") ||
        die "abi/symbols.txt (<) and library (>) differ"
}

# In an archive all names are global: those of the API, the mangled ones of Rust, and the few that C and assembly
# define, which must not be names that another library has.
static_symbols() {
    local symbols foreign
    symbols=$(LC_ALL=C nm -g --defined-only "$lib/libiscp.a" 2>/dev/null | awk 'NF == 3 {print $NF}' | sort -u)
    diff <(sed '/^#/d; s/ .*//' "$source_dir/abi/symbols.txt") <(grep '^iscp_' <<<"$symbols") ||
        die "abi/symbols.txt (<) and libiscp.a (>) differ"
    # Names beginning with _ are the compilers', which make them weak or hidden.
    foreign=$(grep -vE '^(_|iscp_|ring_core_|rust_|anon\.|DW\.ref\.)' <<<"$symbols" || true)
    [[ -z $foreign ]] || die "libiscp.a defines names that other libraries may have: $foreign"
}

no_debug_info() {
    if LC_ALL=C readelf -S --wide "$lib/libiscp.so" | grep -E '\.debug_(info|line|abbrev)'; then
        die "the installed library has debug information"
    fi
}

no_build_paths() {
    local place
    for place in "$source_dir" "$build" "$work" "$cargo_target_dir"; do
        if grep -rF -- "$place" "$lib/pkgconfig" "$lib/cmake" "$prefix/include"; then
            die "a path of the build machine was installed"
        fi
    done
}

# CMake asked the compiler about an empty library; this asks about the real one.
native_libraries() {
    local answer installed
    answer=$("$cargo" rustc --locked --manifest-path "$source_dir/Cargo.toml" --target-dir "$cargo_target_dir" \
        -p iscp --lib --crate-type staticlib -- --print native-static-libs 2>&1 |
        sed -n 's/.*native-static-libs: //p')
    installed=$(sed -n 's/^Libs.private: //p' "$lib/pkgconfig/iscp.pc")
    [[ -n $answer ]] || die "rustc gave no answer"
    # The compiler driver adds -lgcc_s and -lc by itself, see CMakeLists.txt.
    diff <(tr ' ' '\n' <<<"$installed" | sort -u) \
        <(tr ' ' '\n' <<<"$answer" | grep -vxE -e '-lgcc_s|-lc|' | sort -u) ||
        die "Libs.private of iscp.pc (<) is not what rustc asks for (>)"
}

# --- Programs -------------------------------------------------------------------------------------------

links_shared() {
    LC_ALL=C readelf -d "$1" | grep -q 'NEEDED.*libiscp\.so\.'
}

# run_program FILE shared|static: it runs, prints the version, and is linked as it should be.
run_program() {
    local printed
    printed=$("$1")
    [[ $printed == "$version" ]] || die "printed '$printed', not '$version'"
    case $2 in
    shared) links_shared "$1" || die "does not use the shared library" ;;
    static) ! links_shared "$1" || die "uses the shared library" ;;
    esac
}

# cmake_project NAME SOURCE ARGS...: configures and builds a project of this directory.
cmake_project() {
    local name=$1 project=$2
    shift 2
    cmake -S "$here/$project" -B "$work/$name" -G "$generator" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="${cxx:-c++}" -DCMAKE_PREFIX_PATH="$prefix" "$@"
    cmake --build "$work/$name"
}

# find_package NAME KIND ARGS...
find_package() {
    local name=$1 kind=$2
    shift 2
    cmake_project "$name" find_package "$@"
    run_program "$work/$name/consumer" "$kind"
}

# find_package_cpp NAME KIND ARGS...: the same for a C++ project.
find_package_cpp() {
    local name=$1 kind=$2
    shift 2
    cmake_project "$name" cpp "$@"
    run_program "$work/$name/consumer" "$kind"
}

rejected() {
    if cmake_project "$@"; then
        die "was accepted"
    fi
}

pkg_config() {
    PKG_CONFIG_PATH="$lib/pkgconfig" pkg-config "$@"
}

# The output of pkg-config is quoted for a shell, as in a Makefile recipe: a prefix may contain spaces.
pkg_config_shared() {
    local flags
    flags=$(pkg_config --cflags --libs iscp)
    eval "\"\$cc\" -o \"\$work/pc_shared\" \"\$here/main.c\" $flags"
    LD_LIBRARY_PATH=$lib run_program "$work/pc_shared" shared
}

pkg_config_cpp() {
    local flags
    flags=$(pkg_config --cflags --libs iscp)
    eval "\"\${cxx:-c++}\" -std=c++17 -o \"\$work/pc_cpp\" \"\$here/cpp/main.cpp\" $flags"
    LD_LIBRARY_PATH=$lib run_program "$work/pc_cpp" shared
}

# -static makes the linker take libiscp.a, and with it a static archive of everything below.
pkg_config_static() {
    local flags
    flags=$(pkg_config --static --cflags --libs iscp)
    eval "\"\$cc\" -static -o \"\$work/pc_static\" \"\$here/main.c\" $flags"
    run_program "$work/pc_static" static
}

pkg_config_valid() {
    pkg_config --validate iscp
    [[ $(pkg_config --modversion iscp) == "$version" ]] || die "iscp.pc has another version"
}

subdirectory() {
    local name=$1 kind=$2
    shift 2
    # Cargo's directory is shared only to save the time of a second build.
    cmake_project "$name" subdirectory -DISCP_SOURCE="$source_dir" -DISCP_CARGO="$cargo" \
        -DISCP_CARGO_TARGET_DIR="$cargo_target_dir" "$@"
    run_program "$work/$name/consumer" "$kind"
}

two_rust_libraries() {
    "$cargo" build --release --manifest-path "$here/two_rust/Cargo.toml" --target-dir "$work/other"
    cmake_project two_rust two_rust -DOTHER_LIBRARY="$work/other/release/libother.a"
    run_program "$work/two_rust/iscp_first" static
    run_program "$work/two_rust/other_first" static
}

run_case install-and-move install_and_move
run_case files the_files
run_case soname the_soname
run_case nodelete never_unloaded
run_case exports the_exports
run_case header-exports header_and_exports
run_case static-symbols static_symbols
if [[ $(cache CMAKE_BUILD_TYPE) == Release ]]; then
    run_case stripped no_debug_info
fi
run_case no-build-paths no_build_paths
run_case native-libraries native_libraries

run_case find-package-shared find_package shared shared -DCONSUMER_TARGET=iscp::shared
run_case find-package-static find_package static static -DCONSUMER_TARGET=iscp::static
run_case find-package-default find_package default shared -DCONSUMER_TARGET=iscp::iscp
run_case find-package-on find_package on shared -DCONSUMER_TARGET=iscp::iscp -DBUILD_SHARED_LIBS=ON
run_case find-package-off find_package off static -DCONSUMER_TARGET=iscp::iscp -DBUILD_SHARED_LIBS=OFF
run_case find-package-component find_package component static -DCONSUMER_TARGET=iscp::iscp \
    -DCONSUMER_COMPONENTS=static
run_case find-package-twice find_package twice shared -DCONSUMER_TARGET=iscp::iscp -DCONSUMER_TWICE=ON
run_case find-package-cpp-shared find_package_cpp cpp_shared shared -DCONSUMER_TARGET=iscp::shared
run_case find-package-cpp-static find_package_cpp cpp_static static -DCONSUMER_TARGET=iscp::static
run_case find-package-unknown rejected unknown find_package -DCONSUMER_TARGET=iscp::iscp \
    -DCONSUMER_COMPONENTS=unknown

run_case pkg-config-valid pkg_config_valid
run_case pkg-config-shared pkg_config_shared
run_case pkg-config-cpp pkg_config_cpp
run_case pkg-config-static pkg_config_static

run_case add-subdirectory-shared subdirectory sub_shared shared -DCONSUMER_TARGET=iscp::shared
run_case add-subdirectory-static subdirectory sub_static static -DCONSUMER_TARGET=iscp::static
run_case add-subdirectory-default subdirectory sub_default shared -DCONSUMER_TARGET=iscp::iscp
run_case add-subdirectory-off subdirectory sub_off static -DCONSUMER_TARGET=iscp::iscp -DBUILD_SHARED_LIBS=OFF

run_case two-rust-libraries two_rust_libraries
