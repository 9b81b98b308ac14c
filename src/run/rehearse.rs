//! `netapply rehearse`: the pipeline of `apply` on stand-ins for the NICs, in namespaces of its own.
//!
//! The plan is made by the same executor and verified as usual. Files, programs and D-Bus calls are recorded; the
//! kernel may load modules, which are reported.

use std::collections::BTreeSet;
use std::process::Command as Process;
use std::time::Instant;

use super::apply::{self, applied_source};
use super::dry_run::recorded;
use super::options::Options;
use super::pipeline::{self, Planned};
use super::rehearsal::Rehearsal;
use super::saved::Saved;
use super::stages::{Described, Source};
use super::{Exit, block_on, broken, complain, complain_of, find, parse, request};
use crate::cli::Args;
use crate::diagnostic::{Severity, worst};
use crate::format::Text;
use crate::inventory::{Inventory, ObservedLink};
use crate::kernel::apply::{AfterFailure, apply as execute};
use crate::kernel::effects::{Effects as _, Real};
use crate::kernel::names::Names;
use crate::kernel::session::{NetlinkFamily, Session};
use crate::kernel::trouble::Trouble;
use crate::kernel::veth;
use crate::machine::Machine;
use crate::model::{Desired, Kind, Place};
use crate::plan::{Action, LinkChange, Plan, Step, script};
use crate::rehearse::file::SwitchFile;
use crate::rehearse::nics::{self, StandIn};
use crate::rehearse::other_side::{OtherSide, far_end};
use crate::rehearse::private::{self, LinkList};
use crate::rehearse::switch::Switch;

/// The earlier state of the machine.
struct Before {
    modules: Vec<String>,
    links: Option<(LinkList, Vec<String>)>,
}

impl Before {
    fn observe(machine: &Machine) -> Before {
        let links = LinkList::here(machine).ok().map(|mut links| {
            let names = links.names();
            (links, names)
        });
        Before { modules: private::modules(machine), links }
    }

    /// What was added since, in a sentence.
    fn changes(&mut self, machine: &Machine) -> Option<String> {
        let new = |now: Vec<String>, then: &[String]| -> Vec<String> {
            now.into_iter().filter(|name| !then.contains(name)).collect()
        };
        let modules = new(private::modules(machine), &self.modules);
        let links = self.links.as_mut().map(|(links, then)| new(links.names(), then)).unwrap_or_default();
        let with = match links.is_empty() {
            true => String::new(),
            false => format!("; links on this machine that came with them: {}", links.join(", ")),
        };
        (!modules.is_empty()).then(|| format!("the kernel loaded modules: {}{with}", modules.join(", ")))
    }
}

/// What is not taken from the description.
struct Given {
    /// The NICs.
    recorded: Option<Inventory>,
    /// The other side, with its text.
    switch: Option<(SwitchFile, [Text; 1])>,
}

impl Given {
    fn read(args: &Args) -> Result<Given, Exit> {
        let recorded = recorded(args)?;
        let Some(path) = &args.switch else { return Ok(Given { recorded, switch: None }) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            complain(&format!("--switch {path}: {error}"));
            Exit::Usage
        })?;
        let (switch, diagnostics, text) = SwitchFile::read(path, &text);
        let texts = [text];
        complain_of(&texts, &diagnostics);
        match worst(&diagnostics) {
            Some(Severity::Error) => Err(Exit::BadText),
            _ => Ok(Given { recorded, switch: Some((switch, texts)) }),
        }
    }
}

/// Exits as `apply` does.
pub(super) fn rehearse(args: &Args) -> Exit {
    let given = match Given::read(args) {
        Ok(given) => given,
        Err(exit) => return exit,
    };
    let machine = Machine::default();
    let mut before = Before::observe(&machine);
    if let Err(why) = private::enter(&machine) {
        complain(&why.to_string());
        return Exit::Refused;
    }
    let began = Instant::now();
    let source = match block_on(find(&request(args, args.sources.first()))) {
        Ok(Ok(found)) => {
            let parsed = parse(&found);
            Source::Found(Box::new(Described { saved: Saved::from(&found), parsed }))
        }
        Ok(Err(missing)) => Source::NotFound(missing),
        Err(error) => Source::NotFound(broken(&error)),
    };
    if let Err(why) = private::seal(&machine) {
        complain(&why.to_string());
        return Exit::Refused;
    }
    let exit = apply::run(args, async |options, stop| {
        if let (Source::Found(described), Some(rehearsal)) = (&source, &options.rehearsal) {
            if let Err(why) = build(options, rehearsal, &given, &described.parsed.desired).await {
                log::error!("the rehearsal has no NICs: {why}");
            }
        }
        let end = applied_source(options, stop, (began, source)).await;
        // What a lease changes is planned anew, with all that was not done.
        let mut told = BTreeSet::new();
        for action in options.rehearsal.iter().flat_map(|rehearsal| rehearsal.recorded.take()) {
            let step = script::brief(&action);
            if !told.contains(&step) {
                log::info!("not done in a rehearsal: {step}");
                told.insert(step);
            }
        }
        if let Some(sentence) = before.changes(&options.machine) {
            log::warn!("{sentence}");
        }
        end
    });
    if let [program, arguments @ ..] = args.program.as_slice() {
        if let Err(error) = Process::new(program).args(arguments).status() {
            complain(&format!("cannot run {program}: {error}"));
        }
    }
    exit
}

