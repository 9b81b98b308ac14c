//! What was observed: the kernel's state and what the probes found. Plain data, so that checks and causes can be tested
//! with recorded evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};

use super::keyed::{ItemKey, Keyed, KeyedList};
use crate::inventory::{AddressEntry, Lldp, RouteEntry, RuleEntry, SettingName};
use crate::kernel::firewall::{Direction, Filter};
use crate::kernel::live::{AddressState, LinkState};
use crate::kernel::lookup;
use crate::kernel::neighbour::Neighbour;
use crate::model::{Family, MacAddr, Protocol, RouteKind};
use crate::plan::{Step, script};

/// All observations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Links in their current state.
    pub links: KeyedList<LinkState>,
    /// Addresses in their current state.
    pub addresses: KeyedList<AddressState>,
    /// Neighbours that the kernel was asked to resolve.
    pub neighbours: KeyedList<Neighbour>,
    /// Steps that a new plan would still have: what is not as described. Written as the equivalent ip(8) commands.
    #[serde(serialize_with = "lines", skip_deserializing)]
    pub remaining: Vec<Step>,
    /// Who else has configured something on a described link, by the routes' and addresses' protocol: "a DHCP client".
    pub strangers: Vec<Stranger>,
    /// Gateways and how they answer.
    pub gateways: KeyedList<GatewayEvidence>,
    /// Addresses checked for duplicates.
    pub claims: KeyedList<Claim>,
    /// Hosts in the gateways' subnets that answered an ARP request, and on which link.
    pub others: KeyedList<Owner>,
    /// Name servers and how they answer.
    pub resolvers: KeyedList<ResolverEvidence>,
    /// Targets and how they answer, in the order of the input.
    pub targets: Vec<TargetEvidence>,
    /// The paths to those name servers and targets that do not answer.
    pub ways: KeyedList<Way>,
    /// The kernel's own lookups of gateways, described routes, name servers and targets.
    pub lookups: KeyedList<LookupEvidence>,
    /// Why machine and description could not be compared the last time.
    #[serde(skip)]
    pub unreviewed: Option<String>,
    /// How often carrier came or went since the start, by link.
    #[serde(skip)]
    pub flaps: BTreeMap<String, u32>,
    /// The machine's rules and its routes that forbid something: they may explain a lookup's answer.
    #[serde(skip)]
    pub policy: Policy,
    /// Frames to and from hosts that do not answer, as seen on the link.
    pub traffic: KeyedList<Traffic>,
    /// Packet filters that are hooked into the kernel.
    #[serde(skip)]
    pub filters: Vec<Filter>,
    /// Settings of links on which something fails, by their path below net/ with `*` for the link
    /// ([`crate::kernel::read::link_settings`]).
    #[serde(skip)]
    pub settings: BTreeMap<String, BTreeMap<SettingName, i64>>,
    /// Subnets that servers and routers give out on links where something fails.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subnets: BTreeMap<String, Vec<PortSubnet>>,
    /// What was heard on each NIC.
    pub heard: BTreeMap<String, Heard>,
    /// When each link was first seen with carrier, in milliseconds since the start.
    pub carrier_ms: BTreeMap<String, u64>,
    /// When a frame that the switch forwarded was first heard on each NIC, in milliseconds since the start.
    pub frames_ms: BTreeMap<String, u64>,
    /// The state of the network in the image's programs and tools.
    pub image: crate::handoff::state::Image,
    /// Why something could not be observed, for a person.
    pub unreadable: Vec<String>,
    /// Milliseconds since the start.
    pub elapsed_ms: u64,
}

/// A subnet that a DHCP server offers an address of, or that a router advertises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSubnet {
    /// The subnet.
    pub net: IpNet,
    /// Who says so.
    pub by: IpAddr,
    /// A router; else a DHCP server.
    pub is_router: bool,
}

/// A packet that this machine would send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its destination.
    pub to: IpAddr,
    /// Its source, if the sending program chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// The VRF that the socket is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Its firewall mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
    /// Its protocol and port, which a rule may match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
}

impl Question {
    /// A packet to an address, everything else left to the kernel.
    pub fn to(to: IpAddr) -> Self {
        Question { to, from: None, link: None, mark: None, flow: None }
    }

    fn key(&self) -> ItemKey<'_> {
        // None has both a mark and a flow.
        let flow = self.flow.map(|flow| match flow {
            Flow::Echo => 0x1_0000,
            Flow::Tcp(port) => 0x2_0000 | u32::from(port),
            Flow::Udp(port) => 0x3_0000 | u32::from(port),
        });
        let (link, number) = (self.link.as_deref().unwrap_or_default(), self.mark.or(flow).unwrap_or(0));
        ItemKey { link, number, ip: Some(self.to), source: self.from }
    }
}

