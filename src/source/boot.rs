//! The places of a boot that a description may come from, in the user's order of preference. Each is read; `format`
//! decides what to do if two describe one NIC. Entry: [`find`].

use super::explicit::nothing_on;
use super::layout::{Contents, Layout};
use super::watch::Watch;
use super::{
    Document, Found, Metadata, NotFound, NotFoundKind, Origin, OriginKind, SearchOptions, firmware, search,
    tree,
};
use crate::machine::Machine;

/// A place of a boot.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum BootSource {
    /// The drives that are searched at boot.
    Drive,
    /// The kernel command line.
    CommandLine,
    /// The iSCSI boot firmware table.
    Ibft,
    /// The NVMe boot firmware table.
    Nbft,
}

/// The names of the places.
const WORDS: &[(&str, BootSource)] = &[
    ("drive", BootSource::Drive),
    ("cmdline", BootSource::CommandLine),
    ("ibft", BootSource::Ibft),
    ("nbft", BootSource::Nbft),
];

impl BootSource {
    /// The places in a comma-separated list; `None` if the text is a path instead.
    pub fn list(text: &str) -> Option<Vec<BootSource>> {
        let find = |word: &str| WORDS.iter().find(|(name, _)| *name == word).map(|(_, source)| *source);
        text.split(',').map(|word| find(word.trim())).collect()
    }

    /// All names, for a message.
    pub fn words() -> String {
        WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
    }

    fn word(self) -> &'static str {
        WORDS.iter().find(|(_, source)| *source == self).map_or("", |(word, _)| word)
    }
}

/// Reads each place of the list. Empty ones are skipped.
pub(super) async fn find(
    list: &[BootSource],
    named_by: &str,
    request: &SearchOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Found, NotFound> {
    let mut joined: Option<Found> = None;
    let mut missing: Option<NotFound> = None;
    let words: Vec<&str> = list.iter().map(|source| source.word()).collect();
    for source in list {
        let found = match source {
            BootSource::Drive => search::find(request, Watch::kernel(), progress).await,
            BootSource::CommandLine => command_line(&request.machine),
            BootSource::Ibft => firmware::ibft(&request.machine).map(|table| of(table, OriginKind::Ibft)),
            BootSource::Nbft => firmware::nbft(&request.machine).map(|table| of(table, OriginKind::Nbft)),
        };
        match (found, &mut joined) {
            (Ok(found), None) => joined = Some(found),
            (Ok(found), Some(joined)) => {
                joined.notes.push(format!(
                    "{} adds what {} does not describe.",
                    found.origin.path, joined.origin.path
                ));
                joined.notes.extend(found.notes);
                joined.documents.extend(found.documents);
                joined.origin.hash = super::hash(&joined.documents);
            }
            (Err(problem), _) => {
                log::info!("{}: {}", source.word(), problem.message);
                // A place that exists but cannot be read is a more useful error than an absent one.
                let keep = missing
                    .as_ref()
                    .is_some_and(|known| known.kind.is_unreadable() || !problem.kind.is_unreadable());
                missing = if keep { missing } else { Some(problem) };
            }
        }
    }
    match (joined, missing) {
        (Some(mut found), missing) => {
            if let Some(problem) = missing.filter(|problem| problem.kind.is_unreadable()) {
                log::warn!("{}", problem.message);
            }
            found.origin.why =
                format!("the first of {} that holds a description ({named_by})", words.join(", "));
            Ok(found)
        }
        (None, Some(problem)) => Err(problem),
        (None, None) => Err(nothing_on(&words.join(", "))),
    }
}

/// The kernel command line as a description.
fn command_line(machine: &Machine) -> Result<Found, NotFound> {
    let path = machine.cmdline();
    let name = path.display().to_string();
    let bytes = tree::read_file(&path, tree::SIDE_LIMIT).map_err(|e| super::layout::unreadable(&name, &e))?;
    let document = Document { name: name.clone(), text: String::from_utf8_lossy(&bytes).into_owned() };
    if !crate::format::is_command_line(&document.text) {
        return Err(NotFound::new(
            NotFoundKind::NoDescription,
            "The kernel command line describes no network.",
            "Add ip=, bond= or vlan= to it (docs/cmdline.md), or name another source.",
        ));
    }
    Ok(of(document, OriginKind::KernelCommandLine))
}

/// A description with one document.
fn of(document: Document, kind: OriginKind) -> Found {
    let origin = Origin::of(kind, document.name.clone(), None, "");
    let documents = vec![document];
    Found::new(
        Contents { layout: Layout::Plain, documents, metadata: Metadata::default(), notes: Vec::new() },
        origin,
    )
}

#[cfg(test)]
mod tests {
    use super::super::fake::{FakeMachine, iso};
    use super::super::{Cmdline, find};
    use super::*;
    use std::time::Duration;

    fn found(fake: &FakeMachine, line: &str, sources: &str) -> Result<Found, NotFound> {
        fake.write("proc/cmdline", line.as_bytes());
        let request = SearchOptions {
            wait: Some(Duration::ZERO),
            cmdline: Cmdline::parse(line),
            machine: fake.machine(),
            boot_sources: BootSource::list(sources).unwrap_or_default(),
            ..SearchOptions::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(find(&request, &mut |_| {}))
    }

    #[test]
    fn a_list_is_made_of_known_words_and_anything_else_is_a_path() {
        assert_eq!(BootSource::list("drive,cmdline"), Some(vec![BootSource::Drive, BootSource::CommandLine]));
        assert_eq!(BootSource::list("cmdline"), Some(vec![BootSource::CommandLine]));
        for path in ["/dev/sr0", "drive,/dev/sr0", "", "cmdline,"] {
            assert_eq!(BootSource::list(path), None, "{path}");
        }
    }

    #[test]
    fn each_place_is_read_in_the_order_of_preference() {
        let fake = FakeMachine::new();
        let line = "quiet ip=eth0:dhcp netapply.source=drive,cmdline\n";
        // Without a drive only the command line is left.
        let only = found(&fake, line, "").unwrap();
        assert_eq!((only.documents.len(), only.origin.kind), (1, OriginKind::KernelCommandLine));
        fake.disk("pci/ata1/block/sr0", &iso("cidata", "", "NETWORK_CONFIG", "version: 2\n"));
        let texts = |found: Found| found.documents.into_iter().map(|d| d.text).collect::<Vec<_>>();
        let both = found(&fake, line, "").unwrap();
        assert_eq!(both.origin.kind, OriginKind::BlockDevice);
        assert_eq!(
            both.origin.why,
            "the first of drive, cmdline that holds a description (netapply.source=)"
        );
        assert_eq!(texts(both), ["version: 2\n", line]);
        // An option takes precedence over the parameter.
        assert_eq!(texts(found(&fake, line, "cmdline,drive").unwrap()), [line, "version: 2\n"]);
    }

    #[test]
    fn a_command_line_without_a_network_is_no_description() {
        let fake = FakeMachine::new();
        let problem = found(&fake, "quiet netapply.source=cmdline\n", "").unwrap_err();
        assert_eq!(problem.kind, NotFoundKind::NoDescription);
        // The command line is not read unless requested.
        let problem = found(&fake, "ip=eth0:dhcp\n", "").unwrap_err();
        assert_eq!(problem.kind, NotFoundKind::NoDrive);
    }
}
