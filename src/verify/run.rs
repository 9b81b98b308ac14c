//! The loop of a verification: handles events and answers, judges the checks anew, starts the probes that are called
//! for, and ends as soon as nothing is open. Decides nothing itself: see `checks`, `due` and `cause`.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::pin;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::cause;
use super::checks::{Check, Outcome, judge, overdue};
use super::evidence::{Answer, Evidence, Question, Routing, TargetEvidence};
use super::input::Input;
use super::ledger::Ledger;
use super::lookups::View;
use super::lookups::{self, Goal, Standing};
use super::probe::{self, Fact, Facts, LISTEN, Probe};
use super::record::{note, record};
use super::subject::Subject;
use super::{Review, Verification, due, follow, words};
use crate::diagnostic::{Code, Severity};
use crate::kernel::firewall;
use crate::kernel::live::{Live, Snapshot};
use crate::kernel::lookup::{Decision, Query};
use crate::kernel::monitor::{Event, Group, Monitor};
use crate::kernel::names::Names;
use crate::kernel::neighbour::{self, Neighbour, NeighbourState};
use crate::kernel::read::link_settings;
use crate::model::MacAddr;

/// When the first line about waiting is due, and how often another. A working network needs three seconds.
const FIRST_PROGRESS: Duration = Duration::from_secs(4);
const PROGRESS: Duration = Duration::from_secs(5);
/// The kernel's LACP state machines run every 100 ms: how long after a partner's frame the state is read again.
const LACP_TICK: Duration = Duration::from_millis(200);
/// After how long a neighbour that the kernel has given up on is requested again.
const AGAIN: Duration = Duration::from_secs(1);
/// `RTM_NEWNEIGH` to `RTM_GETNEIGH`.
const NEIGHBOURS: std::ops::RangeInclusive<u16> = 28..=30;
/// The state is not read more often than this, however many events come.
const READ: Duration = Duration::from_millis(50);
/// How long to look for the owner of a duplicate address.
const OWNER: Duration = Duration::from_secs(5);
/// After how long an observation is repeated before the verdict.
const FRESH: Duration = Duration::from_secs(3);
/// How old the last comparison of machine and description may be at the end. Name servers of a lease are written after its
/// address is there, and nothing announces that.
const LAST_LOOK: Duration = Duration::from_millis(500);
/// Facts that come within this time are judged together.
const COALESCE: Duration = Duration::from_millis(5);
/// How many facts are taken before the clock is read again.
const FACTS: usize = 4096;

/// See [`super::verify`].
pub(super) async fn run(
    input: &Input,
    deadline: Duration,
    mut review: impl AsyncFnMut() -> Review,
    progress: &mut dyn FnMut(&str),
    stop: impl Future<Output = ()>,
) -> Verification {
    let (facts, mut inbox) = unbounded_channel();
    let index = View::new(input);
    let mut run = Run::new(&index, facts);
    let mut stop = pin!(stop);
    run.open();
    run.watch();
    run.read().await;
    run.review(&mut review).await;
    let mut progress_at = FIRST_PROGRESS;
    let mut end = End::Known;
    loop {
        let now = run.start.elapsed();
        let mut checks = run.judge(now);
        run.ask(&checks, now).await;
        if run.look_up_names().await {
            checks = run.judge(run.start.elapsed());
        }
        if now >= deadline {
            break;
        }
        let Some(until) = run.until(&checks, now) else {
            // All is known. Early answers may be outdated: they are asked for once more.
            if run.confirm(&mut review, deadline).await {
                break;
            }
            continue;
        };
        if !run.reported && checks.iter().all(|check| check.outcome != Outcome::Waiting) {
            // Only the switch's announcement is still waited for: a person may act on the causes meanwhile.
            run.reported = true;
            run.read_settings(&checks);
            let causes = cause::explain(&index, &run.evidence, &checks);
            for cause in causes.iter().filter(|cause| cause.severity == Severity::Error) {
                progress(&format!("fault: {} ({}) [{}]", cause.message, cause.certainty, cause.code));
            }
            progress_at = now;
        }
        if now >= progress_at {
            progress_at = now + PROGRESS;
            let listening = run.listening_ends(now);
            let line = words::waiting(&checks, now, deadline, listening, &run.ledger, &index, &run.evidence);
            if let Some(line) = line {
                progress(&line);
            }
        }
        let until = until.min(deadline).min(progress_at).max(now + Duration::from_millis(1));
        tokio::select! {
            Some(fact) = inbox.recv() => {
                // Others follow at once, and each judgement goes through all checks.
                sleep(COALESCE).await;
                run.take(fact, &mut inbox);
            }
            () = sleep_until(run.start + until) => {}
            () = &mut stop => {
                end = End::Interrupted;
                break;
            }
        }
        if run.read_at.is_some_and(|at| run.start.elapsed() >= at) {
            run.read().await;
            // Remaining steps may have become possible: a route that waited for its address, say.
            if run.may_be_done() && std::mem::take(&mut run.changed) {
                run.review(&mut review).await;
            }
        }
    }
    if end == End::Known && (run.changed || run.start.elapsed().saturating_sub(run.reviewed) >= LAST_LOOK) {
        run.read().await;
        run.review(&mut review).await;
    }
    run.finish(end)
}

