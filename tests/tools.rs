//! netapply with the image's real network tools, each in a whole system booted by systemd-nspawn: do names resolve, do
//! the tools leave a described link alone, before and after they are reloaded and restarted, and does a second
//! description or `handoff --undo` remove everything. The results are in docs/handoff.md.

#[path = "tools/machine.rs"]
mod machine;
#[path = "tools/nmstate.rs"]
mod nmstate;
#[path = "tools/servers.rs"]
mod servers;

use std::collections::BTreeSet;

use machine::Machine;

const STATIC: &str = "network:
  version: 2
  ethernets:
    eth0:
      addresses: [192.0.2.10/24]
      routes: [{to: default, via: 192.0.2.1}]
      nameservers: {addresses: [192.0.2.53], search: [example]}
";
/// eth1 on DHCP as well.
fn mixed() -> String {
    format!("{STATIC}    eth1: {{dhcp4: true}}\n")
}

/// Whether the image's own programs resolve the name that the described server knows.
fn resolves(machine: &Machine) -> bool {
    machine.run("getent ahostsv4 api.example").1.contains("192.0.2.1 ")
}

/// The same, with retries because a busy machine may lose a query.
fn finds(machine: &Machine) -> bool {
    let find = "getent ahostsv4 api.example | grep -q '^192.0.2.1 '";
    machine.run(&format!("for i in $(seq 20); do {find} && exit 0; sleep 0.5; done; exit 1")).0 == 0
}

/// Prints the row of docs/handoff.md that a test has verified.
#[track_caller]
fn seen(state: &str) {
    let rows = include_str!("../docs/handoff.md").lines();
    let mut rows = rows.filter(|row| row.starts_with(&format!("| {state} |")));
    println!("{}", rows.next().expect("a row of docs/handoff.md"));
}

#[track_caller]
fn applied(machine: &Machine, description: &str) {
    let (status, output) = machine.apply(description);
    assert_eq!(status, 0, "{output}");
}

#[test]
fn network_manager_lets_a_link_with_a_lease_go() {
    let machine = Machine::boot("full", "");
    machine.ok("systemctl start NetworkManager");
    machine.until("ip -4 address show eth0 | grep -q 192.0.2.1");
    machine.until("nmcli -t -f DEVICE,STATE device | grep -q ^eth0:connected");
    let state = || machine.ok("nmcli -t -f DEVICE,STATE device");
    applied(&machine, STATIC);
    for change in ["true", "nmcli general reload", "systemctl restart NetworkManager; nm-online -q -t 20"] {
        machine.ok(change);
        assert!(state().contains("eth0:unmanaged\n"), "{change}: {}", state());
        assert!(machine.addresses("eth0").contains(&"192.0.2.10".to_owned()), "{change}");
        machine.ok("ip route show default | grep -q 'via 192.0.2.1 dev eth0 proto static'");
        assert!(finds(&machine), "{change}");
    }
    let (_, output) = machine.apply(STATIC);
    assert!(output.contains("nothing to change"), "{output}");
    let steps = machine.ok("netapply handoff --undo --dry-run");
    assert!(steps.contains("/run/NetworkManager/conf.d/00-netapply-eth0.conf"), "{steps}");
    assert!(state().contains("eth0:unmanaged\n"), "--dry-run: {}", state());
    // The link alone: the network and the name servers stay.
    machine.ok("netapply handoff --undo eth0");
    assert!(!state().contains("eth0:unmanaged\n"), "{}", state());
    assert!(machine.addresses("eth0").contains(&"192.0.2.10".to_owned()));
    assert!(finds(&machine), "undone for eth0");
    machine.ok("netapply handoff --undo");
    machine.until("nmcli -t -f DEVICE,STATE device | grep -q ^eth0:connected");
    assert_eq!(
        machine.ok("find /run /tmp -path '*netapply/*' -prune -o -name '*netapply*' -type f -print"),
        "/run/issue.d/50-netapply.issue\n"
    );
    seen("NetworkManager has eth0 with a lease");
}

