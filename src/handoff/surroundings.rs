//! What the image is made of, as far as it must be told something: looked at, not judged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::{APPLIED, MARKERS};
use crate::model::few;
use crate::plan::Service;

/// The image, as far as the hand-off is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Who answers for /etc/resolv.conf.
    pub resolv_conf: ResolvConf,
    /// systemd-resolved has been started, and there is a D-Bus to tell it something.
    pub resolved_runs: bool,
    /// systemd-networkd has been started, and there is a D-Bus to tell it something.
    pub networkd_runs: bool,
    /// systemd-networkd is in the image, or may be in the system that follows this initramfs.
    pub networkd: bool,
    /// NetworkManager is in the image, or may be in the system that follows this initramfs.
    pub network_manager: bool,
    /// cloud-init is in the image.
    pub cloud_init: bool,
    /// This is an initramfs; the real system follows.
    pub initramfs: bool,
    /// The initramfs is dracut's.
    pub dracut: bool,
    /// This is the ramdisk of Ironic's agent.
    pub ipa: bool,
    /// The machine's name, where somebody gave it one.
    pub hostname: Option<String>,
    /// The content of the files that the hand-off writes, or has written before, by path.
    pub files: BTreeMap<String, String>,
}

/// Who answers for /etc/resolv.conf, and where name servers have to go therefore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvConf {
    /// systemd-resolved: a link to one of its files.
    Resolved,
    /// NetworkManager: a link to this file of its.
    NetworkManager(String),
    /// resolvconf(8): the program's path.
    Program(String),
    /// Nobody: this file is written. It is /etc/resolv.conf itself, or what it links to.
    File(String),
    /// Nobody, and /etc cannot be written.
    ReadOnly,
}

