//! Where the description comes from: a file, standard input, a directory, an ISO image, a block device, or a drive
//! found at boot. Finds it, waits for it, reads it, and leaves nothing mounted. Knows nothing about the meaning of the
//! files, and nothing about the network. Entries: [`find`], [`Cmdline::parse`].
//!
//! ISO 9660 and FAT are read by our own readers, from devices and image files alike; ext4, UDF, 9p and virtiofs are
//! mounted read-only in a private mount namespace. All of it happens in child processes, which are left behind if a
//! drive does not answer. Nothing is mounted when [`find`] returns.

mod boot;
mod bytes;
mod child;
mod choose;
mod cmdline;
mod devices;
mod explicit;
#[cfg(test)]
mod fake;
mod fat;
mod firmware;
mod hosts;
mod iso;
mod layout;
mod look;
mod many;
mod metadata;
mod mount;
pub mod nbft;
mod search;
mod tree;
mod udf;
mod volume;
mod watch;
mod wire;

pub use boot::BootSource;
pub use cmdline::{Cmdline, LONGEST_WAIT};
pub use firmware::tables as firmware_tables;
pub use layout::Layout;
pub use metadata::Metadata;
pub use watch::Watch;

use crate::machine::Machine;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io;
use std::time::Duration;

/// One document of the description, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// As shown in diagnostics: `net.json`, `<stdin>`, or the path on the drive, `openstack/latest/network_data.json`.
    pub name: String,
    /// The whole text, without a byte order mark.
    pub text: String,
}

/// What was found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The description: one document, or netplan's files of one directory, to be merged in this order. Never empty. In
    /// a `vendor_data.json` the description is the value of the key `network_info`.
    pub documents: Vec<Document>,
    /// The layout of the drive.
    pub layout: Layout,
    /// Where the documents come from: the report's first line.
    pub origin: Origin,
    /// The machine's metadata on the drive, besides its network.
    pub metadata: Metadata,
    /// Oddities of the drive that do not fail the run: complete sentences.
    pub notes: Vec<String>,
}

/// The kind of place that a description came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginKind {
    /// A text file.
    File,
    /// Standard input.
    Stdin,
    /// A directory that the user named.
    Directory,
    /// An ISO 9660 image in a file.
    IsoImage,
    /// A FAT image in a file.
    FatImage,
    /// A drive.
    BlockDevice,
    /// A directory that is searched at boot: `/config-drive` and similar ones.
    SeedDirectory,
    /// A directory of the host, shared over 9p or virtiofs.
    HostShare,
    /// The kernel command line.
    KernelCommandLine,
    /// The iSCSI boot firmware table.
    Ibft,
    /// The NVMe boot firmware table.
    Nbft,
}

/// Where a description came from. A stale drive is the commonest cause of a network that "does not apply": this shows
/// which one was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// What kind of place it is.
    pub kind: OriginKind,
    /// The file, directory or device, or a host share's tag.
    pub path: String,
    /// The volume's label.
    pub label: Option<String>,
    /// The volume's file system, as people write it.
    pub filesystem: Option<Cow<'static, str>>,
    /// When the volume was made, as `2026-03-01 10:20:30 +02:00`; on VFAT local time of an unknown zone.
    pub created: Option<String>,
    /// The instance id that the drive carries.
    pub instance_id: Option<String>,
    /// Eight hexadecimal digits of the documents' FNV-1a hash: distinguishes them, but is not a security feature.
    pub hash: String,
    /// Why this one: "the only drive labelled config-2, cidata or CONTEXT".
    pub why: String,
    /// Other drives that were present and not taken, each in its displayed form.
    pub others: Vec<String>,
}

impl Origin {
    /// Of documents that are neither on a drive nor in a file.
    pub(crate) fn generated(path: &str, why: String, documents: &[Document]) -> Origin {
        Origin {
            kind: OriginKind::File,
            path: path.to_owned(),
            label: None,
            filesystem: None,
            created: None,
            instance_id: None,
            hash: hash(documents),
            why,
            others: Vec::new(),
        }
    }
}

