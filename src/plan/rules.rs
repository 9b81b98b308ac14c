//! Policy rules.

use super::Planner;
use super::step::Action;
use crate::inventory::RuleEntry;
use crate::model::{Family, Rule};

/// What netapply's own rules carry (`FRA_PROTOCOL`).
const STATIC: u8 = 4;
/// Rules without a priority are numbered from here, below the kernel's own at 32766.
const FIRST: u32 = 30_000;

impl Planner<'_> {
    /// Rules of protocol static that are not described go, where the description has rules at all; those that are
    /// missing come.
    pub(super) fn rules(&mut self) {
        let rules = &self.resolved.rules;
        let mut kept: Vec<RuleEntry> = Vec::new();
        let mut missing = Vec::new();
        for (index, rule) in (0..).zip(rules) {
            let entry = entry(rule, FIRST.saturating_add(index));
            let there = self
                .state
                .rules
                .iter()
                .find(|t| !kept.contains(t) && is_same(t, &entry, rule.priority.is_some()));
            match there {
                Some(there) => kept.push(there.clone()),
                None => missing.push((rule.at, entry)),
            }
        }
        if rules.is_empty() {
            return;
        }
        let ours =
            self.state.rules.iter().filter(|r| r.protocol == STATIC && !r.foreign && !kept.contains(r));
        for rule in ours.cloned().collect::<Vec<_>>() {
            self.push("", crate::model::Place::NONE, Action::DeleteRule(rule));
        }
        for (at, entry) in missing {
            self.push("", at, Action::AddRule(entry));
        }
    }
}

fn is_same(there: &RuleEntry, wished: &RuleEntry, with_priority: bool) -> bool {
    let mut there = there.clone();
    if !with_priority {
        there.priority = wished.priority;
    }
    there == *wished
}

fn entry(rule: &Rule, unnumbered: u32) -> RuleEntry {
    RuleEntry {
        family: if rule.family == Family::V4 { 4 } else { 6 },
        from: rule.from,
        to: rule.to,
        table: rule.table,
        priority: rule.priority.unwrap_or(unnumbered),
        mark: rule.mark,
        tos: rule.tos,
        protocol: STATIC,
        foreign: false,
    }
}
