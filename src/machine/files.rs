//! netapply's own files: written atomically, and never to a pipe or device in their place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// More than netapply ever writes; a longer file is not its own.
const LONGEST: u64 = 256 << 20;

/// Writes a file with these permissions under a temporary name and renames it: a reader sees the old one or the new
/// one. A killed run leaves at most one temporary file, always with the same name.
///
/// # Errors
/// The file cannot be written. The old one still exists then.
pub fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let beside = beside(path);
    remove(&beside)?;
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside);
    let moved = written.and_then(|mut file| {
        file.write_all(content)?;
        fs::rename(&beside, path)
    });
    if moved.is_err() {
        // A partial file is useless, and there may be none.
        let _ = fs::remove_file(&beside);
    }
    moved
}

/// `report.json.new` for `report.json`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// Creates a folder that everybody may read, and its parents.
///
/// # Errors
/// It cannot be created.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Removes a file, if it exists.
///
/// # Errors
/// It still exists.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The content of a regular file.
///
/// # Errors
/// It does not exist, cannot be read, or is something else: reading a pipe would block.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut content = Vec::new();
    regular(file)?.take(LONGEST).read_to_end(&mut content)?;
    Ok(content)
}

/// What a regular file says in JSON.
///
/// # Errors
/// As of [`read`], or its content is no such JSON ([`io::ErrorKind::InvalidData`]).
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    // A text, as all JSON is read here: for bytes, the program would have each type's reader twice.
    let text = String::from_utf8(read(path)?).map_err(|_| io::ErrorKind::InvalidData)?;
    serde_json::from_str(&text).map_err(io::Error::from)
}

/// Opens a regular file for appending, and creates it if missing. No symbolic link is followed: others may be able to
/// write to the folder.
///
/// # Errors
/// It cannot be opened, or is something else.
pub fn append(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    regular(OpenOptions::new().append(true).create(true).mode(0o644).custom_flags(flags).open(path)?)
}

/// Opens a file for locking, readable by root only. Anything else in its place is removed.
///
/// # Errors
/// It cannot be created.
pub fn lockable(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        remove(path)?;
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    regular(options.open(path)?)
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_is_written_atomically_without_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/x.json");
        write(&path, b"one", 0o600).unwrap();
        // Left by a killed run, and by somebody else.
        fs::write(folder.path().join("run/x.json.new"), "").unwrap();
        write(&path, b"two", 0o600).unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert!(read(&path).is_err());
        assert!(append(&path).is_err());
        write(&path, b"a file again", 0o644).unwrap();
        assert_eq!(read(&path).unwrap(), b"a file again");
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert!(lockable(&path).unwrap().metadata().unwrap().is_file());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(append(&link).is_err(), "a link is not followed");
    }
}
