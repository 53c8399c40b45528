# shellcheck shell=bash
# Sourced by the other scripts.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# rustup puts cargo where a shell that is already running does not look.
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
# Cargo would take make's job server for its own and complain that it is gone.
unset MAKEFLAGS MFLAGS MAKELEVEL
if [[ -n ${CI:-} ]]; then
    export CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never
fi

# shellcheck disable=SC2034 # used by the scripts that source this
jobs=$(nproc)
# Ninja where there is one, unless the environment says otherwise.
if [[ -z ${CMAKE_GENERATOR:-} ]] && command -v ninja >/dev/null; then
    export CMAKE_GENERATOR=Ninja
fi