/// Whether a step applies it at once, if steps remain: then it need not be waited for.
fn is_undone(evidence: &Evidence, check: &Check) -> bool {
    let made = match check.code {
        Code::CheckUp | Code::CheckMtu | Code::CheckMember | Code::CheckMode => true,
        Code::CheckAddress => {
            check.subject.ip().is_some_and(|ip| evidence.address(&check.link, &ip).is_none())
        }
        _ => false,
    };
    made && !evidence.remaining.is_empty()
}

/// How a verification ends.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum End {
    /// All is known, or the time is over.
    Known,
    /// A signal came.
    Interrupted,
    /// Nothing was to be asked of the network.
    Glance,
}

/// See [`super::glance`].
pub(super) fn glance(input: &Input, review: Review, moment: &Snapshot) -> Verification {
    let (facts, _) = unbounded_channel();
    let index = View::new(input);
    let mut run = Run::new(&index, facts);
    let mut links = moment.links();
    follow::names(&index, &mut run.followed, &mut links);
    run.evidence.links = links.into();
    run.evidence.addresses = moment.addresses.clone().into();
    run.note_carriers();
    run.take_review(review);
    run.finish(End::Glance)
}

/// A neighbour that the kernel has been asked to resolve.
struct Asked {
    /// When, since the start.
    at: Duration,
    /// The kernel has given up since.
    failed: bool,
}

struct Run<'a> {
    index: &'a View<'a>,
    evidence: Evidence,
    ledger: Ledger,
    start: Instant,
    facts: Facts,
    probes: JoinSet<()>,
    started: HashSet<Probe>,
    /// When each listener was started, since the start.
    listening: Vec<(String, Duration)>,
    /// Neighbours that the kernel has been asked to resolve.
    asked: HashMap<(String, IpAddr), Asked>,
    /// Names of the links as they were last read.
    names: Names,
    live: Option<Live>,
    /// When the kernel's state is to be read again, since the start.
    read_at: Option<Duration>,
    /// Links or addresses have changed since the last review.
    changed: bool,
    /// When machine and description were last compared, since the start.
    reviewed: Duration,
    /// Early answers have been asked for again.
    asked_again: bool,
    /// The causes were reported while the switch was still waited for.
    reported: bool,
    /// The described NICs by their index: their names may change.
    followed: HashMap<u32, String>,
    /// The number of carrier changes that each link had when first seen, by index.
    carrier_changes: HashMap<u32, u32>,
}

impl<'a> Run<'a> {
    fn new(index: &'a View<'a>, facts: Facts) -> Self {
        let mut evidence = Evidence::default();
        let target = |t: &super::input::Target| TargetEvidence {
            target: t.text.clone(),
            addresses: t.ip().into_iter().collect(),
            ..TargetEvidence::default()
        };
        evidence.targets = index.targets.iter().map(target).collect();
        Run {
            index,
            evidence,
            ledger: Ledger::default(),
            start: Instant::now(),
            facts,
            probes: JoinSet::new(),
            started: HashSet::default(),
            listening: Vec::new(),
            asked: HashMap::default(),
            names: Names::default(),
            live: None,
            read_at: None,
            changed: false,
            reviewed: Duration::ZERO,
            asked_again: false,
            reported: false,
            followed: HashMap::default(),
            carrier_changes: HashMap::default(),
        }
    }

