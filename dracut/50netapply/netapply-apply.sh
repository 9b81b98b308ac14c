#!/bin/sh
# Without systemd: applies once, as soon as udev has settled for the first time.
if [ ! -e /tmp/netapply.done ]; then
    : >/tmp/netapply.done
    netapply apply --no-verify </dev/null
fi
