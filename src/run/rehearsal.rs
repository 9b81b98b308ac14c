//! What a run of the pipeline has to know if it is a rehearsal: what was recorded, and which links stand in for NICs.

use std::cell::OnceCell;

use crate::cli::{Args, Command};
use crate::kernel::effects::{Real, Recorded, Recorder};
use crate::machine::Machine;
use crate::rehearse::nics::StandIn;

/// What a run has to know that is a rehearsal.
#[derive(Debug)]
pub(super) struct Rehearsal {
    /// The steps that were not made.
    pub(super) recorded: Recorded,
    /// The kernel is to load no module.
    pub(super) no_modules: bool,
    /// The links that stand in, once they are made.
    pub(super) stand_ins: OnceCell<Vec<StandIn>>,
}

impl Rehearsal {
    /// `None` for any other command.
    pub(super) fn new(args: &Args) -> Option<Rehearsal> {
        (args.command == Command::Rehearse).then(|| Rehearsal {
            recorded: Recorded::default(),
            no_modules: args.no_modules,
            stand_ins: OnceCell::new(),
        })
    }

    /// Makes what belongs to the namespaces, and records the rest.
    pub(super) fn recorder(&self, real: Real, machine: &Machine) -> Recorder<Real> {
        let recorder = Recorder::before(real, self.recorded.clone());
        if self.no_modules { recorder.without_modules(machine) } else { recorder }
    }

    pub(super) fn stand_ins(&self) -> &[StandIn] {
        self.stand_ins.get().map_or(&[], Vec::as_slice)
    }
}
