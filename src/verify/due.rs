//! Which probes the state of the checks calls for. Pure: what to ask the network follows from the description and what
//! is known so far, and can be tested without one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;

use super::checks::{Check, Outcome, Subject};
use super::evidence::{Answer, Evidence, Owner, Question, Routing};
use super::input::{DesiredLink, Target};
use super::lookups::View;
use super::probe::Probe;
use crate::diagnostic::Code;
use crate::model::{Kind, MacAddr, needs_zone};
use crate::order::Order as _;

/// How long a check goes unanswered before its reason is looked into.
const DOUBT: Duration = Duration::from_secs(2);
/// After so long DHCP servers and routers are asked what subnet this is.
const GRAVE_DOUBT: Duration = Duration::from_secs(4);
/// The frames of so many hosts are watched.
const WATCHED: usize = 64;
/// On how many other links a gateway is looked for.
const OTHER_LINKS: usize = 32;

/// All probes that should have been started by now. `age` is how long a check has been waiting or failing.
pub(super) fn probes(
    index: &View<'_>,
    evidence: &Evidence,
    checks: &[Check],
    age: impl Fn(&Check) -> Duration,
) -> Vec<Probe> {
    let mut due = listeners(index, evidence);
    for check in checks {
        let open = matches!(check.outcome, Outcome::Waiting | Outcome::Failed);
        match check.code {
            Code::CheckLease if check.outcome == Outcome::Failed => {
                due.extend(
                    index
                        .relatives(&check.link)
                        .iter()
                        .filter_map(|link| discover(index, evidence, &link.name)),
                );
            }
            Code::CheckUnique if open => due.extend(claim(evidence, check)),
            Code::CheckAddress if open => {
                if check.outcome == Outcome::Failed {
                    due.extend(owner(evidence, check));
                }
                if age(check) >= DOUBT {
                    due.extend(owner_of_link_local(evidence, check));
                }
            }
            Code::CheckGateway
                if check.outcome != Outcome::Blocked && check.outcome != Outcome::NotChecked =>
            {
                due.extend(gateway(index, evidence, check));
                let doubt = open && age(check) >= DOUBT;
                if doubt || ignores_echo(evidence, check) {
                    due.extend(check.subject.ip().and_then(|ip| watch(evidence, &check.link, ip)));
                }
                if doubt {
                    due.extend(who_else(index, evidence, check));
                    due.extend(elsewhere(index, evidence, check));
                }
                if open && age(check) >= GRAVE_DOUBT {
                    due.extend(discover(index, evidence, &check.link));
                }
            }
            Code::CheckResolver if open => {
                let doubt = age(check) >= DOUBT || evidence.redirects();
                let ip = check.subject.ip().filter(|_| doubt);
                due.extend(ip.and_then(|ip| watch_host(index, evidence, check, ip)));
                due.extend(resolver(index, evidence, check));
                if age(check) >= DOUBT {
                    due.extend(check.subject.ip().map(|to| Probe::Trace { to }));
                }
            }
            Code::CheckTarget if check.outcome != Outcome::Blocked => {
                // A refusal may come from this machine, and is final after the third.
                let known = asked_target(index, check).and_then(|(at, _)| evidence.targets.get(at));
                let refused = known.is_some_and(|known| known.answer == Some(Answer::Refused));
                if open && (age(check) >= DOUBT || refused) || evidence.redirects() {
                    let addresses = known.iter().flat_map(|known| &known.addresses).take(4);
                    due.extend(addresses.filter_map(|ip| watch_host(index, evidence, check, *ip)));
                }
                due.extend(target(index, evidence, check));
                if open && age(check) >= DOUBT {
                    due.extend(trace(index, evidence, check));
                }
            }
            _ => {}
        }
    }
    due
}

