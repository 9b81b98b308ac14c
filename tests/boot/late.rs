//! A drive and a NIC that appear long after the boot has begun.

use crate::network::{addresses, name};
use crate::{healthy, machine};
use harness::drive;

const MAC: &str = "52:54:00:12:34:07";

#[test]
fn a_late_drive_and_a_later_nic_are_waited_for() {
    let drive = drive::cidata_iso(&format!(
        "version: 2\nethernets:\n  nic:\n    match: {{macaddress: \"{MAC}\"}}\n    addresses: [192.0.2.10/24]\n"
    ));
    let mut guest = machine("base").words("netapply.wait=120").boot();
    guest.until("systemctl show -p ActiveState netapply.service | grep -q =activating");
    guest.ok("sleep 10");
    guest.plug_drive("scsi-cd", "late", drive.path());
    // The drive has been read when the run waits for the NIC.
    guest.until(&format!("journalctl -b -u netapply.service | grep -qi 'waiting.*{MAC}'"));
    guest.ok("sleep 10");
    assert_eq!(guest.ok("systemctl show --value -p ActiveState netapply.service").trim(), "activating");
    guest.plug_nic(0, MAC, 1);
    healthy(&mut guest);
    assert!(name(&mut guest, MAC).starts_with("en"));
    assert_eq!(addresses(&mut guest, MAC), ["192.0.2.10"]);
    guest.ok("[ -e /run/netapply/applied ]");
}
