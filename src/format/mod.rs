//! Files to [`Desired`]. Never looks at the machine.
//!
//! [`parse`] recognises each file by its content, reads it with the format's own module and joins what several files
//! say. Every error or assumption is a [`Diagnostic`]; an unusable file has an error and leaves `Desired` empty.

mod check;
mod cloud_init_v1;
mod cmdline;
mod debian;
pub(crate) mod eni;
mod firmware;
pub mod keys;
mod kubernetes;
pub mod many;
pub(crate) mod netplan;
pub mod network_data;
pub(crate) mod nmstate;
mod open_nebula;
mod piece;
mod recognise;
mod sources;
mod template;
pub mod tree;
pub(crate) mod value;

use std::sync::{Arc, OnceLock};

use foldhash::HashSet;

use crate::diagnostic::{Code, Diagnostic, Severity, printable, worst};
use crate::model::{Desired, Place, Resolver};
use crate::order::Order as _;
use recognise::Format;
use tree::{Duplicate, Node, Tree};

/// Messages about one description.
const MAX_DIAGNOSTICS: usize = 1000;

/// A document as read, with its tree of values, for messages about it.
#[derive(Clone, Debug)]
pub struct Text {
    /// Its name for the user: a path, or `<stdin>`.
    pub name: String,
    /// Its values; `None` if it cannot be parsed.
    pub root: Option<Node>,
    content: Arc<Content>,
}

/// The content of a file, which many descriptions may share.
#[derive(Debug)]
pub struct Content {
    text: String,
    /// Where each line begins, computed on first use.
    lines: OnceLock<Vec<u32>>,
    /// Whether it contains a template placeholder.
    has_markers: OnceLock<bool>,
}

impl Content {
    /// The content of a file.
    pub fn new(text: String) -> Arc<Content> {
        Arc::new(Content { text, lines: OnceLock::new(), has_markers: OnceLock::new() })
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text, for another owner.
    pub fn into_text(self) -> String {
        self.text
    }

    fn has_markers(&self) -> bool {
        *self.has_markers.get_or_init(|| template::find(&self.text).is_some())
    }
}

impl Text {
    /// A document and its values.
    pub fn new(name: String, text: String, root: Option<Node>) -> Self {
        Text { name, root, content: Content::new(text) }
    }

    /// The path of the key or value at a place, such as `links[2].bond_mode`; empty without one. `of_value` is true if
    /// a mapping is meant, and not the first key that begins at the same place.
    pub fn path(&self, at: Place, of_value: bool) -> String {
        self.root.as_ref().map_or_else(String::new, |root| printable(tree::path_of(root, at, of_value)))
    }

    /// A line of the document, from 1, with the values of secret keys masked. `None` for one of more than 64 KiB: a
    /// thousand messages may be about it, and each looks for its column.
    pub fn line(&self, line: u32) -> Option<String> {
        const LONGEST: usize = 64 << 10;
        let Content { text, lines, .. } = &*self.content;
        let starts = lines.get_or_init(|| {
            let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0).chain(ends.filter_map(|(at, _)| u32::try_from(at + 1).ok())).collect()
        });
        let start = *starts.get((line as usize).checked_sub(1)?)?;
        let line = text.get(start as usize..)?.lines().next().filter(|line| line.len() <= LONGEST);
        line.map(keys::without_secrets)
    }
}

/// The result of parsing, with its diagnostics.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The described network.
    pub desired: Desired,
    /// In file order.
    pub diagnostics: Vec<Diagnostic>,
    /// The documents, by [`Place::file`].
    pub texts: Vec<Text>,
    /// The format's name for a person: `network_data.json`, `netplan`, …; empty if none was recognised.
    pub format: &'static str,
}

