//! Causes around leases and router advertisements: why a link has none, and what is odd about the one that it has; and a
//! port that is in another subnet than described, by what servers and routers on it give out.

use std::net::IpAddr;

use super::{Case, Cause, Certainty, list, unleased};
use crate::diagnostic::Code;
use crate::resolve::{LeaseNote, NoLeaseReason};
use crate::verify::checks::Check;
use crate::verify::evidence::PortSubnet;
use crate::verify::input::DesiredLink;

/// The code of a reason, how sure it is, and what to do. `None` where the check itself says all.
fn row(reason: NoLeaseReason) -> Option<(Code, Certainty, &'static str)> {
    use Certainty::{Likely, Proved};
    use NoLeaseReason as Reason;
    Some(match reason {
        Reason::Pending | Reason::NoCarrier | Reason::Released => return None,
        Reason::Silence => (
            Code::NoDhcpServer,
            Proved,
            "Check the DHCP server or relay, and the port's VLAN; see `netapply leases`",
        ),
        Reason::Refused => (
            Code::DhcpRefuses,
            Proved,
            "See the server's log; the port may be in another subnet, or two servers disagree",
        ),
        Reason::InUse => {
            (Code::LeasedInUse, Proved, "Find that machine, or take the address out of the server's range")
        }
        Reason::NoAddresses => {
            (Code::DhcpExhausted, Proved, "Enlarge the server's range, or see who holds it")
        }
        Reason::SilentAfterOffer => (
            Code::DhcpExhausted,
            Likely,
            "See the server's log; it may have no address left, or another server may have been asked",
        ),
        Reason::Unusable => (Code::DhcpUnusable, Proved, "Correct the configuration of that server"),
        Reason::Expired => {
            (Code::LeaseExpired, Proved, "Check the DHCP server or relay; netapply goes on asking")
        }
        Reason::NoAdvertisement => (
            Code::NoRouterAdvertisement,
            Proved,
            "Check that a router advertises on this subnet, and the port's VLAN",
        ),
        Reason::ManagedSilence => (
            Code::AdvertisedWithoutServer,
            Proved,
            "Start the DHCPv6 server or its relay, or turn the M flag off at the router",
        ),
    })
}

/// A link has no lease.
pub(super) fn missing(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let none = unleased(case, &check.link)?;
        let (code, certainty, action) = row(none.reason)?;
        let link = &check.link;
        if let Some((other, subnet)) = elsewhere(case, link).filter(|_| code == Code::NoDhcpServer) {
            let message = format!(
                "no {} for {link}: no DHCP server answers, while {} on {other} gives out {}",
                none.what, subnet.by, subnet.net
            );
            let action = "Check which VLAN the switch's port has, and that of the description";
            let cause = Cause::new(Code::DhcpOnOtherVlan, Certainty::Likely, link, message, action);
            return Some(cause.explains([position]));
        }
        let message = format!("no {} for {link}: {}{}", none.what, none.why, heard(case, link, code));
        Some(Cause::new(code, certainty, link, message, action).explains([position]))
    };
    case.failed(Code::CheckLease).filter_map(cause).collect()
}

/// A server or router on another link of the same NIC, for a link on which nobody answers.
fn elsewhere<'a>(case: &Case<'a>, link: &str) -> Option<(&'a str, &'a PortSubnet)> {
    let mut found = case.index.relatives(link).into_iter().flat_map(|other| {
        let subnets = case.evidence.subnets.get(&other.name).into_iter().flatten();
        // What that link has itself is as it should be.
        let is_own =
            |subnet: &&PortSubnet| other.addresses.iter().any(|net| subnet.net.contains(&net.addr()));
        let foreign = subnets.filter(move |subnet| !is_own(subnet) && subnet.net.addr().is_ipv4());
        foreign.map(|subnet| (other.name.as_str(), subnet))
    });
    found.next()
}

/// What else is heard where no server answers.
fn heard(case: &Case<'_>, link: &str, code: Code) -> String {
    if code != Code::NoDhcpServer || case.heard_under(link).next().is_none() {
        return String::new();
    }
    let is_vlan = case.index.link(link).is_some_and(|link| link.vlan.is_some());
    let heard = || case.heard_under(link).map(|(_, heard)| heard);
    let other = heard().flat_map(|heard| &heard.untagged).find(|_| !is_vlan);
    match other {
        _ if heard().all(|heard| heard.frames == 0) => ", and nothing else is heard".to_owned(),
        Some(ip) => format!(", while {ip} is heard"),
        None => String::new(),
    }
}