    /// Opens the monitor, before anything is read, and passes on its notifications.
    fn watch(&mut self) {
        let groups = [
            Group::Link,
            Group::Neighbour,
            Group::Ipv4Address,
            Group::Ipv6Address,
            Group::Ipv4Route,
            Group::Ipv6Route,
            Group::Ipv4Rule,
            Group::Ipv6Rule,
        ];
        let mut monitor = match Monitor::open(&groups) {
            Ok(monitor) => monitor,
            Err(failure) => {
                return self.evidence.unreadable.push(format!("the kernel's notifications: {failure}"));
            }
        };
        let facts = self.facts.clone();
        self.probes.spawn(async move {
            loop {
                let fact = match monitor.next().await {
                    Ok(Event::Message { kind, payload }) if NEIGHBOURS.contains(&kind) => {
                        Fact::Neighbour(kind, payload)
                    }
                    Ok(Event::Message { .. }) => Fact::Changed,
                    Ok(Event::Resync) => Fact::Changed,
                    Err(failure) => {
                        let _ =
                            facts.send(Fact::Unreadable(format!("the kernel's notifications: {failure}")));
                        return;
                    }
                };
                if facts.send(fact).is_err() {
                    return;
                }
            }
        });
    }

    fn open(&mut self) {
        match Live::open(&self.index.machine) {
            Ok(live) => self.live = Some(live),
            Err(failure) => self.evidence.unreadable.push(format!("the kernel's state: {failure}")),
        }
    }

    /// Reads links, addresses and the neighbours in question.
    async fn read(&mut self) {
        self.read_at = None;
        let Some(live) = &mut self.live else { return };
        match live.links().await {
            Ok(mut links) => {
                follow::names(self.index, &mut self.followed, &mut links);
                self.evidence.links = links.into();
            }
            Err(failure) => {
                self.evidence.links = Vec::new().into();
                note(&mut self.evidence.unreadable, format!("links: {failure}"));
            }
        }
        match live.addresses().await {
            Ok(addresses) => self.evidence.addresses = addresses.into(),
            Err(failure) => {
                self.evidence.links = Vec::new().into();
                note(&mut self.evidence.unreadable, format!("addresses: {failure}"));
            }
        }
        self.names = Names::default();
        self.evidence.links.iter().for_each(|link| self.names.insert(link.index, &link.name));
        self.note_carriers();
    }

    /// Since when each link has had carrier, as far as observed.
    fn note_carriers(&mut self) {
        let now = self.start.elapsed().as_millis() as u64;
        for link in &self.evidence.links {
            if link.carrier {
                self.evidence.carrier_ms.entry(link.name.clone()).or_insert(now);
            }
            let first = *self.carrier_changes.entry(link.index).or_insert(link.carrier_changes);
            let changes = link.carrier_changes.saturating_sub(first);
            if changes > 0 {
                self.evidence.flaps.insert(link.name.clone(), changes);
            }
        }
    }

    fn take_review(&mut self, review: Review) {
        self.evidence.remaining = review.remaining;
        self.evidence.strangers = review.strangers;
        self.evidence.image = review.image;
        self.evidence.policy = review.policy;
        self.evidence.unreviewed = review.failure;
    }

    /// Compares machine and description anew, and asks the kernel anew where packets go.
    async fn review(&mut self, review: &mut impl AsyncFnMut() -> Review) {
        self.changed = false;
        self.reviewed = self.start.elapsed();
        self.take_review(review().await);
        self.evidence.filters = firewall::filters(&self.index.machine).await;
        let questions: Vec<Question> = self.index.goals().iter().map(|goal| goal.question.clone()).collect();
        self.look_up(questions.into_iter().chain(self.questions_of_names())).await;
    }

    /// Whether something is not as described that a change of the machine may have caused.
    fn may_be_done(&self) -> bool {
        let differs = |goal: &Goal| {
            matches!(goal.standing(self.index, &self.evidence), Standing::Differs(_) | Standing::Failed(_))
        };
        !self.evidence.remaining.is_empty() || self.index.goals().iter().any(differs)
    }

    /// The lookups for targets that are given by name.
    fn questions_of_names(&self) -> Vec<Question> {
        let targets = self.index.targets.iter().zip(&self.evidence.targets);
        let addresses =
            targets.flat_map(|(target, known)| known.addresses.iter().map(|ip| (target.flow(), *ip)));
        let far = addresses.filter(|(_, ip)| !lookups::is_link_local(ip));
        far.map(|(flow, ip)| Question { flow: Some(flow), ..Question::to(ip) }).collect()
    }

