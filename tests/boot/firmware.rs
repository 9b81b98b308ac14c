//! A table of real firmware: iPXE boots with an iSCSI disk of a target on this machine, and leaves the iBFT that the kernel
//! shows; netapply configures the NIC as it says.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::daemons::unpack;
use crate::network::{addresses, name};
use harness::guest::{Guest, Kernel, image};

const MAC: &str = "52:54:00:1b:f7:01";
const NAME: &str = "iqn.2026-11.example:disk";

/// tgt's daemon, in mounts of its own, on a port that is free.
struct Target {
    daemon: Child,
    port: u16,
}

impl Target {
    fn start(folder: &Path) -> Self {
        unpack(&["tgt"], &folder.join("tgt"));
        std::fs::write(folder.join("disk"), vec![0; 1 << 20]).expect("a disk");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().unwrap().port();
        // It has its socket and its lock below /run.
        let script = format!(
            "mount -t tmpfs tmpfs /run; mkdir -p /run/tgtd
            {tgt}/tgtd --foreground --iscsi portal=127.0.0.1:{port} &
            daemon=$!
            adm() {{ {tgt}/tgtadm --lld iscsi \"$@\"; }}
            for i in $(seq 100); do adm --op show --mode sys >/dev/null 2>&1 && break; sleep 0.1; done
            adm --op new --mode target --tid 1 -T {NAME}
            adm --op new --mode logicalunit --tid 1 --lun 1 -b {disk}
            adm --op bind --mode target --tid 1 -I ALL
            echo ready >{ready}
            wait $daemon",
            tgt = folder.join("tgt/usr/sbin").display(),
            disk = folder.join("disk").display(),
            ready = folder.join("ready").display(),
        );
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "-m", "--pid", "--fork", "--kill-child"]);
        command.args(["bash", "-euc", &script]).stdin(Stdio::null());
        let mut target = Target { daemon: command.spawn().expect("bash runs"), port };
        let begin = std::time::Instant::now();
        while !folder.join("ready").exists() {
            assert!(begin.elapsed().as_secs() < 60, "the iSCSI target is not ready within 60 s");
            assert!(target.daemon.try_wait().unwrap().is_none(), "the iSCSI target has ended");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        target
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// The modules that show the table, of the guest's kernel, in the order in which they are loaded.
const MODULES: [(&str, &str); 2] =
    [("/root/1.ko", "drivers/scsi/iscsi_boot_sysfs.ko"), ("/root/2.ko", "drivers/firmware/iscsi_ibft.ko")];

fn module(path: &str) -> Vec<u8> {
    let modules = image(Kernel::Cloud).with_file_name("kernel-cloud").join("root/lib/modules");
    let version = std::fs::read_dir(modules).unwrap().next().expect("a kernel").unwrap().path();
    std::fs::read(version.join("kernel").join(path)).expect("Debian's kernel has it")
}

/// iPXE with these addresses and the disk; what the kernel shows of its table is printed.
fn booted(target: &Target, addresses: &str) -> Guest {
    let script = format!(
        "{addresses}
        set initiator-iqn iqn.2026-11.example:node
        set keep-san 1
        sanhook iscsi:10.0.2.2::{}:1:{NAME}",
        target.port
    );
    let builder = Guest::builder().netapply().ipxe(MAC, &script);
    let builder = MODULES.iter().fold(builder, |builder, (to, from)| builder.file(to, module(from), 0o644));
    let mut guest = builder.boot();
    for (path, _) in MODULES {
        guest.ok(&format!("insmod {path}"));
    }
    println!(
        "{}",
        guest.ok("cd /sys/firmware/ibft; for f in */*; do [ -f $f ] && echo \"$f=$(cat $f)\"; done; true")
    );
    guest
}

/// Applies the table: the address of the NIC.
fn applied(guest: &mut Guest) -> String {
    let output = guest.run("netapply apply --no-verify --handoff none --dhcp own --source ibft");
    println!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.status, 0);
    let [address] = &addresses(guest, MAC)[..] else { panic!("one address") };
    let nic = name(guest, MAC);
    guest.ok(&format!("ip route show default | grep -q 'via 10.0.2.2 dev {nic}'"));
    let again = guest.ok("netapply --dry-run --dhcp own --handoff none --source ibft");
    assert!(again.contains("Steps: none"), "{again}");
    address.clone()
}

#[test]
#[ignore = "boots more would make a whole run too long"]
fn ipxe_s_table_configures_the_nic() {
    let folder = tempfile::tempdir().expect("a folder for the target");
    let target = Target::start(folder.path());
    // As a script of iPXE has addresses of its own: the DHCP server that the script came by is no part of them.
    let mut guest = booted(
        &target,
        "ifclose net0
        set net0/ip 10.0.2.77
        set net0/netmask 255.255.255.0
        set net0/gateway 10.0.2.2
        set net0/dns 10.0.2.3
        set net0/dhcp-server 0.0.0.0
        ifopen net0",
    );
    assert_eq!(applied(&mut guest), "10.0.2.77");
    guest.ok("ip -j -4 address show | grep -q '\"valid_life_time\":4294967295'");
}

#[test]
#[ignore = "boots more would make a whole run too long"]
fn a_lease_in_ipxe_s_table_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder for the target");
    let target = Target::start(folder.path());
    let mut guest = booted(&target, "");
    assert_eq!(applied(&mut guest), "10.0.2.15");
    let nic = name(&mut guest, MAC);
    guest.ok(&format!("ip -4 address show dev {nic} | grep -q dynamic"));
}