/// What is odd about leases that are there.
pub(super) fn notes(case: &Case<'_>) -> Vec<Cause> {
    let default = |link: &DesiredLink| {
        link.routes.iter().any(|route| route.to.prefix_len() == 0 && route.to.addr().is_ipv4())
    };
    let has_default = case.index.links.iter().any(default);
    let links = case.index.links.iter();
    let notes = links.flat_map(|link| link.lease_notes.iter().map(|note| (link.name.as_str(), note)));
    let cause = |(link, note): (&str, &LeaseNote)| match note {
        LeaseNote::WithoutRouter { .. } if has_default => None,
        LeaseNote::WithoutRouter { server } => {
            let message =
                format!("the lease of {link} by {server} has no router, and there is no default route");
            let action = "Configure the router (option 3 or 121) at the DHCP server, unless that is intended";
            Some(Cause::new(Code::LeaseWithoutRouter, Certainty::Proved, link, message, action))
        }
        LeaseNote::SecondServer { server, other, offers } => {
            let message =
                format!("two DHCP servers answer on {link}: {server}, and {other}, which offers {offers}");
            let action = "Find out which one is not meant to be there, and turn it off";
            Some(Cause::new(Code::SecondDhcpServer, Certainty::Proved, link, message, action))
        }
    };
    notes.filter_map(cause).collect()
}

/// Gateways are silent, and what a server or router on the port gives out is another subnet.
pub(super) fn port_elsewhere(case: &Case<'_>) -> Vec<Cause> {
    let mut links: Vec<&str> = case.silent_gateways().map(|(_, check)| check.link.as_str()).collect();
    links.dedup();
    links.into_iter().filter_map(|link| one_elsewhere(case, link)).collect()
}

