//! Why something does not work: turns failed checks and evidence into causes, each with a certainty and an action.
//! Pure. `RULES` is the table; each rule looks at all the evidence and adds the causes it finds.

use serde::Serialize;

use super::checks::{Check, Outcome};
use super::evidence::{Evidence, GatewayEvidence};
use super::lookups::View;
use crate::diagnostic::{Code, Severity};
use crate::model::Kind;
use crate::order::Order as _;
use crate::resolve::NoLease;

mod bond;
mod described;
mod gateway;
mod here;
mod image;
mod lease;
mod link;
mod route;
mod silent;
mod target;
mod vlan;

#[cfg(test)]
mod tests;

/// How sure a cause is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// It was observed.
    Proved,
    /// It is the best explanation of what was observed.
    Likely,
    /// It is one possible explanation.
    Possible,
}

impl std::fmt::Display for Certainty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Certainty::Proved => "proved",
            Certainty::Likely => "likely",
            Certainty::Possible => "possible",
        })
    }
}

/// Why something does not work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// The stable code; `netapply explain` describes it.
    pub code: Code,
    /// Errors explain failures; warnings are found along the way.
    pub severity: Severity,
    /// How sure it is.
    pub certainty: Certainty,
    /// The link; empty if the cause belongs to none.
    pub link: String,
    /// What is wrong: one sentence without a full stop, with names and values.
    pub message: String,
    /// What to do: one sentence without a full stop.
    pub action: String,
    /// Indexes of the checks that it explains.
    pub checks: Vec<usize>,
}

impl Cause {
    /// A cause with the severity of its code. The action is capitalised here because a diagnostic's hint, which it may
    /// come from, continues a message.
    pub fn new(
        code: Code,
        certainty: Certainty,
        link: &str,
        message: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        let (message, action) = (message.into(), sentence(&action.into()));
        let severity = code.severity();
        Cause { code, severity, certainty, link: link.to_owned(), message, action, checks: Vec::new() }
    }

    /// Whether the switch port may be the reason: its name and number help then.
    pub fn is_of_switch(&self) -> bool {
        matches!(
            self.code,
            Code::NothingAnswers
                | Code::PortInOtherSubnet
                | Code::NoDhcpServer
                | Code::DhcpOnOtherVlan
                | Code::NoRouterAdvertisement
                | Code::GatewayAbsent
                | Code::GatewayElsewhere
                | Code::GatewayIgnores
                | Code::VlanNotCarried
                | Code::LacpNoPartner
                | Code::LacpPartnerOnSome
                | Code::LacpTwoPartners
                | Code::LacpNotThrough
                | Code::SwitchRunsLacp
                | Code::MtuBlackHole
                | Code::PacketLoss
                | Code::LinkFlaps
                | Code::CheckFailed
        )
    }

    /// Sets the checks that it explains.
    #[must_use]
    fn explains(mut self, checks: impl IntoIterator<Item = usize>) -> Self {
        self.checks.extend(checks);
        self
    }
}

/// Capitalised, unless it begins with a name.
fn sentence(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next().filter(|_| word.bytes().all(|b| b.is_ascii_lowercase())) {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => text.to_owned(),
    }
}

/// The input of the rules.
struct Case<'a> {
    index: &'a View<'a>,
    evidence: &'a Evidence,
    checks: &'a [Check],
}

impl<'a> Case<'a> {
    /// Failed checks of a kind that count, with their indexes.
    fn failed(&self, code: Code) -> impl Iterator<Item = (usize, &'a Check)> {
        self.checks.iter().enumerate().filter(move |(_, c)| c.code == code && c.is_fault())
    }

    /// Failed checks of gateways that do not answer at all; lossy ones do.
    fn silent_gateways(&self) -> impl Iterator<Item = (usize, &'a Check)> {
        let evidence = self.evidence;
        let answers = move |check: &Check| {
            let gateway = check.subject.ip().and_then(|ip| evidence.gateway(&check.link, &ip));
            gateway.is_some_and(GatewayEvidence::answers)
        };
        self.failed(Code::CheckGateway).filter(move |(_, check)| !answers(check))
    }

    /// Whether a carrier check fails because carrier comes and goes.
    fn is_flapping(&self, check: &Check) -> bool {
        self.evidence.flaps.get(&check.link).is_some_and(|changes| *changes >= super::checks::FLAPS)
    }

    /// Whether a check of this kind has passed on a link.
    fn passed(&self, code: Code, link: &str) -> bool {
        self.checks.iter().any(|c| c.code == code && c.link == link && c.outcome == Outcome::Passed)
    }

    /// The kernel's state of the NICs below a link, with what was heard on them.
    fn heard_under(&self, link: &str) -> impl Iterator<Item = (&'a str, &'a super::evidence::Heard)> {
        let nics = if self.evidence.heard.is_empty() { Vec::new() } else { self.index.nics_under(link) };
        nics.into_iter().filter_map(|nic| Some((nic.name.as_str(), self.evidence.heard.get(&nic.name)?)))
    }
}

