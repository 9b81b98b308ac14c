//! From one description to another: a machine that had the first must end where a fresh one ends.
//!
//! The kernel is the oracle, not the planner's own model of it: ip(8) and /proc/sys are asked about every link of the
//! second description. Compared are its addresses and routes, its rules if it has any, and every attribute and setting
//! that it changes on a fresh machine. The rest of what the first describes may stay.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cases;
use crate::whole::{Lines, lines};
use crate::world::{Description, LeftToOthers, World, make, nics, together, until};

/// The cases that a machine of this kind can be given: those whose plan has steps, makes links of `kinds` only, says none
/// of `lacking`, and is for NICs for which veths can stand in.
pub fn cases_of(kinds: &[&str], lacking: &[&str]) -> Vec<PathBuf> {
    let mut found = cases::cases();
    found.retain(|case| {
        let plan = std::fs::read_to_string(case.join("plan.txt")).unwrap_or_default();
        let added = plan.lines().filter(|line| line.contains("ip link add "));
        let mut kind_of = added.filter_map(|line| line.split(" type ").nth(1)?.split(' ').next());
        let has_steps = plan.lines().any(|line| line == "Steps:");
        let is_able = kind_of.all(|kind| kinds.contains(&kind)) && !lacking.iter().any(|l| plan.contains(l));
        has_steps && is_able && nics(case).is_ok()
    });
    found
}

/// So many pairs: each case comes first once and second once before any does so again, in an order that mixes formats and
/// is always the same.
pub fn pairs(cases: &[PathBuf], count: usize) -> Vec<(PathBuf, PathBuf)> {
    // FNV-1a.
    let hash = |case: &PathBuf| {
        let name = cases::name(case);
        name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    };
    let mut mixed: Vec<&PathBuf> = cases.iter().collect();
    mixed.sort_by_key(|case| hash(case));
    let len = mixed.len();
    let one = |number: usize| {
        let (distance, from) = (1 + number / len, number % len);
        (mixed[from].clone(), mixed[(from + distance) % len].clone())
    };
    (0..count.min(len * (len - 1))).map(one).collect()
}

/// How many pairs are tried: `NETAPPLY_TRANSITIONS`, or else so many.
pub fn wanted(usual: usize) -> usize {
    let wanted = std::env::var("NETAPPLY_TRANSITIONS").ok();
    wanted.map_or(usual, |count| count.parse().expect("NETAPPLY_TRANSITIONS is a number"))
}

/// `from -> to`, by the names of the cases.
pub fn name((from, to): &(PathBuf, PathBuf)) -> String {
    let short = |case: &Path| {
        let words: Vec<_> = case.iter().rev().take(2).map(|word| word.to_string_lossy()).collect();
        words.iter().rev().map(AsRef::as_ref).collect::<Vec<_>>().join("/")
    };
    format!("{} -> {}", short(from), short(to))
}

/// Applies both, and the second alone on another machine; what differs.
pub fn run(from: &Path, to: &Path, program: &Path) -> Result<(), String> {
    let all = together(&nics(to)?, &nics(from)?);
    let description = |case: &Path| Description { case: case.to_owned(), program: program.to_owned() };
    let (changed, fresh) = (World::default(), World::default());
    let (first, second) = (description(from), description(to));
    let (here, nics) = (second.clone(), all.clone());
    let by_change = changed.start(move || {
        make(&nics)?;
        // Whatever of it this machine can do.
        let _ = first.apply();
        here.apply()
    });
    let here = second.clone();
    let before = fresh.start(move || {
        make(&all)?;
        let before = lines();
        here.apply().map_err(|error| format!("on a fresh machine: {error}"))?;
        Ok((before, here.links()?))
    });
    let (before, (links, left_to_others)) =
        before.recv().expect("the machine lives").map_err(|error: String| error)?;
    by_change.recv().expect("the machine lives").map_err(|error| format!("after the first: {error}"))?;
    let (left, found) = changed.run(move || Ok::<_, String>((second.left_to_do()?, second.links()?.0)))?;
    if !left.is_empty() {
        return Err(format!("left to do:\n{left}"));
    }
    if found != links {
        // A NIC that is described by name may have got it from the first description.
        println!("other links: {found:?}, on a fresh machine {links:?}");
        return Ok(());
    }
    let judge = Judge { before, links, left_to_others };
    until(|| judge.compare(&changed.run(lines), &fresh.run(lines)))
        .map_err(|differs| format!("only after the change -, only on the fresh machine +\n{differs}"))
}

/// What the second description decides.
struct Judge {
    /// The fresh machine before it. An attribute of a link that it does not change may be what it is.
    before: Lines,
    links: BTreeSet<String>,
    left_to_others: LeftToOthers,
}

impl Judge {
    fn compare(&self, changed: &Lines, fresh: &Lines) -> Result<(), String> {
        let mut wrong = String::new();
        // The usual MTU of a bridge or bond is that of its ports, which may be what it was.
        let is_usual = |line: &str| line.ends_with(" mtu = 1500") || line.ends_with("/mtu = 1500");
        let desired = fresh.links.difference(&self.before.links).filter(|line| !is_usual(line));
        for line in desired.filter(|line| !changed.links.contains(*line)) {
            let name = line.split(['/', ' ']).find(|word| !matches!(*word, "ipv4" | "ipv6"));
            if name.is_some_and(|name| self.links.contains(name)) {
                wrong += &format!("+ {line}\n");
            }
        }
        let advertised = |link: &String| {
            // Addresses and routes that a router announces stay.
            [1, 2].iter().any(|on| {
                let line = format!("ipv6/{link}/accept_ra = {on}");
                fresh.links.contains(&line) && !self.before.links.contains(&line)
            })
        };
        let decided = |(links, family, _): &&(String, &'static str, String)| {
            !links.is_empty()
                && links.split(' ').map(str::to_owned).all(|link| {
                    let left = self.left_to_others.contains(&(link.clone(), family));
                    self.links.contains(&link) && !left && !(*family == "-6" && advertised(&link))
                })
        };
        let here = |lines: &Lines| lines.on_links.iter().filter(decided).cloned().collect::<BTreeSet<_>>();
        let (left, right) = (here(changed), here(fresh));
        left.difference(&right).for_each(|(_, _, what)| wrong += &format!("- {what}\n"));
        right.difference(&left).for_each(|(_, _, what)| wrong += &format!("+ {what}\n"));
        // A description without rules leaves those that are there.
        if fresh.rules != self.before.rules {
            changed.rules.difference(&fresh.rules).for_each(|what| wrong += &format!("- {what}\n"));
            fresh.rules.difference(&changed.rules).for_each(|what| wrong += &format!("+ {what}\n"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}
