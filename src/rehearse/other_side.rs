//! Creates the other side of a [`Switch`] in a network namespace of its own, in a thread in that namespace: the other
//! ends of the stand-ins' wires, LAGs, VLANs, addresses and servers. Entry: [`OtherSide::begin`], then
//! [`OtherSide::make`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use foldhash::HashMap;
use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::servers;
use super::switch::{Attachment, LARGEST_MTU, Segment, Switch, Tag, Trunk};
use crate::inventory::{AddressEntry, AddressFlag, RouteEntry, RuleEntry, Selectors};
use crate::kernel::apply::{AfterFailure, apply};
use crate::kernel::effects::{Real, Recorded, Recorder};
use crate::kernel::live::Live;
use crate::kernel::names::Names;
use crate::kernel::read;
use crate::kernel::session::{Failure, NetlinkFamily, Session};
use crate::kernel::trouble::Trouble;
use crate::kernel::veth;
use crate::machine::Machine;
use crate::model::attribute::OptionValue;
use crate::model::{Family, Kind, Place, Protocol, RouteKind, Scope, needs_zone};
use crate::order::Few as _;
use crate::plan::{Action, LinkChange, NewLink, Plan, Step, StepId, script};

/// How long creating it may take.
const BOUND: Duration = Duration::from_secs(60);

/// The other side, as long as the process lives.
#[derive(Debug)]
pub struct OtherSide {
    namespace: OwnedFd,
    order: Option<oneshot::Sender<Switch>>,
    made: Option<oneshot::Receiver<Vec<String>>>,
}

/// The name of the other end of a NIC's wire: short, and not in use here.
pub fn far_end(number: usize) -> String {
    format!("p{number}")
}

impl OtherSide {
    /// Starts its thread. With `load`, creating its links may load modules.
    ///
    /// # Errors
    /// There is no thread, or no namespace for it.
    pub async fn begin(machine: &Machine, load: bool) -> io::Result<OtherSide> {
        let (ready, begun) = oneshot::channel();
        let (order, orders) = oneshot::channel();
        let (report, made) = oneshot::channel();
        let machine = machine.clone();
        let live = move || {
            let namespace = unshare(CloneFlags::CLONE_NEWNET)
                .map_err(io::Error::from)
                .and_then(|()| File::open(machine.proc().join("thread-self/ns/net")));
            let failed = namespace.is_err();
            if ready.send(namespace).is_err() || failed {
                return;
            }
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                let Ok(switch) = orders.await else { return };
                let (troubles, lags) = match make(switch, &machine, load).await {
                    Ok((troubles, lags)) => (troubles, Some(lags)),
                    Err(failure) => (vec![failure.to_string()], None),
                };
                let _ = report.send(troubles);
                if let Some(lags) = lags {
                    let failure = lags.await_partners().await;
                    log::debug!("the other side: LAGs: {failure}");
                }
                // The servers run in this runtime.
                std::future::pending::<()>().await;
            });
        };
        std::thread::Builder::new().name("other side".to_owned()).spawn(live)?;
        let gone = || io::Error::other("its thread has ended");
        let namespace = begun.await.map_err(|_| gone())??.into();
        Ok(OtherSide { namespace, order: Some(order), made: Some(made) })
    }

    /// The namespace of the other ends of wires.
    pub fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// Creates it, once; the other ends of all its ports must exist by now. Returns what could not be created, in
    /// words.
    pub async fn make(&mut self, switch: Switch) -> Vec<String> {
        let sent = self.order.take().map(|order| order.send(switch).is_ok());
        match (sent, self.made.take()) {
            (Some(true), Some(made)) => match timeout(BOUND, made).await {
                Ok(Ok(troubles)) => troubles,
                _ => vec![format!("the other side did not come up within {} s", BOUND.as_secs())],
            },
            _ => vec!["the other side is made once".to_owned()],
        }
    }
}

