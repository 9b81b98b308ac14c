//! Machines with the NICs of a case of testdata/, each in a namespace of its own, and the result of applying a
//! description.
//!
//! The NICs are veths with the names and MAC addresses of the case's inventory, whose other ends are elsewhere and up.
//! [`World`] is where such a machine lives, [`make`] creates it, [`Description`] is applied to it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cases::source;
use crate::disturb::said;
use crate::namespace::{Other, in_namespace, ip_batch, neighbour_namespace, private_folder};
use crate::whole::{difference, run_with, state};

/// How long two machines may take to reach the same state, which the kernel's own work on carrier and addresses delays.
const SETTLED: Duration = Duration::from_secs(30);

/// A thread in a network namespace of its own that runs what it is given.
pub struct World {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Default for World {
    fn default() -> Self {
        let (jobs, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        // The name is that of the test, which runs itself again if it is not root.
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let thread = std::thread::Builder::new().name(name);
        let body = move || {
            in_namespace(async move || {
                // The report and the saved description are written here, and no udev is asked.
                private_folder("/run");
                queue.into_iter().for_each(|job| job());
            });
        };
        thread.spawn(body).expect("a thread");
        Self { jobs }
    }
}

impl World {
    /// Starts something there.
    pub fn start<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<T> {
        let (sender, receiver) = mpsc::channel();
        let job = move || drop(sender.send(job()));
        self.jobs.send(Box::new(job)).expect("the machine lives");
        receiver
    }

    /// Runs something there.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.start(job).recv().expect("the machine lives")
    }
}

/// Queries both for their whole state, as often as needed. `features` as for [`state`].
pub fn until_same(one: &World, other: &World, features: bool) -> Result<(), String> {
    until(|| {
        let (left, right) = (one.start(move || state(features)), other.start(move || state(features)));
        let (left, right) = (left.recv().expect("a state"), right.recv().expect("a state"));
        if left == right { Ok(()) } else { Err(difference(&left, &right)) }
    })
}

/// Polls until it is right; returns the last wrong result if that does not happen.
pub fn until(mut look: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        match look() {
            Err(_) if begin.elapsed() < SETTLED => std::thread::sleep(Duration::from_millis(100)),
            result => return result,
        }
    }
}

/// A NIC of a case's inventory.
#[derive(Clone, Debug)]
pub struct Nic {
    name: String,
    mac: String,
    mtu: u64,
    altnames: Vec<String>,
    up: bool,
}

/// The NICs of a case. The error names a link that none can stand in for.
pub fn nics(case: &Path) -> Result<Vec<Nic>, String> {
    let text = fs::read_to_string(case.join("inventory.json")).map_err(|e| e.to_string())?;
    let inventory: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let links = inventory["links"].as_array().map(Vec::as_slice).unwrap_or_default();
    links.iter().filter(|link| link["layer"] != "loopback").map(nic).collect()
}

fn nic(link: &Value) -> Result<Nic, String> {
    let name = link["name"].as_str().ok_or("a link without a name")?.to_owned();
    let is_hardware = link["kind"].as_str().is_none_or(str::is_empty);
    if link["layer"] != "ether" || !link["controller"].is_null() || !is_hardware {
        return Err(format!("no link can stand in for {name}"));
    }
    let altnames = link["altnames"].as_array().into_iter().flatten();
    Ok(Nic {
        mac: link["mac"].as_str().ok_or(format!("{name} has no MAC address"))?.to_owned(),
        mtu: link["mtu"].as_u64().unwrap_or(1500),
        altnames: altnames.filter_map(Value::as_str).map(str::to_owned).collect(),
        up: link["up"] == true,
        name,
    })
}

/// The NICs of two cases in one machine: those of `other` get another name if `one` uses theirs, and are left out if it
/// uses their address.
pub fn together(one: &[Nic], other: &[Nic]) -> Vec<Nic> {
    let mut all = one.to_vec();
    for (number, nic) in other.iter().enumerate() {
        let named = |name: &String| one.iter().any(|n| n.name == *name || n.altnames.contains(name));
        if one.iter().any(|n| n.mac.eq_ignore_ascii_case(&nic.mac)) {
            continue;
        }
        let name = if named(&nic.name) { format!("more{number}") } else { nic.name.clone() };
        let altnames = nic.altnames.iter().filter(|altname| !named(altname)).cloned().collect();
        all.push(Nic { name, altnames, ..nic.clone() });
    }
    all
}

/// Creates these NICs in this namespace.
pub fn make(nics: &[Nic]) -> Result<(), String> {
    static ELSEWHERE: OnceLock<Other> = OnceLock::new();
    static PEERS: AtomicU32 = AtomicU32::new(0);
    let elsewhere = ELSEWHERE.get_or_init(neighbour_namespace).pid();
    for (key, value) in [
        // Duplicate detection as usual, but without probes and without the random delay before them.
        ("net/ipv6/conf/default/dad_transmits", "0"),
        ("net/ipv6/conf/default/router_solicitation_delay", "0"),
        // WireGuard chooses a random port if none is described.
        ("net/ipv4/ip_local_port_range", "61000 61000"),
    ] {
        fs::write(format!("/proc/sys/{key}"), value).map_err(|e| format!("{key}: {e}"))?;
    }
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for Nic { name, mac, mtu, altnames, up } in nics {
        let peer = format!("p{}", PEERS.fetch_add(1, Ordering::Relaxed));
        here.push(format!(
            "link add {name} address {mac} mtu {mtu} type veth peer name {peer} netns {elsewhere}"
        ));
        here.extend(altnames.iter().map(|altname| format!("link property add dev {name} altname {altname}")));
        here.extend(up.then(|| format!("link set {name} up")));
        there.push(format!("link set {peer} up"));
    }
    ip_batch(&here.iter().map(String::as_str).collect::<Vec<_>>())?;
    // By its path: busybox would run its own small ip.
    let enter = format!("--net=/proc/{elsewhere}/ns/net");
    run_with("nsenter", &[&enter, "/usr/bin/ip", "-batch", "-"], &there.join("\n"));
    Ok(())
}

