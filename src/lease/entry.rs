//! The state of each link that netapply leases, in a file of its own below /run/netapply/leases: applying, verifying
//! and renewing read it, and a program that was killed continues with it. Its times count from boot, so that a file is
//! useless after a reboot; /run is empty then.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::dhcp4::machine::{Account, Config, Lease, LeaseEnd, Moment, Offered};
use super::dhcp4::terms::Terms;
use super::dhcp6::machine::{Account6, Config6, Lease6};
use super::dhcp6::message::status;
use super::ra::machine::Router;
use crate::machine::{Machine, files};
use crate::order::Few as _;
use crate::resolve::{LeaseNote, NoLease, NoLeaseReason};

/// The file of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeaseEntry {
    /// Version of this format; 1.
    pub version: u32,
    /// Name of the link.
    pub link: String,
    /// Who asks, and how: renewal needs only this file.
    pub config: Config,
    /// State of the client, by RFC 2131's name.
    pub state: String,
    /// The lease, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// Why the last one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<LeaseEnd>,
    /// What was heard.
    pub account: Account,
    /// IPv4 is not requested: the fields above are unused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_dhcp6: bool,
    /// DHCPv6, where the link asks for it or a router may say that it is to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp6: Option<Entry6>,
    /// Router advertisements, where the link takes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routers: Option<RouterEntry>,
}

/// The router advertisements of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouterEntry {
    /// The description leaves the link's IPv6 addresses to them: that there are none is a fault.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Whether they are solicited.
    pub state: String,
    /// What they say.
    pub routers: Vec<Router>,
    /// Solicitations without an answer.
    pub unanswered: u32,
}

/// What DHCPv6 is asked for on a link.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Mode6 {
    /// Addresses.
    Addresses,
    /// Only what comes without them.
    Information,
}

/// A link's DHCPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry6 {
    /// Who asks, and how.
    pub config: Config6,
    /// It is asked for only where a router says so (the M and O flags of its advertisements).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub on_request: bool,
    /// What comes without addresses is asked for even where no router says so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub information: bool,
    /// State of the client.
    pub state: String,
    /// The lease, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease6>,
    /// Why the last one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<LeaseEnd>,
    /// What was heard.
    pub account: Account6,
}

/// How many messages are sent before a link that has its IPv4 lease no longer waits for DHCPv6: after 1, 2 and 4 s.
const PATIENCE: u32 = 4;
/// The same for router advertisements: two solicitations.
const PATIENCE_ROUTERS: u32 = 2;

impl Entry6 {
    /// The lease, if it is still valid.
    pub fn in_force(&self, now: Moment) -> Option<&Lease6> {
        self.lease.as_ref().filter(|lease| lease.is_in_force(now))
    }

    /// A server exists, or did.
    fn was_answered(&self) -> bool {
        self.lost.is_some() || !self.account.without_address.is_empty()
    }

    fn has_addresses(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| !lease.addresses.is_empty())
    }

    /// Why the link has no lease. `managed`: a router says that there is DHCPv6.
    fn why(&self, managed: Option<&Router>) -> NoLease {
        use NoLeaseReason as Reason;
        let Account6 { unanswered, without_address, duplicate } = &self.account;
        let (reason, why) = match (&self.lost, duplicate, without_address.first()) {
            (Some(LeaseEnd::Released), ..) => (Reason::Released, "the lease was given up by hand".to_owned()),
            (_, Some(duplicate), _) => {
                (Reason::InUse, format!("{duplicate} was leased, and another machine uses it"))
            }
            (_, _, Some((_, status::NO_ADDRESSES))) => {
                (Reason::NoAddresses, "the DHCPv6 server has no addresses left (NoAddrsAvail)".to_owned())
            }
            (_, _, Some((_, code))) => {
                (Reason::NoAddresses, format!("the DHCPv6 server gives no address (status {code})"))
            }
            (Some(_), ..) => (Reason::Expired, "the DHCPv6 lease ran out or was taken back".to_owned()),
            _ if self.state == "DOWN" => (Reason::NoCarrier, "the link has no carrier".to_owned()),
            _ if *unanswered > 0 => {
                let reason = if managed.is_some() { Reason::ManagedSilence } else { Reason::Silence };
                let router = managed.map_or_else(String::new, |router| {
                    format!("router {} advertises DHCPv6 (M flag), and ", router.address)
                });
                (reason, format!("{router}no DHCPv6 server answers (asked {})", times(*unanswered)))
            }
            _ => (Reason::Pending, "no answer of a DHCPv6 server yet".to_owned()),
        };
        NoLease { what: "DHCPv6 lease", reason, why }
    }
}