fn one_elsewhere(case: &Case<'_>, name: &str) -> Option<Cause> {
    let link = case.index.link(name)?;
    let subnets = case.evidence.subnets.get(name)?;
    let is_ours = |subnet: &PortSubnet| {
        link.addresses.iter().any(|net| subnet.net.contains(&net.addr()) || net.contains(&subnet.net.addr()))
    };
    let failed = |v4: bool| {
        let of_family = move |check: &Check| check.subject.ip().is_some_and(|ip| ip.is_ipv4() == v4);
        case.silent_gateways().filter(move |(_, check)| check.link == name && of_family(check))
    };
    let of_family = |v4: bool| subnets.iter().filter(move |subnet| subnet.net.addr().is_ipv4() == v4);
    let wrong = |v4: bool| {
        let same = of_family(v4).any(is_ours);
        (failed(v4).next().is_some() && !same).then(|| of_family(v4).next()).flatten()
    };
    // A server of IPv4 in another subnet tells of the port, and so of IPv6, too.
    let other = wrong(true).or_else(|| wrong(false))?;
    let v4 = other.net.addr().is_ipv4();
    let by = if other.is_router { "router" } else { "DHCP server" };
    let described = link.addresses.iter().filter(|net| net.addr().is_ipv4() == v4).map(|net| net.trunc());
    let message =
        format!("the port of {name} is in {} ({by} {}), not in {}", other.net, other.by, list(described));
    let action = "Check the port's VLAN and whether the cable is in the right port, or correct the subnet";
    let cause = Cause::new(Code::PortInOtherSubnet, Certainty::Likely, name, message, action);
    let explained = case.silent_gateways().filter(|(_, check)| {
        let same = |ip: IpAddr| ip.is_ipv4() == v4 || of_family(ip.is_ipv4()).all(|subnet| !is_ours(subnet));
        check.link == name && check.subject.ip().is_some_and(same)
    });
    Some(cause.explains(explained.map(|(position, _)| position)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Severity;
    use crate::resolve::NoLease;
    use crate::verify::cause::explain;
    use crate::verify::evidence::{Evidence, Heard};
    use crate::verify::fixture::{ip, judged, one_nic};
    use crate::verify::input::Input;
    use crate::verify::lookups::View;

    fn causes(input: &Input, evidence: &Evidence) -> Vec<Cause> {
        explain(&View::new(input), evidence, &judged(input, evidence))
    }

    fn subnet(net: &str, by: &str) -> PortSubnet {
        PortSubnet { net: net.parse().unwrap(), by: ip(by), is_router: by.contains(':') }
    }

    fn without_lease(reason: NoLeaseReason) -> (Input, Evidence) {
        let (mut input, evidence) = one_nic();
        let what = "DHCP lease";
        input.links[0].unleased = Some(NoLease { what, reason, why: "this is why".to_owned() });
        (input, evidence)
    }

    #[test]
    fn each_reason_has_its_cause() {
        use NoLeaseReason as Reason;
        for (reason, code) in [
            (Reason::Pending, Code::CheckFailed),
            (Reason::Released, Code::CheckFailed),
            (Reason::Silence, Code::NoDhcpServer),
            (Reason::Refused, Code::DhcpRefuses),
            (Reason::InUse, Code::LeasedInUse),
            (Reason::NoAddresses, Code::DhcpExhausted),
            (Reason::SilentAfterOffer, Code::DhcpExhausted),
            (Reason::Unusable, Code::DhcpUnusable),
            (Reason::Expired, Code::LeaseExpired),
            (Reason::NoAdvertisement, Code::NoRouterAdvertisement),
            (Reason::ManagedSilence, Code::AdvertisedWithoutServer),
        ] {
            let (input, evidence) = without_lease(reason);
            let causes = causes(&input, &evidence);
            assert_eq!(causes[0].code, code, "{causes:#?}");
            let message = "no DHCP lease for eth0: this is why";
            assert!(causes[0].message.starts_with(message), "{}", causes[0].message);
        }
    }

    #[test]
    fn what_else_is_heard_where_no_server_answers() {
        let (input, mut evidence) = without_lease(NoLeaseReason::Silence);
        evidence.heard = [("eth0".to_owned(), Heard::default())].into();
        assert!(causes(&input, &evidence)[0].message.ends_with(", and nothing else is heard"));
        let heard =
            Heard { frames: 1, untagged: [ip("198.51.100.9")].into_iter().collect(), ..Heard::default() };
        evidence.heard = [("eth0".to_owned(), heard)].into();
        assert!(causes(&input, &evidence)[0].message.ends_with(", while 198.51.100.9 is heard"));
    }

    #[test]
    fn a_server_on_another_link_of_the_nic_is_named() {
        let (mut input, mut evidence) = without_lease(NoLeaseReason::Silence);
        let mut vlan = DesiredLink::new("v", "eth0.5", crate::model::Kind::Vlan);
        vlan.parent = Some("eth0".to_owned());
        vlan.addresses = vec!["10.5.0.2/24".parse().unwrap()];
        (vlan.vlan, vlan.optional) = (Some(5), true);
        input.links.push(vlan);
        let of = |evidence: &Evidence| {
            let causes = causes(&input, evidence);
            causes.into_iter().find(|cause| cause.link == "eth0").unwrap()
        };
        evidence.subnets = [("eth0.5".to_owned(), vec![subnet("10.5.0.0/24", "10.5.0.1")])].into();
        assert_eq!(of(&evidence).code, Code::NoDhcpServer, "the VLAN has that subnet itself");
        evidence.subnets = [("eth0.5".to_owned(), vec![subnet("192.0.2.0/24", "192.0.2.1")])].into();
        let cause = of(&evidence);
        assert_eq!(cause.code, Code::DhcpOnOtherVlan);
        let words = "no DHCP server answers, while 192.0.2.1 on eth0.5 gives out 192.0.2.0/24";
        assert!(cause.message.ends_with(words), "{}", cause.message);
    }

    #[test]
    fn what_is_odd_about_a_lease_is_a_warning() {
        let (mut input, evidence) = one_nic();
        let server = std::net::Ipv4Addr::new(192, 0, 2, 1);
        let offers = "10.0.0.0/24".parse().unwrap();
        input.links[0].lease_notes = vec![
            LeaseNote::WithoutRouter { server },
            LeaseNote::SecondServer { server, other: [10, 0, 0, 1].into(), offers },
        ];
        let first = causes(&input, &evidence);
        assert_eq!(first.len(), 1, "there is a default route: {first:#?}");
        assert_eq!((first[0].code, first[0].severity), (Code::SecondDhcpServer, Severity::Warning));
        input.links[0].routes.clear();
        let codes: Vec<Code> = causes(&input, &evidence).iter().map(|cause| cause.code).collect();
        assert!(codes.contains(&Code::LeaseWithoutRouter), "{codes:?}");
    }

    #[test]
    fn the_subnet_of_a_port_is_what_is_given_out_there() {
        let (input, mut evidence) = one_nic();
        for gateway in evidence.gateways.iter_mut() {
            (gateway.resolved, gateway.rtt_us, gateway.found_ms) = (false, None, None);
            (gateway.tried, gateway.largest, gateway.finished) = (None, None, false);
        }
        let of = |evidence: &Evidence, subnets: &[PortSubnet]| {
            let evidence =
                Evidence { subnets: [("eth0".to_owned(), subnets.to_vec())].into(), ..evidence.clone() };
            let first = causes(&input, &evidence).remove(0);
            (first.code, first.message)
        };
        let other = subnet("198.51.100.0/24", "198.51.100.1");
        let message =
            "the port of eth0 is in 198.51.100.0/24 (DHCP server 198.51.100.1), not in 192.0.2.0/24"
                .to_owned();
        assert_eq!(of(&evidence, std::slice::from_ref(&other)), (Code::PortInOtherSubnet, message));
        let ours = subnet("192.0.2.0/24", "192.0.2.5");
        assert_ne!(of(&evidence, &[other, ours]).0, Code::PortInOtherSubnet, "it is in both");
        let router = subnet("2001:db8:1::/64", "fe80::1");
        assert_ne!(of(&evidence, &[router]).0, Code::PortInOtherSubnet, "of IPv6 a port may have any");
    }
}
