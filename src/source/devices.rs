//! The block devices and host shares of this machine, from sysfs: the kind of each, and how far its place is trusted.
//! Opens no device. Entries: [`block_devices`], [`shares`].

use std::fs;
use std::path::{Path, PathBuf};

/// Where a volume is. In order of trust: media attached for this boot precede what an earlier deployment left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Location {
    /// A CD drive, a BMC's virtual one included.
    Cd,
    /// A USB device or other removable medium, whole or a partition of it.
    Removable,
    /// A whole fixed disk: a virtual machine's second one.
    Disk,
    /// A partition of a fixed disk.
    Partition,
}

/// A block device that may be a config drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    /// The kernel's name: `sr0`, `vda1`.
    pub(super) name: String,
    pub(super) node: PathBuf,
    pub(super) place: Location,
    /// A partition's disk.
    pub(super) disk: Option<String>,
    /// Nobody polls it for media, so that no event will announce one.
    pub(super) unwatched: bool,
}

/// A directory that the host shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) tag: String,
    /// The kernel's name of the file system: `9p` or `virtiofs`.
    pub(super) filesystem: &'static str,
    /// Old kernels do not list virtiofs tags: this one is only assumed.
    pub(super) supposed: bool,
}

/// Never config drives: built on other devices or in memory. An absent floppy drive takes seconds to report that.
const NOT_DRIVES: [&str; 8] = ["loop", "ram", "zram", "dm-", "md", "fd", "nbd", "mtdblock"];
/// SCSI peripheral device type of CD drives.
const SCSI_CD: &str = "5";

/// The block devices, in no order. Those without a node in `dev` are left out.
pub(super) fn block_devices(sys: &Path, dev: &Path) -> Vec<Device> {
    let class = sys.join("class/block");
    let names =
        fs::read_dir(&class).into_iter().flatten().filter_map(|e| e.ok()?.file_name().into_string().ok());
    let drives = names.filter(|name| !NOT_DRIVES.iter().any(|prefix| name.starts_with(prefix)));
    drives.filter_map(|name| describe(&class.join(&name), name, sys, dev)).collect()
}

fn describe(entry: &Path, name: String, sys: &Path, dev: &Path) -> Option<Device> {
    // "cciss!c0d0" in sysfs is "cciss/c0d0" in /dev.
    let node = dev.join(name.replace('!', "/"));
    let path = entry.canonicalize().ok()?;
    let is_partition = path.join("partition").exists();
    let disk = if is_partition { path.parent()?.to_owned() } else { path.clone() };
    let is_cd = name.starts_with("sr") || attribute(&disk.join("device/type")).as_deref() == Some(SCSI_CD);
    let removable = attribute(&disk.join("removable")).as_deref() == Some("1");
    let usb = disk.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"usb"));
    let place = match () {
        () if is_cd => Location::Cd,
        () if removable || usb => Location::Removable,
        () if is_partition => Location::Partition,
        () => Location::Disk,
    };
    // A removable device without a medium keeps its node and has size 0; a CD drive's size is meaningless then.
    let empty_disk = place != Location::Cd && attribute(&path.join("size")).as_deref() == Some("0");
    if !node.exists() || (empty_disk && !removable) {
        return None;
    }
    let disk_name = disk.file_name()?.to_str()?.to_owned();
    let unwatched = (is_cd || removable) && !is_partition && !kernel_polls(&disk, sys);
    Some(Device { name, node, place, disk: is_partition.then_some(disk_name), unwatched })
}

/// Whether the kernel polls for media changes and sends an event: udev asks it to, an initramfs without udev does not
/// (Documentation/admin-guide/kernel-parameters.txt, block.events_dfl_poll_msecs).
fn kernel_polls(disk: &Path, sys: &Path) -> bool {
    let milliseconds = |path: PathBuf| attribute(&path)?.parse::<i64>().ok();
    let own = milliseconds(disk.join("events_poll_msecs")).filter(|ms| *ms >= 0);
    let default = || milliseconds(sys.join("module/block/parameters/events_dfl_poll_msecs"));
    own.or_else(default).is_some_and(|ms| ms > 0)
}

