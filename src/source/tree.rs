//! A drive's files, whatever they lie on: the little that the layouts need, with the same limits everywhere. A path
//! never leaves its tree, a text has a size limit, and only plain files are opened. Entry: [`Tree`], [`DirTree`].

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The most that a text may have, in bytes: the largest real description is a hundredth of it.
pub(super) const TEXT_LIMIT: usize = 10 << 20;
/// The most entries of a directory that are looked at.
const LIST_LIMIT: usize = 4096;

/// Why a file that is there cannot be read. `Display` continues the sentence "FILE …".
#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    /// The file system contradicts itself; says where.
    Damaged(&'static str),
    TooLarge,
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
            ReadError::TooLarge => {
                write!(f, "is larger than {} MiB, which no network description is", TEXT_LIMIT >> 20)
            }
            ReadError::NotAFile => f.write_str("is not a plain file"),
            ReadError::LeavesTree => {
                f.write_str("is a link that leads out of the drive, and is not followed")
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

/// The error in the system's own words, without its number.
pub(super) fn plain(e: &io::Error) -> String {
    match e.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_owned(),
        None => e.to_string(),
    }
}

/// A drive's files. Paths are relative, with `/` between names.
pub(super) trait Tree {
    /// The file's bytes, at most [`TEXT_LIMIT`]; `None` where there is none.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError>;
    /// The names in a directory, in no order; empty where there is none.
    fn list(&self, directory: &str) -> Result<Vec<String>, ReadError>;
}

/// The names of a relative path, empty ones and `.` left out; `None` where it leads upwards.
pub(super) fn names(path: &str) -> Option<Vec<&str>> {
    let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
    names.map(|name| (name != "..").then_some(name)).collect()
}

/// A directory: a mounted drive, a seed directory, one the user named.
pub(super) struct DirTree {
    root: PathBuf,
    /// Whether links may lead out. A drive is foreign, so never there; `/etc/netplan` is this machine's own.
    links_out: bool,
}

impl DirTree {
    /// A foreign directory: what lies outside is not read.
    pub(super) fn confined(root: &Path) -> DirTree {
        DirTree { root: root.to_owned(), links_out: false }
    }

    /// A directory of this machine's own, whose links are followed (NixOS keeps `/etc` as links).
    pub(super) fn own(root: &Path) -> DirTree {
        DirTree { root: root.to_owned(), links_out: true }
    }

    fn locate(&self, path: &str) -> Result<Option<PathBuf>, ReadError> {
        let names = names(path).ok_or(ReadError::LeavesTree)?;
        let mut full = self.root.clone();
        full.extend(names);
        let (Some(full), Some(root)) = (present(full.canonicalize())?, present(self.root.canonicalize())?)
        else {
            return Ok(None);
        };
        if !self.links_out && !full.starts_with(root) {
            return Err(ReadError::LeavesTree);
        }
        Ok(Some(full))
    }
}

/// `None` for the errors that only mean that there is no such file.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

impl Tree for DirTree {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.locate(path)?.map(|path| read_file(&path)).transpose()
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, ReadError> {
        let Some(path) = self.locate(directory)? else { return Ok(Vec::new()) };
        let Some(entries) = present(fs::read_dir(path))? else { return Ok(Vec::new()) };
        let names = entries.take(LIST_LIMIT).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }
}

/// A plain file's bytes, at most [`TEXT_LIMIT`]. Never hangs on a FIFO or a terminal.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(ReadError::NotAFile);
    }
    // Room for one byte more than there should be shows the end at the first read.
    read_limited(file, metadata.len().saturating_add(1))
}

/// Everything up to the end, at most [`TEXT_LIMIT`]; there should be `expected` bytes.
pub(super) fn read_limited(reader: impl Read, expected: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::with_capacity(expected.min(TEXT_LIMIT as u64) as usize);
    reader.take(TEXT_LIMIT as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > TEXT_LIMIT { Err(ReadError::TooLarge) } else { Ok(bytes) }
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
        assert_eq!(tree.read("openstack/latest/a").unwrap().unwrap(), b"inside");
        for path in ["secret", "absolute", "../secret", "openstack/../../secret"] {
            assert!(matches!(tree.read(path), Err(ReadError::LeavesTree)), "{path}");
        }
        assert_eq!(DirTree::own(&root).read("secret").unwrap().unwrap(), b"outside");
    }

    #[test]
    fn absent_is_not_an_error_and_odd_files_are() {
        let dir = tempfile::tempdir().unwrap();
        let tree = DirTree::confined(dir.path());
        fs::write(dir.path().join("file"), "x").unwrap();
        assert!(tree.read("nothing").unwrap().is_none());
        assert!(tree.read("file/below").unwrap().is_none());
        assert_eq!(tree.list("nothing").unwrap(), Vec::<String>::new());
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(tree.read("fifo"), Err(ReadError::NotAFile)));
        let large = fs::File::create(dir.path().join("large")).unwrap();
        large.set_len(TEXT_LIMIT as u64 + 1).unwrap();
        assert!(matches!(tree.read("large"), Err(ReadError::TooLarge)));
    }
}
