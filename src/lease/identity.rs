//! A link's identity to a DHCP server: the same in ramdisk, reboot and installed system, so that it gets the same
//! address.
//!
//! By default the client id is the hardware address, which most clients and firmware send or servers fall back to: the
//! permanent one, a bond's or bridge's first described member's, a VLAN's parent's. A DUID is that of the machine (RFC
//! 6355) if its UUID is plausible, and the IAID is derived from the link's name, so that two VLANs of a NIC differ.

use crate::inventory::Inventory;
use crate::model::{DesiredMac, MacAddr};
use crate::resolve::{DhcpIdentity, Resolved, ResolvedLink};

/// Hardware type of Ethernet.
const ETHERNET: u8 = 1;
/// Type of a client id that is an IAID and a DUID (RFC 4361).
const DUID: u8 = 255;
/// DUID-LL and DUID-UUID (RFC 9915, 11.4 and 11.5).
const DUID_LL: [u8; 2] = [0, 3];
const DUID_UUID: [u8; 2] = [0, 4];
/// UUIDs that vendors gave to more than one machine.
const REPEATED: &[&str] = &[
    "03000200-0400-0500-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "00020003-0004-0005-0006-000700080009",
    "fefefefe-fefe-fefe-fefe-fefefefefefe",
];

/// The hardware address that identifies a link.
pub fn mac(link: &ResolvedLink, resolved: &Resolved, inventory: &Inventory) -> Option<MacAddr> {
    mac_at(link, resolved, inventory, 0)
}

fn mac_at(link: &ResolvedLink, resolved: &Resolved, inventory: &Inventory, depth: u8) -> Option<MacAddr> {
    // A described one takes precedence.
    if let Some(DesiredMac::Is(mac)) = link.desired.mac.map(|mac| mac.value) {
        return Some(mac);
    }
    let below = link.members.first().or(link.parent.as_ref());
    if let Some(below) = below.and_then(|name| resolved.link(name)).filter(|_| depth < 8) {
        return mac_at(below, resolved, inventory, depth + 1);
    }
    let observed = inventory.link(below.unwrap_or(&link.name));
    observed.and_then(|link| link.permanent_mac.or(link.mac))
}

/// Everything that identifies a link; `uuid` is the machine's, from the firmware; `leased`: netapply had a lease.
pub fn of(
    link: &ResolvedLink,
    resolved: &Resolved,
    inventory: &Inventory,
    uuid: Option<&str>,
    leased: bool,
) -> Option<DhcpIdentity> {
    let mac = mac(link, resolved, inventory)?;
    let duid = duid6(link, mac, uuid);
    let client_id = client_id(link, mac, uuid);
    Some(DhcpIdentity { client_id, duid, iaid: u32::from_be_bytes(iaid(&link.name)), leased })
}

/// Option 61 of a link; `uuid` is the machine's, from the firmware.
pub fn client_id(link: &ResolvedLink, mac: MacAddr, uuid: Option<&str>) -> Vec<u8> {
    if let Some(id) = &link.desired.dhcp4.client_id {
        return id.clone();
    }
    if !link.desired.dhcp4.duid {
        return [&[ETHERNET], mac.as_bytes()].concat();
    }
    [&[DUID][..], &iaid(&link.name), &duid(mac, uuid)].concat()
}

/// A link's identifier for DHCPv6: the described one, else the machine's.
pub fn duid6(link: &ResolvedLink, mac: MacAddr, uuid: Option<&str>) -> Vec<u8> {
    match &link.desired.dhcp4.duid6 {
        Some(duid) if !duid.is_empty() => duid.clone(),
        asked => duid(mac, uuid.filter(|_| asked.is_none())),
    }
}

/// The machine's identifier: the same for all of its links.
pub fn duid(mac: MacAddr, uuid: Option<&str>) -> Vec<u8> {
    match uuid.and_then(plausible) {
        Some(uuid) => [&DUID_UUID[..], &uuid].concat(),
        None => [&DUID_LL[..], &[0, ETHERNET], mac.as_bytes()].concat(),
    }
}

/// A link's identifier besides the machine's: the name's FNV-1a hash.
pub fn iaid(name: &str) -> [u8; 4] {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
    hash.to_be_bytes()
}

