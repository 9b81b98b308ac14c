//! `netapply apply` and `netapply verify`.

use std::time::Instant;

use super::lock::{NotTaken, Turn};
use super::options::Options;
use super::pipeline::{self, Planned, Who};
use super::saved::Saved;
use super::settle::{SettleOptions, Settled, settle};
use super::signals::Stop;
use super::stages::{Described, Ended, Ran, Source, Verified, Work};
use super::{Exit, block_on, complain, fallback, handoff, leases, tell};
use crate::cli::Args;
use crate::diagnostic::{Severity, worst};
use crate::format;
use crate::handoff::handed_off;
use crate::handoff::state::Image;
use crate::kernel::session::{Failure, NetlinkFamily, Session};
use crate::logging;
use crate::model::Desired;
use crate::page::{Page, Style};
use crate::report::places::Places;
use crate::report::screen::wrapped;
use crate::report::systemd;
use crate::resolve::Resolved;
use crate::source::{self, NotFound, SearchOptions};
use crate::verify::input::Input;
use crate::verify::{self, Review};

/// The result of a command.
pub(super) enum CommandEnd<'a> {
    /// There was nothing to do.
    Nothing,
    /// Another run is applying, so this one's findings are out of date.
    NotOurTurn(NotTaken),
    /// To be reported.
    Ran(Box<Ended>, Turn<'a>),
}

pub(super) fn apply(args: &Args) -> Exit {
    run(args, async |options, stop| {
        if options.cmdline.off && options.source.is_none() && options.boot_sources.is_empty() {
            log::info!("netapply=off on the kernel command line: nothing to do");
            return Ok(CommandEnd::Nothing);
        }
        applied(options, stop).await
    })
}

pub(super) fn verify(args: &Args) -> Exit {
    run(args, async |options, stop| verified(options, stop).await)
}

/// Runs a command until it is done or a signal ends it, and reports. After a signal the kernel finishes the current
/// step.
pub(super) fn run(
    args: &Args,
    command: impl for<'a> AsyncFnOnce(&'a Options, &mut Stop) -> Result<CommandEnd<'a>, NotTaken>,
) -> Exit {
    let options = match Options::new(args) {
        Ok(options) => options,
        Err(wrong) => {
            complain(&wrong.0);
            return Exit::Usage;
        }
    };
    let end = block_on(async {
        let mut stop = Stop::new();
        let mut end = command(&options, &mut stop).await.unwrap_or_else(CommandEnd::NotOurTurn);
        if let CommandEnd::Ran(ended, turn) = &mut end {
            if let Err(not_taken) = turn.ready_to_report().await {
                // The report belongs to the other run; this one's results are still in the log.
                tell::log(ended);
                end = CommandEnd::NotOurTurn(not_taken);
            }
        }
        end
    });
    let exit = match end {
        Ok(CommandEnd::Ran(ended, turn)) => {
            let exit = ended.exit(options.strict);
            let exit = tell::tell(*ended, &options, exit);
            drop(turn);
            exit
        }
        Ok(CommandEnd::Nothing) => Exit::Success,
        Ok(CommandEnd::NotOurTurn(NotTaken::Busy(holder))) => {
            log::error!("{holder}; nothing is reported");
            Exit::Busy
        }
        Ok(CommandEnd::NotOurTurn(NotTaken::Interrupted)) => {
            log::error!("interrupted while another netapply was applying; nothing was done");
            Exit::Incomplete
        }
        Err(error) => {
            log::error!("cannot start: {error}");
            Exit::Refused
        }
    };
    logging::finish();
    exit
}

/// `apply`: find, parse, settle, verify.
async fn applied<'a>(options: &'a Options, stop: &mut Stop) -> Result<CommandEnd<'a>, NotTaken> {
    let began = Instant::now();
    let source = found(options, stop, None).await;
    applied_source(options, stop, (began, source)).await
}

