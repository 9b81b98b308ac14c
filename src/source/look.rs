//! One look at one drive: is there a medium, and what do its superblocks contain. Blocking: callers run it in a
//! `child`. Entry: [`look_at`].

use super::devices::Location;
use super::is_denied;
use super::tree::plain;
use super::volume::{self, Volume};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The result of a look at a drive's superblocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inspected {
    Volume(Volume),
    /// No file system that a config drive can have.
    Other,
    NoMedium,
    /// Access was denied to a user who is not root.
    NeedsRoot,
    /// Access was denied to root.
    Forbidden,
    /// Why it could not be read.
    Failed(String),
}

impl Inspected {
    /// What an error of opening or reading means to a process that is root, or not.
    fn from_error(error: &io::Error, root: bool) -> Inspected {
        match error.raw_os_error() {
            Some(libc::ENOMEDIUM | libc::ENXIO) => Inspected::NoMedium,
            _ if is_denied(error) && root => Inspected::Forbidden,
            _ if is_denied(error) => Inspected::NeedsRoot,
            _ => Inspected::Failed(plain(error)),
        }
    }

    /// In a few words, for a list of drives.
    pub(super) fn shown(&self) -> String {
        match self {
            Inspected::Volume(volume) => volume.filesystem.name().to_owned(),
            Inspected::Other => "no file system of a config drive".to_owned(),
            Inspected::NoMedium => "no medium".to_owned(),
            Inspected::NeedsRoot => "permission denied".to_owned(),
            Inspected::Forbidden => "access denied, even to root".to_owned(),
            Inspected::Failed(why) => why.clone(),
        }
    }
}

/// Opens the drive and reads its superblocks.
pub(super) fn look_at(node: &Path, place: Location) -> Inspected {
    let look = || {
        if place == Location::Cd && !has_disc(node)? {
            return Ok(Inspected::NoMedium);
        }
        let volume = volume::probe(&File::open(node)?)?;
        Ok(volume.map_or(Inspected::Other, Inspected::Volume))
    };
    look().unwrap_or_else(|e| Inspected::from_error(&e, nix::unistd::geteuid().is_root()))
}

nix::ioctl_write_int_bad!(
    /// `CDROM_DRIVE_STATUS` of linux/cdrom.h.
    cdrom_drive_status,
    0x5326
);

/// Whether a CD drive has a disc. Checked first, because opening an empty drive closes its tray.
fn has_disc(node: &Path) -> io::Result<bool> {
    const CURRENT_SLOT: i32 = i32::MAX;
    const NO_DISC: i32 = 1;
    const TRAY_OPEN: i32 = 2;
    let drive = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(node)?;
    // SAFETY: the request takes a slot number by value and writes no memory of ours.
    let status = unsafe { cdrom_drive_status(drive.as_raw_fd(), CURRENT_SLOT) };
    // A drive that cannot tell, or is not a CD drive after all, is read.
    Ok(!matches!(status, Ok(NO_DISC | TRAY_OPEN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_by_who_meets_it() {
        let look = |code, root| Inspected::from_error(&io::Error::from_raw_os_error(code), root);
        for code in [libc::EPERM, libc::EACCES] {
            assert_eq!(look(code, false), Inspected::NeedsRoot);
            assert_eq!(look(code, true), Inspected::Forbidden);
        }
        assert_eq!(look(libc::ENOMEDIUM, true), Inspected::NoMedium);
        assert_eq!(look(libc::EIO, true), Inspected::Failed("I/O error".into()));
    }
}
