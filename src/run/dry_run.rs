//! `netapply --dry-run`: shows the plan and every diagnostic, and changes nothing.

use serde::Serialize;

use super::diagram::diagram;
use super::options::dhcp_parameter;
use super::pipeline::{self, Handoff, Planned};
use super::show::cannot_read;
use super::{
    Exit, block_on, broken, complain, complain_of, find, not_found, parse, print, print_json, print_raw,
    request, stdout_style, tells_the_image, unreadable,
};
use crate::cli::{Args, OutputFormat};
use crate::diagnostic::{At, DiagnosticRecord, Renderer, Severity, worst};
use crate::format::Parsed;
use crate::inventory::Inventory;
use crate::kernel::session::{NetlinkFamily, Session};
use crate::model::{Dynamic, Kind, Resolver};
use crate::page::{Look, Page, Style};
use crate::plan::{self, Mark, Plan, script};
use crate::resolve::{Missing, Resolved, ResolvedLink};

#[derive(Serialize)]
struct Output<'a> {
    version: u32,
    source: String,
    format: &'static str,
    diagnostics: Vec<DiagnosticRecord>,
    links: Vec<LinkOut<'a>>,
    left_to_others: Vec<LeftOut<'a>>,
    resolver: ResolverOut<'a>,
    steps: Vec<StepOut>,
}

#[derive(Serialize)]
struct LinkOut<'a> {
    id: &'a str,
    kind: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_by: Option<String>,
    stand_in: bool,
}

/// What is left to a client in the image.
#[derive(Serialize)]
struct LeftOut<'a> {
    id: &'a str,
    name: &'a str,
    dynamic: Vec<Dynamic>,
}

/// The resolver settings. The steps have them only if netapply hands them off, and in the image's own way.
#[derive(Serialize)]
struct ResolverOut<'a> {
    servers: Vec<String>,
    search: Vec<&'a str>,
}

#[derive(Serialize)]
struct StepOut {
    number: usize,
    command: String,
    /// `make`, `change` or `remove`; absent for a step that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    link: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<At>,
    needs: Vec<usize>,
    /// Why `--strict` cannot undo it.
    #[serde(skip_serializing_if = "Option::is_none")]
    irreversible: Option<&'static str>,
}

/// Exit status 3 on any error, 4 without a description, else 0.
pub(super) fn dry_run(args: &Args) -> Exit {
    let recorded = match recorded(args) {
        Ok(recorded) => recorded,
        Err(exit) => return exit,
    };
    let request = request(args, args.sources.first());
    let found = match block_on(find(&request)).unwrap_or_else(|error| Err(broken(&error))) {
        Ok(found) => found,
        Err(missing) => {
            let source = args.sources.first().map_or("", String::as_str);
            let parsed = unreadable(source, &missing);
            return show(args, source, &parsed, &Resolved::default(), &Plan::default(), not_found(&missing));
        }
    };
    let mut parsed = parse(&found);
    let job = pipeline::PlanRequest {
        machine: &request.machine,
        desired: &parsed.desired,
        // A given SOURCE may be another machine's; one that is searched for is this machine's.
        missing: match recorded.is_none() && !args.sources.is_empty() {
            true => Missing::StandIn,
            false => Missing::Report,
        },
        await_udev: false,
        // The hand-off is part of a boot's plan, which is shown if no SOURCE is given.
        handoff: (recorded.is_none() && args.sources.is_empty() && tells_the_image(args, &request.cmdline))
            .then_some(Handoff { hostname: found.metadata.hostname.as_deref() }),
        dhcp: Some(args.dhcp.or_else(|| dhcp_parameter(&request.cmdline, &mut Vec::new())).into()),
        leased_only: false,
        stand_ins: &[],
    };
    let planned = match recorded {
        Some(inventory) => Ok(pipeline::plan_recorded(&job, inventory)),
        None => of_this_machine(&job),
    };
    let Planned { resolved, diagnostics, plan, handoff_warnings, .. } = match planned {
        Ok(planned) => planned,
        Err(why) => {
            complain(&why);
            return Exit::Usage;
        }
    };
    handoff_warnings.iter().for_each(|sentence| complain(sentence));
    parsed.diagnostics.extend(diagnostics);
    let source = format!("{} ({})", found.origin.path, origin(&found, &parsed));
    let exit = match worst(&parsed.diagnostics) {
        Some(Severity::Error) => Exit::BadText,
        _ if parsed.desired.links.is_empty() => Exit::NoDescription,
        _ => Exit::Success,
    };
    show(args, &source, &parsed, &resolved, &plan, exit)
}

