//! Each way to create a network, from the same state, and its cost. Entry: [`once`].

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netapply::format;
use netapply::inventory::Inventory;
use netapply::kernel::apply::{self, AfterFailure};
use netapply::kernel::effects::Real;
use netapply::kernel::names::Names;
use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::machine::{Machine, clock};
use netapply::plan::{self, Plan, script};
use netapply::resolve::{Missing, resolve};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::cases::Case;

/// Where the log of a run is, in a file system of its own.
const LOG: &str = "/run/netapply/netapply.log";

/// What netapply logs when the kernel has answered the last message of a plan.
const STATE: &str = "the kernel has answered";

/// What is measured, interleaved: each round begins with another.
pub(crate) const WAYS: &[(&str, Way)] = &[
    ("ip", ip_batch),
    ("netapply", netapply),
    ("alone", alone),
    ("floor", floor),
    ("parse", parse),
    ("memory", memory),
    ("start", start),
];

/// A way to create a network, or a part of it.
pub(crate) type Way = fn(&Setting<'_>, &mut dyn FnMut(&str, f64));

/// A machine before the network is created.
pub(crate) struct Setting<'a> {
    case: &'a Case,
    program: &'a str,
    plan: Plan,
    inventory: Inventory,
}

/// Creates the case's network in one way and removes it again. `tell` is called with a name and milliseconds, or MiB.
pub(crate) fn once(case: &Case, way: Way, tell: &mut dyn FnMut(&str, f64)) {
    let path = folder().join(case.file);
    fs::create_dir_all(folder()).expect("a folder");
    fs::write(&path, (case.text)()).expect("the description is written");
    let setting = Setting::new(case, program());
    way(&setting, tell);
    setting.undo();
}

fn folder() -> std::path::PathBuf {
    std::env::temp_dir().join("netapply-bench")
}

/// Gives this process a network namespace of its own, with /sys that shows it, and its own /run and /var/log.
pub(crate) fn seclude(with_network: bool) {
    let flags = if with_network { CloneFlags::CLONE_NEWNET } else { CloneFlags::empty() };
    unshare(flags | CloneFlags::CLONE_NEWNS).expect("this needs root");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).expect("mounts become private");
    for folder in ["/run", "/var/log"] {
        let _ = fs::create_dir_all(folder);
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), none).expect("tmpfs mounts");
    }
    if with_network {
        let _ = umount2("/sys", MntFlags::MNT_DETACH);
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none).expect("sysfs mounts");
    }
}

impl<'a> Setting<'a> {
    fn new(case: &'a Case, program: &'a str) -> Self {
        let inventory = wait(async { read::inventory(&mut session()).await.expect("the kernel tells") });
        let parsed = format::parse(vec![(case.file.to_owned(), (case.text)())]);
        let (resolved, said) = resolve(&parsed.desired, &inventory, Missing::Report);
        assert!(parsed.diagnostics.is_empty() && said.is_empty(), "the description is right");
        let plan = plan::plan(&resolved, &inventory);
        let _ = fs::remove_dir_all("/run/netapply");
        Setting { case, program, plan, inventory }
    }

