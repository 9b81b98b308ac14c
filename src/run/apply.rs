//! `netapply apply` and `netapply verify`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::options::Options;
use super::saved::Saved;
use super::settle::{How, Settled, settle};
use super::{Exit, block_on, complain};
use crate::cli::Args;
use crate::diagnostic::{Diagnostic, Severity, worst};
use crate::format::{self, Parsed};
use crate::inventory::Inventory;
use crate::kernel::apply::StepOutcome;
use crate::kernel::read;
use crate::kernel::session::{Failure, Family, Session};
use crate::plan::{self, Plan};
use crate::report::places::Places;
use crate::report::{Applied, systemd};
use crate::resolve::{Missing, resolve};
use crate::source::{self, NotFound, Origin, Request};
use crate::verify::input::Input;

use crate::verify::{self, Review, Verification};

/// Everything that a run has found out, for the report.
#[derive(Debug)]
pub(super) struct Story {
    /// When the run began.
    pub(super) began: Instant,
    /// Where the description came from.
    pub(super) origin: Option<Origin>,
    /// The machine's name, as the drive has it.
    pub(super) hostname: Option<String>,
    /// Why there is none.
    pub(super) not_found: Option<NotFound>,
    /// What it says.
    pub(super) parsed: Parsed,
    /// The same as text.
    saved: Option<Saved>,
    /// What was done; `None` where nothing was tried.
    pub(super) settled: Option<Settled>,
    /// Why the kernel could not be talked to.
    pub(super) failure: Option<String>,
    /// What should be there.
    pub(super) input: Option<Input>,
    /// How it works; `None` where that was not looked at.
    pub(super) verification: Option<Verification>,
    /// The verification asked the kernel only, not the network.
    pub(super) glance: bool,
    /// Only looked at: `verify`.
    pub(super) again: bool,
    /// What an earlier run of this boot did for the same text.
    pub(super) applied_before: Option<Applied>,
    /// A signal ended the run.
    pub(super) interrupted: bool,
}

pub(super) fn apply(args: &Args) -> Exit {
    run(args, async |options, stop| {
        if options.cmdline.off && options.source.is_none() {
            log::info!("netapply=off on the kernel command line: nothing is done");
            return None;
        }
        Some(applied(options, stop).await)
    })
}

pub(super) fn verify(args: &Args) -> Exit {
    run(args, async |options, stop| Some(verified(options, stop).await))
}

/// Runs a command until it is done or a signal ends it, and tells its story. A signal lets the kernel finish the step
/// that it is at.
fn run(args: &Args, command: impl AsyncFnOnce(&Options, &mut Stop) -> Option<Story>) -> Exit {
    let options = match Options::new(args) {
        Ok(options) => options,
        Err(wrong) => {
            complain(&wrong.0);
            return Exit::Usage;
        }
    };
    let story = block_on(async {
        let mut stop = Stop { signal: Box::pin(signals()), came: false };
        command(&options, &mut stop).await
    });
    match story {
        Ok(Some(story)) => {
            let exit = story.exit(&options);
            super::tell::tell(story, &options, exit);
            exit
        }
        Ok(None) => Exit::Success,
        Err(error) => {
            complain(&format!("the program could not be set up: {error}"));
            Exit::Refused
        }
    }
}

/// Ready once a signal has come, and from then on: several stages look at it one after the other.
struct Stop {
    signal: Pin<Box<dyn Future<Output = ()>>>,
    came: bool,
}

