//! Many descriptions in one file, as Terraform, Ansible and Kubernetes write them: a mapping from a node to its
//! description, JSON lines, YAML documents, manifests. Only `netapply check` reads a file this way; a boot reads one
//! description. Entry: [`split`]; each part is then read by [`Description::read`].

use std::sync::Arc;

use foldhash::HashMap;

use super::piece::{Body, Piece, is_description};
use super::tree::{self, Node, Tree, TreePart, Value};
use super::{Content, Parsed, Reading, Text, kubernetes, parse, recognise};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::Place;

/// How many parts are examined to see whether they are descriptions.
const LOOK: usize = 32;
/// Levels of lists and mappings around a description: Terraform's output of all values has two.
const LEVELS: usize = 4;

/// One node's description in a file with many.
#[derive(Debug)]
pub struct Description {
    /// The node's name in the file: its key, the name next to it, or the line.
    pub node: String,
    /// Where it begins.
    at: Place,
    body: Body,
    /// Errors of the file around it.
    diags: Vec<Diagnostic>,
}

/// Passes the descriptions of a file with many, one after the other, to `found`. False if it is one description, or
/// none.
pub fn split(text: &str, found: &mut dyn FnMut(Description)) -> bool {
    let Some(entries) = shape(text) else { return false };
    let mut names: HashMap<String, Place> = HashMap::default();
    let mut count = 0_usize;
    tree::each(text, entries, &mut |part| {
        let TreePart { key, value } = part;
        let tree = match value {
            Ok(tree) => tree,
            Err(wrong) => {
                count += 1;
                let node = key.map_or_else(|| format!("line {}", wrong.at.line), |(key, _)| key);
                found(Description { node, at: wrong.at, body: Body::Wrong(wrong), diags: Vec::new() });
                return true;
            }
        };
        let (name, at) = match key {
            Some((key, at)) => (Some(key), at),
            None => (None, tree.root.at),
        };
        let mut pieces = Vec::new();
        collect(name, at, tree, text, 0, &mut pieces);
        for mut piece in pieces {
            count += 1;
            let node = piece.node.unwrap_or_else(|| format!("line {}", piece.at.line));
            match names.get(&node) {
                Some(first) => piece.diags.push(
                    Diagnostic::new(
                        Code::DuplicateKey,
                        piece.at,
                        format!("the node \"{node}\" is described twice, first on line {}", first.line),
                    )
                    .hint("most programs read the last one only: remove one of the two"),
                ),
                None => {
                    names.insert(node.clone(), piece.at);
                }
            }
            found(Description { node, at: piece.at, body: piece.body, diags: piece.diags });
        }
        true
    });
    count > 0
}

/// The description in a manifest of Kubernetes that has only one; `None` for anything else.
pub(super) fn only(name: &str, text: &str) -> Option<Parsed> {
    // Most texts are none, and cost nothing.
    if !text.contains("apiVersion") || text.len() > tree::MAX_BYTES || shape(text) != Some(false) {
        return None;
    }
    let mut first = None;
    let mut count = 0;
    split(text, &mut |description| {
        count += 1;
        first.get_or_insert(description);
    });
    let description = first.filter(|_| count == 1)?;
    Some(description.read(name, &Content::new(text.to_owned())))
}

/// Whether a file has many descriptions: in the entries of its first value (true), or one in each value. `None` for one
/// description, and for other files.
fn shape(text: &str) -> Option<bool> {
    let body = text.trim_start_matches('\u{feff}').trim_start();
    if tree::is_several(text) {
        let mut is_any = false;
        let mut left = LOOK;
        tree::each(text, false, &mut |part| {
            left -= 1;
            is_any = part.value.is_ok_and(|tree| holds_one(&tree.root, 0));
            !is_any && left > 0
        });
        return is_any.then_some(false);
    }
    // Most files are one description, recognised by its first key.
    if first_key(body).is_some_and(recognise::is_top_level)
        || (!body.starts_with(['{', '[']) && recognise::lines(text).is_some())
    {
        return None;
    }
    let (mut is_any, mut is_one, mut is_object, mut left) = (false, false, false, LOOK);
    tree::each(text, true, &mut |TreePart { key, value }| {
        left -= 1;
        match key.as_ref().map(|(key, _)| key.as_str()) {
            Some("apiVersion") => is_object = true,
            Some(key) if recognise::is_top_level(key) => is_one = true,
            _ => is_any |= value.is_ok_and(|tree| holds_one(&tree.root, 0)),
        }
        !is_one && !is_object && left > 0
    });
    match (is_object, is_one, is_any) {
        (true, ..) => Some(false),
        (false, false, true) => Some(true),
        _ => None,
    }
}

