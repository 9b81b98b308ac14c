//! Reads a drive: ISO 9660 and FAT with our own readers, anything else by mounting it temporarily. A mount is
//! read-only, without suid, devices and execution, in a mount namespace of one process: nobody else ever sees it, and
//! it is gone with the process, whatever happens. Blocking, and it leaves the process's mount namespace: only for a
//! child that `child` starts. Entries: [`read_volume`], [`read_share`].

use super::bytes::ReadAt;
use super::devices::Share;
use super::fat::Fat;
use super::hosts;
use super::iso::Iso;
use super::layout::{self, Contents, Layout};
use super::tree::{Budget, DirTree, ReadError, plain};
use super::volume::{FileSystem, Volume};
use super::{NotFound, NotFoundKind, is_denied};
use crate::machine::Machine;
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use sys_mount::{Mount, MountFlags, Unmount, UnmountFlags};

/// Reads the description from the volume on `node`, a device or an ISO image. `None`: there is none on it.
pub(super) fn read_volume(
    node: &Path,
    volume: &Volume,
    promised: Option<Layout>,
    machine: &Machine,
) -> Result<Option<Contents>, NotFound> {
    let budget = Budget::new();
    let open = || File::open(node).map_err(|e| cannot_open(node, &e));
    let damaged = |e: ReadError| layout::unreadable(&node.display().to_string(), &e);
    let (filesystem, options) = match volume.filesystem {
        FileSystem::Iso9660 => {
            let iso = Iso::open(open()?, &budget).map_err(damaged)?;
            return iso.map_or(Ok(None), |iso| hosts::read(&iso, promised, machine));
        }
        FileSystem::Vfat => {
            // Writes to a mounted volume may not have reached the device.
            if let Some(root) = mounted_elsewhere(node, machine) {
                return hosts::read(&DirTree::confined(&root), promised, machine);
            }
            let file = open()?;
            let head = file.read_at(0, 512).map_err(|e| damaged(e.into()))?;
            let fat = Fat::parse(&head);
            return fat.map_or(Ok(None), |fat| hosts::read(&fat.tree(file, &budget), promised, machine));
        }
        // Without this even a read-only mount replays the journal, which writes to the drive.
        FileSystem::Ext4 => ("ext4", "noload"),
        FileSystem::Udf => ("udf", ""),
    };
    let read = |root: &Path| hosts::read(&DirTree::confined(root), promised, machine);
    match mounted(machine, node, filesystem, options, &read) {
        Err(Refused::Mount(e)) if e.raw_os_error() == Some(libc::EBUSY) => {
            match mounted_elsewhere(node, machine) {
                Some(root) => read(&root),
                None => Err(refused(node, filesystem, &Refused::Mount(e))),
            }
        }
        Err(e) => Err(refused(node, filesystem, &e)),
        Ok(contents) => contents,
    }
}

/// Reads the description from a directory that the host shares. `None`: there is none in it, or no such share.
pub(super) fn read_share(share: &Share, machine: &Machine) -> Result<Option<Contents>, NotFound> {
    let options = if share.filesystem == "9p" { "trans=virtio,version=9p2000.L" } else { "" };
    let tag = Path::new(&share.tag);
    let read = |root: &Path| hosts::read(&DirTree::confined(root), Some(Layout::ConfigDrive), machine);
    match mounted(machine, tag, share.filesystem, options, &read) {
        Err(Refused::Mount(_)) if share.supposed => Ok(None),
        Err(e) => Err(refused(tag, share.filesystem, &e)),
        Ok(contents) => contents,
    }
}

/// An error before anything could be read.
enum Refused {
    /// No mount namespace of our own, or no place to mount at.
    Namespace(io::Error),
    Mount(io::Error),
}

/// Mounts, reads, unmounts, in a mount namespace of this process alone.
fn mounted<T>(
    machine: &Machine,
    source: &Path,
    filesystem: &str,
    options: &str,
    read: &dyn Fn(&Path) -> T,
) -> Result<T, Refused> {
    let point = private_mount_point(machine).map_err(Refused::Namespace)?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let builder = Mount::builder().fstype(filesystem).flags(flags).data(options);
    let result = builder.mount(source, &point).map_err(Refused::Mount).map(|mount| {
        let result = read(&point);
        // If this fails, the mount goes away with the namespace when the process exits.
        let _ = mount.unmount(UnmountFlags::empty());
        result
    });
    // Only the directory that was created for this is empty.
    let _ = fs::remove_dir(machine.drive());
    result
}

/// Leaves the process's mount namespace, and returns a directory that may be covered in the new one.
fn private_mount_point(machine: &Machine) -> io::Result<PathBuf> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    // Otherwise the mount would propagate back, which is systemd's default.
    nix::mount::mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    // Before /run exists, any directory will do: no other process sees what covers it.
    let point = machine.drive();
    match fs::create_dir_all(&point) {
        Ok(()) => Ok(point),
        Err(e) => ["/mnt", "/tmp"].map(|dir| machine.at(dir)).into_iter().find(|dir| dir.is_dir()).ok_or(e),
    }
}

