//! Cases of testdata/ in a guest: what applying a description gives, and what the script that it prints gives.
//!
//! Each case has two machines, both in a network namespace, with the NICs of the case's inventory: veths with the same
//! names and MAC addresses, whose other ends are elsewhere and up. One machine is given to `netapply apply`, the other
//! to `sh -e` with what `netapply --dry-run --format sh` prints there. The kernel's state must be the same, and netapply
//! must find nothing left to do on either. Entry: [`scripts_give_the_same`].

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use netapply::inventory::{Inventory, ObservedLink};
use netapply::model::LinkLayer;
use nix::mount::{MsFlags, mount};
use serde_json::Value;

use super::whole::{run_with, state};
use harness::cases::source;
use harness::disturb::said;
use harness::namespace::{Other, in_namespace, ip_batch, neighbour_namespace};

/// How long two machines may take to come to the same state, which the kernel's own work on carrier and addresses delays.
const SETTLED: Duration = Duration::from_secs(30);

/// Runs the case whose folder /tmp/case names.
#[test]
#[ignore = "runs inside a guest"]
fn scripts_give_the_same() {
    let case = fs::read_to_string("/tmp/case").expect("/tmp/case");
    if let Err(what) = run(Path::new(case.trim())) {
        panic!("{what}");
    }
}

fn run(case: &Path) -> Result<(), String> {
    let text = fs::read_to_string(case.join("inventory.json")).map_err(|e| e.to_string())?;
    let inventory: Inventory = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let (applied, scripted) = (World::new(), World::new());
    let (one, other) = (
        Job { case: case.to_owned(), inventory: inventory.clone() },
        Job { case: case.to_owned(), inventory },
    );
    let by_netapply = applied.start(move || one.machine().and_then(|()| one.apply().map(drop)));
    let by_script = scripted.start(move || other.machine().and_then(|()| other.script()));
    by_netapply.recv().expect("the machine lives")?;
    let script = by_script.recv().expect("the machine lives")?;
    until_same(&applied, &scripted, script.contains("ethtool"))
        .map_err(|differs| format!("{differs}--- the script\n{script}"))?;
    for (world, whose) in [(&applied, "netapply apply"), (&scripted, "the script")] {
        let case = case.to_owned();
        let again = world.start(move || Job { case, inventory: Inventory::default() }.left_to_do());
        let left = again.recv().expect("the machine lives")?;
        if !left.is_empty() {
            return Err(format!("left to do after {whose}:\n{left}--- the script\n{script}"));
        }
    }
    Ok(())
}

/// Asks both, as often as it takes.
fn until_same(one: &World, other: &World, features: bool) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        let (left, right) = (one.start(move || state(features)), other.start(move || state(features)));
        let (left, right) = (left.recv().expect("a state"), right.recv().expect("a state"));
        if left == right {
            return Ok(());
        }
        if begin.elapsed() > SETTLED {
            return Err(difference(&left, &right));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The lines that one has more often than the other, each below the question that it answers.
fn difference(left: &str, right: &str) -> String {
    let only = |a: &str, b: &str, sign: &str| -> String {
        let mut others: HashMap<(&str, &str), usize> = HashMap::new();
        by_question(b).for_each(|line| *others.entry(line).or_default() += 1);
        let more = by_question(a).filter(|line| match others.get_mut(line) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        });
        more.map(|(question, line)| format!("{sign} {question}: {}\n", line.trim())).collect()
    };
    let lines = format!("{}{}", only(left, right, "-"), only(right, left, "+"));
    format!("only after netapply -, only after the script +\n{lines}")
}

fn by_question(state: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut question = "";
    state.lines().map(move |line| {
        question = line.strip_prefix("# ").unwrap_or(question);
        (question, line)
    })
}

/// A thread in a network namespace of its own that does what it is asked.
struct World {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl World {
    fn new() -> Self {
        let (jobs, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        std::thread::spawn(move || {
            in_namespace(async move || {
                // The report and the saved description go here, and no udev is asked.
                mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>)
                    .expect("tmpfs mounts");
                queue.into_iter().for_each(|job| job());
            });
        });
        Self { jobs }
    }

