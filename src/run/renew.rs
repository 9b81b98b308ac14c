//! The service that keeps leases (netapply-lease.service): one program for all links. It continues with the files below
//! /run/netapply/leases, so that being killed costs nothing; it takes the lock only while it changes something; it
//! changes only what a lease may cause. It releases a lease only on request, by `netapply leases --release`.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::process::Stdio;
use std::time::Duration;

use ipnet::Ipv6Net;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::leases::{follow, keep, note};
use super::lock::Turn;
use super::pipeline::{self, Handoff};
use super::process::rest;
use super::saved::Saved;
use super::signals::Stop;
use super::{Exit, block_on, complain};
use crate::cli::Args;
use crate::format;
use crate::handoff::handed_off;
use crate::inventory::Inventory;
use crate::kernel::apply::{self, AfterFailure, apply};
use crate::kernel::effects::Real;
use crate::kernel::monitor::{Group, Monitor};
use crate::kernel::names::Names;
use crate::kernel::read;
use crate::kernel::session::{Failure, NetlinkFamily, Session};
use crate::lease::ask::{self, ClientHas, Clients};
use crate::lease::dhcp4::terms::Terms;
use crate::lease::dhcp6::machine::Lease6;
use crate::lease::entry::{self, LeaseEntry};
use crate::lease::ra::machine::Router;
use crate::logging::{self, Prefix};
use crate::machine::clock::Alarm;
use crate::machine::{Machine, files};
use crate::order::Order as _;
use crate::plan::script;
use crate::report::places::Places;
use crate::report::systemd;

/// How long releasing a lease may take.
const RELEASE_BOUND: Duration = Duration::from_secs(5);
/// When a failed change is tried again; each further attempt waits twice as long.
const AGAIN: Duration = Duration::from_secs(30);
/// The longest of these waits.
const LONGEST_AGAIN: Duration = Duration::from_secs(1800);
/// How long a verification after a change may wait for the network.
const VERIFY_WAIT: &str = "--wait=30";
/// The longest order that is read.
const LONGEST_ORDER: usize = 64;

/// An order for the service.
enum Order {
    /// The files were changed: read them again.
    Take,
    /// Release this link's lease.
    Release(String),
}

/// `netapply leases --renew`.
pub(super) fn renew(args: &Args) -> Exit {
    let prefix = if logging::to_journal() { Prefix::Priority } else { Prefix::Name };
    logging::start(args.log.unwrap_or(log::LevelFilter::Info), prefix, &[]);
    let machine = Machine::default();
    let served = block_on(async {
        let mut stop = Stop::new();
        Service::open(&machine)?.serve(&mut stop).await
    });
    let exit = match served {
        Ok(Ok(())) => Exit::Success,
        Ok(Err(failure)) => {
            complain(&failure);
            Exit::Refused
        }
        Err(error) => not_set_up(&error),
    };
    logging::finish();
    exit
}

type Adjusting<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

struct Service<'a> {
    machine: &'a Machine,
    clients: Clients,
    entries: BTreeMap<String, LeaseEntry>,
    listener: UnixListener,
    /// Clients that subscribed to changes.
    listeners: Vec<OwnedWriteHalf>,
    orders: (UnboundedSender<Order>, UnboundedReceiver<Order>),
    /// A lease's terms have changed since the last report.
    other_terms: bool,
}

impl<'a> Service<'a> {
    fn open(machine: &'a Machine) -> Result<Service<'a>, String> {
        let path = machine.leases_socket();
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        files::make_folder(&machine.leases()).map_err(failed)?;
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            return Err("another netapply renews the leases already".to_owned());
        }
        files::remove(&path).map_err(failed)?;
        let listener = UnixListener::bind(&path).map_err(failed)?;
        let (clients, listeners, orders) = (Clients::default(), Vec::new(), unbounded_channel());
        let entries = entry::all(machine);
        Ok(Service { machine, clients, entries, listener, listeners, orders, other_terms: false })
    }

