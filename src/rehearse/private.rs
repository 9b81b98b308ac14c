//! Isolates the process from this machine: user, network, mount and UTS namespaces, a read-only file tree, and an empty
//! /etc and /run in memory. Entries: [`enter`] before any thread exists, [`seal`] once the description has been read.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::machine::Machine;

/// Why isolation is not possible, with what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotPrivate {
    what: String,
    remedy: String,
}

impl fmt::Display for NotPrivate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot rehearse: {}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for NotPrivate {}

/// The request that the kernel refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// A user namespace.
    User,
    /// An operation that requires root in a user namespace.
    Capability,
}

/// Makes the calling process root in namespaces of its own. It must have only one thread.
///
/// # Errors
/// The kernel, a sysctl or a security module forbids it.
pub fn enter(machine: &Machine) -> Result<(), NotPrivate> {
    let (user, group) = (geteuid(), getegid());
    let refused = |asked| move |errno| not_private(asked, errno, machine);
    unshare(CloneFlags::CLONE_NEWUSER).map_err(refused(Asked::User))?;
    let own = machine.proc().join("self");
    // With setgroups(2) a process could drop a group that a file denies access to (user_namespaces(7)).
    let _ = fs::write(own.join("setgroups"), "deny");
    for (file, id) in [("uid_map", user.as_raw()), ("gid_map", group.as_raw())] {
        fs::write(own.join(file), format!("0 {id} 1")).map_err(|error| {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
            not_private(Asked::Capability, errno, machine)
        })?;
    }
    let others = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    unshare(others).map_err(refused(Asked::Capability))?;
    mount(None::<&str>, machine.root(), None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(refused(Asked::Capability))
}

/// Makes the file tree read-only, except for /proc, and mounts empty folders in memory where netapply writes. /sys
/// shows the links of the private network from now on.
///
/// # Errors
/// A file system cannot be mounted.
pub fn seal(machine: &Machine) -> Result<(), NotPrivate> {
    if let Err(errno) = read_only(machine.root(), true) {
        // Linux before 5.12: writes are still recorded.
        log::debug!("the file tree stays writable: {}", errno.desc());
    } else if let Err(errno) = read_only(&machine.proc(), false) {
        return Err(not_private(Asked::Capability, errno, machine));
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    for folder in ["/etc", "/run", "/var/log"] {
        let place = machine.at(folder);
        if place.is_dir() {
            mount(Some("tmpfs"), &place, Some("tmpfs"), flags, Some("mode=755,size=64m"))
                .map_err(|errno| not_private(Asked::Capability, errno, machine))?;
        }
    }
    let sys = machine.sys();
    if mount(Some("sysfs"), &sys, Some("sysfs"), flags, None::<&str>).is_err() {
        // A container that hides parts of /sys may not mount another. An empty one shows no links of another network.
        let _ = mount(Some("tmpfs"), &sys, Some("tmpfs"), flags, None::<&str>);
    }
    Ok(())
}

/// `struct mount_attr` of linux/mount.h (5.12).
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Forbids writing to a mount and everything below it, or allows it for that one mount.
fn read_only(place: &Path, on: bool) -> Result<(), Errno> {
    const MOUNT_ATTR_RDONLY: u64 = 1;
    const AT_RECURSIVE: libc::c_uint = 0x8000;
    let path = std::ffi::CString::new(place.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
    let (set, clear, flags) =
        if on { (MOUNT_ATTR_RDONLY, 0, AT_RECURSIVE) } else { (0, MOUNT_ATTR_RDONLY, 0) };
    let attributes = MountAttributes { set, clear, propagation: 0, user_namespace: 0 };
    // SAFETY: the path ends with a NUL and the structure is of the size given; both live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Sysctls that limit namespaces, the value that forbids them, and what to do then.
const SWITCHES: &[(&str, &str, &str)] = &[
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "as root: sysctl -w kernel.unprivileged_userns_clone=1, or rehearse as root",
    ),
    ("user/max_user_namespaces", "0", "as root: sysctl -w user.max_user_namespaces=10000"),
    ("user/max_net_namespaces", "0", "as root: sysctl -w user.max_net_namespaces=10000"),
    ("user/max_mnt_namespaces", "0", "as root: sysctl -w user.max_mnt_namespaces=10000"),
    ("user/max_uts_namespaces", "0", "as root: sysctl -w user.max_uts_namespaces=10000"),
];

/// AppArmor's: the namespace is created, but its capabilities are removed.
const APPARMOR: (&str, &str, &str) = (
    "kernel/apparmor_restrict_unprivileged_userns",
    "1",
    "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give netapply a profile with \"userns,\"",
);

fn not_private(asked: Asked, errno: Errno, machine: &Machine) -> NotPrivate {
    let is = |(key, value, _): &(&str, &str, &str)| {
        fs::read_to_string(machine.proc_sys().join(key)).is_ok_and(|text| text.trim() == *value)
    };
    let of = |&(key, value, remedy): &(&str, &str, &str)| NotPrivate {
        what: format!("this machine forbids it to users ({} = {value})", key.replace('/', ".")),
        remedy: remedy.to_owned(),
    };
    let apparmor = asked == Asked::Capability && matches!(errno, Errno::EPERM | Errno::EACCES);
    if apparmor && is(&APPARMOR) {
        return of(&APPARMOR);
    }
    if let Some(switch) = SWITCHES.iter().find(|switch| is(switch)) {
        return of(switch);
    }
    let (what, remedy) = match (asked, errno) {
        (Asked::User, Errno::EINVAL | Errno::ENOSYS) => {
            ("this kernel has no user namespaces", "use one that is built with CONFIG_USER_NS")
        }
        (_, Errno::ENOSPC | Errno::EUSERS) => {
            ("there are too many namespaces", "see the limits below /proc/sys/user")
        }
        (Asked::User, _) => (
            "user namespaces are refused",
            "a container's seccomp filter or a chroot(2) does that: rehearse outside it, or start the container with \
             --security-opt seccomp=unconfined",
        ),
        (Asked::Capability, _) => (
            "the user namespace has no capabilities",
            "a security module takes them away: allow user namespaces for netapply in its policy, or rehearse as root",
        ),
    };
    let what = format!("{what} ({})", errno.desc());
    NotPrivate { what, remedy: remedy.to_owned() }
}

/// The names of the loaded kernel modules; empty for a kernel without modules.
pub fn modules(machine: &Machine) -> Vec<String> {
    let text = fs::read_to_string(machine.proc().join("modules")).unwrap_or_default();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// The links of the network that this was opened in, whatever network the process is in when it is read.
#[derive(Debug)]
pub struct LinkList(fs::File);

impl LinkList {
    /// Those of the calling thread's network.
    ///
    /// # Errors
    /// /proc is missing.
    pub fn here(machine: &Machine) -> io::Result<LinkList> {
        fs::File::open(machine.proc().join("thread-self/net/dev")).map(LinkList)
    }

    /// Their current names.
    pub fn names(&mut self) -> Vec<String> {
        use std::io::{Read as _, Seek as _};
        let mut text = String::new();
        let read = self.0.rewind().and_then(|()| self.0.read_to_string(&mut text));
        // Two lines of headings; then `  eth0: 1234 …`.
        let lines = text.lines().skip(2).filter(|_| read.is_ok());
        lines.filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_named_with_its_remedy() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::below(root.path());
        let put = |key: &str, value: &str| {
            let path = machine.proc_sys().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        };
        let why = |asked, errno| not_private(asked, errno, &machine).to_string();
        assert!(why(Asked::User, Errno::EPERM).contains("seccomp"));
        assert!(why(Asked::User, Errno::EINVAL).contains("CONFIG_USER_NS"));
        assert!(why(Asked::Capability, Errno::EPERM).contains("a security module takes them away"));
        put("kernel/unprivileged_userns_clone", "1");
        put("kernel/apparmor_restrict_unprivileged_userns", "1");
        let apparmor = why(Asked::Capability, Errno::EPERM);
        assert!(apparmor.contains("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"), "{apparmor}");
        // It allows creating the namespace itself.
        assert!(!why(Asked::User, Errno::EPERM).contains("apparmor"));
        put("user/max_user_namespaces", "0");
        assert!(why(Asked::User, Errno::ENOSPC).contains("sysctl -w user.max_user_namespaces=10000"));
        put("kernel/unprivileged_userns_clone", "0");
        assert!(why(Asked::User, Errno::EPERM).contains("sysctl -w kernel.unprivileged_userns_clone=1"));
    }
}
