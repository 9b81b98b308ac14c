//! Leases in a run of `apply`: who asks, and what is waited for; and the command that shows them.
//!
//! Where the service that renews runs, it asks; where it will run later in this boot, it is left to that; else this run
//! asks itself. In each case the files below /run/netapply/leases say how a link stands.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

use super::options::DhcpWords;
use super::pipeline::Planned;
use super::{Exit, print, print_json};
use crate::cli::Args;
use crate::handoff::{self, Presence};
use crate::inventory::{Inventory, ObservedLink};
use crate::lease::ask::{self, Clients, Job, News};
use crate::lease::dhcp4::machine::{Config, Lease, LeaseEnd};
use crate::lease::entry::{self, LeaseEntry};
use crate::lease::identity;
use crate::machine::Machine;
use crate::model::LinkLayer;
use crate::page::Page;
use crate::resolve::ResolvedLink;

/// How long an `apply` waits for a server to answer on a link that carries packets: four messages.
pub(super) const LEASE_BOUND: Duration = Duration::from_secs(30);
/// How long it waits for a link to carry packets, where none of those that want a lease does.
const CARRIER_BOUND: Duration = Duration::from_secs(15);

/// Who asks in this run.
#[derive(Debug, Default)]
enum Asking {
    /// Nobody yet.
    #[default]
    Undecided,
    /// This run.
    Itself(Clients),
    /// The service, which says so on each line when something has changed.
    Service(BufReader<UnixStream>),
    /// The service, later in this boot.
    Later,
}

/// The leases that a run waits for.
#[derive(Debug, Default)]
pub(super) struct Leasing {
    words: DhcpWords,
    asking: Asking,
    entries: BTreeMap<String, LeaseEntry>,
}

impl Leasing {
    /// Asks in this manner.
    pub(super) fn new(words: DhcpWords) -> Leasing {
        Leasing { words, ..Leasing::default() }
    }

    /// Keeps the files of the leased links, has somebody ask, and tells the clients which links carry packets. Returns the
    /// links that a lease is waited for, and how long.
    pub(super) async fn follow(
        &mut self,
        machine: &Machine,
        planned: &Planned,
        boot: bool,
    ) -> (Vec<String>, Duration) {
        let mut changed = !planned.no_longer_leased.is_empty();
        for name in &planned.no_longer_leased {
            if let Err(error) = entry::forget(machine, name) {
                log::warn!("the lease file of {name} cannot be removed: {error}");
            }
        }
        for (name, known) in &planned.entries {
            let link = planned.resolved.link(name);
            let Some(config) = link.and_then(|link| config(link, planned, machine, &self.words)) else {
                continue;
            };
            let mut entry = self.entries.get(name).unwrap_or(known).clone();
            // Whoever applies again asks again.
            let given_up = known.lost == Some(LeaseEnd::Released) && !self.entries.contains_key(name);
            if entry.config != config || given_up {
                entry = LeaseEntry { config, ..if given_up { LeaseEntry::new(name) } else { entry } };
                changed = true;
                keep(machine, &entry);
            }
            self.entries.insert(name.clone(), entry);
        }
        self.entries.retain(|name, _| planned.entries.contains_key(name));
        if self.entries.is_empty() && !changed {
            return (Vec::new(), Duration::ZERO);
        }
        self.ask(machine, planned, boot, changed).await;
        if let Asking::Later = self.asking {
            return (Vec::new(), Duration::ZERO);
        }
        let observed = |name: &str| planned.inventory.link(name);
        let mut waits = Vec::new();
        let mut bound = CARRIER_BOUND;
        let now = ask::now();
        for link in planned.resolved.links.iter().filter(|link| !link.desired.optional) {
            let Some(entry) = self.entries.get(&link.name).filter(|entry| entry.in_force(now).is_none())
            else {
                continue;
            };
            if entry.lost == Some(LeaseEnd::Ipv6Only) {
                continue;
            }
            if observed(&link.name).is_some_and(is_ready) {
                bound = LEASE_BOUND;
            }
            waits.push(link.name.clone());
        }
        (waits, bound)
    }

    async fn ask(&mut self, machine: &Machine, planned: &Planned, boot: bool, changed: bool) {
        if let Asking::Undecided = self.asking {
            self.asking = match UnixStream::connect(machine.leases_socket()).await {
                Ok(stream) => Asking::Service(BufReader::new(stream)),
                Err(_) if boot && handoff::renewal(machine) >= Presence::Enabled => Asking::Later,
                Err(_) => Asking::Itself(Clients::default()),
            };
            if let Asking::Service(stream) = &mut self.asking {
                let _ = stream.write_all(b"take\n").await;
            }
        } else if let (Asking::Service(stream), true) = (&mut self.asking, changed) {
            let _ = stream.write_all(b"take\n").await;
        }
        if let Asking::Itself(clients) = &mut self.asking {
            follow(clients, &self.entries, &planned.inventory);
        }
    }

