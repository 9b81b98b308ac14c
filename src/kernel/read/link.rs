//! A link's message (`struct ifinfomsg` and `IFLA_…`) as an [`ObservedLink`].

use std::collections::BTreeMap;

use crate::inventory::ObservedLink;
use crate::kernel::attributes::{Attributes, field, text};
use crate::kernel::names::Names;
use crate::kernel::value;
use crate::model::attribute::{self, Attribute, Value};
use crate::model::{AddressGeneration, Kind, MacAddr, few};

use super::LINK_HEADER;

/// ip(8)'s words for `ARPHRD_…` (linux/if_arp.h) that a machine's links may have.
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

const IFLA_BOND_SLAVE_PERM_HWADDR: u16 = 4;

/// Index and name, which every link has.
pub(super) fn identity(payload: &[u8]) -> Option<(u32, String)> {
    let index = field(payload, 4, u32::from_ne_bytes)?;
    Attributes::new(payload.get(LINK_HEADER..)?).text(libc::IFLA_IFNAME).map(|name| (index, name))
}

/// The kernel's word for what made it; empty for hardware.
pub(super) fn kind(attributes: Attributes<'_>) -> String {
    attributes.nest(libc::IFLA_LINKINFO).text(libc::IFLA_INFO_KIND).unwrap_or_default()
}

/// The link; `None` without index or name. Options that do not decode are listed in `undecoded`.
pub(super) fn decode(payload: &[u8], names: &Names, undecoded: &mut Vec<String>) -> Option<ObservedLink> {
    let (index, name) = identity(payload)?;
    let layer = field(payload, 2, u16::from_ne_bytes)?;
    let flags = field(payload, 8, u32::from_ne_bytes)?;
    let attributes = Attributes::new(payload.get(LINK_HEADER..)?);
    let mac = |kind| attributes.get(kind).and_then(MacAddr::from_bytes);
    let named = |index: u32| names.name(index).map(str::to_owned);
    let mut link = ObservedLink {
        index,
        altnames: altnames(attributes),
        mac: mac(libc::IFLA_ADDRESS),
        permanent_mac: mac(libc::IFLA_PERM_ADDRESS).or_else(|| before_the_bond(attributes)),
        kind: kind(attributes).as_str().into(),
        layer: layer_word(layer).as_str().into(),
        up: flags & libc::IFF_UP as u32 != 0,
        carrier: flags & libc::IFF_LOWER_UP as u32 != 0,
        no_arp: flags & libc::IFF_NOARP as u32 != 0,
        operstate: attributes.u8(libc::IFLA_OPERSTATE).map_or("unknown", operstate_word).to_owned(),
        mtu: attributes.u32(libc::IFLA_MTU).unwrap_or(0),
        min_mtu: attributes.u32(libc::IFLA_MIN_MTU).unwrap_or(0),
        max_mtu: attributes.u32(libc::IFLA_MAX_MTU).unwrap_or(0),
        controller: attributes.u32(libc::IFLA_MASTER).and_then(named),
        parent: parent(attributes, index).and_then(named),
        name,
        ..ObservedLink::default()
    };
    ip_settings(&mut link, attributes);
    options(&mut link, attributes, names, undecoded);
    Some(link)
}

/// What a member of a bond had for an address before it came: all that is left of one that is not built in (veth).
fn before_the_bond(attributes: Attributes<'_>) -> Option<MacAddr> {
    let info = attributes.nest(libc::IFLA_LINKINFO);
    let in_bond = info.text(libc::IFLA_INFO_SLAVE_KIND)? == Kind::Bond.word();
    let data = info.nest(libc::IFLA_INFO_SLAVE_DATA);
    data.get(IFLA_BOND_SLAVE_PERM_HWADDR).filter(|_| in_bond).and_then(MacAddr::from_bytes)
}

fn layer_word(layer: u16) -> String {
    let word = LAYERS.iter().find(|(number, _)| *number == layer);
    word.map_or_else(|| format!("[{layer}]"), |(_, word)| (*word).to_owned())
}

/// The RFC 2863 state in lower case.
pub(super) fn operstate_word(state: u8) -> &'static str {
    OPERSTATES.get(usize::from(state)).copied().unwrap_or("unknown")
}

