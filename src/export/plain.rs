//! What a description's texts may be in a file that is no YAML or JSON: ifupdown and dracut hand them to a shell, systemd and
//! NetworkManager take them for patterns, lists, specifiers or lines of their own. What would be read as something else is a
//! loss, and no writer sees it.

use foldhash::HashSet;

use super::{Losses, Names, Part};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Desired, DhcpOptions, Kind, Link, NamePattern, Naming, Place, Wireguard, is_plain};

/// The description without such texts; links that have no other name are noted as unfit, for
/// [`super::expressible`] to leave out with what stands on them.
pub(super) fn plain(desired: &Desired, names: &Names<'_>, losses: &mut Losses) -> Desired {
    let mut desired = desired.clone();
    for link in &mut desired.links {
        if let Some(text) = unfit(link, names) {
            losses.unfit.insert(link.id.clone(), text);
        }
        beside(link, losses);
    }
    let ids: HashSet<String> = desired
        .links
        .iter()
        .map(|link| link.id.clone())
        .filter(|id| !losses.unfit.contains_key(id))
        .collect();
    let links = desired.links.iter_mut().map(|link| (link.id.clone(), &mut link.resolver));
    for (id, resolver) in links.chain([(String::new(), &mut desired.resolver)]) {
        for (server, zone) in std::mem::take(&mut resolver.zones) {
            if is_plain(&zone) || ids.contains(&zone) {
                resolver.zones.insert(server, zone);
                continue;
            }
            let at =
                resolver.servers.iter().find(|known| known.value == server).map_or(Place::NONE, |s| s.at);
            resolver.servers.retain(|known| known.value != server);
            let message =
                format!("{} has no link as \"{}\" for {server}, left out", losses.tool, zone.escape_debug());
            losses.push(&id, Part::Resolver, Diagnostic::new(Code::NotInFormat, at, message));
        }
    }
    desired
}

/// A name or pattern of a link that programs take for something else.
fn unfit(link: &Link, names: &Names<'_>) -> Option<String> {
    let own = match &link.select.name {
        _ if link.kind != Kind::Physical => Some((names.of(link), is_plain as fn(&str) -> bool)),
        Some(name) => match &name.value {
            NamePattern::Exact(name) => Some((name.as_str(), is_plain as fn(&str) -> bool)),
            NamePattern::Glob(glob) => Some((glob.as_str(), is_pattern as fn(&str) -> bool)),
        },
        None => None,
    };
    let drivers =
        link.select.drivers.iter().map(|driver| (driver.value.as_str(), is_pattern as fn(&str) -> bool));
    let pci = link.select.pci.iter().map(|pci| (pci.value.as_str(), is_word as fn(&str) -> bool));
    let keys = link.wireguard.iter().flat_map(|Wireguard { private_key, peers, .. }| {
        let of_peers = peers.iter().flat_map(|peer| peer.shared_key.iter().chain([&peer.public_key]));
        private_key.iter().chain(of_peers).map(|key| (key.value.as_str(), is_word as fn(&str) -> bool))
    });
    // A key is not shown.
    let is_key = keys.clone().any(|(key, is_fit)| !is_fit(key));
    let mut all = own.into_iter().chain(drivers).chain(pci);
    let bad = all.find(|(text, is_fit)| !is_fit(text)).map(|(text, _)| text.to_owned());
    bad.or(is_key.then(|| "of a WireGuard key's file".to_owned()))
}

/// Texts that a link can be without.
fn beside(link: &mut Link, losses: &mut Losses) {
    if let Naming::Set(name) | Naming::Alternative(name) = &link.naming {
        if link.kind == Kind::Physical && !is_plain(name.value.as_str()) {
            let what = format!("name to give a NIC as \"{}\"", name.value);
            losses.none(link, Part::Naming, name.at, what);
            link.naming = Naming::Keep;
        }
    }
    for at in 0..link.addresses.len() {
        let Some(address) = link.addresses.get(at) else { continue };
        if let Some(label) = address.label.clone().filter(|label| !is_word(label)) {
            losses.none(link, Part::Addresses, address.at, format_args!("label as \"{label}\""));
            if let Some(address) = link.addresses.get_mut(at) {
                address.label = None;
            }
        }
    }
    let DhcpOptions { vendor_class, host_name, .. } = &link.dhcp4;
    let lost = [("DHCP vendor class", vendor_class.clone()), ("host name for DHCP", host_name.clone())];
    let [is_class, is_name] = lost.map(|(what, text)| {
        let bad = text.filter(|text| !is_word(text));
        if let Some(bad) = &bad {
            losses.none(link, Part::Dhcp4, link.at, format_args!("{what} as \"{bad}\""));
        }
        bad.is_some()
    });
    if is_class {
        link.dhcp4.vendor_class = None;
    }
    if is_name {
        link.dhcp4.host_name = None;
    }
    let is_domain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    for domain in std::mem::take(&mut link.resolver.search) {
        match is_domain(&domain.value) {
            true => link.resolver.search.push(domain),
            false => {
                losses.none(link, Part::Resolver, domain.at, format_args!("domain as \"{}\"", domain.value));
            }
        }
    }
}