    /// Looks up addresses of names that were not known at the last review; returns whether there were any.
    async fn look_up_names(&mut self) -> bool {
        if self.evidence.lookups.is_empty() {
            return false;
        }
        let mut new = self.questions_of_names();
        new.retain(|question| self.evidence.lookup(question).is_none());
        let some = !new.is_empty();
        self.look_up(new).await;
        some
    }

    async fn look_up(&mut self, questions: impl IntoIterator<Item = Question>) {
        let Some(live) = &mut self.live else { return };
        for question in questions {
            let Question { to, from, link, mark, flow } = &question;
            let protocol = flow.map(|flow| flow.protocol(to.is_ipv4()));
            let query = Query { to: *to, from: *from, link: link.as_deref(), mark: *mark, protocol };
            let found = match live.lookup(&self.names, &query).await {
                Ok(Decision::Route(route)) => {
                    Routing::Route(lookups::lasting((*route).into(), &question, &self.evidence))
                }
                Ok(Decision::NoRoute) => Routing::NoRoute,
                Ok(Decision::Forbidden(kind)) => Routing::Forbidden(kind),
                Ok(Decision::NotOurSource) => Routing::NotOurSource,
                Err(failure) => Routing::Failed(failure.to_string()),
            };
            self.evidence.take_lookup(question, found);
        }
    }

    /// The last look before the end: reads the kernel's state and its lookups, and asks again for what answered a while
    /// ago. Returns whether nothing is open after it.
    async fn confirm(&mut self, review: &mut impl AsyncFnMut() -> Review, deadline: Duration) -> bool {
        let now = self.start.elapsed();
        if self.changed || now.saturating_sub(self.reviewed) >= LAST_LOOK {
            self.read().await;
            self.review(review).await;
        }
        if !std::mem::replace(&mut self.asked_again, true) && self.ask_again(now, deadline) {
            return false;
        }
        let now = self.start.elapsed();
        let checks = self.judge(now);
        self.until(&checks, now).is_none()
    }

    /// Asks again for what answered a while ago: it may be gone. Returns whether there was any.
    fn ask_again(&mut self, now: Duration, deadline: Duration) -> bool {
        let is_old = |ms: Option<u64>| {
            let then = Duration::from_millis(ms.unwrap_or(0));
            now.saturating_sub(then) >= FRESH && now + FRESH < deadline
        };
        let mut some = false;
        for gateway in self.evidence.gateways.iter_mut().filter(|g| g.answers() && is_old(g.heard_ms)) {
            let Some(ip) = gateway.ip else { continue };
            (some, gateway.again) = (true, true);
            self.asked.remove(&(gateway.link.clone(), ip));
        }
        let good = |t: &TargetEvidence| t.answer.as_ref().is_some_and(Answer::is_good);
        for target in self.evidence.targets.iter_mut().filter(|t| good(t) && is_old(t.answered_ms)) {
            (some, target.answer, target.finished) = (true, None, false);
            let its =
                |probe: &Probe| matches!(probe, Probe::Target { target: t, .. } if t.text == target.target);
            self.started.retain(|probe| !its(probe));
        }
        for resolver in
            self.evidence.resolvers.iter_mut().filter(|r| r.rtt_us.is_some() && is_old(r.answered_ms))
        {
            (some, resolver.rtt_us) = (true, None);
            let server = resolver.server;
            self.started.retain(|probe| !matches!(probe, Probe::Resolver { server: s, .. } if *s == server));
        }
        some
    }

    /// Reads the settings of links with a failure, and of those that lead to a host that does not answer.
    fn read_settings(&mut self, checks: &[Check]) {
        let failed = checks.iter().filter(|check| check.is_fault());
        let links: HashSet<String> = failed
            .filter_map(|check| match check.subject {
                Subject::NameServer(ip) => due::leaves_by(self.index, &self.evidence, &check.subject, ip),
                Subject::Target(at, _) => {
                    let ip = self.evidence.targets.get(at)?.addresses.first()?;
                    due::leaves_by(self.index, &self.evidence, &check.subject, *ip)
                }
                _ => Some(check.link.clone()).filter(|link| !link.is_empty()),
            })
            .collect();
        for link in links {
            let settings = link_settings(&self.index.machine, &link);
            self.evidence.settings.insert(link, settings);
        }
    }

    fn judge(&mut self, now: Duration) -> Vec<Check> {
        self.evidence.elapsed_ms = now.as_millis() as u64;
        let mut checks = judge(self.index, &self.evidence);
        self.ledger.apply(&mut checks, self.index, &self.evidence, now);
        checks
    }