/// The first key of a file that is a mapping, without parsing it.
fn first_key(body: &str) -> Option<&str> {
    if let Some(json) = body.strip_prefix('{') {
        return json.trim_start().strip_prefix('"')?.split('"').next();
    }
    let mut lines = body.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '-', '%']));
    lines.next()?.split(':').next()
}

/// Whether a value is a description, or contains some.
fn holds_one(root: &Node, level: usize) -> bool {
    if is_description(root) || is_object(root) || inner(root).is_some() {
        return true;
    }
    let below = |value: &Node| level < LEVELS && holds_one(value, level + 1);
    match &root.value {
        Value::Map(entries) => match terraform(root) {
            Some(value) => holds_one(value, level),
            None => level == 0 && entries.iter().take(LOOK).any(|entry| is_description(&entry.value)),
        },
        Value::List(items) => items.iter().take(LOOK).any(below),
        _ => false,
    }
}

/// A Kubernetes object.
fn is_object(root: &Node) -> bool {
    root.get("apiVersion").is_some() && root.get("kind").is_some()
}

/// An embedded description, as `jsonencode` and `yamlencode` write it.
fn inner(root: &Node) -> Option<&str> {
    let text = root.text().filter(|text| text.contains(['\n', '{']))?;
    is_text(text).then_some(text)
}

fn is_text(text: &str) -> bool {
    recognise::lines(text).is_some() || tree::read(text, 0).is_ok_and(|tree| is_description(&tree.root))
}

/// The value in an entry of `terraform output -json` without a name.
fn terraform(root: &Node) -> Option<&Node> {
    let Value::Map(entries) = &root.value else { return None };
    let known = |key: &str| matches!(key, "value" | "type" | "sensitive");
    root.get("value").filter(|_| entries.len() > 1 && entries.iter().all(|entry| known(&entry.key)))
}

/// The name of an object, next to its description.
fn name_in(root: &Node) -> Option<String> {
    let names = ["name", "node", "hostname", "host", "id", "uuid"];
    // An object with links of its own has no name for them; one that wraps a description may have one.
    let is_wrapper = ["network", "network_data", "network_info"].iter().any(|key| root.get(key).is_some());
    let mut texts = names.iter().filter_map(|name| root.get(name)?.text().map(str::to_owned));
    texts.find(|name| is_wrapper && !name.is_empty())
}

/// Finds the descriptions in a value; `name` and `at` are its key's.
fn collect(name: Option<String>, at: Place, tree: Tree, text: &str, level: usize, out: &mut Vec<Piece>) {
    let Tree { root, duplicates, tolerated } = tree;
    if root.value == Value::Null && name.is_none() {
        return;
    }
    let part = |value: &Node| {
        let end = last(value);
        let duplicates = duplicates.iter().filter(|d| d.at >= value.at && d.at <= end).cloned().collect();
        Tree { root: value.clone(), duplicates, tolerated: None }
    };
    if is_object(&root) {
        return kubernetes::descriptions(&root, text, &part, out);
    }
    let is_leaf = is_description(&root) || level > LEVELS;
    match (&root.value, terraform(&root)) {
        (Value::Scalar(_), _) if inner(&root).is_some() => {
            let body = Body::text(&root, text);
            out.push(Piece::new(name, at, body));
        }
        (Value::Map(_), Some(value)) if !is_leaf => {
            // Other outputs are unrelated.
            if holds_one(value, 0) {
                collect(name, at, part(value), text, level + 1, out);
            }
        }
        (Value::Map(entries), None)
            if !is_leaf
                && (name.is_none() || level > 0)
                && entries.iter().any(|e| holds_one(&e.value, 1)) =>
        {
            for entry in entries {
                collect(Some(entry.key.clone()), entry.key_at, part(&entry.value), text, level + 1, out);
            }
        }
        (Value::List(items), _) if !is_leaf && items.iter().any(|item| holds_one(item, 0)) => {
            for (index, item) in items.iter().enumerate() {
                let own = name_in(item).or_else(|| name.as_ref().map(|name| format!("{name}[{index}]")));
                collect(own, item.at, part(item), text, level + 1, out);
            }
        }
        _ => {
            let name = name.or_else(|| name_in(&root));
            out.push(Piece::new(name, at, Body::Tree(Tree { root, duplicates, tolerated })));
        }
    }
}

