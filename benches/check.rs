//! Ten thousand descriptions of realistic size: how long reading them in memory takes, and how much time and memory
//! `netapply check` and `check --fleet` take for 1,000, 10,000 and 100,000 files. `cargo bench --bench check` prints
//! the figures; nothing is judged by them.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILES: usize = 10_000;

/// Two NICs in an LACP bond with a /31 and a route, as a pipeline for Metal3 writes it; no two alike.
fn description(number: usize) -> String {
    let [_, high, mid, low] = (number as u32).to_be_bytes();
    let pair = u32::from(std::net::Ipv4Addr::new(10, 0, 0, 0)) + 2 * number as u32;
    let [gateway, own] = [pair, pair + 1].map(std::net::Ipv4Addr::from);
    let mut text = String::new();
    let _ = write!(
        text,
        r#"{{"links": [
  {{"id": "private-int1", "type": "phy", "ethernet_mac_address": "7c:c2:{high:02x}:{mid:02x}:{low:02x}:44", "mtu": 9000}},
  {{"id": "private-int2", "type": "phy", "ethernet_mac_address": "7c:c2:{high:02x}:{mid:02x}:{low:02x}:45", "mtu": 9000}},
  {{"id": "aggi", "type": "bond", "bond_links": ["private-int1", "private-int2"], "bond_mode": "802.3ad", "mtu": 9000}}],
 "networks": [
  {{"id": "private_network", "link": "aggi", "type": "ipv4", "ip_address": "{own}", "netmask": "255.255.255.254",
   "routes": [{{"network": "10.0.0.0", "netmask": "255.0.0.0", "gateway": "{gateway}"}}]}}]}}
"#
    );
    text
}

fn main() {
    let texts: Vec<String> = (0..FILES).map(description).collect();
    let bytes: usize = texts.iter().map(String::len).sum();

    let start = Instant::now();
    let mut links = 0;
    for (number, text) in texts.iter().enumerate() {
        let parsed = netapply::format::parse(vec![(format!("{number}.json"), text.clone())]);
        links += black_box(&parsed).desired.links.len();
        assert!(parsed.diagnostics.is_empty());
    }
    report("read in memory", start.elapsed(), bytes);
    assert_eq!(links, 3 * FILES);

    for files in [1_000, FILES, 100_000] {
        let folder = tempfile::tempdir().expect("a folder for the files");
        for number in 0..files {
            std::fs::write(folder.path().join(format!("{number}.json")), description(number))
                .expect("a file");
        }
        // The first run warms the cache.
        check(folder.path(), &[]);
        for (what, options) in [("check", &[][..]), ("check --fleet", &["--fleet"])] {
            let start = Instant::now();
            let memory = check(folder.path(), options);
            let time = start.elapsed().as_secs_f64();
            println!(
                "{what} of {files} files: {time:.2} s, {:.0} µs each, {} MiB at most",
                time * 1e6 / files as f64,
                memory >> 10
            );
        }
    }
}

/// Checks a folder; returns its peak memory in KiB.
fn check(folder: &Path, options: &[&str]) -> i64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netapply"));
    command.arg("check").args(options).arg(".").current_dir(folder).stdout(Stdio::null());
    #[expect(clippy::zombie_processes, reason = "wait4 waits, and tells the memory")]
    let child = command.spawn().expect("netapply runs");
    let mut status = 0;
    // SAFETY: plain numbers, for which any bits are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is ours, and both pointers are to values of this function.
    let waited = unsafe { libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
    assert_eq!((waited, status), (child.id() as i32, 0));
    usage.ru_maxrss
}

fn report(what: &str, time: Duration, bytes: usize) {
    let each = time.as_secs_f64() * 1e6 / FILES as f64;
    println!(
        "{what}: {:.2} s for {FILES} descriptions ({} KiB), {each:.0} µs each",
        time.as_secs_f64(),
        bytes >> 10
    );
}
