//! A link's message (`RTM_NEWLINK`: `struct ifinfomsg` and `IFLA_…`), and the request for it. It is decoded here, for
//! the inventory ([`super::read`]) and for the current state ([`super::live`]).

use crate::model::{Kind, LinkKind, MacAddr, PortVlan, attribute};

use super::attributes::{self, Attributes, field};
use super::wire::Request;

const RTM_GETLINK: u16 = 18;
/// Length of `struct ifinfomsg` in bytes.
pub(super) const HEADER: usize = 16;

/// Inside `IFLA_AF_SPEC` of the family `AF_BRIDGE` (linux/if_bridge.h).
const IFLA_BRIDGE_FLAGS: u16 = 0;
const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
const BRIDGE_VLAN_INFO_PVID: u16 = 1 << 1;
const BRIDGE_VLAN_INFO_UNTAGGED: u16 = 1 << 2;
const BRIDGE_VLAN_INFO_RANGE_BEGIN: u16 = 1 << 3;

/// What every reader of a link's message needs from it.
#[derive(Clone, Debug)]
pub(super) struct LinkMessage<'a> {
    pub(super) index: u32,
    pub(super) name: String,
    /// `ARPHRD_…`.
    pub(super) layer: u16,
    /// `IFF_…`.
    flags: u32,
    pub(super) attributes: Attributes<'a>,
    info: Attributes<'a>,
}

impl<'a> LinkMessage<'a> {
    /// From the payload of a message; `None` without index or name.
    pub(super) fn new(payload: &'a [u8]) -> Option<Self> {
        let attributes = Attributes::new(payload.get(HEADER..)?);
        Some(LinkMessage {
            index: field(payload, 4, u32::from_ne_bytes)?,
            name: attributes.text(libc::IFLA_IFNAME)?,
            layer: field(payload, 2, u16::from_ne_bytes)?,
            flags: field(payload, 8, u32::from_ne_bytes)?,
            attributes,
            info: attributes.nest(libc::IFLA_LINKINFO),
        })
    }

    /// Whether it has this flag (`IFF_…`).
    pub(super) fn has(&self, flag: libc::c_int) -> bool {
        self.flags & flag as u32 != 0
    }

    /// An attribute that is a hardware address of six bytes.
    pub(super) fn mac(&self, kind: u16) -> Option<MacAddr> {
        self.attributes.get(kind).and_then(MacAddr::from_bytes)
    }

    pub(super) fn mtu(&self) -> u32 {
        self.attributes.u32(libc::IFLA_MTU).unwrap_or(0)
    }

    /// Its kind; hardware if the message has none.
    pub(super) fn kind(&self) -> LinkKind {
        self.info.text(libc::IFLA_INFO_KIND).unwrap_or_default().as_str().into()
    }

    /// The options of its kind.
    pub(super) fn options(&self) -> Attributes<'a> {
        self.info.nest(libc::IFLA_INFO_DATA)
    }

    /// The kind of its controller, if netapply knows it.
    pub(super) fn port_of(&self) -> Option<Kind> {
        Kind::from_word(&self.info.text(libc::IFLA_INFO_SLAVE_KIND)?)
    }

    /// The options that it has as a port of its controller.
    pub(super) fn port_options(&self) -> Attributes<'a> {
        self.info.nest(libc::IFLA_INFO_SLAVE_DATA)
    }

    /// The index of its controller.
    pub(super) fn controller(&self) -> Option<u32> {
        self.attributes.u32(libc::IFLA_MASTER)
    }

    /// The index of its parent, if that is in this namespace. A NIC may name itself.
    pub(super) fn parent(&self) -> Option<u32> {
        if self.attributes.get(libc::IFLA_LINK_NETNSID).is_some() {
            return None;
        }
        // Tunnels and VXLAN have it among their options.
        let in_options = || self.options().u32(attribute::of(self.kind().known()?, "dev")?.nla);
        let index = self.attributes.u32(libc::IFLA_LINK).or_else(in_options)?;
        (index != self.index && index != 0).then_some(index)
    }
}

/// The body of a request for links: all of them, or one by index or name. Without statistics.
pub(super) fn payload(index: u32, name: Option<&str>) -> Vec<u8> {
    let mut payload = vec![0; HEADER];
    payload.splice(4..8, index.to_ne_bytes());
    if let Some(name) = name {
        // The kernel looks up either among names and alternative names alike; only the length differs.
        let kind = if name.len() < libc::IFNAMSIZ { libc::IFLA_IFNAME } else { libc::IFLA_ALT_IFNAME };
        attributes::put(&mut payload, kind, &[name.as_bytes(), &[0]].concat());
    }
    let mask = libc::RTEXT_FILTER_SKIP_STATS as u32;
    attributes::put(&mut payload, libc::IFLA_EXT_MASK, &mask.to_ne_bytes());
    payload
}

