//! A machine whose description asks for DHCP and whose image has no client: netapply.service leaves it to
//! netapply-lease.service, which continues after a restart or a kill.

use crate::network::{Neighbour, addresses, name, nic};
use crate::{healthy, machine};
use harness::drive;
use harness::guest::Cable;

const MAC: &str = "52:54:00:12:34:0d";

#[test]
fn a_lease_outlives_the_service_that_renews_it() {
    let cable = Cable::new();
    let mut neighbour = Neighbour::on(&[&cable]);
    neighbour
        .guest
        .ok("kill $(cat /tmp/pid0); printf '%s\\n' 'option lease 60' 'option hostname node-by-dhcp' \\
         'option dns 192.0.2.53' >>udhcpd0; udhcpd -f udhcpd0 >dhcp0 2>&1 &");
    let drive = drive::cidata_iso(&format!(
        "version: 2\nethernets:\n  nic:\n    match: {{macaddress: \"{MAC}\"}}\n    dhcp4: true\n"
    ));
    let builder = nic(machine("base").words(drive::EXPECTED).file("/etc/hostname", "", 0o644), MAC, &cable);
    let mut guest = builder.cd(drive.path()).boot();
    healthy(&mut guest);

    let link = name(&mut guest, MAC);
    let first = addresses(&mut guest, MAC);
    assert!(matches!(&first[..], [one] if one.starts_with("192.0.2.1")), "{first:?}");
    assert_eq!(guest.ok("cat /proc/sys/kernel/hostname").trim(), "node-by-dhcp");
    assert_eq!(guest.ok("grep ^nameserver /etc/resolv.conf"), "nameserver 192.0.2.53\n");
    guest.ok("systemctl is-active netapply-lease.service");
    let status = guest.ok("systemctl show --value -p StatusText netapply-lease.service");
    assert_eq!(status.trim(), "1 of 1 links have a lease");

    guest.ok(&format!(
        "ip monitor address dev {link} >/monitor & sleep 1; systemctl restart netapply-lease.service"
    ));
    guest.ok("systemctl kill -s KILL netapply-lease.service");
    guest.until("[ \"$(systemctl show --value -p NRestarts netapply-lease.service)\" = 1 ]");
    guest.until("systemctl is-active netapply-lease.service");
    // Another name server from the next renewal on.
    neighbour.guest.ok("pid=$(cat /tmp/pid0); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.1; done
        sed -i s/192.0.2.53/192.0.2.54/ udhcpd0; udhcpd -f udhcpd0 >>dhcp0 2>&1 &");
    let asked = neighbour.dhcp(0).matches("ACK").count();
    // Half of the lifetime passes until then.
    neighbour.guest.ok(&format!(
        "for i in $(seq 90); do [ $(grep -c ACK dhcp0) -gt {asked} ] && exit 0; sleep 1; done; exit 1"
    ));
    // The kernel has the new lifetime, too.
    guest.until(&format!("ip address show dev {link} | grep -Eq 'valid_lft (5[0-9]|60)sec'"));
    guest.until("grep -qx 'nameserver 192.0.2.54' /etc/resolv.conf");
    assert_eq!(addresses(&mut guest, MAC), first);
    assert_eq!(guest.ok("grep Deleted /monitor || true"), "");
    guest.ok(&format!(
        "ip route show default dev {link} | grep -q 'via 192.0.2.1 proto dhcp src {}'",
        first[0]
    ));

    // Its private memory: the pages of the program itself depend on how it was built.
    let memory =
        guest.ok("grep ^Pss /proc/$(systemctl show --value -p MainPID netapply-lease.service)/smaps_rollup");
    let own = memory.lines().find_map(|line| line.strip_prefix("Pss_Anon:")?.trim().split(' ').next());
    assert!(own.is_some_and(|kibibytes| kibibytes.parse::<u32>().is_ok_and(|k| k < 4096)), "{memory}");

    // When stopped, it leaves the address with its lifetime, and releases the lease only on request.
    guest.ok("systemctl stop netapply-lease.service");
    assert_eq!(addresses(&mut guest, MAC), first);
    guest.ok(&format!("systemctl start netapply-lease.service; netapply leases --release {link}"));
    guest.until(&format!("[ -z \"$(ip -4 -o address show dev {link})\" ]"));
}
