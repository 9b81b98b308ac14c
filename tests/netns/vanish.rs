//! Links that come and go while the kernel's state is read or changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use netapply::kernel::apply::{self, AfterFailure};
use netapply::kernel::effects::Real;
use netapply::kernel::names::Names;
use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::machine::Machine;
use netapply::plan::{Action, LinkChange, StepId};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::plans::{address, plan, route, set};
use harness::namespace::{in_namespace, ip, ip_json};

/// Another program that creates and removes links until it is dropped.
struct Turmoil(Child);

impl Turmoil {
    fn begin() -> Self {
        let script = "while :; do
            for i in 0 1 2 3 4 5 6 7; do echo link add t$i type bridge; echo link set t$i up; done
            for i in 0 1 2 3 4 5 6 7; do echo link delete t$i; done
          done | ip -force -batch -";
        let mut command = Command::new("sh");
        // A group of its own, so that the shell's children end with it.
        command.args(["-c", script]).process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("sh runs"))
    }
}

impl Drop for Turmoil {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"));
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// udev renames a NIC, and says only then that it has finished with it.
#[test]
fn a_nic_with_which_udev_has_finished_has_its_new_name() {
    in_namespace(async || {
        let root = tempfile::tempdir().unwrap();
        let database = root.path().join("run/udev/data");
        fs::create_dir_all(&database).unwrap();
        fs::write(root.path().join("run/udev/control"), "").unwrap();
        symlink("/sys", root.path().join("sys")).unwrap();
        let mut session = Session::of(&Machine::below(root.path()), NetlinkFamily::Route).unwrap();
        for round in 0..100 {
            ip("link add early type veth peer name far");
            let index = ip_json("link show dev early")[0]["ifindex"].as_u64().unwrap();
            let entry = database.join(format!("n{index}"));
            let udev = thread::spawn(move || {
                thread::sleep(Duration::from_micros(round * 37));
                ip("link set early name late");
                fs::write(entry, "I:1\n").unwrap();
            });
            loop {
                let inventory = read::inventory(&mut session).await.expect("the machine is read");
                let nic = inventory.links.iter().find(|link| u64::from(link.index) == index).unwrap();
                if nic.udev_done == Some(true) {
                    assert_eq!(nic.name, "late", "in round {round}");
                    break;
                }
            }
            udev.join().unwrap();
            ip("link delete late");
        }
    });
}

#[test]
fn what_stays_is_read_whatever_comes_and_goes() {
    in_namespace(async || {
        for number in 0..40 {
            ip(&format!("link add eth{number} type veth peer name peer{number}"));
        }
        ip("address add 192.0.2.1/24 dev eth7");
        let _turmoil = Turmoil::begin();
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        for _ in 0..50 {
            let inventory = read::inventory(&mut session).await.expect("the machine is read");
            let there =
                inventory.links.iter().filter(|l| l.name.starts_with("eth") || l.name.starts_with("peer"));
            assert_eq!(there.count(), 80, "{:?}", inventory.undecoded);
            assert!(inventory.addresses.iter().any(|a| a.link == "eth7"));
        }
    });
}

#[test]
fn a_removed_link_skips_only_its_own_steps() {
    in_namespace(async || {
        ip("link add eth0 type veth peer name eth1");
        ip("link add br0 type bridge");
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        let inventory = read::inventory(&mut session).await.unwrap();
        ip("link delete eth0");
        let steps = plan(vec![
            (set("eth0", LinkChange::Up), &[]),
            (Action::AddAddress(address("eth0", "192.0.2.1/24")), &[0]),
            (Action::AddRoute(route("eth1", "10.0.0.0/8", "192.0.2.2")), &[]),
            (Action::DeleteAddress(address("eth1", "192.0.2.9/24")), &[]),
            (set("br0", LinkChange::Up), &[]),
            (Action::AddAddress(address("br0", "198.51.100.1/24")), &[4]),
        ]);
        let never = std::future::pending();
        let names = Names::from(&inventory);
        let outcome = apply::apply(
            &mut session,
            &mut Real::on(&Machine::default()),
            &steps,
            names,
            AfterFailure::GoOn,
            never,
        )
        .await;
        let done: Vec<bool> = (0..6).map(|step| outcome.is_done(StepId(step))).collect();
        // An address is gone with its link.
        assert_eq!(done, [false, false, false, true, true, true]);
        let texts: Vec<String> =
            outcome.failures().map(|(n, trouble)| format!("{} {trouble}", n.0)).collect();
        assert_eq!(
            texts,
            [
                "0 the kernel refused: No such device (ENODEV)",
                "2 the kernel refused: Nexthop has invalid gateway (ENETUNREACH)",
            ]
        );
        assert_eq!(ip_json("address show br0")[0]["addr_info"][0]["local"], "198.51.100.1");
    });
}
