//! Executes a plan: its steps in order, with independent steps in the same datagram.
//!
//! Decides nothing: if a step fails, the steps that depend on it according to the plan are skipped, and the others
//! continue. What the kernel refuses because it is already so counts as done. Entry function: [`apply`].

mod datagrams;
#[cfg(feature = "fault")]
mod fault;
mod outcome;
mod wait;

use std::future::Future;
use std::mem;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use nix::errno::Errno;
use tokio::time::{Instant, timeout};

use crate::model::{Kind, LinkKind};
use crate::plan::{Action, LinkChange, Means, NewLink, Plan, StepId};

use super::effects::Effects;
use super::names::Names;
use super::session::{DATAGRAM, Failure, Session};
use super::trouble::Trouble;
use super::value::Unencodable;
use super::wire::{Ack, Refusal, Request};
use super::{ethtool, modules, newlink, read, wireguard, write};

pub use datagrams::datagrams;
pub use outcome::{Cost, PlanOutcome, StepOutcome};
pub use wait::WAIT_BOUND;

/// What to do after a step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// Continue with everything that does not depend on it.
    GoOn,
    /// Stop once a part of the network has failed.
    Stop,
}

/// Total time for the steps of the hand-off; each step also has its own bound.
pub const HANDOFF_BOUND: Duration = Duration::from_secs(45);

/// The same for undoing it: systemd kills a service 30 s after asking it to stop (`TimeoutStopSec=`).
pub const UNDO_BOUND: Duration = Duration::from_secs(12);

/// Executes `plan` on links with these `names`, until it is done or `stop` is ready, which ends it at the next step.
pub async fn apply(
    session: &mut Session,
    effects: &mut dyn Effects,
    plan: &Plan,
    names: Names,
    after_failure: AfterFailure,
    stop: impl Future<Output = ()>,
) -> PlanOutcome {
    execute(session, effects, plan, names, (after_failure, HANDOFF_BOUND), stop).await
}

/// Executes a plan that undoes another one, to its end regardless of failures.
pub async fn undo(
    session: &mut Session,
    effects: &mut dyn Effects,
    plan: &Plan,
    names: Names,
) -> PlanOutcome {
    let never = std::future::pending();
    execute(session, effects, plan, names, (AfterFailure::GoOn, UNDO_BOUND), never).await
}

async fn execute(
    session: &mut Session,
    effects: &mut dyn Effects,
    plan: &Plan,
    names: Names,
    (after_failure, handoff_left): (AfterFailure, Duration),
    stop: impl Future<Output = ()>,
) -> PlanOutcome {
    let steps = vec![StepOutcome::NotReached; plan.steps.len()];
    let mut outcome = PlanOutcome { steps, ..PlanOutcome::default() };
    {
        let executor = Executor {
            session,
            effects,
            handoff_left,
            plan,
            names,
            after_failure,
            outcome: &mut outcome,
            network_failed: false,
            pending: Vec::new(),
            pending_bytes: 0,
            stray_bond: false,
            wait_until: None,
        };
        let mut run = pin!(executor.run());
        let mut stop = pin!(stop);
        std::future::poll_fn(|context| match stop.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => run.as_mut().poll(context),
        })
        .await;
    }
    outcome
}

struct Executor<'a> {
    session: &'a mut Session,
    effects: &'a mut dyn Effects,
    /// The remaining time for the hand-off.
    handoff_left: Duration,
    plan: &'a Plan,
    names: Names,
    after_failure: AfterFailure,
    outcome: &'a mut PlanOutcome,
    /// A step that the described network needs has failed.
    network_failed: bool,
    /// Steps that wait to be sent together, each with its request, in the plan's order.
    pending: Vec<(StepId, Request)>,
    pending_bytes: usize,
    /// If the kernel loads `bonding` itself, it also creates an unwanted `bond0`.
    stray_bond: bool,
    /// When all waits together must end; set by the first.
    wait_until: Option<Instant>,
}

