//! Kernel modules for the kinds of links, loaded where the image has no modprobe: `modules.dep` is followed and
//! `finit_module(2)` called.
//!
//! The kernel loads a missing module itself, by modprobe, when a link of the kind is made. Here are the two
//! cases in which that is not enough: an image without modprobe; and `bonding`, which makes a stray `bond0`
//! unless loaded with `max_bonds=0`. Entry functions: `load` and `before`.

use std::ffi::CString;
use std::fmt;
use std::fs::{self, File};

use std::path::Path;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

use crate::model::Kind;

use super::read::kernel_release;

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
pub struct Missing {
    /// What it lacks, in the plural.
    what: &'static str,
    /// The module that would help.
    module: &'static str,
    /// Why the module could not be loaded, where it is there.
    why: Option<String>,
}

impl Missing {
    /// The kernel lacks that kind, and no reason is known; `None` for a NIC.
    pub(super) fn of(kind: Kind) -> Option<Self> {
        let (_, module, what) = MODULES.iter().find(|(k, _, _)| *k == kind)?;
        Some(Self { what, module, why: None })
    }
}

impl fmt::Display for Missing {
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

/// To be called before the first link of `kind` is made. Loads `bonding` without its `bond0`; true where that
/// failed, so that the kernel, if it loads the module itself, makes one.
pub(super) fn before(kind: Kind) -> bool {
    kind == Kind::Bond && !Path::new("/sys/module/bonding").exists() && load(kind).is_err()
}

/// Loads the module of a kind, after those it needs.
pub(super) fn load(kind: Kind) -> Result<(), Missing> {
    let Some(missing) = Missing::of(kind) else { return Ok(()) };
    let folder = Path::new("/lib/modules").join(kernel_release());
    let dependencies = fs::read_to_string(folder.join("modules.dep")).unwrap_or_default();
    let files = in_order(&dependencies, missing.module).ok_or_else(|| missing.clone())?;
    for file in files {
        let parameters = if name_of(file) == "bonding" { c"max_bonds=0" } else { c"" };
        insert(&folder.join(file), parameters.to_owned())
            .map_err(|why| Missing { why: Some(why), ..missing.clone() })?;
    }
    Ok(())
}

/// The files to load for a module, the module's own last; `None` where `modules.dep` does not list it. A line is
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

/// `kernel/drivers/net/bonding/bonding.ko.xz` is `bonding`; `-` and `_` are one letter in module names.
fn name_of(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

fn insert(file: &Path, parameters: CString) -> Result<(), String> {
    let text = |why: &dyn fmt::Display| format!("{}: {why}", file.display());
    let open = File::open(file).map_err(|error| text(&super::host::words(&error)))?;
    let compressed = file.extension().is_some_and(|extension| extension != "ko");
    let flags = if compressed { COMPRESSED } else { 0 };
    match finit_module(&open, &parameters, ModuleInitFlags::from_bits_retain(flags)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(Errno::EOPNOTSUPP | Errno::EINVAL) if compressed => Err(text(
            &"this kernel does not load compressed modules by itself; put it into the image uncompressed",
        )),
        Err(errno) => Err(text(&errno.desc())),
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
    fn what_a_module_needs_comes_before_it() {
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
    fn the_sentence_says_what_to_do() {
        let missing = Missing { what: "bonding", module: "bonding", why: None };
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
