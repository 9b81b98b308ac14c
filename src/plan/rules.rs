//! Policy rules.

use foldhash::HashMap;

use super::Planner;
use super::step::Action;
use crate::inventory::{RuleEntry, Selectors};
use crate::model::{Place, Protocol, Rule};

/// Rules without a priority are numbered from here, below the kernel's own at 32766.
const FIRST: u32 = 30_000;

impl Planner<'_> {
    /// Undescribed rules of protocol static are removed, if the description has rules at all; missing ones are added.
    pub(super) fn rules(&mut self) {
        let rules = &self.resolved.rules;
        if rules.is_empty() {
            return;
        }
        // The priorities of the existing rules, by everything else in them: there may be thousands.
        let mut there: HashMap<RuleEntry, Vec<u32>> = HashMap::default();
        for rule in &self.state.rules {
            there.entry(unnumbered(rule)).or_default().push(rule.priority);
        }
        let mut missing = Vec::new();
        for (index, rule) in (0..).zip(rules) {
            let entry = entry(rule, FIRST.saturating_add(index));
            let left = there.entry(unnumbered(&entry)).or_default();
            match left.iter().position(|priority| rule.priority.is_none_or(|desired| desired == *priority)) {
                Some(same) => drop(left.remove(same)),
                None => missing.push((rule.at, entry)),
            }
        }
        let is_left = |r: &&RuleEntry| there.get(&unnumbered(r)).is_some_and(|l| l.contains(&r.priority));
        let ours =
            self.state.rules.iter().filter(|r| r.protocol == Protocol::Static && !r.foreign).filter(is_left);
        for rule in ours.cloned().collect::<Vec<_>>() {
            self.push("", Place::NONE, Action::DeleteRule(rule));
        }
        for (at, entry) in missing {
            self.push("", at, Action::AddRule(entry));
        }
    }
}

fn unnumbered(rule: &RuleEntry) -> RuleEntry {
    RuleEntry { priority: 0, ..rule.clone() }
}

fn entry(rule: &Rule, unnumbered: u32) -> RuleEntry {
    RuleEntry {
        family: rule.family,
        from: rule.from,
        to: rule.to,
        table: rule.table,
        action: rule.action,
        priority: rule.priority.unwrap_or(unnumbered),
        mark: rule.mark,
        mask: rule.mask,
        suppress: rule.suppress,
        tos: rule.tos,
        protocol: Protocol::Static,
        foreign: false,
        selectors: Selectors { iif: rule.iif.clone(), ..Selectors::default() },
    }
}
