//! A run that is disturbed at each of its steps in turn, by netapply built with the feature `fault`: if a step is
//! refused under `--strict`, the machine is left unchanged; if the run is killed and repeated, it ends where an
//! undisturbed run ends.
//!
//! The machine is a namespace of its own for each step. Entry points: [`refused_at_every_step`] and
//! [`killed_at_every_step`]; both are given the machine and the description, for the running kernel or a guest's.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::namespace::{in_namespace, ip, ip_batch, ip_json, private_folder};
use crate::state::{QUESTIONS, comparable};

/// A machine and its description.
pub struct Case {
    /// Commands of ip(8) that set up the machine beforehand.
    pub machine: &'static [&'static str],
    /// What ip(8) cannot set up, for sh(1).
    pub shell: &'static str,
    /// Settings of its links, below /proc/sys.
    pub sysctls: &'static [(&'static str, &'static str)],
    /// The description, in any format.
    pub text: &'static str,
}

/// How long the kernel may take with its own asynchronous work. Only failures take as long.
const SETTLED: Duration = Duration::from_secs(60);

/// After how many failed steps the rest is not tried.
const ENOUGH: usize = 2;

/// Settings that a description can change.
const SYSCTLS: &[&str] =
    &["accept_ra", "accept_ra_defrtr", "autoconf", "use_tempaddr", "mtu", "addr_gen_mode", "disable_ipv6"];

/// The program with the feature: this build's, or in a guest the installed one.
pub fn program() -> String {
    let in_guest = "/usr/bin/netapply-fault";
    if Path::new(in_guest).exists() {
        return in_guest.to_owned();
    }
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--locked", "--features", "fault", "--bin", "netapply-fault"]);
    build.current_dir(crate::root());
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo runs").success(), "netapply-fault builds");
    crate::program("netapply-fault").to_str().expect("a path in UTF-8").to_owned()
}

/// Refuses each step in turn; returns at the end of `steps`, true if the plan has more.
pub fn refused_at_every_step(case: &'static Case, program: &str, steps: Range<usize>) -> bool {
    each_step(steps, program, |program, step| {
        let before = case.make();
        let output = run(program, &["--strict"], &format!("refuse:{step}"), case.text);
        if output.status.success() {
            return Step::NoSuch;
        }
        assert_eq!(output.status.code(), Some(5), "step {step}: {}", said(&output));
        Step::from(until_same(&before).map_err(|differs| {
            format!("refused at step {step}, the machine differs:\n{differs}\n{}", said(&output))
        }))
    })
}

/// Kills the program before each step in turn and runs it again.
pub fn killed_at_every_step(case: &'static Case, program: &str, steps: Range<usize>) -> bool {
    let undisturbed = undisturbed(case, program);
    each_step(steps, program, move |program, step| {
        use std::os::unix::process::ExitStatusExt;
        case.make();
        let output = run(program, &[], &format!("die:{step}"), case.text);
        if output.status.success() {
            return Step::NoSuch;
        }
        assert_eq!(output.status.signal(), Some(Signal::SIGKILL as i32), "step {step}: {}", said(&output));
        let again = run(program, &[], "", case.text);
        let same = until_same(&undisturbed).map_err(|differs| {
            format!("killed at step {step} and run again, the machine differs:\n{differs}")
        });
        let status = match again.status.code() {
            Some(0) => Ok(()),
            _ => Err(format!("killed at step {step}, the second run: {}", said(&again))),
        };
        Step::from(same.and(status))
    })
}

/// Loses the kernel's answer to each step in turn.
pub fn lost_at_every_step(case: &'static Case, program: &str, steps: Range<usize>) -> bool {
    let undisturbed = undisturbed(case, program);
    each_step(steps, program, move |program, step| {
        case.make();
        let planned = described(program, &["--dry-run", "--json"], case.text);
        let planned: serde_json::Value = serde_json::from_slice(&planned.stdout).expect("a plan");
        if planned["steps"].as_array().is_none_or(|steps| steps.len() <= step) {
            return Step::NoSuch;
        }
        let output = run(program, &[], &format!("lose:{step}"), case.text);
        let right = match output.status.success() {
            true => until_same(&undisturbed),
            false => Err(said(&output)),
        };
        Step::from(right.map_err(|wrong| format!("the answer to step {step} lost:\n{wrong}")))
    })
}

