//! Files of the image: written atomically, restored as they were. Modes do not depend on the umask. Blocks: see `worker`.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::plan::Former;

use crate::kernel::errno;

const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// The maximum length of a file that the hand-off writes or replaces, in bytes.
const LONGEST: u64 = 1 << 20;

/// Writes a file atomically: readers see the old content or the new, never a part. Creates its folder.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, |file| file.set_permissions(Permissions::from_mode(FILE_MODE)))
}

/// Removes a file; a missing one counts as removed.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The current state of a path.
pub(super) fn former(path: &Path) -> io::Result<Former> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Former::Absent),
        metadata => metadata?,
    };
    if metadata.is_symlink() {
        return fs::read_link(path).map(Former::Link);
    }
    let content = read(path)?.ok_or(ErrorKind::InvalidInput)?;
    let owner = (metadata.uid(), metadata.gid());
    Ok(Former::File { content, mode: metadata.mode() & 0o7777, owner })
}

/// Restores a path.
pub(super) fn put_back(path: &Path, former: &Former) -> io::Result<()> {
    match former {
        Former::Absent => remove(path),
        Former::Link(target) => {
            let temporary = temporary(path);
            remove(&temporary)?;
            symlink(target, &temporary)?;
            fs::rename(&temporary, path)
        }
        Former::File { content, mode, owner: (user, group) } => replace(path, content, |file| {
            // Only root may do this; for anybody else the owner is already right.
            let _ = fchown(file, Some(*user), Some(*group));
            file.set_permissions(Permissions::from_mode(*mode))
        }),
    }
}

/// Writes into an existing file: a sysctl, or a file that cannot be replaced.
pub(super) fn overwrite(path: &Path, content: &[u8]) -> io::Result<()> {
    // Without waiting for the other end of a FIFO.
    let mut file = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Errno::EINVAL.into());
    }
    file.set_len(0)?;
    file.write_all(content)
}

/// A regular file's content; `None` for anything else, and for one that is too long.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= LONGEST).then_some(content))
}

fn replace(path: &Path, content: &[u8], finish: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
    let whole = || {
        make_folder(path.parent().unwrap_or(Path::new("/")))?;
        let temporary = temporary(path);
        remove(&temporary)?;
        let written = || {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&temporary)?;
            file.write_all(content)?;
            finish(&file)?;
            fs::rename(&temporary, path)
        };
        written().inspect_err(|_| drop(fs::remove_file(&temporary)))
    };
    match whole() {
        // A file that is bind-mounted, as containers do with /etc/resolv.conf, or a folder that cannot be written: the
        // file cannot be replaced.
        Err(error)
            if matches!(
                errno(&error),
                Errno::EBUSY | Errno::EXDEV | Errno::EROFS | Errno::EACCES | Errno::EPERM
            ) =>
        {
            let before = read(path).ok().flatten();
            let written = overwrite(path, content);
            // If the disk is full, the content is lost by now, but its space is still allocated.
            if let (Err(_), Some(before)) = (&written, before) {
                let _ = overwrite(path, &before);
            }
            match written {
                Err(why) if errno(&why) == Errno::ENOSPC => Err(why),
                written => written.map_err(|_| error),
            }
        }
        result => result,
    }
}

/// A fixed name, so that a killed run leaves at most one.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.netapply"))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), make_folder)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))),
    }
}
