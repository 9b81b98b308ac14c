//! Text for modes, speeds and times, and the line that says what is waited for.

use std::time::Duration;

use super::checks::{Check, Outcome};
use super::evidence::Evidence;
use super::ledger::Ledger;
use super::lookups::View;
use crate::diagnostic::Code;

/// What is waited for and for how long at most; `None` if nothing is. `listening` is when the listeners have heard
/// enough.
pub(super) fn waiting(
    checks: &[Check],
    now: Duration,
    deadline: Duration,
    listening: Option<Duration>,
    ledger: &Ledger,
    index: &View<'_>,
    evidence: &Evidence,
) -> Option<String> {
    let open: Vec<&Check> = checks.iter().filter(|c| c.outcome == Outcome::Waiting).collect();
    let rest = |end: Duration| end.min(deadline).saturating_sub(now).as_secs().max(1);
    let Some(first) = open.first() else {
        let faults = checks.iter().filter(|c| c.is_fault()).count();
        let (plural, rest) = (plural(faults), rest(listening?));
        return (faults != 0).then(|| {
            format!("{faults} fault{plural} so far; listening to the switches, at most {rest} s more")
        });
    };
    let end = open.iter().filter_map(|c| ledger.end(c, index, evidence)).max().unwrap_or(deadline);
    let more = match open.len() - 1 {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    Some(format!("waiting for {}{more}, at most {} s more", awaited(first), rest(end)))
}

/// The plural `s`, except for one.
pub(super) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What a check waits for.
fn awaited(check: &Check) -> String {
    let (link, object) = (&check.link, &check.subject);
    match check.code {
        Code::CheckDescribed => "what is still to be done".to_owned(),
        Code::CheckLacp => format!("LACP on {object} in {link}"),
        Code::CheckForwarding => format!("port {object} of {link} to forward"),
        Code::CheckMember => format!("{object} to join {link}"),
        Code::CheckAddress => format!("address {object} on {link}"),
        Code::CheckLease => format!("a DHCP lease for {link}"),
        Code::CheckUnique => format!("other owners of {object} on {link}"),
        Code::CheckGateway => format!("gateway {object} on {link}"),
        Code::CheckRoute if link.is_empty() => format!("the kernel's route to {object}"),
        Code::CheckRoute => format!("the kernel's route to {object} on {link}"),
        Code::CheckPathMtu => format!("full packets to {object} on {link}"),
        Code::CheckResolver | Code::CheckNames => format!("name server {object}"),
        Code::CheckTarget => object.to_string(),
        Code::CheckUp => format!("{link} to come up"),
        Code::CheckMtu => format!("the MTU of {link}"),
        Code::CheckMode => format!("the mode of {link}"),
        _ => format!("{} on {link}", check.code),
    }
}

/// `10 Gb/s`, `100 Mb/s`.
pub(crate) fn speed_words(megabits: u32) -> String {
    match megabits {
        1000.. if megabits % 1000 == 0 => format!("{} Gb/s", megabits / 1000),
        2500 => "2.5 Gb/s".to_owned(),
        _ => format!("{megabits} Mb/s"),
    }
}

/// `0.4 ms`, `12 ms`, `2.5 s`.
pub(crate) fn time_words(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{:.1} ms", micros as f64 / 1000.0),
        1_000_000.. => format!("{:.1} s", micros as f64 / 1_000_000.0),
        _ => format!("{} ms", micros / 1000),
    }
}
