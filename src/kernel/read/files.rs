//! What only files contain about a link: driver and bus in /sys, and udev's state.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::inventory::{ObservedLink, SettingName};
use crate::machine::Machine;
use crate::order::{Few as _, Order as _};

/// `uname -r`.
pub(super) fn kernel_release(machine: &Machine) -> String {
    fs::read_to_string(machine.kernel_release()).unwrap_or_default().trim().to_owned()
}

/// Settings for every link (`all`), for new links (`default`), or for the machine. `all` is combined with a link's own
/// setting (rp_filter: the larger one; accept_local, arp_ignore: likewise) or is written to every link (disable_ipv6).
const SYSCTLS: &[&str] = &[
    "net/ipv4/conf/all/accept_local",
    "net/ipv4/conf/all/arp_ignore",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/all/promote_secondaries",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/default/rp_filter",
    "net/ipv4/ip_default_ttl",
    "net/ipv6/conf/all/accept_dad",
    "net/ipv6/conf/all/accept_ra",
    "net/ipv6/conf/all/autoconf",
    "net/ipv6/conf/all/disable_ipv6",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/all/use_tempaddr",
    "net/ipv6/conf/default/accept_dad",
    "net/ipv6/conf/default/accept_ra",
    "net/ipv6/conf/default/accept_ra_rt_info_max_plen",
    "net/ipv6/conf/default/autoconf",
    "net/ipv6/conf/default/disable_ipv6",
    "net/ipv6/conf/default/mtu",
    "net/ipv6/conf/default/use_tempaddr",
];

/// Reads [`SYSCTLS`]; those that this kernel lacks are left out.
pub(super) fn sysctls(machine: &Machine) -> BTreeMap<String, i64> {
    let value = |key: &str| number(&machine.proc_sys().join(key));
    SYSCTLS.iter().filter_map(|key| Some(((*key).to_owned(), value(key)?))).few()
}

/// The number that is all of a file of the kernel's, which gives it in one read.
fn number(path: &Path) -> Option<i64> {
    let mut text = [0; 32];
    let length = File::open(path).ok()?.read(&mut text).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.trim().parse().ok()
}

/// The most lines that are read of one file.
const MOST_TABLES: usize = 10_000;
/// The kernel's own, which ip(8) knows without a file.
const KERNELS_TABLES: [&str; 4] = ["unspec", "default", "main", "local"];

/// Numbers of routing tables by their names, from the files of iproute2 (rtnl_rttable_initialize): a line is a number
/// and a name. The administrator's files come after the distribution's.
pub(super) fn routing_tables(machine: &Machine) -> BTreeMap<String, i64> {
    let mut tables = BTreeMap::new();
    for folder in machine.iproute2_folders() {
        let mut paths = vec![folder.join("rt_tables")];
        let entries = fs::read_dir(folder.join("rt_tables.d")).into_iter().flatten().flatten();
        let mut more: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        more.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
        more.order();
        paths.append(&mut more);
        for text in paths.iter().filter_map(|path| crate::machine::files::read(path).ok()) {
            let text = String::from_utf8_lossy(&text);
            for line in text.lines().take(MOST_TABLES) {
                let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
                let (Some(number), Some(name)) = (words.next(), words.next()) else { continue };
                let number = match number.strip_prefix("0x") {
                    Some(hex) => u32::from_str_radix(hex, 16).ok(),
                    None => number.parse().ok(),
                };
                if let Some(number) = number.filter(|_| !KERNELS_TABLES.contains(&name)) {
                    tables.insert(name.to_owned(), number.into());
                }
            }
        }
    }
    tables
}

