//! `netapply.fallback=dhcp`: a machine without a description asks for DHCP on every NIC at once. The first lease that leads
//! to the targets of the boot decides which NIC is used; the others are given up, and the result is a description of that
//! one NIC, which is applied like any other. Entry: [`description`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::leases::{follow, keep, note};
use super::options::Options;
use super::pipeline::without_unfinished;
use super::saved::Saved;
use super::settle::next_of;
use super::signals::Stop;
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

/// How long a lease is waited for.
pub(super) const BOUND: Duration = Duration::from_secs(30);
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
        let mut session = Session::of(&options.machine, NetlinkFamily::Route)?;
        let mut raised = Vec::new();
        let winner = race(&mut session, options, stop, &mut raised).await;
        raised
            .retain(|name| winner.as_ref().is_ok_and(|winner| winner.as_ref().is_none_or(|w| w.0 != *name)));
        // The others are left as they were.
        let inventory = read::inventory(&mut session).await?;
        set(&mut session, options, &inventory, &raised, LinkChange::Down).await;
        winner
    };
    match raced.await {
        Ok(Some((link, mac))) => Ok(Saved { hostname, ..described(&link, mac) }),
        Ok(None) => {
            Err(format!("No NIC has got a DHCP lease within {} s, as {PATH} asks for.", BOUND.as_secs()))
        }
        Err(failure) => Err(format!("{PATH} has failed: {failure}.")),
    }
}

fn described(link: &str, mac: MacAddr) -> Saved {
    let text = format!(
        "# {PATH}: the first NIC with a lease\nnetwork:\n  version: 2\n  ethernets:\n    \"{link}\":\n      \
         match: {{macaddress: \"{mac}\"}}\n      dhcp4: true\n      accept-ra: true\n"
    );
    let documents = [Document { name: "fallback.yaml".to_owned(), text }];
    let why = format!("there is no description, and {link} was the first to get a lease");
    let origin = Origin::generated(PATH, why, &documents);
    Saved {
        origin,
        documents: documents.map(|document| (document.name, document.text)).into(),
        hostname: None,
    }
}

/// Asks on all NICs until a lease is of use. Returns the NIC's name and address, and in `raised` the NICs that were set up.
async fn race(
    session: &mut Session,
    options: &Options,
    stop: &mut Stop,
    raised: &mut Vec<String>,
) -> Result<Option<(String, MacAddr)>, Failure> {
    let mut monitor = Monitor::open(&[Group::Link])?;
    let mut udev = Watch::kernel_and_udev().ok();
    let (mut clients, mut entries) = (Clients::default(), BTreeMap::new());
    let targets: Vec<IpAddr> = options.targets.iter().filter_map(|target| target.ip()).collect();
    let end = Instant::now() + BOUND;
    let mut in_time = true;
    let (winner, inventory) = loop {
        let inventory = read::inventory(session).await?;
        let mut down = Vec::new();
        for nic in without_unfinished(&inventory).0.links.iter().filter(|nic| is_free(nic, &inventory)) {
            if !entries.contains_key(&nic.name) {
                let entry = LeaseEntry { config: config(nic, options), ..LeaseEntry::new(&nic.name) };
                entries.insert(nic.name.clone(), entry);
                down.extend((!nic.up).then(|| nic.name.clone()));
            }
        }
        set(session, options, &inventory, &down, LinkChange::Up).await;
        raised.append(&mut down);
        follow(&mut clients, &entries, &inventory);
        if let Some(winner) = winner(&entries, &targets, in_time) {
            break (winner, inventory);
        }
        if !in_time {
            release(&mut clients, &entries).await;
            return Ok(None);
        }
        tokio::select! {
            news = clients.next() => {
                if let Some(entry) = entries.get_mut(&news.link) {
                    note(entry, &news);
                }
            }
            changed = monitor.changed() => changed?,
            () = next_of(&mut udev) => {}
            () = sleep_until(end) => in_time = false,
            () = &mut *stop => in_time = false,
        }
    };
    let Some(entry) = entries.remove(&winner) else { return Ok(None) };
    keep(&options.machine, &entry);
    release(&mut clients, &entries).await;
    let nic = inventory.link(&winner);
    Ok(nic.and_then(|nic| Some((winner, nic.permanent_mac.or(nic.mac)?))))
}

/// An Ethernet NIC that nobody uses yet.
fn is_free(nic: &ObservedLink, inventory: &Inventory) -> bool {
    let has_address = inventory.addresses.iter().any(|address| {
        address.link == nic.name && matches!(address.net.addr(), IpAddr::V4(ip) if !ip.is_link_local())
    });
    nic.is_nic() && nic.layer == LinkLayer::Ether && nic.controller.is_none() && !has_address
}

/// Sets links up or down.
async fn set(
    session: &mut Session,
    options: &Options,
    inventory: &Inventory,
    links: &[String],
    change: LinkChange,
) {
    let step = |name: &String| Step {
        action: Action::SetLink { name: name.clone(), change: change.clone() },
        at: Place::NONE,
        link: name.clone(),
        needs: Vec::new(),
    };
    let plan = Plan { steps: links.iter().map(step).collect() };
    if plan.steps.is_empty() {
        return;
    }
    let mut effects = Real::on(&options.machine);
    let names = Names::from(inventory);
    let outcome =
        apply(session, &mut effects, &plan, names, AfterFailure::GoOn, std::future::pending()).await;
    for (_, trouble) in outcome.failures() {
        log::warn!("{PATH}: {trouble}");
    }
}

fn config(nic: &ObservedLink, options: &Options) -> Config {
    let words = &options.dhcp_options;
    let identity = nic.permanent_mac.or(nic.mac);
    Config {
        mac: nic.mac.and_then(|mac| mac.as_bytes().try_into().ok()).unwrap_or_default(),
        // Hardware type of Ethernet, and the address.
        client_id: identity.map(|mac| [&[1], mac.as_bytes()].concat()).unwrap_or_default(),
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
    use crate::format;
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

    #[test]
    fn what_is_left_is_a_description_of_one_nic() {
        let saved = described("eth2", "02:00:00:00:00:07".parse().unwrap());
        assert!(is_fallback(&saved));
        let parsed = format::parse(saved.documents);
        assert_eq!(parsed.desired.links.len(), 1);
        let link = &parsed.desired.links[0];
        assert_eq!(link.select.mac.unwrap().value.to_string(), "02:00:00:00:00:07");
        assert!(link.asks(Dynamic::Dhcp4));
    }
}
