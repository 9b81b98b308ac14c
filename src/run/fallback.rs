//! `netapply.fallback=dhcp`: a machine without a description asks for DHCP on every NIC at once. The first lease that leads
//! to the targets of the boot decides which NIC is used; the others are given up, and the result is a description of that
//! one NIC, which is applied like any other. NICs on which LACP is heard are asked as a bond: many switches let nothing
//! else through on the ports of a LAG until they hear LACP. Entry: [`description`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::leases::{follow, keep, note};
use super::options::Options;
use super::pipeline::{self, PlanRequest, without_unfinished};
use super::saved::Saved;
use super::settle::next_of;
use super::signals::Stop;
use crate::format;
use crate::inventory::{Inventory, ObservedLink};
use crate::kernel::apply::{AfterFailure, apply};
use crate::kernel::effects::Real;
use crate::kernel::monitor::{Group, Monitor};
use crate::kernel::names::Names;
use crate::kernel::read;
use crate::kernel::session::{Failure, NetlinkFamily, Session};
use crate::lease::ask::{self, Clients};
use crate::lease::dhcp4::machine::{Config, Lease};
use crate::lease::entry::{self, LeaseEntry};
use crate::model::{LinkLayer, MacAddr, Place};
use crate::plan::{Action, LinkChange, Plan, Step};
use crate::source::{Document, Origin, Watch};
use crate::verify;

/// How long a lease is waited for.
pub(super) const BOUND: Duration = Duration::from_secs(30);
/// How long after LACP was heard on a NIC it may take to hear it on the others: ports that come up send it every second.
const GATHERING: Duration = Duration::from_secs(2);
/// How long giving up the others may take.
const RELEASE: Duration = Duration::from_secs(1);
/// Where such a description came from.
const PATH: &str = "netapply.fallback=dhcp";

/// Whether a description was generated here.
pub(super) fn is_fallback(saved: &Saved) -> bool {
    saved.origin.path == PATH
}

/// The description of the NIC with the first lease that is of use.
///
/// # Errors
/// No NIC has got one in time, or the kernel cannot be asked: a complete sentence.
pub(super) async fn description(
    options: &Options,
    hostname: Option<String>,
    stop: &mut Stop,
    progress: &mut dyn FnMut(&str),
) -> Result<Saved, String> {
    // A second run of the same boot keeps to the NIC that was chosen.
    let leased = || entry::all(&options.machine).values().any(|entry| entry.in_force(ask::now()).is_some());
    if let Some(known) = Saved::load(&options.machine).filter(is_fallback).filter(|_| leased()) {
        return Ok(known);
    }
    progress(&format!("no description: asking for DHCP on all NICs, up to {} s", BOUND.as_secs()));
    let raced = async {
        let mut race = Race::new(options)?;
        let winner = race.run(stop).await;
        race.take_back(winner.as_ref().ok().and_then(Option::as_ref)).await?;
        winner
    };
    match raced.await {
        Ok(Some(winner)) => Ok(Saved { hostname, ..described(&winner) }),
        Ok(None) => {
            Err(format!("No NIC has got a DHCP lease within {} s, as {PATH} asks for.", BOUND.as_secs()))
        }
        Err(failure) => Err(format!("{PATH} has failed: {failure}.")),
    }
}

/// A NIC, or a bond of those NICs whose partners speak LACP.
#[derive(Clone, Debug)]
struct Asked {
    name: String,
    /// The NICs' names and permanent addresses.
    ports: Vec<(String, MacAddr)>,
    is_bond: bool,
}

impl Asked {
    fn nic(nic: &ObservedLink) -> Option<Asked> {
        let ports = vec![(nic.name.clone(), nic.permanent_mac.or(nic.mac)?)];
        Some(Asked { name: nic.name.clone(), ports, is_bond: false })
    }