/// A word without a meaning of its own to a shell, systemd or GLib: letters, digits and a few signs.
fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/@+=,".contains(c))
}

/// The same with the signs of patterns.
fn is_pattern(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_*?[".contains(c));
    begins && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:@+*?[]".contains(c))
}

#[cfg(test)]
mod tests {
    use super::super::{Tool, export};
    use crate::format::parse;
    use crate::inventory::Inventory;
    use crate::resolve::{Missing, resolve};

    /// What somebody may put into any text of a description.
    const HOSTILE: &[&str] = &[
        "a;INJ",
        "$(INJ)",
        "`INJ`",
        "a|INJ",
        "a&&INJ",
        "a INJ",
        "a\\nINJ=1",
        "a\\n[INJ]",
        "a\\n    up INJ",
        "${INJ}",
        "a%INJ",
        "!INJ",
        "a'INJ",
        "a\\\"INJ",
        "a\\\\INJ",
        "a*INJ",
        "a>INJ",
        "#INJ",
        "a,INJ;b",
        "../INJ",
    ];

    /// Signs before the word that give it another meaning somewhere.
    const SIGNS: &[&str] = &[
        ";INJ", "(INJ", "`INJ", "|INJ", "&INJ", " INJ", "\nINJ", "[INJ", "{INJ", "%INJ", "!INJ", "'INJ",
        "\"INJ", "\\INJ", ">INJ", "#INJ",
    ];

    #[test]
    fn no_text_becomes_a_word_or_line_of_its_own() {
        const TEXTS: &[&str] = &[
            "ethernets: {\"X\": {addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1, metric: 5, table: 100}]}}",
            "ethernets: {a: {match: {macaddress: '52:54:00:00:00:01'}, set-name: \"X\", addresses: [192.0.2.2/24]}}",
            "ethernets: {\"X\": {match: {macaddress: '52:54:00:00:00:01'}, addresses: [192.0.2.2/24]}}",
            "ethernets: {a: {match: {name: \"X*\"}, dhcp4: true}}",
            "ethernets: {a: {match: {driver: \"X\"}, dhcp4: true}}",
            "ethernets: {a: {match: {name: a, driver: \"X\"}, dhcp4: true}}",
            "ethernets: {a: {addresses: [{192.0.2.2/24: {label: \"X\"}}]}}",
            "ethernets: {a: {addresses: [192.0.2.2/24], nameservers: {addresses: ['fe80::53%X']}}}",
            "ethernets: {a: {dhcp4: true, dhcp4-overrides: {hostname: \"X\"}}}",
            "ethernets: {a: {}}\n  bonds: {\"X\": {interfaces: [a], parameters: {primary: a}, addresses: [192.0.2.2/24]}}",
            "ethernets: {\"X\": {}, b: {}}\n  bonds: {b0: {interfaces: [\"X\", b], parameters: {mode: active-backup, primary: \"X\"}}}",
            "ethernets: {\"X\": {}}\n  vlans: {v: {id: 6, link: \"X\", addresses: [192.0.2.2/24]}, \"X.6\": {id: 7, link: \"X\"}}",
            "ethernets: {\"X\": {}, b: {}}\n  bridges: {br0: {interfaces: [\"X\", b], parameters: {path-cost: {\"X\": 7}}}}",
            "ethernets: {\"X\": {}}\n  vrfs: {v: {table: 7, interfaces: [\"X\"]}}",
            "dummy-devices: {\"X\": {addresses: [192.0.2.2/24]}}",
            "tunnels: {wg0: {mode: wireguard, key: \"/X\", peers: [{keys: {public: 'FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE='}, allowed-ips: [0.0.0.0/0]}]}}",
            "tunnels: {\"X\": {mode: gre, local: 192.0.2.1, remote: 192.0.2.2}}",
        ];
        let mut written = 0;
        for (text, hostile) in
            TEXTS.iter().flat_map(|text| HOSTILE.iter().map(move |hostile| (text, hostile)))
        {
            let text = format!("network:\n  version: 2\n  {}\n", text.replace('X', hostile));
            let eni = format!(
                "iface eth0 inet dhcp\n    vendor {hostile}\n    client {hostile}\n    hostname {hostile}\nauto eth0\n"
            );
            for (name, text) in [("x.yaml", &text), ("interfaces", &eni)] {
                let parsed = parse(vec![(name.to_owned(), text.clone())]);
                let (resolved, _) = resolve(&parsed.desired, &Inventory::default(), Missing::StandIn);
                for (name, tool) in Tool::ALL.iter().filter(|(_, tool)| !tool.quotes()) {
                    for file in export(*tool, &parsed.desired, &resolved).files {
                        written += 1;
                        let wrong =
                            SIGNS.iter().find(|sign| file.text.contains(*sign) || file.name.contains(*sign));
                        assert!(
                            wrong.is_none() && !file.name.contains('/'),
                            "{name}: {wrong:?} of\n{text}\n{}\n{}",
                            file.name,
                            file.text
                        );
                    }
                }
            }
        }
        assert!(written > 1000, "{written}");
    }
}
