//! From one description to another: a machine that had the first must end in the same state as a fresh one.
//!
//! The oracle is the kernel, not the planner's own model of it: ip(8) and /proc/sys are queried about every link of the
//! second description. The comparison covers its addresses and routes, its rules if it has any, and every attribute and
//! setting that it changes on a fresh machine. Anything else from the first may stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cases;
use crate::whole::{Lines, OnLinks, lines};
use crate::world::{Description, LeftToOthers, World, make, nics, together, until};

/// The cases that suit a machine of this kind: those whose plan has steps, creates only links of `kinds`, mentions none
/// of `lacking`, and is for NICs that veths can stand in for.
pub fn cases_of(kinds: &[&str], lacking: &[&str]) -> Vec<PathBuf> {
    let mut found = cases::cases();
    found.retain(|case| {
        let plan = std::fs::read_to_string(case.join("plan.txt")).unwrap_or_default();
        let added = plan.lines().filter(|line| line.contains("ip link add "));
        let mut kind_of = added.filter_map(|line| line.split(" type ").nth(1)?.split(' ').next());
        let has_steps = plan.lines().any(|line| line == "Steps:");
        let is_able = kind_of.all(|kind| kinds.contains(&kind)) && !lacking.iter().any(|l| plan.contains(l));
        // No machine of these tests has firmware that names the NIC of its root.
        let inventory = std::fs::read_to_string(case.join("inventory.json")).unwrap_or_default();
        has_steps && is_able && !inventory.contains("\"root_nics\"") && nics(case).is_ok()
    });
    found
}

/// The bridges that a case creates.
fn bridges(case: &Path) -> BTreeSet<String> {
    let plan = std::fs::read_to_string(case.join("plan.txt")).unwrap_or_default();
    let made = plan.lines().filter(|line| line.contains("ip link add ") && line.contains(" type bridge"));
    made.filter_map(|line| line.split(" name ").nth(1)?.split(' ').next().map(str::to_owned)).collect()
}

/// This many pairs: each case is first once and second once before any is again, in a fixed order that mixes formats.
/// Two that create the same bridge are left out: what only the first describes of it stays, and its times, priority and
/// ports show in a dozen attributes of it and of every port.
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
    let all = (0..len * (len - 1)).map(one);
    all.filter(|(from, to)| bridges(from).is_disjoint(&bridges(to))).take(count).collect()
}

/// How many pairs are tried: `NETAPPLY_TRANSITIONS`, or this many.
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