/// The machine that `--inventory` names; the exit code if it cannot be read.
pub(super) fn recorded(args: &Args) -> Result<Option<Inventory>, Exit> {
    let read = |file: &String| -> Result<Inventory, String> {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
        serde_json::from_str(&text)
            .map_err(|e| format!("{file} is not an inventory: {e}; create one with netapply inventory"))
    };
    args.inventory.as_ref().map(read).transpose().map_err(|why| {
        complain(&why);
        Exit::Usage
    })
}

/// The plan for the machine that the user is on, as far as they may read its state.
fn of_this_machine(request: &pipeline::PlanRequest<'_>) -> Result<Planned, String> {
    let planned = block_on(async {
        pipeline::plan_unprivileged(request, &mut Session::open(NetlinkFamily::Route)?).await
    });
    match planned {
        Ok(Ok((planned, _))) => Ok(planned),
        Ok(Err(failure)) => Err(cannot_read(&failure)),
        Err(error) => Err(cannot_read(&error)),
    }
}

fn origin(found: &crate::source::Found, parsed: &Parsed) -> String {
    let format = if parsed.format.is_empty() { "no known format" } else { parsed.format };
    format!("{format}, text {}", found.origin.hash)
}

/// Prints the plan in the requested form.
fn show(args: &Args, source: &str, parsed: &Parsed, resolved: &Resolved, plan: &Plan, exit: Exit) -> Exit {
    if args.json {
        return print_json(&output(source, parsed, resolved, plan), exit);
    }
    if matches!(args.format, OutputFormat::Sh | OutputFormat::Mermaid) {
        complain_of(&parsed.texts, &parsed.diagnostics);
        if args.format == OutputFormat::Mermaid {
            return print_raw(&diagram(resolved, plan), exit);
        }
        let files: Vec<&str> = parsed.texts.iter().map(|text| text.name.as_str()).collect();
        // The shell's quotes are its escapes.
        return print_raw(&script::script(plan, &files), exit);
    }
    let renderer = Renderer { texts: &parsed.texts, style: stdout_style() };
    let mut page = Page::new(renderer.style);
    for diagnostic in &parsed.diagnostics {
        renderer.render_to(&mut page, diagnostic);
    }
    if !page.is_empty() {
        page.gap();
    }
    page.line(format_args!("Source: {source}"));
    if !resolved.links.is_empty() {
        page.gap();
        page.line(format_args!("Links:"));
        links(&mut page, resolved);
    }
    name_servers(&mut page, &resolved.resolver);
    page.gap();
    if plan.steps.is_empty() {
        let nothing = if resolved.links.is_empty() { "nothing to do" } else { "the machine is as described" };
        page.line(format_args!("Steps: none, {nothing}."));
    } else {
        page.line(format_args!("Steps:"));
        steps(&mut page, plan, args);
    }
    print(&page, exit)
}

/// The steps in order. For a recorded machine the existing state is known: each step is marked, and the marks are
/// counted.
fn steps(page: &mut Page, plan: &Plan, args: &Args) {
    let width = plan.steps.len().to_string().len() + 2;
    for (number, step) in (1..).zip(&plan.steps) {
        let once = step.action.irreversible().filter(|_| args.strict);
        let once = once.map_or_else(String::new, |why| format!("  # --strict cannot undo it: {why}"));
        let text = format!("{}{once}", script::line(&step.action));
        let number = format!("{number:>width$}  ");
        let (look, mark) = match step.action.mark().filter(|_| args.inventory.is_some()) {
            Some(Mark::Make) => (Look::Green, Mark::Make.sign()),
            Some(Mark::Change) => (Look::Yellow, Mark::Change.sign()),
            Some(Mark::Remove) => (Look::Red, Mark::Remove.sign()),
            None => (Look::Normal, " "),
        };
        match args.inventory {
            Some(_) => {
                page.styled(&[(Look::Normal, &number), (look, mark), (Look::Normal, &format!(" {text}"))])
            }
            None => page.line(format_args!("{number}{text}")),
        }
    }
    if args.inventory.is_some() {
        let count = |mark| plan.steps.iter().filter(|step| step.action.mark() == Some(mark)).count();
        let [make, change, remove] = [Mark::Make, Mark::Change, Mark::Remove].map(count);
        page.gap();
        page.line(format_args!("Plan: {make} to make, {change} to change, {remove} to remove."));
    }
}

/// The names of the links: `  aggi  aggi  bond, to be made`.
fn links(page: &mut Page, resolved: &Resolved) {
    let width = |text: fn(&ResolvedLink) -> &str| {
        resolved.links.iter().map(|l| text(l).chars().count()).max().unwrap_or(0)
    };
    let (ids, names) = (width(|l| &l.desired.id), width(|l| &l.name));
    for link in &resolved.links {
        let what = match (&link.matched, &link.current) {
            (Some(by), Some(current)) if *current == link.name => format!("by {by}"),
            (Some(by), Some(current)) => format!("now {current}, by {by}"),
            (Some(_), None) => format!("stand-in for {}", link.desired.select.what()),
            (None, Some(_)) => format!("{}, exists", link.desired.kind.noun()),
            (None, None) => format!("{}, to be created", link.desired.kind.noun()),
        };
        let others = left_to_others(link);
        page.line(format_args!("  {:ids$}  {:names$}  {what}{others}", link.desired.id, link.name));
    }
}

