//! Links: names, creation, options, members, MTU, IPv6 behaviour, up and down.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Planner;
use super::state::far_ends;
use super::step::{Action, LinkChange, NewLink, Secret};
use crate::inventory::{MacOrigin, ObservedLink};
use crate::model::attribute::{self, Attribute, Change, Form, NIC, OptionValue};
use crate::model::{
    Activation, AddressGeneration, BondMode, DesiredMac, Dynamic, Family, Kind, Link, LinkLayer, MacAddr,
    Naming, Place,
};
use crate::order::Few as _;
use crate::resolve::ResolvedLink;

type Options = BTreeMap<&'static str, OptionValue>;

impl Planner<'_> {
    /// Without the loopback interface the machine cannot reach its own addresses.
    pub(super) fn bring_up_loopback(&mut self) {
        let is_down = |l: &&ObservedLink| l.layer == LinkLayer::Loopback && !l.up && l.name == "lo";
        let down = self.state.link("lo").filter(is_down).is_some();
        if down && !self.resolved.links.is_empty() && self.described("lo").is_none() {
            let name = "lo".to_owned();
            self.push("", Place::NONE, Action::SetLink { name, change: LinkChange::Up });
        }
    }

    /// Gives NICs their described names. Kernels before 6.2 rename only a link that is down; swapping names takes a
    /// third one.
    pub(super) fn rename_nics(&mut self) {
        let resolved = self.resolved;
        let current = |l: &ResolvedLink| l.current.clone().unwrap_or_else(|| l.name.clone());
        let desired = |l: &ResolvedLink| match &l.desired.naming {
            Naming::Set(name) => name.value.to_string(),
            _ => l.name.clone(),
        };
        let mut waiting: Vec<(&ResolvedLink, String, String)> = resolved
            .links
            .iter()
            .map(|l| (l, current(l), desired(l)))
            .filter(|(_, from, to)| from != to)
            .collect();
        // A software link that exists under another name is renamed here, too, before anything is created on it.
        waiting.retain(|(_, from, _)| self.state.links.contains_key(from));
        while !waiting.is_empty() {
            let free = waiting.iter().position(|(_, _, to)| !self.state.links.contains_key(to));
            let (index, to) = match free {
                Some(index) => (index, None),
                None => (0, Some(format!("netapply{}", waiting.len()))),
            };
            let (link, from, desired) = waiting.remove(index);
            let now = to.clone().unwrap_or_else(|| desired.clone());
            self.rename(link, &from, &now);
            if to.is_some() {
                // If another NIC keeps the name, the kernel refuses, and its error is reported.
                let others = waiting.iter().any(|(_, from, _)| *from == desired);
                if others {
                    waiting.push((link, now, desired));
                } else {
                    self.rename(link, &now, &desired);
                }
            }
        }
    }

    fn rename(&mut self, link: &ResolvedLink, from: &str, to: &str) {
        self.take_down(link, from);
        if self.state.link(from).is_some_and(|l| l.altnames.iter().any(|altname| altname == to)) {
            // A name that is taken is refused (dev_change_name), even if by the link's own alternative name.
            self.change(link, from, LinkChange::DeleteAltName(to.to_owned()));
        }
        let needs = self.made.remove(from);
        let step = self.change(link, from, LinkChange::Rename(to.to_owned()));
        self.made.insert(to.to_owned(), needs.unwrap_or_default());
        self.needs(to, step);
    }

    fn take_down(&mut self, link: &ResolvedLink, name: &str) {
        if self.state.link(name).is_some_and(|l| l.up) {
            self.change(link, name, LinkChange::Down);
        }
    }

    /// Everything about one link except its addresses and routes.
    pub(super) fn link(&mut self, link: &ResolvedLink) {
        if let (Some(altname), Some(there)) = (&link.altname, self.state.link(&link.name)) {
            if !there.is_called(altname) {
                self.change(link, &link.name, LinkChange::AddAltName(altname.clone()));
            }
        }
        self.make(link);
        self.release_if_free(link);
        if link.desired.kind == Kind::Bond {
            self.release_strangers(link);
        }
        // Before the MTU: InfiniBand allows a large one only in connected mode. Before the address: a bond loses its
        // own with its last member.
        self.options(link);
        self.mac(link);
        // A bridge follows the smallest MTU of its ports until its own is set (br_mtu_auto_adjust); one given at
        // creation does not count.
        let bridge = link.desired.kind == Kind::Bridge;
        if !bridge {
            self.mtu(link);
        }
        for member in &link.members {
            self.join(link, member);
        }
        if bridge {
            self.mtu(link);
            self.vlans(link, true);
        }
        self.remotes(link);
        self.forwarding(link);
        if let Some(on) = link.desired.promiscuous {
            if self.state.link(&link.name).is_some_and(|there| there.promiscuous != on.value) {
                self.change(link, &link.name, LinkChange::Promiscuous(on.value));
            }
        }
        self.late_options(link);
        self.ipv6(link);
        self.answer_arp(link);
        self.ethtool(link);
        self.activate(link);
    }

    /// The MTU of IPv6, last of all: the kernel resets it to the link's when that changes, and again when a link that
    /// came up is ready, which requires carrier (addrconf_notify).
    pub(super) fn ipv6_mtus(&mut self) {
        let resolved = self.resolved;
        for link in &resolved.links {
            let Some(there) = self.state.link(&link.name) else { continue };
            let described = link.desired.ipv6.mtu.map(|mtu| i64::from(mtu.value));
            // A smaller one left over would limit IPv6 below the described MTU. A router's comes back with its next
            // advertisement.
            let takes = self.advertisements(link).accept != Some(false);
            let routers = there.advertised_mtu.filter(|_| takes).map(i64::from);
            let left =
                there.ipv6.get("mtu").is_some_and(|mtu| *mtu < i64::from(there.mtu) && Some(*mtu) != routers);
            let of_link = (left && describes_ipv6(link) && link.desired.mtu.is_some()).then_some(there.mtu);
            let Some(desired) = described.or(of_link.map(i64::from)) else { continue };
            let is_left_alone = !there.up || there.is_ready() || i64::from(there.mtu) == desired;
            if there.ipv6.get("mtu") != Some(&desired) && !is_left_alone {
                self.push_for(link, Action::AwaitCarrier { link: link.name.clone() });
            }
            self.sysctl(link, "mtu", Some(desired));
        }
    }

    /// Creates the link, or recreates it if a difference cannot be changed in place.
    fn make(&mut self, link: &ResolvedLink) {
        let desired = &link.desired;
        if desired.kind == Kind::Physical {
            return;
        }
        let options = first_options(link);
        if let Some(there) = self.state.link(&link.name) {
            // 802.1Q if the description names no protocol (vlan_newlink).
            let tagged = OptionValue::Text("802.1Q".to_owned());
            let other_tag = desired.kind == Kind::Vlan
                && !options.contains_key("protocol")
                && there.settings.get("protocol").is_some_and(|protocol| *protocol != tagged);
            let fixed = |name: &str, value: &OptionValue| {
                let row = desired.kind.attributes().iter().find(|a| a.name == name);
                row.is_some_and(|a| a.change == Change::Never) && there.settings.get(name) != Some(value)
            };
            let other_kind = !there.kind.is(desired.kind);
            let other_parent = link.parent.is_some() && there.parent != link.parent;
            let other_ends = other_ends(desired.kind, there, &options);
            if !other_kind
                && !other_tag
                && !other_parent
                && !other_ends
                && !options.iter().any(|(name, value)| fixed(name, value))
            {
                return;
            }
            self.push_for(link, Action::DeleteLink { name: link.name.clone() });
        }
        if desired.kind == Kind::Veth && link.peer.as_ref().is_some_and(|p| self.state.links.contains_key(p))
        {
            return; // created as the other end of its peer
        }
        let mac = match desired.mac.map(|m| m.value) {
            Some(DesiredMac::Is(mac)) => Some(mac),
            _ => None,
        };
        let new = NewLink {
            name: link.name.clone(),
            kind: desired.kind,
            parent: link.parent.clone(),
            peer: link.peer.clone(),
            mac,
            mtu: desired.mtu.map(|m| m.value.get()).filter(|_| desired.kind != Kind::Bridge),
            settings: with_defaults(desired.kind, options),
        };
        let step = self.push_for(link, Action::AddLink(new));
        self.needs(&link.name, step);
        if let Some(peer) = &link.peer {
            self.needs(peer, step);
        }
    }

    /// Releases a link from a bond or bridge if it should be in none, or in another.
    fn release_if_free(&mut self, link: &ResolvedLink) {
        let Some(there) = self.state.link(&link.name).and_then(|l| l.controller.clone()) else { return };
        if link.controller.as_ref().map(|(name, _)| name) != Some(&there) {
            self.leave(link, &link.name, &there);
        }
    }

    /// Takes a port out of its controller. An undescribed controller that loses its last port is set down first: if it
    /// stayed up, its addresses and routes would take precedence over those of the link, and a run that is killed in
    /// between would not recognise it any more. An undo, whose links have no position, leaves it as it was.
    fn leave(&mut self, link: &ResolvedLink, port: &str, controller: &str) {
        let is_undescribed = self.described(controller).is_none() && link.desired.at.is_known();
        let is_vrf = self.state.link(controller).is_some_and(|l| l.kind.is(Kind::Vrf));
        if is_undescribed && !is_vrf && self.state.ports(controller) == [port] {
            self.take_down(link, controller);
        }
        self.change(link, port, LinkChange::NoController);
    }

    /// A bond has exactly the described members. A bridge keeps the ports that others added (guests).
    fn release_strangers(&mut self, bond: &ResolvedLink) {
        for port in self.state.ports(&bond.name) {
            if !bond.members.contains(&port) {
                self.change(bond, &port, LinkChange::NoController);
            }
        }
    }

    /// Many drivers accept a new address only while the NIC is down.
    fn mac(&mut self, link: &ResolvedLink) {
        let Some(there) = self.state.link(&link.name) else { return };
        let (current, up) = (there.mac, there.up);
        let desired = match link.desired.mac.map(|m| m.value) {
            Some(DesiredMac::Is(mac)) => Some(mac),
            Some(DesiredMac::Permanent) => there.permanent_mac,
            Some(DesiredMac::Random) if self.is_random(there) => None,
            Some(DesiredMac::Random) => random_mac(self.state.random, there),
            None => None,
        };
        let Some(mac) = desired.filter(|mac| Some(*mac) != current) else { return };
        if up && link.desired.kind == Kind::Physical {
            self.change(link, &link.name, LinkChange::Down);
        }
        self.change(link, &link.name, LinkChange::Mac(mac));
    }

    /// Whether it already has a random address, as systemd's MACAddressPolicy=random requires
    /// (link_generate_new_hw_addr): chosen by the kernel, or set by a program since the boot.
    fn is_random(&self, link: &ObservedLink) -> bool {
        let is_local = |mac: MacAddr| {
            mac.as_bytes().first().is_some_and(|byte| byte & 3 == 2) && Some(mac) != link.permanent_mac
        };
        let is_a_ports = || {
            let ports = self.state.ports(&link.name).into_iter();
            ports.filter_map(|port| self.state.link(&port)).any(|port| port.mac == link.mac)
        };
        match link.mac_origin {
            Some(MacOrigin::Permanent | MacOrigin::Stolen) => false,
            // A bridge without one of its own has its ports', but this origin nonetheless
            // (br_stp_recalculate_bridge_id).
            Some(MacOrigin::Random) => !is_a_ports(),
            Some(MacOrigin::Set) | None => link.mac.is_some_and(is_local),
        }
    }

    /// Links below come first, so the MTU is raised before the VLAN needs it. Members have their bond's.
    fn mtu(&mut self, link: &ResolvedLink) {
        let in_bond = matches!(link.controller, Some((_, Kind::Bond)));
        let Some(mtu) = self.desired_mtu(link).filter(|_| !in_bond) else { return };
        if self.state.link(&link.name).is_some_and(|l| l.mtu != mtu) {
            self.change(link, &link.name, LinkChange::Mtu(mtu));
        }
    }

    /// The described MTU; else what the described links on top of it and IPv6 need, if the link has less: the kernel
    /// refuses a VLAN with a larger MTU than its parent, and IPv6 below 1280 bytes.
    fn desired_mtu(&self, link: &ResolvedLink) -> Option<u32> {
        if let Some(mtu) = link.desired.mtu {
            return Some(mtu.value.get());
        }
        let there = self.state.link(&link.name).map(|l| l.mtu).filter(|mtu| *mtu > 0)?;
        let above = self.stacked_on(link);
        let larger = above.iter().filter_map(|above| above.desired.mtu).map(|mtu| mtu.value.get()).max();
        const IPV6_LEAST: u32 = 1280;
        let direct = self.described_above.get(link.name.as_str()).into_iter().flatten();
        let has_ipv6 = describes_ipv6(link) || direct.chain(&above).any(|above| describes_ipv6(above));
        let usual = (has_ipv6 && there < IPV6_LEAST).then_some(1500);
        larger.into_iter().chain(usual).max().filter(|mtu| *mtu > there)
    }

    /// The described links above one, over VLANs and macvlans only: none can have a larger MTU than its parent. The kernel
    /// stacks eight at most (`MAX_NEST_DEV`, netdevice.h).
    fn stacked_on(&self, link: &ResolvedLink) -> Vec<&ResolvedLink> {
        const LEVELS: usize = 8;
        let children = |link: &ResolvedLink| {
            let above = self.described_above.get(link.name.as_str()).into_iter().flatten();
            above.copied().filter(|above| matches!(above.desired.kind, Kind::Vlan | Kind::Macvlan))
        };
        let mut level: Vec<&ResolvedLink> = children(link).collect();
        let mut found = Vec::new();
        for _ in 0..LEVELS {
            found.extend_from_slice(&level);
            level = level.into_iter().flat_map(children).collect();
        }
        found
    }

    /// Options that differ, changed in place: at once if the kernel allows it, else with the link down, and a bond's
    /// members released. The link is never recreated, so that its index and everything on it stay.
    fn options(&mut self, link: &ResolvedLink) {
        let kind = link.desired.kind;
        let Some(there) = self.state.link(&link.name) else { return };
        let mut options = first_options(link);
        let none = OptionValue::Text("none".into());
        let follows = there.settings.get("fail_over_mac").is_some_and(|policy| *policy != none);
        if kind == Kind::Bond && follows && link.desired.mac.is_some() {
            // It takes its member's address, whatever is set (bond_set_mac_address).
            options.entry("fail_over_mac").or_insert(none);
        }
        let mut differing = options.clone();
        differing.retain(|name, _| {
            !there.settings.get(*name).is_some_and(|now| same(there, kind, name, now, &options))
        });
        if differing.is_empty() {
            return;
        }
        // ip(8) accepts a group only together with its link.
        let group = |value: &OptionValue| matches!(value, OptionValue::Ip(ip) if ip.is_multicast());
        if let (Kind::Vxlan, Some(parent), true) = (kind, &link.parent, differing.values().any(group)) {
            differing.insert("dev", OptionValue::Text(parent.clone()));
        }
        let needs = |change: &[Change]| {
            kind.attributes().iter().any(|a| differing.contains_key(a.name) && change.contains(&a.change))
        };
        if needs(&[Change::Down, Change::DownWithoutMembers]) {
            self.take_down(link, &link.name);
        }
        if needs(&[Change::WithoutMembers, Change::DownWithoutMembers]) {
            for port in self.state.ports(&link.name) {
                self.change(link, &port, LinkChange::NoController);
            }
        }
        if needs(&[Change::Together]) {
            differing = with_defaults(kind, options);
        }
        // When the mode is restored, first what only the present one supports (bond_opt_check_deps).
        let of_modes = |name: &&str| attribute::of(kind, name).map_or(&[][..], |row| row.modes);
        if let Some(mode) = differing.get("mode").and_then(mode_of) {
            let (last, mut first): (Options, Options) = differing.into_iter().partition(|(name, _)| {
                let modes = of_modes(name);
                modes.is_empty() || modes.contains(&mode)
            });
            let now = self.state.link(&link.name).and_then(|l| l.settings.get("mode")).and_then(mode_of);
            let known = |name: &&str| now.is_some_and(|now| of_modes(name).contains(&now));
            first.retain(|name, _| known(name));
            if !first.is_empty() {
                self.change(link, &link.name, LinkChange::Options { kind, settings: first });
            }
            differing = last;
        }
        self.change(link, &link.name, LinkChange::Options { kind, settings: differing });
    }

    /// Options that name members can be set once these are in. A bridge filters VLANs once it and its ports have
    /// theirs, so that allowed traffic is never interrupted.
    fn late_options(&mut self, link: &ResolvedLink) {
        let kind = link.desired.kind;
        let Some(there) = self.state.link(&link.name) else { return };
        let settings = options(link)
            .filter(|(row, _)| is_late(kind, row))
            .filter(|(row, value)| there.settings.get(row.name) != Some(value))
            // A running bond chooses its active member itself: one without a live link is refused.
            .filter(|(row, _)| row.name != "active_slave" || self.takes_members(&link.name))
            .map(|(row, value)| (row.name, value.clone()));
        let settings: Options = settings.few();
        if !settings.is_empty() {
            self.change(link, &link.name, LinkChange::Options { kind, settings });
        }
    }

    fn takes_members(&self, name: &str) -> bool {
        self.filled.contains(name)
    }

    /// Adds a member. A bond accepts it only while it is down (bond_enslave).
    fn join(&mut self, controller: &ResolvedLink, member: &str) {
        let kind = controller.desired.kind;
        let Some(there) = self.state.link(member) else { return };
        let Some(link) = self.described(member) else { return };
        if there.controller.as_deref() != Some(&controller.name) {
            if let Some(former) = there.controller.clone() {
                self.leave(link, member, &former);
            }
            if kind == Kind::Bond {
                self.take_down(link, member);
            }
            self.change(link, member, LinkChange::Controller(controller.name.clone()));
        }
        self.port_options(link, member, kind);
        if kind == Kind::Bridge {
            self.vlans(link, false);
        }
        let mtu = self.state.link(&controller.name).map(|c| c.mtu);
        if let (Kind::Bond, Some(mtu)) = (kind, mtu) {
            if self.state.link(member).is_some_and(|m| m.mtu != mtu) {
                self.change(link, member, LinkChange::Mtu(mtu));
            }
        }
    }

    /// The far ends of a VXLAN. Without a described one they are left alone: a routing daemon sets them.
    fn remotes(&mut self, link: &ResolvedLink) {
        if link.desired.kind != Kind::Vxlan {
            return;
        }
        let several = &link.desired.remotes;
        let alone = far_ends(|name| link.desired.settings.get(name));
        let is_undo = !link.desired.at.is_known();
        if several.is_empty() && alone.is_empty() && !is_undo {
            return;
        }
        let there = self.state.link(&link.name).map_or(Vec::new(), |there| there.remotes.clone());
        let missing = several.iter().filter(|ip| !there.contains(&ip.value));
        let changes = missing.map(|ip| (ip.at, LinkChange::AddRemote(ip.value)));
        let is_desired = |ip: &IpAddr| alone.contains(ip) || several.iter().any(|one| one.value == *ip);
        let surplus = there.iter().filter(|ip| !is_desired(ip));
        let surplus = surplus.map(|ip| (link.desired.at, LinkChange::DeleteRemote(*ip)));
        let changes: Vec<(Place, LinkChange)> = changes.chain(surplus).collect();
        for (at, change) in changes {
            self.push(&link.desired.id, at, Action::SetLink { name: link.name.clone(), change });
        }
    }

    /// Whether packets that come in by the link are forwarded.
    fn forwarding(&mut self, link: &ResolvedLink) {
        if let Some(on) = link.desired.forwarding {
            let now = self.state.link(&link.name).and_then(|there| there.ipv4.get("forwarding"));
            if *now.unwrap_or(&0) != i64::from(on.value) {
                self.write_sysctl(link, "ipv4", "forwarding", i64::from(on.value));
            }
        }
        self.sysctl(link, "forwarding", link.desired.ipv6.forwarding.map(|on| i64::from(on.value)));
    }

    fn port_options(&mut self, link: &ResolvedLink, member: &str, kind: Kind) {
        let Some(there) = self.state.link(member) else { return };
        let differing = kind
            .port_attributes()
            .iter()
            .filter_map(|row| Some((row.name, link.desired.port.get(row.name)?)))
            .filter(|(name, value)| there.port.get(*name) != Some(value))
            .map(|(name, value)| (name, value.clone()));
        let differing: Options = differing.few();
        if !differing.is_empty() {
            self.change(link, member, LinkChange::PortOptions { kind, settings: differing });
        }
    }

    /// Before the link comes up: once it is, it has a link-local address and asks for routers.
    fn ipv6(&mut self, link: &ResolvedLink) {
        let Some(there) = self.state.link(&link.name).cloned() else { return };
        let ipv6 = &link.desired.ipv6;
        if describes_ipv6(link) {
            // Set by the image, or for all links, or as the default for new ones.
            self.sysctl(link, "disable_ipv6", Some(0));
        }
        let port = matches!(link.controller, Some((_, Kind::Bridge)));
        let generation = ipv6.generation.map(|g| g.value).or(port.then_some(AddressGeneration::None));
        if let Some(generation) = generation.filter(|g| there.generation != Some(*g)) {
            // Set by sysctl, the mode gives a link that is up its link-local address at once; set by netlink, only when
            // the link comes up again (net/ipv6/addrconf.c, addrconf_sysctl_addr_gen_mode).
            let at_once = there.up && there.generation == Some(AddressGeneration::None);
            match generation {
                // Setting the secret sets the mode too, but adds no address.
                AddressGeneration::StableSecret => {
                    self.stable_secret(link);
                    let modes = [AddressGeneration::None, AddressGeneration::StableSecret];
                    for mode in modes.into_iter().filter(|_| at_once) {
                        self.sysctl(link, "addr_gen_mode", Some(mode as i64));
                    }
                }
                _ if at_once => self.sysctl(link, "addr_gen_mode", Some(generation as i64)),
                _ => {
                    self.change(link, &link.name, LinkChange::Generation(generation));
                }
            }
        }
        let policy = self.advertisements(link);
        // 2 accepts them even on a machine that forwards (Documentation/networking/ip-sysctl).
        let accept_ra = policy.accept.map(|accept| if accept { 2 } else { 0 });
        let takes_routes = policy.accept == Some(true) && self.state.knows_route_information();
        let privacy = ipv6.privacy.map(|privacy| if privacy.value { 2 } else { 0 });
        let settings = [
            ("accept_ra", accept_ra),
            ("autoconf", policy.autoconf.map(i64::from)),
            ("accept_ra_defrtr", policy.default_route.map(i64::from)),
            // Without it routes of advertisements are passed over (RFC 4191; rt6_route_rcv in net/ipv6/ndisc.c).
            ("accept_ra_rt_info_max_plen", takes_routes.then_some(128)),
            ("use_tempaddr", privacy.or((policy.autoconf == Some(false)).then_some(0))),
        ];
        for (option, value) in settings {
            self.sysctl(link, option, value);
        }
        if let Some(token) = ipv6.token.map(|t| t.value).filter(|t| there.token != Some(*t)) {
            self.change(link, &link.name, LinkChange::Token(token));
        }
    }

    /// The secret of RFC 7217. Without a permanent address, it is derived from the link below; without any, from the
    /// name.
    fn stable_secret(&mut self, link: &ResolvedLink) {
        let secret = match self.state.machine_id_lasts {
            true => Secret::MachineId,
            false => {
                let mac = self.permanent_mac(link);
                let name = || link.name.as_bytes().to_vec();
                Secret::Of(mac.map_or_else(name, |mac| mac.as_bytes().to_vec()))
            }
        };
        self.push_for(link, Action::StableSecret { link: link.name.clone(), secret });
    }

    /// The permanent address of the NIC, or of the first one below a link.
    fn permanent_mac(&self, link: &ResolvedLink) -> Option<MacAddr> {
        let mut next = Some(link.name.as_str());
        // A chain longer than the number of links is a cycle.
        for _ in 0..=self.resolved.links.len() {
            let name = next?;
            if let Some(mac) = self.state.link(name).and_then(|there| there.permanent_mac) {
                return Some(mac);
            }
            let link = self.described(name)?;
            next = link.parent.as_deref().or(link.members.first().map(String::as_str));
        }
        None
    }

    /// The description's settings for router advertisements on a link.
    pub(super) fn advertisements(&self, link: &ResolvedLink) -> Advertisements {
        let ipv6 = &link.desired.ipv6;
        let asked = link.desired.asks(Dynamic::RouterAdvertisements);
        let accept = ipv6.accept_ra.map(|accept| accept.value).or(asked.then_some(true));
        let has_address = link.desired.addresses.iter().any(|a| a.net.addr().is_ipv6());
        let alone = ipv6.static_alone && has_address && accept.is_none();
        let autoconf = match ipv6.autoconf {
            Some(autoconf) => Some(autoconf.value),
            None if alone => Some(false),
            None => (accept == Some(true)).then_some(true),
        };
        let default_route = match accept {
            Some(true) => Some(true),
            // The advertised default route is accepted only if none is described.
            None if alone => Some(!self.has_default6),
            _ => None,
        };
        Advertisements { accept, autoconf, default_route }
    }

    /// `arp_ignore` 8 that was left on a link: ARP requests for a described address are not answered, and after a while nobody
    /// reaches it.
    fn answer_arp(&mut self, link: &ResolvedLink) {
        let has_ipv4 = link.desired.addresses.iter().any(|address| address.net.addr().is_ipv4());
        let there = self.state.link(&link.name).filter(|_| has_ipv4);
        if there.is_some_and(|there| there.ipv4.get("arp_ignore") == Some(&8)) {
            self.write_sysctl(link, "ipv4", "arp_ignore", 0);
        }
    }

    fn sysctl(&mut self, link: &ResolvedLink, option: &str, value: Option<i64>) {
        let Some(there) = self.state.link(&link.name).filter(|_| self.has_ipv6) else { return };
        // A value missing from the inventory is the kernel's default (ipv6_devconf_dflt).
        let usual = match option {
            "disable_ipv6" | "use_tempaddr" | "forwarding" => Some(&0),
            "autoconf" | "accept_ra_defrtr" => Some(&1),
            _ => None,
        };
        let now = there.ipv6.get(option).or(usual);
        let Some(value) = value.filter(|value| now != Some(value)) else { return };
        self.write_sysctl(link, "ipv6", option, value);
    }

    fn write_sysctl(&mut self, link: &ResolvedLink, family: &str, option: &str, value: i64) {
        let key = format!("net/{family}/conf/{}/{option}", link.name);
        let step = self.push_for(link, Action::Sysctl { key, value: value.to_string() });
        // A sysctl names no link for `push`.
        if let (Some(made), Some(step)) = (self.made.get(&link.name), self.steps.get_mut(step.0)) {
            step.needs.clone_from(made);
        }
    }

    fn ethtool(&mut self, link: &ResolvedLink) {
        let Some(there) = self.state.link(&link.name).cloned() else { return };
        for (feature, on) in &link.desired.features {
            if there.features.get(*feature) != Some(&on.value) {
                let name = link.name.clone();
                self.push(&link.desired.id, on.at, Action::Feature { name, feature, on: on.value });
            }
        }
        for group in NIC {
            let differing =
                group.rows.iter().filter_map(|row| Some((row.name, link.desired.tuning.0.get(row.name)?)));
            let differing = differing.filter(|(name, value)| there.tuning.get(*name) != Some(&value.value));
            let at = differing.clone().map(|(_, value)| value.at).next();
            let settings = differing.map(|(name, value)| (name, value.value.clone())).few();
            if let Some(at) = at {
                self.push(&link.desired.id, at, Action::Tune { name: link.name.clone(), settings });
            }
        }
        // A NIC without Wake-on-LAN counts as off.
        let wakes = there.wake_on_lan.unwrap_or(false);
        if let Some(desired) = link.desired.wake_on_lan.filter(|on| on.value != wakes) {
            self.push(
                &link.desired.id,
                desired.at,
                Action::WakeOnLan { name: link.name.clone(), on: desired.value },
            );
        }
        if let Some(config) =
            link.desired.wireguard.as_ref().filter(|_| there.wireguard_as_described != Some(true))
        {
            let action = Action::Wireguard { name: link.name.clone(), config: config.clone() };
            self.push_for(link, action);
        }
    }

    fn activate(&mut self, link: &ResolvedLink) {
        let Some(up) = self.state.link(&link.name).map(|l| l.up) else { return };
        let wanted = match link.desired.activation {
            Activation::Up => true,
            Activation::Off => false,
            Activation::Manual => return,
        };
        // A member comes up when its bond adds it.
        let in_bond = matches!(link.controller, Some((_, Kind::Bond)));
        if up == wanted || (in_bond && wanted) {
            return;
        }
        let step = self.change(link, &link.name, if wanted { LinkChange::Up } else { LinkChange::Down });
        if wanted {
            self.needs(&link.name, step);
        }
    }
}

