//! The kernel name of a link, from its id and its name in the description.

use super::{bad, text};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::tree::Node;
use crate::model::{IfName, Kind, Located, Naming, Place};

/// A checked interface name.
pub(in crate::format) fn interface_name(
    node: &Node,
    key: &str,
    diags: &mut Vec<Diagnostic>,
) -> Option<Located<IfName>> {
    let text = text(node, key, diags)?;
    match IfName::to_give(text) {
        Ok(name) => Some(Located::new(name, node.at)),
        Err(why) => {
            diags.push(bad(Code::BadName, node, key, why.0));
            None
        }
    }
}

/// The name to give a link: `name` if the description has one; a NIC keeps its own otherwise, and a software link is
/// named by its id, unless that is no interface name or a generated one.
pub(in crate::format) fn naming_for(
    id: &str,
    id_at: Place,
    name: Option<&Node>,
    kind: Kind,
    diags: &mut Vec<Diagnostic>,
) -> Naming {
    if let Some(name) = name.and_then(|node| interface_name(node, "name", diags)) {
        return Naming::Set(name);
    }
    if kind == Kind::Physical {
        return Naming::Keep;
    }
    let noun = kind.noun();
    if is_generated(id) {
        let message = format!("the id \"{id}\" is a generated one: the {noun} is not named by it");
        diags.push(Diagnostic::new(Code::GeneratedName, id_at, message));
        return Naming::Generate;
    }
    match IfName::to_give(id) {
        Ok(name) => Naming::Set(Located::new(name, id_at)),
        Err(why) => {
            let message = format!("the id \"{id}\" is {why}: the {noun} is not named by it");
            diags.push(
                Diagnostic::new(Code::BadName, id_at, message)
                    .severity(Severity::Warning)
                    .hint(format!("give the {noun} a \"name\"")),
            );
            Naming::Generate
        }
    }
}

/// A generated id: `tapX…`, `interfaceN`, `ifaceN`, a UUID, or `port-UUID` and the like.
fn is_generated(id: &str) -> bool {
    let numbered = |prefix: &str| {
        id.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    id.starts_with("tap") || numbered("interface") || numbered("iface") || has_uuid(id)
}

/// Whether it contains a UUID: 8-4-4-4-12 hex digits.
fn has_uuid(id: &str) -> bool {
    const LENGTH: usize = 36;
    id.as_bytes().windows(LENGTH).any(|window| {
        window.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree;

    fn naming(id: &str, name: &str, kind: Kind) -> (String, Vec<Code>) {
        let mut diags = Vec::new();
        let root = tree::parse(&format!("name: {name}\n"), 0, &mut diags).unwrap();
        let naming = match naming_for(id, Place::NONE, root.get("name"), kind, &mut diags) {
            Naming::Set(name) => name.value.to_string(),
            Naming::Keep => "keep".into(),
            Naming::Generate => "generate".into(),
            Naming::Alternative(_) => "alternative".into(),
        };
        (naming, diags.iter().map(|d| d.code).collect())
    }

    #[test]
    fn the_name_comes_first_and_a_good_id_next() {
        assert_eq!(naming("x", "mgmt0", Kind::Physical), ("mgmt0".into(), vec![]));
        assert_eq!(naming("eno1", "null", Kind::Physical), ("keep".into(), vec![]));
        assert_eq!(naming("aggi", "''", Kind::Bond), ("aggi".into(), vec![]));
        assert_eq!(naming("x", "mgmt0", Kind::Bond), ("mgmt0".into(), vec![]));
        assert_eq!(naming("x", "much-too-long-for-linux", Kind::Bond), ("x".into(), vec![Code::BadName]));
        assert_eq!(naming("my/bond", "", Kind::Bond), ("generate".into(), vec![Code::BadName]));
    }

    #[test]
    fn generated_ids_name_nothing() {
        for id in [
            "tap7819ff08-20",
            "interface0",
            "iface12",
            "86ffb399-6dd4-4e6c-8eb0-069d608bc5ca",
            "port-92750f6c-60a9-4897-9cd1-090c5f361e18",
            "86ffb399-6dd4-4e6c-8eb0-069d608bc5ca_vlan_100",
        ] {
            assert_eq!(naming(id, "", Kind::Bond), ("generate".into(), vec![Code::GeneratedName]), "{id}");
        }
        for id in ["interface", "iface", "vlan0", "bond0", "link1"] {
            assert!(!is_generated(id), "{id}");
        }
    }
}
