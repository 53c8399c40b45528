#!/usr/bin/env bash
# Runs a broker for the benchmark on 127.0.0.1, until it is ended.
#
#   bench/peers/server.sh mosquitto|nats PORT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Debian has mosquitto and nats-server where an ordinary user's shell does not look.
PATH="$PATH:/usr/local/sbin:/usr/sbin"

broker=${1:-}
port=${2:-}
case $broker in
    mosquitto) program=mosquitto ;;
    nats) program=nats-server ;;
    *) program= ;;
esac
if [[ -z $program || ! $port =~ ^[0-9]+$ ]] || ((port < 1 || port > 65535)); then
    echo "usage: bench/peers/server.sh mosquitto|nats PORT" >&2
    exit 2
fi
if ! command -v "$program" >/dev/null; then
    echo "server.sh: $program is not installed; scripts/setup.sh bench does it" >&2
    exit 1
fi
# The configuration comes through a pipe, so that there is no file to remove; this process becomes the broker, so that
# a signal and a look into /proc reach the broker itself.
exec {configuration}< <(sed "s/@PORT@/$port/" "$here/$broker.conf")
exec "$program" -c "/dev/fd/$configuration"