/// The description's settings for router advertisements on a link; `None` leaves the kernel's value.
pub(super) struct Advertisements {
    /// Advertisements are accepted at all.
    pub(super) accept: Option<bool>,
    /// Addresses are derived from the prefixes.
    pub(super) autoconf: Option<bool>,
    /// The default route is accepted.
    pub(super) default_route: Option<bool>,
}

/// The link should have IPv6.
fn describes_ipv6(link: &ResolvedLink) -> bool {
    let Link { addresses, routes, dynamic, ipv6, .. } = &link.desired;
    addresses.iter().any(|a| a.net.addr().is_ipv6())
        || routes.iter().any(|route| route.to.addr().is_ipv6() && !route.kind.is_linkless())
        || dynamic.iter().any(|d| d.value.family() == Family::V6)
        || ipv6.accept_ra.is_some_and(|accept| accept.value)
}

/// The options of the link with their rows, in the table's order: the kernel accepts some only after others (a bond's
/// mode first, drivers/net/bonding/bond_netlink.c).
fn options(link: &ResolvedLink) -> impl Iterator<Item = (&'static Attribute, &OptionValue)> {
    let settings = &link.desired.settings;
    link.desired.kind.attributes().iter().filter_map(|row| Some((row, settings.get(row.name)?)))
}