/// The kernel's answer to a lookup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookupEvidence {
    /// The question.
    #[serde(flatten)]
    pub question: Question,
    /// The answer.
    pub found: Routing,
}

/// What the kernel does with a packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Routing {
    /// It sends it, or delivers it locally.
    Route(FoundRoute),
    /// It has no route.
    NoRoute,
    /// A route or rule forbids it.
    Forbidden(RouteKind),
    /// The source is not an address of this machine.
    NotOurSource,
    /// It could not be asked: the system's error text.
    Failed(String),
}

/// How a packet leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundRoute {
    /// `unicast`, or `local` if the destination is this machine itself.
    pub kind: RouteKind,
    /// The link that it leaves by.
    pub link: Option<String>,
    /// The next hop; `None` if the destination is on-link.
    pub via: Option<IpAddr>,
    /// The source address that the kernel chooses.
    pub source: Option<IpAddr>,
    /// The table that has the route.
    pub table: u32,
    /// The route in that table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Box<RouteEntry>>,
    /// The kernel would send so, but passes over the route while its router does not answer.
    #[serde(default, skip_serializing_if = "crate::inventory::is_false")]
    pub passed_over: bool,
}

impl From<lookup::Egress> for FoundRoute {
    fn from(route: lookup::Egress) -> Self {
        let lookup::Egress { kind, link, via, source, table, entry } = route;
        FoundRoute { kind, link, via, source, table, entry: entry.map(Box::new), passed_over: false }
    }
}

/// The parts of an inventory that explain a lookup's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// All rules except the three that the kernel creates.
    pub rules: Vec<RuleEntry>,
    /// Families without a rule that leads all packets to the main routing table.
    pub no_main_rule: Vec<Family>,
    /// Routes of type unreachable, prohibit, blackhole and throw.
    pub barriers: Vec<RouteEntry>,
    /// IPv6 routes over a router that are not described. The kernel passes over one whose router did not answer lately
    /// (`rt6_check_neigh`), and tries it again once it has forgotten that.
    pub rivals: Vec<RouteEntry>,
    /// Addresses that are not described.
    pub strange_addresses: Vec<AddressEntry>,
    /// net.ipv6.conf.X settings of the described links, by name.
    pub settings: BTreeMap<String, BTreeMap<SettingName, i64>>,
    /// MTUs that routers advertise, by the name of the described link.
    pub advertised_mtus: BTreeMap<String, u32>,
    /// Settings of the whole machine, by their path below /proc/sys.
    pub sysctls: BTreeMap<String, i64>,
    /// Links that take every frame of their parent (a macvlan in mode passthru), by the parent's name.
    pub takers: BTreeMap<String, String>,
}

/// Something on a link that neither the description nor the kernel configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// The link.
    pub link: String,
    /// What: `address 10.0.0.9/24`, `default route via 10.0.0.254`.
    pub what: String,
    /// Who, if the protocol number tells: `a DHCP client`.
    pub who: Option<String>,
    /// That protocol.
    #[serde(skip)]
    pub protocol: Option<Protocol>,
}

/// A gateway on a link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayEvidence {
    /// The link.
    pub link: String,
    /// The gateway.
    pub ip: Option<IpAddr>,
    /// The kernel has confirmed its hardware address.
    pub resolved: bool,
    /// When it was first found, in milliseconds since the start.
    pub found_ms: Option<u64>,
    /// When it last answered, in milliseconds since the start.
    pub heard_ms: Option<u64>,
    /// It answered before, and has been asked again since.
    pub again: bool,
    /// Its hardware address if it is a static entry, so that the kernel asks nobody.
    pub fixed: Option<MacAddr>,
    /// How many of the packets it answers.
    #[serde(flatten)]
    pub losses: Losses,
    /// The machine itself refuses to send to it: the system's error number.
    pub refused_here: Option<i32>,
    /// Echo requests sent since then.
    pub unanswered: u32,
    /// Echo requests sent so far, until one is answered.
    pub silent_echoes: u32,
    /// Round-trip time of the first echo answered, in microseconds.
    pub rtt_us: Option<u64>,
    /// Size of the largest packet that passed with fragmentation forbidden, in bytes with the IP header.
    pub largest: Option<u32>,
    /// Size of the largest packet that was tried.
    pub tried: Option<u32>,
    /// No more sizes will be tried.
    pub finished: bool,
    /// Why nothing can be sent: the system's error text.
    pub error: Option<String>,
}

