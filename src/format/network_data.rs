//! network_data.json of OpenStack (Nova, Ironic), Metal3 and CloudStack: `links`, `networks`, `services`.

use super::tree::Node;
use crate::diagnostic::Diagnostic;
use crate::model::Desired;

/// Reads the mapping that has `links` and `networks`.
pub(super) fn read(_root: &Node, _said: &mut Vec<Diagnostic>) -> Desired {
    Desired::default()
}