impl Executor<'_> {
    async fn run(mut self) {
        let plan = self.plan;
        for (number, step) in plan.numbered() {
            let is_pending =
                |need: &StepId| self.pending.binary_search_by_key(need, |(step, _)| *step).is_ok();
            if step.needs.iter().any(is_pending) {
                self.send().await;
            }
            if self.after_failure == AfterFailure::Stop && self.network_failed {
                return;
            }
            let unmet = step.needs.iter().find(|need| !self.outcome.is_done(**need));
            if let Some(because) = unmet {
                self.record(number, StepOutcome::Skipped { because: self.outcome.root(*because) });
                continue;
            }
            #[cfg(feature = "fault")]
            match self.fault(&step.action).await {
                Some(fault::Fault::Refused(request)) => {
                    self.enqueue(number, request).await;
                    continue;
                }
                Some(fault::Fault::Failed(trouble)) => {
                    self.send().await;
                    self.record(number, StepOutcome::Failed(trouble));
                    continue;
                }
                None => {}
            }
            match self.prepare(&step.action).await {
                Ok(Some(request)) => self.enqueue(number, request).await,
                Ok(None) => {
                    self.send().await;
                    // What was sent may have failed.
                    if self.after_failure == AfterFailure::Stop && self.network_failed {
                        return;
                    }
                    self.outcome.steps[number.0] = StepOutcome::Underway;
                    let result = self.act(&step.action).await;
                    self.record(number, result.into());
                }
                Err(trouble) => self.record(number, StepOutcome::Failed(trouble)),
            }
        }
        self.send().await;
    }

    fn record(&mut self, number: StepId, outcome: StepOutcome) {
        if let StepOutcome::Failed(trouble) = &outcome {
            self.network_failed |= Cost::of(&self.plan.steps[number.0].action, trouble) == Cost::Network;
        }
        self.outcome.steps[number.0] = outcome;
    }

    /// The step's request. A link that is not known yet may be about to be created.
    async fn prepare(&mut self, action: &Action) -> Result<Option<Request>, Trouble> {
        if let Action::AddLink(new) = action {
            self.effects.permit(new.kind)?;
            // Loaded here, `bonding` does not create the `bond0` that it creates if the kernel loads it.
            if new.kind == Kind::Bond {
                self.stray_bond |= self.effects.load(new.kind).await.is_err();
            }
        }
        let mut request = write::request(action, &self.names);
        if matches!(request, Err(Unencodable::NoLink(_))) && !self.pending.is_empty() {
            self.send().await;
            request = write::request(action, &self.names);
        }
        // The other end of a veth pair is created with it.
        if let Err(Unencodable::NoLink(name)) = &request {
            self.learn(name).await;
            request = write::request(action, &self.names);
        }
        Ok(request?)
    }

    async fn enqueue(&mut self, number: StepId, request: Request) {
        if self.pending_bytes + request.len() > DATAGRAM {
            self.send().await;
        }
        self.pending_bytes += request.len();
        self.pending.push((number, request));
        match &self.plan.steps[number.0].action {
            // From here on another link may have the name.
            Action::DeleteLink { name } => drop(self.names.remove(name)),
            Action::SetLink { change: LinkChange::Rename(_), .. } => self.send().await,
            _ => {}
        }
    }

    /// Sends what is pending and records the outcome of each step.
    async fn send(&mut self) {
        let pending = mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let mut requests = Vec::with_capacity(pending.len());
        let mut settled = Vec::with_capacity(pending.len());
        for (number, request) in pending {
            let question = match &self.plan.steps[number.0].action {
                // The index of a new link is requested in the same batch.
                Action::AddLink(new) => Some(newlink::by_name(&new.name)),
                _ => None,
            };
            self.outcome.steps[number.0] = StepOutcome::Underway;
            settled.push((number, requests.len(), question.is_some()));
            requests.push(request);
            requests.extend(question);
        }
        let mut answers = self.session.batch(&requests).await;
        let mut answer = |position: usize| {
            answers.get_mut(position).map_or(Err(Failure::Lost), |a| mem::replace(a, Err(Failure::Lost)))
        };
        for (number, position, asked) in settled {
            let index = if asked { answer(position + 1).ok().and_then(|ack| ack.reply) } else { None };
            let mut answer = answer(position);
            #[cfg(feature = "fault")]
            if fault::loses(number.0) {
                answer = Err(Failure::Lost);
            }
            // Repeating a change of a link could undo later steps, or be refused because of them: the next plan shows
            // whether it was made.
            let is_lost = matches!(answer, Err(Failure::Lost | Failure::Silent(_)));
            let is_change = matches!(self.plan.steps[number.0].action, Action::SetLink { .. });
            if is_lost && is_change && position + 1 < requests.len() {
                self.outcome.unsure = true;
                answer = Ok(Ack::default());
            }
            let result = self.settle(number, &requests[position], answer, index).await;
            self.record(number, result.into());
        }
        // A stop is noticed here, between two datagrams.
        tokio::task::yield_now().await;
    }

    /// The outcome of a step that was sent, and its effect on the names.
    async fn settle(
        &mut self,
        number: StepId,
        request: &Request,
        answer: Result<Ack, Failure>,
        found: Option<Vec<u8>>,
    ) -> Result<Option<String>, Trouble> {
        let action = &self.plan.steps[number.0].action;
        let result = match answer {
            Ok(ack) => Ok(ack.warning),
            Err(Failure::Refused(refusal)) => self.recover(action, request, refusal, found.as_deref()).await,
            Err(Failure::Lost | Failure::Silent(_)) => self.ask_again(action, request).await,
            Err(failure @ Failure::Socket(_)) => Err(Trouble::Unanswered(failure)),
        };
        match action {
            Action::AddLink(new) if result.is_ok() => {
                let index = found.as_deref().and_then(newlink::found);
                match index {
                    Some((index, _)) => self.names.insert(index, &new.name),
                    None => self.learn(&new.name).await,
                }
                self.remove_stray_bond(new.kind).await;
            }
            Action::SetLink { name, change: LinkChange::Rename(to) } if result.is_ok() => {
                if let Some(index) = self.names.remove(name) {
                    self.names.insert(index, to);
                }
            }
            Action::DeleteLink { name } if result.is_err() => self.learn(name).await,
            _ => {}
        }
        result
    }

    /// Index and kind of the link with this name or alternative name.
    async fn ask(&mut self, name: &str) -> Option<(u32, LinkKind)> {
        let reply = self.session.request(&newlink::by_name(name)).await.ok()?.reply?;
        newlink::found(&reply)
    }

    async fn learn(&mut self, name: &str) {
        if let Some((index, _)) = self.ask(name).await {
            self.names.insert(index, name);
        }
    }

    /// The reply was lost: repeating the step shows whether it was made.
    async fn ask_again(&mut self, action: &Action, request: &Request) -> Result<Option<String>, Trouble> {
        match self.session.request(request).await {
            Ok(ack) => Ok(ack.warning),
            Err(Failure::Refused(r)) if r.errno() == Errno::EEXIST || is_so_already(action, r.errno()) => {
                Ok(None)
            }
            Err(Failure::Refused(refusal)) => Err(refused(action, request, refusal)),
            Err(failure) => Err(Trouble::Unanswered(failure)),
        }
    }

    /// Errors that do not count as failures: the state is already as requested, or is after a retry.
    async fn recover(
        &mut self,
        action: &Action,
        request: &Request,
        refusal: Refusal,
        found: Option<&[u8]>,
    ) -> Result<Option<String>, Trouble> {
        let errno = refusal.errno();
        if is_so_already(action, errno) {
            return Ok(None);
        }
        let lacks_kind = match action {
            Action::AddLink(new) => self.lacks_kind(new, &refusal).await,
            _ => false,
        };
        let again = match action {
            Action::AddLink(new) if errno == Errno::EEXIST => match found.and_then(newlink::found) {
                // Another program has created it meanwhile: it gets the options that the new one would have had.
                Some((_, kind)) if kind.is(new.kind) => write::adopt_link(new, &self.names)?,
                _ => return Err(refused(action, request, refusal)),
            },
            Action::AddLink(new) if lacks_kind => {
                self.effects.load(new.kind).await?;
                request.clone()
            }
            Action::SetLink { name, change: LinkChange::AddAltName(altname) } if errno == Errno::EEXIST => {
                let own = self.names.index(name);
                let has = self.ask(altname).await.map(|(index, _)| index);
                return if own == has { Ok(None) } else { Err(refused(action, request, refusal)) };
            }
            Action::AddRoute(entry) | Action::AppendRoute(entry) | Action::PrependRoute(entry)
                if errno == Errno::EEXIST =>
            {
                let family = if entry.to.addr().is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
                let there = read::routes(self.session, family, &self.names).await;
                let same = there.is_ok_and(|routes| routes.iter().any(|there| there.serves_as(entry)));
                return if same { Ok(None) } else { Err(refused(action, request, refusal)) };
            }
            _ => return Err(refused(action, request, refusal)),
        };
        match (self.session.request(&again).await, action) {
            (Ok(ack), _) => Ok(ack.warning),
            (Err(Failure::Refused(refusal)), Action::AddLink(new)) => {
                let missing = match self.lacks_kind(new, &refusal).await {
                    true => modules::KernelLacks::of(new.kind),
                    false => None,
                };
                Err(missing.map_or_else(|| refused(action, &again, refusal), Trouble::from))
            }
            (Err(Failure::Refused(refusal)), _) => Err(refused(action, &again, refusal)),
            (Err(failure), _) => Err(Trouble::Unanswered(failure)),
        }
    }

    /// The kernel does not know the kind of link (`rtnl_newlink`), as opposed to one of its options. If the refusal has
    /// no text, an impossible link of the kind shows which: the kernel checks the kind first.
    async fn lacks_kind(&mut self, new: &NewLink, refusal: &Refusal) -> bool {
        match refusal.text.as_deref() {
            _ if refusal.errno() != Errno::EOPNOTSUPP => false,
            Some(text) => text.starts_with("Unknown device type"),
            None => match self.session.request(&newlink::impossible(&new.name, new.kind)).await {
                Err(Failure::Refused(refusal)) => refusal.errno() == Errno::EOPNOTSUPP,
                _ => false,
            },
        }
    }

    /// Removes the `bond0` that is created when the kernel loads `bonding` itself, unless the plan wants it.
    async fn remove_stray_bond(&mut self, kind: Kind) {
        if kind != Kind::Bond || !mem::take(&mut self.stray_bond) || self.names.index("bond0").is_some() {
            return;
        }
        let is_bond0 =
            |action: &Action| matches!(action, Action::AddLink(NewLink { name, .. }) if name == "bond0");
        if self.plan.steps.iter().any(|step| is_bond0(&step.action)) {
            return;
        }
        if let Some((index, kind)) = self.ask("bond0").await {
            if kind.is(Kind::Bond) {
                let _ = self.session.request(&write::delete_link(index)).await;
            }
        }
    }

    /// A step that does not use rtnetlink.
    async fn act(&mut self, action: &Action) -> Result<Option<String>, Trouble> {
        match action {
            Action::AwaitAddresses { link, addresses } => self.await_addresses(link, addresses).await?,
            Action::AwaitCarrier { link } => return Ok(self.await_carrier(link).await?),
            Action::Wireguard { name, config } => wireguard::configure(name, config).await?,
            Action::Feature { name, feature, on } => {
                return Ok(ethtool::set_feature(name, feature, *on).await?);
            }
            Action::Tune { name, settings } => ethtool::set_parameters(name, settings).await?,
            Action::WakeOnLan { name, on } => ethtool::set_wake_on_lan(name, *on).await?,
            _ if action.means() == Means::Netlink => {}
            _ => self.effect(action).await?,
        }
        Ok(None)
    }

    /// A step that does not use netlink. If it may have to be undone, its inverse is saved first: a step that fails or
    /// is given up may be partly done.
    async fn effect(&mut self, action: &Action) -> Result<(), Trouble> {
        let is_handoff = action.is_handoff();
        if is_handoff && self.after_failure == AfterFailure::Stop {
            self.outcome.inverses.extend(self.effects.inverse(action).await);
        }
        if !is_handoff {
            return self.effects.make(action).await;
        }
        let begin = Instant::now();
        let bound = self.handoff_left;
        let made = timeout(bound, self.effects.make(action)).await;
        self.handoff_left = bound.saturating_sub(begin.elapsed());
        made.unwrap_or_else(|_| Err(Trouble::Late { what: "the hand-off".to_owned(), bound: HANDOFF_BOUND }))
    }
}

/// The kernel refuses because the state is already as requested: removed by another program, or with its link.
fn is_so_already(action: &Action, errno: Errno) -> bool {
    match action {
        Action::AddRule(_) => errno == Errno::EEXIST,
        Action::DeleteLink { .. } => errno == Errno::ENODEV,
        Action::DeleteAddress(_) => matches!(errno, Errno::EADDRNOTAVAIL | Errno::ENODEV),
        Action::DeleteRoute(_) => matches!(errno, Errno::ESRCH | Errno::ENODEV),
        Action::DeleteRule(_)
        | Action::SetLink {
            change: LinkChange::DeleteAltName(_) | LinkChange::DeleteVlan { .. } | LinkChange::DeleteRemote(_),
            ..
        } => errno == Errno::ENOENT,
        _ => false,
    }
}

fn refused(action: &Action, request: &Request, refusal: Refusal) -> Trouble {
    let option = refusal.offset.and_then(|offset| write::option_at(action, request.payload(), offset));
    Trouble::Refused { refusal, option }
}
