//! The switches with a fault in docs/rehearse.md: each must be found in a rehearsal with the documented cause. Entry:
//! [`documented`].

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::Value;

/// A description with a switch, and what must be found.
pub struct Documented {
    /// The description.
    pub description: String,
    /// Options of `netapply rehearse`, from the command in the description's first line.
    pub options: Vec<String>,
    /// The switch.
    pub switch: String,
    /// The code of the cause; empty if everything works.
    pub cause: String,
}

impl Documented {
    fn new(description: &str, switch: &str, cause: &str) -> Documented {
        let command = description.lines().next().and_then(|line| line.strip_prefix("# netapply rehearse "));
        let words = command.unwrap_or_default().split_whitespace();
        let options = words.take_while(|word| *word != "--switch").map(str::to_owned).collect();
        let [description, switch, cause] = [description, switch, cause].map(str::to_owned);
        Documented { description, options, switch, cause }
    }

    /// Whether it has links that not every kernel of these tests supports.
    pub fn needs_guest(&self) -> bool {
        ["bonds:", "vlans:"].iter().any(|kind| self.description.contains(kind))
    }
}

/// All of a document: after a description the switch with which it works, then a table of lines that differ.
pub fn documented(document: &str) -> Vec<Documented> {
    let mut all = Vec::new();
    let (mut description, mut switch) = (String::new(), String::new());
    let mut rest = document.lines();
    while let Some(line) = rest.next() {
        if line == "```yaml" {
            let block: Vec<&str> = rest.by_ref().take_while(|line| *line != "```").collect();
            let block = block.join("\n") + "\n";
            if block.contains("network:") || block.starts_with('{') {
                description = block;
            } else {
                switch = block;
                all.push(Documented::new(&description, &switch, ""));
            }
            continue;
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", _, lines, cause, ""] = &cells[..] else { continue };
        let quoted =
            |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        if let ([cause], false) = (&quoted(cause)[..], switch.is_empty()) {
            all.push(Documented::new(&description, &with(&switch, &quoted(lines)), cause));
        }
    }
    all
}

/// A switch with other lines for the same keys.
fn with(switch: &str, lines: &[String]) -> String {
    let key = |line: &str| line.trim().split(':').next().unwrap_or_default().to_owned();
    let mut replaced = 0;
    let mut text = String::new();
    for line in switch.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        match lines.iter().find(|other| key(other) == key(line)) {
            Some(other) => {
                replaced += 1;
                text += &format!("{indent}{other}\n");
            }
            None => text += &format!("{line}\n"),
        }
    }
    assert_eq!(replaced, lines.len(), "{lines:?} in\n{switch}");
    text
}

/// How many are rehearsed side by side: they mostly wait.
const SIDE_BY_SIDE: usize = 12;

/// Rehearses them side by side; returns what is wrong. `command` is a `netapply rehearse` without arguments.
/// `NETAPPLY_CASES=word` leaves those with this cause.
pub fn rehearse(mut all: Vec<Documented>, command: impl Fn() -> Command + Sync) -> String {
    if let Ok(words) = std::env::var("NETAPPLY_CASES") {
        all.retain(|fault| words.split_whitespace().any(|word| fault.cause.contains(word)));
    }
    // Those that take longest first: a port in the spanning tree's forward delay.
    all.sort_by_key(|fault| fault.cause != "stp-delay");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(fault) = all.get(number) else { return failed };
            let wrong = one(number, fault, command());
            if !wrong.is_empty() {
                println!("{wrong}");
                failed.push(number);
            }
        }
    };
    let failed: Vec<usize> = thread::scope(|scope| {
        let running: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    // A busy machine can lose seconds at a time: what failed is tried a second time, alone.
    failed.into_iter().map(|number| one(number, &all[number], command())).collect()
}

fn one(number: usize, fault: &Documented, mut command: Command) -> String {
    let folder = std::env::temp_dir().join(format!("rehearsed-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("net.yaml"), &fault.description).unwrap();
    fs::write(folder.join("switch.yaml"), &fault.switch).unwrap();
    command.args(&fault.options).args(["--switch", "switch.yaml", "--wait=70", "--json", "net.yaml"]);
    let begin = Instant::now();
    let output = command.current_dir(&folder).output().unwrap();
    fs::remove_dir_all(&folder).unwrap();
    println!("{:>3} s  {}", begin.elapsed().as_secs(), fault.cause);
    judge(fault, &output)
}

/// The documented cause is the first one; if it is a warning, the rest works.
fn judge(fault: &Documented, output: &std::process::Output) -> String {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let causes = report["causes"].as_array().cloned().unwrap_or_default();
    let first = causes.first().map_or("", |cause| cause["code"].as_str().unwrap_or_default());
    let is_error = causes.first().is_some_and(|cause| cause["severity"] == "error");
    let is_read = report["verdict"].is_string();
    if is_read && first == fault.cause && output.status.success() != is_error {
        return String::new();
    }
    let codes: Vec<&str> = causes.iter().filter_map(|cause| cause["code"].as_str()).collect();
    format!(
        "=== {} is to be found, {codes:?} is\n{}{}{report:#}\n",
        fault.cause,
        fault.switch,
        String::from_utf8_lossy(&output.stderr)
    )
}
