//! Creates the other side of a [`Switch`] in a network namespace of its own, in a thread in that namespace: the other
//! ends of the stand-ins' wires, LAGs, VLANs, addresses and servers. Entry: [`OtherSide::begin`], then
//! [`OtherSide::make`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::servers;
use super::switch::{Attachment, LARGEST_MTU, Switch, Tag, Trunk};
use crate::inventory::{AddressEntry, AddressFlag, RouteEntry};
use crate::kernel::apply::{AfterFailure, apply};
use crate::kernel::effects::{Real, Recorded, Recorder};
use crate::kernel::names::Names;
use crate::kernel::read;
use crate::kernel::session::{NetlinkFamily, Session};
use crate::kernel::trouble::Trouble;
use crate::machine::Machine;
use crate::model::attribute::OptionValue;
use crate::model::{Kind, Place, Scope, needs_zone};
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
                let troubles = make(&switch, &machine, load).await;
                let _ = report.send(troubles);
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
async fn make(switch: &Switch, machine: &Machine, load: bool) -> Vec<String> {
    let mut session = match Session::of(machine, NetlinkFamily::Route) {
        Ok(session) => session,
        Err(failure) => return vec![failure.to_string()],
    };
    let names = match read::inventory(&mut session).await {
        Ok(inventory) => Names::from(&inventory),
        Err(failure) => return vec![failure.to_string()],
    };
    let Drawn { plan, addresses, devices } = draw(switch);
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
    let names = read::inventory(&mut session).await.map(|now| Names::from(&now)).unwrap_or_default();
    for (segment, device) in
        devices.iter().filter_map(|(at, device)| Some((switch.segments.get(*at)?, device)))
    {
        if let Some(dhcp) = &segment.dhcp {
            serve(format!("DHCP server {}", dhcp.server), servers::dhcp(dhcp.clone(), device.clone()));
        }
        let speakers =
            [IpAddr::is_ipv4, IpAddr::is_ipv6].map(|is| segment.hosts.iter().map(IpNet::addr).find(is));
        for ip in speakers.into_iter().flatten().filter(|_| segment.chatter) {
            let index = names.index(device).unwrap_or(0);
            serve(format!("host {ip}"), servers::chatter(ip, device.clone(), index));
        }
    }
    for (number, port) in switch.ports.values().enumerate() {
        if let (Some(lldp), Some(index)) = (&port.lldp, names.index(&far_end(number))) {
            serve(format!("port {}", lldp.port), servers::announce(lldp.clone(), index));
        }
    }
    for ip in switch.name_servers.iter().copied() {
        let zone = addresses.get(&ip).and_then(|link| names.index(link)).unwrap_or(0);
        serve(format!("name server {ip}"), servers::name_server(ip, zone));
    }
    for (port, service) in switch.services.iter().copied() {
        serve(format!("port {port}"), servers::service(port, service));
    }
    outcome.failures().map(trouble).collect()
}

/// Runs a server until the process ends.
fn serve(what: String, server: impl Future<Output = io::Result<()>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = server.await {
            log::debug!("the other side: {what}: {error}");
        }
    });
}

/// The other side as steps, the link of each address, and that of each segment.
#[derive(Debug, Default)]
struct Drawn {
    plan: Plan,
    addresses: HashMap<IpAddr, String>,
    devices: Vec<(usize, String)>,
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
        switch.ports.keys().enumerate().map(|(number, nic)| (nic.as_str(), far_end(number))).collect();
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
        let (device, made) = match devices.as_slice() {
            [] => continue,
            [only] if !segment.stp => only.clone(),
            several => {
                let bridge = format!("seg{number}");
                let stp = OptionValue::Number(segment.stp.into());
                let made = drawn.link(&bridge, Kind::Bridge, None, Options::from([("stp_state", stp)]), &[]);
                for (port, of_port) in several {
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
    drawn
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
    } else {
        options.insert("mode", word("balance-xor"));
    }
    let made = drawn.link(device, Kind::Bond, None, options, &[]);
    for member in members {
        // A port that is up is refused; it comes up with the bond.
        drawn.set(member, LinkChange::Controller(device.to_owned()), &[made]);
    }
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
