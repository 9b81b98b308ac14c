//! Ten thousand descriptions of the size of a real one: how long `netapply check` takes for them, whole and without the
//! files. `cargo bench --bench check` prints the seconds; nothing is judged by them.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILES: usize = 10_000;

/// Two NICs in an LACP bond with a /31 and a route, as a pipeline for Metal3 writes it; no two alike.
fn description(number: usize) -> String {
    let (high, low) = (number / 250, number % 250 + 2);
    let mut text = String::new();
    let _ = write!(
        text,
        r#"{{"links": [
  {{"id": "private-int1", "type": "phy", "ethernet_mac_address": "7c:c2:55:{high:02x}:{low:02x}:44", "mtu": 9000}},
  {{"id": "private-int2", "type": "phy", "ethernet_mac_address": "7c:c2:55:{high:02x}:{low:02x}:45", "mtu": 9000}},
  {{"id": "aggi", "type": "bond", "bond_links": ["private-int1", "private-int2"], "bond_mode": "802.3ad", "mtu": 9000}}],
 "networks": [
  {{"id": "private_network", "link": "aggi", "type": "ipv4", "ip_address": "10.{high}.{low}.249", "netmask": "255.255.255.254",
   "routes": [{{"network": "10.0.0.0", "netmask": "255.0.0.0", "gateway": "10.{high}.{low}.248"}}]}}]}}
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

    let folder = tempfile::tempdir().expect("a folder for the files");
    let name = |number: usize| format!("{number}.json");
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(folder.path().join(name(number)), text).expect("a file");
    }
    let start = Instant::now();
    check(folder.path(), (0..FILES).map(name));
    report("netapply check", start.elapsed(), bytes);
}

fn check(folder: &Path, names: impl Iterator<Item = String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netapply"));
    let status = command.arg("check").args(names).current_dir(folder).stdout(Stdio::null()).status();
    assert!(status.expect("netapply runs").success());
}

fn report(what: &str, time: Duration, bytes: usize) {
    let each = time.as_secs_f64() * 1e6 / FILES as f64;
    println!(
        "{what}: {:.2} s for {FILES} descriptions ({} KiB), {each:.0} µs each",
        time.as_secs_f64(),
        bytes >> 10
    );
}