/// As dracut's module network-manager starts it in an initramfs, by connections of nm-initrd-generator; then the system
/// that follows. netapply runs before it, beside it, or not before the system that follows.
#[test]
fn network_manager_of_an_initramfs_keeps_off() {
    for (begin, parameters) in
        [("before", "ip=eth0:dhcp ip=eth1:dhcp"), ("beside", "ip=dhcp"), ("after", "ip=dhcp")]
    {
        let machine = Machine::boot(
            "full",
            &format!(
                "printf '[Service]\\nType=dbus\\nBusName=org.freedesktop.NetworkManager\\nKillMode=process\\n\\
                ExecStart=/usr/sbin/NetworkManager --debug\\nStandardOutput=null\\n\\
                Environment=NM_CONFIG_ENABLE_TAG=initrd\\n' >etc/systemd/system/nm-initrd.service
                printf '[.config]\\nenable=env:initrd\\n\\n[main]\\nno-auto-default=*\\n' >usr/lib/NetworkManager/conf.d/initrd.conf
                cat >root/net.yaml <<'END'\n{}END\n",
                mixed()
            ),
        );
        let apply = || machine.ok("netapply apply --no-verify --dhcp image /root/net.yaml");
        machine.ok(&format!(
            "touch /etc/initrd-release
            /usr/lib/NetworkManager/nm-initrd-generator -- rd.neednet=1 {parameters}
            ls /run/NetworkManager/system-connections/*.nmconnection"
        ));
        if begin == "before" {
            apply();
        }
        machine.ok("systemctl start nm-initrd");
        machine.until("ip -4 address show eth1 | grep -q 192.0.3.1");
        if begin != "before" {
            machine.until("ip -4 address show eth0 | grep -q 192.0.2.1");
        }
        if begin == "beside" {
            apply();
        }
        let keeps_off = |change: &str| {
            machine.ok("nmcli -t -f DEVICE,STATE device | grep -q '^eth0:unmanaged$'");
            assert_eq!(machine.addresses("eth0"), ["192.0.2.10"], "{begin}, {change}");
            let routes = machine.ok("ip route show default dev eth0");
            assert_eq!(routes.trim(), "default via 192.0.2.1 proto static", "{begin}, {change}");
        };
        if begin != "after" {
            keeps_off("in the initramfs");
        }
        machine.ok("systemctl stop nm-initrd; rm /etc/initrd-release");
        if begin == "after" {
            apply();
        }
        for change in ["systemctl start NetworkManager", "systemctl restart NetworkManager"] {
            machine.ok(&format!("{change}; nm-online -q -t 20"));
            machine.until("ip -4 address show eth1 | grep -q 192.0.3.1");
            keeps_off(change);
        }
    }
    seen("NetworkManager of an initramfs, with connections of nm-initrd-generator");
}

/// netapply leases the link as in an initramfs; then the image's client has it, with the same lease in both families: the
/// server has seen one client.
#[test]
fn the_image_s_client_goes_on_with_the_lease_of_the_ramdisk() {
    for (tree, client, prepare) in [
        ("full", "NetworkManager", ""),
        (
            "full",
            "systemd-networkd",
            "printf '[Match]\\nName=eth0\\n[Network]\\nDHCP=yes\\n' >etc/systemd/network/20-wired.network",
        ),
        // Without udev in the container it would wait for it.
        ("base", "dhcpcd", "echo nodev >>etc/dhcpcd.conf"),
    ] {
        let wants = "etc/systemd/system/multi-user.target.wants";
        let mut machine = Machine::boot(tree, prepare);
        let log = machine.serve_both_families();
        let description = "network: {version: 2, ethernets: {eth0: {dhcp4: true, dhcp6: true}}}\n";
        std::fs::write(machine.root().join("root/net.yaml"), description).unwrap();
        machine.ok("netapply apply --dhcp own --handoff none --no-verify /root/net.yaml");
        let global = || machine.ok("ip -o address show eth0 scope global | awk '{print $4}' | sort -u");
        let leased = global();
        assert_eq!(leased.lines().count(), 2, "{client}: {leased}");
        // The client is enabled, and starts after netapply.
        machine.ok(&format!("mkdir -p /{wants}; ln -s /usr/lib/systemd/system/{client}.service /{wants}/"));
        applied(&machine, description);
        let text = || std::fs::read_to_string(&log).unwrap_or_default();
        let (four, six) = (text().matches("DHCPACK").count(), text().matches("DHCPREPLY").count());
        machine.ok(&format!("systemctl start {client}"));
        machine.until("test $(ip -o address show eth0 scope global | wc -l) -ge 2");
        let answered =
            || text().matches("DHCPACK").count() > four && text().matches("DHCPREPLY").count() > six;
        let begin = std::time::Instant::now();
        while !answered() {
            assert!(begin.elapsed().as_secs() < 60, "{client} has not asked: {}", text());
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        machine.ok("sleep 2");
        assert_eq!(global(), leased, "{client}: {}", text());
        let leases = std::fs::read_to_string(log.with_file_name("leases6")).unwrap();
        let granted: Vec<&str> = leases.lines().filter(|line| !line.starts_with("duid")).collect();
        assert_eq!(granted.len(), 2, "{client}: {leases}");
        // netapply does not ask any more, and a second run changes nothing.
        machine.ok("! ls /run/netapply/leases/*.json");
        let (_, output) = machine.apply(description);
        assert!(output.contains("nothing to change"), "{client}: {output}");
    }
}

#[test]
fn networkd_keeps_off_whatever_files_the_image_has() {
    let machine = Machine::boot(
        "full",
        "printf '[Match]\\nName=eth*\\n[Network]\\nDHCP=yes\\n' >etc/systemd/network/00-eth0.network
        mkdir -p etc/systemd/networkd.conf.d
        printf '[Network]\\nManageForeignRoutingPolicyRules=yes\\n' >etc/systemd/networkd.conf.d/90-image.conf",
    );
    machine.ok("systemctl start systemd-networkd");
    machine.until("networkctl --no-legend list eth0 | grep -q configured");
    let description = STATIC.replace(
        "      nameservers",
        "      routing-policy: [{from: 192.0.2.10, table: 100, priority: 1000}]\n      nameservers",
    );
    applied(&machine, &description);
    // The rule belongs to no link: networkd removes it when it takes the next one, unless configured otherwise.
    for change in [
        "true",
        "networkctl reload",
        "networkctl down eth1; networkctl up eth1",
        "systemctl restart systemd-networkd",
    ] {
        machine.ok(change);
        machine.until("networkctl --no-legend list eth1 | grep -q configured");
        machine.ok("networkctl --no-legend list eth0 | grep -q unmanaged");
        machine.ok("ip rule | grep -q '^1000:.*from 192.0.2.10 lookup 100'");
        assert!(machine.addresses("eth0").contains(&"192.0.2.10".to_owned()), "{change}");
        assert!(finds(&machine), "{change}");
    }
    seen("networkd has eth0 by `00-eth0.network`, `90-image.conf` has it remove rules");
}

/// As a systemd unit that the tools are ordered after: a restart that respected their order would wait for netapply's
/// own start.
#[test]
fn a_unit_restarts_a_tool_that_is_ordered_after_it() {
    let description = STATIC.replace(
        "      nameservers",
        "      routing-policy: [{from: 192.0.2.10, table: 100, priority: 1000}]\n      nameservers",
    );
    let machine = Machine::boot(
        "full",
        &format!(
            "printf '[Match]\\nName=eth*\\n[Network]\\nDHCP=yes\\n' >etc/systemd/network/00-eth0.network
            mkdir -p etc/systemd/networkd.conf.d var/lib/cloud/seed/nocloud
            printf '[Network]\\nManageForeignRoutingPolicyRules=yes\\n' >etc/systemd/networkd.conf.d/90-image.conf
            echo instance-id: i >var/lib/cloud/seed/nocloud/meta-data
            cat >var/lib/cloud/seed/nocloud/network-config <<'END'\n{description}END\n"
        ),
    );
    machine.ok("systemctl start systemd-networkd");
    machine.until("networkctl --no-legend list eth0 | grep -q configured");
    machine
        .ok("timeout 50 systemctl start netapply.service || { journalctl -u netapply --no-pager; false; }");
    for change in [
        "true",
        "networkctl reload",
        "systemctl restart systemd-networkd",
        "ip link add eth9 type veth peer name eth8",
    ] {
        machine.ok(change);
        machine.until("networkctl --no-legend list eth1 | grep -q configured");
        machine.ok("networkctl --no-legend list eth0 | grep -q unmanaged");
        machine.ok("ip rule | grep -q '^1000:.*from 192.0.2.10 lookup 100'");
        assert_eq!(machine.addresses("eth0"), ["192.0.2.10"], "{change}");
        assert!(finds(&machine), "{change}");
    }
    seen("the same, and netapply.service is started while networkd runs");
}

#[test]
fn clients_of_all_links_keep_the_one_left_to_them() {
    let machine = Machine::boot(
        "clients",
        "printf 'auto eth0\\niface eth0 inet dhcp\\nauto eth1\\niface eth1 inet dhcp\\n' >etc/network/interfaces
        echo nodev >>etc/dhcpcd.conf",
    );
    // No unit is enabled in this tree, so that netapply would ask for the lease itself.
    std::fs::write(machine.root().join("root/net.yaml"), mixed()).unwrap();
    machine.ok("netapply apply --no-verify --dhcp image /root/net.yaml");
    for tool in ["networking", "dhcpcd", "connman"] {
        machine.ok("ip address flush eth1");
        for change in ["start", "restart"] {
            machine.ok(&format!("systemctl {change} {tool}"));
            machine.until("ip -4 address show eth1 | grep -q 192.0.3.1");
            assert_eq!(machine.addresses("eth0"), ["192.0.2.10"], "{tool} {change}");
            let routes = machine.ok("ip route show default dev eth0");
            assert_eq!(routes.trim(), "default via 192.0.2.1 proto static", "{tool} {change}");
        }
        machine.ok(&format!("systemctl stop {tool}; pkill dhclient || true"));
    }
    seen("eth0 static, eth1 on DHCP, ifupdown has both");
    seen("the same with dhcpcd");
    seen("the same with connman");
}

/// Only its unit reads the excluded links: `ifreload -a` by hand configures them.
#[test]
fn ifupdown2_keeps_the_link_left_to_it() {
    let machine = Machine::boot(
        "ifupdown2",
        &format!(
            "printf 'auto eth0\\niface eth0 inet dhcp\\nauto eth1\\niface eth1 inet dhcp\\n' >etc/network/interfaces
            cat >root/net.yaml <<'END'\n{}END\n",
            mixed()
        ),
    );
    // Its unit is not enabled in this tree, so that netapply would ask for the lease itself.
    machine.ok("netapply apply --no-verify --dhcp image /root/net.yaml");
    for change in ["start", "reload", "restart"] {
        machine.ok(&format!("systemctl {change} networking"));
        machine.until("ip -4 address show eth1 | grep -q 192.0.3.1");
        assert_eq!(machine.addresses("eth0"), ["192.0.2.10"], "{change}");
        let routes = machine.ok("ip route show default dev eth0");
        assert_eq!(routes.trim(), "default via 192.0.2.1 proto static", "{change}");
    }
    machine.ok("systemctl stop networking; pkill dhclient || true");
    assert_eq!(machine.addresses("eth0"), ["192.0.2.10"], "stop");
    seen("the same with ifupdown2");
}

/// It brings up what its own files say: netapply names the file before, and the check `other-tools` afterwards.
#[test]
fn wicked_is_named_unless_its_file_of_the_link_is_off() {
    let machine = Machine::boot(
        "wicked",
        "for link in eth0 eth1; do
            printf 'BOOTPROTO=dhcp\nSTARTMODE=auto\n' >etc/sysconfig/network/ifcfg-$link
        done
        mkdir -p etc/systemd/system/network-online.target.wants
        ln -s /lib/systemd/system/wicked.service etc/systemd/system/network-online.target.wants/",
    );
    let verified = || machine.run("netapply verify --wait=20 --json").1;
    let (status, output) = machine.apply(&mixed());
    assert_eq!(status, 0, "{output}");
    assert!(output.contains("/etc/sysconfig/network/ifcfg-eth0: remove"), "{output}");
    machine.ok("systemctl start wicked");
    machine.until("ip -4 address show eth0 | grep -q 192.0.2.10[0-9]");
    let report = verified();
    assert!(report.contains("\"tool-manages\"") && report.contains("wicked"), "{report}");

    machine.ok("systemctl stop wicked wickedd; sed -i s/auto/off/ /etc/sysconfig/network/ifcfg-eth0");
    let (_, output) = machine.apply(&mixed());
    assert!(!output.contains("wicked"), "{output}");
    for change in ["start", "reload", "restart"] {
        machine.ok(&format!("systemctl {change} wicked"));
        machine.until("ip -4 address show eth1 | grep -q 192.0.3.1");
        assert_eq!(machine.addresses("eth0"), ["192.0.2.10"], "{change}");
        let routes = machine.ok("ip route show default dev eth0");
        assert_eq!(routes.trim(), "default via 192.0.2.1 proto static", "{change}");
        let report = verified();
        assert!(!report.contains("tool-manages"), "{change}: {report}");
    }
    seen("wicked has a file of eth0 with STARTMODE=auto; with STARTMODE=off");
}

/// By its own state, at once.
#[test]
fn a_tool_that_takes_a_link_later_is_a_failed_check() {
    let takes = [
        (
            "NetworkManager",
            "full",
            "rm /run/NetworkManager/conf.d/00-netapply-eth0.conf; nmcli general reload
            nmcli device set eth0 managed yes
            nmcli connection add type ethernet ifname eth0 con-name own autoconnect no
            for i in $(seq 20); do nmcli connection up own && exit 0; sleep 0.5; done; exit 1",
        ),
        (
            "systemd-networkd",
            "full",
            "rm /run/systemd/network/*netapply-eth0.network; networkctl reload; networkctl reconfigure eth0",
        ),
        ("dhclient", "clients", "dhclient -nw eth0"),
    ];
    for (tool, tree, take) in takes {
        let machine = Machine::boot(
            tree,
            "printf '[Match]\\nName=eth*\\n[Network]\\nDHCP=yes\\n' >etc/systemd/network/00-eth0.network",
        );
        if tool != "dhclient" {
            machine.ok(&format!("systemctl start {tool}"));
        }
        applied(&machine, STATIC);
        let verified = || machine.run("netapply verify --wait=20 --json");
        let (_, report) = verified();
        assert!(!report.contains("tool-manages"), "{tool}: {report}");
        machine.ok(take);
        machine.until("ip -4 address show eth0 | grep -q 192.0.2.10[0-9]");
        let (status, report) = verified();
        assert_eq!(status, 1, "{tool}: {report}");
        // What is waited for is printed before.
        let (_, report) = report.split_once("\n{").expect("a report");
        let report: serde_json::Value = serde_json::from_str(&format!("{{{report}")).expect("a report");
        let causes = report["causes"].as_array().expect("causes");
        let named = causes.iter().any(|cause| {
            cause["code"] == "tool-manages"
                && cause["message"].as_str().is_some_and(|words| words.contains(tool))
        });
        assert!(named, "{tool}: {causes:#?}");
    }
    seen("a tool takes eth0 later, told by hand");
}

/// It has its name on the bus before its objects.
#[test]
fn a_network_manager_that_is_starting_is_waited_for() {
    let machine = Machine::boot("full", "");
    for _ in 0..5 {
        machine.ok("systemctl stop NetworkManager; netapply handoff --undo; ip address flush eth0");
        machine.ok("systemctl start NetworkManager");
        applied(&machine, STATIC);
        machine.until("nmcli -t -f DEVICE,STATE device | grep -q '^eth0:unmanaged$'");
        assert_eq!(machine.addresses("eth0"), ["192.0.2.10"]);
    }
    seen("NetworkManager is starting while netapply runs");
}

/// Its reload is refused as long as it has no name on the bus.
#[test]
fn a_networkd_that_is_starting_is_waited_for() {
    let machine = Machine::boot(
        "full",
        "printf '[Match]\\nName=eth*\\n[Network]\\nDHCP=yes\\n' >etc/systemd/network/00-eth0.network",
    );
    for _ in 0..5 {
        machine.run("systemctl stop systemd-networkd.socket systemd-networkd; ip address flush eth0");
        machine.ok("netapply handoff --undo; systemctl start --no-block systemd-networkd");
        applied(&machine, STATIC);
        machine.until("networkctl --no-legend list eth0 | grep -q unmanaged");
        assert_eq!(machine.addresses("eth0"), ["192.0.2.10"]);
    }
    seen("networkd is starting while netapply runs");
}

#[test]
fn a_link_local_name_server_keeps_its_link() {
    let description = STATIC.replace("192.0.2.53", "'fe80::53'");
    let machine = Machine::boot("full", "");
    applied(&machine, &description);
    machine.until(
        "grep -qx \"nameserver fe80::53%$(cat /sys/class/net/eth0/ifindex)\" /run/systemd/resolve/resolv.conf",
    );
    let plain = "rm etc/resolv.conf; echo nameserver 192.0.2.99 >etc/resolv.conf";
    let machine = Machine::boot("full", plain);
    applied(&machine, &description);
    machine.ok("grep -qx 'nameserver fe80::53%eth0' /etc/resolv.conf");
    seen("a link-local name server");
}

/// Started by hand, with a lease on the link, before netapply runs.
#[test]
fn a_client_that_has_the_link_already_lets_it_go() {
    for tool in ["dhcpcd", "connman"] {
        let machine = Machine::boot("clients", "echo nodev >>etc/dhcpcd.conf");
        machine.ok(&format!("systemctl start {tool}"));
        machine.until(
            "ip -4 address show eth0 | grep -q 192.0.2.1 && ip -4 address show eth1 | grep -q 192.0.3.1",
        );
        applied(&machine, &mixed());
        for change in ["true".to_owned(), format!("systemctl restart {tool}")] {
            machine.ok(&change);
            machine.until("ip -4 address show eth1 | grep -q 192.0.3.1");
            assert!(machine.addresses("eth0").contains(&"192.0.2.10".to_owned()), "{tool}, {change}");
            machine.ok("ip route show default dev eth0 | grep -q 'via 192.0.2.1 proto static'");
            let (_, report) = machine.run("netapply verify --wait=20 --json");
            assert!(report.contains("\"other-tools\""), "{tool}, {change}: {report}");
            assert!(!report.contains("tool-manages"), "{tool}, {change}: {report}");
        }
        let (_, output) = machine.apply(&mixed());
        assert!(output.contains("nothing to change"), "{tool}: {output}");
    }
    seen("dhcpcd or connman, started by hand, has eth0 with a lease");
}

/// The described server answers, and no program of the image asks it.
#[test]
fn a_server_that_programs_do_not_use_is_a_failed_check() {
    let resolved = |setting: &str| {
        format!(
            "mkdir -p etc/systemd/resolved.conf.d; printf '[Resolve]\\n{setting}\\n' >etc/systemd/resolved.conf.d/zz.conf"
        )
    };
    for (prepare, words) in [
        ("sed -i 's/^hosts:.*/hosts: files/' etc/nsswitch.conf".to_owned(), "`hosts: files`"),
        (resolved("DNSOverTLS=yes"), "DNSOverTLS=yes"),
        (resolved("DNSSEC=yes"), "DNSSEC=yes"),
    ] {
        let machine = Machine::boot("full", &prepare);
        applied(&machine, STATIC);
        assert!(!resolves(&machine), "{words}");
        let (status, output) = machine.run("netapply verify --wait=20");
        assert_eq!(status, 1, "{words}: {output}");
        let output: Vec<&str> = output.split_whitespace().collect();
        assert!(output.join(" ").contains(words), "{output:?}");
    }
    seen(
        "`hosts: files` in nsswitch.conf; resolved with `DNSOverTLS=yes` or `DNSSEC=yes`, and a server that cannot",
    );
}

/// A link whose steps fail goes back to its tool, however far that has released it.
#[test]
fn a_link_that_cannot_be_configured_goes_back_to_its_tool() {
    let machine = Machine::boot("full", "");
    machine.ok("systemctl start NetworkManager");
    machine.until("nmcli -t -f DEVICE,STATE device | grep -q ^eth0:connected");
    let (status, output) = machine.apply(&STATIC.replace("to: default,", "to: default, from: 198.51.100.9,"));
    assert_eq!(status, 5, "{output}");
    machine.until("nmcli -t -f DEVICE,STATE device | grep -q ^eth0:connected");
    machine.ok("! ls /run/netapply/links/eth0 /run/NetworkManager/conf.d/00-netapply-eth0.conf");
    seen("NetworkManager has eth0, and the kernel refuses a described route");
}

#[test]
fn names_resolve_for_every_target_of_resolv_conf() {
    for (state, prepare) in [
        ("resolved's stub", ""),
        (
            "a chain as on NixOS",
            "mkdir -p nix/etc; ln -s /nix/etc etc/static; ln -s /run/systemd/resolve/stub-resolv.conf nix/etc/resolv.conf
            ln -sf /etc/static/resolv.conf etc/resolv.conf",
        ),
        ("resolved masked", "ln -s /dev/null etc/systemd/system/systemd-resolved.service"),
        ("resolved disabled", "rm etc/systemd/system/*/systemd-resolved.service etc/systemd/system/dbus-*resolve1*"),
        ("resolved without D-Bus", "ln -s /dev/null etc/systemd/system/dbus.socket; ln -s /dev/null etc/systemd/system/dbus.service"),
        ("a target in /run that is not there yet", "ln -sf /run/other/resolv.conf etc/resolv.conf"),
        ("a plain file", "rm etc/resolv.conf; echo nameserver 192.0.2.99 >etc/resolv.conf"),
        ("no file", "rm etc/resolv.conf"),
    ] {
        let machine = Machine::boot("full", prepare);
        let before = machine.ok("readlink -m /etc/resolv.conf; cat /etc/resolv.conf || true");
        applied(&machine, STATIC);
        assert!(finds(&machine), "{state}: {}", machine.ok("ls -l /etc/resolv.conf; cat /etc/resolv.conf"));
        let (_, output) = machine.apply(STATIC);
        assert!(output.contains("nothing to change"), "{state}: {output}");
        machine.ok("netapply handoff --undo");
        machine.until("! getent ahostsv4 api.example");
        if !before.contains("127.0.0.53") {
            assert_eq!(machine.ok("readlink -m /etc/resolv.conf; cat /etc/resolv.conf || true"), before, "{state}");
        }
    }
    seen("resolv.conf leads to the stub; the same through `/etc/static` as on NixOS");
    seen("resolved masked or disabled; its D-Bus socket absent");
    seen("resolv.conf leads to a file in `/run` that is not there yet");
}

#[test]
fn resolvconf_has_the_servers_as_long_as_they_are_described() {
    for (tree, state, prepare) in [
        ("base", "openresolv", ""),
        (
            "base",
            "resolvconf=NO",
            "echo resolvconf=NO >>etc/resolvconf.conf; echo nameserver 192.0.2.99 >etc/resolv.conf",
        ),
        ("base", "resolv_conf elsewhere", "echo resolv_conf=/run/other >>etc/resolvconf.conf"),
        ("base", "allow_interfaces", "echo 'allow_interfaces=\"eth9\"' >>etc/resolvconf.conf"),
        ("resolvconf", "Debian's", "ln -sf /run/resolvconf/resolv.conf etc/resolv.conf"),
        (
            "resolvconf",
            "Debian's beside a plain file",
            "rm -f etc/resolv.conf; echo nameserver 192.0.2.99 >etc/resolv.conf",
        ),
    ] {
        let machine = Machine::boot(tree, prepare);
        applied(&machine, STATIC);
        assert!(finds(&machine), "{state}: {}", machine.ok("ls -l /etc/resolv.conf; cat /etc/resolv.conf"));
        // Without servers, and then without links: nothing of the first description is left.
        let mute = STATIC.replace("      nameservers: {addresses: [192.0.2.53], search: [example]}\n", "");
        for second in [mute.as_str(), "network: {version: 2}\n"] {
            applied(&machine, STATIC);
            machine.apply(second);
            assert!(!resolves(&machine), "{state}: {}", machine.ok("cat /etc/resolv.conf"));
            assert_eq!(
                machine.ok("find /run/resolvconf -name '*.netapply' 2>/dev/null || true"),
                "",
                "{state}"
            );
        }
    }
    seen("openresolv; with `resolvconf=NO`, `resolv_conf=/run/other`, `allow_interfaces`");
    seen("Debian's resolvconf; beside a plain file");
    seen("a second description without servers; without links");
}

#[test]
fn network_manager_writes_the_described_servers() {
    for (state, prepare) in [
        ("a plain file", "rm etc/resolv.conf; echo nameserver 192.0.2.99 >etc/resolv.conf"),
        ("its own file", "ln -sf /run/NetworkManager/resolv.conf etc/resolv.conf"),
        (
            "dns=default and rc-manager=file",
            "rm etc/resolv.conf; printf '[main]\\ndns=default\\nrc-manager=file\\n' >etc/NetworkManager/NetworkManager.conf",
        ),
    ] {
        let wants =
            "ln -s /lib/systemd/system/NetworkManager.service etc/systemd/system/multi-user.target.wants/
            ln -s /dev/null etc/systemd/system/systemd-resolved.service";
        let machine = Machine::boot("full", &format!("{prepare}\n{wants}"));
        machine.until("ip -4 address show eth1 | grep -q 192.0.3.1");
        applied(&machine, &mixed());
        for change in
            ["true", "nmcli device reapply eth1", "systemctl restart NetworkManager; nm-online -q -t 20"]
        {
            machine.ok(change);
            machine.until("ip -4 address show eth1 | grep -q 192.0.3.1");
            assert!(finds(&machine), "{state}, {change}: {}", machine.ok("cat /etc/resolv.conf"));
        }
    }
    seen("NetworkManager with a plain resolv.conf, with its own, with `dns=default` and `rc-manager=file`");
}

/// A failed hand-off costs nothing else: the network stays, the screen says which file and why, and there is no marker
/// for something that is missing.
#[test]
fn unwritable_files_are_named_and_have_no_marker() {
    let full = "mount -o remount,size=$(($(df --output=used -k /run | tail -n 1) + 8))k /run
        while echo x >>/run/filler; do :; done 2>/dev/null";
    let small =
        "mkdir /small; mount -t tmpfs -o size=8k tmpfs /small; echo nameserver 192.0.2.99 >/small/resolv.conf
        rm /etc/resolv.conf; touch /etc/resolv.conf; mount --bind /small/resolv.conf /etc/resolv.conf
        head -c 4k /dev/zero >/small/filler";
    let masked = "ln -s /dev/null etc/systemd/system/systemd-resolved.service";
    for (state, spoil, exit, words) in [
        ("/run full", full, 1, "No space left on device"),
        (
            "/run read-only",
            "mount --bind /run /run; mount -o remount,bind,ro /run",
            1,
            "Read-only file system",
        ),
        ("/etc read-only", "mount --bind /etc /etc; mount -o remount,bind,ro /etc", 0, "read-only"),
        ("a full disk behind resolv.conf", small, 0, "/etc/resolv.conf: No space left on device"),
        (
            "resolv.conf a folder",
            "rm /etc/resolv.conf; mkdir /etc/resolv.conf",
            0,
            "/etc/resolv.conf is not a file",
        ),
        (
            "resolv.conf immutable",
            "rm /etc/resolv.conf; echo >/etc/resolv.conf; chattr +i /etc/resolv.conf",
            0,
            "/etc/resolv.conf is read-only",
        ),
    ] {
        let machine = Machine::boot(
            "full",
            &format!("{masked}\nrm etc/resolv.conf; echo nameserver 192.0.2.99 >etc/resolv.conf"),
        );
        machine.run(spoil);
        // More than the page that the file has.
        let label = "x".repeat(60);
        let domains: Vec<String> = (0..40).map(|n| format!("d{n}.{label}.{label}.example")).collect();
        let many = STATIC.replace("search: [example]", &format!("search: [{}]", domains.join(", ")));
        let (status, output) = machine.apply(if state.contains("disk") { &many } else { STATIC });
        assert_eq!(status, exit, "{state}: {output}");
        assert!(output.contains(words), "{state}: {output}");
        assert!(!output.contains("kernel refused"), "{state}: {output}");
        assert_eq!(machine.addresses("eth0"), ["192.0.2.10"], "{state}");
        if state.starts_with("/run") {
            machine.ok("! ls /run/netapply/applied /run/netapply/links/eth0");
        }
        if state.contains("disk") {
            assert_eq!(machine.ok("cat /etc/resolv.conf"), "nameserver 192.0.2.99\n", "{state}");
        }
        machine.run("chattr -i /etc/resolv.conf");
    }
    seen("`/run` full or read-only");
    seen("`/etc` read-only; resolv.conf a folder, immutable, or mounted from a full disk");
}

/// The .deb, installed by dpkg into the root with cloud-init: the next boot configures what a seed describes, both
/// units succeed, and nothing stays enabled once the package is removed.
#[test]
fn the_debian_package_installs_boots_and_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (root, out) = (env!("CARGO_MANIFEST_DIR"), folder.path().display());
    let script = format!(
        "strip -o {out}/netapply {}
        export DEBFULLNAME=Somebody DEBEMAIL=somebody@example.com
        {root}/release/deb {out}/netapply $(dpkg --print-architecture) {out}",
        env!("CARGO_BIN_EXE_netapply")
    );
    let made = std::process::Command::new("bash").args(["-ec", &script]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let package = String::from_utf8(made.stdout).unwrap();
    let description = r#"{"links": [{"id": "nic", "type": "phy", "ethernet_mac_address": "02:00:00:00:00:00"}],
        "networks": [{"id": "net", "link": "nic", "type": "ipv4", "ip_address": "192.0.2.10", "netmask": "255.255.255.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}]}],
        "services": [{"type": "dns", "address": "192.0.2.53"}]}"#;
    // Files from systemd/install are removed first, so that only the package's own count.
    let machine = Machine::boot(
        "full",
        &format!(
            "find usr/lib/systemd usr/bin -name '*netapply*' -delete
            cp {} netapply.deb
            chroot . dpkg --install /netapply.deb
            mkdir -p config-drive/openstack/latest
            echo '{description}' >config-drive/openstack/latest/network_data.json",
            package.trim()
        ),
    );
    machine.ok("systemctl is-active netapply.service");
    machine.ok("systemctl start network-online.target && systemctl is-active netapply-wait-online.service");
    assert_eq!(machine.addresses("eth0"), ["192.0.2.10"]);
    assert!(resolves(&machine), "{}", machine.ok("netapply report"));
    assert_eq!(machine.ok("dpkg --verify netapply | grep -v /usr/share/ || true"), "");
    machine.ok("test -e /usr/lib/dracut/modules.d/50netapply/module-setup.sh");
    machine.ok("dpkg --remove netapply");
    assert_eq!(machine.ok("find /etc/systemd /usr/lib/systemd /usr/bin -name '*netapply*'"), "");
}

/// What a namespace supports: no bond, no VLAN.
const CONVERTED: &str = "network:
  version: 2
  ethernets:
    eth0:
      mtu: 1400
      accept-ra: false
      addresses:
        - 192.0.2.10/24
        - 198.51.100.1/32
        - '2001:db8::10/64': {lifetime: 0}
        - '2001:db8::11/64'
      routes:
        - {to: default, via: 192.0.2.1, metric: 50}
        - {to: 203.0.113.0/24, via: 198.18.0.1, on-link: true, table: 100, from: 192.0.2.10}
        - {to: 10.9.0.0/16, type: blackhole}
        - {to: '2001:db8:1::/48', via: '2001:db8::1', mtu: 1300}
      routing-policy:
        - {from: 192.0.2.10, table: 100, priority: 1000, mark: 7}
        - {to: '2001:db8:2::/48', table: 101, priority: 1001, type-of-service: 16}
    eth1: {}
  bridges:
    br0:
      interfaces: [eth1]
      macaddress: '02:00:00:00:00:99'
      addresses: [192.0.3.10/24]
      parameters: {stp: false, ageing-time: 120, priority: 4096, path-cost: {eth1: 77}}
  virtual-ethernets:
    v0: {peer: v1, addresses: [172.16.0.1/30]}
    v1: {peer: v0}
  tunnels:
    vx0: {mode: vxlan, id: 7, link: eth0, remote: 192.0.2.20, port: 4790, mac-learning: false}
";

/// The described parts of the network, from ip(8): links with their options, addresses, routes and rules.
fn described(machine: &Machine) -> Vec<String> {
    let json = |command: &str| -> Vec<serde_json::Value> {
        serde_json::from_str(&machine.ok(&format!("ip -j -d {command}"))).unwrap()
    };
    let mut lines = Vec::new();
    for link in json("address show") {
        let options = [
            "/mtu",
            "/address",
            "/master",
            "/linkinfo/info_kind",
            "/linkinfo/info_data/ageing_time",
            "/linkinfo/info_data/priority",
            "/linkinfo/info_data/stp_state",
            "/linkinfo/info_data/id",
            "/linkinfo/info_data/link",
            "/linkinfo/info_data/remote",
            "/linkinfo/info_data/port",
            "/linkinfo/info_data/learning",
            "/linkinfo/info_slave_data/cost",
        ];
        let is_random = ["v0", "v1", "vx0"].contains(&link["ifname"].as_str().unwrap());
        for option in options.iter().filter(|option| !(is_random && **option == "/address")) {
            lines.extend(link.pointer(option).map(|value| format!("{} {option} {value}", link["ifname"])));
        }
        for address in link["addr_info"].as_array().unwrap().iter().filter(|a| a["scope"] == "global") {
            let parts = ["local", "prefixlen", "broadcast", "label", "preferred_life_time"];
            let parts: Vec<String> = parts.iter().map(|part| format!("{part} {}", address[part])).collect();
            lines.push(format!("{} {}", link["ifname"], parts.join(" ")));
        }
    }
    let others = [
        (
            "-4 route show table all",
            &["type", "dst", "gateway", "dev", "metric", "table", "prefsrc", "metrics"][..],
        ),
        (
            "-6 route show table all",
            &["type", "dst", "gateway", "dev", "metric", "table", "prefsrc", "metrics"],
        ),
        ("-4 rule", &["priority", "src", "dst", "table", "fwmark", "tos"]),
        ("-6 rule", &["priority", "src", "dst", "table", "fwmark", "tos"]),
    ];
    for (command, parts) in others {
        for entry in json(command).iter().filter(|entry| entry["protocol"] != "kernel") {
            let parts: Vec<String> = parts.iter().map(|part| format!("{part} {}", entry[part])).collect();
            lines.push(format!("{command} {}", parts.join(" ")));
        }
    }
    lines.sort();
    lines
}

/// The output of `convert --to networkd` creates the same network as netapply itself, according to the kernel.
#[test]
fn networkd_makes_of_what_was_converted_what_netapply_makes() {
    let own = Machine::boot("full", "true");
    own.ok("systemctl stop systemd-networkd.socket systemd-networkd 2>/dev/null; true");
    applied(&own, CONVERTED);
    own.until("[ -z \"$(ip -6 address show tentative)\" ]");
    let theirs = Machine::boot("full", "rm -f etc/systemd/network/*");
    theirs.ok(&format!("cat >/root/net.yaml <<'END'\n{CONVERTED}END"));
    theirs.ok("netapply convert --strict --to networkd --output /etc/systemd/network /root/net.yaml");
    theirs.ok("systemctl restart systemd-networkd");
    for link in ["eth0", "br0", "v0", "vx0"] {
        theirs.until(&format!("networkctl --no-legend list {link} | grep -q configured"));
    }
    theirs.until("[ -z \"$(ip -6 address show tentative)\" ]");
    let unknown =
        theirs.ok("journalctl -u systemd-networkd -o cat | grep -i 'unknown\\|invalid\\|failed' || true");
    assert_eq!(unknown, "");
    same("networkd", &described(&own), &described(&theirs));
}

/// What a tool makes otherwise of [`CONVERTED`], whatever is written for it: the row of docs/convert.md, and the lines of
/// [`described`] that netapply and the tool have alone.
const OWN: &[(&str, &str, &[&str], &[&str])] = &[(
    "ifupdown",
    "a /32 has itself as its broadcast address, a /31 255.255.255.255",
    &[
        r#""eth0" local "198.51.100.1" prefixlen 32 broadcast null label "eth0" preferred_life_time 4294967295"#,
    ],
    &[
        r#""eth0" local "198.51.100.1" prefixlen 32 broadcast "198.51.100.1" label "eth0" preferred_life_time 4294967295"#,
    ],
)];

/// Fails where netapply and another tool made different networks of a description, apart from what is the tool's own.
#[track_caller]
fn same(tool: &str, ours: &[String], theirs: &[String]) {
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|line| !b.contains(line)).cloned().collect()
    };
    let (mut left, mut right) = (only(ours, theirs), only(theirs, ours));
    for (_, what, we, they) in OWN.iter().filter(|(of, ..)| *of == tool) {
        let documented = include_str!("../docs/convert.md").contains(&format!("| {tool} | {what} |"));
        assert!(documented, "not in docs/convert.md: {tool}: {what}");
        for (lines, own) in [(&mut left, we), (&mut right, they)] {
            let known = lines.iter().filter(|line| own.contains(&line.as_str())).count();
            assert_eq!(known, own.len(), "{tool} has no longer: {what}: {lines:#?}");
            lines.retain(|line| !own.contains(&line.as_str()));
        }
    }
    assert!(left.is_empty() && right.is_empty(), "netapply alone: {left:#?}\n{tool} alone: {right:#?}");
    assert!(ours.len() > 20, "{ours:#?}");
}

/// The machine that netapply itself makes of a description.
fn made(description: &str) -> Machine {
    let own = Machine::boot("full", "true");
    own.ok("systemctl stop systemd-networkd.socket systemd-networkd 2>/dev/null; true");
    applied(&own, description);
    own.until("[ -z \"$(ip -6 address show tentative)\" ]");
    own
}

/// NetworkManager's folder of connections.
const CONNECTIONS: &str = "/etc/NetworkManager/system-connections";

/// The machine that NetworkManager makes of a description, which is in /root/net.yaml where `write` makes connections of it.
fn made_by_network_manager(description: &str, write: impl FnOnce(&Machine)) -> Machine {
    let machine = Machine::boot("full", "rm -f etc/systemd/network/*");
    machine.ok("systemctl stop systemd-networkd.socket systemd-networkd 2>/dev/null; true");
    machine.ok(&format!("cat >/root/net.yaml <<'END'\n{description}END"));
    write(&machine);
    machine.ok("systemctl start NetworkManager");
    for link in ["eth0", "eth1", "br0", "v0", "v1", "vx0"] {
        machine.until(&format!("nmcli -t -f DEVICE,STATE device | grep -q '^{link}:connected'"));
    }
    machine.until("[ -z \"$(ip -6 address show tentative)\" ]");
    machine
}

/// What `convert --to keyfile` writes makes the network that netapply itself makes, by the kernel's own word.
#[test]
fn network_manager_makes_of_what_was_converted_what_netapply_makes() {
    // NetworkManager has no lifetimes, and sets the cost of a port in /sys, which is read-only in a container.
    let description = CONVERTED
        .replace("        - '2001:db8::10/64': {lifetime: 0}\n", "")
        .replace(", path-cost: {eth1: 77}", "");
    let own = made(&description);
    let theirs = made_by_network_manager(&description, |machine| {
        machine.ok(&format!("netapply convert --to keyfile --output {CONNECTIONS} /root/net.yaml"));
    });
    let unknown = theirs.ok(
        "journalctl -u NetworkManager -o cat | grep -i 'keyfile.*\\(invalid\\|ignor\\|unknown\\)' || true",
    );
    assert_eq!(unknown, "");
    same("NetworkManager", &described(&own), &described(&theirs));
}

/// Everything that `convert` writes of testdata, below /root of a machine.
fn every_case(machine: &Machine, tool: &str) -> usize {
    let mut written = 0;
    for case in harness::cases::cases() {
        let name = harness::cases::name(&case).replace('/', "_");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_netapply"))
            .args(["convert", "--to", tool, "--output"])
            .arg(machine.root().join("root").join(tool).join(name))
            .arg(&case)
            .output()
            .expect("netapply runs");
        written += usize::from(matches!(output.status.code(), Some(0 | 3)));
    }
    written
}

/// Runs a script for what is below /root of each case, its folder in `$case`, some cases at a time: no script may run long.
fn for_each_case(machine: &Machine, tool: &str, script: &str) -> String {
    let folders = machine.ok(&format!("ls -d {tool}/*"));
    let folders: Vec<&str> = folders.lines().collect();
    let some =
        |cases: &[&str]| machine.ok(&format!("for case in {}; do\n{script}\ndone\ntrue", cases.join(" ")));
    folders.chunks(20).map(some).collect()
}

/// NetworkManager takes every connection that is written of testdata, and drops no key of it but those that say what is so
/// anyway.
#[test]
fn network_manager_reads_every_case() {
    let machine = Machine::boot("full", "true");
    assert!(every_case(&machine, "keyfile") > 100);
    let lost = for_each_case(
        &machine,
        "keyfile",
        r#"keys() { awk '/^\[/{s=$0} /=/{print s " " $0}' "$1"; }
        for f in $case/*.nmconnection; do
            nmcli --offline connection modify connection.zone trusted <"$f" >/tmp/out 2>/tmp/err || echo "$f: $(cat /tmp/err)"
            keys "$f" | sed 's/=.*//' | sort -u >/tmp/a; keys /tmp/out | sed 's/=.*//' | sort -u >/tmp/b
            comm -23 /tmp/a /tmp/b | while read -r key; do keys "$f" | grep -F "$key="; done
        done"#,
    );
    let usual = [
        "[ethernet] auto-negotiate=false",
        "[ip-tunnel] encapsulation-limit=0",
        "[bridge] stp=true",
        "[bridge] forward-delay=15",
        "[bridge] hello-time=2",
        "[bridge] max-age=20",
        "[bridge] ageing-time=300",
        "[bridge] vlan-default-pvid=1",
        "[bridge-port] priority=32",
        "[bridge-port] path-cost=100",
        "[vxlan] learning=true",
        "[vxlan] rsc=false",
    ];
    let dropped: BTreeSet<&str> = lost.lines().filter(|line| !usual.contains(line)).collect();
    assert!(dropped.is_empty(), "{dropped:#?}");
}

/// ifupdown takes what is written of every case, and makes of a description what netapply makes.
#[test]
fn ifupdown_makes_of_what_was_converted_what_netapply_makes() {
    // Its bridges need bridge-utils, which are not in this tree.
    let (before, after) = CONVERTED.split_once("  bridges:\n").expect("bridges");
    let (_, after) = after.split_once("  virtual-ethernets:\n").expect("what follows them");
    let description = format!("{before}  virtual-ethernets:\n{after}");
    let own = made(&description);
    let theirs = Machine::boot("clients", "rm -f etc/systemd/network/*");
    theirs.ok("systemctl stop systemd-networkd.socket systemd-networkd 2>/dev/null; mkdir -p /run/network");
    assert!(every_case(&theirs, "eni") > 100);
    let refused = theirs.ok(
        "for f in eni/*/interfaces; do
            ifup --no-act --all --force --no-scripts -i $f >/tmp/out 2>&1 || echo \"$f: $(tail -n 2 /tmp/out)\"
        done",
    );
    assert_eq!(refused, "");
    let (status, _) = theirs.run("printf 'iface eth0 inet nonsense\n' >x; ifup --no-act --all -i x");
    assert_ne!(status, 0, "what it refuses is an error");
    theirs.ok(&format!("cat >/root/net.yaml <<'END'\n{description}END"));
    theirs.ok("netapply convert --to eni --output /etc/network /root/net.yaml && ifup --all");
    theirs.until("[ -z \"$(ip -6 address show tentative)\" ]");
    same("ifupdown", &described(&own), &described(&theirs));
}

/// What Debian's netplan (0.106) does not know yet, or leaves to NetworkManager.
const NEWER: &[&str] = &[
    "unknown key 'hairpin'",
    "unknown key 'ra-overrides'",
    "unknown key 'dummy-devices'",
    "unknown key 'virtual-ethernets'",
    "unknown key 'advertised-mss'",
    "Invalid MAC address 'permanent'",
    "missing 'local' property for tunnel",
    "ipv6-address-generation mode is not supported by networkd",
];

/// netplan takes what is written of every case without an error of its own, and makes files for networkd of it.
#[test]
fn netplan_reads_every_case() {
    let machine = Machine::boot("netplan", "true");
    assert!(every_case(&machine, "netplan") > 100);
    let refused = for_each_case(
        &machine,
        "netplan",
        r#"case $case in *_error-*) continue ;; esac
            [ -e $case/50-netapply.yaml ] || continue
            rm -rf r; mkdir -p r/etc/netplan; cp $case/50-netapply.yaml r/etc/netplan/
            netplan generate --root-dir /root/r >out 2>&1 || echo "$case: $(tr '\n' ' ' <out)""#,
    );
    let is_known = |line: &&str| NEWER.iter().any(|what| line.contains(what));
    let refused: Vec<&str> = refused.lines().filter(|line| !is_known(line)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}