/// The host shares whose tag is `config-2`.
pub(super) fn shares(sys: &Path) -> Vec<Share> {
    let entries = |path: &str| {
        let entries = fs::read_dir(sys.join(path)).into_iter().flatten();
        entries.filter_map(|e| Some(e.ok()?.path())).collect::<Vec<_>>()
    };
    let tags = |path: &str, attribute_name: &str| -> Vec<String> {
        entries(path).iter().filter_map(|p| attribute(&p.join(attribute_name))).collect()
    };
    let share = |filesystem, supposed| move |tag| Share { tag, filesystem, supposed };
    let ninep = tags("bus/virtio/drivers/9pnet_virtio", "mount_tag").into_iter().map(share("9p", false));
    // The list of tags exists from Linux 6.9 on; before, only the devices do.
    let listed = tags("fs/virtiofs", "tag");
    let has_device = entries("bus/virtio/drivers/virtiofs").iter().any(|p| is_virtio_device(p));
    let supposed = (listed.is_empty() && has_device).then(|| "config-2".to_owned());
    let virtiofs = listed.into_iter().map(share("virtiofs", false));
    let all = ninep.chain(virtiofs).chain(supposed.into_iter().map(share("virtiofs", true)));
    all.filter(|share| share.tag.eq_ignore_ascii_case("config-2")).collect()
}

fn is_virtio_device(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.as_encoded_bytes()).unwrap_or_default();
    name.strip_prefix(b"virtio").is_some_and(|number| number.first().is_some_and(u8::is_ascii_digit))
}

fn attribute(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim_matches(['\0', '\n', ' ']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::fake::FakeMachine;

    fn places(fake: &FakeMachine) -> Vec<(String, Location)> {
        let machine = fake.machine();
        let mut found: Vec<_> =
            block_devices(&machine.sys(), &machine.dev()).into_iter().map(|d| (d.name, d.place)).collect();
        found.sort();
        found
    }

    #[test]
    fn places_by_sysfs() {
        let fake = FakeMachine::new();
        fake.disk("pci/ata1/host0/block/sda", b"");
        fake.partition("pci/ata1/host0/block/sda", "sda4", b"");
        fake.disk("pci/usb1/1-1/host1/block/sdb", b"");
        fake.partition("pci/usb1/1-1/host1/block/sdb", "sdb1", b"");
        fake.disk("pci/ata2/host2/block/sr0", b"");
        fake.disk("pci/virtio1/block/vdb", b"");
        fake.disk("virtual/block/loop0", b"");
        assert_eq!(
            places(&fake),
            [
                ("sda".into(), Location::Disk),
                ("sda4".into(), Location::Partition),
                ("sdb".into(), Location::Removable),
                ("sdb1".into(), Location::Removable),
                ("sr0".into(), Location::Cd),
                ("vdb".into(), Location::Disk),
            ]
        );
    }

    #[test]
    fn a_cd_drive_is_unwatched_unless_the_kernel_polls_it() {
        let fake = FakeMachine::new();
        fake.disk("pci/ata2/host2/block/sr0", b"");
        let unwatched = |fake: &FakeMachine| {
            let machine = fake.machine();
            block_devices(&machine.sys(), &machine.dev())[0].unwatched
        };
        assert!(unwatched(&fake));
        fake.write("sys/devices/pci/ata2/host2/block/sr0/events_poll_msecs", b"-1\n");
        fake.write("sys/module/block/parameters/events_dfl_poll_msecs", b"2000\n");
        assert!(!unwatched(&fake));
        fake.write("sys/devices/pci/ata2/host2/block/sr0/events_poll_msecs", b"0\n");
        assert!(unwatched(&fake));
    }

    #[test]
    fn shares_by_their_tags() {
        let fake = FakeMachine::new();
        fake.write("sys/bus/virtio/drivers/9pnet_virtio/virtio3/mount_tag", b"config-2\0");
        fake.write("sys/bus/virtio/drivers/9pnet_virtio/virtio4/mount_tag", b"root");
        fake.write("sys/bus/virtio/drivers/virtiofs/virtio5/status", b"");
        let sys = fake.machine().sys();
        let ninep = Share { tag: "config-2".into(), filesystem: "9p", supposed: false };
        let supposed = Share { tag: "config-2".into(), filesystem: "virtiofs", supposed: true };
        assert_eq!(shares(&sys), [ninep.clone(), supposed]);
        fake.write("sys/fs/virtiofs/1/tag", b"home\n");
        assert_eq!(shares(&sys), [ninep]);
    }
}
