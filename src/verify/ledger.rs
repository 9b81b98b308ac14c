//! How long each check has been waiting: turns waiting into failure when its bound is over. Pure; time is passed as a
//! number.

use std::time::Duration;

use foldhash::HashMap;

use super::checks::{self, Check, Outcome, Subject};
use super::evidence::Evidence;
use super::lookups::View;
use crate::diagnostic::Code;

/// Since when each check has been waiting, by code, link and subject.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    since: HashMap<(Code, String, Subject), Duration>,
}

impl Ledger {
    /// Fails checks that have waited too long at `now` (since the start).
    pub(super) fn apply(
        &mut self,
        checks: &mut [Check],
        index: &View<'_>,
        evidence: &Evidence,
        now: Duration,
    ) {
        for check in checks {
            let key = (check.code, check.link.clone(), check.subject.clone());
            match check.outcome {
                Outcome::Waiting => {
                    let since = *self.since.entry(key).or_insert(now);
                    if now >= checks::until(check, since, index, evidence) {
                        checks::overdue(check);
                    }
                }
                // It had begun to fail, perhaps at once: the age is still needed.
                Outcome::Failed => {
                    self.since.entry(key).or_insert(now);
                }
                Outcome::Passed | Outcome::Blocked | Outcome::NotChecked | Outcome::Unknown => {
                    self.since.remove(&key);
                }
            }
        }
    }

    /// How long a check has been waiting or failing.
    pub(super) fn age(&self, check: &Check, now: Duration) -> Duration {
        let key = (check.code, check.link.clone(), check.subject.clone());
        self.since.get(&key).map_or(Duration::ZERO, |since| now.saturating_sub(*since))
    }

    /// When a waiting check's bound is over, since the start.
    pub(super) fn end(&self, check: &Check, index: &View<'_>, evidence: &Evidence) -> Option<Duration> {
        let key = (check.code, check.link.clone(), check.subject.clone());
        Some(checks::until(check, *self.since.get(&key)?, index, evidence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;
    use crate::verify::fixture::one_nic;
    use crate::verify::input::{DesiredLink, Input};

    #[test]
    fn a_bound_runs_from_when_a_check_begins_to_wait() {
        let mut link = DesiredLink::new("a", "eth0", Kind::Physical);
        link.addresses = vec!["192.0.2.2/24".parse().unwrap()];
        let input = Input { links: vec![link], ..Input::default() };
        let index = View::new(&input);
        let evidence = Evidence::default();
        let mut ledger = Ledger::default();
        let waiting = Check {
            code: Code::CheckCarrier,
            link: "eth0".into(),
            subject: Subject::Whole,
            outcome: Outcome::Waiting,
            finding: String::new(),
            root: None,
            optional: false,
        };
        let mut at = |seconds: u64, outcome: Outcome| {
            let mut checks = [Check { outcome, ..waiting.clone() }];
            ledger.apply(&mut checks, &index, &evidence, Duration::from_secs(seconds));
            checks[0].outcome
        };
        assert_eq!(at(5, Outcome::Waiting), Outcome::Waiting);
        assert_eq!(at(34, Outcome::Waiting), Outcome::Waiting);
        assert_eq!(at(35, Outcome::Waiting), Outcome::Failed);
        assert_eq!(at(36, Outcome::Passed), Outcome::Passed);
        assert_eq!(at(40, Outcome::Waiting), Outcome::Waiting, "it starts anew");
    }

    #[test]
    fn a_gateway_has_ten_seconds_from_when_the_port_forwards() {
        let (input, mut evidence) = one_nic();
        let index = View::new(&input);
        let check = Check {
            code: Code::CheckGateway,
            link: "eth0".into(),
            subject: Subject::Gateway("192.0.2.1".parse().unwrap()),
            outcome: Outcome::Waiting,
            finding: String::new(),
            root: None,
            optional: false,
        };
        let mut until = |frames: Option<u64>| {
            evidence.frames_ms = frames.map(|ms| ("eth0".to_owned(), ms)).into_iter().collect();
            checks::until(&check, Duration::from_secs(2), &index, &evidence).as_secs()
        };
        assert_eq!(until(None), 42, "it may be in its spanning tree's delay");
        assert_eq!(until(Some(1_000)), 12);
        assert_eq!(until(Some(31_000)), 41, "the question has to be asked again first");
        assert_eq!(until(Some(39_000)), 42);
    }

    #[test]
    fn an_optional_link_is_not_waited_for() {
        let (input, evidence) = one_nic();
        let index = View::new(&input);
        for code in [Code::CheckCarrier, Code::CheckGateway, Code::CheckUp] {
            let (link, subject, finding) = ("eth0".into(), Subject::Whole, String::new());
            let check =
                Check { code, link, subject, outcome: Outcome::Waiting, finding, root: None, optional: true };
            assert!(checks::until(&check, Duration::ZERO, &index, &evidence) <= Duration::from_secs(5));
        }
    }
}
