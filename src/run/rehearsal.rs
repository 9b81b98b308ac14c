//! What a run of the pipeline needs to know in a rehearsal: what was recorded, and which links stand in for NICs.

use std::cell::OnceCell;

use crate::cli::{Args, Command};
use crate::kernel::effects::{Real, Recorded, Recorder};
use crate::machine::Machine;
use crate::rehearse::nics::StandIn;

/// The state of a run that is a rehearsal.
#[derive(Debug)]
pub(super) struct Rehearsal {
    /// The steps that were recorded instead of made.
    pub(super) recorded: Recorded,
    /// The kernel should load no module.
    pub(super) no_modules: bool,
    /// The stand-ins, once they are created.
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

    /// Makes steps inside the namespaces, and records the others.
    pub(super) fn recorder(&self, real: Real, machine: &Machine) -> Recorder {
        let recorder = Recorder::before(real, self.recorded.clone());
        if self.no_modules { recorder.without_modules(machine) } else { recorder }
    }

    pub(super) fn stand_ins(&self) -> &[StandIn] {
        self.stand_ins.get().map_or(&[], Vec::as_slice)
    }
}