/// Reads documents, each given with its name for a person. A Kubernetes manifest with one description is read as that.
/// Several netplan files are merged in this order; those of
/// other formats are read one by one and joined.
pub fn parse(texts: Vec<(String, String)>) -> Parsed {
    if let [(name, text)] = &texts[..] {
        if let Some(parsed) = many::only(name, text) {
            return parsed;
        }
    }
    let mut reading = Reading::default();
    let several = texts.len() > 1;
    for (index, (name, text)) in texts.into_iter().enumerate() {
        let file = u16::try_from(index).unwrap_or(u16::MAX);
        let (format, root) = match several && is_blank(&text) {
            true => {
                let at = Place { file, line: 1, column: 1 };
                let what =
                    if text.trim().is_empty() { "the file is empty" } else { "the file has only comments" };
                reading.diags.push(Diagnostic::new(Code::EmptyText, at, what).severity(Severity::Note));
                (None, None)
            }
            false => reading.understand(&text, file),
        };
        reading.texts.push((format, Text::new(name, text, root)));
    }
    reading.finish()
}

/// Documents whose format is known and that are not read yet.
#[derive(Default)]
struct Reading {
    texts: Vec<(Option<Format>, Text)>,
    /// Duplicate keys of netplan: their meaning depends on where they are.
    duplicates: Vec<Duplicate>,
    /// Values with a template placeholder.
    unrendered: HashSet<Place>,
    diags: Vec<Diagnostic>,
}

impl Reading {
    fn finish(self) -> Parsed {
        let Reading { texts: read, duplicates, unrendered, mut diags } = self;
        let mut desired = Desired::default();
        let merged: Vec<&Node> = read
            .iter()
            .filter(|(format, _)| *format == Some(Format::Netplan))
            .filter_map(|(_, text)| text.root.as_ref())
            .collect();
        let mut merged = Some(merged);
        for (format, text) in &read {
            let Some(root) = &text.root else { continue };
            let body = recognise::tree(root).map_or(root, |(_, body)| body);
            let more = match format {
                // All of its texts are read at the place of the first.
                Some(Format::Netplan) => match merged.take() {
                    Some(merged) => netplan::read(&merged, &duplicates, &mut diags),
                    None => continue,
                },
                Some(Format::NetworkData) => network_data::read(body, &mut diags),
                Some(Format::CloudInitV1) => {
                    if root.get("network").is_some_and(|network| std::ptr::eq(network, body)) {
                        netplan::beside(root, &mut diags);
                    }
                    cloud_init_v1::read(body, &mut diags)
                }
                Some(Format::Eni) => eni::read(root, &mut diags),
                Some(Format::Nmstate) => nmstate::read(body, &mut diags),
                Some(Format::OpenNebula) => open_nebula::read(root, &mut diags),
                Some(Format::CommandLine) => cmdline::read(root, &mut diags),
                Some(Format::Firmware) => firmware::read(root, &mut diags),
                Some(Format::Disabled) | None => continue,
            };
            sources::join(&mut desired, more, &read, *format, &mut diags);
        }
        check::check(&mut desired, &mut diags);
        // Other errors of such a value are irrelevant.
        diags.retain(|d| d.code == Code::UnrenderedTemplate || !unrendered.contains(&d.at));
        let formats = || read.iter().filter_map(|(format, _)| *format);
        if desired.links.is_empty() && formats().any(|format| format != Format::Disabled) {
            diags.extend(nothing(&desired, &diags));
        }
        in_order(&mut diags);
        cut(&mut diags);
        let format = formats().next().map_or("", Format::name);
        Parsed {
            desired,
            diagnostics: diags,
            texts: read.into_iter().map(|(_, text)| text).collect(),
            format,
        }
    }

