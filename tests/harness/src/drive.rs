//! Config drives as their producers make them, from a list of paths and texts.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Kernel parameters for a boot with a drive: on a busy machine an emulated one may take longer than the five seconds
/// of a boot that expects none.
pub const EXPECTED: &str = "netapply.wait=60";

/// An image on this machine; gone when dropped.
pub struct Drive {
    // Removes the image when dropped.
    _folder: TempDir,
    image: PathBuf,
}

impl Drive {
    /// The image's file.
    pub fn path(&self) -> &Path {
        &self.image
    }
}

/// An ISO 9660 image. `options` are those of mkisofs: `-r` for Rock Ridge, `-J` for Joliet, `-V LABEL`.
pub fn iso(options: &[&str], files: &[(&str, &str)]) -> Drive {
    let (folder, tree, image) = stage(files);
    let mut command = Command::new("xorriso");
    command.args(["-as", "mkisofs", "-quiet"]).args(options).arg("-o").arg(&image).arg(&tree);
    run(command);
    Drive { _folder: folder, image }
}

/// The publisher id of [`ironic_iso`].
pub const PUBLISHER: &str = "8b1f2b9e-1c4c-4d0a-9f0e-5d3f6c2a7e10";

/// The ISO image that Ironic inserts into a BMC: Rock Ridge only, labelled config-2, nothing but network data.
pub fn ironic_iso(network_data: &str) -> Drive {
    iso(
        &["-r", "-V", "config-2", "-l", "-publisher", PUBLISHER],
        &[("openstack/latest/network_data.json", network_data)],
    )
}

/// The ISO image that cloud-localds and virt-install make for a virtual machine, with its network description.
pub fn cidata_iso(network_config: &str) -> Drive {
    iso(
        &["-J", "-r", "-V", "cidata"],
        &[
            ("meta-data", "instance-id: i-1\n"),
            ("user-data", "#cloud-config\n"),
            ("network-config", network_config),
        ],
    )
}

/// The ISO image that Proxmox attaches: `cidata` for its nocloud type, `config-2` for configdrive2.
pub fn proxmox_iso(label: &str, files: &[(&str, &str)]) -> Drive {
    let (folder, tree, image) = stage(files);
    let mut command = Command::new("genisoimage");
    command.args(["-quiet", "-iso-level", "3", "-J", "-R", "-V", label]).arg("-o").arg(&image).arg(&tree);
    run(command);
    Drive { _folder: folder, image }
}

/// A drive in pure UDF: genisoimage's output, with UDF's descriptors instead of those of ISO 9660.
pub fn udf(label: &str, files: &[(&str, &str)]) -> Drive {
    const SECTOR: usize = 2048;
    let (folder, tree, image) = stage(files);
    let mut command = Command::new("genisoimage");
    command.args(["-quiet", "-udf", "-V", label]).arg("-o").arg(&image).arg(&tree);
    run(command);
    let mut bytes = std::fs::read(&image).expect("the image");
    let mut descriptors = bytes[16 * SECTOR..32 * SECTOR].to_vec();
    let names = |sector: &[u8]| sector[1..6].to_vec();
    let iso = descriptors.chunks(SECTOR).take_while(|sector| names(sector) == b"CD001").count();
    assert_eq!(names(&descriptors[iso * SECTOR..]), b"BEA01", "UDF's descriptors follow");
    descriptors.drain(..iso * SECTOR);
    descriptors.resize(16 * SECTOR, 0);
    bytes[16 * SECTOR..32 * SECTOR].copy_from_slice(&descriptors);
    std::fs::write(&image, bytes).expect("the image is written");
    Drive { _folder: folder, image }
}

/// A whole-disk VFAT image, as Nova and some BMC tools make it.
pub fn vfat(label: &str, files: &[(&str, &str)]) -> Drive {
    let (folder, tree, image) = stage(files);
    let mut command = Command::new("mkfs.vfat");
    command.args(["-n", label, "-C"]).arg(&image).arg("4096");
    run(command);
    let mut command = Command::new("sh");
    command.args(["-ec", "mcopy -s -i \"$0\" * ::/"]).arg(&image).current_dir(&tree);
    run(command);
    Drive { _folder: folder, image }
}

fn stage(files: &[(&str, &str)]) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for the drive");
    let tree = folder.path().join("tree");
    for (path, text) in files {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder on the drive");
        std::fs::write(path, text).expect("a file on the drive");
    }
    let image = folder.path().join("image");
    (folder, tree, image)
}

fn run(mut command: Command) {
    // Debian installs mkfs.vfat outside an ordinary user's PATH.
    command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run tests/setup"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
