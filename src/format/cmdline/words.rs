//! The words of a kernel command line with their places.

use crate::diagnostic::{Code, Diagnostic};
use crate::format::tree::{Entry, Node, Value};
use crate::model::Place;

/// The maximum length of a command line in bytes; the kernel's own limit (COMMAND_LINE_SIZE) is at most 4096 on most
/// machines.
const LONGEST: usize = 64 << 10;

/// The command line as a mapping of its parameters, in order. Several lines are read as one, as dracut reads
/// /etc/cmdline.d. `None` with an error if it is longer than any command line.
pub(crate) fn tree(text: &str, file: u16, diags: &mut Vec<Diagnostic>) -> Option<Node> {
    let start = Place { file, line: 1, column: 1 };
    if text.len() > LONGEST {
        diags.push(Diagnostic::new(Code::TooLarge, start, "a kernel command line of more than 64 KiB"));
        return None;
    }
    let mut entries = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let at = Place { file, line: (index + 1) as u32, column: 1 };
        add_words(line, at, &mut entries);
    }
    Some(Node { at: start, value: Value::Map(entries) })
}

/// The parameters of a line: split at space, except within double quotes, which are removed.
fn add_words(line: &str, at: Place, entries: &mut Vec<Entry>) {
    let mut word = String::new();
    let mut begin: Option<u32> = None;
    let mut value_at: Option<u32> = None;
    let mut quoted = false;
    let end = line.chars().count() as u32 + 1;
    for (c, column) in line.chars().chain([' ']).zip(1..) {
        if c == '"' && column < end {
            quoted = !quoted;
            value_at = value_at.map(|at| if at == column { column + 1 } else { at });
            continue;
        }
        if !c.is_whitespace() || (quoted && column < end) {
            begin = begin.or(Some(column));
            if c == '=' && value_at.is_none() {
                value_at = Some(column + 1);
            }
            word.push(c);
            continue;
        }
        if let Some(begin) = begin.take() {
            let place = |column| Place { column, ..at };
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Node::scalar(value, place(value_at.unwrap_or(begin)))),
                None => (word.as_str(), Node { at: place(begin), value: Value::Null }),
            };
            entries.push(Entry { key: key.to_owned(), key_at: place(begin), value });
        }
        word.clear();
        value_at = None;
    }
}

/// The fields between the colons. An IPv6 address is in brackets, which are removed.
pub(super) fn split(node: &Node) -> Vec<Node> {
    let text = node.text().unwrap_or_default();
    let mut fields = vec![Node::scalar("", node.at)];
    let mut field = String::new();
    let mut begin = node.at.column;
    let mut bracketed = false;
    for (c, column) in text.chars().zip(node.at.column..) {
        match c {
            '[' if field.is_empty() && !bracketed => (bracketed, begin) = (true, column + 1),
            ']' if bracketed => bracketed = false,
            ':' if !bracketed => {
                put(&mut fields, &mut field, Place { column: begin, ..node.at });
                begin = column + 1;
                fields.push(Node::scalar("", node.at));
            }
            c => field.push(c),
        }
    }
    put(&mut fields, &mut field, Place { column: begin, ..node.at });
    fields
}

fn put(fields: &mut [Node], field: &mut String, at: Place) {
    if let Some(last) = fields.last_mut() {
        *last = Node::scalar(&std::mem::take(field), at);
    }
}

/// The first `count` fields, and the rest with its colons if there is one. `None` for an empty value.
pub(super) fn parts(node: &Node, count: usize) -> Option<(Vec<Node>, Option<Node>)> {
    let text = node.text().filter(|text| !text.is_empty())?;
    let fields = by(node, ':');
    let rest = fields.get(count).map(|first| {
        let skipped = (first.at.column - node.at.column) as usize;
        let rest: String = text.chars().skip(skipped).collect();
        Node::scalar(&rest, first.at)
    });
    Some((fields.into_iter().take(count).collect(), rest))
}

/// The pieces between separators, each with its place.
pub(super) fn by(node: &Node, separator: char) -> Vec<Node> {
    let mut column = node.at.column;
    let pieces = node.text().unwrap_or_default().split(separator);
    pieces
        .map(|piece| {
            let at = Place { column, ..node.at };
            column += piece.chars().count() as u32 + 1;
            Node::scalar(piece, at)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_values_have_their_places() {
        let text = "quiet ip=[2001:db8::2]::[2001:db8::1]:64::eth0:none \"bond=b0:a,b\" x=\"a b\" =y\n# c ip=dhcp\n vlan=v.5:eth0\n";
        let root = tree(text, 0, &mut Vec::new()).unwrap();
        let Value::Map(entries) = &root.value else { panic!() };
        let shown: Vec<(&str, Option<&str>, u32, u32)> = entries
            .iter()
            .map(|e| (e.key.as_str(), e.value.text(), e.value.at.line, e.value.at.column))
            .collect();
        let ip = "[2001:db8::2]::[2001:db8::1]:64::eth0:none";
        assert_eq!(shown[0], ("quiet", None, 1, 1));
        assert_eq!(shown[1], ("ip", Some(ip), 1, 10));
        assert_eq!(shown[2], ("bond", Some("b0:a,b"), 1, 59));
        assert_eq!(shown[3].1, Some("a b"));
        assert_eq!(shown[5], ("vlan", Some("v.5:eth0"), 3, 7));
        let fields = split(&entries[1].value);
        let fields: Vec<(&str, u32)> = fields.iter().map(|n| (n.text().unwrap(), n.at.column)).collect();
        assert_eq!(
            fields,
            [
                ("2001:db8::2", 11),
                ("", 24),
                ("2001:db8::1", 26),
                ("64", 39),
                ("", 42),
                ("eth0", 43),
                ("none", 48)
            ]
        );
    }
}
