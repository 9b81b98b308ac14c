//! What boots: roots and a ramdisk made by the scripts of tests/boot, with netapply put into them by the scripts for users.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guest::{self, Builder, Guest};

/// A guest that boots this root (a name that tests/boot/image knows) with netapply and its units, as systemd/install
/// puts them into an image.
pub fn machine(root: &str) -> Builder {
    let folder = tempfile::tempdir().expect("a folder for the units");
    let (binary, tree) = (stripped(folder.path()), folder.path().join("tree"));
    script("systemd/install", &[&binary, &tree]);
    // Nothing else in these roots requests the network.
    let online = "systemd.wants=network-online.target";
    Guest::builder().memory(1024).root(&image(root)).tree(&tree).words(online)
}

/// This build's netapply, or the one named by `NETAPPLY_BINARY`, stripped, in this folder.
pub fn stripped(folder: &Path) -> PathBuf {
    let path = folder.join("netapply");
    std::fs::write(&path, guest::stripped(&crate::netapply())).expect("the small program");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a program");
    path
}

/// Runs a script of this project and returns what it printed.
#[track_caller]
pub fn script(path: &str, arguments: &[&Path]) -> String {
    let program = crate::root().join(path);
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{path}: {error}"));
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{path} failed:\n{messages}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The image of this root: built once.
pub fn image(root: &str) -> PathBuf {
    PathBuf::from(script("tests/boot/image", &[Path::new(root)]))
}

/// The ramdisk of Ironic's agent from tests/boot/ramdisk, as it is without netapply: built once.
pub fn ramdisk() -> PathBuf {
    PathBuf::from(script("tests/boot/ramdisk", &[]))
}

/// That ramdisk with this build's netapply appended, in this folder.
pub fn baked(folder: &Path) -> PathBuf {
    let out = folder.join("initramfs");
    eprintln!("{}", script("ipa/bake", &[&overlay(folder), &ramdisk(), &out]));
    out
}

/// This build's netapply.cpio.gz, in this folder.
pub fn overlay(folder: &Path) -> PathBuf {
    let stripped = stripped(folder);
    let overlay = folder.join("netapply.cpio.gz");
    script("ipa/overlay", &[&stripped, &overlay]);
    let again = folder.join("again.cpio.gz");
    script("ipa/overlay", &[&stripped, &again]);
    assert!(
        std::fs::read(&overlay).unwrap() == std::fs::read(&again).unwrap(),
        "the same input, the same bytes"
    );
    overlay
}