impl std::fmt::Display for Origin {
    /// The place in one line: `/dev/sr0 (ISO 9660 "config-2", made 2026-03-01 10:20:30 UTC, instance i-1, text 0badcafe)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let label = self.label.as_ref().map(|label| format!("\"{label}\""));
        let volume = [self.filesystem.as_ref().map(|f| f.to_string()), label]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        let mut parts = vec![volume];
        parts.extend(self.created.as_ref().map(|time| format!("made {time}")));
        parts.extend(self.instance_id.as_ref().map(|id| format!("instance {id}")));
        parts.push(format!("text {}", self.hash));
        parts.retain(|part| !part.is_empty());
        write!(f, "{} ({})", self.path, parts.join(", "))
    }
}

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct SearchOptions {
    /// SOURCE as given by the user. `None`: `netapply.source=` of the kernel command line, else a search as at boot.
    pub source: Option<String>,
    /// Places of a boot to look in instead, the preferred one first.
    pub boot_sources: Vec<BootSource>,
    /// How long to wait for a drive; `None`: not at all for a SOURCE, at boot as the kernel command line suggests.
    pub wait: Option<Duration>,
    /// The kernel command line, or an empty one if this is no boot.
    pub cmdline: Cmdline,
    /// The machine to look at.
    pub machine: Machine,
    /// Whether links in a directory that `source` names may lead out of it.
    pub follow_links: bool,
    /// Whether a file may hold many descriptions, and be larger than one.
    pub many: bool,
}

impl SearchOptions {
    /// The maximum size of a file or standard input, in bytes.
    fn text_limit(&self) -> usize {
        if self.many { tree::MANY_LIMIT } else { tree::TEXT_LIMIT }
    }
}

/// Why there is no description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotFoundKind {
    /// The SOURCE does not exist or cannot be read: I/O error, damaged drive, a directory instead of a file.
    Unreadable,
    /// The description is not UTF-8 text.
    NotText,
    /// Permission was denied to this user, who is not root.
    NeedsRoot,
    /// Permission was denied to root: a container's device policy, kernel lockdown, a security module.
    Forbidden,
    /// The running kernel has no driver for the drive's file system.
    NoFileSystem,
    /// A drive or directory is there, without a network description.
    NoDescription,
    /// Ironic made this boot's drive without a network description.
    NodeWithoutNetwork,
    /// No drive appeared.
    NoDrive,
    /// A PXE boot: there is no drive, and one that looks like it would be an earlier deployment's.
    PxeBoot,
}

impl NotFoundKind {
    /// Whether there is nothing to fix: the boot was never meant to have a description.
    pub fn is_by_design(self) -> bool {
        matches!(self, NotFoundKind::NodeWithoutNetwork | NotFoundKind::PxeBoot)
    }

    /// Whether a description may exist but cannot be read, as opposed to being absent: exit status 3, not 4.
    pub fn is_unreadable(self) -> bool {
        match self {
            NotFoundKind::Unreadable
            | NotFoundKind::NotText
            | NotFoundKind::NeedsRoot
            | NotFoundKind::Forbidden
            | NotFoundKind::NoFileSystem => true,
            NotFoundKind::NoDescription
            | NotFoundKind::NodeWithoutNetwork
            | NotFoundKind::NoDrive
            | NotFoundKind::PxeBoot => false,
        }
    }
}

/// There is no description to work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// For the exit status and the diagnostic.
    pub kind: NotFoundKind,
    /// The problem: complete sentences.
    pub message: String,
    /// What to do about it: complete sentences.
    pub hint: String,
    /// The system's error behind it, if there was one.
    pub cause: Option<Errno>,
    /// The message names the drive that it is about.
    pub names_drive: bool,
}

impl NotFound {
    /// Without an underlying system error.
    pub fn new(kind: NotFoundKind, message: impl Into<String>, hint: impl Into<String>) -> NotFound {
        NotFound { kind, message: message.into(), hint: hint.into(), cause: None, names_drive: false }
    }

    /// Because of `error`.
    fn caused_by(self, error: &io::Error) -> NotFound {
        NotFound { cause: error.raw_os_error().map(Errno::from_raw), ..self }
    }