/// `Name servers: 192.0.2.53, 2001:db8::53; search example.com`; nothing if the description has neither.
fn name_servers(page: &mut Page, resolver: &Resolver) {
    let servers: Vec<String> = resolver.servers.iter().map(|s| resolver.shown(&s.value)).collect();
    let search: Vec<&str> = resolver.search.iter().map(|s| s.value.as_str()).collect();
    if servers.is_empty() && search.is_empty() {
        return;
    }
    let servers = if servers.is_empty() { "none".to_owned() } else { servers.join(", ") };
    let search = if search.is_empty() { String::new() } else { format!("; search {}", search.join(" ")) };
    page.gap();
    page.line(format_args!("Name servers: {servers}{search}"));
}

/// What needs a client in the image. The kernel itself handles router advertisements.
fn clients(link: &ResolvedLink) -> impl Iterator<Item = Dynamic> {
    let dynamic = link.desired.dynamic.iter().map(|d| d.value);
    dynamic.filter(|d| *d != Dynamic::RouterAdvertisements && link.lease.is_none())
}

/// What a client in the image is to do on the link.
fn left_to_others(link: &ResolvedLink) -> String {
    let words: Vec<&str> = clients(link).map(Dynamic::words).collect();
    // What only hears routers asks for no lease.
    let asks = link.desired.dynamic.iter().all(|d| d.value != Dynamic::RouterAdvertisements);
    let own = if link.lease.is_some() && asks { "; DHCP by netapply" } else { "" };
    match words.is_empty() {
        true => own.to_owned(),
        false => format!("{own}; {} left to the image", words.join(" and ")),
    }
}

fn output<'a>(source: &str, parsed: &'a Parsed, resolved: &'a Resolved, plan: &Plan) -> Output<'a> {
    let renderer = Renderer { texts: &parsed.texts, style: Style::Plain };
    let step = |(number, step): (usize, &plan::Step)| StepOut {
        number,
        command: script::line(&step.action),
        mark: step.action.mark().map(Mark::word),
        link: step.link.clone(),
        at: renderer.at(step.at, None),
        needs: step.needs.iter().map(|id| id.0 + 1).collect(),
        irreversible: step.action.irreversible(),
    };
    Output {
        version: 1,
        source: source.to_owned(),
        format: parsed.format,
        diagnostics: renderer.records(&parsed.diagnostics),
        links: resolved.links.iter().map(link_out).collect(),
        left_to_others: resolved.links.iter().filter_map(left_out).collect(),
        resolver: ResolverOut {
            servers: resolved.resolver.servers.iter().map(|s| resolved.resolver.shown(&s.value)).collect(),
            search: resolved.resolver.search.iter().map(|s| s.value.as_str()).collect(),
        },
        steps: (1..).zip(&plan.steps).map(step).collect(),
    }
}

fn left_out(link: &ResolvedLink) -> Option<LeftOut<'_>> {
    let dynamic: Vec<Dynamic> = clients(link).collect();
    (!dynamic.is_empty()).then_some(LeftOut { id: &link.desired.id, name: &link.name, dynamic })
}

fn link_out(link: &ResolvedLink) -> LinkOut<'_> {
    let kind = link.desired.kind;
    let matched = link.matched.as_ref().filter(|_| !link.stand_in);
    LinkOut {
        id: &link.desired.id,
        kind: if kind == Kind::Physical { "physical" } else { kind.word() },
        name: &link.name,
        current: link.current.as_deref(),
        matched_by: matched.map(ToString::to_string),
        stand_in: link.stand_in,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::RouteEntry;
    use crate::model::Place;
    use crate::plan::{Action, Step};

    #[test]
    fn a_step_that_strict_cannot_undo_says_why() {
        let step = |action| Step { action, at: Place::NONE, link: String::new(), needs: Vec::new() };
        let delete = Action::DeleteLink { name: "x".to_owned() };
        let mut route = RouteEntry::new("192.0.2.0/24".parse().unwrap());
        route.unknown = vec![21];
        let plan = Plan { steps: vec![step(Action::DeleteRoute(route)), step(delete)] };
        let (parsed, resolved) = (Parsed::default(), Resolved::default());
        let json = serde_json::to_value(output("", &parsed, &resolved, &plan)).unwrap();
        assert_eq!(json["steps"][0]["irreversible"], "the route has attributes that netapply does not know");
        assert!(json["steps"][1].get("irreversible").is_none());
    }
}
