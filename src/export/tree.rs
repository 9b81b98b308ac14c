//! A tree of values to be written as YAML or JSON, in the order in which it was made.

use std::fmt::Write as _;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum OutputTree {
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<OutputTree>),
    Map(Map),
}

/// A mapping.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Map(pub(super) Vec<(String, OutputTree)>);

impl Map {
    /// Adds an entry.
    pub(super) fn put(&mut self, key: &str, value: impl Into<OutputTree>) {
        self.0.push((key.to_owned(), value.into()));
    }

    /// Adds an entry if there is a value.
    pub(super) fn put_some<T: Into<OutputTree>>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    /// Adds a non-empty mapping or list.
    pub(super) fn put_filled(&mut self, key: &str, value: impl Into<OutputTree>) {
        let value = value.into();
        if !value.is_empty() {
            self.put(key, value);
        }
    }

    /// The text of a key.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find_map(|(known, value)| match value {
            OutputTree::Text(text) if known == key => Some(text.as_str()),
            _ => None,
        })
    }

    /// Adds an item to the list of a key, which is created if missing.
    pub(super) fn push(&mut self, key: &str, item: OutputTree) {
        for (known, value) in &mut self.0 {
            if let (true, OutputTree::List(items)) = (known == key, value) {
                return items.push(item);
            }
        }
        self.put(key, vec![item]);
    }

    /// The mapping below a key, created if missing.
    pub(super) fn below(&mut self, key: &str) -> &mut Map {
        let at = self.0.iter().position(|(k, v)| k == key && matches!(v, OutputTree::Map(_))).unwrap_or_else(
            || {
                self.put(key, Map::default());
                self.0.len() - 1
            },
        );
        match self.0.get_mut(at) {
            Some((_, OutputTree::Map(map))) => map,
            _ => unreachable!("a mapping was found or put there"),
        }
    }
}

impl OutputTree {
    fn is_empty(&self) -> bool {
        match self {
            OutputTree::List(items) => items.is_empty(),
            OutputTree::Map(Map(entries)) => entries.is_empty(),
            _ => false,
        }
    }

    /// A list of displayable values.
    pub(super) fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> OutputTree {
        OutputTree::List(items.into_iter().map(|item| OutputTree::Text(item.to_string())).collect())
    }
}

impl From<bool> for OutputTree {
    fn from(on: bool) -> OutputTree {
        OutputTree::Bool(on)
    }
}

impl From<i64> for OutputTree {
    fn from(number: i64) -> OutputTree {
        OutputTree::Number(number)
    }
}

impl From<u32> for OutputTree {
    fn from(number: u32) -> OutputTree {
        OutputTree::Number(number.into())
    }
}

impl From<&str> for OutputTree {
    fn from(text: &str) -> OutputTree {
        OutputTree::Text(text.to_owned())
    }
}

impl From<String> for OutputTree {
    fn from(text: String) -> OutputTree {
        OutputTree::Text(text)
    }
}

impl From<Vec<OutputTree>> for OutputTree {
    fn from(items: Vec<OutputTree>) -> OutputTree {
        OutputTree::List(items)
    }
}

impl From<Map> for OutputTree {
    fn from(map: Map) -> OutputTree {
        OutputTree::Map(map)
    }
}

/// A mapping as a JSON document, each mapping of a list on a line of its own.
pub(super) fn json(Map(entries): &Map) -> String {
    let entry = |(key, value): &(String, OutputTree)| {
        let items = match value {
            OutputTree::List(items) if !items.is_empty() => items,
            other => return format!("  {}: {}", quoted(key), compact(other)),
        };
        let items: Vec<String> = items.iter().map(|item| format!("    {}", compact(item))).collect();
        format!("  {}: [\n{}\n  ]", quoted(key), items.join(",\n"))
    };
    let entries: Vec<String> = entries.iter().map(entry).collect();
    format!("{{\n{}\n}}\n", entries.join(",\n"))
}