fn altnames(attributes: Attributes<'_>) -> Vec<String> {
    let properties = attributes.nest(libc::IFLA_PROP_LIST);
    properties.iter().filter(|(kind, _)| *kind == libc::IFLA_ALT_IFNAME).map(|(_, name)| text(name)).collect()
}

/// The index of the link it is made on, where that is in this namespace. A NIC may name itself.
fn parent(attributes: Attributes<'_>, own: u32) -> Option<u32> {
    if attributes.get(libc::IFLA_LINK_NETNSID).is_some() {
        return None;
    }
    let in_data = || {
        let info = attributes.nest(libc::IFLA_LINKINFO);
        let kind = Kind::from_word(&info.text(libc::IFLA_INFO_KIND)?)?;
        // Tunnels and VXLAN carry it among their options.
        info.nest(libc::IFLA_INFO_DATA).u32(attribute::of(kind, "dev")?.nla)
    };
    attributes.u32(libc::IFLA_LINK).or_else(in_data).filter(|index| *index != own && *index != 0)
}

fn ip_settings(link: &mut ObservedLink, attributes: Attributes<'_>) {
    let families = attributes.nest(libc::IFLA_AF_SPEC);
    let inet6 = families.nest(libc::AF_INET6 as u16);
    link.generation = inet6.u8(IFLA_INET6_ADDR_GEN_MODE).and_then(AddressGeneration::from_number);
    link.token = inet6.ip6(IFLA_INET6_TOKEN).filter(|token| !token.is_unspecified());
    let settings = |conf: Option<&[u8]>, table: &[(usize, &str)]| {
        let conf = conf.unwrap_or_default();
        let value = |place: usize| field(conf, place * 4, i32::from_ne_bytes);
        few(table.iter().filter_map(|(place, name)| Some(((*name).to_owned(), value(*place)?.into()))))
    };
    link.ipv6 = settings(inet6.get(IFLA_INET6_CONF), IPV6_SETTINGS);
    let inet = families.nest(libc::AF_INET as u16);
    link.ipv4 = settings(inet.get(IFLA_INET_CONF), IPV4_SETTINGS);
}

fn options(link: &mut ObservedLink, attributes: Attributes<'_>, names: &Names, undecoded: &mut Vec<String>) {
    let info = attributes.nest(libc::IFLA_LINKINFO);
    if let Some(kind) = link.kind.with_options() {
        let data = info.nest(libc::IFLA_INFO_DATA);
        link.settings = by_table(kind.attributes(), data, names, &link.name, undecoded);
    }
    let controller = info.text(libc::IFLA_INFO_SLAVE_KIND).and_then(|word| Kind::from_word(&word));
    if let Some(kind) = controller {
        let data = info.nest(libc::IFLA_INFO_SLAVE_DATA);
        link.port = by_table(kind.port_attributes(), data, names, &link.name, undecoded);
    }
}

fn by_table(
    rows: &'static [Attribute],
    data: Attributes<'_>,
    names: &Names,
    link: &str,
    undecoded: &mut Vec<String>,
) -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::new();
    for row in rows {
        match value::decode(row, data, names) {
            Some(Some(value)) => drop(settings.insert(row.name.to_owned(), value)),
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

    fn message(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut payload = vec![0; LINK_HEADER];
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
        let link = decode(&payload, &Names::default(), &mut undecoded).unwrap();
        assert_eq!((link.index, link.name.as_str(), link.kind.word()), (7, "bond0", "bond"));
        assert_eq!(link.settings.get("mode"), Some(&Value::Text("802.3ad".into())));
        assert_eq!(link.settings.get("min_links"), Some(&Value::Number(2)));
        assert_eq!(undecoded, ["bond0: option miimon"]);
    }

    #[test]
    fn a_truncated_message_does_not_panic() {
        let payload = message(&[(libc::IFLA_IFNAME, b"eth0\0"), (libc::IFLA_MTU, &1500u32.to_ne_bytes())]);
        for cut in 0..payload.len() {
            let _ = decode(&payload[..cut], &Names::default(), &mut Vec::new());
        }
        assert_eq!(decode(&payload, &Names::default(), &mut Vec::new()).unwrap().mtu, 1500);
    }
}