    /// Its description, with these keys of the link that has the address.
    fn text(&self, keys: &str) -> String {
        let mut text = String::from("network:\n  version: 2\n  ethernets:\n");
        let own = if self.is_bond { "" } else { keys };
        for (name, mac) in &self.ports {
            text.push_str(&format!("    \"{name}\":\n      match: {{macaddress: \"{mac}\"}}\n{own}"));
        }
        if self.is_bond {
            let ports: Vec<String> = self.ports.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            text.push_str(&format!(
                "  bonds:\n    {}:\n      interfaces: [{}]\n      parameters: {{mode: 802.3ad, lacp-rate: fast, \
                 mii-monitor-interval: 100}}\n{keys}",
                self.name,
                ports.join(", ")
            ));
        }
        text
    }
}

fn described(winner: &Asked) -> Saved {
    let what = if winner.is_bond { "NICs with LACP" } else { "the first NIC" };
    let text = format!(
        "# {PATH}: {what} with a lease\n{}",
        winner.text("      dhcp4: true\n      accept-ra: true\n")
    );
    let documents = [Document { name: "fallback.yaml".to_owned(), text }];
    let why = format!("there is no description, and {} was the first to get a lease", winner.name);
    let origin = Origin::generated(PATH, why, &documents);
    Saved {
        origin,
        documents: documents.map(|document| (document.name, document.text)).into(),
        hostname: None,
    }
}

/// The NICs that have one partner with one key: a LAG of the switch. Those that have a lease work without LACP.
fn lags(heard: &BTreeMap<String, (MacAddr, u16)>, leased: &dyn Fn(&str) -> bool) -> Vec<Vec<String>> {
    let mut lags: BTreeMap<(MacAddr, u16), Vec<String>> = BTreeMap::new();
    for (name, partner) in heard.iter().filter(|(name, _)| !leased(name)) {
        lags.entry(*partner).or_default().push(name.clone());
    }
    lags.into_values().collect()
}

/// Asking on all NICs at once, and what that changes.
struct Race<'a> {
    options: &'a Options,
    session: Session,
    clients: Clients,
    asked: BTreeMap<String, Asked>,
    entries: BTreeMap<String, LeaseEntry>,
    /// NICs that were set up.
    raised: Vec<String>,
    /// Listens for LACP on each NIC.
    listening: JoinSet<Option<(String, MacAddr, u16)>>,
    /// The partners of NICs that are not in a bond yet.
    heard: BTreeMap<String, (MacAddr, u16)>,
}

