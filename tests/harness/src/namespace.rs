//! A private network namespace for each test, and `ip -j` as the oracle in it.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};
use serde_json::Value;

/// Set in a test that runs itself again as root of a user namespace.
const INSIDE: &str = "NETAPPLY_TEST_IN_USER_NAMESPACE";

/// What a machine must allow for these tests to run.
const NEEDED: &str = "These tests need root with CAP_SYS_ADMIN and CAP_NET_ADMIN, or user namespaces for everybody: see \
                      kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns in sysctl(8), and \
                      --privileged for a container";

/// A test that names a protocol or service would fail without Debian's netbase.
fn hide_what_a_minimal_machine_lacks() {
    for path in ["/etc/protocols", "/etc/services"].into_iter().filter(|path| Path::new(path).exists()) {
        mount(Some("/dev/null"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("a bind mount");
    }
}

/// Checks that a folder is private to the test, empty and in memory.
///
/// # Panics
/// If it is not: programs of the test would write into the machine's own folder.
pub fn private_folder(path: &str) {
    mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .unwrap_or_else(|error| panic!("a tmpfs cannot be mounted on {path}: {error}"));
    let kind = statfs(path).map(|found| found.filesystem_type());
    assert_eq!(kind, Ok(TMPFS_MAGIC), "{path} is still the machine's");
}

/// netapply is root here and writes below /etc, and wherever a link of /etc/resolv.conf leads: for this thread and its
/// children the machine's files are read-only, except for the folders of tests.
fn protect_the_machine() {
    let built = std::env::current_exe().expect("this program has a path");
    let built = built.ancestors().nth(2).expect("a test lies in target/…/deps");
    let writable = [std::env::temp_dir(), crate::root().to_owned(), built.to_owned()];
    for folder in writable.iter().filter(|folder| folder.exists()) {
        let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(folder), folder, None::<&str>, bind, None::<&str>).expect("a bind mount");
    }
    // /etc may be a file system of its own.
    let etc = Path::new("/etc");
    mount(Some(etc), etc, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("a bind mount");
    for path in [Path::new("/"), etc] {
        // In a user namespace the flags of a mount must be kept.
        let flags = statvfs(path).expect("a file system").flags();
        let kept = [
            (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
            (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
            (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
            (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
            (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
            (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
        ];
        let kept = kept.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, flag)| *flag);
        let flags = kept.fold(MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY, MsFlags::union);
        mount(None::<&str>, path, None::<&str>, flags, None::<&str>).expect("a mount becomes read-only");
        assert_eq!(access(path, AccessFlags::W_OK), Err(Errno::EROFS), "{} can be written", path.display());
    }
}

/// Runs `body` in a network namespace of its own, with `lo` up and /sys showing it; the machine's files are read-only,
/// and a test that needs another /run or /etc uses a [`private_folder`]. Without root the test runs itself again under
/// `unshare -r`. A machine that allows neither fails the test: nothing is skipped.
pub fn in_namespace(body: impl AsyncFnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() && std::env::var_os(INSIDE).is_none() {
        let name = std::thread::current().name().expect("tests run in named threads").to_owned();
        let itself = std::env::current_exe().unwrap();
        let mut again = Command::new("unshare");
        again.args(["-r", "-n", "-m"]).arg(itself).args(["--exact", "--nocapture", &name]).env(INSIDE, "1");
        let status = again.status();
        let status = status.expect("unshare(1) runs: it is in util-linux");
        assert!(status.success(), "{name}: `unshare -r -n -m` or the test in it failed. {NEEDED}");
        return;
    }
    // A thread has namespaces of its own; the other tests keep theirs.
    let thread = std::thread::Builder::new().spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .unwrap_or_else(|error| panic!("cannot make a network namespace: {error}. {NEEDED}"));
        let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("mounts become private");
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>).expect("sysfs mounts");
        protect_the_machine();
        hide_what_a_minimal_machine_lacks();
        ip("link set lo up");
        here(body);
    });
    if let Err(panic) = thread.unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `body` in the current namespace.
pub fn here(body: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(body());
}

/// Runs ip(8) with the arguments in `line`; it must succeed.
#[track_caller]
pub fn ip(line: &str) {
    let output = Command::new("ip").args(line.split_whitespace()).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs several lines with one ip(8); returns the first line of its output if one fails.
pub fn ip_batch(lines: &[&str]) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("iproute2 is installed");
    child.stdin.take().unwrap().write_all(lines.join("\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.lines().next().unwrap_or_default().to_owned()) }
}

/// The output of `ip -j -d`.
#[track_caller]
pub fn ip_json(line: &str) -> Value {
    let output = Command::new("ip").args(["-j", "-d"]).args(line.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    if output.stdout.trim_ascii().is_empty() {
        return Value::Array(Vec::new());
    }
    serde_json::from_slice(&output.stdout).expect("ip -j writes JSON")
}

/// Another machine: a process in a network namespace of its own, gone when dropped.
pub struct Other(Child);

impl Other {
    /// For `ip link set X netns PID`.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Creates another machine.
pub fn neighbour_namespace() -> Other {
    let mut command = Command::new("unshare");
    // It says when it is there, and exits once nobody can tell it anything any more.
    command.args(["-n", "sh", "-c", "echo; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("`unshare` runs");
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).expect("the other namespace is made");
    Other(child)
}

/// Runs ip(8) on another machine.
pub fn ip_in(other: &Other, line: &str) {
    let enter = format!("--net=/proc/{}/ns/net", other.pid());
    let output =
        Command::new("nsenter").args([enter.as_str(), "ip"]).args(line.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}
