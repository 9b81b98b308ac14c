//! The checks of the image around the network: whether its programs ask the described name servers, and whether its
//! other tools leave the described links alone, by their own state.

use foldhash::HashMap;

use super::{Judge, Outcome, Subject};
use crate::diagnostic::Code;
use crate::handoff::state::Managed;

/// glibc and musl use at most this many servers (`MAXNS`, resolv.h).
const ASKED: usize = 3;

impl Judge<'_> {
    /// No checks if the image was not observed: without a hand-off it is not configured either.
    pub(super) fn image(&mut self) {
        let evidence = self.evidence;
        let Some(names) = &evidence.image.names else { return };
        let input = self.index.input();
        for server in input.resolvers.iter().take(ASKED) {
            let (outcome, finding) = match names.unused(server) {
                Ok(None) => (Outcome::Passed, "programs ask it".to_owned()),
                Ok(Some(unused)) => (Outcome::Failed, unused.words().0),
                Err(local) => (Outcome::NotChecked, format!("programs ask {local}, which does not tell")),
            };
            self.add(Code::CheckNames, "", Subject::NameServer(*server), outcome, finding);
        }
        let managed: HashMap<&str, &Managed> =
            evidence.image.managed.iter().map(|managed| (managed.link.as_str(), managed)).collect();
        for link in input.links.iter().filter(|link| !link.missing && !link.dynamic) {
            let (outcome, finding) = match managed.get(link.name.as_str()) {
                Some(managed) => (Outcome::Failed, format!("{} manages it: {}", managed.tool, managed.seen)),
                None => (Outcome::Passed, "no other tool manages it".to_owned()),
            };
            self.add(Code::CheckTools, &link.name, Subject::Whole, outcome, finding);
        }
    }
}
