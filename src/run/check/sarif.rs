//! SARIF 2.1.0 (OASIS), for GitHub, GitLab and Azure. Entry: [`log`].

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::baseline;
use super::entry::{CheckedSource, ToldDiagnostic};
use crate::diagnostic::{At, Code, Severity};
use crate::order::Few as _;

/// The complete log of a run.
pub(super) fn log(files: &[CheckedSource]) -> Value {
    let used: BTreeSet<Code> =
        files.iter().flat_map(|file| &file.diagnostics).map(|entry| entry.record.code).few();
    let rules: Vec<Code> = used.into_iter().collect();
    let results: Vec<Value> = files
        .iter()
        .flat_map(|file| file.diagnostics.iter().map(move |entry| (file, entry)))
        .map(|(file, entry)| result(file, entry, &rules))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "netapply",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|code| rule(*code)).collect::<Vec<_>>(),
            }},
            // Columns count characters, as everywhere in netapply.
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: Code) -> Value {
    let explanation = code.explanation();
    // The first sentence; a full stop within it is not followed by a space.
    let short = explanation.split_once(". ").map_or(explanation.trim_end_matches('.'), |(first, _)| first);
    json!({
        "id": code.text(),
        "shortDescription": {"text": short},
        "fullDescription": {"text": explanation},
        "defaultConfiguration": {"level": level(code.severity())},
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn result(file: &CheckedSource, entry: &ToldDiagnostic, rules: &[Code]) -> Value {
    let record = &entry.record;
    let text = match &record.hint {
        Some(hint) => format!("{} ({hint})", record.message),
        None => record.message.clone(),
    };
    let path = record.at.as_ref().map_or("", |at| &at.path);
    let mut place = match &record.at {
        Some(at) => physical(at),
        None => json!({"physicalLocation": {"artifactLocation": {"uri": uri(&file.source)}}}),
    };
    if let Some(node) = &file.node {
        place["logicalLocations"] = json!([{"fullyQualifiedName": node, "kind": "object"}]);
    }
    let key = baseline::key(&file.source, file.node.as_deref(), record.code.text(), &record.message, path);
    let mut result = json!({
        "ruleId": record.code.text(),
        "ruleIndex": rules.binary_search(&record.code).unwrap_or_default(),
        "level": level(record.severity),
        "message": {"text": text},
        "locations": [place],
        "partialFingerprints": {"netapply/v1": fingerprint(&key)},
    });
    if let Some(related) = &record.related {
        let mut related = physical(related);
        related["message"] = json!({"text": "the other side"});
        result["relatedLocations"] = json!([related]);
    }
    if entry.known {
        result["baselineState"] = json!("unchanged");
    }
    result
}

fn physical(at: &At) -> Value {
    let mut location = json!({"artifactLocation": {"uri": uri(&at.file)}});
    if at.line > 0 {
        location["region"] = json!({"startLine": at.line, "startColumn": at.column.max(1)});
    }
    json!({"physicalLocation": location})
}

/// A path as a URI reference (RFC 3986): relative ones stay relative.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let path = path.strip_prefix("./").unwrap_or(path);
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte.into())
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    if path.starts_with('/') { format!("file://{out}") } else { out }
}

/// FNV-1a: a stable fingerprint of a diagnostic, not a security feature.
fn fingerprint(key: &str) -> String {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        for (path, expected) in [
            ("./rack 1/a.json", "rack%201/a.json"),
            ("/etc/net.yaml", "file:///etc/net.yaml"),
            ("<stdin>", "%3Cstdin%3E"),
            ("a:b%ü", "a%3Ab%25%C3%BC"),
        ] {
            assert_eq!(uri(path), expected);
        }
    }
}