/// The machine's state when nothing goes wrong.
fn undisturbed(case: &'static Case, program: &str) -> State {
    alone(program.to_owned(), |program| {
        case.make();
        let output = run(&program, &[], "", case.text);
        assert!(output.status.success(), "{}", said(&output));
        settled()
    })
}

/// The outcome of one step.
enum Step {
    /// The plan has no step with this number.
    NoSuch,
    Right,
    Wrong(String),
}

impl From<Result<(), String>> for Step {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Step::Wrong, |()| Step::Right)
    }
}

/// Disturbs each step on a machine of its own, and reports all failures together.
fn each_step(
    steps: Range<usize>,
    program: &str,
    disturb: impl Fn(&str, usize) -> Step + Clone + Send + 'static,
) -> bool {
    let mut wrong = Vec::new();
    let mut more = true;
    for step in steps {
        let disturb = disturb.clone();
        match alone(program.to_owned(), move |program| disturb(&program, step)) {
            Step::NoSuch => {
                more = false;
                break;
            }
            Step::Right => {}
            Step::Wrong(what) => wrong.push(what),
        }
        // Each takes its time, and the first few are enough.
        if wrong.len() == ENOUGH {
            break;
        }
    }
    assert!(wrong.is_empty(), "{} steps:\n{}", wrong.len(), wrong.join("\n"));
    more
}

/// Runs `body` in a namespace of its own and returns what it returns.
pub fn alone<T: Send + 'static>(program: String, body: impl FnOnce(String) -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    in_namespace(async move || {
        // The report and the saved description are written here, and no udev is asked.
        private_folder("/run");
        let _ = sender.send(body(program));
    });
    receiver.recv().expect("the body ran")
}

impl Case {
    /// Sets up the machine in this namespace; returns its state once it is stable.
    pub fn make(&self) -> State {
        // Duplicate detection takes seconds and is not tested here.
        for which in ["all", "default"] {
            fs::write(format!("/proc/sys/net/ipv6/conf/{which}/accept_dad"), "0").expect("a sysctl");
        }
        // A batch cannot set the family per line.
        let (six, four): (Vec<&str>, Vec<&str>) =
            self.machine.iter().partition(|line| line.starts_with("-6"));
        ip_batch(&four).expect("the machine is made");
        six.iter().for_each(|line| ip(line));
        let status = Command::new("sh").args(["-ec", self.shell]).status();
        assert!(status.expect("sh runs").success(), "{}", self.shell);
        for (key, value) in self.sysctls {
            fs::write(format!("/proc/sys/{key}"), value).expect("a sysctl");
        }
        settled()
    }
}

fn run(program: &str, options: &[&str], fault: &str, text: &str) -> Output {
    let mut arguments = vec!["apply", "--no-verify", "--handoff", "none"];
    arguments.extend(options);
    command(program, &arguments, text).env("NETAPPLY_FAULT", fault).output().expect("netapply runs")
}

/// Runs netapply with these arguments on this text.
pub fn described(program: &str, arguments: &[&str], text: &str) -> Output {
    command(program, arguments, text).output().expect("netapply runs")
}

fn command(program: &str, arguments: &[&str], text: &str) -> Command {
    fs::write("/run/description", text).expect("the description");
    let mut command = Command::new(program);
    command.args(arguments).arg("/run/description");
    command
}

pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}: {}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// The output of ip(8) and /proc, by query.
pub type State = BTreeMap<String, String>;