    /// The format of a document and its tree of values.
    fn understand(&mut self, text: &str, file: u16) -> (Option<Format>, Option<Node>) {
        let diags = &mut self.diags;
        let too_large = text.len() > tree::MAX_BYTES;
        if let Some(format) = recognise::lines(text).filter(|_| !too_large) {
            let root = match format {
                Format::Eni => eni::tree(text, file, diags),
                Format::CommandLine => cmdline::tree(text, file, diags),
                Format::Firmware => firmware::tree(text, file, diags),
                _ => open_nebula::tree(text, file, diags),
            };
            // A shell's ${x} belongs to the commands in such a file, which are not run.
            if let Some(root) = root.as_ref().filter(|_| text.contains("{{") || text.contains("{%")) {
                template::values(root, &mut self.unrendered, diags);
            }
            return (Some(format), root);
        }
        if is_blank(text) && !text.trim().is_empty() {
            let at = Place { file, line: 1, column: 1 };
            diags.push(Diagnostic::new(Code::EmptyText, at, "the file has only comments"));
            return (None, None);
        }
        match tree::read(text, file) {
            Ok(tree) => {
                let has_markers = template::find(text).is_some();
                self.classify(tree, text, has_markers)
            }
            Err(wrong) => {
                let marker = || template::find(text).map(|marker| marker.diagnostic(file));
                // Why a keyfile is not JSON is irrelevant.
                let other = || recognise::other(text, None).map(|other| not_a_description(other, wrong.at));
                let better = if wrong.code == Code::Syntax { marker().or_else(other) } else { None };
                diags.push(better.unwrap_or(wrong));
                (None, None)
            }
        }
    }

    /// The format of a tree; `text` is its source, if that contains nothing else.
    fn classify(&mut self, tree: Tree, text: &str, has_markers: bool) -> (Option<Format>, Option<Node>) {
        let Tree { root, duplicates, tolerated } = tree;
        self.diags.extend(tolerated);
        if has_markers {
            template::values(&root, &mut self.unrendered, &mut self.diags);
        }
        let format = recognise::tree(&root).map(|(format, _)| format);
        let repeated = format.and_then(|_| recognise::repeated(root.get("network")?));
        self.diags.extend(repeated.map(|inner| {
            Diagnostic::new(
                Code::UnknownKey,
                inner.key_at,
                "\"network\" is repeated inside \"network\": the inner one was read",
            )
            .hint("remove the outer one: other programs take none of the text with both")
        }));
        match format {
            Some(Format::Netplan) => self.duplicates.extend(duplicates),
            _ => self.diags.extend(duplicates.iter().map(Duplicate::last_is_used)),
        }
        match format {
            None => self.diags.push(unknown(text, &root)),
            Some(Format::Disabled) => self.diags.push(Diagnostic::new(
                Code::NoEffect,
                root.at,
                "this file disables the network configuration (config: disabled): nothing to do",
            )),
            Some(_) => {}
        }
        (format, Some(root))
    }
}

/// Only comments: next to other files such a file is ignored, alone it is a mistake.
fn is_blank(text: &str) -> bool {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    text.len() <= tree::MAX_BYTES
        && lines.all(|line| line.is_empty() || line == "---" || line.starts_with('#'))
}

/// Keeps the first messages, and of the others their number and severity: nobody reads more, and each costs time.
fn cut(diags: &mut Vec<Diagnostic>) {
    let Some(last) = diags.get(MAX_DIAGNOSTICS..).filter(|rest| !rest.is_empty()) else { return };
    let message = format!("{} more messages are not shown", last.len());
    let severity = worst(last).unwrap_or(Severity::Note);
    diags.truncate(MAX_DIAGNOSTICS);
    diags.push(
        Diagnostic::new(Code::TooMany, Place::NONE, message)
            .severity(severity)
            .hint("correct the first ones first"),
    );
}

/// The MAC addresses by which the texts match NICs, in lower case.
pub fn macs(texts: Vec<(String, String)>) -> Vec<String> {
    let links = parse(texts).desired.links.into_iter();
    links.filter_map(|link| link.select.mac).map(|mac| mac.value.to_string()).collect()
}

/// Whether a text is a state of nmstate.
pub fn is_nmstate(text: &str) -> bool {
    let root = tree::parse(text, 0, &mut Vec::new());
    root.is_some_and(|root| recognise::tree(&root).is_some_and(|(format, _)| format == Format::Nmstate))
}

