#!/bin/sh
# Three hosts on one machine, as network namespaces with addresses of their own (needs root and iproute2):
# PREFIX-hub 10.77.0.1 (scheduler), PREFIX-a 10.77.0.2 and PREFIX-b 10.77.0.3 (workers).
#
#   hosts.sh up PREFIX          make them; then: ip netns exec PREFIX-hub dask scheduler --host 10.77.0.1
#   hosts.sh cut PREFIX a       cut a host off, as a pulled cable does: nobody is told
#   hosts.sh mend PREFIX a      put the cable back
#   hosts.sh down PREFIX        remove them
set -eu
action=$1 prefix=$2

case $action in
up)
    for host in hub a b; do
        ip netns add "$prefix-$host"
        ip -n "$prefix-$host" link set lo up
    done
    ip -n "$prefix-hub" link add bridge type bridge
    ip -n "$prefix-hub" addr add 10.77.0.1/24 dev bridge
    ip -n "$prefix-hub" link set bridge up
    number=2
    for host in a b; do
        ip -n "$prefix-hub" link add "to-$host" type veth peer name cable netns "$prefix-$host"
        ip -n "$prefix-hub" link set "to-$host" master bridge up
        ip -n "$prefix-$host" addr add "10.77.0.$number/24" dev cable
        ip -n "$prefix-$host" link set cable up
        number=$((number + 1))
    done
    ;;
cut) ip -n "$prefix-hub" link set "to-$3" nomaster ;;
mend) ip -n "$prefix-hub" link set "to-$3" master bridge ;;
down)
    for host in hub a b; do
        ip netns del "$prefix-$host" 2>/dev/null || true
    done
    ;;
*)
    echo "hosts.sh: $action is not up, cut, mend or down" >&2
    exit 2
    ;;
esac
