//! The switches with a fault in docs/rehearse.md: each must be found in a rehearsal with the documented cause. Entry:
//! [`documented`].

use std::fs;
use std::process::Command;
use std::thread;

use serde_json::Value;

/// A description with a switch, and what must be found.
pub struct Documented {
    /// The description.
    pub description: String,
    /// The switch.
    pub switch: String,
    /// The code of the cause; empty if everything works.
    pub cause: String,
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
            if block.starts_with("network:") {
                description = block;
            } else {
                switch = block;
                all.push(Documented {
                    description: description.clone(),
                    switch: switch.clone(),
                    cause: String::new(),
                });
            }
            continue;
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", _, lines, cause, ""] = &cells[..] else { continue };
        let quoted =
            |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        if let ([cause], false) = (&quoted(cause)[..], switch.is_empty()) {
            let switch = with(&switch, &quoted(lines));
            all.push(Documented { description: description.clone(), switch, cause: cause.clone() });
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

/// Rehearses them side by side; returns what is wrong. `command` is a `netapply rehearse` without arguments.
pub fn rehearse(all: Vec<Documented>, command: impl Fn() -> Command) -> String {
    let run = |(number, fault): (usize, Documented)| {
        let folder = std::env::temp_dir().join(format!("rehearsed-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("net.yaml"), &fault.description).unwrap();
        fs::write(folder.join("switch.yaml"), &fault.switch).unwrap();
        let mut command = command();
        command.args(["--switch", "switch.yaml", "--wait=40", "--json", "net.yaml"]).current_dir(&folder);
        thread::spawn(move || {
            let output = command.output().unwrap();
            fs::remove_dir_all(&folder).unwrap();
            judge(&fault, &output)
        })
    };
    let running: Vec<_> = all.into_iter().enumerate().map(run).collect();
    running.into_iter().map(|thread| thread.join().unwrap()).collect()
}

fn judge(fault: &Documented, output: &std::process::Output) -> String {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let codes: Vec<&str> = report["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|cause| cause["severity"] == "error")
        .filter_map(|cause| cause["code"].as_str())
        .collect();
    let healthy = fault.cause.is_empty() && output.status.success() && codes.is_empty();
    if healthy || codes.first() == Some(&fault.cause.as_str()) {
        return String::new();
    }
    format!(
        "=== {} is to be found, {codes:?} is\n{}{}{report:#}\n",
        fault.cause,
        fault.switch,
        String::from_utf8_lossy(&output.stderr)
    )
}
