//! [`Desired`] to the text of another tool: the way back of `format`. Never sees the machine, and writes nothing.
//!
//! [`export`] hands the description to the tool's own module. What that tool cannot express is a [`ExportLoss`], at the line
//! that asked for it, and never left out in silence. What `format` reads and this room writes uses one table of facts:
//! `format`'s.

mod netplan;
mod tree;

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::model::{Desired, Kind, Link, Place};
use crate::resolve::{Resolved, ResolvedLink};

/// A tool that a description can be written for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// netplan, version 2.
    Netplan,
}

impl Tool {
    /// Every tool, by the name that the command line has for it.
    pub const ALL: &'static [(&'static str, Tool)] = &[("netplan", Tool::Netplan)];

    /// The name for a person.
    fn name(self) -> &'static str {
        match self {
            Tool::Netplan => "netplan",
        }
    }
}

/// A file as its tool wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name below the tool's own folder.
    pub name: String,
    /// Permissions.
    pub mode: u32,
    /// What it says.
    pub text: String,
}

/// A part of a link that a tool has no place for, named as in [`Link`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // they are the fields of `Link`
pub enum Part {
    Kind,
    Select,
    Naming,
    Mac,
    Parent,
    Members,
    Settings,
    Port,
    Vlans,
    Ipv6,
    Addresses,
    Routes,
    Rules,
    Resolver,
    Dhcp4,
    Features,
    Optional,
}

/// Something that is described and that the tool cannot express, or expresses elsewhere (a note).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportLoss {
    /// The id of the link; empty for what belongs to none.
    pub link: String,
    /// What of it.
    pub part: Part,
    /// The message.
    pub diagnostic: Diagnostic,
}

/// What was made of a description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The files, none where no link can be expressed.
    pub files: Vec<File>,
    /// What is not in them.
    pub losses: Vec<ExportLoss>,
}

/// Writes a description for a tool. `resolved` is the same description joined with a machine, for the names of links.
pub fn export(tool: Tool, desired: &Desired, resolved: &Resolved) -> Exported {
    let mut losses = Losses { tool: tool.name(), list: Vec::new() };
    let names = Names::new(resolved);
    let files = match tool {
        Tool::Netplan => netplan::write(desired, &names, &mut losses),
    };
    Exported { files, losses: losses.list }
}

/// The first line of every file that has comments.
const HEADER: &str =
    "# Written by netapply convert. Changes to this file are lost when it is written again.\n";

/// Collects what is lost.
struct Losses {
    tool: &'static str,
    list: Vec<ExportLoss>,
}

impl Losses {
    /// The tool has no `what`: a clause such as `bond option lacp_active`.
    fn none(&mut self, link: &Link, part: Part, at: Place, what: impl fmt::Display) {
        let message = format!("\"{}\": {} has no {what}, left out", link.id, self.tool);
        self.push(&link.id, part, Diagnostic::new(Code::NotInFormat, at, message));
    }

    /// The tool has no `what`, and the description did not ask for it in so many words: a note.
    fn differs(&mut self, link: &Link, part: Part, at: Place, what: impl fmt::Display) {
        let message = format!("\"{}\": {what}", link.id);
        let note = Diagnostic::new(Code::NotInFormat, at, message).severity(Severity::Note);
        self.push(&link.id, part, note);
    }

    fn push(&mut self, link: &str, part: Part, diagnostic: Diagnostic) {
        self.list.push(ExportLoss { link: link.to_owned(), part, diagnostic });
    }
}

/// The names that links have in the kernel, by their ids.
struct Names<'a> {
    by_id: HashMap<&'a str, &'a ResolvedLink>,
}

impl<'a> Names<'a> {
    fn new(resolved: &'a Resolved) -> Self {
        let links = resolved.links.iter().rev();
        Names { by_id: links.map(|link| (link.desired.id.as_str(), link)).collect() }
    }

    /// The name of a made link, which is its id where it has none.
    fn of<'n>(&'n self, link: &'n Link) -> &'n str {
        self.by_id.get(link.id.as_str()).map_or(&link.id, |resolved| &resolved.name)
    }

    /// The name that a NIC of the machine has; `None` where the description alone is known, or no such NIC is there.
    fn nic(&self, link: &Link) -> Option<&str> {
        self.by_id.get(link.id.as_str()).filter(|resolved| !resolved.stand_in)?.current.as_deref()
    }
}

/// The links that a tool can make: those that `can_make` takes, without what stands on the others. What is left out has
/// been reported; members that are left out are taken from their controllers.
fn expressible(
    desired: &Desired,
    mut can_make: impl FnMut(&Link, &mut Losses) -> bool,
    losses: &mut Losses,
) -> Vec<Link> {
    let mut links = desired.links.clone();
    let mut lost: HashSet<String> = HashSet::new();
    links.retain(|link| {
        let can = can_make(link, losses);
        if !can {
            lost.insert(link.id.clone());
        }
        can
    });
    loop {
        let before = lost.len();
        links.retain(|link| {
            let below = link.parent.iter().chain(&link.peer).find(|below| lost.contains(&below.value));
            let Some(below) = below else { return true };
            let what = format!("\"{}\", which {} \"{0}\" needs", below.value, link.kind.noun());
            losses.none(link, Part::Kind, link.at, what);
            lost.insert(link.id.clone());
            false
        });
        if lost.len() == before {
            break;
        }
    }
    for link in &mut links {
        let members = std::mem::take(&mut link.members);
        let (stay, go) = members.into_iter().partition(|member| !lost.contains(&member.value));
        link.members = stay;
        for member in go {
            losses.none(link, Part::Members, member.at, format_args!("member \"{}\"", member.value));
        }
    }
    links
}

/// Where to put what belongs to no link in a tool that has such things at links only: the link with a default route,
/// else the first that has an address, else the first.
fn main_link(links: &[Link]) -> Option<usize> {
    let with = |what: fn(&Link) -> bool| links.iter().position(what);
    with(|link| link.routes.iter().any(crate::model::Route::is_default))
        .or_else(|| with(|link| !link.addresses.is_empty() || !link.dynamic.is_empty()))
        .or_else(|| with(|link| link.kind != Kind::Physical || !link.select.implied))
        .or((!links.is_empty()).then_some(0))
}

#[cfg(test)]
mod tests;
