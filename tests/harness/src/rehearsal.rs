//! A case of testdata/ rehearsed by `netapply rehearse`, and applied to a machine with the same NICs: the kernel must
//! reach the same state. Entry: [`same_as_applied`].

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use serde_json::Value;

use crate::cases::source;
use crate::whole::{Lines, lines};
use crate::world::{Description, World, make, nics, until};

/// A rehearsal that has finished, and waits.
pub struct Rehearsal {
    process: Child,
    /// A process in its namespaces.
    pid: String,
    /// Its output.
    pub report: Value,
}

impl Rehearsal {
    /// Runs `command`, a `netapply rehearse` without arguments, with `arguments` and for JSON.
    pub fn run(mut command: Command, arguments: &[&str]) -> Result<Self, String> {
        // A builtin waits: busybox's cat copies with sendfile(2), and a pipe that nobody reads any more ends that with
        // SIGPIPE before there is anything to copy.
        command.args(arguments).args(["--json", "--", "sh", "-c", "echo PID $$; read -r line"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| error.to_string())?;
        let mut out = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            if out.read_line(&mut line).map_err(|error| error.to_string())? == 0 {
                let output = process.wait_with_output().map_err(|error| error.to_string())?;
                return Err(format!(
                    "{}: {printed}{}",
                    output.status,
                    String::from_utf8_lossy(&output.stderr)
                ));
            }
            if let Some(pid) = line.strip_prefix("PID ") {
                let report = serde_json::from_str(&printed).map_err(|error| format!("{error}: {printed}"))?;
                return Ok(Rehearsal { process, pid: pid.trim().to_owned(), report });
            }
            printed += &line;
        }
    }

    /// Runs something in its network, with a /sys that shows it.
    pub fn inside<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.pid)).expect("the rehearsal waits");
        let enter = move || {
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
            setns(network, CloneFlags::CLONE_NEWNET).expect("the rehearsal's network");
            let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("mounts become private");
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>)
                .expect("sysfs mounts");
            job()
        };
        std::thread::spawn(enter).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        // Its command ends when its input does, and it ends with its command.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Settings that a [`World`] changes to be fast.
const NOT_COMPARED: &[&str] = &["/dad_transmits =", "/router_solicitation_delay ="];

/// The kernel's state, line by line.
fn comparable(lines: Lines) -> BTreeSet<String> {
    let Lines { mut links, on_links, rules } = lines;
    links.retain(|line| !NOT_COMPARED.iter().any(|word| line.contains(word)));
    links.extend(on_links.into_iter().map(|(link, family, what)| format!("{link} {family} {what}")));
    links.extend(rules);
    links
}

/// Rehearses a case and applies it; returns the differences. `command` is a `netapply rehearse` without arguments.
pub fn same_as_applied(case: &Path, program: &Path, mut command: Command) -> Result<(), String> {
    let nics = nics(case)?;
    let description = Description { case: case.to_owned(), program: program.to_owned() };
    let applied = World::default();
    let by_apply = applied.start(move || make(&nics).and_then(|()| description.apply()));
    command.current_dir(case);
    let source = source(case);
    let arguments = ["--inventory", "inventory.json", "--no-verify", "--handoff", "none", &source];
    let rehearsal = Rehearsal::run(command, &arguments);
    let done = by_apply.recv().expect("the machine lives")?;
    let rehearsal = rehearsal?;
    let report = &rehearsal.report["applied"];
    if report["done"] != done {
        return Err(format!("apply has done {done} steps, the rehearsal: {report:#}"));
    }
    until(|| {
        let left = applied.start(lines);
        let right = comparable(rehearsal.inside(lines));
        let left = comparable(left.recv().expect("a state"));
        let only = |one: &BTreeSet<String>, other: &BTreeSet<String>, sign: &str| -> String {
            one.difference(other).map(|line| format!("{sign} {line}\n")).collect()
        };
        let differs = only(&left, &right, "-") + &only(&right, &left, "+");
        if differs.is_empty() { Ok(()) } else { Err(differs) }
    })
    .map_err(|differs| format!("only after apply -, only in the rehearsal +\n{differs}"))
}

/// Whether a case's NICs have permanent addresses that differ from their current ones, or a driver or bus address by
/// which the description matches them: a rehearsal shows those as recorded, which a veth cannot have.
pub fn needs_hardware(case: &Path) -> bool {
    let text = fs::read_to_string(case.join("inventory.json")).unwrap_or_default();
    let inventory: Value = serde_json::from_str(&text).unwrap_or_default();
    let links = inventory["links"].as_array().cloned().unwrap_or_default();
    let other_address =
        |link: &Value| !link["permanent_mac"].is_null() && link["permanent_mac"] != link["mac"];
    let plan = fs::read_to_string(case.join("plan.txt")).unwrap_or_default();
    let by_hardware = |line: &str| {
        [" by pattern ", " by PCI address ", " by position "].iter().any(|words| line.contains(words))
    };
    links.iter().any(other_address) || plan.lines().any(by_hardware)
}
