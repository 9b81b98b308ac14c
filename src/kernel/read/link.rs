//! A link's message (`struct ifinfomsg` and `IFLA_…`) as an [`ObservedLink`].

use std::collections::BTreeMap;

use crate::inventory::{ObservedLink, SettingName};
use crate::kernel::attributes::{Attributes, field, text};
use crate::kernel::names::Names;
use crate::kernel::newlink::LinkMessage;
use crate::kernel::value;
use crate::model::attribute::{Attribute, OptionValue};
use crate::model::{AddressGeneration, Kind, MacAddr};
use crate::order::Few as _;

/// ip(8)'s names for `ARPHRD_…` (linux/if_arp.h) that a machine's links may have.
const LAYERS: &[(u16, &str)] = &[
    (1, "ether"),
    (32, "infiniband"),
    (512, "ppp"),
    (768, "ipip"),
    (769, "tunnel6"),
    (772, "loopback"),
    (776, "sit"),
    (778, "gre"),
    (801, "ieee802.11"),
    (823, "gre6"),
    (65534, "none"),
];

/// `IF_OPER_…` (linux/if.h), by number.
const OPERSTATES: &[&str] = &["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"];

/// The IPv6 settings of a link that the inventory has, by `DEVCONF_…` (linux/ipv6.h).
const IPV6_SETTINGS: &[(usize, &str)] = &[
    (0, "forwarding"),
    (1, "hop_limit"),
    (2, "mtu"),
    (3, "accept_ra"),
    (5, "autoconf"),
    (10, "use_tempaddr"),
    (17, "accept_ra_defrtr"),
    (18, "accept_ra_pinfo"),
    (19, "accept_ra_rtr_pref"),
    (21, "accept_ra_rt_info_max_plen"),
    (26, "disable_ipv6"),
    (27, "accept_dad"),
];

/// The IPv4 settings of a link that the inventory has, by `IPV4_DEVCONF_…` (linux/ip.h) less one, which is their place in
/// `IFLA_INET_CONF`.
const IPV4_SETTINGS: &[(usize, &str)] = &[
    (0, "forwarding"),
    (7, "rp_filter"),
    (17, "arp_announce"),
    (18, "arp_ignore"),
    (19, "promote_secondaries"),
    (22, "accept_local"),
];

/// Inside `AF_INET` of `IFLA_AF_SPEC`.
const IFLA_INET_CONF: u16 = 1;
/// Inside `AF_INET6` of `IFLA_AF_SPEC`.
const IFLA_INET6_CONF: u16 = 2;
const IFLA_INET6_TOKEN: u16 = 7;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IFLA_INET6_RA_MTU: u16 = 9;

const IFLA_BOND_SLAVE_PERM_HWADDR: u16 = 4;

/// The link. Options that do not decode are listed in `undecoded`.
pub(super) fn decode(message: &LinkMessage<'_>, names: &Names, undecoded: &mut Vec<String>) -> ObservedLink {
    let attributes = message.attributes;
    let named = |index: u32| names.name(index).map(str::to_owned);
    let mut link = ObservedLink {
        index: message.index,
        name: message.name.clone(),
        altnames: altnames(attributes),
        mac: message.mac(libc::IFLA_ADDRESS),
        permanent_mac: message.mac(libc::IFLA_PERM_ADDRESS).or_else(|| before_the_bond(message)),
        kind: message.kind(),
        layer: layer_word(message.layer).as_str().into(),
        up: message.has(libc::IFF_UP),
        carrier: message.has(libc::IFF_LOWER_UP),
        no_arp: message.has(libc::IFF_NOARP),
        promiscuous: message.has(libc::IFF_PROMISC),
        operstate: attributes.u8(libc::IFLA_OPERSTATE).map_or("unknown", operstate_word).to_owned(),
        mtu: message.mtu(),
        min_mtu: attributes.u32(libc::IFLA_MIN_MTU).unwrap_or(0),
        max_mtu: attributes.u32(libc::IFLA_MAX_MTU).unwrap_or(0),
        controller: message.controller().and_then(named),
        parent: message.parent().and_then(named),
        ..ObservedLink::default()
    };
    ip_settings(&mut link, attributes);
    options(&mut link, message, names, undecoded);
    link
}

/// The address that a bond's member had before it joined: all that is left if the member is not a physical NIC (veth).
fn before_the_bond(message: &LinkMessage<'_>) -> Option<MacAddr> {
    let in_bond = message.port_of() == Some(Kind::Bond);
    let mac = message.port_options().get(IFLA_BOND_SLAVE_PERM_HWADDR).filter(|_| in_bond);
    mac.and_then(MacAddr::from_bytes)
}

