//! The line that says what is waited for.

use std::time::Duration;

use super::checks::{Check, Outcome, bound};
use super::evidence::Evidence;
use super::input::Input;
use super::ledger::Ledger;
use crate::diagnostic::Code;

/// What is awaited and for how long at most; `None` when nothing is.
pub(super) fn waiting(
    checks: &[Check],
    now: Duration,
    deadline: Duration,
    ledger: &Ledger,
    input: &Input,
    evidence: &Evidence,
) -> Option<String> {
    let open: Vec<&Check> = checks.iter().filter(|c| c.outcome == Outcome::Waiting).collect();
    let Some(first) = open.first() else {
        let rest = deadline.saturating_sub(now).as_secs().min(31);
        let faults = checks.iter().filter(|c| c.is_fault()).count();
        return (faults != 0).then(|| {
            format!(
                "{} fault{} so far; listening to the switches, at most {rest} s more",
                faults,
                plural(faults)
            )
        });
    };
    let rest = |c: &&Check| bound(c, input, evidence).saturating_sub(ledger.age(c, now));
    let rest = open.iter().map(rest).max().unwrap_or_default().min(deadline.saturating_sub(now));
    let more = match open.len() - 1 {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    Some(format!("waiting for {}{more}, at most {} s more", awaited(first), rest.as_secs().max(1)))
}

/// `s`, but for one.
pub(super) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What a check waits for.
fn awaited(check: &Check) -> String {
    let (link, object) = (&check.link, &check.object);
    match check.code {
        Code::CheckDescribed => "what is still to be done".to_owned(),
        Code::CheckLacp => format!("LACP on {object} in {link}"),
        Code::CheckForwarding => format!("port {object} of {link} to forward"),
        Code::CheckMember => format!("{object} to join {link}"),
        Code::CheckAddress => format!("address {object} on {link}"),
        Code::CheckUnique => format!("other owners of {object} on {link}"),
        Code::CheckGateway => format!("gateway {object} on {link}"),
        Code::CheckPathMtu => format!("full packets to {object} on {link}"),
        Code::CheckResolver => format!("name server {object}"),
        Code::CheckTarget => object.clone(),
        Code::CheckUp => format!("{link} to come up"),
        Code::CheckMtu => format!("the MTU of {link}"),
        Code::CheckMode => format!("the mode of {link}"),
        _ => format!("{} on {link}", check.code),
    }
}