/// A value as JSON on one line.
fn compact(value: &OutputTree) -> String {
    match value {
        OutputTree::Bool(on) => on.to_string(),
        OutputTree::Number(number) => number.to_string(),
        OutputTree::Text(text) => quoted(text),
        OutputTree::List(items) => {
            let items: Vec<String> = items.iter().map(compact).collect();
            format!("[{}]", items.join(", "))
        }
        OutputTree::Map(Map(entries)) => {
            let entry = |(key, value): &(String, OutputTree)| format!("{}: {}", quoted(key), compact(value));
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// A mapping as a YAML document with the same meaning in YAML 1.1 and 1.2.
pub(super) fn yaml(map: &Map) -> String {
    let mut out = String::new();
    block(map, 0, false, &mut out);
    out
}

/// The entries of a mapping; `begun` if the first one follows the dash of a list.
fn block(Map(entries): &Map, indent: usize, mut begun: bool, out: &mut String) {
    for (key, value) in entries {
        if !std::mem::take(&mut begun) {
            let _ = write!(out, "{:indent$}", "");
        }
        out.push_str(&scalar(key));
        out.push(':');
        match value {
            OutputTree::Map(map) if !map.0.is_empty() => {
                out.push('\n');
                block(map, indent + 2, false, out);
            }
            OutputTree::List(items)
                if items.iter().any(|item| matches!(item, OutputTree::Map(m) if !m.0.is_empty())) =>
            {
                out.push('\n');
                list(items, indent, out);
            }
            one => {
                let _ = writeln!(out, " {}", flow(one));
            }
        }
    }
}

fn list(items: &[OutputTree], indent: usize, out: &mut String) {
    for item in items {
        let _ = write!(out, "{:indent$}- ", "");
        match item {
            OutputTree::Map(map) if !map.0.is_empty() => block(map, indent + 2, true, out),
            one => {
                let _ = writeln!(out, "{}", flow(one));
            }
        }
    }
}

/// A value on one line.
fn flow(value: &OutputTree) -> String {
    match value {
        OutputTree::Bool(on) => on.to_string(),
        OutputTree::Number(number) => number.to_string(),
        OutputTree::Text(text) => scalar(text),
        OutputTree::List(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        OutputTree::Map(Map(entries)) => {
            let entries: Vec<String> =
                entries.iter().map(|(k, v)| format!("{}: {}", scalar(k), flow(v))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// A string, quoted wherever a parser could misread it.
fn scalar(text: &str) -> String {
    const WORDS: &[&str] = &["true", "false", "yes", "no", "on", "off", "y", "n", "null", "~"];
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '@');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '/'));
    let is_v4 = text.split('/').next().is_some_and(|ip| ip.parse::<std::net::Ipv4Addr>().is_ok());
    let is_word = WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if (begins || is_v4) && text.chars().all(plain) && !is_word { text.to_owned() } else { quoted(text) }
}

/// In JSON's quotes, which YAML has, too.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_strings_are_quoted() {
        for (text, written) in [
            ("eth0", "eth0"),
            ("bond0.100", "bond0.100"),
            ("192.0.2.1/24", "192.0.2.1/24"),
            ("2001:db8::1/64", "\"2001:db8::1/64\""),
            ("52:54:00:12:34:56", "\"52:54:00:12:34:56\""),
            ("802.3ad", "\"802.3ad\""),
            ("1e3", "\"1e3\""),
            ("Off", "\"Off\""),
            ("en*", "\"en*\""),
            ("", "\"\""),
            ("-x", "\"-x\""),
            ("a\"b\n", "\"a\\\"b\\n\""),
        ] {
            assert_eq!(scalar(text), written);
        }
    }

    #[test]
    fn a_document_round_trips() {
        let mut route = Map::default();
        route.put("to", "default");
        route.put("on-link", true);
        let mut nic = Map::default();
        nic.put("addresses", OutputTree::texts(["192.0.2.1/24", "2001:db8::1/64"]));
        nic.put("routes", vec![OutputTree::from(route), Map::default().into()]);
        nic.put("match", Map::default());
        let mut root = Map::default();
        root.below("ethernets").put("eth0", nic);
        root.below("ethernets").put("7", Map::default());
        let text = "ethernets:\n  eth0:\n    addresses: [192.0.2.1/24, \"2001:db8::1/64\"]\n    routes:\n    \
                    - to: default\n      on-link: true\n    - {}\n    match: {}\n  \"7\": {}\n";
        assert_eq!(yaml(&root), text);
    }
}
