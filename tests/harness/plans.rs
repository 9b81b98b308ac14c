//! Plans made by hand, and their execution: on the running kernel (tests/netns) and in a guest (tests/vm/inside). Not
//! in the harness crate, which would then be rebuilt with each change of netapply.

use std::collections::BTreeMap;

use netapply::kernel::apply::{self, AfterFailure, PlanOutcome};
use netapply::kernel::effects::Real;
use netapply::kernel::names::Names;
use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::machine::Machine;
use netapply::model::{Kind, Place};
use netapply::plan::{Action, LinkChange, NewLink, Plan, Step, StepId};

/// A plan whose steps depend on those at the given indexes.
pub(crate) fn plan(steps: Vec<(Action, &[usize])>) -> Plan {
    let step = |(action, needs): (Action, &[usize])| Step {
        action,
        at: Place::NONE,
        link: String::new(),
        needs: needs.iter().map(|need| StepId(*need)).collect(),
    };
    Plan { steps: steps.into_iter().map(step).collect() }
}

pub(crate) async fn apply(plan: &Plan) -> PlanOutcome {
    let mut session = Session::open(NetlinkFamily::Route).unwrap();
    let inventory = read::inventory(&mut session).await.unwrap();
    let names = Names::from(&inventory);
    let mut effects = Real::on(&Machine::default());
    let never = std::future::pending();
    apply::apply(&mut session, &mut effects, plan, names, AfterFailure::GoOn, never).await
}

#[track_caller]
pub(crate) fn all_done(outcome: &PlanOutcome) {
    let failures: Vec<String> = outcome.failures().map(|(n, t)| format!("step {n}: {t}")).collect();
    assert!(outcome.is_success(), "{failures:?}");
}

pub(crate) fn new_link(name: &str, kind: Kind) -> NewLink {
    let (name, settings) = (name.to_owned(), BTreeMap::new());
    NewLink { name, kind, parent: None, peer: None, mac: None, mtu: None, settings }
}

pub(crate) fn set(name: &str, change: LinkChange) -> Action {
    Action::SetLink { name: name.to_owned(), change }
}
