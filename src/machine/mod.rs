//! The paths of the machine. One value owns every path, so that a test or a rehearsal can use another root; no other
//! room spells a path of the running machine for the file system. [`clock`] is the machine's.

pub mod clock;
pub mod files;

use std::path::{Path, PathBuf};

/// The machine's file tree: `/` by default, another folder in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    root: PathBuf,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine::below("/")
    }
}

impl Machine {
    /// The machine with this root folder.
    pub fn below(root: impl Into<PathBuf>) -> Machine {
        Machine { root: root.into() }
    }

    /// The root: `/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The kernel's name for the machine; `None` if nobody gave it one.
    pub fn host_name(&self) -> Option<String> {
        let name = std::fs::read_to_string(self.at("/proc/sys/kernel/hostname")).ok()?;
        Some(name.trim().to_owned()).filter(|name| is_host_name(name))
    }

    /// The location of an absolute path of the machine, such as `/etc/resolv.conf`.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// Whether it is a real host name: the kernel and distributions have defaults for a machine without one.
pub fn is_host_name(name: &str) -> bool {
    !["", "localhost", "localhost.localdomain", "(none)"].contains(&name)
}

macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident $path:literal;)*) => {
        impl Machine {
            $($(#[$doc])* pub fn $name(&self) -> PathBuf { self.at($path) })*
        }
    };
}

paths! {
    // netapply's own
    /// netapply's folder.
    run "/run/netapply";
    /// The report of the last run.
    report "/run/netapply/report.json";
    /// The description that was applied last. Only root may read it: it can hold keys.
    description "/run/netapply/description.json";
    /// What a run takes away and has not put back yet.
    owed "/run/netapply/owed.json";
    /// The file that is locked while the machine is changed.
    lock "/run/netapply/lock";
    /// The state of each link that netapply leases.
    leases "/run/netapply/leases";
    /// The socket for orders to whatever renews leases.
    leases_socket "/run/netapply/leases.socket";
    /// The mount point of a drive, in a mount namespace of its own.
    drive "/run/netapply/drive";
    /// The log of this boot.
    log "/run/netapply/netapply.log";
    /// The log among the image's other logs.
    var_log "/var/log/netapply.log";
    /// What agetty(8) shows before a login prompt.
    issue "/run/issue.d/50-netapply.issue";

    // The kernel's
    /// sysfs.
    sys "/sys";
    /// The machine's UUID from the firmware; for root only.
    product_uuid "/sys/class/dmi/id/product_uuid";
    /// The machine's serial number, as the firmware has it; for root only.
    product_serial "/sys/class/dmi/id/product_serial";
    /// A folder for each link.
    sys_net "/sys/class/net";
    /// The names of the active consoles.
    consoles "/sys/class/tty/console/active";
    /// The iSCSI boot firmware table, as the kernel shows it.
    ibft "/sys/firmware/ibft";
    /// ACPI's tables; for root only.
    acpi_tables "/sys/firmware/acpi/tables";
    /// procfs.
    proc "/proc";
    /// A file for each sysctl.
    proc_sys "/proc/sys";
    /// The kernel command line.
    cmdline "/proc/cmdline";
    /// The running kernel's release.
    kernel_release "/proc/sys/kernel/osrelease";
    /// Device nodes.
    dev "/dev";

    // The image's
    /// Exists in an initramfs.
    initrd_release "/etc/initrd-release";
    /// 32 hexadecimal digits that identify the machine (machine-id(5)).
    machine_id "/etc/machine-id";
    /// Host names and addresses.
    hosts "/etc/hosts";
    /// Name servers.
    resolv_conf "/etc/resolv.conf";
    /// udev's database of devices.
    udev "/run/udev";
    /// The journal's socket (systemd.journal-fields(7), "Native Journal Protocol").
    journal_socket "/run/systemd/journal/socket";
    /// The D-Bus socket.
    dbus_socket "/run/dbus/system_bus_socket";
}

impl Machine {
    /// Folders of iproute2's tables of names; those in later ones take precedence.
    pub fn iproute2_folders(&self) -> [PathBuf; 3] {
        ["/usr/lib/iproute2", "/usr/share/iproute2", "/etc/iproute2"].map(|folder| self.at(folder))
    }

    /// Folders that may hold this kernel's modules, the likeliest first. `/lib` is a link to `/usr/lib` on most systems
    /// and missing on others; NixOS has its own place.
    pub fn module_folders(&self, release: &str) -> [PathBuf; 3] {
        ["/lib/modules", "/usr/lib/modules", "/run/booted-system/kernel-modules/lib/modules"]
            .map(|folder| self.at(folder).join(release))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_below_the_root() {
        assert_eq!(Machine::default().report(), Path::new("/run/netapply/report.json"));
        let machine = Machine::below("/tmp/m");
        assert_eq!(machine.report(), Path::new("/tmp/m/run/netapply/report.json"));
        assert_eq!(machine.at("/etc/hosts"), machine.hosts());
        assert_eq!(machine.at("etc/hosts"), machine.hosts());
        assert!(machine.module_folders("6.1").iter().all(|folder| folder.starts_with("/tmp/m")));
    }
}
