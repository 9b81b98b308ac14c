//! Whether the hand-off is effective: which servers the image's programs use for names, and which of its tools manages
//! a described link, by their own state. [`Image::observe`] asks; [`NameLookup::unused`] judges and is pure.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::files::{names, read};
use super::image::{self, Presence, services};
use super::resolv_conf::{ETC, End, ResolvConf, Resolvconf};
use super::surroundings::Surroundings;
use crate::bus::{Argument, Bus, BusError, BusMethod, Returned};
use crate::machine::Machine;
use crate::order::Order as _;
use crate::page::printable;
use crate::plan::Manager;

/// How long the tools may take to report their state.
const BOUND: Duration = Duration::from_secs(5);
const NETWORK_MANAGER: &str = "org.freedesktop.NetworkManager";
const RESOLVED: &str = "org.freedesktop.resolve1";

/// The state of the network in the image's programs and tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// How names are looked up; `None` if that was not observed.
    pub names: Option<NameLookup>,
    /// Links that a tool of the image manages.
    pub managed: Vec<Managed>,
}

/// A link that a tool manages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Managed {
    /// The link.
    pub link: String,
    /// The tool's name.
    pub tool: String,
    /// How that was seen.
    pub seen: String,
}

/// How the image's programs resolve names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NameLookup {
    /// /etc/resolv.conf.
    pub resolv_conf: ResolvConf,
    /// The `hosts` line of /etc/nsswitch.conf.
    pub hosts: Option<String>,
    /// systemd-resolved's service.
    pub resolved: Presence,
    /// systemd-resolved's own state; `None` if it does not run or could not be asked.
    pub resolved_state: Option<ResolvedDaemon>,
    /// Why the image's resolvconf(8) does not use the servers.
    pub resolvconf: Option<String>,
    /// Settings in NetworkManager's files that decide what writes resolv.conf: setting and file.
    pub network_manager: Vec<(String, String)>,
    /// NetworkManager runs.
    pub network_manager_runs: bool,
}

/// systemd-resolved's own state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResolvedDaemon {
    /// Its servers, of all links and global ones.
    pub servers: Vec<IpAddr>,
    /// `yes`, `no` or `opportunistic`.
    pub dns_over_tls: String,
    /// `yes`, `no` or `allow-downgrade`.
    pub dnssec: String,
    /// Why a query through it fails; asked only if it is strict about servers.
    pub fails: Option<String>,
}

/// Why a described name server is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unused {
    /// nsswitch.conf uses no name server: its `hosts` line.
    Nsswitch(String),
    /// /etc/resolv.conf leads to systemd-resolved, which does not run.
    ResolvedDown(Presence),
    /// There is no file at the end of the links.
    NoFile(End, String),
    /// systemd-resolved has other servers.
    ResolvedOthers(Vec<IpAddr>),
    /// systemd-resolved has the server but gets no answer with this setting.
    ResolvedStrict {
        /// `DNSOverTLS=yes` or `DNSSEC=yes`.
        setting: &'static str,
        /// What it says.
        why: String,
    },
    /// The file has others.
    Others {
        /// The file.
        path: String,
        /// Its servers.
        servers: Vec<IpAddr>,
        /// What writes it, if known.
        writer: Option<String>,
        /// The settings that take precedence, if known.
        because: Option<String>,
    },
}

