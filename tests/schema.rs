//! Every `--json` output against its schema in docs/schema, and the files in the documents that have one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn netapply(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netapply")).current_dir(folder).args(arguments).output().unwrap()
}

/// Fails unless the output is JSON that matches the schema.
fn fits(schema: &str, output: &Output, what: &str) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{what}: {e}: {text}"));
    if let Err(wrong) = against(schema, &value) {
        panic!("{what}: {wrong}\n{text}");
    }
    value
}

fn cases() -> Vec<PathBuf> {
    let folders = |of: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(of).unwrap().map(|e| e.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    };
    folders(&root().join("testdata")).iter().flat_map(|format| folders(format)).collect()
}

#[test]
fn plans_and_checks_of_every_golden_case() {
    let mut planned = 0;
    for case in cases() {
        let what = case.display().to_string();
        let names = std::fs::read_dir(&case).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let beside = ["inventory.json", "plan.txt", "diagnostics.txt", "args"];
        let files: Vec<String> = names.filter(|name| !beside.contains(&name.as_str())).collect();
        let source = if let [only] = files.as_slice() { only.as_str() } else { "." };
        fits("check", &netapply(&case, &["check", "--json", source]), &what);
        if case.join("inventory.json").exists() {
            let arguments = ["--dry-run", "--json", "--inventory", "inventory.json", source];
            let plan = fits("plan", &netapply(&case, &arguments), &what);
            planned += usize::from(plan["steps"].as_array().is_some_and(|steps| !steps.is_empty()));
        }
    }
    assert!(planned > 10, "only {planned} cases had steps");
}

#[test]
fn unreadable_descriptions_are_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = netapply(folder.path(), &["--dry-run", "--json", "nowhere.json"]);
    assert_eq!(nowhere.status.code(), Some(3));
    let plan = fits("plan", &nowhere, "a file that is not there");
    assert_eq!(plan["steps"], Value::Array(Vec::new()));
    let check = netapply(folder.path(), &["check", "--json", "nowhere.json"]);
    assert_eq!(fits("check", &check, "a file that is not there")["errors"], 1);
    std::fs::write(folder.path().join("broken.json"), "{\"links\": [").unwrap();
    let check = netapply(folder.path(), &["check", "--json", "."]);
    assert_eq!(fits("check", &check, "a directory")["directories"][0]["reading"], "many");
    let apply = netapply(folder.path(), &["apply", "--json", "broken.json"]);
    assert_eq!(apply.status.code(), Some(3));
    assert_eq!(fits("report", &apply, "a broken file")["verdict"], "nothing");
}

#[test]
fn the_machine_and_the_codes() {
    let folder = root();
    fits("inventory", &netapply(&folder, &["inventory"]), "inventory");
    for case in cases() {
        let path = case.join("inventory.json");
        if let Ok(text) = std::fs::read(&path) {
            let output = Output { status: Default::default(), stdout: text, stderr: Vec::new() };
            fits("inventory", &output, &path.display().to_string());
        }
    }
    fits("code", &netapply(&folder, &["explain", "--json", "nic-missing"]), "explain");
    fits("code", &netapply(&folder, &["explain", "--json"]), "explain without a code");
}

/// The policy in docs/fleet.md is valid for the program and for the schema.
#[test]
fn the_documented_policy_is_valid() {
    let document = std::fs::read_to_string(root().join("docs/fleet.md")).unwrap();
    let (_, rest) = document.split_once("```yaml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let (_, wrong, _) = netapply::fleet::policy::FleetPolicy::read("policy", text);
    assert!(wrong.is_empty(), "{wrong:?}");
    let value = as_json(text);
    assert_eq!(against("fleet-policy", &value), Ok(()));
    assert!(against("fleet-policy", &serde_json::json!({"share": []})).is_err());
}

/// The switches in docs/rehearse.md are valid for the program and for the schema.
#[test]
fn the_documented_switches_are_valid() {
    let document = std::fs::read_to_string(root().join("docs/rehearse.md")).unwrap();
    let all = harness::faults::documented(&document);
    assert!(all.len() > 10, "{} switches", all.len());
    for documented in all {
        let text = documented.switch;
        let (_, wrong, _) = netapply::rehearse::file::SwitchFile::read("switch", &text);
        assert!(wrong.is_empty(), "{wrong:?}\n{text}");
        assert_eq!(against("switch", &as_json(&text)), Ok(()), "{text}");
    }
    assert!(against("switch", &serde_json::json!({"ports": {"a": {"vlan": 1}}})).is_err());
}

/// Compares a value with a schema.
fn against(schema: &str, value: &Value) -> Result<(), String> {
    let mut schemas = boon::Schemas::new();
    let path = root().join(format!("docs/schema/{schema}.v1.json"));
    let index = boon::Compiler::new().compile(path.to_str().unwrap(), &mut schemas).unwrap();
    schemas.validate(value, index).map_err(|wrong| format!("{wrong:#}"))
}

/// YAML as JSON, by the program's own reader.
fn as_json(text: &str) -> Value {
    use netapply::format::tree::{self, Node, Value as Of};
    fn value(node: &Node) -> Value {
        match &node.value {
            Of::Null => Value::Null,
            Of::Scalar(scalar) => match scalar.text.parse::<u64>() {
                Ok(number) if !scalar.quoted => number.into(),
                _ if matches!(&scalar.text[..], "true" | "false") && !scalar.quoted => {
                    (scalar.text == "true").into()
                }
                _ => scalar.text.clone().into(),
            },
            Of::List(items) => items.iter().map(value).collect(),
            Of::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), value(&entry.value))).collect()
            }
        }
    }
    value(&tree::parse(text, 0, &mut Vec::new()).unwrap())
}