/// In the thread of the other side.
async fn make(mut switch: Switch, machine: &Machine, load: bool) -> Result<(Vec<String>, Lags), Failure> {
    let mut session = Session::of(machine, NetlinkFamily::Route)?;
    let mut troubles = Vec::new();
    for router in switch.take_routers() {
        troubles.extend(connect(&mut session, router, machine, load).await);
    }
    let names = Names::from(&read::inventory(&mut session).await?);
    let Drawn { plan, addresses, devices, lags } = draw(&switch);
    let mut effects = Recorder::before(Real::on(machine), Recorded::default());
    if !load {
        effects = effects.without_modules(machine);
    }
    let never = std::future::pending();
    let outcome = apply(&mut session, &mut effects, &plan, names, AfterFailure::GoOn, never).await;
    let trouble = |(number, trouble): (StepId, &Trouble)| {
        let line = plan.step(number).map_or_else(String::new, |step| script::line(&step.action));
        format!("{line}: {trouble}")
    };
    troubles.extend(outcome.failures().map(trouble));
    let names = read::inventory(&mut session).await.map(|now| Names::from(&now)).unwrap_or_default();
    for (segment, device) in
        devices.iter().filter_map(|(at, device)| Some((switch.segments.get(*at)?, device)))
    {
        serve_segment(segment, device, names.index(device).unwrap_or(0));
    }
    for (number, port) in switch.ports.values().enumerate() {
        if let (Some(lldp), Some(index)) = (&port.lldp, names.index(&far_end(number))) {
            serve(format!("port {}", lldp.port), servers::announce(lldp.clone(), index));
        }
    }
    for ip in switch.name_servers.iter().copied() {
        let zone = addresses.get(&ip).and_then(|link| names.index(link)).unwrap_or(0);
        serve(format!("name server {ip}"), servers::name_server(ip, zone, switch.names.clone()));
    }
    for (port, service) in switch.services.iter().copied() {
        serve(format!("port {port}"), servers::service(port, service));
    }
    Ok((troubles, Lags { partners: lags, session, effects }))
}

/// Makes another router, in a namespace of its own, with a wire for each of its ports.
async fn connect(session: &mut Session, router: Switch, machine: &Machine, load: bool) -> Vec<String> {
    let mut other = match OtherSide::begin(machine, load).await {
        Ok(other) => other,
        Err(error) => return vec![error.to_string()],
    };
    let mut troubles = Vec::new();
    for (number, uplink) in router.ports.keys().enumerate() {
        let far = far_end(number);
        let made = veth::add(session, uplink, None, LARGEST_MTU, (&far, other.namespace())).await;
        troubles.extend(made.err().map(|trouble| format!("{uplink}: {trouble}")));
    }
    troubles.extend(Box::pin(other.make(router)).await);
    troubles
}

/// What a segment's hosts do by themselves. `index` is that of its device.
fn serve_segment(segment: &Segment, device: &str, index: u32) {
    if let [first, ..] = segment.dhcp.as_slice() {
        let what = format!("DHCP server {}", first.server);
        serve(what, servers::dhcp(segment.dhcp.clone(), device.to_owned()));
    }
    if let Some(dhcp6) = &segment.dhcp6 {
        let what = format!("DHCPv6 server of {device}");
        serve(what, servers::dhcp6(dhcp6.clone(), device.to_owned(), index));
    }
    if let Some(advertised) = &segment.advertised {
        serve(format!("router of {device}"), servers::advertise(advertised.clone(), index));
    }
    let speakers =
        [IpAddr::is_ipv4, IpAddr::is_ipv6].map(|is| segment.hosts.iter().map(IpNet::addr).find(is));
    for ip in speakers.into_iter().flatten().filter(|_| segment.chatter) {
        serve(format!("host {ip}"), servers::chatter(ip, device.to_owned(), index));
    }
}

/// The option that keeps a bond from carrying frames while it has fewer active ports.
const LEAST_PORTS: &str = "min_links";
/// More ports than a LAG has.
const NEVER: i64 = 255;