impl NameLookup {
    /// Whether programs use a described name server: `None` if they do; `Err` if a resolver on this machine is in
    /// between, about which nothing is known.
    pub fn unused(&self, server: &IpAddr) -> Result<Option<Unused>, IpAddr> {
        let words: Vec<&str> = self.hosts.as_deref().unwrap_or("files dns").split_whitespace().collect();
        let asks_resolved = words.contains(&"resolve") && self.resolved == Presence::Running;
        if !words.contains(&"dns") && !words.contains(&"resolve") {
            return Ok(Some(Unused::Nsswitch(self.hosts.clone().unwrap_or_default())));
        }
        let conf = &self.resolv_conf;
        let stub = |ip: &IpAddr| matches!(ip, IpAddr::V4(ip) if matches!(ip.octets(), [127, 0, 0, 53 | 54]));
        let local = conf.servers.first().map(|s| s.ip).filter(IpAddr::is_loopback);
        if local.as_ref().is_some_and(stub)
            || asks_resolved
            || (conf.is_of_resolved() && conf.end != End::File)
        {
            return Ok(self.unused_by_resolved(server));
        }
        if !words.contains(&"dns") {
            return Ok(Some(Unused::ResolvedDown(self.resolved)));
        }
        let servers: Vec<IpAddr> = conf.servers.iter().map(|s| s.ip).collect();
        if servers.contains(server) {
            return Ok(None);
        }
        if let Some(local) = local {
            return Err(local);
        }
        if conf.end != End::File {
            return Ok(Some(Unused::NoFile(conf.end, conf.path.clone())));
        }
        let settings = || {
            let lines = self.network_manager.iter().map(|(setting, file)| format!("{setting} in {file}"));
            lines.collect::<Vec<_>>().join(", ")
        };
        let manager = self.network_manager_runs && !self.network_manager.is_empty();
        let because = self.resolvconf.clone().or_else(|| manager.then(settings));
        let writer = conf.writer.clone().filter(|writer| writer != "netapply");
        Ok(Some(Unused::Others { path: conf.path.clone(), servers, writer, because }))
    }

    fn unused_by_resolved(&self, server: &IpAddr) -> Option<Unused> {
        if self.resolved != Presence::Running {
            return Some(Unused::ResolvedDown(self.resolved));
        }
        // One that cannot be asked may have been told; there is no evidence against it.
        let state = self.resolved_state.as_ref()?;
        if !state.servers.contains(server) {
            return Some(Unused::ResolvedOthers(state.servers.clone()));
        }
        let setting = if state.dns_over_tls == "yes" { "DNSOverTLS=yes" } else { "DNSSEC=yes" };
        state.fails.clone().map(|why| Unused::ResolvedStrict { setting, why })
    }
}

impl Unused {
    /// The problem, as a continuation of the server's address, and what to do.
    pub fn words(&self) -> (String, String) {
        let list = |servers: &[IpAddr]| match servers {
            [] => "no server".to_owned(),
            servers => servers.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", "),
        };
        match self {
            Unused::Nsswitch(hosts) => (
                format!("programs ask no name server: /etc/nsswitch.conf has `hosts: {hosts}`"),
                "Add dns to that line".to_owned(),
            ),
            Unused::ResolvedDown(presence) => {
                let how = match presence {
                    Presence::Absent => "is not in the image",
                    Presence::Masked => "is masked",
                    Presence::Disabled => "is disabled",
                    Presence::Enabled | Presence::Running => "does not run",
                };
                (
                    format!("programs ask systemd-resolved, which {how}"),
                    format!("Start systemd-resolved, or make {ETC} a file"),
                )
            }
            Unused::NoFile(end, path) => {
                let what = match end {
                    End::Circle => format!("the links of {ETC} lead in a circle"),
                    End::Other => format!("{path} is not a file"),
                    End::Missing | End::File if path == ETC => format!("{ETC} does not exist"),
                    End::Missing | End::File => format!("{ETC} leads to {path}, which does not exist"),
                };
                (format!("programs ask nobody: {what}"), format!("Make {ETC} a file, and run netapply apply"))
            }
            Unused::ResolvedOthers(servers) => (
                format!("programs ask systemd-resolved, which asks {}", list(servers)),
                "See `resolvectl status`; restart systemd-resolved, and run netapply apply".to_owned(),
            ),
            Unused::ResolvedStrict { setting, why } => (
                format!("systemd-resolved gets no answer with {setting}: {why}"),
                format!("Describe a name server that can do that, or change {setting} in resolved.conf"),
            ),
            Unused::Others { path, servers, writer, because } => {
                let writer = writer.as_ref().map_or_else(String::new, |w| format!(", written by {w}"));
                let because = because.as_ref().map_or_else(String::new, |b| format!(" ({b})"));
                (
                    format!("programs ask {}: {path}{writer}{because}", list(servers)),
                    format!("Change what writes {path}, and run netapply apply"),
                )
            }
        }
    }
}