impl GatewayEvidence {
    /// Whether it has answered and has not been asked again since.
    pub fn answers(&self) -> bool {
        !self.again && (self.resolved || self.rtt_us.is_some())
    }
}

/// What was seen of a flow to a host, if the link shows its frames: after this machine's filters for what it sends,
/// before them for what comes in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// The link.
    pub link: String,
    /// The host.
    pub ip: IpAddr,
    /// Since when, in milliseconds since the start.
    pub since_ms: u64,
    /// A request for its hardware address has left.
    pub asked: bool,
    /// The reply to a request that the kernel sent has arrived.
    pub told: bool,
    /// The kinds of packets to it that have left.
    pub sent: BTreeSet<Flow>,
    /// The kinds of answers from it that have arrived.
    pub received: BTreeSet<Flow>,
}

/// The kinds of flows with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// Echoes.
    Echo,
    /// Connections to its TCP port.
    Tcp(u16),
    /// Packets to its UDP port.
    Udp(u16),
}

impl Flow {
    /// The IP protocol's number, and the port.
    pub fn protocol(self, v4: bool) -> (u8, Option<u16>) {
        match self {
            Flow::Echo => (if v4 { libc::IPPROTO_ICMP } else { libc::IPPROTO_ICMPV6 } as u8, None),
            Flow::Tcp(port) => (libc::IPPROTO_TCP as u8, Some(port)),
            Flow::Udp(port) => (libc::IPPROTO_UDP as u8, Some(port)),
        }
    }
}

/// Requests sent, and how many were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Sent.
    pub sent: u32,
    /// Answered.
    pub received: u32,
}

impl Tally {
    /// The loss in percent; `None` if nothing was sent.
    pub fn loss(&self) -> Option<u32> {
        let lost = self.sent.saturating_sub(self.received);
        (lost * 100).checked_div(self.sent)
    }

    /// Whether nothing is lost.
    pub fn is_whole(&self) -> bool {
        self.received >= self.sent
    }

    /// Whether more is lost than a working network loses by chance.
    pub fn is_lossy(&self) -> bool {
        self.loss().is_some_and(|percent| percent > 10)
    }
}

/// How much a gateway answers that has answered once. Hosts and routers limit echo replies (Linux by `icmp_ratelimit`,
/// routers by their control-plane policy), but hardly ever ARP or neighbour discovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Losses {
    /// Echoes in quick succession.
    pub echoes: Tally,
    /// Echoes more than a second apart, sent if some of the quick ones were lost.
    pub lone: Tally,
    /// Requests for its hardware address, at the same time.
    pub neighbour: Tally,
}

/// What the losses mean.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// No significant loss.
    None,
    /// The measurement is not finished.
    Unclear,
    /// Only echoes in quick succession are lost: the gateway limits them.
    Limited,
    /// Percentage of echoes lost that are more than a second apart, while no request for the hardware address is.
    Echoes(u32),
    /// Percentage of all kinds of packets lost.
    Packets(u32),
}

impl Losses {
    /// The loss that they show.
    pub fn meaning(&self) -> Loss {
        if self.echoes.is_whole() {
            return Loss::None;
        }
        let Some(lone) = self.lone.loss() else { return Loss::Unclear };
        let sum = Tally {
            sent: self.lone.sent + self.neighbour.sent,
            received: self.lone.received + self.neighbour.received,
        };
        match (self.neighbour.received, self.neighbour.is_lossy()) {
            // It went away.
            (0, _) if self.lone.received == 0 => Loss::Unclear,
            // It does not answer ARP probes (without a sender address), or does not exist.
            (0, _) if self.lone.is_lossy() => Loss::Packets(lone),
            (1.., true) => Loss::Packets(sum.loss().unwrap_or(0)),
            (1.., false) if self.lone.is_lossy() => Loss::Echoes(lone),
            _ if self.echoes.is_lossy() => Loss::Limited,
            _ => Loss::None,
        }
    }
}

/// One of our addresses, and whether another host has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The link.
    pub link: String,
    /// The address.
    pub ip: IpAddr,
    /// Who else has it.
    pub owner: Option<MacAddr>,
    /// All probes have been sent, and the time to answer is over.
    pub finished: bool,
    /// Why the probes could not be sent: the system's error text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A host that answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// The link it was seen on.
    pub link: String,
    /// Its address.
    pub ip: IpAddr,
    /// Its hardware address.
    pub mac: MacAddr,
}