/// Creates the stand-ins, and the other ends of their wires.
async fn build(
    options: &Options,
    rehearsal: &Rehearsal,
    given: &Given,
    desired: &Desired,
) -> Result<(), Trouble> {
    let machine = &options.machine;
    rehearsal.recorder(Real::on(machine), machine).permit(Kind::Veth)?;
    let (nics, unable) = given
        .recorded
        .as_ref()
        .map_or_else(|| (nics::of_description(desired), Vec::new()), nics::of_inventory);
    if !unable.is_empty() {
        log::warn!("no stand-in for {}: not Ethernet", unable.join(", "));
    }
    let other_side = OtherSide::begin(machine, !rehearsal.no_modules).await;
    let mut other_side = match other_side {
        Ok(other_side) => other_side,
        Err(error) => {
            log::error!("the rehearsal has no other side: {error}");
            return Ok(());
        }
    };
    let mut session = Session::of(machine, NetlinkFamily::Route)?;
    let stand_ins = make(&mut session, rehearsal, machine, nics, &other_side).await?;
    let stand_ins = rehearsal.stand_ins.get_or_init(|| stand_ins);
    let switch = match &given.switch {
        Some((file, texts)) => described(file, texts, stand_ins),
        None => {
            let request = pipeline::PlanRequest::of_network(machine, desired, stand_ins);
            let Planned { resolved, .. } = pipeline::plan(&request, &mut session).await?;
            let names: Vec<String> = stand_ins.iter().map(|stand_in| stand_in.nic.name.clone()).collect();
            Switch::ideal(&names, desired, &resolved, &options.targets)
        }
    };
    for trouble in other_side.make(switch).await {
        log::debug!("the other side: {trouble}");
    }
    Ok(())
}

/// The other side as described.
fn described(file: &SwitchFile, texts: &[Text], stand_ins: &[StandIn]) -> Switch {
    let nics: Vec<&ObservedLink> = stand_ins.iter().map(|stand_in| &stand_in.nic).collect();
    let mut diagnostics = Vec::new();
    let (switch, bare) = file.switch(&nics, &mut diagnostics);
    complain_of(texts, &diagnostics);
    if !bare.is_empty() {
        log::warn!("no port of the switch is for {}: it has no cable", bare.join(", "));
    }
    switch
}

/// Creates the stand-ins and their wires in the state of the NICs.
async fn make(
    session: &mut Session,
    rehearsal: &Rehearsal,
    machine: &Machine,
    nics: Vec<ObservedLink>,
    other_side: &OtherSide,
) -> Result<Vec<StandIn>, Trouble> {
    let (mut names, mut plan, mut stand_ins) = (Names::default(), Plan::default(), Vec::new());
    let lo = ObservedLink { name: "lo".to_owned(), up: true, ..ObservedLink::default() };
    names.insert(1, &lo.name);
    adjust(&mut plan, &lo);
    for (number, nic) in nics.into_iter().enumerate() {
        let mac = nic.permanent_mac.or(nic.mac);
        let far = far_end(number);
        let mtu = if nic.mtu == 0 { 1500 } else { nic.mtu };
        let index = veth::add(session, &nic.name, mac, mtu, (&far, other_side.namespace())).await?;
        names.insert(index, &nic.name);
        adjust(&mut plan, &nic);
        stand_ins.push(StandIn { index, nic });
    }
    let mut effects = rehearsal.recorder(Real::on(machine), machine);
    let never = std::future::pending();
    let outcome = execute(session, &mut effects, &plan, names, AfterFailure::GoOn, never).await;
    for (id, trouble) in outcome.failures() {
        let line = plan.step(id).map_or_else(String::new, |step| script::line(&step.action));
        log::warn!("a stand-in is not as the NIC: {line}: {trouble}");
    }
    Ok(stand_ins)
}

/// Steps that add alternative names to a stand-in, and bring it up if the NIC is.
fn adjust(plan: &mut Plan, nic: &ObservedLink) {
    let changes = nic.altnames.iter().cloned().map(LinkChange::AddAltName);
    for change in changes.chain(nic.up.then_some(LinkChange::Up)) {
        let action = Action::SetLink { name: nic.name.clone(), change };
        plan.steps.push(Step { action, at: Place::NONE, link: String::new(), needs: Vec::new() });
    }
}