    /// Everything is removed at once: cleaning up a namespace would otherwise disturb the next measurement.
    fn undo(&self) {
        ip(self.case.undo, true);
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(words).arg(folder().join(self.case.file)).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs `netapply apply`; returns the total time.
    fn apply(&self) -> Duration {
        let mut command = self.command(&["apply", "--no-verify", "--handoff", "none"]);
        let begin = Instant::now();
        let status = command.status().expect("netapply runs");
        let took = begin.elapsed();
        assert!(status.success(), "netapply apply ended with {status}: see {LOG}");
        took
    }
}

/// `ip -batch` with the plan's own lines.
fn ip_batch(setting: &Setting<'_>, tell: &mut dyn FnMut(&str, f64)) {
    let line = |step: &plan::Step| {
        let line = script::line(&step.action);
        // The lines of a batch have no `ip`, and no options before the object.
        let line = line.trim_start_matches("ip ").trim_start_matches("-4 ").trim_start_matches("-6 ");
        format!("{line}\n")
    };
    let batch: String = setting.plan.steps.iter().map(line).collect();
    let path = folder().join("batch");
    fs::write(&path, batch).expect("the batch is written");
    let mut command = Command::new("ip");
    command.arg("-batch").arg(path).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status().expect("iproute2 is installed");
    tell("ip", milliseconds(begin.elapsed()));
    assert!(status.success(), "ip -batch ended with {status}");
}

/// The whole process, and from its start to the kernel's last answer; then once more with nothing to do.
fn netapply(setting: &Setting<'_>, tell: &mut dyn FnMut(&str, f64)) {
    let begin = clock::uptime();
    tell("netapply", milliseconds(setting.apply()));
    let state = stamp().expect("netapply logs when the kernel has answered");
    tell("state", milliseconds(state.saturating_sub(begin)));
    let _ = fs::remove_file(LOG);
    tell("second", milliseconds(setting.apply()));
    assert!(stamp().is_none(), "the second run sent changes");
    let dump = Instant::now();
    wait(async { read::inventory(&mut session()).await.expect("the kernel tells") });
    tell("dump", milliseconds(dump.elapsed()));
}

/// When the kernel has answered according to the log, since boot.
fn stamp() -> Option<Duration> {
    let log = fs::read_to_string(LOG).expect("netapply writes its log");
    let line = log.lines().find(|line| line.contains(STATE))?;
    let seconds = line.trim_start_matches('[').split(']').next()?.trim().parse().ok()?;
    Some(Duration::from_secs_f64(seconds))
}

/// Executing the plan, without a process around it.
fn alone(setting: &Setting<'_>, tell: &mut dyn FnMut(&str, f64)) {
    let names = Names::from(&setting.inventory);
    let took = wait(async {
        let mut session = session();
        let begin = Instant::now();
        let never = std::future::pending();
        let outcome = apply::apply(
            &mut session,
            &mut Real::on(&Machine::default()),
            &setting.plan,
            names,
            AfterFailure::GoOn,
            never,
        )
        .await;
        assert!(outcome.failures().next().is_none(), "the kernel takes every step");
        begin.elapsed()
    });
    tell("alone", milliseconds(took));
}

/// The same messages, prepared beforehand and written to one socket, acknowledging the last of each 32 KiB.
fn floor(setting: &Setting<'_>, tell: &mut dyn FnMut(&str, f64)) {
    // Creating and removing a link shows which index the next one gets.
    ip(&["link add probe0 type bridge"], false);
    let next = nix::net::if_::if_nametoindex("probe0").expect("the probe is there") + 1;
    ip(&["link del probe0"], false);
    let datagrams = apply::datagrams(&setting.plan, Names::from(&setting.inventory), next).expect("messages");
    let socket = Socket::new(NETLINK_ROUTE).expect("a socket");
    socket.connect(&SocketAddr::new(0, 0)).expect("the kernel");
    let mut answer = vec![0; 64 << 10];
    let begin = Instant::now();
    for datagram in &datagrams {
        socket.send(datagram, 0).expect("the kernel takes it");
        let length = socket.recv(&mut &mut answer[..], 0).expect("the last message is acknowledged");
        // The header of an NLMSG_ERROR is followed by the error number, 0 for an ack.
        assert!(length >= 20 && answer[16..20] == [0; 4], "the kernel refused a message of the floor");
    }
    tell("floor", milliseconds(begin.elapsed()));
}

/// Reading the description.
fn parse(setting: &Setting<'_>, tell: &mut dyn FnMut(&str, f64)) {
    let text = (setting.case.text)();
    let begin = Instant::now();
    let parsed = format::parse(vec![(setting.case.file.to_owned(), text)]);
    tell("parse", milliseconds(begin.elapsed()));
    drop(parsed);
}

/// Starting the program, which even a second run cannot avoid.
fn start(setting: &Setting<'_>, tell: &mut dyn FnMut(&str, f64)) {
    let mut command = Command::new(setting.program);
    command.arg("--version").stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status().expect("netapply runs");
    tell("start", milliseconds(begin.elapsed()));
    assert!(status.success(), "netapply --version ended with {status}");
}

/// The peak memory of a run in MiB. This program is large, and a child of it would count as large as well before its
/// exec: so busybox starts it.
fn memory(setting: &Setting<'_>, tell: &mut dyn FnMut(&str, f64)) {
    let mut command = Command::new("busybox");
    command.args(["time", "-v", setting.program, "apply", "--no-verify", "--handoff", "none"]);
    let output = command.arg(folder().join(setting.case.file)).output().expect("busybox is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find_map(|line| line.trim().strip_prefix("Maximum resident set size (kbytes): "));
    // busybox takes the kernel's KiB for pages of four.
    let kib = line.and_then(|text| text.parse::<f64>().ok()).expect("busybox prints the peak") / 4.0;
    tell("memory", kib / 1024.0);
}

fn session() -> Session {
    Session::open(NetlinkFamily::Route).expect("a netlink session")
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

fn ip(lines: &[&str], may_fail: bool) {
    for line in lines {
        let output = Command::new("ip").args(line.split(' ')).output().expect("iproute2 is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(may_fail || output.status.success(), "ip {line}: {said}");
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The measured program: this build's, or in a guest the copied one.
fn program() -> &'static str {
    if Path::new("/agent").exists() { "/usr/bin/netapply" } else { env!("CARGO_BIN_EXE_netapply") }
}
