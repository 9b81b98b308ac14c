//! `--baseline`: diagnostics in an earlier run's `--json` are known, and no longer errors. Entry: [`Baseline::read`].

use foldhash::HashMap;
use serde::Deserialize;

use crate::diagnostic::DiagnosticRecord;

/// The maximum size of a baseline, in bytes.
const LIMIT: u64 = 1 << 30;

/// How often each diagnostic occurred. Each match is subtracted, so that an additional one is new.
#[derive(Debug, Default)]
pub(super) struct Baseline(HashMap<String, usize>);

#[derive(Deserialize)]
struct CheckOutput {
    files: Vec<CheckedSource>,
    #[serde(default)]
    fleet: Option<Fleet>,
}

#[derive(Deserialize)]
struct CheckedSource {
    source: String,
    #[serde(default)]
    node: Option<String>,
    diagnostics: Vec<Known>,
}

#[derive(Deserialize)]
struct Fleet {
    diagnostics: Vec<Known>,
}

#[derive(Deserialize)]
struct Known {
    code: String,
    message: String,
    #[serde(default)]
    at: Option<At>,
}

#[derive(Deserialize)]
struct At {
    file: String,
    #[serde(default)]
    path: String,
}

impl Baseline {
    /// Reads the JSON of an earlier run.
    pub(super) fn read(path: &str) -> Result<Baseline, String> {
        let length = std::fs::metadata(path).map_err(|error| format!("--baseline {path}: {error}"))?.len();
        if length > LIMIT {
            return Err(format!("--baseline {path}: larger than {} MiB", LIMIT >> 20));
        }
        let text = std::fs::read_to_string(path).map_err(|error| format!("--baseline {path}: {error}"))?;
        let output: CheckOutput = serde_json::from_str(&text).map_err(|error| {
            format!("--baseline {path}: not the output of netapply check --json: {error}")
        })?;
        let mut known = HashMap::default();
        for CheckedSource { source, node, diagnostics } in &output.files {
            for Known { code, message, at } in diagnostics {
                let path = at.as_ref().map_or("", |at| &at.path);
                *known.entry(key(source, node.as_deref(), code, message, path)).or_default() += 1;
            }
        }
        for Known { code, message, at } in output.fleet.iter().flat_map(|fleet| &fleet.diagnostics) {
            let (file, path) = at.as_ref().map_or(("", ""), |at| (&at.file, &at.path));
            *known.entry(key(file, None, code, message, path)).or_default() += 1;
        }
        Ok(Baseline(known))
    }

    /// Whether this one occurred, and has not been matched yet.
    pub(super) fn takes(&mut self, source: &str, node: Option<&str>, record: &DiagnosticRecord) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let path = record.at.as_ref().map_or("", |at| &at.path);
        match self.0.get_mut(&key(source, node, record.code.text(), &record.message, path)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

/// The parts that stay the same if lines are added above.
pub(super) fn key(source: &str, node: Option<&str>, code: &str, message: &str, path: &str) -> String {
    let mut plain = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((before, after)) = rest.split_once("line ") {
        plain.extend([before, "line "]);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    plain.push_str(rest);
    [source, node.unwrap_or_default(), code, path, &plain].join("\0")
}
