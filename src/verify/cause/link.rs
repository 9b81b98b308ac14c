//! Causes at a NIC itself: missing, late, without cable, half duplex.

use super::{Case, Cause, Certainty, list};
use crate::diagnostic::{Code, Severity};
use crate::kernel::live::LinkState;
use crate::model::{Kind, MacAddr};
use crate::plan::{Action, LinkChange, Step};
use crate::verify::checks::{Check, Outcome};

/// The NICs of the machine as a person counts them.
fn nics<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a LinkState> {
    case.evidence.links.iter().filter(|l| (l.kind.is_hardware() || l.kind.is(Kind::Veth)) && !l.loopback)
}

fn mac_of(link: &LinkState) -> Option<MacAddr> {
    link.permanent_mac.or(link.mac)
}

/// The described NIC is missing, or appeared only after the description was applied.
pub(super) fn nic_missing(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let link = case.index.link(&check.link)?;
        if link.kind != Kind::Physical {
            return None;
        }
        let Some(mac) = link.mac else {
            let names = list(nics(case).map(|l| l.name.as_str()));
            let there = if names.is_empty() {
                "this machine has no NIC".to_owned()
            } else {
                format!("there are {names}")
            };
            let message = format!("no NIC is the one that \"{}\" means; {there}", link.name);
            let action = "Correct its name or match, or check that the image has the NIC's driver";
            let cause = Cause::new(Code::NicMissing, Certainty::Proved, &link.name, message, action);
            return Some(cause.explains([position]));
        };
        let has_it = |l: &&LinkState| l.permanent_mac == Some(mac) || l.mac == Some(mac);
        let several: Vec<&str> = nics(case).filter(has_it).map(|l| l.name.as_str()).collect();
        if several.len() > 1 {
            let message = format!("{} have the MAC address {mac}, and none was taken", list(several));
            let action = "Describe the intended one by its name, or give the others another address";
            let cause = Cause::new(Code::NicAmbiguous, Certainty::Proved, &link.name, message, action);
            return Some(cause.explains([position]));
        }
        if let Some(late) = nics(case).find(has_it) {
            let message = format!("{} ({mac}) appeared only after the wait for NICs was over", late.name);
            let action = "Run netapply apply now; for the next boot put netapply.wait=SECONDS on the kernel command line";
            let cause = Cause::new(Code::NicLate, Certainty::Proved, &late.name, message, action);
            // The steps skipped for it are still to be done.
            let undone = case.failed(Code::CheckDescribed).map(|(position, _)| position);
            return Some(cause.explains([position]).explains(undone));
        }
        let (message, action) = absent(case, mac);
        Some(
            Cause::new(Code::NicMissing, Certainty::Proved, &link.name, message, action).explains([position]),
        )
    };
    case.failed(Code::CheckPresent).filter_map(cause).collect()
}

/// A NIC has a name other than the one in the description.
pub(super) fn renamed(case: &Case<'_>) -> Vec<Cause> {
    let present = case.checks.iter().filter(|c| c.code == Code::CheckPresent && c.outcome == Outcome::Passed);
    let cause = |check: &Check| {
        let link = check.link.as_str();
        let called = case.evidence.link(link)?.renamed.as_deref()?;
        let is_rename = |step: &Step| matches!(&step.action, Action::SetLink { change: LinkChange::Rename(to), .. } if to == link);
        let mine = case.index.link(link)?;
        let nic = mine.mac.map_or_else(String::new, |mac| format!(" {mac}"));
        if case.evidence.remaining.iter().any(is_rename) {
            let message = format!("NIC{nic} is called {called}, not {link}: it was not renamed");
            let action = format!(
                "See who has the name {link} (`ip link show {link}`, alternative names included), and the kernel's refusal in the log"
            );
            let cause = Cause::new(Code::LinkRenamed, Certainty::Proved, link, message, action);
            let only = case.evidence.remaining.iter().all(is_rename);
            let undone = case.failed(Code::CheckDescribed).map(|(position, _)| position).filter(|_| only);
            return Some(cause.explains(undone));
        }
        let message = format!("another program has renamed {link} to {called}");
        let action = format!("Keep it from that (udev's rules, .link files), or describe the name {called}");
        let mut cause = Cause::new(Code::LinkRenamed, Certainty::Proved, link, message, action);
        cause.severity = Severity::Warning;
        Some(cause)
    };
    present.filter_map(cause).collect()
}

