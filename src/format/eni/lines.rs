//! Interfaces files to a tree of values: a stanza is a mapping, an option with several words a list.
//!
//! The tree keeps the file's order and repetitions. Known options are spelled as ifupdown itself folds them: it makes
//! `IF_BRIDGE_PORTS` of `bridge-ports` and of `bridge_ports`, so here both are `bridge-ports`.

use super::table;
use crate::diagnostic::{Code, Diagnostic};
use crate::format::tree::{Entry, MAX_ITEMS, MAX_NODES, Node, Value};
use crate::model::Place;

/// Words that end a stanza without beginning one.
const ALONE: &[&str] = &["auto", "source", "source-directory", "no-auto-down", "no-scripts", "rename"];
/// Words that begin a stanza.
const STANZAS: &[&str] = &["iface", "mapping", "template"];
/// Options whose value is a command, in which `#` does not start a comment.
pub(super) const COMMANDS: &[&str] = &["up", "post-up", "pre-up", "down", "pre-down", "post-down"];

/// A word and where it begins.
type Word<'a> = (Place, &'a str);

/// The file as a tree of values. `None` with an error if it has too many words.
pub(crate) fn tree(text: &str, file: u16, diags: &mut Vec<Diagnostic>) -> Option<Node> {
    let start = Place { file, line: 1, column: 1 };
    let mut entries: Vec<Entry> = Vec::new();
    let mut in_stanza = false;
    let mut words: Vec<Word> = Vec::new();
    let mut count = 0;
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line_at = Place { file, line: (index + 1) as u32, column: 1 };
        if words.is_empty() && line.trim_start().starts_with('#') {
            continue;
        }
        let (line, continues) = match line.trim_end().strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        let command = words.first().is_some_and(|(_, first)| COMMANDS.contains(first));
        let before = words.len();
        add_words(line, line_at, command, &mut words);
        count += words.len() - before;
        if count > MAX_NODES || words.len() > MAX_ITEMS {
            let message = "more than 100,000 words, or 20,000 in one line";
            diags.push(Diagnostic::new(Code::TooLarge, line_at, message));
            return None;
        }
        if !continues {
            in_stanza = add_line(&mut entries, in_stanza, &std::mem::take(&mut words));
        }
    }
    add_line(&mut entries, in_stanza, &words);
    Some(Node { at: start, value: Value::Map(entries) })
}

/// The words of one line with their columns, up to a comment. ifupdown has no comments after a value, but people write
/// them.
fn add_words<'a>(line: &'a str, at: Place, command: bool, words: &mut Vec<Word<'a>>) {
    let mut column = 1;
    let mut rest = line;
    let mut command = command;
    loop {
        let space = rest.len() - rest.trim_start().len();
        column += rest.get(..space).map_or(0, |b| b.chars().count()) as u32;
        rest = rest.get(space..).unwrap_or_default();
        let word = rest.split(char::is_whitespace).next().unwrap_or_default();
        // One word too many is enough to refuse the file.
        if word.is_empty() || (word.starts_with('#') && !command) || words.len() > MAX_ITEMS {
            return;
        }
        command |= words.is_empty() && COMMANDS.contains(&word);
        words.push((Place { column, ..at }, word));
        column += word.chars().count() as u32;
        rest = rest.get(word.len()..).unwrap_or_default();
    }
}

/// Adds a line to the right mapping; returns whether a stanza is open after it.
fn add_line(entries: &mut Vec<Entry>, in_stanza: bool, words: &[Word]) -> bool {
    let Some(((at, first), values)) = words.split_first() else { return in_stanza };
    if STANZAS.contains(first) {
        let header: Vec<&str> = words.iter().map(|(_, word)| *word).collect();
        let value = Node { at: *at, value: Value::Map(Vec::new()) };
        entries.push(Entry { key: header.join(" "), key_at: *at, value });
        return true;
    }
    let alone = ALONE.contains(first) || first.starts_with("allow-");
    // Words outside a stanza are not folded, and neither is an unknown option.
    let folded = first.to_ascii_lowercase().replace('_', "-");
    let key = if in_stanza && !alone && table::is_option(&folded) { folded } else { (*first).to_owned() };
    let option = Entry { key, key_at: *at, value: node(*at, values) };
    match entries.last_mut().map(|stanza| &mut stanza.value.value) {
        Some(Value::Map(options)) if in_stanza && !alone => options.push(option),
        _ => entries.push(option),
    }
    in_stanza && !alone
}

fn node(key_at: Place, words: &[Word]) -> Node {
    let scalar = |(at, word): &Word| Node::scalar(word, *at);
    match words {
        [] => Node { at: key_at, value: Value::Null },
        [one] => scalar(one),
        [(at, _), ..] => Node { at: *at, value: Value::List(words.iter().map(scalar).collect()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree::path_of;

    fn read(text: &str) -> Node {
        tree(text, 0, &mut Vec::new()).unwrap()
    }

    #[test]
    fn stanzas_are_mappings_and_words_keep_their_places() {
        let root = read(
            "# made by hand\nauto lo eth0\niface eth0 inet static\n\taddress 192.0.2.1/24 # the old one\n\
             \tdns_nameservers 192.0.2.53 \\\n\t\t192.0.2.54\n  up echo '# no comment'\nallow-hotplug eth1\n",
        );
        let Value::Map(entries) = &root.value else { panic!() };
        let keys: Vec<&str> = entries.iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["auto", "iface eth0 inet static", "allow-hotplug"]);
        let stanza = &entries[1].value;
        assert_eq!(stanza.get("address").unwrap().text(), Some("192.0.2.1/24"));
        let servers = stanza.get("dns-nameservers").unwrap().items();
        assert_eq!((servers[1].at.line, servers[1].at.column), (6, 3));
        assert_eq!(path_of(&root, servers[1].at, false), "iface eth0 inet static.dns-nameservers[1]");
        assert_eq!(stanza.get("up").unwrap().items().len(), 4);
    }

    #[test]
    fn an_option_outside_a_stanza_stays_outside() {
        let root = read("iface eth0 inet dhcp\nauto eth0\nmtu 9000\n");
        let Value::Map(entries) = &root.value else { panic!() };
        assert_eq!(entries.last().unwrap().key, "mtu");
    }

    #[test]
    fn too_many_words_are_refused() {
        let mut diags = Vec::new();
        assert!(tree(&"auto eth0\n".repeat(300_000), 0, &mut diags).is_none());
        assert_eq!(diags[0].code, Code::TooLarge);
    }
}
