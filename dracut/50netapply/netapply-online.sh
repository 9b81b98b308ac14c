#!/bin/sh
# Runs dracut's own hooks, and those that mount a root over the network, for each link that netapply brought up. The loop
# of dracut sources this file again and again: once is enough.
if [ -e /tmp/net.ifaces ] && [ ! -e /tmp/netapply.online ]; then
    : >/tmp/netapply.online
    type source_hook >/dev/null 2>&1 || . /lib/dracut-lib.sh
    read -r netapply_links </tmp/net.ifaces
    for netapply_link in $netapply_links; do
        [ -e "/tmp/net.$netapply_link.did-setup" ] || continue
        source_hook initqueue/online "$netapply_link"
        [ ! -x /sbin/netroot ] || /sbin/netroot "$netapply_link"
    done
fi