    fn start<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<T> {
        let (sender, receiver) = mpsc::channel();
        let job = move || drop(sender.send(job()));
        self.jobs.send(Box::new(job)).expect("the machine lives");
        receiver
    }
}

/// Where a machine is recorded that lacks NICs of the description.
const RECORDED: &str = "/run/inventory.json";

/// What is done on one of a case's machines.
struct Job {
    case: PathBuf,
    inventory: Inventory,
}

impl Job {
    /// Makes the machine of the inventory.
    fn machine(&self) -> Result<(), String> {
        static ELSEWHERE: OnceLock<Other> = OnceLock::new();
        static PEERS: AtomicU32 = AtomicU32::new(0);
        let elsewhere = ELSEWHERE.get_or_init(neighbour_namespace).pid();
        for (key, value) in [
            // Duplicate detection as ever, but without probes and without the random delay before them.
            ("net/ipv6/conf/default/dad_transmits", "0"),
            ("net/ipv6/conf/default/router_solicitation_delay", "0"),
            // WireGuard takes a port by chance where none is described.
            ("net/ipv4/ip_local_port_range", "61000 61000"),
        ] {
            fs::write(format!("/proc/sys/{key}"), value).map_err(|e| format!("{key}: {e}"))?;
        }
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for link in self.inventory.links.iter().filter(|link| link.layer != LinkLayer::Loopback) {
            let peer = format!("p{}", PEERS.fetch_add(1, Ordering::Relaxed));
            here.extend(stand_in(link, &peer, elsewhere)?);
            there.push(format!("link set {peer} up"));
        }
        ip_batch(&here.iter().map(String::as_str).collect::<Vec<_>>())?;
        // By its path: busybox would run the small ip that it has in itself.
        let enter = format!("--net=/proc/{elsewhere}/ns/net");
        run_with("nsenter", &[&enter, "/usr/bin/ip", "-batch", "-"], &there.join("\n"));
        Ok(())
    }

    /// Applies the description; how many steps there were.
    fn apply(&self) -> Result<u64, String> {
        let output = self.netapply(&["apply", "--no-verify", "--json", "--handoff", "none"])?;
        let report: Value = serde_json::from_slice(&output.stdout).map_err(|_| said(&output))?;
        let applied = &report["applied"];
        let failed = applied["failed"].as_array().map(Vec::as_slice).unwrap_or_default();
        let refused = failed.iter().filter(|step| !wakes(step["step"].as_str().unwrap_or_default()));
        if refused.count() > 0 || !matches!(output.status.code(), Some(0 | 1 | 5)) {
            return Err(format!("netapply apply: {} {applied:#}", output.status));
        }
        let planned = applied["planned"].as_u64().ok_or_else(|| said(&output))?;
        Ok(planned - failed.len() as u64)
    }

    /// What a second run would do; empty where that is nothing.
    fn left_to_do(&self) -> Result<String, String> {
        let script = self.plan()?;
        let lines = script.lines().filter(|line| !line.starts_with('#') && !wakes(line));
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        // A recorded machine lacks what is read for the links of a description only.
        let recorded = Path::new(RECORDED).exists();
        Ok(if recorded && self.apply()? == 0 { String::new() } else { lines })
    }

    /// The script that does what netapply would do.
    fn plan(&self) -> Result<String, String> {
        let arguments = ["--dry-run", "--format", "sh"];
        let mut output = self.netapply(&arguments)?;
        // A NIC that is not there is planned for by a stand-in, unless the machine is recorded.
        if String::from_utf8_lossy(&output.stderr).contains("[nic-stand-in]") {
            let recorded = Command::new("netapply").arg("inventory").output().map_err(|e| e.to_string())?;
            fs::write(RECORDED, &recorded.stdout).map_err(|e| e.to_string())?;
            output = self.netapply(&[&arguments[..], &["--inventory", RECORDED]].concat())?;
        }
        String::from_utf8(output.stdout).map_err(|e| e.to_string())
    }

    /// Runs the script that does the same.
    fn script(&self) -> Result<String, String> {
        let script = self.plan()?;
        let lines: Vec<&str> = script.lines().filter(|line| !wakes(line)).collect();
        fs::write("/run/script", lines.join("\n")).map_err(|e| e.to_string())?;
        let mut shell = Command::new("sh");
        let output = shell.args(["-e", "/run/script"]).current_dir(&self.case).output();
        let output = output.map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(format!("the script: {}\n{script}", said(&output)));
        }
        Ok(script)
    }

    fn netapply(&self, arguments: &[&str]) -> Result<Output, String> {
        let mut command = Command::new("netapply");
        command.args(arguments).arg(source(&self.case)).current_dir(&self.case);
        command.output().map_err(|e| e.to_string())
    }
}

/// A step that no stand-in can do: a veth cannot wake a machine. The line for ethtool(8) is run in wake.rs.
fn wakes(line: &str) -> bool {
    line.starts_with("ethtool -s ")
}

/// Lines for ip(8) that make a NIC like this one.
fn stand_in(link: &ObservedLink, peer: &str, elsewhere: u32) -> Result<Vec<String>, String> {
    let name = &link.name;
    if link.layer != LinkLayer::Ether || link.controller.is_some() || !link.kind.is_hardware() {
        return Err(format!("no link can stand in for {name}"));
    }
    let mac = link.mac.ok_or(format!("{name} has no MAC address"))?;
    let mut lines = vec![format!(
        "link add {name} address {mac} mtu {} type veth peer name {peer} netns {elsewhere}",
        link.mtu
    )];
    lines.extend(
        link.altnames.iter().map(|altname| format!("link property add dev {name} altname {altname}")),
    );
    if link.up {
        lines.push(format!("link set {name} up"));
    }
    Ok(lines)
}