    /// Starts what the checks call for and is not running yet.
    async fn ask(&mut self, checks: &[Check], now: Duration) {
        let age = |check: &Check| self.ledger.age(check, now);
        let mut claims: BTreeMap<(String, u32, MacAddr), Vec<Ipv4Addr>> = BTreeMap::new();
        let mut owners: BTreeMap<(String, u32, MacAddr), Vec<Ipv6Addr>> = BTreeMap::new();
        for probe in due::probes(self.index, &self.evidence, checks, age) {
            if !self.started.insert(probe.clone()) {
                continue;
            }
            match probe {
                // One socket for all addresses of a link: each would receive the answers to all.
                Probe::Claim { link, index, mac, ip } => {
                    claims.entry((link, index, mac)).or_default().push(ip);
                }
                Probe::Owner { link, index, mac, ip } => {
                    owners.entry((link, index, mac)).or_default().push(ip);
                }
                probe => {
                    if let Probe::Listen { link, .. } = &probe {
                        self.listening.push((link.clone(), now));
                    }
                    let machine = self.index.machine.clone();
                    self.probes.spawn(probe::run(probe, machine, self.facts.clone()));
                }
            }
        }
        for ((link, index, mac), ips) in claims {
            self.probes.spawn(probe::claims(link, index, mac, ips, self.facts.clone()));
        }
        for ((link, index, mac), ips) in owners {
            self.probes.spawn(probe::owners(link, index, mac, ips, self.facts.clone()));
        }
        let mut ask = Vec::new();
        for (link, ip) in due::neighbours(&self.evidence, checks) {
            let place = (link, ip);
            let due = self.asked.get(&place).is_none_or(|a| a.failed && now >= a.at + AGAIN);
            if due {
                self.asked.insert(place.clone(), Asked { at: now, failed: false });
                ask.push(place);
            }
        }
        // The claims listen first: a gateway's answer tells them that the port carries frames.
        tokio::task::yield_now().await;
        self.ask_neighbours(&ask).await;
    }

    async fn ask_neighbours(&mut self, places: &[(String, IpAddr)]) {
        let Some(live) = self.live.as_mut().filter(|_| !places.is_empty()) else { return };
        match live.ask_neighbours(&self.names, places).await {
            // What was reachable before is asked again, and the new answer counts.
            Ok(known) => {
                let known = known.into_iter().filter(|n| n.state != NeighbourState::Reachable);
                known.for_each(|neighbour| self.take_neighbour(neighbour));
            }
            Err(failure) => log::debug!("asking for neighbours: {failure}"),
        }
    }

    /// Until when there is something to wait for, since the start; `None` when everything is known.
    fn until(&self, checks: &[Check], now: Duration) -> Option<Duration> {
        let waiting = || checks.iter().filter(|c| c.outcome == Outcome::Waiting);
        let bound = waiting().filter_map(|c| self.ledger.end(c, self.index, &self.evidence)).min();
        // Looking into why a check waits begins after two seconds.
        let doubt =
            |c: &Check| Duration::from_secs(2).checked_sub(self.ledger.age(c, now)).map(|rest| now + rest);
        let doubt = waiting().filter_map(doubt).min();
        // The kernel knows that an address is a duplicate, but not whose.
        let unnamed = |c: &&Check| {
            let claim = c.subject.ip().and_then(|ip| self.evidence.claim(&c.link, &ip));
            c.code == Code::CheckAddress
                && c.outcome == Outcome::Failed
                && self.is_duplicate(c)
                && claim.is_none_or(|claim| !claim.finished && claim.owner.is_none())
        };
        let owner =
            checks.iter().filter(unnamed).map(|c| (OWNER + now).saturating_sub(self.ledger.age(c, now)));
        let bound = [bound, owner.max().filter(|end| *end > now)].into_iter().flatten().min();
        let open = [bound, doubt.filter(|at| *at > now)].into_iter().flatten().min();
        let tail = if open.is_none() {
            self.listening_ends(now).filter(|_| self.switch_may_tell(checks))
        } else {
            None
        };
        let soonest = [open, tail].into_iter().flatten().min()?;
        Some(self.read_at.map_or(soonest, |at| at.min(soonest)))
    }

    fn is_duplicate(&self, check: &Check) -> bool {
        let state = check.subject.ip().and_then(|ip| self.evidence.address(&check.link, &ip));
        state.is_some_and(|address| address.duplicate)
    }