impl Image {
    /// Observes the image. `links` are the described links that no other tool should manage.
    pub async fn observe(machine: &Machine, links: &[&str]) -> Image {
        let services = services(machine);
        let runs = |unit: &str| services.get(unit) == Some(&Presence::Running);
        let network_manager_runs = image::network_manager(&services) == Presence::Running;
        let mut bus = Bus::system(machine.root(), BOUND).await.ok();
        let mut managed: Vec<Managed> = Vec::new();
        if runs("systemd-networkd.service") {
            managed.extend(links.iter().filter_map(|link| networkd(machine, link)));
        }
        if runs("wickedd.service") {
            managed.extend(links.iter().filter_map(|link| wicked(machine, link)));
        }
        if let Some(bus) = &mut bus {
            if network_manager_runs {
                for link in links {
                    managed.extend(network_manager(bus, link).await);
                }
            }
            if runs("connman.service") {
                managed.extend(connman(bus, links).await);
            }
        }
        managed.extend(clients(machine, links));
        let resolvconf = Resolvconf::observe(machine);
        let resolv_conf = ResolvConf::observe(machine);
        let resolved = services.get("systemd-resolved.service").copied().unwrap_or_default();
        let resolved_state = match (resolved, &mut bus) {
            (Presence::Running, Some(bus)) => resolved_state(bus).await.ok(),
            _ => None,
        };
        let names = NameLookup {
            hosts: hosts(machine),
            resolved,
            resolved_state,
            resolvconf: resolvconf.and_then(|program| program.obstacle("netapply", &resolv_conf)),
            network_manager: settings(machine),
            network_manager_runs,
            resolv_conf,
        };
        Image { names: Some(names), managed }
    }
}

impl Surroundings {
    /// Asks the running tools which of these links they manage now.
    pub async fn ask(&mut self, machine: &Machine, links: &[&str]) {
        if self.networkd == Presence::Running {
            let managed = links.iter().filter(|link| networkd(machine, link).is_some());
            self.managed.extend(managed.map(|link| ((*link).to_owned(), Manager::Networkd)));
        }
        if self.network_manager == Presence::Running {
            let Ok(mut bus) = Bus::system(machine.root(), BOUND).await else { return };
            for link in links {
                if network_manager(&mut bus, link).await.is_some() {
                    self.managed.insert(((*link).to_owned(), Manager::NetworkManager));
                }
            }
        }
    }
}

/// The kernel's number of a link, as in the names of other tools' files.
fn index(machine: &Machine, link: &str) -> Option<String> {
    let text = fs::read_to_string(machine.sys_net().join(link).join("ifindex")).ok()?;
    Some(text.trim().to_owned())
}

/// networkd keeps a file for each link; `networkctl` and its wait-online read the same.
fn networkd(machine: &Machine, link: &str) -> Option<Managed> {
    let text = read(machine, &format!("/run/systemd/netif/links/{}", index(machine, link)?))?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let state =
        value("ADMIN_STATE").filter(|state| !["unmanaged", "pending", "initialized"].contains(state))?;
    let file = value("NETWORK_FILE").unwrap_or("no file");
    // A link left to networkd that also has static addresses is announced to it in a file of netapply's.
    (!file.contains("netapply-")).then(|| Managed {
        link: link.to_owned(),
        tool: "systemd-networkd".to_owned(),
        seen: printable(&format!("its state is {state}, by {file}")).into_owned(),
    })
}

/// wicked keeps a file for each link (`ni_client_state_save`), with the source of the configuration by which it has
/// brought the link up; empty once it has taken it down.
fn wicked(machine: &Machine, link: &str) -> Option<Managed> {
    let text = read(machine, &format!("/run/wicked/state-{}.xml", index(machine, link)?))?;
    let (_, origin) = text.split_once("<origin>")?;
    let (origin, _) = origin.split_once("</origin>")?;
    (!origin.trim().is_empty()).then(|| Managed {
        link: link.to_owned(),
        tool: "wicked".to_owned(),
        seen: printable(&format!("it has brought it up by {}", origin.trim())).into_owned(),
    })
}