/// A name server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolverEvidence {
    /// The server.
    pub server: IpAddr,
    /// Time to its first answer, in microseconds.
    pub rtt_us: Option<u64>,
    /// When it last answered, in milliseconds since the start.
    #[serde(default)]
    pub answered_ms: Option<u64>,
    /// Its host exists, but nothing listens on the port.
    pub refused: bool,
    /// Why there was no answer: the system's error text.
    pub error: Option<String>,
    /// The machine itself refuses to send to it: the system's error number.
    #[serde(default)]
    pub refused_here: Option<i32>,
}

impl ResolverEvidence {
    /// One that has not answered.
    pub fn silent(server: IpAddr) -> Self {
        ResolverEvidence {
            server,
            rtt_us: None,
            answered_ms: None,
            refused: false,
            error: None,
            refused_here: None,
        }
    }
}

/// A target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetEvidence {
    /// The target as given.
    pub target: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The name servers say that the name does not exist or has no address.
    pub unknown_name: bool,
    /// The name servers answer, but refuse or fail to resolve the name.
    pub name_refused: bool,
    /// The answer, if any.
    pub answer: Option<Answer>,
    /// Until this is true, a better answer may follow an unsuccessful one.
    pub finished: bool,
    /// Time to the answer, in microseconds.
    pub rtt_us: Option<u64>,
    /// When the answer came, in milliseconds since the start.
    pub answered_ms: Option<u64>,
    /// The machine itself refused to send: the system's error number.
    pub refused_here: Option<i32>,
    /// Why nothing could be sent to it: the system's error text.
    pub unreachable: Option<String>,
}

/// The path to a name server or target that does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The destination.
    pub to: IpAddr,
    /// Whether it answers an ICMP echo; `None` if that is not known yet.
    pub echo: Option<bool>,
    /// The number of rounds of echoes that it answers.
    #[serde(skip)]
    pub echoes: Tally,
    /// Routers on the path, by distance from 1; `None` for a silent one.
    pub hops: Vec<Option<IpAddr>>,
    /// The "unreachable" that a router sent, if any.
    pub refusal: Option<Undeliverable>,
}

/// A router's report that it cannot deliver (ICMP's "destination unreachable").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undeliverable {
    /// The router.
    pub by: IpAddr,
    /// The reason.
    pub words: String,
}

/// The answer of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A connection, or an echo.
    Connected,
    /// An HTTP status.
    Status(u16),
    /// The beginning of a TLS handshake.
    Tls,
    /// Something unexpected: its first bytes.
    Strange(String),
    /// It refused the connection.
    Refused,
}

impl Answer {
    /// Whether the answer counts as working. 401 and 403 are a working service that requires a login.
    pub fn is_good(&self) -> bool {
        match self {
            Answer::Connected | Answer::Tls => true,
            Answer::Status(status) => matches!(status, 200..=399 | 401 | 403),
            Answer::Strange(_) | Answer::Refused => false,
        }
    }
}

/// What was heard on a NIC, without asking.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heard {
    /// What the switch announces about itself.
    pub lldp: Option<Lldp>,
    /// LACP from the partner.
    pub lacp: Option<Lacp>,
    /// STP from the switch: the bridge that sends it, and whether it is RSTP or MSTP.
    pub stp: Option<Stp>,
    /// VLAN ids of tagged frames, with how many frames; at most 32.
    pub tags: BTreeMap<u16, u32>,
    /// Untagged IPv4 or IPv6 senders, at most 32.
    pub untagged: Vec<IpAddr>,
    /// Frames from other stations, of those that pass the listener's filter.
    pub frames: u32,
    /// How long the listener has listened, in milliseconds.
    pub listened_ms: u64,
}

/// A LACP partner (IEEE 802.1AX).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacp {
    /// The partner's system address.
    pub system: MacAddr,
    /// Its key: ports of one LAG have one key.
    pub key: u16,
    /// Its port number.
    pub port: u16,
    /// Its state bits.
    pub state: u8,
}

/// A spanning tree bridge (IEEE 802.1D).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stp {
    /// Protocol version: 0 STP, 2 RSTP, 3 MSTP.
    pub version: u8,
    /// The bridge that sent it.
    pub bridge: MacAddr,
    /// The port's role and state bits; 0 for classic STP.
    pub flags: u8,
    /// Forward delay in seconds.
    pub forward_delay: u16,
}

fn lines<S: Serializer>(steps: &[Step], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(steps.iter().map(|step| script::line(&step.action)))
}

impl Keyed for LinkState {
    fn key(&self) -> ItemKey<'_> {
        ItemKey { link: &self.name, ..ItemKey::default() }
    }
}