/// Neighbours that the kernel should resolve: gateways in question.
pub(super) fn neighbours(evidence: &Evidence, checks: &[Check]) -> Vec<(String, IpAddr)> {
    let asks = |check: &&Check| match check.code {
        Code::CheckGateway => matches!(check.outcome, Outcome::Waiting | Outcome::Failed),
        _ => false,
    };
    let place = |check: &Check| {
        evidence.link(&check.link)?;
        Some((check.link.clone(), check.subject.ip()?))
    };
    checks.iter().filter(asks).filter_map(place).collect()
}

/// A listener for each described NIC that has carrier.
fn listeners(index: &View<'_>, evidence: &Evidence) -> Vec<Probe> {
    let nics = index.links.iter().filter(|l| l.kind == Kind::Physical && !l.missing);
    let states = nics.filter_map(|l| evidence.link(&l.name)).filter(|l| l.carrier);
    states.map(|l| Probe::Listen { link: l.name.clone(), index: l.index }).collect()
}

fn claim(evidence: &Evidence, check: &Check) -> Option<Probe> {
    let link = evidence.link(&check.link)?;
    let (name, index, mac) = (link.name.clone(), link.index, link.mac?);
    match check.subject.ip()? {
        IpAddr::V4(ip) => Some(Probe::Claim { link: name, index, mac, ip }),
        IpAddr::V6(ip) => Some(Probe::Owner { link: name, index, mac, ip }),
    }
}

/// Asks which subnet an Ethernet link is in, unless that is not to be asked. A member of a bond or bridge is in none.
fn discover(index: &View<'_>, evidence: &Evidence, link: &str) -> Option<Probe> {
    let state =
        evidence.link(link).filter(|link| link.up && link.carrier && !link.no_arp && !link.loopback)?;
    let mac = state.mac.filter(|mac| mac.as_bytes().len() == 6)?;
    let asks = index.discover && state.controller.is_none();
    asks.then(|| Probe::Discover { link: state.name.clone(), index: state.index, mac })
}

/// The kernel tells that an IPv6 address is a duplicate, and not whose.
fn owner(evidence: &Evidence, check: &Check) -> Option<Probe> {
    let Some(IpAddr::V6(ip)) = check.subject.ip() else { return None };
    evidence.address(&check.link, &ip.into()).filter(|a| a.duplicate)?;
    let link = evidence.link(&check.link)?;
    Some(Probe::Owner { link: link.name.clone(), index: link.index, mac: link.mac?, ip })
}

/// With `accept_dad` 2 the kernel turns IPv6 off if another host has the link-local address derived from the link's MAC
/// address; then all other addresses are missing.
fn owner_of_link_local(evidence: &Evidence, check: &Check) -> Option<Probe> {
    check.subject.ip().filter(|ip| ip.is_ipv6() && evidence.address(&check.link, ip).is_none())?;
    let link = evidence.link(&check.link).filter(|link| link.carrier)?;
    let mac = link.mac?;
    Some(Probe::Owner { link: link.name.clone(), index: link.index, mac, ip: link_local_of(&mac)? })
}

/// The link-local address derived from a MAC address (RFC 4291, appendix A).
pub(super) fn link_local_of(mac: &MacAddr) -> Option<Ipv6Addr> {
    let [a, b, c, d, e, f] = <[u8; 6]>::try_from(mac.as_bytes()).ok()?;
    let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Some(Ipv6Addr::new(0xfe80, 0, 0, 0, pair(a ^ 2, b), pair(c, 0xff), pair(0xfe, d), pair(e, f)))
}

fn gateway(index: &View<'_>, evidence: &Evidence, check: &Check) -> Option<Probe> {
    let state = evidence.link(&check.link)?;
    let ip = check.subject.ip()?;
    // A link-local gateway is asked from whatever address the kernel chooses.
    let source = index.gateway(&check.link, ip)?.source.filter(|_| !needs_zone(&ip));
    let (link, index, mtu) = (state.name.clone(), state.index, state.mtu);
    let mac = state.mac.filter(|mac| mac.as_bytes().len() == 6 && !state.no_arp);
    Some(Probe::Gateway { link, index, ip, source, mac, mtu })
}