    /// Waits until a link has another lease than before. Never where nobody asks; cancel safe.
    pub(super) async fn changed(&mut self, machine: &Machine) {
        match &mut self.asking {
            Asking::Itself(clients) => loop {
                let news = clients.next().await;
                let Some(entry) = self.entries.get_mut(&news.link) else { continue };
                note(entry, &news);
                keep(machine, entry);
                if news.changed {
                    return;
                }
            },
            Asking::Service(stream) => {
                let mut line = String::new();
                match stream.read_line(&mut line).await {
                    Ok(1..) => self.entries = entry::all(machine),
                    // The service has ended: what it knew is in the files.
                    _ => self.asking = Asking::Undecided,
                }
            }
            Asking::Undecided | Asking::Later => std::future::pending().await,
        }
    }

    /// What is to be said where nobody renews what this run has leased: complete sentences.
    pub(super) fn unrenewed(&self, machine: &Machine, planned: &Planned) -> Vec<String> {
        let Asking::Itself(_) = &self.asking else { return Vec::new() };
        let service = handoff::renewal(machine);
        if service >= Presence::Enabled {
            return Vec::new();
        }
        let now = ask::now();
        let ends = |(name, entry): (&String, &LeaseEntry)| -> Option<String> {
            let left = entry.in_force(now)?.end()?.saturating_sub(now).as_secs();
            let address = entry.lease.as_ref()?.terms.address.addr();
            Some(format!(
                "Nobody renews the lease of {name}: {address} goes in {left} s, unless netapply-lease.service is started."
            ))
        };
        planned.entries.keys().filter_map(|name| ends((name, self.entries.get(name)?))).collect()
    }
}

/// Waits within a bound until every link that the service asks on has a lease.
pub(super) async fn awaited(
    machine: &Machine,
    bound: Duration,
    stop: &mut (impl Future<Output = ()> + Unpin),
    progress: &mut dyn FnMut(&str),
) {
    // Nobody asks where no service runs.
    let Ok(stream) = UnixStream::connect(machine.leases_socket()).await else { return };
    let mut stream = BufReader::new(stream);
    let end = Instant::now() + bound;
    let mut told = false;
    loop {
        let now = ask::now();
        let entries = entry::all(machine);
        let lacking: Vec<&str> =
            entries.values().filter(|e| e.in_force(now).is_none()).map(|e| e.link.as_str()).collect();
        let left = end.saturating_duration_since(Instant::now());
        if lacking.is_empty() || left.is_zero() {
            return;
        }
        if !told {
            progress(&format!(
                "waiting up to {} s for a DHCP lease for {}",
                left.as_secs(),
                lacking.join(", ")
            ));
            told = true;
        }
        let mut line = String::new();
        tokio::select! {
            read = timeout(left, stream.read_line(&mut line)) => if !matches!(read, Ok(Ok(1..))) { return },
            () = &mut *stop => return,
        }
    }
}

/// Starts the clients of links that have none, ends those of links that are gone, and says which links carry packets.
pub(super) fn follow(clients: &mut Clients, entries: &BTreeMap<String, LeaseEntry>, inventory: &Inventory) {
    let gone: Vec<String> =
        clients.links().filter(|link| !entries.contains_key(*link)).map(str::to_owned).collect();
    gone.iter().for_each(|link| clients.stop(link));
    for (name, entry) in entries.iter().filter(|(_, entry)| entry.lost != Some(LeaseEnd::Released)) {
        let Some(link) = inventory.link(name) else {
            clients.stop(name);
            continue;
        };
        let others = inventory.addresses.iter().filter(|a| a.link != *name);
        let others = others.filter_map(|a| match a.net.addr() {
            std::net::IpAddr::V4(ip) => Some(ip),
            std::net::IpAddr::V6(_) => None,
        });
        let config = Config { others: others.collect(), ..entry.config.clone() };
        let (kept, confirmed) = (entry.lease.clone(), has_address(inventory, name, entry.lease.as_ref()));
        clients.start(Job { link: name.clone(), index: link.index, config, kept, confirmed });
        clients.carrier(name, is_ready(link));
    }
}

/// A lease whose address is on the link was confirmed in this boot.
fn has_address(inventory: &Inventory, name: &str, lease: Option<&Lease>) -> bool {
    let address = lease.map(|lease| std::net::IpAddr::V4(lease.terms.address.addr()));
    inventory.addresses.iter().any(|a| a.link == name && Some(a.net.addr()) == address)
}

/// A link that carries packets: it has carrier, and the kernel holds it for operational. A bond without an active member
/// and a bridge without a forwarding port have none.
pub(super) fn is_ready(link: &ObservedLink) -> bool {
    link.up && link.carrier && matches!(link.operstate.as_str(), "up" | "unknown" | "")
}