/// Where the device is already mounted. A file system that is mounted for writing cannot be mounted read-only as well
/// (EBUSY), but it can be read where it is.
fn mounted_elsewhere(node: &Path, machine: &Machine) -> Option<PathBuf> {
    let device = fs::metadata(node).ok()?.rdev();
    let device = format!("{}:{}", libc::major(device), libc::minor(device));
    mount_of(&fs::read_to_string(machine.proc().join("self/mountinfo")).ok()?, &device)
}

/// The mount point of a whole file system in mountinfo's lines: `36 35 8:1 / /mnt/point …` (proc(5)).
fn mount_of(mountinfo: &str, device: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(2);
        let (own, root, point) = (fields.next()?, fields.next()?, fields.next()?);
        (own == device && root == "/").then(|| PathBuf::from(point.replace("\\040", " ")))
    })
}

/// A device or file that cannot be opened.
pub(super) fn cannot_open(node: &Path, error: &io::Error) -> NotFound {
    let message = format!("{} cannot be opened: {}.", node.display(), plain(error));
    if is_denied(error) {
        return NotFound::denied(message, "Run netapply as root.", error).naming_drive();
    }
    NotFound::new(NotFoundKind::Unreadable, message, "Check that the medium is in the drive.")
        .caused_by(error)
        .naming_drive()
}

fn refused(source: &Path, filesystem: &str, error: &Refused) -> NotFound {
    let (Refused::Namespace(cause) | Refused::Mount(cause)) = error;
    let (source, words) = (source.display(), plain(cause));
    let problem = match (error, cause.raw_os_error()) {
        _ if is_denied(cause) => {
            let message = format!(
                "{source} holds {filesystem}, which has to be mounted to be read, and mounting is denied."
            );
            let mut problem = NotFound::denied(message, "Run netapply as root.", cause);
            if problem.kind == NotFoundKind::Forbidden {
                problem.hint =
                    "In a unit or container netapply needs CAP_SYS_ADMIN to mount. An ISO 9660 drive needs \
                                no mount."
                        .to_owned();
            }
            problem
        }
        (Refused::Mount(_), Some(libc::ENODEV)) => NotFound::new(
            NotFoundKind::NoFileSystem,
            format!(
                "{source} holds {filesystem}, and this kernel has no driver for it: no module {filesystem} could be loaded."
            ),
            module_hint(filesystem),
        ),
        _ => NotFound::new(
            NotFoundKind::Unreadable,
            format!("{source} holds {filesystem} and cannot be mounted: {words}."),
            "See the kernel's log (dmesg). Make the drive anew, or make it ISO 9660.",
        ),
    };
    problem.caused_by(cause).naming_drive()
}

fn module_hint(filesystem: &str) -> &'static str {
    match filesystem {
        "ext4" => "Put the module ext4 into the image, or make the drive ISO 9660, which needs none.",
        "udf" => "Put the module udf into the image, or make the drive ISO 9660, which needs none.",
        "9p" => {
            "Put the modules 9p and 9pnet_virtio into the image, or hand the description over as an ISO 9660 drive."
        }
        _ => {
            "Put the module into the image, or hand the description over as an ISO 9660 drive, which needs none."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_has_the_mount_point_of_a_device() {
        let mountinfo = "24 1 0:22 / /proc rw - proc proc rw\n\
                         36 24 8:1 /sub /srv rw - vfat /dev/sda1 rw\n\
                         37 24 8:1 / /media/my\\040stick rw,nosuid shared:1 - vfat /dev/sda1 rw\n";
        assert_eq!(mount_of(mountinfo, "8:1"), Some("/media/my stick".into()));
        assert_eq!(mount_of(mountinfo, "8:2"), None);
    }

    #[test]
    fn a_refusal_says_which_driver_is_missing() {
        let error = Refused::Mount(io::Error::from_raw_os_error(libc::ENODEV));
        let problem = refused(Path::new("/dev/sdb1"), "ext4", &error);
        assert_eq!(problem.kind, NotFoundKind::NoFileSystem);
        assert!(problem.message.contains("this kernel has no driver for it"), "{}", problem.message);
        assert!(problem.hint.contains("module ext4"), "{}", problem.hint);
    }

    #[test]
    fn root_gets_no_hint_to_become_root() {
        let error = Refused::Namespace(io::Error::from_raw_os_error(libc::EPERM));
        let problem = refused(Path::new("/dev/sdb1"), "ext4", &error);
        let root = nix::unistd::geteuid().is_root();
        assert_eq!(problem.kind, if root { NotFoundKind::Forbidden } else { NotFoundKind::NeedsRoot });
        assert_eq!(problem.hint.contains("as root"), !root, "{}", problem.hint);
        assert_eq!(problem.cause, Some(nix::errno::Errno::EPERM));
    }
}