fn state() -> State {
    let answer = |question: &&str| ((*question).to_owned(), comparable(ip_json(question), is_by_chance));
    let mut state: State = QUESTIONS.iter().map(answer).collect();
    // Read before the settings, which the kernel changes when such a link is ready.
    state.insert("dormant links".to_owned(), dormant_links().join(" "));
    for entry in fs::read_dir("/proc/sys/net/ipv6/conf").expect("the kernel has IPv6").flatten() {
        for key in SYSCTLS {
            let path = entry.path().join(key);
            let value = fs::read_to_string(&path).unwrap_or_default();
            state.insert(path.display().to_string(), value);
        }
    }
    state.insert("wg show all dump".to_owned(), wireguard());
    state.insert("bridge vlan show".to_owned(), bridge_vlans());
    state
}

/// The links that wait for a program to say that they are ready.
fn dormant_links() -> Vec<String> {
    let shown = ip_json("link show");
    let links = shown.as_array().into_iter().flatten().filter(|link| link["operstate"] == "DORMANT");
    links.map(|link| link["ifname"].to_string()).collect()
}

/// The VLANs of bridges and their ports; nothing if the kernel's bridges have none.
fn bridge_vlans() -> String {
    let shown = Command::new("bridge").args(["vlan", "show"]).output();
    shown.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Keys and peers as shown by wg(8); nothing if it is missing.
fn wireguard() -> String {
    let shown = Command::new("wg").args(["show", "all", "dump"]).output();
    let shown = shown.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    let without_counters = |line: &str| {
        let words = line.split('\t').enumerate().filter(|(column, _)| !(5..8).contains(column));
        words.map(|(_, word)| word).collect::<Vec<_>>().join("\t")
    };
    let mut lines: Vec<String> = shown.lines().map(without_counters).collect();
    lines.sort();
    lines.join("\n")
}

/// Whether a hardware address was chosen by the kernel: in a [`Case`] all others begin with `02:00:00:00`.
fn is_by_chance(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("\"address\": ") && line.matches(':').count() == 6 && !line.contains("\"02:00:00:00:")
}

/// The state once it is the same twice in a row.
pub fn settled() -> State {
    let begin = Instant::now();
    let mut last = state();
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = state();
        if now == last || begin.elapsed() > SETTLED {
            return now;
        }
        last = now;
    }
}

/// Waits until the machine is in the state `wanted`; returns the difference if that does not happen.
pub fn until_same(wanted: &State) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        let now = state();
        if now == *wanted {
            return Ok(());
        }
        if begin.elapsed() > SETTLED {
            return Err(difference(wanted, &now));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn difference(wanted: &State, now: &State) -> String {
    let nothing = String::new();
    let mut keys: Vec<&String> = wanted.keys().chain(now.keys()).collect();
    keys.sort();
    keys.dedup();
    let mut out = String::new();
    for key in keys {
        let (left, right) = (wanted.get(key).unwrap_or(&nothing), now.get(key).unwrap_or(&nothing));
        if left != right {
            out += &format!("# {key}\n{}", lines_of_difference(left, right));
        }
    }
    out
}

/// The lines that only one side has.
pub fn lines_of_difference(left: &str, right: &str) -> String {
    let only = |a: &str, b: &str, sign: &str| -> String {
        let has = |line: &&str| !b.lines().any(|other| other == *line);
        a.lines().filter(has).map(|line| format!("{sign} {}\n", line.trim())).collect()
    };
    let lines = format!("{}{}", only(left, right, "-"), only(right, left, "+"));
    if !lines.is_empty() {
        return lines;
    }
    // The same lines in another order, for example if two links have each other's: from the first difference.
    let same = left.lines().zip(right.lines()).take_while(|(a, b)| a == b).count();
    let part = |text: &str, sign: &str| -> String {
        let from = same.saturating_sub(12);
        text.lines().skip(from).take(40).map(|line| format!("{sign} {}\n", line.trim())).collect()
    };
    format!("{}{}", part(left, "-"), part(right, "+"))
}
