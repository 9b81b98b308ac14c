//! A drive's files in any file system: the few operations that the layouts need, with the same limits everywhere. A
//! path never leaves its tree, a file has a size limit, and only regular files are opened. Entry: [`FileTree`],
//! [`DirTree`].

use std::cell::Cell;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The maximum size of a description's file, in bytes: the largest real one is a hundredth of it.
pub(super) const TEXT_LIMIT: usize = 10 << 20;
/// The maximum size of a file with many descriptions, in bytes: 100,000 nodes. A child's answer may be larger.
pub(super) const MANY_LIMIT: usize = 120 << 20;
/// The maximum size of a side file, such as `meta-data`.
pub(super) const SIDE_LIMIT: usize = 1 << 20;
/// The maximum total size of all files of one drive, in bytes.
const TOTAL_LIMIT: usize = 32 << 20;
/// How many directory entries of one drive are read: enough for a folder for each of 10,000 hosts.
const ENTRY_LIMIT: usize = 200_000;

/// The remaining budget of a drive: neither the number of its files nor their size may exhaust the machine. The time is
/// bounded by the parent of the child process that reads.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: Cell<usize>,
    entries: Cell<usize>,
}

impl Budget {
    pub(super) fn new() -> Budget {
        Budget { bytes: Cell::new(TOTAL_LIMIT), entries: Cell::new(ENTRY_LIMIT) }
    }

    /// Before a file of this size is read.
    pub(super) fn spend_bytes(&self, bytes: usize) -> Result<(), ReadError> {
        spend(&self.bytes, bytes).ok_or(ReadError::TooMuch)
    }

    /// For the entries of a listed directory.
    pub(super) fn spend_entries(&self, entries: usize) -> Result<(), ReadError> {
        spend(&self.entries, entries).ok_or(ReadError::TooMany)
    }
}

fn spend(left: &Cell<usize>, amount: usize) -> Option<()> {
    left.set(left.get().checked_sub(amount)?);
    Some(())
}

/// Why an existing file cannot be read. `Display` continues the sentence "FILE …".
#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    /// The file system is inconsistent; says where.
    Damaged(&'static str),
    /// The file has more bytes than this.
    TooLarge(usize),
    /// With this file, the total exceeds the limit of a drive.
    TooMuch,
    /// With this directory, the entries exceed the limit of a drive.
    TooMany,
    NotAFile,
    LeavesTree,
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::Io(e) => write!(f, "cannot be read: {}", plain(e)),
            ReadError::Damaged(what) => {
                write!(f, "cannot be read: the drive is damaged or cut short ({what})")
            }
            ReadError::TooLarge(limit) => write!(f, "is larger than {} MiB", limit >> 20),
            ReadError::TooMuch => {
                write!(f, "is not read: the drive's files have more than {} MiB together", TOTAL_LIMIT >> 20)
            }
            ReadError::TooMany => {
                write!(
                    f,
                    "is not read: the drive's directories have more than {ENTRY_LIMIT} entries together"
                )
            }
            ReadError::NotAFile => f.write_str("is not a regular file"),
            ReadError::LeavesTree => {
                f.write_str("is a link that leads out of the drive or directory, and is not followed")
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Io(e) => Some(e),
            _ => None,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(e: io::Error) -> ReadError {
        ReadError::Io(e)
    }
}

/// The system's error text without its number.
pub(super) fn plain(e: &io::Error) -> String {
    match e.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_owned(),
        None => e.to_string(),
    }
}

/// A drive's files. Paths are relative, with `/` between names.
pub(super) trait FileTree {
    /// The file's bytes, at most `limit`; `None` if there is none.
    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, ReadError>;
    /// The file's first bytes, `length` if it has as many; `None` if there is none.
    fn head(&self, path: &str, length: usize) -> Result<Option<Vec<u8>>, ReadError>;
    /// The names in a directory, in no order; empty if there is none.
    fn list(&self, directory: &str) -> Result<Vec<String>, ReadError>;
}

/// The names of a relative path, empty ones and `.` left out; `None` if it leads upwards.
pub(super) fn names(path: &str) -> Option<Vec<&str>> {
    let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
    names.map(|name| (name != "..").then_some(name)).collect()
}

/// A directory: a mounted drive, a seed directory, one the user named.
pub(super) struct DirTree {
    root: PathBuf,
    links: Links,
    budget: Budget,
}

/// Whether links may lead out of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// Never on a drive, which is untrusted, nor in a directory that somebody else may have written.
    Confined,
    /// In this machine's own directories: NixOS keeps `/etc` as links.
    Followed,
}

impl DirTree {
    pub(super) fn new(root: &Path, links: Links) -> DirTree {
        DirTree { root: root.to_owned(), links, budget: Budget::new() }
    }