impl RouterEntry {
    /// Routers that are not forgotten.
    pub fn in_force(&self, now: Moment) -> impl Iterator<Item = &Router> {
        self.routers.iter().filter(move |router| router.is_in_force(now))
    }

    fn why(&self) -> NoLease {
        let (reason, why) = match self.unanswered {
            _ if self.state == "DOWN" => (NoLeaseReason::NoCarrier, "the link has no carrier".to_owned()),
            0 => (NoLeaseReason::Pending, "not solicited yet".to_owned()),
            count => {
                (NoLeaseReason::NoAdvertisement, format!("no router answers (solicited {})", times(count)))
            }
        };
        NoLease { what: "router advertisement", reason, why }
    }
}

/// `once`, `3 times`.
fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

impl LeaseEntry {
    /// A link for which nothing was heard yet.
    pub fn new(link: &str) -> LeaseEntry {
        LeaseEntry { version: 1, link: link.to_owned(), state: "INIT".to_owned(), ..LeaseEntry::default() }
    }

    /// The lease, if it is still valid.
    pub fn in_force(&self, now: Moment) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.is_in_force(now))
    }

    fn lacks_dhcp4(&self, now: Moment) -> bool {
        let without = self.lost == Some(LeaseEnd::Ipv6Only);
        !self.only_dhcp6 && !without && self.in_force(now).is_none()
    }

    /// What DHCPv6 is asked for now. What has been granted is kept up, whatever routers say later.
    pub fn mode6(&self) -> Option<Mode6> {
        let six = self.dhcp6.as_ref()?;
        let says = |flag: fn(&Router) -> bool| self.routers.iter().any(|ra| ra.routers.iter().any(flag));
        match () {
            () if !six.on_request || six.has_addresses() || says(|router| router.managed) => {
                Some(Mode6::Addresses)
            }
            () if six.lease.is_some() || six.information || says(|router| router.other) => {
                Some(Mode6::Information)
            }
            () => None,
        }
    }

    /// DHCPv6, where addresses are asked for.
    fn asks6(&self) -> Option<&Entry6> {
        self.dhcp6.as_ref().filter(|_| self.mode6() == Some(Mode6::Addresses))
    }

    fn heard(&self, now: Moment) -> impl Iterator<Item = &Router> {
        self.routers.iter().flat_map(move |ra| ra.in_force(now))
    }

    /// A description for any network asks for both families, so that beside an IPv4 lease a DHCPv6 server that is not there
    /// is not missing; nor is it where routers give addresses, unless one says that there is DHCPv6.
    fn lacks_dhcp6(&self, now: Moment) -> bool {
        let Some(six) = self.asks6().filter(|six| six.in_force(now).is_none()) else { return false };
        let gives_addresses = self.heard(now).any(|router| router.gives_addresses(now));
        let managed = self.heard(now).any(|router| router.managed);
        match self.only_dhcp6 {
            false => six.was_answered(),
            true => !gives_addresses || (managed && !six.on_request),
        }
    }

    /// The same holds for routers.
    fn lacks_routers(&self, now: Moment) -> bool {
        let required = self.only_dhcp6 && self.routers.as_ref().is_some_and(|ra| ra.required);
        required
            && self.heard(now).next().is_none()
            && !self.dhcp6.as_ref().is_some_and(Entry6::has_addresses)
    }

    /// Nothing is asked for but what routers say.
    pub fn only_hears_routers(&self) -> bool {
        self.only_dhcp6 && self.mode6().is_none()
    }

    /// Whether a lease that is asked for is missing.
    pub fn lacks(&self, now: Moment) -> bool {
        self.lacks_dhcp4(now) || self.lacks_dhcp6(now) || self.lacks_routers(now)
    }

    /// Whether a lease may arrive that is worth waiting for.
    pub fn is_awaited(&self, now: Moment) -> bool {
        let lacks6 = |six: &Entry6| six.in_force(now).is_none() && six.state != "DOWN";
        let six = self.dhcp6.as_ref().filter(|_| self.mode6().is_some());
        let may_come = six.is_some_and(|six| lacks6(six) && six.account.unanswered < PATIENCE);
        let solicited = self.routers.as_ref().is_some_and(|ra| {
            ra.required && ra.state != "DOWN" && ra.routers.is_empty() && ra.unanswered < PATIENCE_ROUTERS
        });
        self.lacks(now) || may_come || solicited
    }

    /// The server has not been told yet that the DHCPv6 lease is released.
    pub fn releases6(&self) -> bool {
        self.dhcp6.as_ref().is_some_and(|six| six.state == "RELEASING")
    }

    /// Every lease of the link was released by hand.
    pub fn is_released(&self) -> bool {
        let released = Some(LeaseEnd::Released);
        let six = self.dhcp6.as_ref().filter(|six| self.mode6().is_some() || six.lost.is_some());
        (self.only_dhcp6 || self.lost == released)
            && six.is_none_or(|six| six.lost == released)
            && !(self.only_dhcp6 && six.is_none())
    }

    /// What is odd about the lease in force.
    pub fn notes(&self, now: Moment) -> Vec<LeaseNote> {
        let Some(Terms { address, server, routes, .. }) = self.in_force(now).map(|lease| &lease.terms) else {
            return Vec::new();
        };
        let without = routes.iter().all(|route| route.to.prefix_len() > 0);
        let without = without.then_some(LeaseNote::WithoutRouter { server: *server });
        let others = self.account.offers.iter().filter_map(|offer| {
            let offers = Ipv4Net::new(offer.address, offer.prefix?).ok()?.trunc();
            let is_other = offer.server != *server && !offers.contains(&address.addr());
            is_other.then_some(LeaseNote::SecondServer { server: *server, other: offer.server, offers })
        });
        without.into_iter().chain(others).collect()
    }

    /// Why a lease that is asked for is missing.
    pub fn why(&self, now: Moment) -> NoLease {
        let managed = self.heard(now).find(|router| router.managed);
        match (&self.dhcp6, &self.routers) {
            (Some(six), _) if !self.lacks_dhcp4(now) && self.lacks_dhcp6(now) => six.why(managed),
            (_, Some(routers)) if !self.lacks_dhcp4(now) && self.lacks_routers(now) => routers.why(),
            (Some(six), _) if !self.lacks_dhcp4(now) => six.why(managed),
            _ => self.why_not_dhcp4(),
        }
    }

    fn why_not_dhcp4(&self) -> NoLease {
        use NoLeaseReason as Reason;
        let Account { offers, refused, conflict, unanswered, malformed } = &self.account;
        let of = |reason, why: String| NoLease { what: "DHCP lease", reason, why };
        let ended = match self.lost {
            Some(LeaseEnd::Expired) => Some((Some(Reason::Expired), "the lease ran out")),
            Some(LeaseEnd::Refused) => Some((None, "the lease is no longer valid")),
            Some(LeaseEnd::Ipv6Only) => {
                return of(Reason::Released, "the network asks to do without IPv4 (option 108)".to_owned());
            }
            Some(LeaseEnd::Released) => {
                return of(Reason::Released, "the lease was given up by hand".to_owned());
            }
            None => None,
        };
        let server = |server: Ipv4Addr| match server.is_unspecified() {
            true => "a server".to_owned(),
            false => format!("server {server}"),
        };
        // A request is repeated, with less and less haste, before it counts as unanswered for good.
        let requesting = self.state == "REQUESTING" && *unanswered > 1;
        let is_silent = |offer: &&Offered| offer.silent || (requesting && offer.not_taken.is_none());
        let (reason, why) = if let Some(conflict) = conflict {
            (Reason::InUse, format!("{} was offered, and {} uses it", conflict.address, conflict.mac))
        } else if let Some(refused) = refused {
            (Reason::Refused, format!("{} refuses {}", server(refused.server), refused.address))
        } else if let Some(offer) = offers.iter().find(is_silent) {
            let Offered { address, .. } = offer;
            let why = format!("{} offers {address} and then keeps silent", server(offer.server));
            (Reason::SilentAfterOffer, why)
        } else if let Some((offer, refusal)) = offers.iter().find_map(|o| Some((o, o.not_taken.as_ref()?))) {
            (Reason::Unusable, format!("the offer of {} cannot be used: {refusal}", server(offer.server)))
        } else if self.state == "DOWN" {
            (Reason::NoCarrier, "the link has no carrier".to_owned())
        } else if *malformed > 0 {
            (Reason::Unusable, format!("what answers is not DHCP: {malformed} packets cannot be read"))
        } else if *unanswered > 0 {
            (Reason::Silence, format!("no DHCP server answers (asked {})", times(*unanswered)))
        } else {
            (Reason::Pending, "no answer yet".to_owned())
        };
        match ended {
            Some((ended, what)) => of(ended.unwrap_or(reason), format!("{what}; {why}")),
            None => of(reason, why),
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, machine: &Machine) -> io::Result<()> {
        let path = machine.leases().join(format!("{}.json", self.link));
        files::write(&path, &serde_json::to_vec(self).map_err(io::Error::from)?, 0o644)
    }
}

