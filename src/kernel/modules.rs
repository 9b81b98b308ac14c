//! Kernel modules for the kinds of links, loaded if the image has no modprobe: follows `modules.dep` and calls
//! `finit_module(2)`.
//!
//! The kernel loads a missing module itself, through modprobe, when a link of the kind is created. This module handles
//! the two cases in which that is not enough: an image without modprobe; and `bonding`, which creates a stray `bond0`
//! unless loaded with `max_bonds=0`. Entry function: `load`, which blocks.

use std::ffi::CString;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

use crate::machine::Machine;
use crate::model::Kind;

/// `MODULE_INIT_COMPRESSED_FILE` (linux/module.h, kernel 5.17).
const COMPRESSED: u32 = 4;

/// Each kind with its module, and what the kernel lacks without it.
const MODULES: &[(Kind, &str, &str)] = &[
    (Kind::Bond, "bonding", "bonding"),
    (Kind::Bridge, "bridge", "bridges"),
    (Kind::Vlan, "8021q", "VLANs"),
    (Kind::Vrf, "vrf", "VRFs"),
    (Kind::Dummy, "dummy", "dummy links"),
    (Kind::Veth, "veth", "veth pairs"),
    (Kind::Macvlan, "macvlan", "macvlans"),
    (Kind::Vxlan, "vxlan", "VXLANs"),
    (Kind::Wireguard, "wireguard", "WireGuard"),
    (Kind::Sit, "sit", "SIT tunnels"),
    (Kind::Gre, "ip_gre", "GRE tunnels"),
    (Kind::Gretap, "ip_gre", "GRE tunnels"),
    (Kind::Ip6gre, "ip6_gre", "IPv6 GRE tunnels"),
    (Kind::Ip6gretap, "ip6_gre", "IPv6 GRE tunnels"),
    (Kind::Ipip, "ipip", "IPIP tunnels"),
    (Kind::Ip6tnl, "ip6_tunnel", "IPv6 tunnels"),
    (Kind::Vti, "ip_vti", "VTI tunnels"),
    (Kind::Vti6, "ip6_vti", "IPv6 VTI tunnels"),
];

/// The kernel cannot make a kind of link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLacks {
    /// What it lacks, in the plural.
    what: &'static str,
    /// The module that would help.
    module: &'static str,
    /// Why the module could not be loaded, if it exists.
    why: Option<Unloaded>,
}

/// Why a module was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unloaded {
    /// The kernel, or the file system, refused this file.
    Refused(PathBuf, Errno),
    /// This file is compressed, and the kernel cannot decompress modules.
    Compressed(PathBuf),
    /// It did not end within this time.
    Late(Duration),
    /// No module is to be loaded.
    Forbidden,
}

impl std::error::Error for Unloaded {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_, errno) => Some(errno),
            Self::Compressed(_) | Self::Late(_) | Self::Forbidden => None,
        }
    }
}

impl fmt::Display for Unloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(file, errno) => write!(f, "{}: {}", file.display(), errno.desc()),
            Self::Compressed(file) => write!(
                f,
                "{}: this kernel does not load compressed modules by itself; put it into the image uncompressed",
                file.display()
            ),
            Self::Forbidden => f.write_str("it is not loaded, and --no-modules is given"),
            Self::Late(bound) => write!(f, "it is still loading after {} s", bound.as_secs()),
        }
    }
}

impl KernelLacks {
    /// Loading the modules of that kind did not end within `bound`.
    pub(super) fn late(kind: Kind, bound: Duration) -> Result<(), Self> {
        Self::of(kind).map_or(Ok(()), |missing| Err(Self { why: Some(Unloaded::Late(bound)), ..missing }))
    }

    /// The kernel lacks that kind, and no reason is known; `None` for a NIC.
    pub(super) fn of(kind: Kind) -> Option<Self> {
        let (_, module, what) = MODULES.iter().find(|(k, _, _)| *k == kind)?;
        Some(Self { what, module, why: None })
    }
}

impl std::error::Error for KernelLacks {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.why.as_ref().map(|why| why as _)
    }
}

impl fmt::Display for KernelLacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, module, why } = self;
        match why {
            None => {
                write!(f, "the kernel has no {what}: load module \"{module}\" or add it to the initramfs")
            }
            Some(why) => write!(f, "the kernel has no {what}: module \"{module}\" does not load: {why}"),
        }
    }
}

/// Loads the module of a kind, after those it needs. Does nothing if `bonding` is there already: if it is built in,
/// loading it again would not be refused.
pub(super) fn load(machine: &Machine, kind: Kind) -> Result<(), KernelLacks> {
    let Some(missing) = KernelLacks::of(kind) else { return Ok(()) };
    if kind == Kind::Bond && machine.sys().join("module/bonding").exists() {
        return Ok(());
    }
    let release = fs::read_to_string(machine.kernel_release()).unwrap_or_default();
    let files = files(machine, release.trim(), missing.module).ok_or_else(|| missing.clone())?;
    for file in files {
        let parameters = if name_of(&file.to_string_lossy()) == "bonding" { c"max_bonds=0" } else { c"" };
        insert(&file, parameters.to_owned())
            .map_err(|why| KernelLacks { why: Some(why), ..missing.clone() })?;
    }
    Ok(())
}