/// The place of the last value below a node.
fn last(node: &Node) -> Place {
    let last = match &node.value {
        Value::Map(entries) => entries.last().map(|entry| last(&entry.value)),
        Value::List(items) => items.last().map(last),
        _ => None,
    };
    last.unwrap_or(node.at)
}

impl Description {
    /// Reads it; `name` is the file's, and `content` the file's content.
    pub fn read(self, name: &str, content: &Arc<Content>) -> Parsed {
        let Description { node, at, body, diags } = self;
        let mut reading = Reading { diags, ..Reading::default() };
        let (format, root) = match body {
            Body::Tree(tree) => reading.classify(tree, "", content.has_markers()),
            Body::Text(text, Some((lines, columns))) => {
                let before = reading.diags.len();
                let (format, mut root) = reading.understand(&text, 0);
                let shift = |at: &mut Place| {
                    if at.is_known() {
                        (at.line, at.column) = (at.line + lines, at.column + columns);
                    }
                };
                root.iter_mut().for_each(|root| each_place(root, &shift));
                reading.diags.iter_mut().skip(before).for_each(|diagnostic| shift(&mut diagnostic.at));
                for duplicate in &mut reading.duplicates {
                    shift(&mut duplicate.at);
                    shift(&mut duplicate.first);
                }
                reading.unrendered = std::mem::take(&mut reading.unrendered)
                    .into_iter()
                    .map(|mut at| {
                        shift(&mut at);
                        at
                    })
                    .collect();
                (format, root)
            }
            Body::Text(text, None) => {
                // Its places are its own: the embedded text is not in the file as such.
                return parse(vec![(format!("{name} ({node})"), text)]);
            }
            Body::Wrong(wrong) => {
                reading.diags.push(wrong);
                (None, None)
            }
        };
        let text = Text { name: name.to_owned(), root, content: Arc::clone(content) };
        reading.texts.push((format, text));
        let mut parsed = reading.finish();
        // Without a place, it concerns the whole node.
        parsed.diagnostics.iter_mut().filter(|d| !d.at.is_known()).for_each(|d| d.at = at);
        parsed
    }
}

