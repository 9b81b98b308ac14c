//! What can be checked on a [`Desired`] whatever format it came from: references, names, duplicates, cycles, routes.

use crate::diagnostic::Diagnostic;
use crate::model::Desired;

/// Reports what cannot work and leaves it out; mends what can be assumed, and says so.
pub(super) fn check(_desired: &mut Desired, _said: &mut Vec<Diagnostic>) {}
