//! The parts of the image that the hand-off concerns: observed, not judged.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{names, read};
use super::image::{Presence, network_manager, services};
use super::record::{RECORD, Record};
use super::resolv_conf::{ResolvConf, Resolvconf};
use super::{APPLIED, CHRONY, CONNMAN, DHCPCD, IFUPDOWN, MARKERS, TIMESYNCD};
use crate::machine::{Machine, is_host_name};
use crate::order::Few as _;

/// The image, as far as the hand-off is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The state of /etc/resolv.conf.
    pub resolv_conf: ResolvConf,
    /// resolvconf(8), if the image has it.
    pub resolvconf: Option<Resolvconf>,
    /// systemd-resolved.
    pub resolved: Presence,
    /// systemd-networkd; in an initramfs, that of the following system.
    pub networkd: Presence,
    /// NetworkManager; in an initramfs, that of the following system.
    pub network_manager: Presence,
    /// connman.
    pub connman: Presence,
    /// dhcpcd as a service that manages every NIC.
    pub dhcpcd: Presence,
    /// ifupdown's or ifupdown2's networking.service.
    pub ifupdown: Presence,
    /// wicked.
    pub wicked: Presence,
    /// systemd-timesyncd.
    pub timesyncd: Presence,
    /// chrony by Debian's unit.
    pub chrony: Presence,
    /// chrony by the unit of others.
    pub chronyd: Presence,
    /// Described links that a running tool manages now: link and tool.
    pub managed: BTreeSet<(String, crate::plan::Manager)>,
    /// The image's own .network files, without netapply's, by name, and the folders of their drop-ins.
    pub network_files: BTreeMap<String, String>,
    /// Settings that decide whether networkd keeps rules and routes of others, in reading order: the file's name, and
    /// whether networkd removes them.
    pub foreign: Vec<(String, bool)>,
    /// cloud-init is in the image.
    pub cloud_init: bool,
    /// This is an initramfs; the real system follows.
    pub initramfs: bool,
    /// The initramfs is dracut's.
    pub dracut: bool,
    /// This is the ramdisk of Ironic's agent.
    pub ipa: bool,
    /// The machine's name, if it has one.
    pub hostname: Option<String>,
    /// The earlier content of other programs' files that netapply wrote.
    pub record: Record,
    /// The content of the files that the hand-off writes, or has written before, by path.
    pub files: BTreeMap<String, String>,
}

/// Files that are always read.
const FILES: &[&str] = &[
    APPLIED,
    RECORD,
    DHCPCD,
    CONNMAN,
    IFUPDOWN,
    "/etc/dhcpcd.conf",
    "/etc/connman/main.conf",
    "/run/netapply/resolv.conf",
    "/run/systemd/resolved.conf.d/50-netapply.conf",
    TIMESYNCD,
    CHRONY,
    "/run/cloud-init/cloud.cfg",
    "/tmp/net.ifaces",
];
/// Folders whose files with this prefix are read, and whether all of them are netapply's alone: leftovers of an earlier
/// description in such a folder are removed.
const FOLDERS: &[(&str, &str, bool)] = &[
    (MARKERS, "", true),
    ("/run/systemd/network", "00-netapply-", true),
    ("/run/systemd/network", "!00-netapply-", true),
    ("/run/systemd/network", "zz-netapply-", true),
    ("/run/systemd/networkd.conf.d", "50-netapply.conf", true),
    ("/run/systemd/networkd.conf.d", "zz-netapply.conf", true),
    ("/run/NetworkManager/conf.d", "00-netapply-", true),
    ("/etc/sysconfig/network", "ifcfg-", false),
    ("/run/resolvconf/interface", "", false),
    ("/run/resolvconf/interfaces", "", false),
    ("/run/resolvconf/keys", "", false),
    ("/tmp", "net.", false),
];
/// Files that are netapply's alone, outside of those folders.
const OWN: &[&str] = &[
    APPLIED,
    DHCPCD,
    CONNMAN,
    IFUPDOWN,
    "/run/netapply/resolv.conf",
    "/run/systemd/resolved.conf.d/50-netapply.conf",
    TIMESYNCD,
    CHRONY,
];
/// Where networkd reads .network files and networkd.conf.d (systemd.network(5)).
const NETWORKD: &[&str] = &["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];

impl Surroundings {
    /// Observes the image.
    pub fn observe(machine: &Machine) -> Self {
        let initramfs = machine.initrd_release().exists();
        let services = services(machine);
        let follows = |presence: Presence| if initramfs { presence.max(Presence::Enabled) } else { presence };
        let resolv_conf = ResolvConf::observe(machine);
        let mut files = files(machine);
        let record: Record =
            files.get(RECORD).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let others = record.files.keys().chain([&resolv_conf.path]);
        for path in others {
            files.extend(read(machine, path).map(|text| (path.clone(), text)));
        }
        let of = |unit: &str| services.get(unit).copied().unwrap_or_default();
        Surroundings {
            resolv_conf,
            resolvconf: Resolvconf::observe(machine),
            resolved: of("systemd-resolved.service"),
            networkd: follows(of("systemd-networkd.service")),
            network_manager: follows(network_manager(&services)),
            connman: of("connman.service"),
            dhcpcd: of("dhcpcd.service"),
            ifupdown: of("networking.service"),
            wicked: of("wicked.service").max(of("wickedd.service")),
            timesyncd: of("systemd-timesyncd.service"),
            chrony: of("chrony.service"),
            chronyd: of("chronyd.service"),
            managed: BTreeSet::new(),
            network_files: network_files(machine),
            foreign: foreign(machine),
            cloud_init: of("cloud-init-local.service") > Presence::Masked,
            initramfs,
            dracut: initramfs
                && ["/lib/dracut-lib.sh", "/usr/lib/dracut-lib.sh"].iter().any(|p| machine.at(p).exists()),
            ipa: of("ironic-python-agent.service") > Presence::Masked,
            hostname: hostname(machine),
            record,
            files,
        }
    }

    /// Files that netapply alone writes and that the current hand-off does not contain.
    pub(super) fn stale(&self, desired: &BTreeSet<String>) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str).filter(move |path| is_own(path) && !desired.contains(*path))
    }

    /// Records of netapply in resolvconf(8) other than these.
    pub(super) fn stale_records(&self, desired: &BTreeSet<String>) -> BTreeSet<&str> {
        let paths = self.files.keys().filter(|path| path.starts_with("/run/resolvconf/"));
        let names = paths.filter_map(|path| path.rsplit('/').next());
        names.filter(|name| name.ends_with(".netapply") && !desired.contains(*name)).few()
    }
}