/// LAGs that speak LACP, and whether they have a partner.
struct Lags {
    partners: BTreeMap<String, bool>,
    session: Session,
    effects: Recorder,
}

impl Lags {
    /// Lets them carry frames only while they have a partner, which Linux' bond does not require. Returns if the kernel
    /// cannot be asked.
    async fn await_partners(mut self) -> Failure {
        /// How often the kernel is asked.
        const OFTEN: Duration = Duration::from_millis(200);
        let mut live = match Live::open(self.session.machine()) {
            Ok(live) => live,
            Err(failure) => return failure,
        };
        while !self.partners.is_empty() {
            let links = match live.links().await {
                Ok(links) => links,
                Err(failure) => return failure,
            };
            let (mut drawn, mut names) = (Drawn::default(), Names::default());
            for link in &links {
                names.insert(link.index, &link.name);
                let partner = link.bond.as_ref().and_then(|bond| bond.partner);
                let has_partner = partner.is_some_and(|mac| mac.as_bytes().iter().any(|byte| *byte != 0));
                let known = self.partners.get_mut(&link.name);
                let Some(known) = known.filter(|known| **known != has_partner) else { continue };
                *known = has_partner;
                let least = OptionValue::Number(if has_partner { 0 } else { NEVER });
                let settings = Options::from([(LEAST_PORTS, least)]);
                drawn.set(&link.name, LinkChange::Options { kind: Kind::Bond, settings }, &[]);
            }
            if !drawn.plan.steps.is_empty() {
                let (session, effects) = (&mut self.session, &mut self.effects);
                let never = std::future::pending();
                apply(session, effects, &drawn.plan, names, AfterFailure::GoOn, never).await;
            }
            tokio::time::sleep(OFTEN).await;
        }
        std::future::pending().await
    }
}

/// Runs a server until the process ends.
fn serve(what: String, server: impl Future<Output = io::Result<()>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = server.await {
            log::debug!("the other side: {what}: {error}");
        }
    });
}

/// The other side as steps, the link of each address, that of each segment, and LAGs that speak LACP, none of which has a
/// partner yet.
#[derive(Debug, Default)]
struct Drawn {
    plan: Plan,
    addresses: HashMap<IpAddr, String>,
    devices: Vec<(usize, String)>,
    lags: BTreeMap<String, bool>,
}

impl Drawn {
    /// Adds a step.
    fn step(&mut self, action: Action, needs: &[StepId]) -> StepId {
        let needs = needs.to_vec();
        self.plan.steps.push(Step { action, at: Place::NONE, link: String::new(), needs });
        StepId(self.plan.steps.len() - 1)
    }

    fn set(&mut self, link: &str, change: LinkChange, needs: &[StepId]) -> StepId {
        self.step(Action::SetLink { name: link.to_owned(), change }, needs)
    }

    fn sysctl(&mut self, key: &str, value: &str) {
        self.step(Action::Sysctl { key: key.to_owned(), value: value.to_owned() }, &[]);
    }

    /// Whether a link speaks IPv6 of its own: a switch's port does not, its hosts do.
    fn speaks_ipv6(&mut self, link: &str, speaks: bool) {
        self.sysctl(&format!("net/ipv6/conf/{link}/disable_ipv6"), if speaks { "0" } else { "1" });
    }

    /// A link that is created and brought up.
    fn link(
        &mut self,
        name: &str,
        kind: Kind,
        parent: Option<&str>,
        settings: Options,
        needs: &[StepId],
    ) -> StepId {
        let new = NewLink {
            name: name.to_owned(),
            kind,
            parent: parent.map(str::to_owned),
            peer: None,
            mac: None,
            mtu: None,
            settings,
        };
        self.step(Action::AddLink(new), needs)
    }
}

type Options = BTreeMap<&'static str, OptionValue>;

fn word(text: &str) -> OptionValue {
    OptionValue::Text(text.to_owned())
}