/// Whether a kind of link can be made without a module being loaded for it. A module that the machine does not have counts as
/// loaded: it is built in, or there is nothing to load.
pub(super) fn loaded(machine: &Machine, kind: Kind) -> Result<(), KernelLacks> {
    let Some(missing) = KernelLacks::of(kind) else { return Ok(()) };
    let list = fs::read_to_string(machine.proc().join("modules")).unwrap_or_default();
    let listed = list.lines().any(|line| line.split(' ').next() == Some(missing.module));
    let release = fs::read_to_string(machine.kernel_release()).unwrap_or_default();
    match listed || files(machine, release.trim(), missing.module).is_none() {
        true => Ok(()),
        false => Err(KernelLacks { why: Some(Unloaded::Forbidden), ..missing }),
    }
}

/// The files to load for a module, its own last, from the first of the machine's module folders that lists it.
fn files(machine: &Machine, release: &str, module: &str) -> Option<Vec<PathBuf>> {
    machine.module_folders(release).iter().find_map(|folder| {
        let dependencies = fs::read_to_string(folder.join("modules.dep")).ok()?;
        let files = in_order(&dependencies, module)?;
        Some(files.into_iter().map(|file| folder.join(file)).collect())
    })
}

/// The files to load for a module, the module's own last; `None` if `modules.dep` does not list it. A line is
/// `FILE: NEEDED…`, where each needed file comes before those that it needs itself (depmod(8)).
fn in_order<'a>(dependencies: &'a str, module: &str) -> Option<Vec<&'a str>> {
    let (file, needed) = dependencies
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(file, _)| name_of(file) == module)?;
    let mut files: Vec<&str> = needed.split_whitespace().collect();
    files.reverse();
    files.push(file);
    Some(files)
}

/// `kernel/drivers/net/bonding/bonding.ko.xz` is `bonding`; `-` and `_` are the same in module names.
fn name_of(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

fn insert(file: &Path, parameters: CString) -> Result<(), Unloaded> {
    let open = File::open(file).map_err(|error| Unloaded::Refused(file.to_owned(), super::errno(&error)))?;
    let compressed = file.extension().is_some_and(|extension| extension != "ko");
    let flags = if compressed { COMPRESSED } else { 0 };
    match finit_module(&open, &parameters, ModuleInitFlags::from_bits_retain(flags)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(Errno::EOPNOTSUPP | Errno::EINVAL) if compressed => Err(Unloaded::Compressed(file.to_owned())),
        Err(errno) => Err(Unloaded::Refused(file.to_owned(), errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/net/tls/tls.ko:\n\
        kernel/drivers/net/bonding/bonding.ko: kernel/net/tls/tls.ko\n\
        kernel/net/802/mrp.ko:\n\
        kernel/net/8021q/8021q.ko.xz: kernel/net/802/mrp.ko.xz kernel/net/802/garp.ko.xz kernel/net/llc/stp.ko.xz\n\
        kernel/net/ipv6/ip6-gre.ko.zst:\n";

    #[test]
    fn a_modules_dependencies_come_before_it() {
        assert_eq!(
            in_order(DEP, "bonding").unwrap(),
            ["kernel/net/tls/tls.ko", "kernel/drivers/net/bonding/bonding.ko"]
        );
        let vlan = in_order(DEP, "8021q").unwrap();
        assert_eq!(vlan.iter().map(|f| name_of(f)).collect::<Vec<_>>(), ["stp", "garp", "mrp", "8021q"]);
        assert!(in_order(DEP, "ip6_gre").is_some());
        assert_eq!(in_order(DEP, "vrf"), None);
    }

    #[test]
    fn modules_are_found_at_each_of_the_standard_places_in_order() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::below(root.path());
        let put = |folder: &str| {
            let folder = root.path().join(folder).join("6.1.0");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("modules.dep"), DEP).unwrap();
            folder
        };
        let found = || files(&machine, "6.1.0", "bonding").map(|files| files.last().unwrap().clone());
        assert_eq!(found(), None);
        // NixOS has its modules only there.
        let places = ["run/booted-system/kernel-modules/lib/modules", "usr/lib/modules", "lib/modules"];
        for place in places {
            let folder = put(place);
            assert_eq!(found(), Some(folder.join("kernel/drivers/net/bonding/bonding.ko")), "{place}");
        }
        // If a folder does not list the module, the next is searched.
        fs::write(root.path().join("lib/modules/6.1.0/modules.dep"), "").unwrap();
        assert!(found().unwrap().starts_with(root.path().join("usr")));
    }

    #[test]
    fn only_what_would_be_loaded_is_forbidden() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::below(root.path());
        let put = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(loaded(&machine, Kind::Bond), Ok(()), "there is no module to load");
        put(machine.kernel_release(), "6.1.0\n");
        put(machine.at("/lib/modules/6.1.0/modules.dep"), DEP);
        let sentence = loaded(&machine, Kind::Bond).unwrap_err().to_string();
        assert!(sentence.ends_with("it is not loaded, and --no-modules is given"), "{sentence}");
        assert_eq!(loaded(&machine, Kind::Bridge), Ok(()), "built in");
        put(machine.proc().join("modules"), "bonding 200704 0 - Live 0x0000000000000000\n");
        assert_eq!(loaded(&machine, Kind::Bond), Ok(()));
    }

    #[test]
    fn the_sentence_says_what_to_do() {
        let missing = KernelLacks { what: "bonding", module: "bonding", why: None };
        assert_eq!(
            missing.to_string(),
            "the kernel has no bonding: load module \"bonding\" or add it to the initramfs"
        );
    }

    #[test]
    fn every_kind_that_is_made_has_its_module() {
        for kind in Kind::all().filter(|kind| *kind != Kind::Physical) {
            assert!(MODULES.iter().any(|(k, _, _)| *k == kind), "{}", kind.word());
        }
    }
}