/// The files of all links, by the link's name. Unreadable ones are left out.
pub fn all(machine: &Machine) -> BTreeMap<String, LeaseEntry> {
    let names = std::fs::read_dir(machine.leases()).into_iter().flatten().flatten();
    let paths = names.map(|name| name.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let read = |path: std::path::PathBuf| -> Option<LeaseEntry> {
        let entry: LeaseEntry = files::read_json(&path).ok()?;
        let name = path.file_stem()?.to_str()?;
        (entry.version == 1 && entry.link == name).then_some(entry)
    };
    paths.filter_map(read).map(|entry| (entry.link.clone(), entry)).few()
}

/// Removes the file of a link that netapply no longer leases.
///
/// # Errors
/// It cannot be removed.
pub fn forget(machine: &Machine, link: &str) -> io::Result<()> {
    files::remove(&machine.leases().join(format!("{link}.json")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::dhcp4::machine::{Conflict, Refused};
    use crate::lease::dhcp4::terms::{LeasedRoute, OfferFault};

    #[test]
    fn an_entry_is_kept_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::below(folder.path());
        let entry = LeaseEntry { state: "BOUND".to_owned(), ..LeaseEntry::new("eth0") };
        entry.keep(&machine).unwrap();
        std::fs::write(machine.leases().join("eth1.json"), "{\"link\":\"eth0\",\"version\":1}").unwrap();
        std::fs::write(machine.leases().join("eth2.json"), "nonsense").unwrap();
        assert_eq!(all(&machine).into_values().collect::<Vec<_>>(), [entry]);
        forget(&machine, "eth0").unwrap();
        assert!(all(&machine).is_empty());
    }

    #[test]
    fn why_no_address_came() {
        let address: Ipv4Addr = [192, 0, 2, 7].into();
        let server: Ipv4Addr = [192, 0, 2, 1].into();
        let offer = Offered { server, address, prefix: Some(24), not_taken: None, silent: false };
        let of = |account: Account| LeaseEntry { account, ..LeaseEntry::new("eth0") }.why(Moment::ZERO).why;
        let none = Account::default;
        assert_eq!(of(none()), "no answer yet");
        assert_eq!(of(Account { unanswered: 1, ..none() }), "no DHCP server answers (asked once)");
        assert_eq!(of(Account { unanswered: 5, ..none() }), "no DHCP server answers (asked 5 times)");
        let silent = Offered { silent: true, ..offer.clone() };
        let silent = Account { offers: vec![silent], unanswered: 2, ..none() };
        assert_eq!(of(silent), "server 192.0.2.1 offers 192.0.2.7 and then keeps silent");
        // Before it counts as unanswered for good.
        let account = Account { offers: vec![offer.clone()], unanswered: 3, ..none() };
        let asked = LeaseEntry { account, state: "REQUESTING".to_owned(), ..LeaseEntry::new("eth0") };
        assert_eq!(asked.why(Moment::ZERO).reason, NoLeaseReason::SilentAfterOffer);
        let bad = Offered { not_taken: Some(OfferFault::NoLifetime), ..offer };
        let bad = of(Account { offers: vec![bad], ..none() });
        assert_eq!(bad, "the offer of server 192.0.2.1 cannot be used: it has no lifetime");
        let refused = Some(Refused { server, address });
        assert_eq!(of(Account { refused, ..none() }), "server 192.0.2.1 refuses 192.0.2.7");
        let conflict = Some(Conflict { address, mac: "02:00:00:00:00:63".parse().unwrap() });
        assert_eq!(
            of(Account { conflict, ..none() }),
            "192.0.2.7 was offered, and 02:00:00:00:00:63 uses it"
        );
        let lost = LeaseEntry { lost: Some(LeaseEnd::Expired), ..LeaseEntry::new("eth0") };
        assert_eq!(lost.why(Moment::ZERO).why, "the lease ran out; no answer yet");
        let refused = Account { refused: Some(Refused { server, address }), ..none() };
        let lost = LeaseEntry { lost: Some(LeaseEnd::Refused), account: refused, ..LeaseEntry::new("eth0") };
        let NoLease { reason, why, .. } = lost.why(Moment::ZERO);
        let words = "the lease is no longer valid; server 192.0.2.1 refuses 192.0.2.7";
        assert_eq!((reason, why.as_str()), (NoLeaseReason::Refused, words));
        let down = LeaseEntry { state: "DOWN".to_owned(), ..LeaseEntry::new("eth0") };
        assert_eq!(down.why(Moment::ZERO).why, "the link has no carrier");
    }

    fn router(managed: bool, other: bool, prefix: Option<&str>) -> Router {
        let prefixes = prefix.map(|net| (net.parse().unwrap(), true, None));
        Router {
            address: "fe80::1".parse().unwrap(),
            managed,
            other,
            default_until: 0,
            prefixes: prefixes.into_iter().collect(),
            name_servers: Vec::new(),
            search: Vec::new(),
            until: 1_800_000,
        }
    }

    /// A link that takes advertisements, with these routers; `asked`: the description asks for DHCPv6.
    fn advertised(asked: bool, routers: Vec<Router>) -> LeaseEntry {
        let account = Account6 { unanswered: 3, ..Account6::default() };
        let dhcp6 = Some(Entry6 { on_request: !asked, account, ..Entry6::default() });
        let unanswered = if routers.is_empty() { 2 } else { 0 };
        let routers = Some(RouterEntry { required: !asked, routers, unanswered, ..RouterEntry::default() });
        LeaseEntry { only_dhcp6: true, dhcp6, routers, ..LeaseEntry::new("eth0") }
    }

    #[test]
    fn routers_say_what_dhcpv6_is_asked_for() {
        let mode = |asked, routers| advertised(asked, routers).mode6();
        let (slaac, net) = (router(false, false, Some("2001:db8::/64")), Some("2001:db8::/64"));
        assert_eq!(mode(false, vec![]), None);
        assert_eq!(mode(false, vec![slaac.clone()]), None);
        assert_eq!(mode(false, vec![slaac.clone(), router(false, true, net)]), Some(Mode6::Information));
        assert_eq!(mode(false, vec![slaac, router(true, true, net)]), Some(Mode6::Addresses));
        assert_eq!(mode(true, vec![]), Some(Mode6::Addresses), "the description asks for it");
        let mut entry = advertised(false, vec![]);
        entry.dhcp6.iter_mut().for_each(|six| six.information = true);
        assert_eq!(entry.mode6(), Some(Mode6::Information), "whatever routers say");
    }

    #[test]
    fn what_is_missing_of_ipv6_is_what_routers_and_the_description_ask_for() {
        let net = Some("2001:db8::/64");
        let lacks = |entry: &LeaseEntry| entry.lacks(Moment::ZERO);
        let why = |entry: &LeaseEntry| (lacks(entry), entry.why(Moment::ZERO).why);
        let silent = "no DHCPv6 server answers (asked 3 times)";
        let managed = format!("router fe80::1 advertises DHCPv6 (M flag), and {silent}");
        assert_eq!(why(&advertised(false, vec![])), (true, "no router answers (solicited 2 times)".into()));
        assert_eq!(why(&advertised(true, vec![])), (true, silent.to_owned()));
        assert!(!lacks(&advertised(false, vec![router(false, true, net)])));
        assert!(!lacks(&advertised(true, vec![router(false, false, net)])), "it has its addresses");
        assert!(!lacks(&advertised(false, vec![router(true, true, net)])));
        assert_eq!(why(&advertised(true, vec![router(true, true, net)])), (true, managed.clone()));
        assert_eq!(why(&advertised(false, vec![router(true, true, None)])), (true, managed));
        // Beside IPv4 nothing of this is missing.
        let both = |routers| LeaseEntry {
            only_dhcp6: false,
            lost: Some(LeaseEnd::Ipv6Only),
            ..advertised(false, routers)
        };
        assert!(!lacks(&both(vec![])) && !lacks(&both(vec![router(true, true, None)])));
    }

    #[test]
    fn what_is_odd_about_a_lease() {
        let of = |via: Option<[u8; 4]>, offers: Vec<Offered>| {
            let routes =
                via.map(|via| LeasedRoute { to: "0.0.0.0/0".parse().unwrap(), via: Some(via.into()) });
            let terms = Terms { routes: routes.into_iter().collect(), ..Terms::sample("192.0.2.7/24") };
            let account = Account { offers, ..Account::default() };
            let lease = Some(Lease { terms, asked: 0 });
            LeaseEntry { lease, account, ..LeaseEntry::new("eth0") }.notes(Moment::ZERO)
        };
        let offer = |server: [u8; 4], address: [u8; 4]| Offered {
            server: server.into(),
            address: address.into(),
            prefix: Some(24),
            not_taken: None,
            silent: false,
        };
        let router = Some([192, 0, 2, 1]);
        assert_eq!(of(router, vec![offer([192, 0, 2, 2], [192, 0, 2, 9])]), [], "two servers of one subnet");
        assert_eq!(of(None, vec![]), [LeaseNote::WithoutRouter { server: [192, 0, 2, 1].into() }]);
        let second = LeaseNote::SecondServer {
            server: [192, 0, 2, 1].into(),
            other: [10, 0, 0, 1].into(),
            offers: "10.0.0.0/24".parse().unwrap(),
        };
        assert_eq!(of(router, vec![offer([10, 0, 0, 1], [10, 0, 0, 9])]), [second]);
    }

    #[test]
    fn a_link_that_waits_for_routers_is_not_given_up() {
        assert!(!advertised(false, vec![]).is_released());
        let mut given_up = advertised(false, vec![router(true, true, None)]);
        given_up.dhcp6.as_mut().unwrap().lost = Some(LeaseEnd::Released);
        assert!(given_up.is_released());
        let four = LeaseEntry { only_dhcp6: false, ..advertised(false, vec![]) };
        assert!(
            LeaseEntry { lost: Some(LeaseEnd::Released), ..four.clone() }.is_released()
                && !four.is_released()
        );
    }
}