impl Keyed for AddressState {
    fn key(&self) -> ItemKey<'_> {
        ItemKey { number: self.index, ip: Some(self.ip), ..ItemKey::default() }
    }
}

impl Keyed for Neighbour {
    fn key(&self) -> ItemKey<'_> {
        at(&self.link, self.ip)
    }
}

impl Keyed for GatewayEvidence {
    fn key(&self) -> ItemKey<'_> {
        ItemKey { link: &self.link, ip: self.ip, ..ItemKey::default() }
    }
}

impl Keyed for Traffic {
    fn key(&self) -> ItemKey<'_> {
        at(&self.link, self.ip)
    }
}

impl Keyed for Claim {
    fn key(&self) -> ItemKey<'_> {
        at(&self.link, self.ip)
    }
}

impl Keyed for Owner {
    fn key(&self) -> ItemKey<'_> {
        at(&self.link, self.ip)
    }
}

impl Keyed for ResolverEvidence {
    fn key(&self) -> ItemKey<'_> {
        at("", self.server)
    }
}

impl Keyed for LookupEvidence {
    fn key(&self) -> ItemKey<'_> {
        self.question.key()
    }
}

impl Keyed for Way {
    fn key(&self) -> ItemKey<'_> {
        at("", self.to)
    }
}

/// The key of an address on a link, or on no link.
pub(super) fn at(link: &str, ip: IpAddr) -> ItemKey<'_> {
    ItemKey { link, ip: Some(ip), ..ItemKey::default() }
}

impl Evidence {
    /// The link with this name.
    pub fn link(&self, name: &str) -> Option<&LinkState> {
        self.links.find(ItemKey { link: name, ..ItemKey::default() })
    }

    /// The address, if it is on that link.
    pub fn address(&self, link: &str, ip: &IpAddr) -> Option<&AddressState> {
        let number = self.link(link)?.index;
        self.addresses.find(ItemKey { number, ip: Some(*ip), ..ItemKey::default() })
    }

    /// The neighbour entry for an address on a link.
    pub fn neighbour(&self, link: &str, ip: &IpAddr) -> Option<&Neighbour> {
        self.neighbours.find(at(link, *ip))
    }

    /// What is known about a gateway.
    pub fn gateway(&self, link: &str, ip: &IpAddr) -> Option<&GatewayEvidence> {
        self.gateways.find(at(link, *ip))
    }

    /// What is known about a claim.
    pub fn claim(&self, link: &str, ip: &IpAddr) -> Option<&Claim> {
        self.claims.find(at(link, *ip))
    }

    /// What is known about a name server.
    pub fn resolver(&self, server: &IpAddr) -> Option<&ResolverEvidence> {
        self.resolvers.find(at("", *server))
    }

    /// The path to an address, if it was probed.
    pub fn way(&self, to: &IpAddr) -> Option<&Way> {
        self.ways.find(at("", *to))
    }

    /// What was seen of a flow to a host.
    pub fn traffic(&self, link: &str, ip: &IpAddr) -> Option<&Traffic> {
        self.traffic.find(at(link, *ip))
    }

    /// Whether a host has answered echoes, and not only ARP requests, on a link.
    pub fn echoes_on(&self, link: &str, ip: &IpAddr) -> bool {
        self.traffic(link, ip).is_some_and(|traffic| traffic.received.contains(&Flow::Echo))
    }

    /// Whether this machine translates the destinations of what it sends: another host than the one asked may answer.
    pub fn redirects(&self) -> bool {
        self.filters.iter().any(|filter| filter.translates && filter.direction == Some(Direction::Out))
    }

    /// The kernel's answer to a question.
    pub fn lookup(&self, question: &Question) -> Option<&Routing> {
        Some(&self.lookups.find(question.key())?.found)
    }

    /// Records the answer to a question, replacing an earlier one.
    pub fn take_lookup(&mut self, question: Question, found: Routing) {
        self.lookups.put(LookupEvidence { question, found });
    }

    /// A gateway's record, created if there is none yet.
    pub fn gateway_mut(&mut self, link: &str, ip: &IpAddr) -> &mut GatewayEvidence {
        let new = || GatewayEvidence { link: link.to_owned(), ip: Some(*ip), ..GatewayEvidence::default() };
        self.gateways.find_or_push(at(link, *ip), new)
    }

    /// Whether a hardware address belongs to this machine.
    pub fn is_own(&self, mac: &MacAddr) -> bool {
        self.links.iter().any(|l| l.mac == Some(*mac) || l.permanent_mac == Some(*mac))
    }
}