/// Applies both, and the second alone on another machine; returns the differences.
pub fn run(from: &Path, to: &Path, program: &Path) -> Result<(), String> {
    let all = together(&nics(to)?, &nics(from)?);
    let description = |case: &Path| Description { case: case.to_owned(), program: program.to_owned() };
    let (changed, fresh) = (World::default(), World::default());
    let (first, second) = (description(from), description(to));
    let (here, nics) = (second.clone(), all.clone());
    let by_change = changed.start(move || {
        make(&nics)?;
        // As far as this machine supports it.
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
    if let Err(error) = by_change.recv().expect("the machine lives") {
        // Links of the first that the second does not have keep their settings, and the kernel refuses a gateway that
        // is its own.
        let own = error.contains("Nexthop has invalid gateway")
            && error.split_once(" via ").and_then(|(_, rest)| rest.split(' ').next()).is_some_and(
                |gateway| {
                    let address = format!("\"local\":\"{gateway}\"");
                    let has_it = |(link, _, what): &OnLinks| !links.contains(link) && what.contains(&address);
                    changed.run(lines).on_links.iter().any(has_it)
                },
            );
        if own {
            println!("not compared: a gateway of the second is an address of the first's");
            return Ok(());
        }
        return Err(format!("after the first: {error}"));
    }
    let (left, found) = changed.run(move || Ok::<_, String>((second.left_to_do()?, second.links()?.0)))?;
    if !left.is_empty() {
        return Err(format!("left to do:\n{left}"));
    }
    if found != links {
        // A NIC that is described by name may have got it from the first description.
        println!("other links: {found:?}, on a fresh machine {links:?}");
        return Ok(());
    }
    let renamed = renamed(&before, &fresh.run(lines));
    let judge = Judge { before, links, left_to_others, renamed };
    until(|| judge.compare(&changed.run(lines), &fresh.run(lines)))
        .map_err(|differs| format!("only after the change -, only on the fresh machine +\n{differs}"))
}

/// The NICs that were renamed, by both names: the hardware address identifies them.
fn renamed(before: &Lines, after: &Lines) -> Vec<(String, String)> {
    let addresses = |lines: &Lines| -> BTreeMap<String, String> {
        let each = lines.links.iter().filter_map(|line| line.split_once(" address = "));
        each.map(|(name, mac)| (name.to_owned(), mac.to_owned())).collect()
    };
    let (before, after) = (addresses(before), addresses(after));
    let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
    let now = |mac: &String| {
        after
            .iter()
            .find(|(name, address)| *address == mac && !before.contains_key(*name))
            .map(|(name, _)| name)
    };
    gone.filter_map(|(name, mac)| Some((name.clone(), now(mac)?.clone()))).collect()
}

/// What the second description decides.
struct Judge {
    /// The fresh machine before it. An attribute of a link that it does not change may have any value.
    before: Lines,
    links: BTreeSet<String>,
    left_to_others: LeftToOthers,
    /// NICs that the second description renames on a fresh machine, by their earlier names.
    renamed: Vec<(String, String)>,
}

impl Judge {
    fn compare(&self, changed: &Lines, fresh: &Lines) -> Result<(), String> {
        let mut wrong = String::new();
        // The default MTU of a bridge or bond is that of its ports, which may be unchanged.
        let is_usual = |line: &str| line.ends_with(" mtu = 1500") || line.ends_with("/mtu = 1500");
        let desired = fresh.links.iter().filter(|line| !self.was_so_before(line) && !is_usual(line));
        for line in desired.filter(|line| !changed.links.contains(*line)) {
            let name = line.split(['/', ' ']).find(|word| !matches!(*word, "ipv4" | "ipv6"));
            if name.is_some_and(|name| self.links.contains(name)) {
                let attribute = line.split_inclusive(" = ").next().unwrap_or(line);
                let now = changed.links.iter().find(|other| other.starts_with(attribute));
                now.iter().for_each(|now| wrong += &format!("- {now}\n"));
                wrong += &format!("+ {line}\n");
            }
        }
        let advertised = |link: &String| {
            // Addresses and routes from router advertisements stay.
            [1, 2].iter().any(|on| {
                let line = format!("ipv6/{link}/accept_ra = {on}");
                fresh.links.contains(&line) && !self.before.links.contains(&line)
            })
        };
        let decided = |(links, family, _): &&OnLinks| {
            !links.is_empty()
                && links.split(' ').map(str::to_owned).all(|link| {
                    let left = self.left_to_others.contains(&(link.clone(), family));
                    self.links.contains(&link) && !left && !(*family == "-6" && advertised(&link))
                })
        };
        let here = |lines: &Lines| lines.on_links.iter().filter(decided).cloned().collect::<BTreeSet<_>>();
        let (left, right) = (here(changed), here(fresh));
        let mut missing: BTreeSet<_> = right.difference(&left).collect();
        for line in left.difference(&right) {
            match self.without_precedence(line, changed) {
                Some(plain) if missing.remove(&plain) => {}
                _ => wrong += &format!("- {}\n", line.2),
            }
        }
        missing.iter().for_each(|(_, _, what)| wrong += &format!("+ {what}\n"));
        // A description without rules leaves existing ones.
        if fresh.rules != self.before.rules {
            changed.rules.difference(&fresh.rules).for_each(|what| wrong += &format!("- {what}\n"));
            fresh.rules.difference(&changed.rules).for_each(|what| wrong += &format!("+ {what}\n"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Whether the fresh machine had this attribute before the second description, possibly under an earlier name of
    /// the NIC.
    fn was_so_before(&self, line: &str) -> bool {
        self.before.links.contains(line)
            || self.renamed.iter().any(|(from, to)| {
                let line = match line.strip_prefix(&format!("{to} ")) {
                    Some(attribute) => format!("{from} {attribute}"),
                    None => line.replacen(&format!("/{to}/"), &format!("/{from}/"), 1),
                };
                self.before.links.contains(&line)
            })
    }

    /// An IPv6 route as if it took no precedence, which is one metric higher: one to the same destination with that
    /// metric, on a link that the second description does not have, keeps its place.
    fn without_precedence(&self, line: &OnLinks, changed: &Lines) -> Option<OnLinks> {
        let mut route: serde_json::Value = serde_json::from_str(&line.2).ok()?;
        let metric = route.get("metric")?.as_u64()? + 1;
        let is_preceded = |(links, family, other): &OnLinks| {
            let Ok(other) = serde_json::from_str::<serde_json::Value>(other) else { return false };
            let same = ["dst", "table"].iter().all(|key| other[*key] == route[*key]);
            let undescribed = !links.split(' ').any(|link| self.links.contains(link));
            *family == "-6" && same && undescribed && other["metric"] == metric
        };
        if line.1 != "-6" || !changed.on_links.iter().any(is_preceded) {
            return None;
        }
        route["metric"] = metric.into();
        Some((line.0.clone(), line.1, route.to_string()))
    }
}
