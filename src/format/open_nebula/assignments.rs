//! Shell assignments to a tree of values, without a shell: nothing is expanded and nothing is run.

use crate::diagnostic::{Code, Diagnostic};
use crate::format::tree::{Entry, MAX_ITEMS, Node, Value};
use crate::model::Place;

/// The file as a mapping of its variables, in file order. `None` with an error if it has too many.
pub(crate) fn tree(text: &str, file: u16, diags: &mut Vec<Diagnostic>) -> Option<Node> {
    let start = Place { file, line: 1, column: 1 };
    let mut scanner = Scanner { rest: text.trim_start_matches('\u{feff}'), at: start };
    let mut entries = Vec::new();
    let mut commands = 0;
    while !scanner.rest.is_empty() {
        scanner.take_while(|c| c.is_whitespace() || c == ';');
        let at = scanner.at;
        match scanner.rest.chars().next() {
            None => break,
            Some('#') => drop(scanner.line()),
            Some(_) => match scanner.assignment() {
                Some(entry) => entries.push(entry),
                None => {
                    commands += 1;
                    diags.extend(not_executed(at, scanner.line()));
                }
            },
        }
        if entries.len() + commands > MAX_ITEMS {
            diags.push(Diagnostic::new(Code::TooLarge, at, "more than 20,000 variables and commands"));
            return None;
        }
    }
    Some(Node { at: start, value: Value::Map(entries) })
}

/// A line that sets no variable. `export NAME` only exports one.
fn not_executed(at: Place, line: &str) -> Option<Diagnostic> {
    let word = line.split(|c: char| c.is_whitespace() || c == '=').next().filter(|word| *word != "export")?;
    let word: String = word.chars().take(30).filter(|c| !c.is_control()).collect();
    Some(Diagnostic::new(Code::CommandIgnored, at, format!("\"{word}\" sets no variable, not executed")))
}

struct Scanner<'a> {
    rest: &'a str,
    at: Place,
}

impl<'a> Scanner<'a> {
    /// Consumes `bytes` bytes, which end at a character boundary.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        for c in taken.chars() {
            if c == '\n' {
                self.at.line += 1;
                self.at.column = 1;
            } else {
                self.at.column += 1;
            }
        }
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        self.take(self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len()))
    }

    /// The rest of the line.
    fn line(&mut self) -> &'a str {
        self.take_while(|c| c != '\n')
    }

    /// `NAME=value` or `export NAME=value`; consumes nothing if something else follows. `NAME = value`, which is not
    /// shell, is how a template is written.
    fn assignment(&mut self) -> Option<Entry> {
        let exported = self.rest.strip_prefix("export").filter(|r| r.starts_with([' ', '\t']));
        let body = exported.map_or(self.rest, |r| r.trim_start_matches([' ', '\t']));
        let end = body.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(body.len());
        let name = body.get(..end).filter(|n| !n.is_empty() && !n.starts_with(|c: char| c.is_ascii_digit()));
        let behind = body.get(end..)?.trim_start_matches([' ', '\t']);
        let spaces = body.len() - end - behind.len();
        let spaced = behind.starts_with("= ") || behind.starts_with("=\t");
        let name = name.filter(|_| behind.starts_with('=') && (spaces == 0 || spaced))?;
        self.take(self.rest.len() - body.len());
        let key_at = self.at;
        self.take(end + spaces + 1);
        if spaces > 0 {
            self.take_while(|c| matches!(c, ' ' | '\t'));
        }
        let at = self.at;
        let value = Node::scalar(&self.value(), at);
        Some(Entry { key: name.to_owned(), key_at, value })
    }

    /// A word of the shell: adjacent pieces, unquoted, in '…' or in "…".
    fn value(&mut self) -> String {
        let mut value = String::new();
        loop {
            value.push_str(self.take_while(|c| !c.is_whitespace() && !matches!(c, ';' | '\'' | '"' | '\\')));
            match self.rest.chars().next() {
                Some('\'') => {
                    self.take(1);
                    value.push_str(self.take_while(|c| c != '\''));
                    self.take(1);
                }
                Some('"') => self.double_quoted(&mut value),
                Some('\\') => {
                    self.take(1);
                    let escaped = self.rest.chars().next().map_or(0, char::len_utf8);
                    let escaped = self.take(escaped);
                    // A backslash at the end of a line joins it with the next.
                    value.push_str(if escaped == "\n" { "" } else { escaped });
                }
                _ => return value,
            }
        }
    }

    /// `"…"`, in which a backslash is removed only before `"`, `\`, `$`, a back quote and the end of a line.
    fn double_quoted(&mut self, value: &mut String) {
        self.take(1);
        loop {
            value.push_str(self.take_while(|c| c != '"' && c != '\\'));
            if !self.rest.starts_with('\\') {
                self.take(1);
                return;
            }
            self.take(1);
            match self.rest.chars().next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => {
                    self.take(1);
                    value.push(c);
                }
                Some('\n') => drop(self.take(1)),
                _ => value.push('\\'),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_the_shell_reads_them() {
        let mut diags = Vec::new();
        let text = "# context\nA=plain\nexport B='it'\\''s'\nC=\"a \\\"b\\\" \\$x \\y\"; D=$(reboot)\nE=\nrm -rf /\n\
                    export A\nF='two\nlines' # end\n9=x\n";
        let root = tree(text, 0, &mut diags).unwrap();
        for (name, value) in [
            ("A", "plain"),
            ("B", "it's"),
            ("C", "a \"b\" $x \\y"),
            ("D", "$(reboot)"),
            ("E", ""),
            ("F", "two\nlines"),
        ] {
            assert_eq!(root.get(name).unwrap().text(), Some(value), "{name}");
        }
        let at = root.get("B").unwrap().at;
        assert_eq!((at.line, at.column), (3, 10));
        let messages: Vec<(u32, &str)> = diags.iter().map(|d| (d.at.line, d.message.as_str())).collect();
        assert_eq!(
            messages,
            [(6, "\"rm\" sets no variable, not executed"), (10, "\"9\" sets no variable, not executed")]
        );
    }
}