impl<'a> Race<'a> {
    fn new(options: &'a Options) -> Result<Race<'a>, Failure> {
        Ok(Race {
            options,
            session: Session::of(&options.machine, NetlinkFamily::Route)?,
            clients: Clients::default(),
            asked: BTreeMap::new(),
            entries: BTreeMap::new(),
            raised: Vec::new(),
            listening: JoinSet::new(),
            heard: BTreeMap::new(),
        })
    }

    /// Asks until a lease is of use. The leases of the others are released.
    async fn run(&mut self, stop: &mut Stop) -> Result<Option<Asked>, Failure> {
        let mut monitor = Monitor::open(&[Group::Link])?;
        let mut udev = Watch::kernel_and_udev().ok();
        let targets: Vec<IpAddr> = self.options.targets.iter().filter_map(|target| target.ip()).collect();
        let end = Instant::now() + BOUND;
        let mut in_time = true;
        // When the ports of a LAG should all have been heard.
        let mut gathered: Option<Instant> = None;
        loop {
            let mut inventory = read::inventory(&mut self.session).await?;
            if in_time && gathered.take_if(|at| *at <= Instant::now()).is_some() {
                self.bond(&inventory).await?;
                inventory = read::inventory(&mut self.session).await?;
            }
            self.ask_on_new(&inventory).await;
            follow(&mut self.clients, &self.entries, &inventory);
            let winner = winner(&self.entries, &targets, in_time);
            if winner.is_some() || !in_time {
                let won = winner.and_then(|name| Some((self.entries.remove(&name)?, self.asked.get(&name)?)));
                let won = won.map(|(entry, asked)| {
                    keep(&self.options.machine, &entry);
                    asked.clone()
                });
                release(&mut self.clients, &self.entries).await;
                return Ok(won);
            }
            tokio::select! {
                news = self.clients.next() => {
                    if let Some(entry) = self.entries.get_mut(&news.link) {
                        note(entry, &news);
                    }
                }
                Some(partner) = self.listening.join_next() => if let Ok(Some((name, system, key))) = partner {
                    self.heard.insert(name, (system, key));
                    gathered.get_or_insert(Instant::now() + GATHERING);
                },
                changed = monitor.changed() => changed?,
                () = next_of(&mut udev) => {}
                () = sleep_until(gathered.unwrap_or(end).min(end)) => in_time = Instant::now() < end,
                () = &mut *stop => in_time = false,
            }
        }
    }

    /// Asks on NICs that have appeared, and on bonds.
    async fn ask_on_new(&mut self, inventory: &Inventory) {
        let ready = without_unfinished(inventory).0;
        let new = |nic: &&ObservedLink| is_free(nic, inventory) && !self.asked.contains_key(&nic.name);
        let new: Vec<&ObservedLink> = ready.links.iter().filter(new).collect();
        let mut down: Vec<String> = new.iter().filter(|nic| !nic.up).map(|nic| nic.name.clone()).collect();
        self.set(inventory, &down, LinkChange::Up).await;
        self.raised.append(&mut down);
        for (nic, asked) in new.into_iter().filter_map(|nic| Some((nic, Asked::nic(nic)?))) {
            self.asked.insert(nic.name.clone(), asked);
            let (name, index) = (nic.name.clone(), nic.index);
            self.listening.spawn(async move {
                let partner = verify::partner(index).await.ok()?;
                Some((name, partner.system, partner.key))
            });
        }
        let is_port = |name: &str| inventory.link(name).is_some_and(|link| link.controller.is_some());
        self.entries.retain(|name, _| !is_port(name));
        for asked in self.asked.values().filter(|asked| !is_port(&asked.name)) {
            let Some(link) = inventory.link(&asked.name) else { continue };
            let new =
                || LeaseEntry { config: config(link, asked, self.options), ..LeaseEntry::new(&link.name) };
            self.entries.entry(link.name.clone()).or_insert_with(new);
        }
    }

    /// Makes a bond of the ports of each LAG.
    async fn bond(&mut self, inventory: &Inventory) -> Result<(), Failure> {
        let heard = std::mem::take(&mut self.heard);
        let leased =
            |name: &str| self.entries.get(name).is_some_and(|entry| entry.in_force(ask::now()).is_some());
        for lag in lags(&heard, &leased) {
            let ports = lag
                .iter()
                .filter_map(|name| self.asked.get(name))
                .flat_map(|nic| nic.ports.clone())
                .collect();
            let is_free = |name: &String| inventory.link(name).is_none() && !self.asked.contains_key(name);
            let name = (0_u32..).map(|number| format!("bond{number}")).find(is_free).unwrap_or_default();
            log::info!("{PATH}: LACP is heard on {}: asking over {name}", lag.join(", "));
            let asked = Asked { name, ports, is_bond: true };
            let parsed = format::parse(vec![(PATH.to_owned(), asked.text(""))]);
            let request = PlanRequest::of_network(&self.options.machine, &parsed.desired, &[]);
            let planned = pipeline::plan(&request, &mut self.session).await?;
            self.carry_out(&planned.plan, &planned.inventory).await;
            let inventory = read::inventory(&mut self.session).await?;
            if inventory.link(&asked.name).is_some() {
                self.asked.insert(asked.name.clone(), asked);
            } else {
                // The kernel has no bonds.
                self.set(&inventory, &lag, LinkChange::Up).await;
            }
        }
        Ok(())
    }

    /// Leaves everything but the winner as it was.
    async fn take_back(&mut self, winner: Option<&Asked>) -> Result<(), Failure> {
        let inventory = read::inventory(&mut self.session).await?;
        let is_winner = |name: &String| winner.is_some_and(|winner| winner.name == *name);
        let bonds: Vec<&Asked> =
            self.asked.values().filter(|asked| asked.is_bond && !is_winner(&asked.name)).collect();
        let of_winner = |name: &String| winner.is_some_and(|w| w.ports.iter().any(|(port, _)| port == name));
        let delete = |bond: &&Asked| step(&bond.name, Action::DeleteLink { name: bond.name.clone() });
        let plan = Plan { steps: bonds.iter().map(delete).collect() };
        // A port that leaves its bond is down.
        let ports = bonds.iter().flat_map(|bond| &bond.ports).map(|(name, _)| name.clone());
        let up: Vec<String> = ports.filter(|name| !self.raised.contains(name) && !of_winner(name)).collect();
        let down: Vec<String> = self.raised.iter().filter(|name| !of_winner(name)).cloned().collect();
        self.carry_out(&plan, &inventory).await;
        self.set(&inventory, &up, LinkChange::Up).await;
        self.set(&inventory, &down, LinkChange::Down).await;
        Ok(())
    }

    /// Sets links up or down.
    async fn set(&mut self, inventory: &Inventory, links: &[String], change: LinkChange) {
        let set = |name: &String| step(name, Action::SetLink { name: name.clone(), change: change.clone() });
        self.carry_out(&Plan { steps: links.iter().map(set).collect() }, inventory).await;
    }

    async fn carry_out(&mut self, plan: &Plan, inventory: &Inventory) {
        if plan.steps.is_empty() {
            return;
        }
        let mut effects = Real::on(&self.options.machine);
        let names = Names::from(inventory);
        let session = &mut self.session;
        let outcome =
            apply(session, &mut effects, plan, names, AfterFailure::GoOn, std::future::pending()).await;
        for (_, trouble) in outcome.failures() {
            log::warn!("{PATH}: {trouble}");
        }
    }
}

fn step(link: &str, action: Action) -> Step {
    Step { action, at: Place::NONE, link: link.to_owned(), needs: Vec::new() }
}

/// An Ethernet NIC that nobody uses yet.
fn is_free(nic: &ObservedLink, inventory: &Inventory) -> bool {
    let has_address = inventory.addresses.iter().any(|address| {
        address.link == nic.name && matches!(address.net.addr(), IpAddr::V4(ip) if !ip.is_link_local())
    });
    nic.is_nic() && nic.layer == LinkLayer::Ether && nic.controller.is_none() && !has_address
}

fn config(link: &ObservedLink, asked: &Asked, options: &Options) -> Config {
    let words = &options.dhcp_options;
    Config {
        mac: link.mac.and_then(|mac| mac.as_bytes().try_into().ok()).unwrap_or_default(),
        // Hardware type of Ethernet, and the address: a bond's is its first port's.
        client_id: asked.ports.first().map(|(_, mac)| [&[1], mac.as_bytes()].concat()).unwrap_or_default(),
        host_name: options.machine.host_name(),
        vendor_class: words.vendor_class.clone(),
        user_class: words.user_class.clone(),
        ipv6_only: words.ipv6_only,
        detection: words.detection,
        ..Config::default()
    }
}

/// The link whose lease leads to a target, or to a router where no target has an address; at the end any lease.
fn winner(entries: &BTreeMap<String, LeaseEntry>, targets: &[IpAddr], in_time: bool) -> Option<String> {
    let now = ask::now();
    let leased = || entries.iter().filter_map(|(name, entry)| Some((name, entry.in_force(now)?)));
    let targets: Vec<Ipv4Addr> = targets
        .iter()
        .filter_map(|ip| match ip {
            IpAddr::V4(ip) => Some(*ip),
            IpAddr::V6(_) => None,
        })
        .collect();
    let is_of_use = |lease: &Lease| match targets.is_empty() {
        true => lease.terms.routes.iter().any(|route| route.to.prefix_len() == 0),
        false => targets.iter().any(|target| leads_to(lease, *target)),
    };
    let first = leased().find(|(_, lease)| is_of_use(lease));
    first.or_else(|| leased().next().filter(|_| !in_time)).map(|(name, _)| name.clone())
}

fn leads_to(lease: &Lease, target: Ipv4Addr) -> bool {
    lease.terms.address.contains(&target) || lease.terms.routes.iter().any(|route| route.to.contains(&target))
}

/// Gives up the leases of the others.
async fn release(clients: &mut Clients, others: &BTreeMap<String, LeaseEntry>) {
    let mut open: Vec<&String> = others.keys().collect();
    open.iter().for_each(|link| clients.release(link));
    let released = async {
        while !open.is_empty() {
            let news = clients.next().await;
            open.retain(|link| news.state != "RELEASED" || **link != news.link);
        }
    };
    let _ = timeout(RELEASE, released).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Severity;
    use crate::lease::dhcp4::terms::{LeasedRoute, Terms};
    use crate::model::Dynamic;

    fn leased(address: &str, router: bool) -> LeaseEntry {
        let net: ipnet::Ipv4Net = address.parse().unwrap();
        let route = LeasedRoute { to: "0.0.0.0/0".parse().unwrap(), via: net.hosts().next() };
        let routes = router.then_some(route).into_iter().collect();
        let terms = Terms { routes, ..Terms::sample(address) };
        LeaseEntry { lease: Some(Lease { terms, asked: 0 }), ..LeaseEntry::new("x") }
    }

    #[test]
    fn the_lease_that_leads_to_the_target_wins_or_else_one_with_a_router() {
        let entries: BTreeMap<String, LeaseEntry> = [
            ("eth0".to_owned(), LeaseEntry::new("eth0")),
            ("eth1".to_owned(), leased("10.0.0.7/24", false)),
            ("eth2".to_owned(), leased("192.0.2.7/24", true)),
        ]
        .into();
        let of = |targets: &[&str], in_time| {
            let targets: Vec<IpAddr> = targets.iter().map(|ip| ip.parse().unwrap()).collect();
            winner(&entries, &targets, in_time)
        };
        assert_eq!(of(&[], true).as_deref(), Some("eth2"));
        assert_eq!(of(&["10.0.0.1"], true).as_deref(), Some("eth1"));
        assert_eq!(of(&["198.51.100.1"], true).as_deref(), Some("eth2"));
        let without: BTreeMap<String, LeaseEntry> =
            [("eth1".to_owned(), leased("10.0.0.7/24", false))].into();
        assert_eq!(winner(&without, &[], true), None, "another may have a router");
        assert_eq!(winner(&without, &[], false).as_deref(), Some("eth1"));
    }

    fn nic(name: &str, mac: &str) -> (String, MacAddr) {
        (name.to_owned(), mac.parse().unwrap())
    }

    #[test]
    fn what_is_left_is_a_description_of_one_nic() {
        let ports = vec![nic("eth2", "02:00:00:00:00:07")];
        let saved = described(&Asked { name: "eth2".to_owned(), ports, is_bond: false });
        assert!(is_fallback(&saved));
        let parsed = format::parse(saved.documents);
        assert_eq!(parsed.desired.links.len(), 1);
        let link = &parsed.desired.links[0];
        assert_eq!(link.select.mac.unwrap().value.to_string(), "02:00:00:00:00:07");
        assert!(link.asks(Dynamic::Dhcp4));
    }

    #[test]
    fn or_of_a_bond_of_the_ports_of_a_lag() {
        let ports = vec![nic("eth1", "02:00:00:00:00:01"), nic("eth2", "02:00:00:00:00:02")];
        let saved = described(&Asked { name: "bond0".to_owned(), ports, is_bond: true });
        let parsed = format::parse(saved.documents);
        let notes = parsed.diagnostics.iter().all(|said| said.severity == Severity::Note);
        assert!(notes, "{:?}", parsed.diagnostics);
        let asks = |id: &str| parsed.desired.links.iter().find(|link| link.id == id).unwrap();
        assert_eq!(asks("bond0").members.len(), 2);
        assert!(asks("bond0").asks(Dynamic::Dhcp4) && !asks("eth1").asks(Dynamic::Dhcp4));
    }

    #[test]
    fn a_lag_is_what_has_one_partner_and_one_key() {
        let (one, two) = (nic("", "02:00:00:00:01:01").1, nic("", "02:00:00:00:01:02").1);
        let heard = [("a", one, 1), ("b", one, 1), ("c", one, 2), ("d", two, 1), ("e", one, 1)];
        let heard = heard.map(|(name, system, key)| (name.to_owned(), (system, key))).into();
        let leased = |name: &str| name == "e";
        assert_eq!(lags(&heard, &leased), [vec!["a", "b"], vec!["c"], vec!["d"]]);
    }
}
