//! The commands that only print something.

use super::{Exit, block_on, complain, pipeline, print, print_json};
use crate::cli::Args;
use crate::diagnostic::{Code, Severity, nearest};
use crate::inventory::{Inventory, ObservedLink};
use crate::kernel::session::{NetlinkFamily, Session};
use crate::machine::Machine;
use crate::model::LinkLayer;
use crate::page::Page;
use crate::report::Timeline;
use crate::report::places::Places;
use crate::verify::{LISTEN, announcement};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// `netapply inventory`.
pub(super) fn inventory(args: &Args) -> Exit {
    match observed(&Machine::default()) {
        Ok(mut inventory) => {
            let heard = if args.lldp { block_on(announced(&mut inventory)) } else { Ok(Exit::Success) };
            print_json(&inventory, heard.unwrap_or(Exit::Refused))
        }
        Err(why) => {
            complain(&why);
            Exit::Refused
        }
    }
}

/// Records the switch port of each NIC that hears an announcement within the bound.
async fn announced(inventory: &mut Inventory) -> Exit {
    let able = |link: &&mut ObservedLink| link.is_nic() && link.layer == LinkLayer::Ether;
    let (mut awaited, down): (Vec<&mut ObservedLink>, Vec<&mut ObservedLink>) =
        inventory.links.iter_mut().filter(able).partition(|link| link.up && link.carrier);
    let names = |links: &[&mut ObservedLink]| {
        let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        names.join(", ")
    };
    if !down.is_empty() {
        complain(&format!("not listening on {}: down, or without carrier", names(&down)));
    }
    if awaited.is_empty() {
        return Exit::Success;
    }
    let seconds = LISTEN.as_secs();
    complain(&format!("waiting up to {seconds} s for announcements of the switch on {}", names(&awaited)));
    let mut listeners = JoinSet::new();
    for index in awaited.iter().map(|link| link.index) {
        listeners.spawn(async move { (index, announcement(index).await) });
    }
    let mut exit = Exit::Success;
    let end = Instant::now() + LISTEN;
    while let Ok(Some(Ok((index, heard)))) = timeout_at(end, listeners.join_next()).await {
        let Some(at) = awaited.iter().position(|link| link.index == index) else { continue };
        let link = awaited.remove(at);
        match heard {
            Ok(port) => link.lldp = Some(port),
            Err(error) => {
                complain(&format!("cannot listen on {}: {error}", link.name));
                exit = Exit::Incomplete;
            }
        }
    }
    if !awaited.is_empty() {
        complain(&format!("no announcement on {} in {seconds} s", names(&awaited)));
    }
    exit
}

/// The machine in its current state.
///
/// # Errors
/// Why it cannot be read, as a sentence.
pub(super) fn observed(machine: &Machine) -> Result<Inventory, String> {
    let reading = async {
        let mut session = Session::open(NetlinkFamily::Route)?;
        pipeline::observe(machine, &mut session).await
    };
    match block_on(reading) {
        Ok(Ok((inventory, _))) => Ok(inventory),
        Ok(Err(failure)) => Err(cannot_read(&failure)),
        Err(error) => Err(cannot_read(&error)),
    }
}

/// Why the machine cannot be read.
pub(super) fn cannot_read(why: &dyn std::error::Error) -> String {
    format!("cannot read the kernel's network state: {why}")
}

/// `netapply report`.
pub(super) fn report(args: &Args) -> Exit {
    let machine = Machine::default();
    let last: serde_json::Value = match Places(&machine).last() {
        Ok(last) => last,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            complain("no report: netapply has not run since this machine was booted");
            return Exit::NoDescription;
        }
        Err(error) => {
            complain(&format!("{}: {error}", machine.report().display()));
            return Exit::NoDescription;
        }
    };
    if args.json {
        return print_json(&last, Exit::Success);
    }
    if args.timeline {
        #[derive(Deserialize)]
        struct Timed {
            timeline: Timeline,
        }
        return match Places(&machine).last() {
            Ok(Timed { timeline }) => print(&timeline.page(), Exit::Success),
            Err(_) => {
                complain("the last report has no timeline");
                Exit::NoDescription
            }
        };
    }
    let lines = last.get("screen").and_then(|s| s.as_array()).into_iter().flatten();
    let mut page = Page::default();
    lines.filter_map(|line| line.as_str()).for_each(|line| page.line(format_args!("{line}")));
    print(&page, Exit::Success)
}

#[derive(Serialize)]
struct Explained {
    version: u32,
    code: Code,
    severity: Severity,
    explanation: &'static str,
}

impl From<Code> for Explained {
    fn from(code: Code) -> Self {
        Explained { version: 1, code, severity: code.severity(), explanation: code.explanation() }
    }
}

/// `netapply explain`: every code, grouped by topic.
pub(super) fn codes(args: &Args) -> Exit {
    if args.json {
        let all: Vec<Explained> = Code::ALL.iter().copied().map(Explained::from).collect();
        return print_json(&all, Exit::Success);
    }
    let mut page = Page::default();
    Code::ALL.iter().for_each(|code| page.line(format_args!("{:<22} {}", code.text(), code.severity())));
    print(&page, Exit::Success)
}

/// `netapply explain CODE`.
pub(super) fn explain(args: &Args, wanted: &str) -> Exit {
    match wanted.parse::<Code>() {
        Ok(code) if args.json => print_json(&Explained::from(code), Exit::Success),
        Ok(code) => {
            let mut page = Page::default();
            page.line(format_args!("{code} ({})", code.severity()));
            page.gap();
            page.line(format_args!("{}", code.explanation()));
            print(&page, Exit::Success)
        }
        Err(()) => {
            let near = nearest(wanted, Code::ALL.iter().map(|c| c.text()));
            let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            complain(&format!("unknown code \"{wanted}\"{hint}"));
            Exit::Usage
        }
    }
}