/// Whether a file is netapply's alone.
fn is_own(path: &str) -> bool {
    OWN.contains(&path)
        || FOLDERS.iter().any(|(folder, begin, alone)| {
            let name = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            *alone && name.is_some_and(|name| name.starts_with(begin))
        })
}

fn files(machine: &Machine) -> BTreeMap<String, String> {
    let mut paths: Vec<String> = FILES.iter().map(|path| (*path).to_owned()).collect();
    for (folder, begin, _) in FOLDERS {
        let names = names(machine, folder);
        paths.extend(names.filter(|name| name.starts_with(begin)).map(|name| format!("{folder}/{name}")));
    }
    paths.into_iter().filter_map(|path| read(machine, &path).map(|text| (path, text))).few()
}

/// One in a folder that comes first replaces others of its name.
fn network_files(machine: &Machine) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for folder in NETWORKD.iter().rev().map(|folder| format!("{folder}/network")) {
        let is_network = |name: &String| name.ends_with(".network") || name.ends_with(".network.d");
        for name in names(machine, &folder).filter(|name| is_network(name) && !name.contains("netapply-")) {
            let text = read(machine, &format!("{folder}/{name}")).unwrap_or_default();
            files.insert(name, text);
        }
    }
    files
}

/// networkd.conf itself comes first, then the drop-ins of all folders by name.
fn foreign(machine: &Machine) -> Vec<(String, bool)> {
    let setting = |path: &str| {
        let text = read(machine, path)?;
        let values = text.lines().filter_map(|line| line.trim().split_once('='));
        let foreign = values.filter(|(key, _)| key.trim().starts_with("ManageForeignR"));
        foreign.map(|(_, value)| ["yes", "true", "1", "on"].contains(&value.trim())).next_back()
    };
    let mut drop_ins: BTreeMap<String, bool> = BTreeMap::new();
    for folder in NETWORKD.iter().rev().map(|folder| format!("{folder}/networkd.conf.d")) {
        for name in names(machine, &folder).filter(|name| name.ends_with(".conf")) {
            if let Some(removes) = setting(&format!("{folder}/{name}")).filter(|_| !name.contains("netapply"))
            {
                drop_ins.insert(name, removes);
            }
        }
    }
    let main = setting("/etc/systemd/networkd.conf").map(|removes| ("networkd.conf".to_owned(), removes));
    main.into_iter().chain(drop_ins).collect()
}

/// The kernel's name, unless it is unset: empty, `localhost`, or the distribution's fallback. A name in /etc/hostname
/// counts too: systemd sets it.
fn hostname(machine: &Machine) -> Option<String> {
    let text = |path: &str| read(machine, path).unwrap_or_default();
    let release = [text("/etc/os-release"), text("/usr/lib/os-release")].concat();
    let default = release.lines().find_map(|line| line.strip_prefix("DEFAULT_HOSTNAME="));
    let default = default.unwrap_or_default().trim_matches(['"', '\'']).to_owned();
    let is_name = |name: &String| *name != default && is_host_name(name);
    // The first line that is neither empty nor a comment is the name (hostname(5)).
    let name = |path: &str| {
        let text = text(path);
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.next().unwrap_or_default().to_owned()
    };
    ["/etc/hostname", "/proc/sys/kernel/hostname"].map(name).into_iter().find(is_name)
}