    /// Its message names the drive that it is about.
    fn naming_drive(self) -> NotFound {
        NotFound { names_drive: true, ..self }
    }

    /// Access was denied: the meaning depends on whether it was denied to root.
    fn denied(message: impl Into<String>, hint: impl Into<String>, error: &io::Error) -> NotFound {
        let (kind, hint) = match nix::unistd::geteuid().is_root() {
            true => (NotFoundKind::Forbidden, FORBIDDEN.to_owned()),
            false => (NotFoundKind::NeedsRoot, hint.into()),
        };
        NotFound::new(kind, message, hint).caused_by(error)
    }
}

/// What to do if even root is denied access.
const FORBIDDEN: &str = "netapply runs as root and is still denied: check the container's device policy, the unit's \
                         restrictions, kernel lockdown and the security module.";

/// Whether the system denied access, rather than failing.
fn is_denied(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
}

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NotFound {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|errno| errno as _)
    }
}

/// How long one look at a drive's superblocks may take: a real CD needs some seconds to spin up.
const LOOK_BOUND: Duration = Duration::from_secs(10);
/// How long reading one description may take, mounting included.
const READ_BOUND: Duration = Duration::from_secs(20);
/// How much later than its wait [`find`] ends at the latest, if drives hang. Standard input has no bound.
pub const OVERRUN: Duration = Duration::from_secs(30);

/// Finds and reads the description: SOURCE, or what `netapply.source=` names, or whatever a boot's search finds. Calls `progress` with a complete sentence whenever it begins to wait.
///
/// Needs a tokio runtime with I/O and time enabled, and forks. Dropping the future ends the search and kills the child
/// process that reads.
///
/// # Errors
/// Why there is no usable description, as sentences for a console.
pub async fn find(request: &SearchOptions, progress: &mut dyn FnMut(&str)) -> Result<Found, NotFound> {
    let cmdline = &request.cmdline;
    if !request.boot_sources.is_empty() {
        return boot::find(&request.boot_sources, "--source", request, progress).await;
    }
    let of_cmdline = cmdline.source.as_deref().filter(|_| request.source.is_none());
    if let Some(list) = of_cmdline.and_then(BootSource::list) {
        return boot::find(&list, "netapply.source=", request, progress).await;
    }
    let named = match (&request.source, &cmdline.source) {
        (Some(source), _) => Some((source, "named on the command line", request.wait.unwrap_or_default())),
        (None, Some(source)) => {
            let wait = request.wait.unwrap_or_else(|| cmdline.wait_for_drive());
            Some((source, "named by netapply.source= of the kernel command line", wait))
        }
        (None, None) => None,
    };
    match named {
        Some((source, why, wait)) => explicit::find(source, why, wait, request, progress).await,
        None => search::find(request, watch::Watch::kernel(), progress).await,
    }
}

/// Reads the first of the descriptions at these paths, each as [`find`] does, many of them in one child process. Calls
/// `found` with each in order, and returns the remaining paths.
pub async fn find_some<'p>(
    paths: &'p [String],
    request: &SearchOptions,
    found: &mut dyn FnMut(&str, Result<Found, NotFound>),
) -> &'p [String] {
    explicit::batch(paths, request, found).await
}

/// How `netapply check` reads a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// It is laid out as a config drive, or as a directory of netplan's files: one description.
    pub is_one: bool,
    /// The files and directories that hold a description each, sorted; the directory itself if it is one.
    pub paths: Vec<String>,
    /// Symbolic links that were not followed.
    pub links: u32,
}

/// How `netapply check` reads `source`: `None` for anything but a directory, which [`find`] reads.
///
/// # Errors
/// The directory has no description, cannot be read, or does not answer.
pub async fn directory(source: &str, request: &SearchOptions) -> Result<Option<Directory>, NotFound> {
    let path = std::path::Path::new(source);
    if source == "-" || !path.is_dir() {
        return Ok(None);
    }
    let links = explicit::links_of(path, request);
    let read = child::run(READ_BOUND, || many::contents(path, links)).await;
    read.map_err(|lost| lost.problem(source, "Check the disk, or the server that exports it."))?.map(Some)
}

