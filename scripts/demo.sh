#!/usr/bin/env bash
# Builds libiscp and the program iscp, starts a broker, and lets one C program send the telemetry of this
# machine to another that shows it. Everything it started has ended when it ends, whatever happens in between.
#
#   scripts/demo.sh [SECONDS]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

seconds=${1:-10}
build=build/demo
work=$(mktemp -d)
builder=
broker=
viewer=
sender=

# Gives every background command a process group of its own. Ctrl-C then reaches this script alone, which
# ends the others in order, and a build can be ended with all it has started.
set -m

# Asks everything that still runs to end, and waits until it has. The programs run under timeout(1), which
# passes the request on and kills what does not follow.
cleanup() {
    local status=$? pid
    trap - EXIT
    trap '' HUP INT TERM
    # bash reports each job that ends by a signal, which here is all as it should be.
    exec 2>/dev/null
    if [[ -n $builder ]]; then
        kill -TERM -- "-$builder" 2>/dev/null || true
    fi
    # The broker last: its clients say goodbye to it.
    for pid in $sender $viewer; do
        kill -TERM "$pid" || true
    done
    for pid in $sender $viewer; do
        wait "$pid" || true
    done
    if [[ -n $broker ]]; then
        kill -TERM "$broker" || true
    fi
    wait
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

say() {
    printf 'demo: %s\n' "$*"
}
die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

# quietly COMMAND...: without a terminal its output is shown only if it fails; a person is shown what takes
# so long. In the background, because bash acts upon a signal at once only while it waits for a background
# command.
quietly() {
    : >"$work/build.log"
    if [[ -t 1 ]]; then
        "$@" </dev/null &
    else
        "$@" >"$work/build.log" 2>&1 </dev/null &
    fi
    builder=$!
    if ! wait "$builder"; then
        cat "$work/build.log" >&2
        die "failed: $*"
    fi
    builder=
}

# limited SECONDS COMMAND...: for the background. Nothing it runs outlives the limit, or the request to end.
limited() {
    local limit=$1
    shift
    exec timeout --foreground --kill-after=5 "$limit" "$@" </dev/null
}

scripts/setup.sh demo

say "building (minutes the first time, seconds later)"
quietly cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DISCP_BUILD_EXAMPLES=ON -DISCP_SHARED_LTO=OFF
quietly cmake --build "$build" --parallel "$jobs" \
    --target iscp_cargo demo_telemetry_send demo_telemetry_view

mkfifo "$work/broker.out"
limited $((seconds + 60)) "$build/bin/iscp" broker --ws 127.0.0.1:0 >"$work/broker.out" 2>"$work/broker.log" &
broker=$!
exec {broker_out}<"$work/broker.out"
url=
deadline=$((SECONDS + 15))
while [[ -z $url ]]; do
    # read also returns at once when the broker ends, because the pipe then does.
    if ! read -r -t $((deadline - SECONDS + 1)) -u "$broker_out" line; then
        cat "$work/broker.log" >&2
        die "the broker did not say where it listens"
    fi
    [[ $line != "listening "* ]] || url=${line#listening }
done
# What else the broker prints is not shown, but must not block it.
cat <&"$broker_out" >>"$work/broker.log" &

say "broker at $url"
say "telemetry for $seconds seconds"
mkfifo "$work/ready"
# Opened for reading and writing, so that neither this nor the viewer waits for the other end.
exec {ready}<>"$work/ready"
limited $((seconds + 30)) "$build/bin/demo_telemetry_view" --url "$url" --seconds "$seconds" --ready "$work/ready" &
viewer=$!
# The viewer counts from the first point on: the sender starts once it listens, or has failed.
deadline=$((SECONDS + 15))
while ! read -r -t 0.2 -u "$ready" line && kill -0 "$viewer" 2>/dev/null && ((SECONDS < deadline)); do
    :
done
limited $((seconds + 30)) "$build/bin/demo_telemetry_send" --url "$url" --seconds "$seconds" >"$work/sender.out" &
sender=$!

# The status of the one that failed, the sender's first; 124 is timeout's.
sender_status=0
viewer_status=0
# Without bash's own words about a broker that was killed meanwhile.
wait "$sender" 2>/dev/null || sender_status=$?
sender=
wait "$viewer" 2>/dev/null || viewer_status=$?
viewer=
# Only now, because the viewer had the screen.
cat "$work/sender.out"
if ((sender_status || viewer_status)); then
    cat "$work/broker.log" >&2
    kill -0 "$broker" 2>/dev/null || say "the broker ended before the telemetry did" >&2
    say "sender ended with $sender_status, viewer with $viewer_status" >&2
    exit $((sender_status ? sender_status : viewer_status))
fi
kill -0 "$broker" 2>/dev/null || die "the broker ended before the telemetry did"
say "done"
