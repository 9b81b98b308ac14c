//! How long and how much: netapply beside `ip -batch` with the same commands, in one guest.
//!
//! Not a verdict, so not part of the tests: `cargo test --release --test vm figures -- --ignored --nocapture`.

use crate::{cases, switch};

/// Undoes what was done, so that both start from the same machine.
const RESET: &str = "ip link del aggi 2>/dev/null
    for nic in eth0 eth1; do ip link set $nic down mtu 1500; done";

#[test]
#[ignore = "a measurement"]
fn figures() {
    let mut guest = switch::machine().netapply().file("/tmp/network_data.json", cases::LACP, 0o644).boot();
    guest.ok(&switch::lacp(9000, &["10.158.175.248/31"]));
    guest.ok("netapply --dry-run --format sh /tmp/network_data.json | sed -n 's/^ip //p' >/tmp/batch");
    println!("{}", guest.ok("cat /tmp/batch"));
    let timed = |command: &str| {
        format!(
            "{RESET}\nbegin=$(date +%s%N); {command} >/tmp/said 2>&1 || cat /tmp/said >&2; end=$(date +%s%N); echo $(((end - begin) / 1000))"
        )
    };
    for _ in 0..5 {
        for command in [
            "netapply apply --no-verify /tmp/network_data.json",
            "ip -batch /tmp/batch",
            "netapply /tmp/network_data.json",
        ] {
            let output = guest.run(&timed(command));
            println!("{:>9} us  {command} {}", output.stdout.trim(), output.stderr);
        }
    }
    // busybox counts in pages of four KiB what the kernel counts in KiB.
    let peak = guest.ok(&format!(
        "{RESET}\nbusybox time -v netapply /tmp/network_data.json 2>&1 | sed -n 's/.*Maximum resident.*: //p'"
    ));
    println!("peak memory {} KiB", peak.trim().parse::<u64>().expect("a number") / 4);
}