fn draw(switch: &Switch) -> Drawn {
    let mut drawn = Drawn::default();
    // Each segment answers only for itself, at once.
    for (key, value) in [
        ("net/ipv4/conf/all/arp_ignore", "1"),
        ("net/ipv4/conf/all/arp_announce", "2"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
        ("net/ipv4/icmp_ratelimit", "0"),
        ("net/ipv6/conf/all/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_ra", "0"),
    ] {
        drawn.sysctl(key, value);
    }
    drawn.set("lo", LinkChange::Up, &[]);
    let ports: BTreeMap<&str, String> =
        switch.ports.keys().enumerate().map(|(number, nic)| (nic.as_str(), far_end(number))).few();
    let mut trunks: BTreeMap<Trunk, (String, Vec<StepId>)> = BTreeMap::new();
    for (number, (name, lag)) in switch.lags.iter().enumerate() {
        let members: Vec<&String> = lag.ports.iter().filter_map(|nic| ports.get(nic.as_str())).collect();
        let device = format!("lag{number}");
        let made = aggregate(&mut drawn, &device, lag.lacp, &members);
        trunks.insert(Trunk::Lag(name.clone()), (device, made));
    }
    for (nic, far) in &ports {
        trunks.insert(Trunk::Port((*nic).to_owned()), (far.clone(), Vec::new()));
        let port = &switch.ports[*nic];
        drawn.speaks_ipv6(far, false);
        let sized = drawn.set(far, LinkChange::Mtu(port.mtu), &[]);
        if port.up {
            drawn.set(far, LinkChange::Up, &[sized]);
        }
    }
    let mut tagged = Tagged::new();
    for (number, segment) in switch.segments.iter().enumerate() {
        let mut devices: Vec<(String, Vec<StepId>)> = Vec::new();
        for Attachment { trunk, tags } in &segment.attachments {
            let Some((device, made)) = trunks.get(trunk).cloned() else { continue };
            devices.push(with_tags(&mut drawn, &mut tagged, device, made, tags));
        }
        if let Some(uplink) = &segment.uplink {
            let up = drawn.set(uplink, LinkChange::Up, &[]);
            devices.push((uplink.clone(), vec![up]));
        }
        let (device, made) = match devices.as_slice() {
            [] => continue,
            [only] if !segment.stp => {
                drawn.speaks_ipv6(&only.0, true);
                only.clone()
            }
            several => {
                let bridge = format!("seg{number}");
                let stp = OptionValue::Number(segment.stp.into());
                let made = drawn.link(&bridge, Kind::Bridge, None, Options::from([("stp_state", stp)]), &[]);
                for (port, of_port) in several {
                    drawn.speaks_ipv6(port, false);
                    let needs: Vec<StepId> = of_port.iter().copied().chain([made]).collect();
                    drawn.set(port, LinkChange::Controller(bridge.clone()), &needs);
                }
                let made = vec![made, drawn.set(&bridge, LinkChange::Up, &[made])];
                (bridge, made)
            }
        };
        inhabit(&mut drawn, &device, &made, &segment.hosts, &segment.behind);
        drawn.devices.push((number, device));
    }
    for ip in &switch.beyond {
        drawn.step(Action::AddAddress(answering("lo", IpNet::from(*ip))), &[]);
    }
    lose_ways_back(&mut drawn, switch);
    drawn
}

/// The table in which those beyond find no route back.
const NO_WAY_BACK: u32 = 100;

/// Rules for what those beyond answer to subnets that they have no route to.
fn lose_ways_back(drawn: &mut Drawn, switch: &Switch) {
    let segments = switch.segments.iter().filter(|segment| segment.no_way_back);
    let subnets: BTreeSet<IpNet> = segments.flat_map(|segment| segment.hosts.iter().map(IpNet::trunc)).few();
    for to in subnets.iter().filter(|_| !switch.beyond.is_empty()) {
        let route = RouteEntry { kind: RouteKind::Blackhole, table: NO_WAY_BACK, ..RouteEntry::new(*to) };
        drawn.step(Action::AddRoute(route), &[]);
        for ip in switch.beyond.iter().filter(|ip| ip.is_ipv4() == to.addr().is_ipv4()) {
            drawn.step(
                Action::AddRule(RuleEntry {
                    family: Family::of(ip),
                    from: Some(IpNet::from(*ip)),
                    to: Some(*to),
                    table: NO_WAY_BACK,
                    action: RouteKind::Unicast,
                    priority: NO_WAY_BACK,
                    mark: None,
                    mask: None,
                    suppress: None,
                    tos: None,
                    protocol: Protocol::Static,
                    foreign: false,
                    selectors: Selectors::default(),
                }),
                &[],
            );
        }
    }
}

/// An address that can be bound at once.
fn answering(link: &str, net: IpNet) -> AddressEntry {
    AddressEntry { flags: vec![AddressFlag::NoDad], ..AddressEntry::new(link, net) }
}

/// A bond of wire ends. Its miimon and LACP rate are those of a switch that reacts quickly.
fn aggregate(drawn: &mut Drawn, device: &str, lacp: bool, members: &[&String]) -> Vec<StepId> {
    let mut options = Options::from([("miimon", OptionValue::Number(100))]);
    if lacp {
        options.insert("mode", word("802.3ad"));
        options.insert("lacp_rate", word("fast"));
        options.insert(LEAST_PORTS, OptionValue::Number(NEVER));
        drawn.lags.insert(device.to_owned(), false);
    } else {
        options.insert("mode", word("balance-xor"));
    }
    let made = drawn.link(device, Kind::Bond, None, options, &[]);
    for member in members {
        // A port that is up is refused; it comes up with the bond.
        drawn.set(member, LinkChange::Controller(device.to_owned()), &[made]);
    }
    drawn.speaks_ipv6(device, false);
    drawn.set(device, LinkChange::Mtu(LARGEST_MTU), &[made]);
    vec![made, drawn.set(device, LinkChange::Up, &[made])]
}

/// The device of each trunk and tag, with the steps that make it.
type Tagged = BTreeMap<(String, Tag), (String, Vec<StepId>)>;

/// The device with the frames of these tags, created if missing.
fn with_tags(
    drawn: &mut Drawn,
    tagged: &mut Tagged,
    mut device: String,
    mut made: Vec<StepId>,
    tags: &[Tag],
) -> (String, Vec<StepId>) {
    for tag in tags {
        let key = (device.clone(), *tag);
        if let Some(known) = tagged.get(&key) {
            (device, made) = known.clone();
            continue;
        }
        let name = format!("v{}.{}", tagged.len(), tag.vid);
        let mut options = Options::from([("id", OptionValue::Number(tag.vid.into()))]);
        if tag.service {
            options.insert("protocol", word("802.1ad"));
        }
        let vlan = drawn.link(&name, Kind::Vlan, Some(&device), options, &made);
        let up = drawn.set(&name, LinkChange::Up, &[vlan]);
        (device, made) = (name, vec![vlan, up]);
        tagged.insert(key, (device.clone(), made.clone()));
    }
    (device, made)
}

/// Addresses that answer, and the return routes to addresses of the machine outside their subnets.
fn inhabit(
    drawn: &mut Drawn,
    device: &str,
    made: &[StepId],
    hosts: &BTreeSet<IpNet>,
    behind: &BTreeSet<IpNet>,
) {
    for host in hosts {
        drawn.step(Action::AddAddress(answering(device, *host)), made);
        drawn.addresses.insert(host.addr(), device.to_owned());
    }
    let is_known = |net: &IpNet| hosts.iter().any(|host| host.trunc() == *net);
    for net in behind.iter().filter(|net| !is_known(net) && !needs_zone(&net.addr())) {
        let scope = if net.addr().is_ipv4() { Scope::Link } else { Scope::Global };
        let route = RouteEntry { link: Some(device.to_owned()), scope, ..RouteEntry::new(*net) };
        drawn.step(Action::AddRoute(route), made);
    }
}