    async fn serve(mut self, stop: &mut Stop) -> Result<(), String> {
        let cannot = |failure: Failure| format!("the kernel's network state cannot be read: {failure}");
        let mut links = Monitor::open(&[Group::Link, Group::Ipv6Address]).map_err(cannot)?;
        self.follow().await.map_err(cannot)?;
        systemd::notify("READY=1");
        self.status();
        // What the leases of an earlier service or of the initramfs require may still have to be done.
        let mut due = true;
        let mut adjusting: Option<Adjusting<'_>> = None;
        let mut retry: Option<Duration> = None;
        let mut failures = 0_u32;
        // The verification of the last change.
        let mut verifying: Option<Child> = None;
        let watchdog = watchdog();
        let (mut alive, mut alarm) = (ask::now(), Alarm::default());
        loop {
            if due && adjusting.is_none() && retry.is_none_or(|at| at <= ask::now()) {
                (due, retry) = (false, None);
                adjusting = Some(Box::pin(adjust(self.machine)));
            }
            if adjusting.is_none() {
                // The next event may be hours away, and most of the code is for reading, planning and applying.
                rest();
            }
            let adjusted = async {
                match &mut adjusting {
                    Some(adjusting) => adjusting.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                done = adjusted => {
                    adjusting = None;
                    if done {
                        failures = 0;
                        self.clients.removed();
                        if std::mem::take(&mut self.other_terms) {
                            verifying = verified_again(self.machine);
                        }
                    } else {
                        let wait = (AGAIN * (1 << failures.min(6))).min(LONGEST_AGAIN);
                        (due, retry) = (true, Some(ask::now() + wait));
                        failures += 1;
                    }
                }
                news = self.clients.next() => {
                    let Some(entry) = self.entries.get_mut(&news.link) else { continue };
                    let (before, awaited) = (terms(entry), entry.is_awaited(ask::now()));
                    let prefixes = prefixes(entry);
                    note(entry, &news);
                    keep(self.machine, entry);
                    self.other_terms |= before != terms(entry);
                    if !news.changed && awaited != entry.is_awaited(ask::now()) {
                        self.tell().await;
                        continue;
                    }
                    if news.changed {
                        (due, retry, failures) = (true, None, 0);
                        // Routers may say that there is DHCPv6.
                        if matches!(news.heard, ClientHas::Routers(..)) {
                            if !prefixes.is_empty() && prefixes != self::prefixes(entry) {
                                self.clients.other_prefixes(&news.link);
                            }
                            self.follow().await.map_err(cannot)?;
                        }
                        self.tell().await;
                        self.status();
                    }
                }
                changed = links.changed_or_duplicate() => {
                    for (index, address) in changed.map_err(cannot)? {
                        self.clients.duplicate_at(index, address);
                    }
                    self.follow().await.map_err(cannot)?;
                }
                accepted = self.listener.accept() => if let Ok((stream, _)) = accepted {
                    self.welcome(stream);
                },
                order = self.orders.1.recv() => match order {
                    Some(Order::Take) => {
                        self.entries = entry::all(self.machine);
                        self.follow().await.map_err(cannot)?;
                        self.tell().await;
                        self.status();
                    }
                    Some(Order::Release(link)) => self.clients.release(&link),
                    None => {}
                },
                () = ended(&mut verifying) => verifying = None,
                () = alarm.at([retry, watchdog.map(|interval| alive + interval)].into_iter().flatten().min()) => {
                    if watchdog.is_some_and(|interval| alive + interval <= ask::now()) {
                        alive = ask::now();
                        systemd::notify("WATCHDOG=1");
                    }
                }
                () = &mut *stop => break,
            }
        }
        let _ = files::remove(&self.machine.leases_socket());
        Ok(())
    }

    /// Has a client on each link that should be leased.
    async fn follow(&mut self) -> Result<(), Failure> {
        let inventory = observed().await?;
        follow(&mut self.clients, &self.entries, &inventory);
        Ok(())
    }

    /// Tells all subscribers that something has changed.
    async fn tell(&mut self) {
        let mut kept = Vec::new();
        for mut listener in std::mem::take(&mut self.listeners) {
            if timeout(Duration::from_millis(100), listener.write_all(b"changed\n"))
                .await
                .is_ok_and(|w| w.is_ok())
            {
                kept.push(listener);
            }
        }
        self.listeners = kept;
    }

    fn welcome(&mut self, stream: UnixStream) {
        let (read, write) = stream.into_split();
        self.listeners.push(write);
        tokio::spawn(orders(read, self.orders.0.clone()));
    }

    fn status(&self) {
        let leased = self.entries.values().filter(|entry| !entry.lacks(ask::now())).count();
        systemd::status(&format!("{leased} of {} links have a lease", self.entries.len()));
    }
}

/// Reads orders, one per line, until the connection is closed.
async fn orders(read: OwnedReadHalf, tell: UnboundedSender<Order>) {
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let order = match line.split_once(' ') {
            _ if line.len() > LONGEST_ORDER => return,
            None if line == "take" => Order::Take,
            Some(("release", link)) => Order::Release(link.to_owned()),
            _ => return,
        };
        if tell.send(order).is_err() {
            return;
        }
    }
}

