//! Leases in a run of `apply`: who requests them, and what is waited for; and the command that shows them.
//!
//! If the service that renews is running, it requests them; if it will start later in this boot, they are left to it;
//! otherwise this run does. In each case the files below /run/netapply/leases have a link's state.

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
use crate::lease::ask::{self, Asks, ClientHas, Clients, Job, News};
use crate::lease::dhcp4::machine::{Config, Lease, LeaseEnd};
use crate::lease::dhcp6::machine::{Config6, LeasedAddress};
use crate::lease::entry::{self, Entry6, LeaseEntry, Mode6, RouterEntry};
use crate::lease::identity;
use crate::lease::ra::machine::Router;
use crate::machine::Machine;
use crate::model::{Dynamic, LinkLayer};
use crate::page::Page;
use crate::resolve::ResolvedLink;

/// How long an `apply` waits for a server to answer on a link that carries packets: four messages.
pub(super) const LEASE_BOUND: Duration = Duration::from_secs(30);
/// How long it waits for a link to carry packets, if none of those that need a lease does.
const CARRIER_BOUND: Duration = Duration::from_secs(15);

/// Who requests leases in this run.
#[derive(Debug, Default)]
enum Asking {
    /// Nobody yet.
    #[default]
    Undecided,
    /// This run.
    Itself(Clients),
    /// The service, which writes a line whenever something has changed.
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
    /// Requests leases in this way.
    pub(super) fn new(words: DhcpWords) -> Leasing {
        Leasing { words, ..Leasing::default() }
    }