impl Default for ResolvConf {
    fn default() -> Self {
        ResolvConf::File(RESOLV_CONF.to_owned())
    }
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where systemd looks for units, and where NixOS, which has none of these folders but /etc, puts its own.
const UNITS: &[&str] =
    &["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];
/// Where resolvconf(8) is.
const RESOLVCONF: &[&str] =
    &["/sbin/resolvconf", "/usr/sbin/resolvconf", "/run/current-system/sw/bin/resolvconf"];
/// Links to these are systemd-resolved's (systemd-resolved.service(8), section /ETC/RESOLV.CONF).
const RESOLVED: &[&str] =
    &["/run/systemd/resolve/", "/usr/lib/systemd/resolv.conf", "/lib/systemd/resolv.conf"];
/// Files that are always read.
const FILES: &[&str] = &[
    APPLIED,
    "/run/netapply/resolv.conf",
    "/run/systemd/networkd.conf.d/50-netapply.conf",
    "/run/systemd/resolved.conf.d/50-netapply.conf",
    "/run/cloud-init/cloud.cfg",
    "/tmp/net.ifaces",
];
/// Folders of which the files with this beginning are read, and whether all of them are netapply's alone: what an
/// earlier description left in such a folder goes.
const FOLDERS: &[(&str, &str, bool)] = &[
    (MARKERS, "", true),
    ("/run/systemd/network", "00-netapply-", true),
    ("/run/systemd/network", "zz-netapply-", true),
    ("/run/NetworkManager/conf.d", "00-netapply-", true),
    ("/run/resolvconf/interface", "", false),
    ("/run/resolvconf/interfaces", "", false),
    ("/run/resolvconf/keys", "", false),
    ("/tmp", "net.", false),
];
/// No file of these is longer; what is longer is not ours.
const LONGEST: u64 = 64 * 1024;

impl Surroundings {
    /// Looks at the image below `root`, which is `/` but in tests.
    pub fn observe(root: &Path) -> Self {
        let unit = |name: &str| UNITS.iter().any(|folder| root.join(folder).join(name).exists());
        let initramfs = root.join("etc/initrd-release").exists();
        // systemd keeps a link there for each unit that runs (`unit_export_invocation_id`), for journald.
        let runs = |service: Service| {
            let run = root.join("run/systemd/units").join(format!("invocation:{}", service.unit()));
            run.is_symlink() && root.join("run/dbus/system_bus_socket").exists()
        };
        let resolv_conf = resolv_conf(root, &unit);
        let mut files = files(root);
        if let ResolvConf::File(path) | ResolvConf::NetworkManager(path) = &resolv_conf {
            files.extend(read(root, path).map(|text| (path.clone(), text)));
        }
        Surroundings {
            resolv_conf,
            resolved_runs: runs(Service::Resolved),
            networkd_runs: runs(Service::Networkd),
            networkd: initramfs || unit("systemd-networkd.service"),
            network_manager: initramfs || unit("NetworkManager.service"),
            cloud_init: unit("cloud-init-local.service"),
            initramfs,
            dracut: initramfs
                && ["lib/dracut-lib.sh", "usr/lib/dracut-lib.sh"].iter().any(|p| root.join(p).exists()),
            ipa: unit("ironic-python-agent.service"),
            hostname: hostname(root),
            files,
        }
    }

    /// Files that netapply alone writes and that are not among those wanted now.
    pub(super) fn stale(&self, wanted: &BTreeSet<String>) -> impl Iterator<Item = &str> {
        let ours = |path: &str| {
            path == APPLIED
                || FOLDERS.iter().any(|(folder, begin, alone)| {
                    let name = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
                    *alone && name.is_some_and(|name| name.starts_with(begin))
                })
        };
        self.files.keys().map(String::as_str).filter(move |path| ours(path) && !wanted.contains(*path))
    }
}

fn files(root: &Path) -> BTreeMap<String, String> {
    let mut paths: Vec<String> = FILES.iter().map(|path| (*path).to_owned()).collect();
    for (folder, begin, _) in FOLDERS {
        let Ok(entries) = fs::read_dir(below(root, folder)) else { continue };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        paths.extend(names.filter(|name| name.starts_with(begin)).map(|name| format!("{folder}/{name}")));
    }
    few(paths.into_iter().filter_map(|path| read(root, &path).map(|text| (path, text))))
}

/// A regular file's text; `None` for everything else, so that no pipe or device is ever opened.
fn read(root: &Path, path: &str) -> Option<String> {
    let path = below(root, path);
    if !fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}

fn resolv_conf(root: &Path, unit: &dyn Fn(&str) -> bool) -> ResolvConf {
    let path = below(root, RESOLV_CONF);
    let target = fs::read_link(&path).ok().map(|target| absolute(&target));
    if let Some(target) = &target {
        if unit("systemd-resolved.service") && RESOLVED.iter().any(|place| target.starts_with(place)) {
            return ResolvConf::Resolved;
        }
        if unit("NetworkManager.service") && target.starts_with("/run/NetworkManager/") {
            return ResolvConf::NetworkManager(target.clone());
        }
    }
    if let Some(program) = RESOLVCONF.iter().find(|program| is_resolvconf(&below(root, program))) {
        return ResolvConf::Program((*program).to_owned());
    }
    match target {
        // The image chose another place, and it is there.
        Some(target) if below(root, &target).is_file() => ResolvConf::File(target),
        _ if is_writable(&below(root, "/etc")) => ResolvConf::File(RESOLV_CONF.to_owned()),
        _ => ResolvConf::ReadOnly,
    }
}

/// systemd-resolved comes with a `resolvconf` that is another name of resolvectl(1).
fn is_resolvconf(program: &Path) -> bool {
    let own = fs::read_link(program).is_ok_and(|target| target.ends_with("resolvectl"));
    program.is_file() && !own
}

/// Where a link in /etc leads, without `..`.
fn absolute(target: &Path) -> String {
    let mut path = PathBuf::from("/");
    for component in Path::new("/etc").join(target).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path.to_string_lossy().into_owned()
}

fn is_writable(folder: &Path) -> bool {
    // access(2) knows read-only mounts, which permission bits do not show.
    nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).is_ok()
}

/// The kernel's name, unless it is none: empty, `localhost`, or what the distribution gives where nobody gave one. A name
/// in /etc/hostname counts too: systemd sets it.
fn hostname(root: &Path) -> Option<String> {
    let text = |path: &str| read(root, path).unwrap_or_default();
    let release = [text("/etc/os-release"), text("/usr/lib/os-release")].concat();
    let default = release.lines().find_map(|line| line.strip_prefix("DEFAULT_HOSTNAME="));
    let default = default.unwrap_or_default().trim_matches(['"', '\'']).to_owned();
    let is_name = |name: &String| {
        !name.is_empty()
            && *name != default
            && !["localhost", "localhost.localdomain", "(none)"].contains(&name.as_str())
    };
    let names = ["/etc/hostname", "/proc/sys/kernel/hostname"].map(|path| text(path).trim().to_owned());
    names.into_iter().find(is_name)
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