/// Updates the report after a change: runs `netapply verify` without output. Not if nothing was verified before, and
/// not in an initramfs, where a verification writes to the consoles.
fn verified_again(machine: &Machine) -> Option<Child> {
    let last: serde_json::Value = Places(machine).last().ok()?;
    let verified = matches!(last["verdict"].as_str(), Some("works" | "unverified" | "faults"));
    if !verified || machine.initrd_release().exists() {
        return None;
    }
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.args(["verify", VERIFY_WAIT]).env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().map_err(|error| log::warn!("the report cannot be renewed: {error}")).ok()
}

/// What leases and routers give, whenever they end.
fn terms(entry: &LeaseEntry) -> (Option<Terms>, Option<Lease6>, Vec<Router>) {
    let six = entry.dhcp6.as_ref().and_then(|six| six.lease.as_ref());
    let routers = entry.routers.iter().flat_map(|ra| &ra.routers).map(Router::without_times);
    (entry.lease.as_ref().map(|lease| lease.terms.clone()), six.map(Lease6::without_times), routers.collect())
}

/// The prefixes that routers advertise on a link.
fn prefixes(entry: &LeaseEntry) -> Vec<Ipv6Net> {
    let routers = entry.routers.iter().flat_map(|ra| &ra.routers);
    let mut prefixes: Vec<Ipv6Net> =
        routers.flat_map(|router| router.prefixes.iter().map(|(net, ..)| *net)).collect();
    prefixes.order();
    prefixes.dedup();
    prefixes
}

async fn ended(child: &mut Option<Child>) {
    match child {
        Some(child) => drop(child.wait().await),
        None => std::future::pending().await,
    }
}

/// Half of systemd's watchdog interval (sd_watchdog_enabled(3)).
fn watchdog() -> Option<Duration> {
    let microseconds = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    Some(Duration::from_micros(microseconds) / 2)
}

async fn observed() -> Result<Inventory, Failure> {
    read::inventory(&mut Session::open(NetlinkFamily::Route)?).await
}

/// Applies the leases to the links. False if that has to be tried again.
async fn adjust(machine: &Machine) -> bool {
    let Some(saved) = Saved::load(machine) else { return true };
    let never = &mut std::future::pending();
    let Ok(_turn) = Turn::to_adjust(machine, never).await else { return false };
    let parsed = format::parse(saved.documents);
    let request = pipeline::PlanRequest {
        handoff: handed_off(machine).then_some(Handoff { hostname: saved.hostname.as_deref() }),
        leased_only: true,
        ..pipeline::PlanRequest::of_network(machine, &parsed.desired, &[])
    };
    let adjusted = async {
        let mut session = Session::open(NetlinkFamily::Route)?;
        let planned = pipeline::plan(&request, &mut session).await?;
        let names = Names::from(&planned.inventory);
        let mut effects = Real::on(machine);
        let plan = planned.plan;
        let outcome =
            apply(&mut session, &mut effects, &plan, names, AfterFailure::GoOn, std::future::pending()).await;
        for (number, trouble) in outcome.failures() {
            let step = plan.step(number).map_or_else(String::new, |step| script::brief(&step.action));
            log::warn!("{step}: {trouble}");
        }
        // Interrupted or lost steps are tried again; those that other tools or the host name refused are not, since
        // they would be refused again.
        let again = outcome.unsure || outcome.cost(&plan) == Some(apply::Cost::Network);
        Ok::<bool, Failure>(!again)
    };
    adjusted.await.unwrap_or_else(|failure| {
        log::warn!("{failure}");
        false
    })
}

