//! The state of each link that netapply leases, in a file of its own below /run/netapply/leases: applying, verifying
//! and renewing read it, and a program that was killed continues with it. Its times count from boot, so that a file is
//! useless after a reboot; /run is empty then.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::dhcp4::machine::{Account, Config, Lease, LeaseEnd, Moment};
use super::dhcp6::machine::{Account6, Config6, Lease6};
use super::dhcp6::message::status;
use crate::machine::{Machine, files};

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
    /// DHCPv6, if the link requests it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp6: Option<Entry6>,
}

/// A link's DHCPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry6 {
    /// Who asks, and how.
    pub config: Config6,
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

impl Entry6 {
    /// The lease, if it is still valid.
    pub fn in_force(&self, now: Moment) -> Option<&Lease6> {
        self.lease.as_ref().filter(|lease| lease.is_in_force(now))
    }

    /// A server exists, or did.
    fn was_answered(&self) -> bool {
        self.lost.is_some() || !self.account.without_address.is_empty()
    }

    /// Why the link has no lease: a clause.
    fn why(&self) -> String {
        let Account6 { unanswered, without_address, duplicate } = &self.account;
        match (&self.lost, duplicate, without_address.first()) {
            (Some(LeaseEnd::Released), ..) => "the lease was given up by hand".to_owned(),
            (_, Some(duplicate), _) => format!("{duplicate} was leased, and another machine uses it"),
            (_, _, Some((_, status::NO_ADDRESSES))) => {
                "the DHCPv6 server has no addresses left (NoAddrsAvail)".to_owned()
            }
            (_, _, Some((_, code))) => format!("the DHCPv6 server gives no address (status {code})"),
            (Some(_), ..) => "the DHCPv6 lease ran out or was taken back".to_owned(),
            _ if self.state == "DOWN" => "the link has no carrier".to_owned(),
            _ if *unanswered > 0 => format!("no DHCPv6 server answers (asked {unanswered} times)"),
            _ => "no answer of a DHCPv6 server yet".to_owned(),
        }
    }
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

    /// Whether a requested lease is missing. A description for any network requests both families, so with an IPv4
    /// lease a missing DHCPv6 server does not count.
    pub fn lacks(&self, now: Moment) -> bool {
        let lacks = |six: &Entry6| six.in_force(now).is_none() && (self.only_dhcp6 || six.was_answered());
        self.lacks_dhcp4(now) || self.dhcp6.as_ref().is_some_and(lacks)
    }

    /// Whether a lease may arrive that is worth waiting for.
    pub fn is_awaited(&self, now: Moment) -> bool {
        let may_come = |six: &Entry6| {
            six.in_force(now).is_none() && six.state != "DOWN" && six.account.unanswered < PATIENCE
        };
        self.lacks(now) || self.dhcp6.as_ref().is_some_and(may_come)
    }

    /// Every lease of the link was released by hand.
    pub fn is_released(&self) -> bool {
        let released = Some(LeaseEnd::Released);
        (self.only_dhcp6 || self.lost == released)
            && self.dhcp6.as_ref().is_none_or(|six| six.lost == released)
            && !(self.only_dhcp6 && self.dhcp6.is_none())
    }

    /// Why a requested lease is missing: a clause.
    pub fn why(&self, now: Moment) -> String {
        match &self.dhcp6 {
            Some(six) if !self.lacks_dhcp4(now) => six.why(),
            _ => self.why_not_dhcp4(),
        }
    }

    fn why_not_dhcp4(&self) -> String {
        let Account { offers, refused, conflict, unanswered, malformed } = &self.account;
        let mut why = match self.lost {
            Some(LeaseEnd::Expired) => "the lease ran out; ".to_owned(),
            Some(LeaseEnd::Refused) => "the server took the lease back; ".to_owned(),
            Some(LeaseEnd::Ipv6Only) => return "the network asks to do without IPv4 (option 108)".to_owned(),
            Some(LeaseEnd::Released) => return "the lease was given up by hand".to_owned(),
            None => String::new(),
        };
        let server = |server: Ipv4Addr| match server.is_unspecified() {
            true => "a server".to_owned(),
            false => format!("server {server}"),
        };
        if let Some(conflict) = conflict {
            let _ = write!(why, "{} was offered, and {} uses it", conflict.address, conflict.mac);
        } else if let Some(refused) = refused {
            let _ = write!(why, "{} refuses {}", server(refused.server), refused.address);
        } else if let Some(offer) = offers.iter().find(|offer| offer.silent) {
            let _ = write!(why, "{} offers {} and then keeps silent", server(offer.server), offer.address);
        } else if let Some((offer, refusal)) = offers.iter().find_map(|o| Some((o, o.not_taken.as_ref()?))) {
            let _ = write!(why, "the offer of {} cannot be used: {refusal}", server(offer.server));
        } else if self.state == "DOWN" {
            why.push_str("the link has no carrier");
        } else if *malformed > 0 {
            let _ = write!(why, "what answers is not DHCP: {malformed} packets cannot be read");
        } else if *unanswered > 0 {
            let times = if *unanswered == 1 { "once" } else { "times" };
            let count = if *unanswered == 1 { String::new() } else { format!("{unanswered} ") };
            let _ = write!(why, "no DHCP server answers (asked {count}{times})");
        } else {
            why.push_str("no answer yet");
        }
        why
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
        let entry: LeaseEntry = serde_json::from_slice(&files::read(&path).ok()?).ok()?;
        let name = path.file_stem()?.to_str()?;
        (entry.version == 1 && entry.link == name).then_some(entry)
    };
    paths.filter_map(read).map(|entry| (entry.link.clone(), entry)).collect()
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
    use crate::lease::dhcp4::machine::{Conflict, Offered, Refused};
    use crate::lease::dhcp4::terms::OfferFault;

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
        let offer = Offered { server, address, not_taken: None, silent: false };
        let of = |account: Account| LeaseEntry { account, ..LeaseEntry::new("eth0") }.why(Moment::ZERO);
        let none = Account::default;
        assert_eq!(of(none()), "no answer yet");
        assert_eq!(of(Account { unanswered: 1, ..none() }), "no DHCP server answers (asked once)");
        assert_eq!(of(Account { unanswered: 5, ..none() }), "no DHCP server answers (asked 5 times)");
        let silent = Offered { silent: true, ..offer.clone() };
        let silent = Account { offers: vec![silent], unanswered: 2, ..none() };
        assert_eq!(of(silent), "server 192.0.2.1 offers 192.0.2.7 and then keeps silent");
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
        assert_eq!(lost.why(Moment::ZERO), "the lease ran out; no answer yet");
        let down = LeaseEntry { state: "DOWN".to_owned(), ..LeaseEntry::new("eth0") };
        assert_eq!(down.why(Moment::ZERO), "the link has no carrier");
    }
}
