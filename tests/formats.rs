//! What `check` prints for programs, against the formats' own rules: SARIF by tests/formats/sarif.json, JUnit by the elements and
//! attributes of the schema that Jenkins' xunit plugin has, JSON lines by docs/schema. And `--baseline`.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn check(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netapply"));
    command.arg("check").args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn validate(schema: &str, value: &Value, what: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(schema);
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.enable_format_assertions();
    let index = compiler.compile(path.to_str().unwrap(), &mut schemas).unwrap();
    if let Err(wrong) = schemas.validate(value, index) {
        panic!("{what}: {wrong:#}\n{value:#}");
    }
}

/// Three nodes: one is right, one is wrong, one collides with the first; with names that no format may interpret.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let node = |mac: &str, more: &str| {
        format!(
            r#"{{"links": [{{"id": "a<&\"]]>\u0001\u0085", "type": "phy", "ethernet_mac_address": "{mac}"{more}}}], "networks": []}}"#
        )
    };
    std::fs::create_dir(folder.path().join("rack 1%")).unwrap();
    std::fs::write(folder.path().join("rack 1%/a&<\".json"), node("52:54:00:00:00:01", "")).unwrap();
    std::fs::write(folder.path().join("b.json"), node("52:54:00:00:00:02", ", \"mtu\": 1, \"x<\": 2"))
        .unwrap();
    std::fs::write(
        folder.path().join("c.json"),
        format!("{{\"n<1\": {}}}", node("52:54:00:00:00:01", ", \"y\": 1")),
    )
    .unwrap();
    folder
}

#[test]
fn sarif_matches_its_schema() {
    let folder = folder();
    let output = check(folder.path(), &["--fleet", "--format", "sarif", "."]);
    assert_eq!(output.status.code(), Some(3));
    let log: Value = serde_json::from_str(&text(&output)).unwrap();
    validate("tests/formats/sarif.json", &log, "sarif");
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert!(results.len() >= 3, "{log:#}");
    for result in results {
        let index = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    }
    let twice = results.iter().find(|result| result["ruleId"] == "fleet-mac").unwrap();
    let uri = |location: &Value| location["physicalLocation"]["artifactLocation"]["uri"].clone();
    let both = [uri(&twice["locations"][0]), uri(&twice["relatedLocations"][0])];
    assert!(both.contains(&Value::from("rack%201%25/a%26%3C%22.json")), "{both:?}");
    assert!(results.iter().any(|r| r["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "n<1"));
}

/// An element of XML with its attributes' names and children.
#[derive(Debug)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
}

/// Parses well-formed XML without namespaces, comments and custom entities; panics on anything else.
fn element(text: &mut &str) -> Element {
    let rest = text.trim_start().strip_prefix('<').unwrap_or_else(|| panic!("no element at {text:.60}"));
    let (tag, mut rest) = rest.split_once('>').unwrap();
    let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
    let (name, mut left) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut attributes = Vec::new();
    while !left.is_empty() {
        let (key, value) = left.split_once("=\"").unwrap();
        let (value, after) = value.split_once('"').unwrap();
        characters(value);
        attributes.push((key.to_owned(), value.to_owned()));
        left = after.trim_start();
    }
    let mut children = Vec::new();
    if is_empty {
        *text = rest;
        return Element { name: name.to_owned(), attributes, children };
    }
    loop {
        let (before, _) = rest.split_once('<').unwrap();
        characters(before);
        rest = &rest[before.len()..];
        if let Some(end) = rest.strip_prefix("</") {
            let (closed, after) = end.split_once('>').unwrap();
            assert_eq!(closed, name);
            rest = after;
            break;
        }
        children.push(element(&mut rest));
    }
    *text = rest;
    Element { name: name.to_owned(), attributes, children }
}

/// Valid XML 1.0 characters, with its five entities only.
fn characters(text: &str) {
    assert!(!text.contains('<') && !text.contains("]]>"), "{text}");
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;"];
        assert!(known.iter().any(|entity| text[at..].starts_with(entity)), "{text}");
    }
    let bad = |c: char| (c < ' ' && !"\n\t\r".contains(c)) || "\u{fffe}\u{ffff}".contains(c);
    assert!(!text.contains(bad), "{text:?}");
}

/// An element, its required attributes, its others, and its children.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// Each element with its required attributes, its others, and its children (junit-10.xsd of Jenkins' xunit plugin).
const JUNIT: [Rule; 5] = [
    ("testsuites", &[], &["name", "time", "tests", "failures", "disabled", "errors"], &["testsuite"]),
    (
        "testsuite",
        &["name", "tests"],
        &["failures", "errors", "time", "skipped", "disabled", "timestamp", "hostname", "id", "package"],
        &["testcase", "system-out"],
    ),
    ("testcase", &["name"], &["classname", "time", "assertions", "status"], &["failure"]),
    ("failure", &[], &["type", "message"], &[]),
    ("system-out", &[], &[], &[]),
];

fn obeys(element: &Element) {
    let (_, required, others, children) =
        JUNIT.iter().find(|(name, ..)| *name == element.name).unwrap_or_else(|| panic!("{element:?}"));
    let has = |name: &str| element.attributes.iter().any(|(key, _)| key == name);
    assert!(required.iter().all(|name| has(name)), "{element:?}");
    assert!(element.attributes.iter().all(|(key, _)| required.contains(&&**key) || others.contains(&&**key)));
    for child in &element.children {
        assert!(children.contains(&&*child.name), "{} in {}", child.name, element.name);
        obeys(child);
    }
}

#[test]
fn junit_matches_its_schema() {
    let folder = folder();
    let output = check(folder.path(), &["--fleet", "--format", "junit", "."]);
    assert_eq!(output.status.code(), Some(3));
    let text = text(&output);
    let mut rest = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    let root = element(&mut rest);
    assert_eq!((root.name.as_str(), rest.trim()), ("testsuites", ""));
    obeys(&root);
    let number = |element: &Element, name: &str| -> usize {
        element.attributes.iter().find(|(key, _)| key == name).unwrap().1.parse().unwrap()
    };
    let (mut tests, mut failures) = (0, 0);
    for suite in &root.children {
        let cases: Vec<&Element> = suite.children.iter().filter(|child| child.name == "testcase").collect();
        let failed = cases.iter().filter(|case| !case.children.is_empty()).count();
        assert_eq!((number(suite, "tests"), number(suite, "failures")), (cases.len(), failed));
        (tests, failures) = (tests + cases.len(), failures + failed);
    }
    assert_eq!((number(&root, "tests"), number(&root, "failures")), (tests, failures));
    assert!(failures >= 2 && root.children.len() == 4, "{text}");
}

#[test]
fn json_lines_and_json_match_their_schemas() {
    let folder = folder();
    let output = check(folder.path(), &["--fleet", "--format", "json-lines", "."]);
    let text_of_lines = text(&output);
    let lines: Vec<Value> = text_of_lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        validate("docs/schema/check-line.v1.json", line, "a line");
    }
    let summary = &lines.last().unwrap()["summary"];
    assert_eq!(summary["descriptions"], 3);
    let errors = lines.iter().filter(|line| line["severity"] == "error").count();
    assert_eq!(summary["errors"], errors);
    let json: Value =
        serde_json::from_str(&text(&check(folder.path(), &["--fleet", "--json", "."]))).unwrap();
    validate("docs/schema/check.v1.json", &json, "json");
    assert_eq!(json["fleet"]["nodes"], 3);
    assert_eq!(json["files"][1]["node"], "n<1");
}