impl Future for Stop {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.came = self.came || self.signal.as_mut().poll(context).is_ready();
        if self.came { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Ready at Ctrl-C or SIGTERM.
async fn signals() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// The whole way: find, parse, settle, verify.
async fn applied(options: &Options, stop: &mut Stop) -> Story {
    let mut story = described(options, stop, false).await;
    settled(&mut story, options, stop).await;
    // After the network, which is what a boot waits for.
    story.saved.iter().for_each(|saved| saved.keep(&options.machine));
    let undone = story.settled.as_ref().is_some_and(|s| s.undone.is_some());
    if story.settled.is_some() && !story.interrupted && !undone && story.failure.is_none() {
        story.glance = !options.verify;
        look(&mut story, options, stop).await;
    }
    story
}

/// Plans and applies what was found, unless there is nothing in it or `--strict` forbids it.
async fn settled(story: &mut Story, options: &Options, stop: &mut Stop) {
    let errors = worst(&story.parsed.diagnostics) == Some(Severity::Error);
    if story.parsed.desired.links.is_empty() || (options.strict && errors) || story.interrupted {
        return;
    }
    let how = How {
        strict: options.strict,
        nics: options.nics(story.began.elapsed()),
        handoff: options.handoff,
        hostname: story.hostname.take(),
        machine: &options.machine,
    };
    let settled = async {
        let mut session = Session::open(Family::Route)?;
        settle(&mut session, &story.parsed.desired, &how, stop, &mut progress).await
    };
    match settled.await {
        Ok(settled) => {
            story.interrupted = settled.interrupted;
            story.settled = Some(settled);
        }
        Err(failure) => story.failure = Some(failure.to_string()),
    }
}

/// Verification alone: of SOURCE, else of what was applied last, else of what a boot would find.
async fn verified(options: &Options, stop: &mut Stop) -> Story {
    let mut story = described(options, stop, true).await;
    if story.parsed.desired.links.is_empty() || story.interrupted {
        return story;
    }
    match inventory().await {
        Ok(inventory) => {
            let (resolved, said) = resolve(&story.parsed.desired, &inventory, Missing::Report);
            story.settled = Some(Settled { resolved, said, inventory, ..Settled::default() });
            look(&mut story, options, stop).await;
        }
        Err(failure) => story.failure = Some(failure.to_string()),
    }
    story
}

/// Finds and parses the description; `again` takes the one that was applied last where none is named.
async fn described(options: &Options, stop: &mut Stop, again: bool) -> Story {
    let mut story = Story::new(again);
    let saved = if again && options.source.is_none() { Saved::load(&options.machine) } else { None };
    let saved = match saved {
        Some(saved) => saved,
        None => {
            let request = Request {
                source: options.source.clone(),
                wait: options.drive_wait,
                cmdline: options.cmdline.clone(),
                machine: options.machine.clone(),
            };
            let mut tell = progress;
            let found = tokio::select! {
                found = source::find(&request, &mut tell) => found,
                () = &mut *stop => {
                    story.interrupted = true;
                    return story;
                }
            };
            match found {
                Ok(found) => {
                    found.notes.iter().for_each(|note| log::info!("{note}"));
                    log::info!("{}: {}", found.origin, found.origin.why);
                    Saved::from(&found)
                }
                Err(missing) => {
                    story.not_found = Some(missing);
                    return story;
                }
            }
        }
    };
    if again {
        story.applied_before = Places(&options.machine).applied_before(&saved.origin.hash);
    }
    story.origin = Some(saved.origin.clone());
    story.hostname = saved.hostname.clone();
    story.parsed = format::parse(saved.documents.clone());
    story.saved = Some(saved);
    story
}

async fn inventory() -> Result<Inventory, Failure> {
    let mut session = Session::open(Family::Route)?;
    read::inventory(&mut session).await
}

/// Looks whether the network works, and waits for it within the bound.
async fn look(story: &mut Story, options: &Options, stop: &mut Stop) {
    let Some(settled) = &mut story.settled else { return };
    let desired = &story.parsed.desired;
    let input = Input::new(desired, &settled.resolved, options.targets.clone());
    let reviewed = |inventory: &Inventory| {
        let (resolved, _) = resolve(desired, inventory, Missing::Report);
        Review::of(&input, &plan::plan(&resolved, inventory), inventory)
    };
    let review = async || match inventory().await {
        Ok(inventory) => reviewed(&inventory),
        Err(_) => Review::default(),
    };
    let consoles = options.boot.then_some(Places(&options.machine));
    let mut tell = |line: &str| {
        progress(line);
        // Whoever looks at the console of a boot sees that it goes on, and what it waits for.
        consoles.iter().for_each(|places| places.show_line(&format!("netapply: {line}\n")));
    };
    let verification = match story.glance {
        true => {
            // The machine was read a moment ago, after the last change.
            let review = match settled.nothing_to_do {
                true => Review::of(&input, &Plan::default(), &settled.inventory),
                false => reviewed(&settled.inventory),
            };
            verify::glance(&input, review, &settled.moment)
        }
        false => verify::verify(&input, options.verify_wait, review, &mut tell, stop).await,
    };
    story.interrupted |= verification.interrupted;
    story.verification = Some(verification);
    story.input = Some(input);
}

/// What is waited for goes to the log and to systemd's status line; the report follows at the end.
fn progress(line: &str) {
    log::info!("{line}");
    systemd::status(line);
}

impl Story {
    fn new(again: bool) -> Self {
        Story {
            began: Instant::now(),
            hostname: None,
            origin: None,
            not_found: None,
            parsed: Parsed::default(),
            saved: None,
            settled: None,
            failure: None,
            input: None,
            verification: None,
            glance: false,
            again,
            applied_before: None,
            interrupted: false,
        }
    }

    /// Everything that was said about the text and the machine.
    pub(super) fn said(&self) -> impl Iterator<Item = &Diagnostic> {
        self.parsed.diagnostics.iter().chain(self.settled.iter().flat_map(|s| &s.said))
    }

    /// Where several codes hold: 3, 5, 1.
    fn exit(&self, options: &Options) -> Exit {
        if let Some(missing) = &self.not_found {
            return super::not_found(missing);
        }
        let errors = self.said().any(|d| d.severity == Severity::Error);
        let unusable = self.parsed.desired.links.is_empty();
        if (errors && (unusable || options.strict))
            || (unusable && worst(&self.parsed.diagnostics) == Some(Severity::Error))
        {
            return Exit::BadText;
        }
        if unusable && !self.interrupted {
            return Exit::NoDescription;
        }
        let rounds = || self.settled.iter().flat_map(|s| &s.rounds);
        if self.failure.is_some() || rounds().any(|r| r.outcome.failures().next().is_some()) {
            return Exit::Refused;
        }
        let not_done =
            rounds().flat_map(|r| &r.outcome.steps).any(|s| !matches!(s, StepOutcome::Done { .. }));
        // A glance cannot tell a network that needs a moment from one that does not work.
        let broken = !self.glance && self.verification.as_ref().is_some_and(|v| !v.passed());
        if errors || not_done || broken || self.interrupted { Exit::Incomplete } else { Exit::Success }
    }
}