    /// Updates the files of the leased links, has leases requested, and tells the clients which links carry packets.
    /// Returns the links whose lease is waited for, and how long.
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
            let Some(link) = planned.resolved.link(name) else { continue };
            let before = self.entries.get(name).unwrap_or(known);
            let mut entry = before.clone();
            // Each apply requests again.
            if known.is_released() && !self.entries.contains_key(name) {
                let anew = |six: &Entry6| {
                    let Entry6 { on_request, information, .. } = *six;
                    Entry6 { on_request, information, ..Entry6::default() }
                };
                let (dhcp6, routers) = (known.dhcp6.as_ref().map(anew), known.routers.clone());
                entry = LeaseEntry { only_dhcp6: known.only_dhcp6, dhcp6, routers, ..LeaseEntry::new(name) };
            }
            match config(link, planned, machine, &self.words).filter(|_| !known.only_dhcp6) {
                Some(config) => (entry.config, entry.only_dhcp6) = (config, false),
                None => entry.only_dhcp6 = true,
            }
            let config = config6(link, planned, machine, &self.words);
            entry.dhcp6 = known.dhcp6.as_ref().zip(config).map(|(known, config)| {
                let there = entry.dhcp6.take().unwrap_or_default();
                Entry6 { config, on_request: known.on_request, information: known.information, ..there }
            });
            entry.routers = known.routers.as_ref().map(|known| {
                let there = entry.routers.take().unwrap_or_default();
                RouterEntry { required: known.required, ..there }
            });
            if entry.only_dhcp6 && entry.dhcp6.is_none() && entry.routers.is_none() {
                continue;
            }
            if entry != *before {
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
            if !self.entries.get(&link.name).is_some_and(|entry| entry.is_awaited(now)) {
                continue;
            }
            if observed(&link.name).is_some_and(ObservedLink::is_ready) {
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

    /// Waits until a link's lease has changed. Never if nobody requests; cancel safe.
    pub(super) async fn changed(&mut self, machine: &Machine) {
        match &mut self.asking {
            Asking::Itself(clients) => loop {
                let news = clients.next().await;
                let Some(entry) = self.entries.get_mut(&news.link) else { continue };
                let before = entry.is_awaited(ask::now());
                note(entry, &news);
                keep(machine, entry);
                if news.changed || before != entry.is_awaited(ask::now()) {
                    return;
                }
            },
            Asking::Service(stream) => {
                let mut line = String::new();
                match stream.read_line(&mut line).await {
                    Ok(1..) => self.entries = entry::all(machine),
                    // The service has exited: its state is in the files.
                    _ => self.asking = Asking::Undecided,
                }
            }
            Asking::Undecided | Asking::Later => std::future::pending().await,
        }
    }

    /// The notes if nobody renews what this run has leased: complete sentences.
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

/// Waits within a bound until every link of the service has a lease.
pub(super) async fn awaited(
    machine: &Machine,
    bound: Duration,
    stop: &mut (impl Future<Output = ()> + Unpin),
    progress: &mut dyn FnMut(&str),
) {
    // Without a running service nobody requests.
    let Ok(stream) = UnixStream::connect(machine.leases_socket()).await else { return };
    let mut stream = BufReader::new(stream);
    let end = Instant::now() + bound;
    let mut told = false;
    loop {
        let now = ask::now();
        let entries = entry::all(machine);
        let lacking: Vec<&str> =
            entries.values().filter(|e| e.is_awaited(now)).map(|e| e.link.as_str()).collect();
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

/// Starts the clients of links that have none, ends those of removed links, and tells them which links carry packets
/// and which leased addresses another host has.
pub(super) fn follow(clients: &mut Clients, entries: &BTreeMap<String, LeaseEntry>, inventory: &Inventory) {
    let asks = |link: &str, what: Dynamic| {
        let entry = entries.get(link).filter(|_| inventory.link(link).is_some());
        entry.is_some_and(|entry| match what {
            Dynamic::Dhcp4 => !entry.only_dhcp6,
            // A client that still has to tell its server stays.
            Dynamic::Dhcp6 => entry.mode6().is_some() || entry.releases6(),
            Dynamic::RouterAdvertisements => entry.routers.is_some(),
        })
    };
    let gone: Vec<(String, Dynamic)> = clients
        .links()
        .filter(|(link, what)| !asks(link, *what))
        .map(|(link, what)| (link.to_owned(), what))
        .collect();
    gone.iter().for_each(|(link, what)| clients.stop(link, *what));
    for (name, entry) in entries.iter().filter(|(_, entry)| !entry.is_released()) {
        let Some(link) = inventory.link(name) else { continue };
        let index = link.index;
        let mut start = |asks| clients.start(Job { link: name.clone(), index, asks });
        if !entry.only_dhcp6 {
            let others = inventory.addresses.iter().filter(|a| a.link != *name);
            let others = others.filter_map(|a| match a.net.addr() {
                std::net::IpAddr::V4(ip) => Some(ip),
                std::net::IpAddr::V6(_) => None,
            });
            let config = Config { others: others.collect(), ..entry.config.clone() };
            let (kept, confirmed) = (entry.lease.clone(), has_address(inventory, name, entry.lease.as_ref()));
            start(Asks::Four { config, kept, confirmed });
        }
        if let Some((six, mode)) = entry.dhcp6.as_ref().zip(entry.mode6()) {
            let config = Config6 { stateless: mode == Mode6::Information, ..six.config.clone() };
            start(Asks::Six { config, kept: six.lease.clone() });
        }
        if let Some(ra) = &entry.routers {
            let mac = link.mac.filter(|_| link.layer == LinkLayer::Ether);
            start(Asks::Routers { mac, kept: ra.routers.clone() });
        }
        clients.carrier(name, link.is_ready());
        let duplicates = inventory.addresses.iter().filter(|a| a.link == *name && a.duplicate);
        for address in duplicates {
            if let std::net::IpAddr::V6(ip) = address.net.addr() {
                clients.duplicate(name, ip);
            }
        }
    }
}

/// Whether the lease's address is on the link, which means that it was confirmed in this boot.
fn has_address(inventory: &Inventory, name: &str, lease: Option<&Lease>) -> bool {
    let address = lease.map(|lease| std::net::IpAddr::V4(lease.terms.address.addr()));
    inventory.addresses.iter().any(|a| a.link == name && Some(a.net.addr()) == address)
}

/// Writes what a client has learnt to the link's file.
pub(super) fn note(entry: &mut LeaseEntry, news: &News) {
    let given_up = (news.state == "RELEASED").then_some(LeaseEnd::Released);
    let lost = news.lost.clone().or(given_up);
    let leased = match &news.heard {
        ClientHas::Four(lease, account) => {
            entry.state = news.state.to_owned();
            entry.account = account.clone();
            entry.lease = lease.clone();
            entry.lost = if lease.is_some() { None } else { lost.or(entry.lost.take()) };
            lease.as_ref().map(|lease| format!("leased {} by {}", lease.terms.address, lease.terms.server))
        }
        ClientHas::Six(lease, account) => {
            let six = entry.dhcp6.get_or_insert_default();
            six.state = news.state.to_owned();
            six.account = account.clone();
            six.lease = lease.clone();
            six.lost = if lease.is_some() { None } else { lost.or(six.lost.take()) };
            lease.as_ref().map(|lease| match lease.addresses.is_empty() {
                true => "leased no address, and told the rest by DHCPv6".to_owned(),
                false => format!("leased {} by DHCPv6", join(&lease.ips())),
            })
        }
        ClientHas::Routers(routers, unanswered) => {
            let ra = entry.routers.get_or_insert_default();
            (ra.state, ra.unanswered) = (news.state.to_owned(), *unanswered);
            ra.routers.clone_from(routers);
            Some(match routers.as_slice() {
                [] => "no router is left".to_owned(),
                routers => routers.iter().map(router_words).collect::<Vec<_>>().join("; "),
            })
        }
    };
    if news.changed {
        match leased {
            Some(leased) => log::info!("{}: {leased}", news.link),
            None => log::warn!("{}: {}", news.link, entry.why(ask::now())),
        }
    }
}

/// `router fe80::1: 2001:db8::/64, DHCPv6 (M flag)`.
fn router_words(router: &Router) -> String {
    let mut words: Vec<String> = router.prefixes.iter().map(|(net, ..)| net.to_string()).collect();
    match (router.managed, router.other) {
        (true, _) => words.push("addresses by DHCPv6 (M flag)".to_owned()),
        (false, true) => words.push("the rest by DHCPv6 (O flag)".to_owned()),
        (false, false) => {}
    }
    if router.default_until == 0 {
        words.push("no default route".to_owned());
    }
    format!(
        "router {} advertises {}",
        router.address,
        if words.is_empty() { "itself".to_owned() } else { words.join(", ") }
    )
}

/// A machine on which the file cannot be written still has its network.
pub(super) fn keep(machine: &Machine, entry: &LeaseEntry) {
    if let Err(error) = entry.keep(machine) {
        log::warn!("the lease file of {} cannot be written: {error}", entry.link);
    }
}

/// Who asks on a link, and how; `None` if it is not Ethernet.
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

/// Who asks by DHCPv6.
fn config6(link: &ResolvedLink, planned: &Planned, machine: &Machine, words: &DhcpWords) -> Option<Config6> {
    let mac = identity::mac(link, &planned.resolved, &planned.inventory)?;
    let uuid = std::fs::read_to_string(machine.product_uuid()).ok();
    let dhcp4 = &link.desired.dhcp4;
    let own_name = || dhcp4.host_name.clone().or_else(|| machine.host_name());
    Some(Config6 {
        duid: identity::duid6(link, mac, uuid.as_deref()),
        iaid: identity::iaid(&link.name),
        host_name: dhcp4.send_host_name.then(own_name).flatten(),
        rapid_commit: words.rapid_commit,
        stateless: false,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    dhcp6: Option<Shown6>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routers: Option<Vec<ShownRouter>>,
}

#[derive(Serialize)]
struct ShownRouter {
    address: std::net::Ipv6Addr,
    managed: bool,
    other: bool,
    default: bool,
    prefixes: Vec<ipnet::Ipv6Net>,
    name_servers: Vec<std::net::Ipv6Addr>,
    search: Vec<String>,
    #[serde(skip)]
    words: String,
}

impl ShownRouter {
    fn of(router: &Router, now: Duration) -> ShownRouter {
        ShownRouter {
            address: router.address,
            managed: router.managed,
            other: router.other,
            default: Duration::from_millis(router.default_until) > now,
            prefixes: router.prefixes.iter().map(|(net, ..)| *net).collect(),
            name_servers: router.name_servers(now).collect(),
            search: router.search(now).map(str::to_owned).collect(),
            words: router_words(router),
        }
    }
}

#[derive(Serialize)]
struct Shown6 {
    state: String,
    addresses: Vec<ShownAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renewed_in: Option<u64>,
    name_servers: Vec<std::net::Ipv6Addr>,
    search: Vec<String>,
    time_servers: Vec<std::net::Ipv6Addr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delegated: Vec<ipnet::Ipv6Net>,
}

#[derive(Serialize)]
struct ShownAddress {
    address: std::net::Ipv6Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_in: Option<u64>,
}

impl Shown6 {
    fn of(six: Entry6, now: Duration) -> Shown6 {
        let left =
            |until: Option<u64>| until.map(|at| Duration::from_millis(at).saturating_sub(now).as_secs());
        let lease = six.in_force(now);
        let addresses = lease.iter().flat_map(|lease| &lease.addresses);
        let shown = |a: &LeasedAddress| ShownAddress { address: a.address, ends_in: left(a.valid_until) };
        Shown6 {
            addresses: addresses.map(shown).collect(),
            renewed_in: lease.and_then(|lease| left(lease.t1)),
            name_servers: lease.map(|lease| lease.name_servers.clone()).unwrap_or_default(),
            search: lease.map(|lease| lease.search.clone()).unwrap_or_default(),
            time_servers: lease.map(|lease| lease.time_servers.clone()).unwrap_or_default(),
            delegated: lease.map(|lease| lease.delegated.clone()).unwrap_or_default(),
            state: six.state,
        }
    }

    /// What it is made of, for a person.
    fn lists(&self) -> [(&'static str, String); 4] {
        [
            ("name servers", join(&self.name_servers)),
            ("search", self.search.join(" ")),
            ("time servers", join(&self.time_servers)),
            ("delegated, not used", join(&self.delegated)),
        ]
    }
}

impl From<LeaseEntry> for ShownLease {
    fn from(entry: LeaseEntry) -> Self {
        let now = ask::now();
        let lease = entry.in_force(now).cloned();
        let left = |end: Option<Duration>| end.map(|end| end.saturating_sub(now).as_secs());
        ShownLease {
            why: entry.lacks(now).then(|| entry.why(now).why),
            ends_in: left(lease.as_ref().and_then(Lease::end)),
            renewed_in: left(lease.as_ref().and_then(Lease::t1)),
            link: entry.link,
            state: entry.state,
            lease,
            dhcp6: entry
                .dhcp6
                .filter(|six| !six.state.is_empty() || !six.on_request)
                .map(|six| Shown6::of(six, now)),
            routers: entry
                .routers
                .map(|ra| ra.in_force(now).map(|router| ShownRouter::of(router, now)).collect()),
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
        if let Some(why) = &shown.why {
            page.line(format_args!("{link}: no lease: {why} ({state})"));
        }
        show6(&mut page, link, shown.dhcp6.as_ref());
        for router in shown.routers.iter().flatten() {
            page.line(format_args!("{link}: {}", router.words));
            list(
                &mut page,
                &[("name servers", join(&router.name_servers)), ("search", router.search.join(" "))],
            );
        }
        let Some(lease) = &shown.lease else { continue };
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
            ("vendor-specific information", terms.vendor_specific.clone().unwrap_or_default()),
        ];
        list(&mut page, &lists);
    }
    print(&page, Exit::Success)
}

fn list(page: &mut Page, lists: &[(&str, String)]) {
    for (name, value) in lists.iter().filter(|(_, value)| !value.is_empty()) {
        page.line(format_args!("  {name} {value}"));
    }
}

fn show6(page: &mut Page, link: &str, six: Option<&Shown6>) {
    let Some(six) = six else { return };
    let state = &six.state;
    if state == "INFORMED" {
        page.line(format_args!("{link}: told by DHCPv6 without an address ({state})"));
    }
    for ShownAddress { address, ends_in } in &six.addresses {
        let ends = ends_in.map_or_else(|| "has no end".to_owned(), |end| format!("ends in {end} s"));
        page.line(format_args!("{link}: {address} by DHCPv6, {ends} ({state})"));
    }
    list(page, &six.lists());
}

fn join<T: ToString>(addresses: &[T]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
