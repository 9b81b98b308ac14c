//! Wires between namespaces, and programs that end with their test.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use crate::namespace::{in_namespace, ip, private_folder};

/// Runs `body` in a namespace of its own that can have named namespaces as well.
pub fn in_machine(body: impl AsyncFnOnce() + Send + 'static) {
    in_namespace(async || {
        // Named namespaces are below /run/netns: a private one leaves the machine's alone.
        private_folder("/run");
        std::fs::create_dir("/run/netns").unwrap();
        body().await;
    });
}

/// Runs a shell script; it must succeed.
#[track_caller]
pub fn sh(script: &str) {
    let output = Command::new("sh").args(["-euc", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A veth pair: `name` in the machine, `port` in namespace `at`, which is created if missing. Both ends are up.
pub fn wire(name: &str, at: &str, port: &str) {
    if !std::path::Path::new("/run/netns").join(at).exists() {
        ip(&format!("netns add {at}"));
        ip(&format!("-n {at} link set lo up"));
    }
    ip(&format!("link add {name} type veth peer name {port} netns {at}"));
    ip(&format!("-n {at} link set {port} up"));
    ip(&format!("link set {name} up"));
}

/// A program that ends with the test.
pub struct Running(Child);

impl Running {
    /// Its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program. It ends with its parent thread, too: a test that fails leaves nothing behind.
pub fn start(command: &mut Command) -> Running {
    // SAFETY: prctl(2) is safe between fork and exec.
    unsafe {
        command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
    }
    Running(command.spawn().unwrap())
}