/// Commands of a workflow on GitHub: values without line ends, those of properties without colons and commas, and each `%`
/// begins an escape.
#[test]
fn annotations_are_commands_of_a_workflow() {
    let folder = folder();
    let output = check(folder.path(), &["--fleet", "--format", "github", "."]);
    assert_eq!(output.status.code(), Some(3));
    let text = text(&output);
    let is_escaped = |value: &str| {
        value
            .split('%')
            .skip(1)
            .all(|after| ["25", "0D", "0A", "3A", "2C"].iter().any(|code| after.starts_with(code)))
    };
    let mut files = Vec::new();
    for line in text.lines() {
        let (command, message) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
        let (level, properties) = command.split_once(' ').unwrap();
        assert!(["error", "warning", "notice"].contains(&level), "{line}");
        let properties: Vec<(&str, &str)> =
            properties.split(',').map(|property| property.split_once('=').unwrap()).collect();
        let keys: Vec<&str> = properties.iter().map(|(key, _)| *key).collect();
        assert!(keys == ["file", "line", "col", "title"] || keys == ["file", "title"], "{line}");
        assert!(is_escaped(message) && properties.iter().all(|(_, value)| is_escaped(value)), "{line}");
        assert!(!message.is_empty() && !properties.iter().any(|(_, value)| value.contains(':')), "{line}");
        files.push(properties[0].1);
    }
    // As the repository has them.
    for file in ["rack 1%25/a&<\".json", "b.json", "c.json"] {
        assert!(files.contains(&file), "{file}\n{text}");
    }
}

