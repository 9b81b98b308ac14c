#!/bin/sh
# Without systemd: the main loop continues until netapply has run.
[ -e /tmp/netapply.done ]