/// Whether a text is a kernel command line that says something of the network.
pub fn is_command_line(text: &str) -> bool {
    text.lines().any(cmdline::is_line)
}

/// Adds what Ironic's API would refuse, even if netapply can use it.
pub fn for_ironic(parsed: &mut Parsed) {
    for root in parsed.texts.iter().filter_map(|text| text.root.as_ref()) {
        network_data::ironic_schema(root, &mut parsed.diagnostics);
    }
    in_order(&mut parsed.diagnostics);
}

/// By place; those without one come last.
fn in_order(diags: &mut [Diagnostic]) {
    diags.order_by_key(|d| (!d.at.is_known(), d.at));
}

/// The diagnostic for a description without a usable link; `diags` tells whether it had any.
fn nothing(desired: &Desired, diags: &[Diagnostic]) -> Option<Diagnostic> {
    if diags.iter().any(|d| d.code == Code::NothingUsable) {
        return None;
    }
    Some(match worst(diags) {
        Some(Severity::Error) => Diagnostic::new(
            Code::NothingUsable,
            Place::NONE,
            "nothing in the description can be used: see the errors",
        ),
        _ => {
            let Desired { rules, resolver, host_name, .. } = desired;
            let has_others = !rules.is_empty() || host_name.is_some() || *resolver != Resolver::default();
            Diagnostic::new(Code::NoLinks, Place::NONE, "the description has no link").hint(match has_others {
                true => "nothing will be configured: rules, name servers and a host name are set together with a link",
                false => "nothing will be configured; if that is not intended, check the program that wrote it",
            })
        }
    })
}

/// A file of another kind: what it is, and what to do with it.
fn not_a_description((what, hint): (&str, &str), at: Place) -> Diagnostic {
    let message = format!("the file is {what}, not a network description");
    Diagnostic::new(Code::UnknownFormat, at, message).hint(hint)
}

fn unknown(text: &str, root: &Node) -> Diagnostic {
    if let Some(other) = recognise::other(text, Some(root)) {
        return not_a_description(other, root.at);
    }
    if let Some(entry) = wrong_case(root) {
        let message = format!(
            "\"{}\" is not \"{}\": keys are case-sensitive",
            entry.key,
            entry.key.to_ascii_lowercase()
        );
        return Diagnostic::new(Code::UnknownFormat, entry.key_at, message)
            .hint("write the keys in lowercase");
    }
    if let tree::Value::Map(entries) = &root.value {
        if entries.iter().take(64).any(|entry| piece::is_description(&entry.value)) {
            return Diagnostic::new(
                Code::UnknownFormat,
                root.at,
                "the file has descriptions of several nodes",
            )
            .hint("give netapply one of them; netapply check reads all");
        }
    }
    let version = root.get("network").unwrap_or(root).get("version");
    let message = match version.and_then(|v| v.text().map(|text| (v, text))) {
        Some((_, "2")) => "the file has version 2 but none of netplan's keys".to_owned(),
        Some((_, text)) => {
            format!("unknown network configuration version {text}: only 1 and 2 exist")
        }
        None => match &root.value {
            tree::Value::Map(_) => "the file is not a network description that netapply knows".to_owned(),
            _ => format!("the file is {}, but a network description is a mapping", root.noun()),
        },
    };
    Diagnostic::new(Code::UnknownFormat, version.map_or(root.at, |v| v.at), message)
        .hint(recognise::LOOKED_FOR)
}

/// `Network:`, `Links:` at the top.
fn wrong_case(root: &Node) -> Option<&tree::Entry> {
    let tree::Value::Map(entries) = &root.value else { return None };
    let is_known =
        |key: &str| matches!(key, "network" | "links" | "networks" | "ethernets" | "version" | "config");
    entries.iter().find(|e| !is_known(&e.key) && is_known(&e.key.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests;