/// The request for all links.
pub(super) fn all() -> Request {
    Request::new(RTM_GETLINK, 0, &payload(0, None))
}

/// The request for the VLANs of bridges and of their ports, which come in messages of a family of their own.
pub(super) fn bridges() -> Request {
    let mut payload = vec![0; HEADER];
    payload[0] = libc::AF_BRIDGE as u8;
    let mask = libc::RTEXT_FILTER_BRVLAN_COMPRESSED as u32;
    attributes::put(&mut payload, libc::IFLA_EXT_MASK, &mask.to_ne_bytes());
    Request::new(RTM_GETLINK, 0, &payload)
}

/// Index and VLANs in a message of the family `AF_BRIDGE`; `None` for a NIC with an embedded bridge, which has flags.
pub(super) fn vlans(payload: &[u8]) -> Option<(u32, Vec<PortVlan>)> {
    let index = field(payload, 4, u32::from_ne_bytes)?;
    let spec = Attributes::new(payload.get(HEADER..)?).nest(libc::IFLA_AF_SPEC);
    if spec.get(IFLA_BRIDGE_FLAGS).is_some() {
        return None;
    }
    let mut vlans = Vec::new();
    let mut begin = None;
    for (_, info) in spec.iter().filter(|(kind, _)| *kind == IFLA_BRIDGE_VLAN_INFO) {
        let (flags, vid) = (field(info, 0, u16::from_ne_bytes)?, field(info, 2, u16::from_ne_bytes)?);
        if flags & BRIDGE_VLAN_INFO_RANGE_BEGIN != 0 {
            begin = Some(vid);
            continue;
        }
        vlans.push(PortVlan {
            first: begin.take().unwrap_or(vid),
            last: vid,
            pvid: flags & BRIDGE_VLAN_INFO_PVID != 0,
            untagged: flags & BRIDGE_VLAN_INFO_UNTAGGED != 0,
        });
    }
    Some((index, vlans))
}

/// The request for one link by name or alternative name.
pub(super) fn by_name(name: &str) -> Request {
    Request::new(RTM_GETLINK, 0, &payload(0, Some(name))).question()
}

/// A request to create a link of that kind with more queues than any has, which the kernel refuses
/// (`rtnl_create_link`).
pub(super) fn impossible(name: &str, kind: Kind) -> Request {
    let mut payload = vec![0; HEADER];
    attributes::put(&mut payload, libc::IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
    attributes::put(&mut payload, libc::IFLA_NUM_TX_QUEUES, &u32::MAX.to_ne_bytes());
    let mut info = Vec::new();
    attributes::put(&mut info, libc::IFLA_INFO_KIND, kind.word().as_bytes());
    attributes::put(&mut payload, libc::IFLA_LINKINFO, &info);
    Request::new(libc::RTM_NEWLINK, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16, &payload)
}

/// Index and kind in a reply to [`by_name`].
pub(super) fn found(reply: &[u8]) -> Option<(u32, LinkKind)> {
    let link = LinkMessage::new(reply)?;
    Some((link.index, link.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use attributes::put;

    fn message(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut payload = vec![0; HEADER];
        payload.splice(4..8, 7_u32.to_ne_bytes());
        for (kind, value) in attributes {
            put(&mut payload, *kind, value);
        }
        payload
    }

    #[test]
    fn a_parent_is_another_link_of_this_namespace() {
        let parent = |attributes: &[(u16, &[u8])]| {
            let name: (u16, &[u8]) = (libc::IFLA_IFNAME, b"vx0\0");
            LinkMessage::new(&message(&[&[name], attributes].concat())).unwrap().parent()
        };
        let index = |index: u32| index.to_ne_bytes();
        assert_eq!(parent(&[(libc::IFLA_LINK, &index(3))]), Some(3));
        assert_eq!(parent(&[(libc::IFLA_LINK, &index(7))]), None);
        assert_eq!(parent(&[(libc::IFLA_LINK, &index(3)), (libc::IFLA_LINK_NETNSID, &index(0))]), None);
        let (mut info, mut options) = (Vec::new(), Vec::new());
        put(&mut options, 3, &index(4));
        put(&mut info, libc::IFLA_INFO_KIND, b"vxlan\0");
        put(&mut info, libc::IFLA_INFO_DATA, &options);
        assert_eq!(parent(&[(libc::IFLA_LINKINFO, &info)]), Some(4));
    }

    #[test]
    fn a_message_cut_anywhere_does_not_panic() {
        let whole = message(&[(libc::IFLA_IFNAME, b"eth0\0"), (libc::IFLA_MTU, &9000_u32.to_ne_bytes())]);
        assert_eq!(LinkMessage::new(&whole).unwrap().mtu(), 9000);
        for cut in 0..whole.len() {
            let _ = LinkMessage::new(&whole[..cut]).map(|link| link.mtu());
        }
    }
}
