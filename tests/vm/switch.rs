//! The other end of the wires: a switch with its own LACP, in a network namespace of the guest.
//!
//! The machine under test has `eth0` and `eth1`; `eth2` and `eth3` are at the other ends of their wires and belong
//! to the switch. All four are virtio NICs, so that the machine's have a permanent MAC.

use harness::guest::{Builder, Guest};

/// The permanent MACs of the machine's two NICs.
pub(crate) const NICS: [&str; 2] = ["7c:c2:55:6e:90:44", "7c:c2:55:6e:90:45"];

/// A machine with two NICs, each wired to a port of the switch.
pub(crate) fn machine() -> Builder {
    Guest::builder().nic(NICS[0], 1).nic(NICS[1], 2).nic("02:00:00:00:00:01", 1).nic("02:00:00:00:00:02", 2)
}

/// A script that moves the switch's two NICs out of the machine.
fn namespace() -> &'static str {
    "set -e
    ip netns add switch
    for nic in eth2 eth3; do ip link set $nic netns switch; done
    "
}

/// A script that makes the switch's two ports one LACP bond `lag` with these addresses.
pub(crate) fn lacp(mtu: u32, addresses: &[&str]) -> String {
    let mut script = namespace().to_owned();
    // Without max_bonds=0 the module creates a stray bond0 in the machine when the first bond is requested.
    script += "modprobe bonding max_bonds=0
    in='ip -n switch'
    $in link set lo up
    $in link add lag type bond mode 802.3ad miimon 100 lacp_rate fast
    for nic in eth2 eth3; do $in link set $nic master lag; done
    ";
    script += &format!("$in link set lag mtu {mtu} up\n");
    for address in addresses {
        script += &format!("$in address add {address} dev lag nodad\n");
    }
    script
}

/// A script that makes the switch's two ports plain: these addresses are on the port of the machine's first NIC.
pub(crate) fn plain(addresses: &[&str]) -> String {
    let mut script = namespace().to_owned();
    script += "for link in lo eth2 eth3; do ip -n switch link set $link up; done\n";
    for address in addresses {
        script += &format!("ip -n switch address add {address} dev eth2 nodad\n");
    }
    script
}

/// The address of [`START_NAME_SERVER`]; the switch must have it.
pub(crate) const NAME_SERVER: &str = "192.0.2.53";

/// A script that starts a name server on the switch, for a guest that was built with `inside()`. It knows no name, and
/// says so.
pub(crate) const START_NAME_SERVER: &str =
    "ip netns exec switch inside --ignored --exact switch::name_server >/dev/null 2>&1 &";

#[test]
#[ignore = "runs inside a guest"]
fn name_server() {
    assert!(std::path::Path::new("/agent").exists(), "this is no guest");
    let socket = std::net::UdpSocket::bind((NAME_SERVER, 53)).unwrap();
    let mut packet = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut packet).unwrap();
        // RFC 1035, 4.1.1: the third byte's highest bit marks an answer, code 3 is "no such name".
        if let [_, _, flags, code, ..] = &mut packet[..length] {
            *flags |= 0x80;
            *code = 3;
        }
        socket.send_to(&packet[..length], from).unwrap();
    }
}