fn layer_word(layer: u16) -> String {
    let word = LAYERS.iter().find(|(number, _)| *number == layer);
    word.map_or_else(|| format!("[{layer}]"), |(_, word)| (*word).to_owned())
}

/// The RFC 2863 state in lowercase.
pub(super) fn operstate_word(state: u8) -> &'static str {
    OPERSTATES.get(usize::from(state)).copied().unwrap_or("unknown")
}

fn altnames(attributes: Attributes<'_>) -> Vec<String> {
    let properties = attributes.nest(libc::IFLA_PROP_LIST);
    properties.iter().filter(|(kind, _)| *kind == libc::IFLA_ALT_IFNAME).map(|(_, name)| text(name)).collect()
}

fn ip_settings(link: &mut ObservedLink, attributes: Attributes<'_>) {
    let families = attributes.nest(libc::IFLA_AF_SPEC);
    let inet6 = families.nest(libc::AF_INET6 as u16);
    link.generation = inet6.u8(IFLA_INET6_ADDR_GEN_MODE).and_then(AddressGeneration::from_number);
    link.advertised_mtu = inet6.u32(IFLA_INET6_RA_MTU).filter(|mtu| *mtu != 0);
    link.token = inet6.ip6(IFLA_INET6_TOKEN).filter(|token| !token.is_unspecified());
    let settings = |conf: Option<&[u8]>, table: &[(usize, &'static str)]| {
        let conf = conf.unwrap_or_default();
        let value = |place: usize| field(conf, place * 4, i32::from_ne_bytes);
        table
            .iter()
            .filter_map(|(place, name)| Some((SettingName::Borrowed(name), value(*place)?.into())))
            .few()
    };
    link.ipv6 = settings(inet6.get(IFLA_INET6_CONF), IPV6_SETTINGS);
    let inet = families.nest(libc::AF_INET as u16);
    link.ipv4 = settings(inet.get(IFLA_INET_CONF), IPV4_SETTINGS);
}

fn options(link: &mut ObservedLink, message: &LinkMessage<'_>, names: &Names, undecoded: &mut Vec<String>) {
    if let Some(kind) = link.kind.with_options() {
        link.settings = by_table(kind.attributes(), message.options(), names, &link.name, undecoded);
    }
    if let Some(kind) = message.port_of() {
        link.port = by_table(kind.port_attributes(), message.port_options(), names, &link.name, undecoded);
    }
}

fn by_table(
    rows: &'static [Attribute],
    data: Attributes<'_>,
    names: &Names,
    link: &str,
    undecoded: &mut Vec<String>,
) -> BTreeMap<SettingName, OptionValue> {
    let mut settings = BTreeMap::new();
    let there = data.indexed();
    for row in rows {
        match value::decode(row, &there, names) {
            Some(Some(value)) => drop(settings.insert(row.name.into(), value)),
            Some(None) => {}
            None => undecoded.push(format!("{link}: option {}", row.name)),
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::attributes::put;
    use crate::kernel::newlink::HEADER;

    fn message(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut payload = vec![0; HEADER];
        payload.splice(2..4, 1u16.to_ne_bytes());
        payload.splice(4..8, 7u32.to_ne_bytes());
        for (kind, value) in attributes {
            put(&mut payload, *kind, value);
        }
        payload
    }

    #[test]
    fn a_link_with_a_malformed_option_keeps_the_others() {
        let mut data = Vec::new();
        put(&mut data, 1, &[4]);
        put(&mut data, 3, &[1, 2]); // miimon, of two bytes instead of four
        put(&mut data, 18, &2u32.to_ne_bytes());
        let mut info = Vec::new();
        put(&mut info, libc::IFLA_INFO_KIND, b"bond\0");
        put(&mut info, libc::IFLA_INFO_DATA, &data);
        let payload = message(&[(libc::IFLA_IFNAME, b"bond0\0"), (libc::IFLA_LINKINFO, &info)]);
        let mut undecoded = Vec::new();
        let link = decode(&LinkMessage::new(&payload).unwrap(), &Names::default(), &mut undecoded);
        assert_eq!((link.index, link.name.as_str(), link.kind.word()), (7, "bond0", "bond"));
        assert_eq!(link.settings.get("mode"), Some(&OptionValue::Text("802.3ad".into())));
        assert_eq!(link.settings.get("min_links"), Some(&OptionValue::Number(2)));
        assert_eq!(undecoded, ["bond0: option miimon"]);
    }
}