impl Document {
    /// Decodes UTF-8. Known other kinds of content are named, because "invalid UTF-8" does not help.
    fn decode(name: &str, mut bytes: Vec<u8>) -> Result<Document, NotFound> {
        const OTHERS: [(&[u8], &str, &str); 7] = [
            (b"\x1f\x8b", "is compressed with gzip", "Unpack it first: gunzip."),
            (
                b"H4sI",
                "is compressed with gzip and written in base64",
                "Unpack it first: base64 -d | gunzip.",
            ),
            (b"\xfd7zXZ", "is compressed with xz", "Unpack it first: unxz."),
            (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "Unpack it first: unzstd."),
            (b"QFI\xfb", "is a qcow2 image", "Convert it first: qemu-img convert -O raw."),
            (b"\xff\xfe", "is UTF-16 text", "Save it as UTF-8: iconv -f UTF-16 -t UTF-8."),
            (b"\xfe\xff", "is UTF-16 text", "Save it as UTF-8: iconv -f UTF-16 -t UTF-8."),
        ];
        if let Some((_, what, hint)) = OTHERS.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
            return Err(NotFound::new(NotFoundKind::NotText, format!("{name} {what}."), *hint));
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            let line = 1 + e.as_bytes().iter().take(at).filter(|b| **b == b'\n').count();
            NotFound::new(
                NotFoundKind::NotText,
                format!("{name} is not UTF-8 text: line {line}, byte {at} of the file."),
                "A network description is JSON, YAML or Debian's interfaces format, in UTF-8.",
            )
        })?;
        Ok(Document { name: name.to_owned(), text })
    }
}

/// FNV-1a over all documents, folded to 32 bits and shown in hexadecimal.
fn hash(documents: &[Document]) -> String {
    let bytes = documents.iter().flat_map(|d| d.text.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> NotFound {
        Document::decode("net.json", bytes.to_vec()).unwrap_err()
    }

    #[test]
    fn a_text_is_kept_unchanged_without_its_byte_order_mark() {
        let text = "\u{feff}{\"a\": \"ü\"}\r\n".as_bytes().to_vec();
        assert_eq!(Document::decode("n", text).unwrap().text, "{\"a\": \"ü\"}\r\n");
        assert_eq!(Document::decode("n", Vec::new()).unwrap().text, "");
    }

    #[test]
    fn content_that_is_not_text_is_named() {
        assert_eq!(refused(b"a\nb\xffc").message, "net.json is not UTF-8 text: line 2, byte 3 of the file.");
        assert_eq!(refused(b"\x1f\x8b\x08").message, "net.json is compressed with gzip.");
        assert_eq!(refused(b"\xff\xfe{\0").message, "net.json is UTF-16 text.");
        assert!(refused(b"\xff").kind.is_unreadable());
    }

    #[test]
    fn hash_is_stable() {
        let document = |text: &str| Document { name: "n".into(), text: text.into() };
        // The 64-bit FNV-1a of "a" is af63dc4c8601ec8c.
        assert_eq!(hash(&[document("a")]), format!("{:08x}", 0xaf63_dc4c_u32 ^ 0x8601_ec8c));
        assert_ne!(hash(&[document("a")]), hash(&[document("b")]));
    }

    #[test]
    fn the_first_line_names_all_that_is_known() {
        let mut origin = Origin {
            kind: OriginKind::BlockDevice,
            path: "/dev/sr0".into(),
            label: Some("config-2".into()),
            filesystem: Some("ISO 9660".into()),
            created: Some("2026-03-01 10:20:30 UTC".into()),
            instance_id: Some("i-1".into()),
            hash: "0badcafe".into(),
            why: String::new(),
            others: Vec::new(),
        };
        assert_eq!(
            origin.to_string(),
            "/dev/sr0 (ISO 9660 \"config-2\", made 2026-03-01 10:20:30 UTC, instance i-1, text 0badcafe)"
        );
        (origin.label, origin.filesystem, origin.created, origin.instance_id) = (None, None, None, None);
        assert_eq!(origin.to_string(), "/dev/sr0 (text 0badcafe)");
    }
}