/// The UUID's bytes, unless it cannot be unique to this machine.
fn plausible(text: &str) -> Option<[u8; 16]> {
    let text = text.trim().to_ascii_lowercase();
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?;
    (number != 0 && number != u128::MAX && !REPEATED.contains(&text.as_str())).then(|| number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::ObservedLink;
    use crate::model::{Kind, Link, Place};
    use crate::resolve::blank;

    const UUID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\n";

    fn observed(name: &str, mac: &str, permanent: Option<&str>) -> ObservedLink {
        let read = |text: &str| text.parse().unwrap();
        ObservedLink {
            name: name.to_owned(),
            mac: Some(read(mac)),
            permanent_mac: permanent.map(read),
            ..ObservedLink::default()
        }
    }

    fn link(name: &str, kind: Kind) -> ResolvedLink {
        blank(&Link::new(name, kind, Place::NONE), name.to_owned(), None)
    }

    #[test]
    fn a_link_is_known_by_the_permanent_address_at_its_bottom() {
        let links = vec![
            observed("eth0", "02:00:00:00:00:aa", Some("52:54:00:00:00:01")),
            observed("eth1", "02:00:00:00:00:aa", Some("52:54:00:00:00:02")),
            observed("bond0", "02:00:00:00:00:aa", None),
        ];
        let inventory = Inventory { links, ..Inventory::default() };
        let bond = ResolvedLink { members: vec!["eth1".into(), "eth0".into()], ..link("bond0", Kind::Bond) };
        let vlan = ResolvedLink { parent: Some("bond0".into()), ..link("v", Kind::Vlan) };
        let mut named = link("eth1", Kind::Physical);
        let links = vec![link("eth0", Kind::Physical), named.clone(), bond, vlan];
        let resolved = Resolved { links, ..Resolved::default() };
        let of = |name: &str| mac(resolved.link(name).unwrap(), &resolved, &inventory).unwrap().to_string();
        assert_eq!(of("eth0"), "52:54:00:00:00:01");
        assert_eq!((of("bond0"), of("v")), ("52:54:00:00:00:02".into(), "52:54:00:00:00:02".into()));
        let written = "02:11:22:33:44:55".parse().unwrap();
        named.desired.mac = Some(crate::model::Located::new(DesiredMac::Is(written), Place::NONE));
        assert_eq!(mac(&named, &resolved, &inventory), Some(written));
    }

    #[test]
    fn the_client_id_is_the_hardware_address_unless_a_duid_is_asked_for() {
        let mac: MacAddr = "52:54:00:00:00:01".parse().unwrap();
        let mut eth0 = link("eth0", Kind::Physical);
        assert_eq!(client_id(&eth0, mac, Some(UUID)), [1, 0x52, 0x54, 0, 0, 0, 1]);
        eth0.desired.dhcp4.duid = true;
        let id = client_id(&eth0, mac, Some(UUID));
        assert_eq!((id[0], &id[5..9], id.len()), (255, &[0, 4, 0x0f, 0x1e][..], 23));
        eth0.desired.dhcp4.client_id = Some(vec![0, b'n', b'1']);
        assert_eq!(client_id(&eth0, mac, Some(UUID)), [0, b'n', b'1'], "what a description names");
        eth0.desired.dhcp4.client_id = None;
        let mut other = link("eth0.5", Kind::Vlan);
        other.desired.dhcp4.duid = true;
        assert_ne!(client_id(&other, mac, Some(UUID))[1..5], id[1..5], "the IAID is the link's");
        for uuid in
            [None, Some("00000000-0000-0000-0000-000000000000"), Some(REPEATED[0]), Some("Not Settable")]
        {
            assert_eq!(client_id(&eth0, mac, uuid)[5..], [0, 3, 0, 1, 0x52, 0x54, 0, 0, 0, 1]);
        }
        assert_eq!(plausible("ffffffff-ffff-ffff-ffff-ffffffffffff"), None);
    }

    #[test]
    fn dhcpv6_sends_the_machine_s_identifier_or_the_described_one() {
        let mac: MacAddr = "52:54:00:00:00:01".parse().unwrap();
        let mut eth0 = link("eth0", Kind::Physical);
        assert_eq!(duid6(&eth0, mac, Some(UUID))[..4], [0, 4, 0x0f, 0x1e]);
        // "LL" of nmstate.
        eth0.desired.dhcp4.duid6 = Some(Vec::new());
        assert_eq!(duid6(&eth0, mac, Some(UUID)), [0, 3, 0, 1, 0x52, 0x54, 0, 0, 0, 1]);
        eth0.desired.dhcp4.duid6 = Some(vec![0, 2, 0, 0, 0, 9, 1]);
        assert_eq!(duid6(&eth0, mac, Some(UUID)), [0, 2, 0, 0, 0, 9, 1]);
    }
}
