//! Templates that were not rendered: placeholders such as `{{ x }}`, `${x}` and `%{ if … }`. Entries: [`find`],
//! [`values`].

use foldhash::HashSet;

use super::tree::{Node, Value};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::Place;

/// How a placeholder begins and ends, and what renders it.
const MARKERS: [(&str, &str, &str); 6] = [
    ("{{", "}}", "render it first: Jinja, Ansible and Helm write {{ … }}"),
    ("{%", "%}", "render it first: Jinja and Ansible write {% … %}"),
    ("{#", "#}", "render it first: Jinja and Ansible write {# … #}"),
    ("${", "}", "render it first: Terraform's templatefile() and envsubst write ${…}"),
    ("%{", "}", "render it first: Terraform's templatefile() writes %{…}"),
    ("<%", "%>", "render it first: ERB writes <% … %>"),
];
/// How many values are named one by one.
const MOST: usize = 20;

/// A template placeholder.
#[derive(Debug)]
pub(super) struct Marker<'a> {
    /// As written.
    text: &'a str,
    hint: &'static str,
    line: u32,
    column: u32,
}

impl Marker<'_> {
    /// For a file that cannot be parsed because of it.
    pub(super) fn diagnostic(&self, file: u16) -> Diagnostic {
        let at = Place { file, line: self.line, column: self.column };
        let message = format!("the file is a template that was not rendered: {}", self.text);
        Diagnostic::new(Code::UnrenderedTemplate, at, message).hint(self.hint)
    }
}

/// The first placeholder in a file, except in comments.
pub(super) fn find(text: &str) -> Option<Marker<'_>> {
    if !MARKERS.iter().any(|(begin, ..)| text.contains(begin)) {
        return None;
    }
    let is_comment = |line: &str| line.trim_start().starts_with('#');
    let lines = text.lines().enumerate().filter(|(_, line)| !is_comment(line));
    lines.filter_map(|(index, line)| in_line(line).map(|found| (index, line, found))).next().map(
        |(index, line, (at, marker, hint))| Marker {
            text: marker,
            hint,
            line: index as u32 + 1,
            column: line.get(..at).map_or(0, |before| before.chars().count()) as u32 + 1,
        },
    )
}

/// The first placeholder on a line: where, what and by whom it is rendered.
fn in_line(line: &str) -> Option<(usize, &str, &'static str)> {
    let places = MARKERS.iter().filter_map(|(begin, end, hint)| {
        let at = line.find(begin)?;
        let rest = line.get(at..)?;
        let inner = rest.get(begin.len()..)?;
        let length = inner.find(end).filter(|length| {
            // It is not empty: `{{}}` is an empty mapping twice. One brace also ends a JSON mapping.
            let inner = inner.get(..*length).unwrap_or_default();
            !inner.trim().is_empty() && (end.len() > 1 || !inner.contains(['"', '{']))
        })?;
        Some((at, rest.get(..begin.len() + length + end.len())?, *hint))
    });
    places.min_by_key(|(at, ..)| *at)
}

/// Reports each key and value of a tree that is a placeholder, and adds its place to `found`.
pub(super) fn values(root: &Node, found: &mut HashSet<Place>, diags: &mut Vec<Diagnostic>) {
    match &root.value {
        Value::Scalar(scalar) => scalar_at(&scalar.text, root.at, found, diags),
        Value::List(items) => items.iter().for_each(|item| values(item, found, diags)),
        Value::Map(entries) => {
            for entry in entries {
                scalar_at(&entry.key, entry.key_at, found, diags);
                values(&entry.value, found, diags);
            }
        }
        Value::Null => {}
    }
}

fn scalar_at(text: &str, at: Place, found: &mut HashSet<Place>, diags: &mut Vec<Diagnostic>) {
    let Some((_, marker, hint)) = text.lines().find_map(in_line) else { return };
    if found.len() < MOST {
        let message = format!("a template that was not rendered: {marker}");
        diags.push(Diagnostic::new(Code::UnrenderedTemplate, at, message).hint(hint));
    }
    found.insert(at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::parse;

    #[test]
    fn each_engines_places_are_known_and_nothing_else() {
        for text in [
            "{{ x }}",
            "mtu: {{mtu}}",
            "{% if x == \"y\" %}",
            "a: ${ip}",
            "%{ for n in nics ~}",
            "<%= @ip %>",
            "{# text #}",
        ] {
            assert!(find(text).is_some(), "{text}");
        }
        for text in [
            "{\"a\":{\"b\":{}}}",
            "# {{ ansible_managed }}\nversion: 2",
            "a: {{}}",
            "price: $5 {x}",
            "100%",
            "a: {b: {c: d}}",
        ] {
            assert!(find(text).is_none(), "{text}");
        }
        let marker = find("a: 1\nb: ü {{ c }} ${d}").unwrap();
        assert_eq!((marker.text, marker.line, marker.column), ("{{ c }}", 2, 6));
    }

    /// Parsed or not, the template is the mistake, and nothing else is reported about its value.
    #[test]
    fn a_template_is_recognised_in_every_format() {
        for text in [
            "{\"links\": [{\"id\": \"a\", \"type\": \"phy\", \"mtu\": {{ mtu }}}]}",
            "{\"links\": [{\"id\": \"a\", \"type\": \"phy\", \"ethernet_mac_address\": \"${mac}\"}]}",
            "network:\n  version: 2\n  ethernets:\n    eth0: {mtu: {{ mtu }}}\n",
            "network:\n  version: 2\n  ethernets:\n    eth0:\n      addresses: ['{{ ip }}/24']\n",
            "version: 2\nethernets:\n%{ for n in nics }\n  ${n}: {}\n%{ endfor }\n",
            "version: 1\nconfig:\n- {type: physical, name: eth0, mac_address: '${mac}'}\n",
            "network:\n  version: 2\n  ethernets:\n    ${nic}: {addresses: [192.0.2.1/24]}\n",
        ] {
            let parsed = parse(vec![("net".into(), text.into())]);
            let codes: Vec<_> = parsed.diagnostics.iter().map(|d| d.code).collect();
            assert!(codes.contains(&Code::UnrenderedTemplate), "{text}: {:?}", parsed.diagnostics);
            let other = [Code::Syntax, Code::BadValue, Code::BadAddress, Code::BadName];
            assert!(!codes.iter().any(|code| other.contains(code)), "{text}: {:?}", parsed.diagnostics);
        }
        // A file with another mistake, and a template's comment, stays a syntax error.
        let parsed = parse(vec![("net".into(), "# {{ ansible_managed }}\nversion: 2\n\tx: 1\n".into())]);
        assert_eq!(parsed.diagnostics[0].code, Code::Syntax);
    }
}
