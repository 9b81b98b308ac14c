//! Files of sections and `Key=value` lines, as systemd and NetworkManager have them.

use std::fmt::{Display, Write as _};

use super::HEADER;

/// A file of sections.
#[derive(Default)]
pub(super) struct Ini(String);

impl Ini {
    pub(super) fn section(&mut self, name: &str) {
        let _ = write!(self.0, "\n[{name}]\n");
    }

    pub(super) fn put(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key}={value}");
    }

    pub(super) fn put_some(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    /// A list as GLib's key files have it; nothing where it is empty.
    pub(super) fn list<T: Display>(&mut self, key: &str, values: impl IntoIterator<Item = T>) {
        let values: String = values.into_iter().map(|value| format!("{value};")).collect();
        if !values.is_empty() {
            self.put(key, values);
        }
    }

    /// A text of any letters, as GLib's key files have it.
    pub(super) fn text_of(&mut self, key: &str, text: &str) {
        let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
        match escaped.strip_prefix(' ') {
            Some(rest) => self.put(key, format_args!("\\s{rest}")),
            None => self.put(key, escaped),
        }
    }

    pub(super) fn append(&mut self, other: Ini) {
        self.0 += &other.0;
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is such a section.
    pub(super) fn has(&self, section: &str) -> bool {
        self.0.contains(&format!("\n[{section}]\n"))
    }

    /// The text of the file.
    pub(super) fn text(self) -> String {
        format!("{HEADER}{}", self.0)
    }
}

/// A section: its name, and its keys with their values in the order of the text.
pub(super) type Section<'a> = (&'a str, Vec<(&'a str, &'a str)>);

/// The sections of a file that was written so.
pub(super) fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push((name, Vec::new()));
        } else if let (Some((_, keys)), Some(pair)) = (sections.last_mut(), line.split_once('=')) {
            keys.push(pair);
        }
    }
    sections
}