/// What follows once the description has been looked for.
pub(super) async fn applied_source<'a>(
    options: &'a Options,
    stop: &mut Stop,
    (began, source): (Instant, Source),
) -> Result<CommandEnd<'a>, NotTaken> {
    let clock = &options.clock;
    let mut tell = |line: &str| progress(options, line);
    let mut turn = clock.during("lock", Turn::to_apply(&options.machine, stop, &mut tell)).await?;
    let source = match options.fallback && options.source.is_none() && is_absent(&source) {
        true => fallen_back(options, stop, source).await,
        false => source,
    };
    let mut ended = Ended { ran: Ran::Apply, began, source, work: Work::NotTried, verified: None };
    let Source::Found(described) = &ended.source else { return Ok(CommandEnd::Ran(Box::new(ended), turn)) };
    ended.work = settled(described, options, began, stop).await;
    // After the network, which a boot waits for.
    if !described.parsed.desired.links.is_empty() {
        // For netapply-wait-online.service the file means that there is something to wait for.
        described.saved.keep(&options.machine);
    }
    if let Work::Settled(settled) = &ended.work {
        if !settled.interrupted && settled.undone.is_none() {
            let desired = &described.parsed.desired;
            // In a rehearsal what the image is told is only recorded.
            let image = options.handoff && options.rehearsal.is_none();
            let look = Look { options, desired, resolved: &settled.resolved, image };
            let verified = if options.verify {
                turn.release();
                look.verified(stop).await
            } else {
                clock.during("compare", async { look.glanced(&settled.after) }).await
            };
            ended.verified = Some(verified);
        }
    }
    Ok(CommandEnd::Ran(Box::new(ended), turn))
}

/// Plans and applies the description, unless it is empty or `--strict` forbids it.
async fn settled(described: &Described, options: &Options, began: Instant, stop: &mut Stop) -> Work {
    let parsed = &described.parsed;
    let errors = worst(&parsed.diagnostics) == Some(Severity::Error);
    if parsed.desired.links.is_empty() && !errors && options.handoff {
        handoff::take_back_all(&options.machine, &mut *stop).await;
    }
    if parsed.desired.links.is_empty() || (options.strict && errors) {
        return Work::NotTried;
    }
    let how = SettleOptions {
        machine: &options.machine,
        strict: options.strict,
        nics: options.nics(began.elapsed()),
        handoff: options.handoff,
        hostname: described.saved.hostname.as_deref(),
        clock: &options.clock,
        dhcp: if fallback::is_fallback(&described.saved) { Who::Own } else { options.dhcp },
        dhcp_options: &options.dhcp_options,
        boot: options.boot,
        rehearsal: options.rehearsal.as_ref(),
    };
    let settled = async {
        let mut session = Session::of(&options.machine, NetlinkFamily::Route)?;
        settle(&mut session, &parsed.desired, &how, stop, &mut |line| progress(options, line)).await
    };
    settled.await.map_or_else(Work::Failed, |settled: Settled| Work::Settled(Box::new(settled)))
}

/// `verify`: of SOURCE, else of what was applied last, else of what a boot would find.
async fn verified<'a>(options: &'a Options, stop: &mut Stop) -> Result<CommandEnd<'a>, NotTaken> {
    let began = Instant::now();
    let clock = &options.clock;
    let mut tell = |line: &str| progress(options, line);
    let turn = Turn::to_verify(&options.machine, options.verify_wait, stop, &mut tell);
    let turn = clock.during("lock", turn).await?;
    let saved = if options.source.is_none() { Saved::load(&options.machine) } else { None };
    let source = found(options, stop, saved).await;
    let ran = Ran::Verify { earlier: None };
    let mut ended = Ended { ran, began, source, work: Work::NotTried, verified: None };
    let Source::Found(described) = &ended.source else { return Ok(CommandEnd::Ran(Box::new(ended), turn)) };
    let desired = &described.parsed.desired;
    let earlier = Places(&options.machine).applied_before(&described.saved.origin.hash);
    ended.ran = Ran::Verify { earlier };
    if desired.links.is_empty() {
        return Ok(CommandEnd::Ran(Box::new(ended), turn));
    }
    let mut tell = |line: &str| progress(options, line);
    let leases = leases::awaited(&options.machine, options.verify_wait, stop, &mut tell);
    clock.during("wait for leases", leases).await;
    match clock.during("plan", planned(options, desired)).await {
        Ok(Planned { resolved, diagnostics, .. }) => {
            ended.work = Work::Observed { diagnostics };
            // Without a hand-off the image's tools are not checked.
            let image = options.handoff && handed_off(&options.machine);
            let look = Look { options, desired, resolved: &resolved, image };
            ended.verified = Some(look.verified(stop).await);
        }
        Err(failure) => ended.work = Work::Failed(failure),
    }
    Ok(CommandEnd::Ran(Box::new(ended), turn))
}