/// Whether there is a machine id that survives a reboot. An initramfs has none, or a new one each time, and so has a
/// live image, whose root is an overlay in memory; systemd mounts one from /run over a file that it cannot write.
pub(super) fn machine_id_lasts(path: &Path) -> bool {
    use nix::sys::statfs::{FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, statfs};
    // linux/magic.h; nix has no constant for it.
    const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
    let Ok(place) = statfs(path).map(|stat| stat.filesystem_type()) else { return false };
    let in_memory = [TMPFS_MAGIC, OVERLAYFS_SUPER_MAGIC, RAMFS_MAGIC].contains(&place);
    let id = fs::read_to_string(path).unwrap_or_default();
    !in_memory && id.trim().len() == 32 && id.trim().bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Settings of one link that keep it from asking or from accepting answers, by their path below net/, `*` being the
/// link.
const LINK_SETTINGS: &[&str] = &[
    "ipv4/conf/*/rp_filter",
    "ipv4/neigh/*/mcast_solicit",
    "ipv6/conf/*/accept_dad",
    "ipv6/conf/*/disable_ipv6",
    "ipv6/conf/*/hop_limit",
    "ipv6/neigh/*/mcast_solicit",
];

/// Reads how a link handles packets of neighbours and others: `ipv4/conf/*/rp_filter` and the like, by their path below
/// /proc/sys/net with `*` for the link. Settings that this kernel lacks are left out.
pub fn link_settings(machine: &Machine, link: &str) -> BTreeMap<SettingName, i64> {
    let net = machine.proc_sys().join("net");
    // A link name may contain a dot or a star, but no slash.
    let path =
        |key: &str| key.split('/').map(|part| if part == "*" { link } else { part }).collect::<PathBuf>();
    let value = |key: &str| number(&net.join(path(key)));
    LINK_SETTINGS.iter().filter_map(|key| Some((SettingName::Borrowed(key), value(key)?))).few()
}

/// The links in /sys; empty if it is not mounted.
pub(super) fn links(machine: &Machine) -> Vec<String> {
    let entries = fs::read_dir(machine.sys_net()).into_iter().flatten().flatten();
    // Beside the links there is `bonding_masters`, a file.
    let links = entries.filter(|entry| entry.file_type().is_ok_and(|t| t.is_symlink()));
    links.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Adds driver, bus and udev's state to a link that is a NIC.
pub(super) fn complete(link: &mut ObservedLink, machine: &Machine) {
    if !link.is_nic() {
        return;
    }
    let entry = machine.sys_net().join(&link.name);
    if let Ok(driver) = fs::read_link(entry.join("device/driver")) {
        link.driver = driver.file_name().unwrap_or_default().to_string_lossy().into_owned();
    }
    if let Some(bus) = fs::read_link(entry).ok().and_then(|path| bus(&path)) {
        link.bus = bus;
    }
    link.udev_done = udev_done(&machine.udev(), link.index);
}

/// The bus of a NIC, from the target of its entry in /sys: `../../devices/BUS/net/NAME`. `None` for a software link.
fn bus(target: &Path) -> Option<String> {
    let bus = target.parent()?.parent()?.strip_prefix("../../devices").ok()?.to_str()?;
    (bus != "virtual").then(|| bus.to_owned())
}

/// Whether udev has finished with a link; `None` if no udev runs. Its database gets an entry with a line
/// `I:` (time of initialization) when all rules have run, renames included (`device_is_initialized`).
fn udev_done(run: &Path, index: u32) -> Option<bool> {
    if !run.join("control").exists() {
        return None;
    }
    let entry = fs::read_to_string(run.join(format!("data/n{index}"))).unwrap_or_default();
    Some(entry.lines().any(|line| line.starts_with("I:")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_of_a_nic_is_part_of_its_path() {
        let bus = |target: &str| bus(Path::new(target));
        let there = "pci0000:00/0000:00:06.0/virtio4";
        assert_eq!(bus(&format!("../../devices/{there}/net/eth0")).as_deref(), Some(there));
        assert_eq!(bus("../../devices/virtual/net/veth0"), None);
        assert_eq!(bus("eth0"), None);
    }

    #[test]
    fn names_of_routing_tables_are_read_from_every_file_of_iproute2() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("usr/share/iproute2/rt_tables", "255 local\n254\tmain\n7 isp\n");
        write(
            "etc/iproute2/rt_tables",
            "# reserved\n#1 inr.ruhep\n8 isp # the provider\n0x64\tmgmt\nten ten\n",
        );
        write("etc/iproute2/rt_tables.d/lab.conf", "9 lab\n");
        write("etc/iproute2/rt_tables.d/lab.conf.dpkg-old", "10 lab\n");
        let tables = routing_tables(&Machine::below(folder.path()));
        let expected =
            [("isp", 8), ("lab", 9), ("mgmt", 100)].map(|(name, number)| (name.to_owned(), number));
        assert_eq!(tables, BTreeMap::from(expected));
    }

    #[test]
    fn a_machine_id_survives_a_reboot_unless_missing_or_in_memory() {
        const ID: &str = "0123456789abcdef0123456789abcdef\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine-id");
        assert!(!machine_id_lasts(&path));
        for text in ["", "uninitialized\n", &ID[1..], &ID.replace('f', "g")] {
            fs::write(&path, text).unwrap();
            assert!(!machine_id_lasts(&path), "{text:?}");
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        if mounts.any(|mount| mount.get(1..3) == Some(&["/dev/shm", "tmpfs"])) {
            let folder = tempfile::tempdir_in("/dev/shm").unwrap();
            let path = folder.path().join("machine-id");
            fs::write(&path, ID).unwrap();
            assert!(!machine_id_lasts(&path));
        }
    }

    #[test]
    fn a_nic_is_ready_once_udevs_database_says_that_it_is_initialized() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(udev_done(run.path(), 2), None);
        fs::write(run.path().join("control"), "").unwrap();
        assert_eq!(udev_done(run.path(), 2), Some(false));
        fs::create_dir(run.path().join("data")).unwrap();
        fs::write(run.path().join("data/n2"), "E:ID_BUS=pci\n").unwrap();
        assert_eq!(udev_done(run.path(), 2), Some(false));
        fs::write(run.path().join("data/n2"), "I:1804289\nE:ID_BUS=pci\n").unwrap();
        assert_eq!(udev_done(run.path(), 2), Some(true));
    }
}