    /// Whether something fails that the switch could explain: its name and port are worth a wait.
    fn switch_may_tell(&self, checks: &[Check]) -> bool {
        if !checks.iter().any(Check::is_fault) {
            return false;
        }
        let causes = cause::explain(self.index, &self.evidence, checks);
        causes.iter().any(|cause| cause.severity == Severity::Error && cause.is_of_switch())
    }

    /// When every NIC that has heard no switch has been listened on for long enough.
    fn listening_ends(&self, now: Duration) -> Option<Duration> {
        let silent = |link: &str| self.evidence.heard.get(link).is_none_or(|h| h.lldp.is_none());
        let ends = self.listening.iter().filter(|(link, _)| silent(link)).map(|(_, since)| *since + LISTEN);
        ends.max().filter(|end| *end > now)
    }

    /// Records a fact and those already queued.
    fn take(&mut self, fact: Fact, inbox: &mut UnboundedReceiver<Fact>) {
        self.apply(fact);
        for _ in 0..FACTS {
            let Ok(fact) = inbox.try_recv() else { return };
            self.apply(fact);
        }
    }

    fn read_soon(&mut self, after: Duration) {
        let at = self.start.elapsed() + after;
        self.read_at = Some(self.read_at.map_or(at, |planned| planned.min(at)));
    }

    fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Changed => {
                self.changed = true;
                self.read_soon(READ);
            }
            Fact::Neighbour(kind, payload) => {
                if let Some(neighbour) = neighbour::notified(kind, &payload, &self.names) {
                    self.take_neighbour(neighbour);
                }
            }
            fact => {
                let lacp = matches!(&fact, Fact::Heard(_, heard) if heard.lacp.is_some());
                record(&mut self.evidence, self.start.elapsed().as_millis() as u64, fact);
                if lacp {
                    self.read_soon(LACP_TICK);
                }
            }
        }
    }

    /// A neighbour entry that some check depends on.
    fn take_neighbour(&mut self, neighbour: Neighbour) {
        let (link, ip, state) = (neighbour.link.as_str(), neighbour.ip, neighbour.state);
        let Some(asked) = self.asked.get_mut(&(link.to_owned(), ip)) else { return };
        // The echo sent every second makes the kernel ask again; if it cannot be sent, we do.
        asked.failed |= state == NeighbourState::Failed;
        let now = self.start.elapsed().as_millis() as u64;
        if self.index.gateway(link, ip).is_some() {
            let gateway = self.evidence.gateway_mut(link, &ip);
            match state {
                NeighbourState::Reachable => {
                    (gateway.resolved, gateway.again) = (true, false);
                    gateway.found_ms.get_or_insert(now);
                    gateway.heard_ms = Some(now);
                }
                NeighbourState::Failed => {
                    // One that answered before is asked again, and has to answer again.
                    gateway.again |= gateway.answers();
                    gateway.resolved = false;
                    gateway.unanswered = 0;
                }
                // A static entry: nobody answered.
                NeighbourState::Fixed => gateway.fixed = neighbour.mac,
                NeighbourState::Asked | NeighbourState::Stale => {}
            }
        }
        self.evidence.neighbours.put(neighbour);
    }

    fn finish(mut self, end: End) -> Verification {
        let now = self.start.elapsed();
        for (link, since) in &self.listening {
            let heard = self.evidence.heard.entry(link.clone()).or_default();
            heard.listened_ms = now.saturating_sub(*since).as_millis() as u64;
        }
        let mut checks = self.judge(now);
        for check in checks.iter_mut().filter(|c| c.outcome == Outcome::Waiting) {
            match end {
                End::Known => overdue(check),
                End::Interrupted => {
                    check.outcome = Outcome::NotChecked;
                    check.finding = format!("{} (interrupted)", check.finding);
                }
                End::Glance if is_undone(&self.evidence, check) => overdue(check),
                End::Glance => {
                    check.outcome = Outcome::NotChecked;
                    let network =
                        [Code::CheckGateway, Code::CheckResolver, Code::CheckTarget, Code::CheckUnique];
                    if network.contains(&check.code) {
                        check.finding = "not asked yet".to_owned();
                    }
                }
            }
        }
        self.read_settings(&checks);
        let causes = cause::explain(self.index, &self.evidence, &checks);
        let (seconds, interrupted) = (now.as_secs_f64(), end == End::Interrupted);
        Verification { checks, causes, evidence: self.evidence, seconds, interrupted }
    }
}