/// A device that NetworkManager manages. If it was created externally (`NM_ACTIVATION_STATE_FLAG_EXTERNAL`), it is only
/// displayed.
async fn network_manager(bus: &mut Bus, link: &str) -> Option<Managed> {
    const DEVICE: &str = "org.freedesktop.NetworkManager.Device";
    const ACTIVE: &str = "org.freedesktop.NetworkManager.Connection.Active";
    const EXTERNAL: i128 = 0x80;
    let arguments = [Argument::Text(link)];
    let method = BusMethod {
        destination: NETWORK_MANAGER,
        path: "/org/freedesktop/NetworkManager",
        interface: NETWORK_MANAGER,
        member: "GetDeviceByIpIface",
        arguments: &arguments,
    };
    let device = bus.call_once_ready(&method).await.ok()?;
    let path = device.first()?.text()?.to_owned();
    let managed = bus.property(NETWORK_MANAGER, &path, DEVICE, "Managed").await.ok()??;
    if managed.boolean() != Some(true) {
        return None;
    }
    let active = bus.property(NETWORK_MANAGER, &path, DEVICE, "ActiveConnection").await.ok()??;
    let active = active.text().unwrap_or("/").to_owned();
    let mut seen = "it would bring a connection up on it".to_owned();
    if active != "/" {
        let flags = bus.property(NETWORK_MANAGER, &active, ACTIVE, "StateFlags").await.ok()?;
        if flags.and_then(|flags| flags.number()).is_some_and(|flags| flags & EXTERNAL != 0) {
            return None;
        }
        let id = bus.property(NETWORK_MANAGER, &active, ACTIVE, "Id").await.ok()?;
        let id = id.as_ref().and_then(Returned::text).unwrap_or_default().to_owned();
        seen = printable(&format!("its connection \"{id}\" is up on it")).into_owned();
    }
    Some(Managed { link: link.to_owned(), tool: "NetworkManager".to_owned(), seen })
}

/// connman has a service for each wired link that it manages.
async fn connman(bus: &mut Bus, links: &[&str]) -> Vec<Managed> {
    let services = BusMethod {
        destination: "net.connman",
        path: "/",
        interface: "net.connman.Manager",
        member: "GetServices",
        arguments: &[],
    };
    let Ok(services) = bus.call(&services).await else { return Vec::new() };
    let services = services.first().map(Returned::list).unwrap_or_default();
    let taken = services.iter().filter_map(|service| {
        let properties = service.list().get(1)?;
        let link = properties.get("Ethernet")?.get("Interface")?.text()?;
        let state = properties.get("State")?.text()?;
        links.contains(&link).then(|| Managed {
            link: link.to_owned(),
            tool: "connman".to_owned(),
            seen: format!("its service is in state {}", printable(state)),
        })
    });
    taken.collect()
}

/// DHCP clients by their packet sockets, with which a client hears offers on a link without an address.
fn clients(machine: &Machine, links: &[&str]) -> Vec<Managed> {
    const CLIENTS: &[&str] =
        &["dhclient", "dhcpcd", "udhcpc", "wickedd-dhcp4", "wickedd-dhcp6", "pump", "busybox"];
    let sockets = fs::read_to_string(machine.at("/proc/net/packet")).unwrap_or_default();
    let of: Vec<(&str, String)> =
        links.iter().filter_map(|link| Some((*link, index(machine, link)?))).collect();
    // The columns: sk, RefCnt, Type, Proto, Iface (index), R, Rmem, User, Inode.
    let on_link = sockets.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let link = of.iter().find(|(_, index)| columns.get(4) == Some(&index.as_str()))?.0;
        Some((format!("socket:[{}]", columns.get(8)?), link))
    });
    let wanted: Vec<(String, &str)> = on_link.collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<Managed> = Vec::new();
    for process in names(machine, "/proc").filter(|name| name.bytes().all(|b| b.is_ascii_digit())) {
        let comm = fs::read_to_string(machine.at(&format!("/proc/{process}/comm"))).unwrap_or_default();
        let Some(tool) = CLIENTS.iter().find(|client| comm.trim() == **client) else { continue };
        for fd in names(machine, &format!("/proc/{process}/fd")) {
            let target = fs::read_link(machine.at(&format!("/proc/{process}/fd/{fd}")));
            let Some((_, link)) = target
                .ok()
                .and_then(|target| wanted.iter().find(|(socket, _)| target.as_os_str() == socket.as_str()))
            else {
                continue;
            };
            let client = Managed {
                link: (*link).to_owned(),
                tool: (*tool).to_owned(),
                seen: format!("process {process} listens for DHCP on it"),
            };
            if !found.iter().any(|known| (&known.link, &known.tool) == (&client.link, &client.tool)) {
                found.push(client);
            }
        }
    }
    found
}