    /// An untrusted directory: nothing outside is read.
    pub(super) fn confined(root: &Path) -> DirTree {
        DirTree::new(root, Links::Confined)
    }

    fn locate(&self, path: &str) -> Result<Option<PathBuf>, ReadError> {
        let names = names(path).ok_or(ReadError::LeavesTree)?;
        let mut full = self.root.clone();
        full.extend(names);
        let (Some(full), Some(root)) = (present(full.canonicalize())?, present(self.root.canonicalize())?)
        else {
            return Ok(None);
        };
        if self.links == Links::Confined && !full.starts_with(root) {
            return Err(ReadError::LeavesTree);
        }
        Ok(Some(full))
    }
}

/// `None` for errors that only mean that there is no such file.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

impl FileTree for DirTree {
    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(path) = self.locate(path)? else { return Ok(None) };
        let bytes = read_file(&path, limit)?;
        self.budget.spend_bytes(bytes.len())?;
        Ok(Some(bytes))
    }

    fn head(&self, path: &str, length: usize) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(path) = self.locate(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        open_file(&path)?.0.take(length as u64).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, ReadError> {
        let Some(path) = self.locate(directory)? else { return Ok(Vec::new()) };
        let Some(entries) = present(fs::read_dir(path))? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in entries {
            self.budget.spend_entries(1)?;
            // No file of a description has a name that is not UTF-8.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }
}

/// Opens a regular file, and returns its length. Never hangs on a FIFO or a terminal.
fn open_file(path: &Path) -> Result<(fs::File, u64), ReadError> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata.len())) } else { Err(ReadError::NotAFile) }
}

/// A regular file's bytes, at most `limit`.
pub(super) fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, ReadError> {
    let (file, length) = open_file(path)?;
    // Room for one byte more than expected detects the end with the first read.
    read_limited(file, length.saturating_add(1), limit)
}

/// Everything up to the end, at most `limit`; there should be `expected` bytes.
pub(super) fn read_limited(reader: impl Read, expected: u64, limit: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::with_capacity(expected.min(limit as u64) as usize);
    reader.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Err(ReadError::TooLarge(limit)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_within_the_drive_is_followed_and_one_out_of_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("drive");
        fs::create_dir_all(root.join("openstack/2018-08-27")).unwrap();
        fs::write(root.join("openstack/2018-08-27/a"), "inside").unwrap();
        fs::write(dir.path().join("secret"), "outside").unwrap();
        symlink("2018-08-27", root.join("openstack/latest")).unwrap();
        symlink("../secret", root.join("secret")).unwrap();
        symlink("/etc/hostname", root.join("absolute")).unwrap();
        let tree = DirTree::confined(&root);
        assert_eq!(tree.read("openstack/latest/a", 9).unwrap().unwrap(), b"inside");
        for path in ["secret", "absolute", "../secret", "openstack/../../secret"] {
            assert!(matches!(tree.read(path, 9), Err(ReadError::LeavesTree)), "{path}");
        }
        assert_eq!(DirTree::new(&root, Links::Followed).read("secret", 9).unwrap().unwrap(), b"outside");
    }

    #[test]
    fn a_drive_has_one_budget_for_all_its_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::File::create(dir.path().join("large")).unwrap().set_len(TEXT_LIMIT as u64).unwrap();
        let tree = DirTree::confined(dir.path());
        for _ in 0..TOTAL_LIMIT / TEXT_LIMIT {
            tree.read("large", TEXT_LIMIT).unwrap();
        }
        let error = tree.read("large", TEXT_LIMIT).unwrap_err();
        assert_eq!(error.to_string(), "is not read: the drive's files have more than 32 MiB together");
        let budget = Budget::new();
        budget.spend_entries(ENTRY_LIMIT).unwrap();
        assert!(matches!(budget.spend_entries(1), Err(ReadError::TooMany)));
    }

    #[test]
    fn absent_files_are_not_an_error_and_special_files_are() {
        let dir = tempfile::tempdir().unwrap();
        let tree = DirTree::confined(dir.path());
        fs::write(dir.path().join("file"), "x").unwrap();
        assert!(tree.read("nothing", 9).unwrap().is_none());
        assert!(tree.read("file/below", 9).unwrap().is_none());
        assert_eq!(tree.list("nothing").unwrap(), Vec::<String>::new());
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(tree.read("fifo", 9), Err(ReadError::NotAFile)));
        let large = fs::File::create(dir.path().join("large")).unwrap();
        large.set_len(TEXT_LIMIT as u64 + 1).unwrap();
        assert!(matches!(tree.read("large", TEXT_LIMIT), Err(ReadError::TooLarge(TEXT_LIMIT))));
        assert_eq!(tree.head("large", 3).unwrap().unwrap(), [0; 3]);
        assert_eq!(tree.head("file", 3).unwrap().unwrap(), b"x");
    }
}
