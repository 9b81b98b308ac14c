//! Routing tables that commands call by a name, as /etc/iproute2/rt_tables has it. A command of the description may
//! itself add the line; other names are looked up by `resolve`.

use crate::format::eni::words_of;
use crate::format::tree::Entry;
use crate::model::{Located, NAMED_TABLES};

/// The names that ip(8) always knows (`RT_TABLE_DEFAULT`, …).
const KNOWN: [(&str, u32); 3] = [("default", 253), ("main", 254), ("local", 255)];
/// The file, and the folder with more of them.
const FILE: &str = "/iproute2/rt_tables";

/// How many names are remembered: each is compared with every other.
const MOST: usize = 1000;

/// The names of a file's commands.
#[derive(Debug, Default)]
pub(in crate::format::eni) struct Tables {
    /// Those that a command adds to the file, with their numbers.
    numbers: Vec<(String, u32)>,
    /// The others, where they are first written.
    pub(in crate::format::eni) names: Vec<Located<String>>,
}

impl Tables {
    pub(in crate::format::eni) fn of<'a>(commands: impl Iterator<Item = &'a Entry> + Clone) -> Tables {
        let mut tables = Tables::default();
        tables.numbers.extend(commands.clone().filter_map(|entry| added(&words_of(entry))).take(MOST));
        for entry in commands {
            for name in names(&words_of(entry)) {
                if tables.names.len() < MOST && tables.number(name).is_none() {
                    tables.names.push(Located::new(name.to_owned(), entry.key_at));
                }
            }
        }
        tables
    }

    /// The number of a table; of one that only has a name its stand-in.
    pub(super) fn number(&self, word: &str) -> Option<u32> {
        let known = KNOWN.iter().find(|(name, _)| *name == word).map(|(_, number)| *number);
        let added = || self.numbers.iter().find(|(name, _)| name == word).map(|(_, number)| *number);
        let named = || {
            let index = self.names.iter().position(|name| name.value == word)?;
            NAMED_TABLES.checked_add(u32::try_from(index).ok()?)
        };
        known.or_else(|| super::number(word)).or_else(added).or_else(named)
    }
}

/// What stands after `table` and `lookup` in a command of ip(8).
fn names<'a>(words: &[&'a str]) -> impl Iterator<Item = &'a str> {
    // A command is one value, or one for each word.
    let words: Vec<&str> = words.iter().flat_map(|text| text.split([' ', '\t', ';'])).collect();
    let is_name = |word: &str| {
        super::number(word).is_none()
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    };
    let is_ip = words.iter().any(|word| word.rsplit('/').next() == Some("ip"));
    let mut before = "";
    words.into_iter().filter(move |word| {
        let is_table = matches!(std::mem::replace(&mut before, word), "table" | "lookup");
        is_ip && is_table && !word.is_empty() && is_name(word)
    })
}

/// The name and number that `echo "100 mgmt" >> /etc/iproute2/rt_tables` adds.
pub(in crate::format::eni) fn added(words: &[&str]) -> Option<(String, u32)> {
    let command = words.join(" ");
    let (before, file) = command.rsplit_once('>')?;
    let (_, line) = before.rsplit_once("echo ").filter(|_| file.contains(FILE))?;
    let line = line.replace(['"', '\'', '>'], " ").replace("\\t", " ");
    let mut words = line.split_whitespace().filter(|word| !word.starts_with('-'));
    let (number, name) = (super::number(words.next()?)?, words.next()?);
    words.next().is_none().then(|| (name.to_owned(), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_adds_a_name_is_read() {
        for command in [
            "echo \"100 mgmt\" >> /etc/iproute2/rt_tables",
            "echo 100 mgmt>>/etc/iproute2/rt_tables",
            "grep -q mgmt /etc/iproute2/rt_tables || echo '100 mgmt' >> /etc/iproute2/rt_tables",
            "/bin/echo -e 0x64\\tmgmt > /etc/iproute2/rt_tables.d/mgmt.conf",
        ] {
            assert_eq!(added(&[command]), Some(("mgmt".to_owned(), 100)), "{command}");
        }
        for command in [
            "echo 100 mgmt >> /tmp/rt_tables",
            "echo mgmt >> /etc/iproute2/rt_tables",
            "echo 100 mgmt more >> /etc/iproute2/rt_tables",
            "grep mgmt /etc/iproute2/rt_tables",
        ] {
            assert_eq!(added(&[command]), None, "{command}");
        }
    }

    #[test]
    fn names_of_tables_stand_after_two_words_of_ip() {
        let of = |words: &[&'static str]| names(words).collect::<Vec<_>>();
        assert_eq!(
            of(&["ip rule add from 192.0.2.9 lookup isp; ip route add default table isp2"]),
            ["isp", "isp2"]
        );
        assert_eq!(of(&["ip", "route", "add", "default", "table", "7"]), [""; 0]);
        assert_eq!(of(&["nft", "add", "table", "inet"]), [""; 0]);
        assert_eq!(of(&["ip", "rule", "add", "table", "$TABLE"]), [""; 0]);
    }
}