fn each_place(node: &mut Node, shift: &dyn Fn(&mut Place)) {
    shift(&mut node.at);
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| each_place(item, shift)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| {
            shift(&mut entry.key_at);
            each_place(&mut entry.value, shift);
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOND: &str = r#"{"links": [{"id": "a", "type": "phy", "mtu": 1}], "networks": []}"#;

    /// A node with its diagnostics: code, line and column.
    type Read = (String, Vec<(Code, u32, u32)>);

    fn read(text: &str) -> Vec<Read> {
        let content = Content::new(text.to_owned());
        let mut nodes = Vec::new();
        let many = split(text, &mut |description| {
            let node = description.node.clone();
            let parsed = description.read("file", &content);
            let diags = parsed.diagnostics.iter().map(|d| (d.code, d.at.line, d.at.column)).collect();
            nodes.push((node, diags));
        });
        assert_eq!(many, !nodes.is_empty(), "{text}");
        nodes
    }

    fn names(text: &str) -> Vec<String> {
        read(text).into_iter().map(|(node, _)| node).collect()
    }

    #[test]
    fn a_manifest_with_one_description_is_that_description() {
        let secret = |name: &str| {
            format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData:\n  nmstate: |\n    interfaces:\n    - {{name: eth0, type: ethernet, mtu: x}}\n"
            )
        };
        let parsed = parse(vec![("f".into(), secret("a"))]);
        assert_eq!((parsed.desired.links.len(), parsed.format), (1, "nmstate"));
        let wrong = parsed.diagnostics.iter().find(|d| d.code == Code::BadValue).unwrap();
        assert_eq!((wrong.at.line, wrong.at.column), (7, 41));
        // Of two nobody can tell which is meant.
        let two = format!("{}---\n{}", secret("a"), secret("b"));
        assert!(parse(vec![("f".into(), two)]).desired.links.is_empty());
        let encoded = base64_of(
            "links: [{id: a, type: phy, ethernet_mac_address: '52:54:00:00:00:01'}]\nnetworks: []\n",
        );
        let secret = format!("apiVersion: v1\nkind: Secret\ndata:\n  networkData: {encoded}\n");
        assert_eq!(parse(vec![("f".into(), secret)]).desired.links.len(), 1);
    }

    fn base64_of(text: &str) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for three in text.as_bytes().chunks(3) {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - three.len()));
            for place in 0..=three.len() {
                out.push(char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]));
            }
        }
        out + &"=".repeat((3 - text.len() % 3) % 3)
    }

    #[test]
    fn interfaces_of_an_nmstate_config_are_mapped_by_mac_address() {
        let config = "apiVersion: agent-install.openshift.io/v1beta1\nkind: NMStateConfig\nmetadata: {name: n1}\nspec:\n  config:\n    \
                      interfaces:\n    - name: nic0\n      type: ethernet\n    - {name: b, type: bond, link-aggregation: {mode: balance-rr, port: [nic0, nic1]}}\n  \
                      interfaces:\n  - {name: nic0, macAddress: '52:54:00:00:00:01'}\n  - {name: nic1, macAddress: '52:54:00:00:00:02'}\n  - {name: nic2, macAddress: '52:54:00:00:00:03'}\n";
        let parsed = parse(vec![("f".into(), config.into())]);
        let mut links: Vec<(&str, Option<String>)> = parsed
            .desired
            .links
            .iter()
            .map(|l| (l.id.as_str(), l.select.mac.map(|mac| mac.value.to_string())))
            .collect();
        links.sort();
        let mac = |last: u8| Some(format!("52:54:00:00:00:0{last}"));
        assert_eq!(links, [("b", None), ("nic0", mac(1)), ("nic1", mac(2))], "{:?}", parsed.diagnostics);
        let notes: Vec<&str> = parsed.diagnostics.iter().map(|d| d.message.as_str()).collect();
        assert!(notes.iter().any(|note| note.contains("nic2")), "{notes:?}");
    }

    #[test]
    fn one_description_is_not_many() {
        for text in [
            BOND,
            "{}",
            "",
            "network:\n  version: 2\n  ethernets: {eth0: {dhcp4: true}}\n",
            "---\nnetwork: {version: 2, ethernets: {}}\n",
            "version: 1\nconfig: [{type: physical, name: eth0}]\n",
            r#"{"uuid": "x", "network_info": {"links": []}}"#,
            r#"{"hostname": "x", "network_data": {"links": []}}"#,
            "auto eth0\niface eth0 inet dhcp\n",
            "a: {b: c}\nd: [e]\n",
            "{\"links\": [}",
            "[1, 2]",
        ] {
            assert_eq!(names(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_mapping_of_nodes_in_json_and_yaml() {
        let json = format!("{{\"n1\": {BOND},\n \"n2\": {BOND},\n \"n3\": {{}}, \"n4\": 7}}");
        let nodes = read(&json);
        let names: Vec<&str> = nodes.iter().map(|(node, _)| node.as_str()).collect();
        assert_eq!(names, ["n1", "n2", "n3", "n4"]);
        // The places are the file's.
        assert!(nodes[0].1.contains(&(Code::BadValue, 1, 53)), "{nodes:?}");
        assert!(nodes[1].1.contains(&(Code::BadValue, 2, 53)), "{nodes:?}");
        assert_eq!(nodes[2].1, [(Code::NoLinks, 3, 2)]);
        assert_eq!(nodes[3].1[0].0, Code::UnknownFormat);
        let yaml = "defaults: &d {type: phy, mtu: 1}\nn1:\n  links:\n  - {id: a, <<: *d}\nn2:\n  links: []\n";
        let nodes = read(yaml);
        assert_eq!(nodes.len(), 3, "{nodes:?}");
        assert!(nodes[1].1.iter().any(|(code, ..)| *code == Code::BadValue), "{nodes:?}");
    }

    #[test]
    fn texts_in_a_text_and_terraforms_wrapper() {
        let text =
            "{\"n1\": \"version: 2\\nethernets: {eth0: {mtu: 1}}\\n\", \"n2\": \"{\\\"links\\\": []}\"}";
        let nodes = read(text);
        assert_eq!(nodes[0].1[0].0, Code::BadValue, "{nodes:?}");
        assert_eq!(names(text), ["n1", "n2"]);
        let all = format!(
            "{{\"count\": {{\"sensitive\": false, \"type\": \"number\", \"value\": 2}},
              \"nodes\": {{\"sensitive\": false, \"type\": [\"map\"], \"value\": {{\"n1\": {BOND}, \"n2\": {BOND}}}}}}}"
        );
        assert_eq!(names(&all), ["n1", "n2"]);
        assert_eq!(
            names(&format!("[{{\"name\": \"n1\", \"network_data\": {BOND}}}, {BOND}]")),
            ["n1", "line 1"]
        );
        // A block of lines keeps its places in the file.
        let block = "n1: |\n  version: 2\n  ethernets:\n    eth0: {mtu: 1}\n";
        assert_eq!(read(block)[0].1[0], (Code::BadValue, 4, 17));
    }

    #[test]
    fn json_lines_are_read_line_by_line() {
        let lines = format!(
            "{{\"name\": \"n1\", \"network_data\": {BOND}}}\n{{\"links\": [}}\n\n{{\"n3\": {BOND}}}\n{BOND}\n"
        );
        let nodes = read(&lines);
        let names: Vec<&str> = nodes.iter().map(|(node, _)| node.as_str()).collect();
        assert_eq!(names, ["n1", "line 2", "n3", "line 5"]);
        assert_eq!(nodes[1].1[0].0, Code::Syntax);
        assert_eq!(nodes[1].1[0].1, 2);
        assert!(nodes[3].1.contains(&(Code::BadValue, 5, 46)), "{nodes:?}");
    }

    #[test]
    fn a_duplicate_node_is_reported() {
        let nodes = read(&format!("{{\"n1\": {BOND},\n\"n1\": {BOND}}}"));
        assert!(nodes[1].1.contains(&(Code::DuplicateKey, 2, 1)), "{nodes:?}");
    }

    #[test]
    fn manifests_of_kubernetes() {
        let text = "\
apiVersion: v1
kind: Secret
metadata: {name: n1, namespace: metal3}
stringData:
  networkData: |
    links:
    - {id: a, type: phy, mtu: 1}
---
apiVersion: v1
kind: Secret
metadata: {name: n2}
data:
  networkData: eyJsaW5rcyI6IFt7ImlkIjogImEiLCAidHlwZSI6ICJwaHkiLCAibXR1IjogMX1dfQ==
  userData: aGFsbG8=
---
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: n2}
spec: {networkData: {name: n2, namespace: metal3}}
---
apiVersion: v1
kind: Secret
metadata: {name: n3}
data: {networkData: '%%%'}
";
        let nodes = read(text);
        let names: Vec<&str> = nodes.iter().map(|(node, _)| node.as_str()).collect();
        assert_eq!(names, ["Secret metal3/n1", "Secret n2", "Secret n3"]);
        assert!(nodes[0].1.contains(&(Code::BadValue, 7, 31)), "{nodes:?}");
        assert!(nodes[1].1.contains(&(Code::BadValue, 1, 46)), "{nodes:?}");
        assert_eq!(nodes[2].1, [(Code::BadValue, 24, 21)]);
    }

    #[test]
    fn a_templates_literals_are_checked_and_the_rest_is_named() {
        let text = "\
apiVersion: infrastructure.cluster.x-k8s.io/v1beta1
kind: Metal3DataTemplate
metadata: {name: t}
spec:
  clusterName: c
  networkData:
    links:
      ethernets:
      - {type: phy, id: e1, mtu: 9000, macAddress: {fromHostInterface: eth0}}
      - {type: phy, id: e2, mtu: 9000, macAddress: {string: '52:54:00:00:00:0z'}}
      bonds:
      - {id: b, bondMode: 802.3ad, macAddress: {fromHostInterface: eth0}, bondLinks: [e1, e3]}
      vlans:
      - {id: v, vlanID: 5000, vlanLink: b, mtu: 9000, macAddress: {fromHostInterface: eth0}}
    networks:
      ipv4:
      - id: n
        link: b
        ipAddressFromIPPool: pool
        routes: [{network: 10.0.0.0, prefix: 8, gateway: {fromIPPool: pool}}, {network: 10.0.0.0, prefix: 99, gateway: {string: 10.0.0.1}}]
      ipv4DHCP: [{id: d, link: e9}]
    services: {dns: [8.8.8.8, 8.8.8], dnsFromIPPool: pool}
";
        let nodes = read(text);
        let [(name, diags)] = &nodes[..] else { panic!("{nodes:?}") };
        assert_eq!(name, "Metal3DataTemplate t");
        let at = |code: Code, line: u32| {
            assert!(diags.iter().any(|(c, l, _)| (*c, *l) == (code, line)), "{code} {line}: {diags:#?}");
        };
        at(Code::Templated, 9);
        at(Code::Templated, 19);
        at(Code::Templated, 20);
        at(Code::Templated, 22);
        at(Code::BadValue, 10);
        at(Code::ImpliedLink, 12);
        at(Code::BadValue, 14);
        at(Code::BadAddress, 22);
        assert!(!diags.iter().any(|(code, ..)| *code == Code::NoMac), "{diags:#?}");
    }
}
