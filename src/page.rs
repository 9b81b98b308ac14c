//! Text for people: terminals, the log, consoles, a CI's annotations.
//!
//! Names and values come from media and networks that a stranger may control. [`Page`] consists of lines, and
//! everything added to it is made [`printable`], so that it cannot move a cursor, turn the reading direction or begin a
//! line of its own. Printing functions take a page, so that nothing bypasses it. JSON has its own escapes.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Plain ASCII for a serial console, or colours for a terminal.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// No escape sequences.
    #[default]
    Plain,
    /// ANSI colours.
    Colour,
}

/// The style of a part of a line, if the page has colours.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The default style.
    Normal,
    /// Bold.
    Bold,
    /// Red: an error.
    Red,
    /// Green: good.
    Green,
    /// Yellow: a warning.
    Yellow,
    /// Cyan: a note.
    Cyan,
}

impl Look {
    /// The escape sequence that begins it (ECMA-48, SGR).
    fn begin(self) -> &'static str {
        match self {
            Look::Normal => "",
            Look::Bold => "\x1b[1m",
            Look::Red => "\x1b[31m",
            Look::Green => "\x1b[32m",
            Look::Yellow => "\x1b[33m",
            Look::Cyan => "\x1b[36m",
        }
    }
}

/// Lines that can be printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    text: String,
    style: Style,
}

impl Page {
    /// An empty page.
    pub fn new(style: Style) -> Page {
        Page { text: String::new(), style }
    }

    /// Adds a line; whatever its content, it stays one line.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        let begin = self.text.len();
        // Writing to a String does not fail.
        let _ = self.text.write_fmt(line);
        if let Some(Cow::Owned(clean)) = self.text.get(begin..).map(printable) {
            self.text.truncate(begin);
            self.text.push_str(&clean);
        }
        self.text.push('\n');
    }

    /// Adds a line of parts.
    pub fn styled(&mut self, parts: &[(Look, &str)]) {
        for (look, part) in parts {
            let begin = if self.style == Style::Colour { look.begin() } else { "" };
            let end = if begin.is_empty() { "" } else { "\x1b[0m" };
            self.text.extend([begin, &printable(part), end]);
        }
        self.text.push('\n');
    }

    /// Adds an empty line.
    pub fn gap(&mut self) {
        self.text.push('\n');
    }

    /// Adds the lines of another page.
    pub fn append(&mut self, other: &Page) {
        self.text.push_str(&other.text);
    }

    /// Whether it has no line.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// All lines, each ended by a line feed.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An untrusted text in a form that can be shown on one line: control characters, line breaks, and characters that are
/// invisible or turn the reading direction are escaped, such as `\n` and `\u{202e}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unprintable(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    Cow::Owned(clean)
}

/// A character of an untrusted text that is shown with a caret below it: unprintable ones take one column, too.
pub fn one_column(c: char) -> char {
    match c {
        c if c.is_control() => ' ',
        c if is_unprintable(c) => '?',
        c => c,
    }
}

/// Unicode's categories Cc and, as far as they hide or reorder text, Cf, Zl and Zp (Unicode Technical Report 36, 3).
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_line_moves_a_cursor_or_begins_another() {
        let mut page = Page::new(Style::Plain);
        page.line(format_args!("id {}", "\x1b[2J\nnetapply: OK\r\u{202e}\u{9b}1m\u{2028}\t"));
        page.line(format_args!("Zürich 東京 …"));
        assert_eq!(
            page.as_str(),
            "id \\u{1b}[2J\\nnetapply: OK\\r\\u{202e}\\u{9b}1m\\u{2028}\\t\nZürich 東京 …\n"
        );
        let mut page = Page::new(Style::Colour);
        page.styled(&[(Look::Red, "a\x1b[0mb"), (Look::Normal, "c")]);
        assert_eq!(page.as_str(), "\x1b[31ma\\u{1b}[0mb\x1b[0mc\n");
    }
}