fn mode_of(value: &OptionValue) -> Option<BondMode> {
    match value {
        OptionValue::Text(word) => BondMode::from_word(word),
        _ => None,
    }
}

/// Set once the members are in.
fn is_late(kind: Kind, row: &Attribute) -> bool {
    kind.is_controller() && (row.form == Form::Link || row.name == "vlan_filtering")
}

/// Those that can be given at creation.
fn first_options(link: &ResolvedLink) -> Options {
    let early = options(link).filter(|(row, _)| !is_late(link.desired.kind, row));
    early.map(|(row, value)| (row.name, value.clone())).few()
}

/// A VXLAN keeps the address family of its ends (vxlan_nl2conf), and an IPv4 tunnel keeps having a remote end or none
/// (ip_tunnel_changelink).
fn other_ends(kind: Kind, there: &ObservedLink, desired: &Options) -> bool {
    let is_set = |ip: &OptionValue| !matches!(ip, OptionValue::Ip(ip) if ip.is_unspecified());
    let now = |ends: &[&str]| ends.iter().any(|end| there.settings.get(*end).is_some_and(is_set));
    let then = |ends: &[&str]| ends.iter().any(|end| desired.get(*end).is_some_and(is_set));
    match attribute::of(kind, "remote").map(|row| (row.change, row.form)) {
        Some((Change::Together, Form::Ip4)) => now(&["remote"]) != then(&["remote"]),
        _ if kind == Kind::Vxlan => {
            let six = ["remote6", "local6"];
            now(&six) != then(&six) && (then(&six) || then(&["remote", "local"]))
        }
        _ => false,
    }
}

