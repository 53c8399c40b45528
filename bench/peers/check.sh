#!/usr/bin/env bash
# Runs every role of every worker with a few points against its broker and checks what it prints.
#
#   bench/peers/check.sh OUT_DIR [PROGRAM]   the directory of build.sh; the program iscp (target/debug/iscp)
#
# The worker of libiscp is checked, too, where it is in the same directory, as bench/build.sh puts it.
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

if (($# < 1 || $# > 2)); then
    echo "usage: bench/peers/check.sh OUT_DIR [PROGRAM]" >&2
    exit 2
fi
out=$1
program=${2:-target/debug/iscp}
here=bench/peers
work=$(mktemp -d)
brokers=()
failures=0

finish() {
    local status=$?
    ((${#brokers[@]} == 0)) || kill "${brokers[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

# complain TEXT...: shows what the worker wrote to standard error, too.
complain() {
    printf 'FAILED: %s\n' "$*" >&2
    [[ ! -s $work/stderr ]] || sed 's/^/  /' "$work/stderr" >&2
    failures=$((failures + 1))
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if ((SECONDS >= deadline)); then
            return 1
        fi
        sleep 0.05
    done
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

accepts() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# server BROKER SCHEME: starts it and sets url.
server() {
    local port
    port=$(free_port)
    "$here/server.sh" "$1" "$port" >"$work/$1.log" 2>&1 &
    brokers+=($!)
    if ! wait_for 20 accepts "$port"; then
        cat "$work/$1.log" >&2
        echo "check.sh: $1 does not accept connections on port $port" >&2
        exit 1
    fi
    url=$2://127.0.0.1:$port
}

iscp_listens() {
    (($(grep -c '^listening ' "$work/iscp.log") == 2))
}

iscp_broker() {
    : >"$work/iscp.log"
    "$program" broker --ws 127.0.0.1:0 --quic 127.0.0.1:0 --self-signed --self-signed-pem "$work/ca.pem" \
        >"$work/iscp.log" 2>"$work/iscp.err" &
    brokers+=($!)
    if ! wait_for 20 iscp_listens; then
        cat "$work"/iscp.* >&2
        echo "check.sh: $program broker does not listen" >&2
        exit 1
    fi
    url=$(sed -n 's/^listening \(ws:.*\)/\1/p' "$work/iscp.log")
    quic=$(sed -n 's/^listening \(quic:.*\)/\1/p' "$work/iscp.log")
}

session=0
# run STATUS ROLE OPTION...: the worker ends with that status; its output is in $work/stdout.
run() {
    local wanted=$1 status=0
    shift
    session=$((session + 1))
    # The worker's own limit is shorter.
    timeout 120 "$out/$peer" "$@" "session=check-$session" >"$work/stdout" 2>"$work/stderr" </dev/null || status=$?
    if ((status != wanted)); then
        complain "$peer $*: status $status, not $wanted"
        return 1
    fi
    if ((wanted != 0)) && [[ -s $work/stdout || ! -s $work/stderr ]]; then
        complain "$peer $*: the reason belongs on standard error, and nothing on standard output"
        return 1
    fi
}

# expect ROLE OPTIONS MEMBER=VALUE...: it succeeds, and the result is as announced.
expect() {
    local role=$1 options
    read -ra options <<<"$2"
    shift 2
    run 0 "$role" "${options[@]}" || return 0
    if [[ $role == idle ]] && ! sed -n 's/^ready //p' "$work/stdout" | "$here/check_result.py" ready; then
        complain "$peer $role ${options[*]}: $(cat "$work/stdout")"
    fi
    tail -n 1 "$work/stdout" | "$here/check_result.py" "$role" "$@" ||
        complain "$peer $role ${options[*]}: $(cat "$work/stdout")"
}

is_ready() {
    grep -qx ready "$work/sub"
}

# expect_sub OPTIONS PUB_OPTIONS MEMBER=VALUE...: what a worker publishes reaches the subscriber.
expect_sub() {
    local options publish subscriber status=0
    read -ra options <<<"$1"
    read -ra publish <<<"$2"
    shift 2
    session=$((session + 1))
    # What the one before was ready for counts no more.
    : >"$work/sub"
    timeout 120 "$out/$peer" sub "${options[@]}" "session=sub-$session" >"$work/sub" 2>"$work/sub.err" </dev/null &
    subscriber=$!
    if ! wait_for 60 is_ready; then
        complain "$peer sub ${options[*]}: not ready: $(cat "$work/sub.err")"
        kill "$subscriber"
        return
    fi
    timeout 120 "$out/$peer" pub "${publish[@]}" "session=sub-$session" >"$work/stdout" 2>"$work/stderr" </dev/null ||
        complain "$peer pub ${publish[*]}: status $?"
    wait "$subscriber" || status=$?
    if ((status != 0)); then
        complain "$peer sub ${options[*]}: status $status: $(cat "$work/sub.err")"
        return
    fi
    tail -n 1 "$work/sub" | "$here/check_result.py" sub "$@" || complain "$peer sub ${options[*]}: $(cat "$work/sub")"
}

# What every worker can. acks: what is known of the points of a reliable publisher.
every_role() {
    local acks=$1
    if ! "$out/$peer" version | "$here/check_result.py" version; then
        complain "$peer version"
    fi
    expect pub "url=$url points=500 ids=3 payload=40" points=500 bytes=20000 "ack=$acks"
    expect pub "url=$url points=301 connections=3 ids=2" points=301 "ack=$acks"
    expect pub "url=$url points=100 rate=1000 flush=immediate payload=0" points=100 bytes=0 "ack=$acks"
    expect ack "url=$url points=50 ids=2" points=50
    expect e2e "url=$url points=200 rate=2000 flush=immediate" points=200 lost=0
    expect_sub "url=$url points=400 ids=4" "url=$url points=400 ids=4" points=400 lost=0
    expect_sub "url=$url points=200 connections=3" "url=$url points=200" points=600 lost=0
    expect_sub "url=$url points=200" "url=$url points=200 connections=4" points=200 lost=0
    expect_sub "url=$url points=300 qos=unreliable" "url=$url points=200" points=200 lost=100
    expect idle "url=$url connections=3 idle_s=0.2" connections=3
    expect start "url=$url" acked=1
    # More connections than points, and more than a client opens one after the other within its limits.
    expect pub "url=$url points=30 connections=60 qos=unreliable" points=30
    run 64 fly "url=$url" || true
    run 64 pub "url=$url" colour=red || true
    run 64 pub "url=gopher://127.0.0.1:70" || true
    run 1 pub "url=$url" points=many || true
    run 1 pub || true
    run 1 e2e "url=$url" payload=7 || true
    # Port 1 of this machine is nobody's.
    run 1 pub "url=${url%%:*}://127.0.0.1:1" || true
}

over_iscp() {
    iscp_broker
    every_role all
    expect pub "url=$url points=300 compression=6" points=300 ack=all
    expect pub "url=$url points=300 qos=unreliable" points=300 ack=none
    expect pub "url=$quic points=300 ca=$work/ca.pem" points=300 ack=all
    expect e2e "url=$quic points=100 rate=500 flush=immediate ca=$work/ca.pem" points=100 lost=0
    # Datagrams, of which even a busy machine may lose one.
    expect e2e "url=$quic points=100 rate=500 flush=immediate qos=unreliable ca=$work/ca.pem" points+lost=100
}

# Clients that are told whom to trust take nobody else.
over_trusted_quic() {
    # A certificate, but not that of this broker.
    mv "$work/ca.pem" "$work/other.pem"
    iscp_broker
    run 1 pub "url=$quic" "ca=$work/other.pem" || true
    run 1 pub "url=$quic" "ca=$here/README.md" || true
}

for peer in iscp_c go rs paho nats; do
    if [[ $peer == iscp_c && ! -x $out/$peer ]]; then
        printf 'Not run: %s: bench/build.sh builds it\n' "$peer"
        continue
    fi
    if [[ -f $out/$peer.missing ]]; then
        printf 'Not run: %s: %s\n' "$peer" "$(cat "$out/$peer.missing")"
        continue
    fi
    if [[ ! -x $out/$peer ]]; then
        complain "there is no $out/$peer; bench/peers/build.sh $out makes it"
        continue
    fi
    started=$SECONDS
    case $peer in
        iscp_c)
            over_iscp
            expect e2e "url=$url points=100 rate=1000 flush=immediate encoding=json" points=100 lost=0
            expect write "url=$url points=3000" points=3000
            over_trusted_quic
            ;;
        go)
            over_iscp
            expect e2e "url=$url points=100 rate=1000 flush=immediate encoding=json" points=100 lost=0
            expect start "url=$quic" acked=1
            over_trusted_quic
            ;;
        rs)
            over_iscp
            expect start "url=$quic" acked=1
            run 64 pub "url=$url" encoding=json || true
            ;;
        paho)
            server mosquitto tcp
            every_role all
            expect pub "url=$url points=300 qos=unreliable" points=300 ack=none
            run 64 pub "url=$url" encoding=json || true
            run 64 pub "url=$url" compression=1 || true
            ;;
        nats)
            server nats nats
            every_role ping
            run 64 pub "url=$url" encoding=json || true
            run 64 pub "url=$url" compression=1 || true
            ;;
    esac
    printf 'checked: %s, %d s\n' "$peer" $((SECONDS - started))
done
((failures == 0)) || exit 1
echo "check.sh: every worker does what it should"
