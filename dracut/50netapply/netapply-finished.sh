#!/bin/sh
# Without systemd: the main loop goes on until netapply has run.
[ -e /tmp/netapply.done ]