/// The `hosts` line of nsswitch.conf(5).
fn hosts(machine: &Machine) -> Option<String> {
    let text = read(machine, "/etc/nsswitch.conf").or_else(|| read(machine, "/usr/etc/nsswitch.conf"))?;
    let line = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let hosts = line.filter_map(|line| line.strip_prefix("hosts:")).next_back()?;
    Some(printable(&hosts.split_whitespace().collect::<Vec<_>>().join(" ")).into_owned())
}

/// NetworkManager's settings of what writes resolv.conf, in files that take precedence over those in /run.
fn settings(machine: &Machine) -> Vec<(String, String)> {
    const FOLDER: &str = "/etc/NetworkManager/conf.d";
    let mut files: Vec<String> = names(machine, FOLDER).map(|name| format!("{FOLDER}/{name}")).collect();
    files.order();
    files.insert(0, "/etc/NetworkManager/NetworkManager.conf".to_owned());
    let mut found = Vec::new();
    for file in files {
        let text = read(machine, &file).unwrap_or_default();
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            } else if section == "[main]" && (line.starts_with("dns=") || line.starts_with("rc-manager=")) {
                found.push((printable(line).into_owned(), file.clone()));
            }
        }
    }
    found
}

/// systemd-resolved's own state.
async fn resolved_state(bus: &mut Bus) -> Result<ResolvedDaemon, BusError> {
    const MANAGER: &str = "org.freedesktop.resolve1.Manager";
    const PATH: &str = "/org/freedesktop/resolve1";
    let mut state = ResolvedDaemon::default();
    let servers = bus.property(RESOLVED, PATH, MANAGER, "DNS").await?;
    state.servers = servers.iter().flat_map(Returned::list).filter_map(address).collect();
    for (name, field) in [("DNSOverTLS", &mut state.dns_over_tls), ("DNSSEC", &mut state.dnssec)] {
        let value = bus.property(RESOLVED, PATH, MANAGER, name).await?;
        *field = value.as_ref().and_then(Returned::text).unwrap_or_default().to_owned();
    }
    if state.dns_over_tls == "yes" || state.dnssec == "yes" {
        // A signed zone that public servers know. The root is unsuitable: systemd-resolved answers for it itself.
        let arguments = [
            Argument::Signed(0),
            Argument::Text("in-addr.arpa"),
            Argument::Short(1),
            Argument::Short(2),
            Argument::Long(0),
        ];
        let resolve = BusMethod {
            destination: RESOLVED,
            path: PATH,
            interface: MANAGER,
            member: "ResolveRecord",
            arguments: &arguments,
        };
        // "No such record" is an answer, too.
        state.fails = match bus.call(&resolve).await {
            Err(BusError::Refused { name, .. })
                if name.contains("DnsError.NXDOMAIN") || name.ends_with("NoSuchRR") =>
            {
                None
            }
            Err(error) => Some(error.to_string()),
            Ok(_) => None,
        };
    }
    Ok(state)
}

/// A server of resolved's: link index, family, bytes.
fn address(server: &Returned) -> Option<IpAddr> {
    let bytes: Vec<u8> =
        server.list().get(2)?.list().iter().filter_map(|b| b.number()?.try_into().ok()).collect();
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(bytes.as_slice()).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}