/// The inventory used if the machine lacks NICs of the description.
const RECORDED: &str = "/run/inventory.json";

/// Links, and the family (`-4`, `-6`) that a client of the image has on each.
pub type LeftToOthers = BTreeSet<(String, &'static str)>;

/// The description of a case, and the netapply that applies it.
#[derive(Clone, Debug)]
pub struct Description {
    /// The folder of the case.
    pub case: PathBuf,
    /// The program.
    pub program: PathBuf,
}

impl Description {
    /// Applies it; returns the number of steps done.
    pub fn apply(&self) -> Result<u64, String> {
        // No server answers here: a lease would only be waited for.
        let output =
            self.netapply(&["apply", "--no-verify", "--json", "--handoff", "none", "--dhcp", "image"])?;
        let report: Value = serde_json::from_slice(&output.stdout).map_err(|_| said(&output))?;
        let applied = &report["applied"];
        let failed = applied["failed"].as_array().map(Vec::as_slice).unwrap_or_default();
        let refused = failed.iter().filter(|step| !needs_hardware(step["step"].as_str().unwrap_or_default()));
        if refused.count() > 0 || !matches!(output.status.code(), Some(0 | 1 | 5)) {
            return Err(format!("netapply apply: {} {applied:#}", output.status));
        }
        let planned = applied["planned"].as_u64().ok_or_else(|| said(&output))?;
        Ok(planned - failed.len() as u64)
    }

    /// The steps of a second run; empty if there are none.
    pub fn left_to_do(&self) -> Result<String, String> {
        let script = self.plan(&["--format", "sh"])?;
        let lines = script.lines().filter(|line| !line.starts_with('#') && !needs_hardware(line));
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        // An inventory lacks what is read only for described links.
        let recorded = Path::new(RECORDED).exists();
        Ok(if recorded && self.apply()? == 0 { String::new() } else { lines })
    }

    /// The kernel names of its links once it is applied, and of those whose IPv4 or IPv6 addresses it leaves to a
    /// client of the image.
    pub fn links(&self) -> Result<(BTreeSet<String>, LeftToOthers), String> {
        let plan: Value = serde_json::from_str(&self.plan(&["--json"])?).map_err(|e| e.to_string())?;
        let each = |key: &str| plan[key].as_array().cloned().unwrap_or_default();
        let name = |link: &Value| link["name"].as_str().unwrap_or_default().to_owned();
        let mut left = BTreeSet::new();
        for link in each("left_to_others") {
            for (word, family) in [("dhcp4", "-4"), ("dhcp6", "-6")] {
                let has = link["dynamic"].as_array().is_some_and(|words| words.iter().any(|w| w == word));
                left.extend(has.then(|| (name(&link), family)));
            }
        }
        Ok((each("links").iter().map(name).collect(), left))
    }

    /// The equivalent script, or the plan in another form.
    fn plan(&self, form: &[&str]) -> Result<String, String> {
        let arguments = [&["--dry-run", "--dhcp", "image"], form].concat();
        let mut output = self.netapply(&arguments)?;
        // A missing NIC is planned for with a stand-in, unless the machine is recorded.
        if String::from_utf8_lossy(&output.stderr).contains("[nic-stand-in]")
            || String::from_utf8_lossy(&output.stdout).contains("\"nic-stand-in\"")
        {
            let recorded =
                Command::new(&self.program).arg("inventory").output().map_err(|e| e.to_string())?;
            fs::write(RECORDED, &recorded.stdout).map_err(|e| e.to_string())?;
            output = self.netapply(&[&arguments[..], &["--inventory", RECORDED]].concat())?;
        }
        String::from_utf8(output.stdout).map_err(|e| e.to_string())
    }

    /// Runs the equivalent script.
    pub fn script(&self) -> Result<String, String> {
        let script = self.plan(&["--format", "sh"])?;
        let lines: Vec<&str> = script.lines().filter(|line| !needs_hardware(line)).collect();
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
        let mut command = Command::new(&self.program);
        command.args(arguments).arg(source(&self.case)).current_dir(&self.case);
        command.output().map_err(|e| e.to_string())
    }
}

/// A step that no stand-in can do: a veth cannot wake a machine, and has no rings. The lines for ethtool(8) are run in
/// wake.rs.
fn needs_hardware(line: &str) -> bool {
    ["-s", "-G", "-C", "-A"].iter().any(|flag| line.starts_with(&format!("ethtool {flag} ")))
}