/// A hint for a MAC that no NIC has: the likeliest candidates, else all that exist.
fn absent(case: &Case<'_>, wanted: MacAddr) -> (String, String) {
    let described: Vec<MacAddr> = case.index.links.iter().filter_map(|l| l.mac).collect();
    let free: Vec<(&LinkState, MacAddr)> = nics(case)
        .filter_map(|l| Some((l, mac_of(l)?)))
        .filter(|(_, mac)| !described.contains(mac))
        .collect();
    let which =
        |fits: &dyn Fn(&MacAddr) -> bool| free.iter().filter(|(_, mac)| fits(mac)).collect::<Vec<_>>();
    let slips = which(&|mac| wanted.digits_apart(mac) == Some(1));
    let same_card = which(&|mac| wanted.as_bytes().get(..4) == mac.as_bytes().get(..4));
    let have =
        |nics: &[&(&LinkState, MacAddr)]| list(nics.iter().map(|(l, mac)| format!("{} has {mac}", l.name)));
    match (slips.as_slice(), same_card.as_slice()) {
        ([(_, mac)], _) => (
            format!("no NIC has MAC {wanted}; {}, one digit apart", have(&slips)),
            format!("Describe {mac}, or check whether another port of the same card is intended"),
        ),
        ([_, _, ..], _) => (
            format!("no NIC has MAC {wanted}; {}, each one digit apart", have(&slips)),
            "Describe the one that is intended".to_owned(),
        ),
        ([], [(_, mac)]) => (
            format!("no NIC has MAC {wanted}; {}, which may be another port of that card", have(&same_card)),
            format!("Describe {mac} if that port is intended"),
        ),
        ([], [_, _, ..]) => (
            format!("no NIC has MAC {wanted}; {}, which may be other ports of that card", have(&same_card)),
            "Describe the one that is intended".to_owned(),
        ),
        ([], []) => {
            let macs: Vec<String> =
                nics(case).filter_map(|l| Some(format!("{} {}", l.name, mac_of(l)?))).collect();
            let there = match macs.as_slice() {
                [] => "this machine has no NIC".to_owned(),
                [one] => format!("there is only {one}"),
                _ => format!("there are {}", list(&macs)),
            };
            let action = if macs.is_empty() {
                "Check that the image has the NIC's driver"
            } else {
                "Correct the MAC address"
            };
            (format!("no NIC has MAC {wanted}; {there}"), action.to_owned())
        }
    }
}

/// No carrier on a NIC, or on all of them.
pub(super) fn no_cable(case: &Case<'_>) -> Vec<Cause> {
    let is_nic = |name: &str| case.index.link(name).is_some_and(|l| l.kind == Kind::Physical);
    let dark = case.failed(Code::CheckCarrier).filter(|(_, c)| is_nic(&c.link) && !case.is_flapping(c));
    let dark: Vec<_> = dark.collect();
    let lit = || nics(case).filter(|l| l.carrier);
    let lit_described = lit().any(|l| is_nic(&l.name));
    if dark.len() > 1 && !lit_described {
        let names: Vec<&str> = dark.iter().map(|(_, c)| c.link.as_str()).collect();
        let names = match names.as_slice() {
            [one, two] => format!("neither {one} nor {two}"),
            _ => format!("none of {}", list(names)),
        };
        let others = list(
            lit().map(|l| format!("{} ({})", l.name, mac_of(l).map_or_else(String::new, |m| m.to_string()))),
        );
        let (message, action) = if others.is_empty() {
            (format!("{names} has carrier"), "Check cables, optics and whether the switch is up".to_owned())
        } else {
            let action = "Move the cables, or describe the NICs that are cabled".to_owned();
            (format!("{names} has carrier, but {others} has"), action)
        };
        let positions = dark.iter().map(|(position, _)| *position);
        return vec![
            Cause::new(Code::NoCableAnywhere, Certainty::Proved, "", message, action).explains(positions),
        ];
    }
    let cause = |(position, check): (usize, &Check)| {
        // By the description: a bond sets its members' addresses, and not every NIC has a permanent one.
        let described = case.index.link(&check.link).and_then(|l| l.mac);
        let mac = described
            .or(case.evidence.link(&check.link).and_then(mac_of))
            .map_or_else(String::new, |mac| format!(" ({mac})"));
        let message = format!("{}{mac} has no carrier", check.link);
        let action = "Plug in its cable, check the optics, or enable the switch's port";
        Cause::new(Code::NoCable, Certainty::Proved, &check.link, message, action).explains([position])
    };
    dark.into_iter().map(cause).collect()
}

/// Carrier comes and goes.
pub(super) fn flaps(case: &Case<'_>) -> Vec<Cause> {
    let flapping = |check: &Check| case.evidence.flaps.get(&check.link).filter(|_| case.is_flapping(check));
    let cause = |(position, check): (usize, &Check)| {
        let changes = flapping(check)?;
        let seconds = case.evidence.elapsed_ms.div_ceil(1000);
        let message = format!("carrier of {} came and went {} times in {seconds} s", check.link, changes / 2);
        let action = "Check the cable, the optics and the switch's port; fix the speed on both sides if they negotiate badly";
        Some(
            Cause::new(Code::LinkFlaps, Certainty::Proved, &check.link, message, action).explains([position]),
        )
    };
    case.failed(Code::CheckCarrier).filter_map(cause).collect()
}

/// Half duplex.
pub(super) fn half_duplex(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let message = format!("{} runs half duplex", check.link);
        let action = "Let both the NIC and the switch's port negotiate: one of them is fixed";
        Cause::new(Code::HalfDuplex, Certainty::Proved, &check.link, message, action).explains([position])
    };
    case.failed(Code::CheckDuplex).map(cause).collect()
}