/// For a gateway that does not answer: do others in its subnet, and does it answer elsewhere?
fn who_else(index: &View<'_>, evidence: &Evidence, check: &Check) -> Vec<Probe> {
    let Some(IpAddr::V4(gateway)) = check.subject.ip() else { return Vec::new() };
    let Some(link) = index.link(&check.link) else { return Vec::new() };
    let ask = |name: &str, ips: Vec<Ipv4Addr>| {
        let state = evidence.link(name).filter(|s| s.up && s.carrier && s.controller.is_none())?;
        let (link, index) = (state.name.clone(), state.index);
        (!ips.is_empty()).then_some(Probe::WhoHas { link, index, mac: state.mac?, ips })
    };
    // The gateway, too: it may exist and not answer our address.
    let near = std::iter::once(gateway).chain(likely_hosts(link, gateway, &index.resolvers)).collect();
    let near = ask(&link.name, near);
    // With a thousand VLANs, not every one can be asked for every other's gateway.
    let others = evidence.links.iter().filter(|l| l.name != link.name && !l.loopback).take(OTHER_LINKS);
    near.into_iter().chain(others.filter_map(|l| ask(&l.name, vec![gateway]))).collect()
}

/// For a gateway that answers ARP requests on another link: does it answer echoes there, too? A router may answer ARP requests for
/// each of its addresses on each of its interfaces (Linux does, unless `arp_ignore` says not to).
fn elsewhere(index: &View<'_>, evidence: &Evidence, check: &Check) -> Vec<Probe> {
    let Some(IpAddr::V4(ip)) = check.subject.ip() else { return Vec::new() };
    let Some(Some(IpAddr::V4(source))) = index.gateway(&check.link, ip.into()).map(|g| g.source) else {
        return Vec::new();
    };
    let others = evidence.others.iter().filter(|owner| owner.ip == ip && owner.link != check.link);
    let ask = |owner: &Owner| {
        let state = evidence.link(&owner.link)?;
        let (link, index, from, to) =
            (state.name.clone(), state.index, (state.mac?, source), (owner.mac, ip));
        let watch = watch(evidence, &link, ip.into())?;
        Some([watch, Probe::EchoHere { link, index, from, to }])
    };
    others.filter_map(ask).flatten().collect()
}

/// A few addresses of the gateway's subnet that are likely to be in use: both ends of the subnet, the neighbours of the
/// gateway and of our own address, name servers. Not a sweep, which intrusion detection would notice.
fn likely_hosts(link: &DesiredLink, gateway: Ipv4Addr, resolvers: &[IpAddr]) -> Vec<Ipv4Addr> {
    let subnet = link.addresses.iter().find_map(|net| match net {
        IpNet::V4(net) if net.contains(&gateway) => Some(*net),
        _ => None,
    });
    let Some(net) = subnet else { return Vec::new() };
    let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
    let around = |ip: Ipv4Addr, reach: u32| {
        let ip = u32::from(ip);
        ip.saturating_sub(reach)..=ip.saturating_add(reach)
    };
    let servers =
        resolvers.iter().filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(u32::from(*ip)) } else { None });
    let ends = (first..=first.saturating_add(3)).chain(last.saturating_sub(3)..=last);
    let mut hosts: Vec<u32> =
        ends.chain(around(gateway, 2)).chain(around(net.addr(), 4)).chain(servers).collect();
    hosts.order();
    hosts.dedup();
    let usable =
        |ip: &u32| (first..=last).contains(ip) && *ip != u32::from(net.addr()) && *ip != u32::from(gateway);
    let ends_of_net = |ip: &u32| net.prefix_len() >= 31 || (*ip != first && *ip != last);
    hosts.into_iter().filter(|ip| usable(ip) && ends_of_net(ip)).map(Ipv4Addr::from).collect()
}

fn resolver(index: &View<'_>, evidence: &Evidence, check: &Check) -> Option<Probe> {
    let server = check.subject.ip()?;
    Some(Probe::Resolver { server, index: zone_of(index, evidence, &server) })
}