type Rule = fn(&Case<'_>) -> Vec<Cause>;

/// The rules, from the wire upwards.
const RULES: &[Rule] = &[
    link::nic_missing,
    link::renamed,
    link::no_cable,
    link::flaps,
    link::half_duplex,
    here::refused,
    here::settings,
    here::dropped,
    here::ipv6_off,
    here::deaf,
    gateway::lossy,
    gateway::fixed,
    described::taken_down,
    described::wrong_mtu,
    described::advertised_mtu,
    route::without_main_rule,
    route::competing,
    bond::lacp,
    bond::switch_runs_lacp,
    bond::unequal_speed,
    vlan::not_carried,
    gateway::duplicate,
    gateway::elsewhere,
    gateway::ignores_us,
    lease::port_elsewhere,
    lease::missing,
    lease::notes,
    gateway::absent,
    gateway::silent,
    gateway::stp_delay,
    gateway::mtu_black_hole,
    image::names,
    image::tools,
    silent::silent,
    target::slow_servers,
    target::name,
    target::answers_badly,
    described::changed,
];

/// The causes of the failed checks: errors first, then by certainty, then in the order of the rules. Every failure has
/// a cause, if only that none could be found.
pub fn explain(index: &View<'_>, evidence: &Evidence, checks: &[Check]) -> Vec<Cause> {
    let case = Case { index, evidence, checks };
    let mut causes: Vec<Cause> = Vec::new();
    for cause in RULES.iter().flat_map(|rule| rule(&case)) {
        // Gateways that fail for the same reason share one cause.
        match causes
            .iter_mut()
            .find(|c| (c.code, &c.link, &c.message) == (cause.code, &cause.link, &cause.message))
        {
            Some(known) => known.checks.extend(cause.checks),
            None => causes.push(cause),
        }
    }
    let causes_of = |check: usize| causes.iter().filter(move |c| c.checks.contains(&check));
    let better = |cause: &Cause, check: usize| {
        causes_of(check).any(|other| {
            let vague = match cause.code {
                Code::NothingAnswers | Code::NotApplied => other.code != cause.code,
                // In another VLAN of the port the router answers ARP requests as well.
                Code::GatewayElsewhere => other.code == Code::VlanNotCarried,
                _ => false,
            };
            let surer = other.certainty < cause.certainty || (vague && other.certainty == cause.certainty);
            surer && other.severity == Severity::Error
        })
    };
    // Drop weaker explanations of a failure that has a better one.
    let keep = |cause: &Cause| cause.checks.is_empty() || !cause.checks.iter().all(|at| better(cause, *at));
    let kept: Vec<bool> = causes.iter().map(keep).collect();
    let mut kept = kept.into_iter();
    causes.retain(|_| kept.next().unwrap_or(true));
    for (position, check) in checks.iter().enumerate().filter(|(_, c)| c.is_fault()) {
        if !causes.iter().any(|c| c.checks.contains(&position)) {
            causes.push(unexplained(&case, check).explains([position]));
        }
    }
    causes.order_by_key(|c| (std::cmp::Reverse(c.severity), c.certainty));
    causes
}

/// The fallback for a failure that no rule explains: what was seen, and where to look.
fn unexplained(case: &Case<'_>, check: &Check) -> Cause {
    let Check { link, subject: object, finding, .. } = check;
    let kind = case.index.link(link).map(|l| l.kind);
    let (what, action) = match check.code {
        Code::CheckCarrier if kind == Some(Kind::Bond) => (
            link.clone(),
            format!("See /proc/net/bonding/{link}: min_links, arp_ip_target or updelay hold it"),
        ),
        Code::CheckCarrier if kind == Some(Kind::Bridge) => {
            (link.clone(), "See `bridge link`: a port that forwards is needed".to_owned())
        }
        Code::CheckCarrier => (link.clone(), format!("See `ip -d link show {link}` and the link below it")),
        Code::CheckForwarding => (
            format!("port {object} of {link}"),
            "See `bridge link`; another bridge may win, or a loop".to_owned(),
        ),
        Code::CheckMember | Code::CheckMode | Code::CheckLacp => {
            (format!("{object} of {link}"), format!("See `ip -d link show {link}`, and run netapply apply"))
        }
        Code::CheckAddress => (
            format!("{object} on {link}"),
            format!("See `ip address show {link}`; without an answer in 10 s set the link down and up"),
        ),
        Code::CheckGateway => (
            format!("gateway {object} on {link}"),
            "Check its address and the port's VLAN; ask whether it filters ARP or neighbour discovery"
                .to_owned(),
        ),
        Code::CheckRoute => (
            format!("{object} {link}").trim().to_owned(),
            "Compare `ip route get` with the description; see `ip route` and `ip rule`".to_owned(),
        ),
        Code::CheckLease => (
            format!("no {} for {link}", unleased(case, link).map_or("DHCP lease", |none| none.what)),
            "Check the DHCP server or relay, and the port's VLAN; see `netapply leases`".to_owned(),
        ),
        Code::CheckPresent => {
            (link.clone(), "Run netapply apply; its log says why it cannot be made".to_owned())
        }
        _ => (
            format!("{object} {link}").trim().to_owned(),
            "See what was seen in `netapply report --json`".to_owned(),
        ),
    };
    Cause::new(Code::CheckFailed, Certainty::Proved, link, format!("{what}: {finding}"), action)
}

/// Why a link has no lease.
fn unleased<'a>(case: &Case<'a>, link: &str) -> Option<&'a NoLease> {
    case.index.link(link)?.unleased.as_ref()
}

/// `a`, `a and b`, `a, b and c`.
fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