/// A gate: earlier diagnostics are accepted, wherever they are in the file by now; new ones are errors.
#[test]
fn a_baseline_accepts_only_earlier_diagnostics() {
    let folder = folder();
    let path = folder.path();
    std::fs::write(path.join("../baseline.json"), check(path, &["--fleet", "--json", "."]).stdout).unwrap();
    let arguments = ["--fleet", "--baseline", "../baseline.json", "."];
    let output = check(path, &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains(" known from the baseline"), "{}", text(&output));
    // Three lines further down, it is the same.
    let b = std::fs::read_to_string(path.join("b.json")).unwrap();
    std::fs::write(path.join("b.json"), format!("\n\n\n{b}")).unwrap();
    assert_eq!(check(path, &arguments).status.code(), Some(0));
    // A second one of its kind is new.
    std::fs::write(path.join("b.json"), b.replace("\"networks\": []", "\"networks\": [], \"mtu\": {}"))
        .unwrap();
    std::fs::write(path.join("d.json"), "{\"links\": [}").unwrap();
    let output = check(path, &arguments);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("1 error,"), "{}", text(&output));
    // The run's own JSON is a baseline again.
    let json = check(path, &["--fleet", "--json", "--baseline", "../baseline.json", "."]).stdout;
    let value: Value = serde_json::from_slice(&json).unwrap();
    validate("docs/schema/check.v1.json", &value, "with a baseline");
    std::fs::write(path.join("../baseline.json"), json).unwrap();
    assert_eq!(check(path, &arguments).status.code(), Some(0));
    let wrong = check(path, &["--baseline", "b.json", "."]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn the_table_is_csv_and_diagnostics_go_to_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let text_of_node = "network:\n  version: 2\n  ethernets:\n    a: {match: {macaddress: '52:54:00:00:00:01'}, mtu: 9000}\n    \
                b: {match: {macaddress: '52:54:00:00:00:02'}}\n  bonds: {bond0: {interfaces: [a, b]}}\n  \
                vlans: {v: {id: 7, link: bond0, addresses: [10.0.0.1/24, 'fd00::1/64']}}\n";
    std::fs::write(folder.path().join("n,1.yaml"), text_of_node).unwrap();
    let output = check(folder.path(), &["--table", "."]);
    let expected = "node,link,kind,mac,address,vlan,mtu,bond\n\
                    \"./n,1.yaml\",a,nic,52:54:00:00:00:01,,,9000,bond0\n\
                    \"./n,1.yaml\",b,nic,52:54:00:00:00:02,,,9000,bond0\n\
                    \"./n,1.yaml\",bond0,bond,,,,9000,\n\
                    \"./n,1.yaml\",v,vlan,,10.0.0.1/24,7,9000,bond0\n\
                    \"./n,1.yaml\",v,vlan,,fd00::1/64,7,9000,bond0\n";
    assert_eq!(text(&output), expected);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("1 description: 0 errors"), "{told}");
}

/// Whatever the number of descriptions and faults, the last screen says what is wrong.
#[test]
fn the_summary_of_ten_thousand_nodes_is_one_screen() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..10_000)
        .map(|n| format!("{{\"name\": \"n{n}\", \"network_data\": {{\"links\": [{{\"id\": \"a\", \"type\": \"phy\", \"mtu\": 1, \"k{}\": 1}}]}}}}\n", n % 40))
        .collect();
    std::fs::write(folder.path().join("nodes.jsonl"), lines).unwrap();
    let output = check(folder.path(), &["nodes.jsonl"]);
    let text = text(&output);
    let summary: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("  10000 error")).collect();
    assert!(!summary.is_empty() && summary.len() < 24, "{summary:#?}");
    assert!(summary.iter().all(|line| line.chars().count() <= 100), "{summary:#?}");
    assert!(summary.last().unwrap().starts_with("10000 descriptions: 10000 errors, "), "{summary:#?}");
    // In a pipe there is no progress display.
    assert!(output.stderr.is_empty());
}

/// A terminal for standard error, and what was written to it.
fn on_a_terminal(command: &mut Command) -> String {
    use std::io::Read as _;
    use std::os::fd::{FromRawFd as _, OwnedFd};
    let (mut ours, mut theirs) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: two numbers are written; no name, settings or size are requested.
    let opened = unsafe { libc::openpty(&mut ours, &mut theirs, none, none.cast(), none.cast()) };
    assert_eq!(opened, 0);
    // SAFETY: both were opened just now and belong to nobody else.
    let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    let mut child = command.stderr(theirs).stdout(Stdio::null()).spawn().unwrap();
    // The command has a copy of the other side, without which this one ends.
    command.stderr(Stdio::null());
    let mut written = Vec::new();
    // On Linux, reading a terminal whose other side is closed fails with EIO.
    let _ = std::fs::File::from(ours).read_to_end(&mut written);
    child.wait().unwrap();
    String::from_utf8(written).unwrap()
}

/// On a terminal, work that takes longer than a second shows its progress, and leaves nothing behind.
#[test]
fn long_work_shows_its_progress_on_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, nodes: usize| {
        let lines: String = (0..nodes)
            .map(|n| {
                format!(
                    "{{\"name\": \"n{n}\", \"network_data\": {{\"links\": [{}]}}}}\n",
                    "{\"id\": \"a\", \"type\": \"phy\"},".repeat(30).trim_end_matches(',')
                )
            })
            .collect();
        std::fs::write(folder.path().join(name), lines).unwrap();
    };
    write("short.jsonl", 1);
    let run = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netapply"));
        on_a_terminal(command.args(["check", "--json", name]).current_dir(folder.path()))
    };
    assert_eq!(run("short.jsonl"), "");
    // Enough to take longer than a second on any machine.
    let mut nodes = 4_000;
    let shown = loop {
        write("long.jsonl", nodes);
        let shown = run("long.jsonl");
        if !shown.is_empty() || nodes > 20_000 {
            break shown;
        }
        nodes *= 3;
    };
    assert!(shown.starts_with("\r\u{1b}[Knetapply: ") && shown.contains(" checked"), "{shown:?}");
    assert!(shown.ends_with("\r\u{1b}[K"), "{shown:?}");
}