/// Finds and parses the description, unless it is the one that was saved.
async fn found(options: &Options, stop: &mut Stop, saved: Option<Saved>) -> Source {
    let saved = match saved {
        Some(saved) => saved,
        None => {
            let request = SearchOptions {
                source: options.source.clone(),
                boot_sources: options.boot_sources.clone(),
                wait: options.drive_wait,
                cmdline: options.cmdline.clone(),
                machine: options.machine.clone(),
                follow_links: options.follow_links,
                many: false,
            };
            let mut tell = |line: &str| progress(options, line);
            let found = tokio::select! {
                // A signal that arrives together with the answer counts: the run was asked to end.
                biased;
                () = stop => return Source::Interrupted,
                found = options.clock.during("drive", source::find(&request, &mut tell)) => found,
            };
            match found {
                Ok(found) => {
                    found.notes.iter().for_each(|note| log::info!("{note}"));
                    log::info!("{}: {}", found.origin, found.origin.why);
                    Saved::from(&found)
                }
                Err(missing) => return Source::NotFound(missing),
            }
        }
    };
    parsed(options, saved)
}

fn parsed(options: &Options, saved: Saved) -> Source {
    let begin = Instant::now();
    let parsed = format::parse(saved.documents.clone());
    options.clock.end("parse", begin);
    Source::Found(Box::new(Described { saved, parsed }))
}

/// The network of the first NIC with a lease, in place of a description that is absent.
async fn fallen_back(options: &Options, stop: &mut Stop, source: Source) -> Source {
    let hostname = match &source {
        Source::Found(described) => described.saved.hostname.clone(),
        _ => None,
    };
    let mut tell = |line: &str| progress(options, line);
    let made = fallback::description(options, hostname, stop, &mut tell);
    match (options.clock.during("fallback", made).await, source) {
        (Ok(saved), _) => parsed(options, saved),
        (Err(why), Source::NotFound(missing)) => {
            Source::NotFound(NotFound { message: format!("{} {why}", missing.message), ..missing })
        }
        (Err(why), source) => {
            log::warn!("{why}");
            source
        }
    }
}

/// There is no description, or one without links; as opposed to one that cannot be read.
fn is_absent(source: &Source) -> bool {
    match source {
        Source::NotFound(missing) => !missing.kind.is_unreadable(),
        Source::Found(described) => {
            let parsed = &described.parsed;
            parsed.desired.links.is_empty() && worst(&parsed.diagnostics) != Some(Severity::Error)
        }
        Source::Interrupted => false,
    }
}

/// The plan for the machine's current state. The hand-off is left out: a verification does not judge it.
async fn planned(options: &Options, desired: &Desired) -> Result<Planned, Failure> {
    let request = pipeline::PlanRequest::of_network(&options.machine, desired, options.stand_ins());
    pipeline::plan(&request, &mut Session::open(NetlinkFamily::Route)?).await
}

/// The input of a verification.
struct Look<'a> {
    options: &'a Options,
    desired: &'a Desired,
    resolved: &'a Resolved,
    /// Whether the image's programs and tools are checked, too.
    image: bool,
}

impl Look<'_> {
    fn input(&self) -> Input {
        let input = Input::new(self.desired, self.resolved, self.options.targets.clone());
        Input { machine: self.options.machine.clone(), discover: self.options.discover, ..input }
    }

    /// Whether the network works; waits for it within the bound.
    async fn verified(&self, stop: &mut Stop) -> Verified {
        let input = self.input();
        let options = self.options;
        let links = input.links.iter().filter(|link| !link.missing && !link.dynamic);
        let links: Vec<&str> = links.map(|link| link.name.as_str()).collect();
        let review = async || match planned(options, self.desired).await {
            Ok(planned) => {
                let image = match self.image {
                    true => Image::observe(&options.machine, &links).await,
                    false => Image::default(),
                };
                Review { image, ..Review::of(&input, &planned.plan, &planned.inventory) }
            }
            Err(failure) => Review::failed(&failure),
        };
        let mut tell = |line: &str| {
            progress(options, line);
            // Shown on the console during boot: what is being waited for.
            if options.boot {
                let mut page = Page::new(Style::Plain);
                let lines = wrapped(&format!("netapply: {line}"));
                lines.iter().for_each(|line| page.line(format_args!("{line}")));
                options.consoles.borrow_mut().show(&page);
            }
        };
        let verification = verify::verify(&input, options.verify_wait, review, &mut tell, stop);
        let verification = options.clock.during("verify", verification).await;
        Verified { input, verification, glance: false }
    }

    /// Whether the machine is as described, from the state read just after the last change.
    fn glanced(&self, after: &Planned) -> Verified {
        let input = self.input();
        let review = Review::of(&input, &after.plan, &after.inventory);
        let verification = verify::glance(&input, review, &after.moment);
        Verified { input, verification, glance: true }
    }
}

/// Waiting is logged and shown in systemd's status line; the report follows at the end.
fn progress(options: &Options, line: &str) {
    options.clock.waits_for(line);
    log::info!("{line}");
    systemd::status(line);
}
