//! Several sources of one boot: a drive, the kernel command line, the firmware's tables. If two describe one NIC, the
//! first is used. Entry: [`join`].

use super::Text;
use super::recognise::Format;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Desired, Kind, Link, LinkRef, NAMED_TABLES, NamePattern};

/// Formats of a boot's own sources, each of which is a complete description.
fn is_of_boot(format: Format) -> bool {
    matches!(format, Format::CommandLine | Format::Firmware)
}

/// Adds the content of a document. Documents of one source describe one network together: duplicates are errors, which
/// the check finds. Between sources the earlier one takes precedence.
pub(super) fn join(
    desired: &mut Desired,
    mut more: Desired,
    texts: &[(Option<Format>, Text)],
    format: Option<Format>,
    diags: &mut Vec<Diagnostic>,
) {
    let first = texts.iter().find_map(|(format, _)| *format);
    let differs = first != format && [first, format].into_iter().flatten().any(is_of_boot);
    if differs {
        supersede(desired, &mut more, texts, diags);
    }
    // Their stand-ins begin anew in each document.
    let named = u32::try_from(desired.tables.len()).unwrap_or_default();
    if named > 0 && !more.tables.is_empty() {
        more.renumber_tables(&mut |table| {
            Some(if table < NAMED_TABLES { table } else { table.saturating_add(named) })
        });
    }
    desired.tables.append(&mut more.tables);
    desired.links.extend(more.links);
    desired.rules.extend(more.rules);
    desired.closed |= more.closed && !differs;
    desired.resolver.merge(&more.resolver);
    desired.host_name = desired.host_name.take().or(more.host_name);
}

/// Removes from `more` what `desired` describes, and marks the rest: the two may identify a NIC by different names.
fn supersede(
    desired: &Desired,
    more: &mut Desired,
    texts: &[(Option<Format>, Text)],
    diags: &mut Vec<Diagnostic>,
) {
    let mut renamed: Vec<(String, String)> = Vec::new();
    more.links.retain_mut(|link| {
        link.yields = true;
        let same_nic = desired.links.iter().find(|other| is_same_nic(other, link));
        let same_id = || desired.links.iter().find(|other| other.id == link.id);
        let Some(other) = same_nic.or_else(same_id) else { return true };
        let both_nics = other.kind == Kind::Physical && link.kind == Kind::Physical;
        if same_nic.is_none() && both_nics && !link.select.implied {
            // Two NICs by names from the documents, which only a machine can distinguish.
            let id = format!("{}@{}", link.id, link.at.file);
            renamed.push((std::mem::replace(&mut link.id, id.clone()), id));
            return true;
        }
        let name = |file: u16| texts.get(usize::from(file)).map_or("another source", |(_, text)| &text.name);
        let message = format!(
            "\"{}\" is described by {} already (line {}): what {} says of it is left out",
            link.id,
            name(other.at.file),
            other.at.line,
            name(link.at.file)
        );
        diags.push(Diagnostic::new(Code::Superseded, link.at, message));
        renamed.push((link.id.clone(), other.id.clone()));
        false
    });
    for link in &mut more.links {
        let Link { members, parent, peer, routes, .. } = link;
        let references = members.iter_mut().chain(parent).chain(peer);
        references.for_each(|reference: &mut LinkRef| rename(&mut reference.value, &renamed));
        let hops = routes.iter_mut().flat_map(|route| &mut route.more);
        hops.filter_map(|hop| hop.link.as_mut()).for_each(|id| rename(id, &renamed));
    }
}

fn rename(id: &mut String, renamed: &[(String, String)]) {
    if let Some((_, to)) = renamed.iter().find(|(from, _)| from == id) {
        *id = to.clone();
    }
}

/// Whether the documents alone show that two links are one NIC.
fn is_same_nic(one: &Link, other: &Link) -> bool {
    fn name(link: &Link) -> Option<&str> {
        match link.select.name.as_ref().map(|name| &name.value) {
            Some(NamePattern::Exact(name)) => Some(name),
            Some(NamePattern::Glob(_)) | None => None,
        }
    }
    let mac = |link: &Link| link.select.mac.map(|mac| mac.value);
    let same_mac = mac(one).is_some() && mac(one) == mac(other);
    let same_name = name(one).is_some() && name(one) == name(other);
    one.kind == Kind::Physical && other.kind == Kind::Physical && (same_mac || same_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Parsed, parse};

    const DRIVE: &str =
        "version: 2\nethernets:\n  e: {match: {macaddress: '52:54:00:00:00:01'}, dhcp4: true}\n";

    fn both(first: &str, second: &str) -> Parsed {
        parse(vec![("one".into(), first.into()), ("two".into(), second.into())])
    }

    fn shown(parsed: &Parsed) -> Vec<(String, bool)> {
        parsed.desired.links.iter().map(|link| (link.id.clone(), link.yields)).collect()
    }

    #[test]
    fn of_two_sources_the_first_is_used_for_a_nic_that_both_describe() {
        let cmdline =
            "ifname=boot:52:54:00:00:00:01 bond=bond7:boot,eth5 ip=boot:dhcp6 ip=192.0.2.9::::x:eth9:none\n";
        let parsed = both(DRIVE, cmdline);
        let ids = ["e", "bond7", "eth5", "eth9"];
        let links = shown(&parsed);
        assert_eq!(
            links.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(),
            ids,
            "{:?}",
            parsed.diagnostics
        );
        assert_eq!(links.iter().map(|(_, yields)| *yields).collect::<Vec<_>>(), [false, true, true, true]);
        assert_eq!(parsed.desired.links[1].members[0].value, "e");
        let said = parsed.diagnostics.iter().find(|d| d.code == Code::Superseded).unwrap();
        let message = "\"boot\" is described by one already (line 3): what two says of it is left out";
        assert_eq!((said.message.as_str(), said.at.file), (message, 1));
        // In the other order the drive's is left out.
        let parsed = both(cmdline, DRIVE);
        assert_eq!(parsed.desired.links.iter().filter(|link| link.id == "e").count(), 0);
    }

    #[test]
    fn a_made_link_of_both_is_the_first_ones() {
        let parsed = both(
            "bond=bond0:eth0,eth1:mode=802.3ad\n",
            "version: 2\nethernets: {eth0: {}}\nbonds: {bond0: {interfaces: [eth0]}}\n",
        );
        let bonds: Vec<usize> =
            parsed.desired.links.iter().filter(|l| l.id == "bond0").map(|l| l.members.len()).collect();
        assert_eq!(bonds, [2]);
        let superseded = parsed.diagnostics.iter().filter(|d| d.code == Code::Superseded).count();
        assert_eq!(superseded, 2);
    }

    #[test]
    fn nics_that_share_only_the_name_of_the_text_stay_two() {
        let data = r#"{"links": [{"id": "eth0", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}], "networks": []}"#;
        let parsed = both(data, "ip=eth0:dhcp\n");
        assert_eq!(shown(&parsed), [("eth0".into(), false), ("eth0@1".into(), true)]);
    }
}