fn with_defaults(kind: Kind, mut options: Options) -> Options {
    for (name, value) in attribute::defaults(kind) {
        options.entry(name).or_insert(value);
    }
    options
}

/// Values that the kernel rounds or forces are normalised before they are compared.
fn same(there: &ObservedLink, kind: Kind, name: &str, now: &OptionValue, all: &Options) -> bool {
    let Some(desired) = all.get(name) else { return true };
    let number = |name| match there.settings.get(name) {
        Some(OptionValue::Number(number)) => *number,
        _ => 0,
    };
    match (kind, name, now, desired) {
        // During a topology change, a bridge ages entries faster (__br_set_topology_change).
        (Kind::Bridge, "ageing_time", OptionValue::Number(now), OptionValue::Number(_))
            if *now == 2 * number("forward_delay")
                && there.settings.get("stp_state") == Some(&OptionValue::Bool(true)) =>
        {
            true
        }
        // Times are rounded to the kernel's ticks, of which there may be 250 a second.
        (Kind::Bridge, _, OptionValue::Number(now), OptionValue::Number(desired)) if is_time(name) => {
            (*desired - 1..=*desired).contains(now)
        }
        // 0 becomes 100 in the modes that require miimon (bond_option_mode_set).
        (Kind::Bond, "miimon", OptionValue::Number(100), OptionValue::Number(0)) => true,
        // Delays are multiples of miimon, rounded down, and change with it (bond_option_updelay_set).
        (
            Kind::Bond,
            "updelay" | "downdelay" | "peer_notify_delay",
            OptionValue::Number(now),
            OptionValue::Number(desired),
        ) => {
            let (interval, new) = (number("miimon"), all.get("miimon"));
            let stays = new.is_none_or(|new| *new == OptionValue::Number(interval));
            let rest = desired.checked_rem(interval).unwrap_or(0);
            stays && (*now == desired - rest || now == desired)
        }
        _ => now == desired,
    }
}

/// Whether an option of a bridge is a time, in 1/100 s.
fn is_time(name: &str) -> bool {
    name.ends_with("_interval") || matches!(name, "forward_delay" | "hello_time" | "max_age" | "ageing_time")
}

/// A locally administered address derived from a random number and the link: without a number, for a recorded machine,
/// a plan is the same each time.
fn random_mac(random: u64, link: &ObservedLink) -> Option<MacAddr> {
    let permanent = link.permanent_mac.iter().flat_map(|mac| mac.as_bytes());
    let of = link.name.bytes().chain(permanent.copied()).chain(random.to_be_bytes());
    // FNV-1a.
    let hash = of.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [first, rest @ ..] = hash.to_be_bytes();
    let mut bytes = [0; 6];
    bytes.iter_mut().zip([(first & 0xfc) | 2].into_iter().chain(rest)).for_each(|(to, from)| *to = from);
    MacAddr::from_bytes(&bytes)
}