/// Takes what a client has learnt into the link's file.
pub(super) fn note(entry: &mut LeaseEntry, news: &News) {
    entry.state = news.state.to_owned();
    entry.account = news.account.clone();
    entry.lease = news.lease.clone();
    match (&news.lease, &news.lost) {
        (Some(_), _) => entry.lost = None,
        (None, Some(why)) => entry.lost = Some(why.clone()),
        (None, None) => {}
    }
    if news.changed {
        match &news.lease {
            Some(lease) => {
                log::info!("{}: leased {} by {}", news.link, lease.terms.address, lease.terms.server)
            }
            None => log::warn!("{}: {}", news.link, entry.why()),
        }
    }
}

/// A machine on which the file cannot be written still has its network.
pub(super) fn keep(machine: &Machine, entry: &LeaseEntry) {
    if let Err(error) = entry.keep(machine) {
        log::warn!("the lease file of {} cannot be written: {error}", entry.link);
    }
}

/// Who asks on a link, and how; `None` where it is no Ethernet.
fn config(link: &ResolvedLink, planned: &Planned, machine: &Machine, words: &DhcpWords) -> Option<Config> {
    let observed = planned.inventory.link(&link.name).filter(|link| link.layer == LinkLayer::Ether)?;
    let mac = observed.mac?.as_bytes().try_into().ok()?;
    let identity = identity::mac(link, &planned.resolved, &planned.inventory).or(observed.mac)?;
    let uuid = match link.desired.dhcp4.duid {
        true => std::fs::read_to_string(machine.product_uuid()).ok(),
        false => None,
    };
    let dhcp4 = &link.desired.dhcp4;
    Some(Config {
        mac,
        client_id: identity::client_id(link, identity, uuid.as_deref()),
        host_name: dhcp4
            .send_host_name
            .then(|| dhcp4.host_name.clone().or_else(|| machine.host_name()))
            .flatten(),
        vendor_class: dhcp4.vendor_class.clone().or_else(|| words.vendor_class.clone()),
        user_class: words.user_class.clone(),
        lifetime: dhcp4.lifetime,
        ipv6_only: words.ipv6_only,
        detection: words.detection,
        others: Vec::new(),
    })
}

#[derive(Serialize)]
struct Shown {
    version: u32,
    leases: Vec<ShownLease>,
}

#[derive(Serialize)]
struct ShownLease {
    link: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renewed_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<Lease>,
}

impl From<LeaseEntry> for ShownLease {
    fn from(entry: LeaseEntry) -> Self {
        let now = ask::now();
        let lease = entry.in_force(now).cloned();
        let left = |end: Option<Duration>| end.map(|end| end.saturating_sub(now).as_secs());
        ShownLease {
            why: lease.is_none().then(|| entry.why()),
            ends_in: left(lease.as_ref().and_then(Lease::end)),
            renewed_in: left(lease.as_ref().and_then(Lease::t1)),
            link: entry.link,
            state: entry.state,
            lease,
        }
    }
}

/// `netapply leases`.
pub(super) fn show(args: &Args) -> Exit {
    let leases: Vec<ShownLease> =
        entry::all(&Machine::default()).into_values().map(ShownLease::from).collect();
    if args.json {
        return print_json(&Shown { version: 1, leases }, Exit::Success);
    }
    let mut page = Page::default();
    if leases.is_empty() {
        page.line(format_args!("No link is leased by netapply."));
    }
    for shown in &leases {
        let ShownLease { link, state, .. } = shown;
        let Some(lease) = &shown.lease else {
            page.line(format_args!(
                "{link}: no lease: {} ({state})",
                shown.why.as_deref().unwrap_or_default()
            ));
            continue;
        };
        let terms = &lease.terms;
        let ends = match (shown.ends_in, shown.renewed_in) {
            (Some(end), Some(renewal)) => format!("ends in {end} s, is renewed in {renewal} s"),
            _ => "has no end".to_owned(),
        };
        page.line(format_args!("{link}: {} by {}, {ends} ({state})", terms.address, terms.server));
        for route in &terms.routes {
            let via = route.via.map_or_else(String::new, |via| format!(" via {via}"));
            page.line(format_args!("  route {}{via}", route.to));
        }
        let lists = [
            ("name servers", join(&terms.name_servers)),
            ("search", terms.search.join(" ")),
            ("time servers", join(&terms.time_servers)),
            ("MTU", terms.mtu.map_or_else(String::new, |mtu| mtu.to_string())),
            ("host name", terms.host_name.clone().unwrap_or_default()),
        ];
        for (name, value) in lists.iter().filter(|(_, value)| !value.is_empty()) {
            page.line(format_args!("  {name} {value}"));
        }
    }
    print(&page, Exit::Success)
}

fn join(addresses: &[std::net::Ipv4Addr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
