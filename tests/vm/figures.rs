//! Time and memory: netapply compared with `ip -batch` with the same commands, in one guest.
//!
//! A measurement, not a test. With the binary of `cargo build --release`: `NETAPPLY_BINARY=… cargo test --test vm
//! figures::beside_ip -- --ignored --nocapture`.

use std::process::Command;
use std::time::Instant;

use crate::{cases, switch};

/// Undoes what was done, so that each starts from the same machine.
const RESET: &str = "ip link del aggi 2>/dev/null
    for nic in eth0 eth1; do ip link set $nic down mtu 1500; done
    rm -rf /run/netapply";

const COMMANDS: [&str; 3] = [
    "netapply apply --no-verify /tmp/network_data.json",
    "ip -batch /tmp/batch",
    "netapply apply /tmp/network_data.json",
];

#[test]
#[ignore = "a measurement"]
fn beside_ip() {
    let mut guest =
        switch::machine().netapply().inside().file("/tmp/network_data.json", cases::LACP, 0o644).boot();
    guest.ok("echo 2 >/proc/sys/kernel/randomize_va_space");
    guest.ok(&switch::lacp(9000, &["10.158.175.248/31"]));
    guest.ok("netapply --dry-run --format sh /tmp/network_data.json |
        sed -n 's/^ip //; s/^-[46] //; /^\\(link\\|address\\|route\\|rule\\) /p' >/tmp/batch");
    println!("# ip -batch\n{}", guest.ok("cat /tmp/batch"));
    println!("{}", guest.ok("inside --ignored --nocapture --exact figures::inside_the_guest"));
    // busybox prints in units of four KiB what the kernel counts in KiB.
    let peak = guest
        .ok(&format!("{RESET}\nbusybox time -v {} 2>&1 | sed -n 's/.*Maximum resident.*: //p'", COMMANDS[2]));
    println!("peak memory {} KiB", peak.trim().parse::<u64>().expect("a number") / 4);
}

#[test]
#[ignore = "runs inside a guest"]
fn inside_the_guest() {
    assert!(std::path::Path::new("/agent").exists(), "this is no guest");
    for _ in 0..5 {
        for command in COMMANDS {
            Command::new("sh").args(["-c", RESET]).status().unwrap();
            let mut words = command.split(' ');
            let begin = Instant::now();
            let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
            println!("{:>9.1} ms  {command}", begin.elapsed().as_secs_f64() * 1e3);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