/// Releases leases if the service does not run.
async fn release_here(machine: &Machine, links: &[String]) -> bool {
    let Ok(inventory) = observed().await else { return false };
    let mut entries = entry::all(machine);
    entries.retain(|name, _| links.contains(name));
    let mut clients = Clients::default();
    follow(&mut clients, &entries, &inventory);
    links.iter().for_each(|link| clients.release(link));
    let mut end = pin!(sleep(RELEASE_BOUND));
    let is_released = LeaseEntry::is_released;
    if !follow_until(&mut clients, &mut entries, machine, end.as_mut(), is_released).await {
        return false;
    }
    let adjusted = adjust(machine).await;
    // A DHCPv6 server is told when the address has gone from the link.
    clients.removed();
    let is_told = |entry: &LeaseEntry| !entry.releases6();
    follow_until(&mut clients, &mut entries, machine, end.as_mut(), is_told).await && adjusted
}

/// Writes what the clients learn, until all links are in that state. False if the end comes first.
async fn follow_until(
    clients: &mut Clients,
    entries: &mut BTreeMap<String, LeaseEntry>,
    machine: &Machine,
    mut end: Pin<&mut Sleep>,
    is_there: fn(&LeaseEntry) -> bool,
) -> bool {
    while !entries.values().all(is_there) {
        tokio::select! {
            news = clients.next() => {
                let Some(entry) = entries.get_mut(&news.link) else { continue };
                note(entry, &news);
                keep(machine, entry);
            }
            () = &mut end => return false,
        }
    }
    true
}

/// `netapply leases --release`: by the service if it runs, else here.
pub(super) fn release(args: &Args) -> Exit {
    let machine = Machine::default();
    let known = entry::all(&machine);
    if let Some(unknown) = args.sources.iter().find(|link| !known.contains_key(*link)) {
        complain(&format!("netapply has no lease for {unknown}"));
        return Exit::Usage;
    }
    let released = block_on(async {
        let service = || UnixStream::connect(machine.leases_socket());
        if let Ok(stream) = service().await {
            return by_service(stream, &args.sources, &machine).await;
        }
        let released = release_here(&machine, &args.sources).await;
        // A service that has begun meanwhile goes on with the leases that it found.
        match service().await {
            Ok(stream) => by_service(stream, &args.sources, &machine).await,
            Err(_) => released,
        }
    });
    match released {
        Ok(true) => Exit::Success,
        Ok(false) => {
            complain("the lease was not given up in time");
            Exit::Incomplete
        }
        Err(error) => not_set_up(&error),
    }
}

/// There is no runtime to work in.
fn not_set_up(error: &io::Error) -> Exit {
    complain(&format!("cannot start: {error}"));
    Exit::Refused
}

async fn by_service(stream: UnixStream, links: &[String], machine: &Machine) -> bool {
    let mut stream = BufReader::new(stream);
    for link in links {
        if stream.write_all(format!("release {link}\n").as_bytes()).await.is_err() {
            return false;
        }
    }
    let end = Instant::now() + RELEASE_BOUND;
    loop {
        let entries = entry::all(machine);
        if links.iter().all(|link| entries.get(link).is_some_and(LeaseEntry::is_released)) {
            return true;
        }
        let mut line = String::new();
        let left = end.saturating_duration_since(Instant::now());
        if !matches!(timeout(left, stream.read_line(&mut line)).await, Ok(Ok(1..))) {
            return false;
        }
    }
}