/// The index of the link that a link-local server is asked through, else 0.
fn zone_of(index: &View<'_>, evidence: &Evidence, server: &IpAddr) -> u32 {
    let link = index.link_of_server(server).filter(|_| needs_zone(server));
    link.and_then(|l| evidence.link(&l.name)).map_or(0, |l| l.index)
}

/// Whether a gateway exists but has not answered the echoes of the first second.
fn ignores_echo(evidence: &Evidence, check: &Check) -> bool {
    let gateway = check.subject.ip().and_then(|ip| evidence.gateway(&check.link, &ip));
    gateway.is_some_and(|gateway| gateway.resolved && gateway.rtt_us.is_none() && gateway.silent_echoes >= 2)
}

/// Watches the frames to and from a host, on the link that the kernel would send through.
fn watch_host(index: &View<'_>, evidence: &Evidence, check: &Check, ip: IpAddr) -> Option<Probe> {
    watch(evidence, &leaves_by(index, evidence, &check.subject, ip)?, ip)
}

/// The link that packets to a host leave by, according to the kernel's lookup, or else to the description.
pub(super) fn leaves_by(
    index: &View<'_>,
    evidence: &Evidence,
    subject: &Subject,
    ip: IpAddr,
) -> Option<String> {
    match evidence.lookup(&Question { flow: index.flow_of(subject), ..Question::to(ip) }) {
        Some(Routing::Route(route)) => route.link.clone(),
        _ => Some(index.route_to(&ip)?.0.name.clone()),
    }
}

fn watch(evidence: &Evidence, link: &str, ip: IpAddr) -> Option<Probe> {
    let state = evidence.link(link).filter(|link| link.mac.is_some_and(|mac| mac.as_bytes().len() == 6))?;
    // The number of sockets is limited.
    let known = evidence.traffic(link, &ip).is_some();
    (known || evidence.traffic.len() < WATCHED).then_some(Probe::Watch {
        link: state.name.clone(),
        index: state.index,
        ip,
    })
}

fn asked_target<'a>(index: &'a View<'_>, check: &Check) -> Option<(usize, &'a Target)> {
    let Subject::Target(position, _) = check.subject else { return None };
    Some((position, index.targets.get(position)?))
}

fn target(index: &View<'_>, evidence: &Evidence, check: &Check) -> Option<Probe> {
    let (position, target) = asked_target(index, check)?;
    let servers = index.resolvers.iter().map(|ip| (*ip, zone_of(index, evidence, ip))).collect();
    let search = index.search.clone();
    Some(Probe::Target { position, target: target.clone(), servers, search })
}

/// The routers on the way to a silent target's addresses.
fn trace(index: &View<'_>, evidence: &Evidence, check: &Check) -> Vec<Probe> {
    let position = asked_target(index, check).map(|(position, _)| position);
    // What answers at all needs no path probe.
    let silent = position.and_then(|at| evidence.targets.get(at)).filter(|found| found.answer.is_none());
    silent.iter().flat_map(|found| &found.addresses).take(4).map(|to| Probe::Trace { to: *to }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_hosts_are_asked_and_never_ourselves() {
        let mut link = DesiredLink::new("a", "eth0", Kind::Physical);
        link.addresses = vec!["10.0.0.50/16".parse().unwrap()];
        let hosts = likely_hosts(&link, Ipv4Addr::new(10, 0, 255, 254), &["10.0.9.9".parse().unwrap()]);
        assert!(hosts.len() < 24, "{hosts:?}");
        for expected in ["10.0.0.1", "10.0.0.51", "10.0.255.253", "10.0.9.9"] {
            assert!(hosts.contains(&expected.parse().unwrap()), "{expected}");
        }
        for not in ["10.0.0.0", "10.0.0.50", "10.0.255.254", "10.0.255.255"] {
            assert!(!hosts.contains(&not.parse().unwrap()), "{not}");
        }
        link.addresses = vec!["10.0.0.1/31".parse().unwrap()];
        assert!(likely_hosts(&link, Ipv4Addr::new(10, 0, 0, 0), &[]).is_empty());
    }
}
