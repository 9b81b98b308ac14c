//! cloud-init v1, interfaces files and context.sh side by side, each link as one line. Plans are in testdata.

use crate::format::parse;
use crate::model::{Activation, Desired, DesiredMac, DhcpOptions, Link, NamePattern, Naming};

/// The desired network, and the diagnostics.
fn read(text: &str) -> (Vec<String>, Vec<String>) {
    let parsed = parse(vec![("text".into(), text.into())]);
    let diags = parsed.diagnostics.iter().map(|d| format!("{}: {} {}", d.at.line, d.code, d.message));
    (show(&parsed.desired), diags.collect())
}

fn show(desired: &Desired) -> Vec<String> {
    let mut lines: Vec<String> = desired.links.iter().map(line).collect();
    let servers = desired.resolver.servers.iter().map(|s| s.value.to_string());
    let search = desired.resolver.search.iter().map(|s| s.value.clone());
    let all: Vec<String> = servers.chain(search).collect();
    if !all.is_empty() {
        lines.push(format!("resolver {}", all.join(" ")));
    }
    lines.extend(desired.rules.iter().map(|r| format!("rule table {}", r.table)));
    lines
}

/// `bond0 bond (eth0 eth1) mode=802.3ad 192.0.2.1/24 default via …`.
fn line(link: &Link) -> String {
    let mut words = vec![link.id.clone(), link.kind.noun().to_owned()];
    if let Some(mac) = link.select.mac {
        words.push(format!("={}", mac.value));
    }
    if let Some(name) = &link.select.name {
        if let NamePattern::Exact(name) = &name.value {
            words.push(format!("={name}"));
        }
    }
    words.extend(link.select.position.map(|n| format!("#{n}")));
    if link.select.implied {
        words.push("implied".into());
    }
    match &link.naming {
        Naming::Alternative(name) => words.push(format!("altname={}", name.value)),
        Naming::Set(name) if name.value.as_str() != link.id => words.push(format!("name={}", name.value)),
        _ => {}
    }
    match link.mac.map(|m| m.value) {
        Some(DesiredMac::Is(mac)) => words.push(format!("mac={mac}")),
        Some(_) => words.push("mac=random".into()),
        None => {}
    }
    words.extend(link.parent.as_ref().map(|p| format!("on={}", p.value)));
    words.extend(link.members.iter().map(|m| format!("+{}", m.value)));
    words.extend(link.settings.0.iter().map(|(name, v)| format!("{name}={}", v.value)));
    words.extend(link.port.0.iter().map(|(name, v)| format!("port.{name}={}", v.value)));
    words.extend(link.mtu.map(|m| format!("mtu={}", m.value)));
    words.extend(link.ipv6.mtu.map(|m| format!("mtu6={}", m.value)));
    words.extend(link.ipv6.accept_ra.map(|a| format!("ra={}", a.value)));
    words.extend(link.dynamic.iter().map(|d| d.value.words().to_owned()));
    for address in &link.addresses {
        let peer = address.peer.map_or(String::new(), |p| format!(" peer {p}"));
        let label = address.label.as_ref().map_or(String::new(), |l| format!(" label {l}"));
        words.push(format!("{}{peer}{label}", address.net));
    }
    for route in &link.routes {
        let via = route.via.map_or(String::new(), |v| format!(" via {v}"));
        let metric = route.metric.map_or(String::new(), |m| format!(" metric {m}"));
        let on_link = if route.on_link { " onlink" } else { "" };
        words.push(format!("[{}{via}{metric}{on_link}]", route.to));
    }
    words.extend(link.resolver.servers.iter().map(|s| format!("dns={}", s.value)));
    words.extend(link.resolver.search.iter().map(|s| format!("search={}", s.value)));
    if link.activation != Activation::Up {
        words.push("not up".into());
    }
    words.join(" ")
}

#[test]
fn a_bond_with_a_vlan_and_a_bridge_reads_alike_in_both_formats() {
    let v1 = "
version: 1
config:
- {type: physical, name: eth0, mac_address: 'BC:24:11:00:00:01'}
- {type: physical, name: eth1, mac_address: 'BC:24:11:00:00:02', mtu: 9000}
- type: bond
  name: bond0
  mac_address: 'bc:24:11:00:00:01'
  bond_interfaces: [eth0, eth1]
  mtu: 9000
  params: {bond-mode: 4, bond_miimon: '100', lacp_rate: fast, bond-xmit-hash-policy: layer3+4}
- type: vlan
  name: bond0.100
  vlan_link: bond0
  vlan_id: '100'
- type: bridge
  name: br0
  bridge_interfaces: [bond0.100]
  params: {bridge_stp: 'off', bridge_fd: 0, bridge_pathcost: ['bond0.100 50'], bridge_maxwait: 0}
  subnets:
  - type: static
    address: 192.0.2.10
    netmask: 255.255.255.0
    gateway: 192.0.2.1
    metric: 100
    dns_nameservers: 192.0.2.53 2001:db8::53
    dns_search: [example.lan]
    routes:
    - {network: 10.0.0.0, netmask: 255.0.0.0, gateway: 192.0.2.254}
";
    let eni = "
auto eth0 eth1 bond0 br0
iface eth0 inet manual
    hwaddress ether BC:24:11:00:00:01
    bond-master bond0
    bond-mode 4
iface eth1 inet manual
    hwaddress BC:24:11:00:00:02
    mtu 9000
    bond-master bond0
iface bond0 inet manual
    hwaddress bc:24:11:00:00:01
    bond-slaves none
    bond_miimon 100
    bond-lacp-rate 1
    bond-xmit-hash-policy layer3+4
    mtu 9000
iface bond0.100 inet manual
iface br0 inet static
    address 192.0.2.10/24
    gateway 192.0.2.1
    metric 100
    bridge_ports bond0.100
    bridge_stp off
    bridge_fd 0
    bridge_maxwait 0
    bridge_pathcost bond0.100 50
    dns-nameservers 192.0.2.53 2001:db8::53
    dns-search example.lan
    up route add -net 10.0.0.0 netmask 255.0.0.0 gw 192.0.2.254 || true
";
    let lines = [
        "eth0 NIC =bc:24:11:00:00:01 mtu=9000",
        "eth1 NIC =bc:24:11:00:00:02 mtu=9000",
        "bond0 bond mac=bc:24:11:00:00:01 +eth0 +eth1 lacp_rate=fast miimon=100 mode=802.3ad \
         xmit_hash_policy=layer3+4 mtu=9000",
        "bond0.100 VLAN on=bond0 id=100 port.cost=50",
        "br0 bridge +bond0.100 forward_delay=0 stp_state=0 192.0.2.10/24 [0.0.0.0/0 via 192.0.2.1 metric 100] \
         [10.0.0.0/8 via 192.0.2.254] dns=192.0.2.53 dns=2001:db8::53 search=example.lan",
    ];
    let (from_v1, diags) = read(v1);
    let without_notes: Vec<String> =
        from_v1.iter().map(|l| l.replace(" altname=eth0", "").replace(" altname=eth1", "")).collect();
    assert_eq!(without_notes, lines);
    let diags: Vec<&str> = diags.iter().map(String::as_str).collect();
    assert_eq!(
        diags,
        [
            "19: no-effect \"bridge_maxwait\" has no effect here: netapply waits for what it needs, within its own bounds"
        ]
    );
    let (from_eni, diags) = read(eni);
    assert_eq!(from_eni, lines);
    let diags: Vec<&str> = diags.iter().map(String::as_str).collect();
    assert_eq!(
        diags,
        [
            "26: no-effect \"bridge-maxwait\" has no effect here: netapply waits for what it needs, within its own bounds"
        ]
    );
}

#[test]
fn v1_reads_what_its_writers_mean() {
    for (items, expected, messages) in [
        // PyYAML parses this address as a number in base 60.
        (
            "- {type: physical, name: eth0, mac_address: 52:54:00:12:34:56}",
            vec!["eth0 NIC =52:54:00:12:34:56 altname=eth0"],
            vec!["odd-number mac_address 52:54:00:12:34:56 is not quoted, and YAML 1.1 reads it as a number"],
        ),
        (
            "- {type: physical, name: eth3}",
            vec!["eth3 NIC =eth3 #3"],
            vec!["no-mac \"eth3\" has no mac_address: matching its NIC by name"],
        ),
        (
            "- {type: physical, mac_address: 'bc:24:11:00:00:01', mtu: null, subnets: null}",
            vec!["bc:24:11:00:00:01 NIC =bc:24:11:00:00:01"],
            vec![],
        ),
        (
            "- type: infiniband\n  name: ib0\n  \
             mac_address: '80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1'",
            vec!["ib0 NIC =80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1 altname=ib0"],
            vec![],
        ),
        (
            "- type: loopback\n  name: lo\n  subnets: [{type: loopback, dns_nameservers: [192.0.2.53]}]",
            vec!["resolver 192.0.2.53"],
            vec![
                "loopback-ignored lo is set up by the kernel; netapply leaves it alone",
                "no-links the description has no link",
            ],
        ),
        (
            "- {type: bond, name: bond0, bond_interfaces: [eth0, eth1], params: {bond-mode: 1, bond-primary: eth1, \
             bond-miimon: 100}}",
            vec![
                "bond0 bond +eth0 +eth1 miimon=100 mode=active-backup primary=eth1",
                "eth0 NIC =eth0 #0 implied",
                "eth1 NIC =eth1 #1 implied",
            ],
            vec![
                "implied-link \"eth0\" has no item of its own; \"bond0\" uses the interface eth0",
                "implied-link \"eth1\" has no item of its own; \"bond0\" uses the interface eth1",
            ],
        ),
        (
            "- {type: physical, name: a, mac_address: 'bc:24:11:00:00:01', subnets: [{type: static, \
             address: 192.0.2.2/24}]}\n- {type: physical, name: b, mac_address: 'bc:24:11:00:00:02', subnets: [{type: \
             static, address: 198.51.100.2/24}]}\n- {type: route, destination: 10.0.0.0/8, gateway: 198.51.100.1}\n\
             - {type: route, destination: 10.0.0.0/9, gateway: 203.0.113.1}\n\
             - {type: nameserver, interface: b, address: 192.0.2.53, search: [lan]}\n\
             - {type: nameserver, interface: c, address: [192.0.2.54]}",
            vec![
                "a NIC =bc:24:11:00:00:01 altname=a 192.0.2.2/24",
                "b NIC =bc:24:11:00:00:02 altname=b 198.51.100.2/24 [10.0.0.0/8 via 198.51.100.1] dns=192.0.2.53 search=lan",
                "resolver 192.0.2.54",
            ],
            vec![
                "no-link-for-network the route to 10.0.0.0/9 names no link, and no link reaches its gateway 203.0.113.1",
                "dangling-reference a nameserver item belongs to \"c\", and no link has this name",
            ],
        ),
        (
            "- {type: physical, name: eth0, mac_address: 'bc:24:11:00:00:01', subnets: [{type: manual, control: \
             manual}, {type: static6, address: '2001:db8::2', mtu: 1400, control: manual}]}",
            vec!["eth0 NIC =bc:24:11:00:00:01 altname=eth0 mtu6=1400 2001:db8::2/64 not up"],
            vec!["assumed-prefix address 2001:db8::2 has no prefix length or netmask: /64 was assumed"],
        ),
        (
            "- {type: physical, name: eth0, mac_address: 'bc:24:11:00:00:01', subnets: [{type: static, address: \
             192.0.2.2, pointopoint: 192.0.2.1, gateway: 192.0.2.1}]}",
            vec![
                "eth0 NIC =bc:24:11:00:00:01 altname=eth0 192.0.2.2/32 peer 192.0.2.1/32 [0.0.0.0/0 via 192.0.2.1]",
            ],
            vec![],
        ),
        (
            "- {type: vlan, name: v, vlan_link: eth0, vlan_id: 4095}\n- {type: vlan, name: w, vlan_id: 2}",
            vec![],
            vec![
                "nothing",
                "bad-value vlan_id \"4095\": expected a number from 0 to 4094",
                "missing-key VLAN \"w\" has no vlan_link, left out",
                "nothing-usable nothing in the description can be used: see the errors",
            ],
        ),
    ] {
        let (lines, diags) = read(&format!("version: 1\nconfig:\n{items}\n"));
        assert_eq!(lines, expected, "{items}\n{diags:#?}");
        let messages: Vec<&str> = messages.into_iter().filter(|m| *m != "nothing").collect();
        let diags: Vec<&str> = diags.iter().map(|s| s.split_once(' ').unwrap().1).collect();
        assert_eq!(diags, messages, "{items}");
    }
}

#[test]
fn interfaces_text_as_people_write_it() {
    for (text, expected, messages) in [
        (
            "auto eth0 eth0:1\niface eth0 inet static\n address 192.0.2.2\n netmask 255.255.255.0\n\
             iface eth0:1 inet static\n address 192.0.2.3/24\niface eth0 inet6 auto\n",
            vec!["eth0 NIC =eth0 #0 ra=true router advertisements 192.0.2.2/24 192.0.2.3/24 label eth0:1"],
            vec![],
        ),
        (
            "allow-hotplug ens18\niface ens18\n address 192.0.2.2/24\n address 2001:db8::2/64\n gateway 192.0.2.1\n",
            vec!["ens18 NIC =ens18 192.0.2.2/24 2001:db8::2/64 [0.0.0.0/0 via 192.0.2.1]"],
            vec![],
        ),
        (
            "auto vlan7\niface vlan7 inet manual\n vlan-raw-device eth0\nauto eth0.8\niface eth0.8 inet dhcp\n\
             auto lan\niface lan inet manual\n vlan-raw-device eth0\n vlan-id 9\n vlan-protocol 802.1ad\n",
            vec![
                "vlan7 VLAN on=eth0 id=7",
                "eth0.8 VLAN on=eth0 id=8 DHCP",
                "lan VLAN on=eth0 id=9 protocol=802.1ad",
                "eth0 NIC =eth0 #0 implied",
            ],
            vec![],
        ),
        (
            "auto /en*\niface eno1 inet dhcp\niface eth0 inet dhcp\nauto eth7\n",
            vec!["eno1 NIC =eno1 DHCP", "eth0 NIC =eth0 #0 DHCP not up"],
            vec![
                "not-brought-up no auto or allow-hotplug line names \"eth0\": it is not brought up",
                "dangling-reference \"eth7\" is to be brought up, but no iface stanza describes it",
            ],
        ),
        (
            "auto bond0\niface bond0 inet dhcp\n bond-slaves eth0 eth1\n bond-mode active-backup\n bond-miimon 100\n \
             bond-primary eth1 eth0\n",
            vec![
                "bond0 bond +eth0 +eth1 miimon=100 mode=active-backup primary=eth1 DHCP",
                "eth0 NIC =eth0 #0 implied",
                "eth1 NIC =eth1 #1 implied",
            ],
            vec![],
        ),
        (
            "auto eth0\niface eth0 inet static\n address 192.0.2.2/24\n up ip route add 10.0.0.0/8 via 192.0.2.1\n \
             post-up ip rule add from 192.0.2.2 table 7\n up ip route add default via 192.0.2.1 table 7\n \
             pre-up iptables-restore /etc/rules\n down ip route del 10.0.0.0/8\n up ip link set eth9 mtu 9000\n",
            vec![
                "eth0 NIC =eth0 #0 192.0.2.2/24 [10.0.0.0/8 via 192.0.2.1] [0.0.0.0/0 via 192.0.2.1]",
                "rule table 7",
            ],
            vec![
                "command-ignored the command \"iptables-restore …\" of \"eth0\" is not executed",
                "no-effect \"down\" has no effect here: netapply does not take interfaces down",
                "dangling-reference the command names \"eth9\", which has no stanza",
            ],
        ),
        (
            "source /etc/network/interfaces.d/*\nallow-usb usb0\nmtu 1500\nauto eth0\niface eth0 inet bootp\n\
             iface eth0 can static\niface\niface eth0 inet satic\n",
            vec![],
            vec![
                "unsupported \"source\" is not supported: other files are not read",
                "no-effect \"allow-usb\" has no effect here: only ifup --allow brings these up",
                "unknown-key unknown key \"mtu\" in interfaces text outside a stanza, ignored",
                "unsupported \"eth0\": method bootp cannot be configured, left out",
                "unsupported \"eth0\": address family can cannot be configured, left out",
                "missing-key iface without the name of an interface",
                "unsupported \"eth0\": method satic cannot be configured, left out",
                "nothing-usable nothing in the description can be used: see the errors",
            ],
        ),
        (
            "auto lo\niface lo inet loopback\n up ip addr add 127.0.0.2/8 dev lo\n",
            vec![],
            vec![
                "loopback-ignored lo is set up by the kernel; netapply leaves it alone",
                "no-links the description has no link",
            ],
        ),
    ] {
        let (lines, diags) = read(text);
        assert_eq!(lines, expected, "{text}\n{diags:#?}");
        let diags: Vec<&str> = diags.iter().map(|s| s.split_once(' ').unwrap().1).collect();
        assert_eq!(diags, messages, "{text}");
    }
}

#[test]
fn what_an_interfaces_text_says_to_its_dhcp_client() {
    let text = "auto eth0\niface eth0 inet dhcp\n hostname node1\n client 01:02:03\n vendor v\n leasehours 2\n metric 7\n\
                auto eth1\niface eth1 inet dhcp\n leasetime 90\n leasehours 2\n hostname no$name\n\
                auto eth2\niface eth2 inet manual\n vendor v\n";
    let parsed = parse(vec![("interfaces".into(), text.into())]);
    let of = |at: usize| parsed.desired.links[at].dhcp4.clone();
    let expected = DhcpOptions {
        host_name: Some("node1".to_owned()),
        client_id: Some(vec![1, 2, 3]),
        vendor_class: Some("v".to_owned()),
        lifetime: Some(7200),
        metric: Some(7),
        ..DhcpOptions::default()
    };
    assert_eq!(of(0), expected);
    assert_eq!(of(1), DhcpOptions { lifetime: Some(90), ..DhcpOptions::default() });
    let messages: Vec<&str> = parsed.diagnostics.iter().map(|d| d.message.as_str()).collect();
    let wrong = "hostname \"no$name\": a name has at most 63 letters, digits, hyphens and dots";
    let useless = "\"vendor\" has no effect here: the stanza does not ask for DHCP";
    assert!(messages.contains(&wrong) && messages.contains(&useless), "{messages:?}");
    let v1 = "version: 1\nconfig:\n- {type: physical, name: eth0, subnets: [{type: dhcp4, metric: 9}]}\n";
    let parsed = parse(vec![("network-config".into(), v1.into())]);
    assert_eq!(parsed.desired.links[0].dhcp4.metric, Some(9));
}

#[test]
fn a_missing_parent_or_member_remembers_the_link_that_its_name_resembles() {
    let v1 = "version: 1\nconfig:\n- {type: physical, name: eth0, mac_address: '02:00:00:00:00:01'}\n\
              - {type: bond, name: bond0, bond_interfaces: [eth0], params: {bond-mode: 1, bond-miimon: 100}}\n\
              - {type: vlan, name: v5, vlan_link: bond1, vlan_id: 5}\n";
    let eni = "auto uplink0\niface uplink0 inet manual\n bond-slaves eth0\n bond-mode 4\n\
               auto br0\niface br0 inet dhcp\n bridge_ports uplink1\n";
    for (text, missing, similar) in [(v1, "bond1", "bond0"), (eni, "uplink1", "uplink0")] {
        let parsed = parse(vec![("text".into(), text.into())]);
        let link = parsed.desired.links.iter().find(|link| link.id == missing).unwrap();
        assert_eq!((link.select.implied, link.select.similar.as_deref()), (true, Some(similar)));
    }
}

#[test]
fn context_variables_in_every_spelling() {
    for (text, expected, messages) in [
        (
            "ETH0_MAC='02:00:c0:00:02:0a'\nETH0_IP='192.0.2.10'\nETH0_MASK='255.255.255.0'\nETH0_NETWORK='192.0.2.0'\n\
             ETH0_GATEWAY='192.0.2.1'\nETH0_METRIC='50'\nETH0_DNS='192.0.2.53'\nETH0_SEARCH_DOMAIN='lan'\n\
             ETH0_ROUTES='10.0.0.0/8 via 192.0.2.2, 198.51.100.0/24 via 192.0.2.3'\nETH0_MTU='1400'\n\
             ETH0_ALIAS0_IP='192.0.2.11'\nETH0_ALIAS0_MASK='255.255.255.0'\n\
             ETH0_ALIAS1_IP='192.0.2.12'\nETH0_ALIAS1_EXTERNAL='YES'\n",
            vec![
                "eth0 NIC =02:00:c0:00:02:0a mtu=1400 192.0.2.10/24 192.0.2.11/24 [0.0.0.0/0 via 192.0.2.1 metric 50] \
                 [10.0.0.0/8 via 192.0.2.2] [198.51.100.0/24 via 192.0.2.3] dns=192.0.2.53 search=lan",
            ],
            vec!["no-effect \"NETWORK\" has no effect here: it follows from address and mask"],
        ),
        (
            "ETH1_METHOD=dhcp\nETH1_IP6_METHOD=auto\nETH0_IP6=2001:db8::2\nETH0_IP6_PREFIX_LENGTH=56\n\
             ETH0_IP6_ULA=fd00::2\nETH0_IP6_GATEWAY=2001:db8::1\nETH2_METHOD=skip\nETH2_IP6_METHOD=disable\n\
             ETH3_METHOD=dhcp\n",
            vec![
                "eth0 NIC =eth0 #0 2001:db8::2/56 fd00::2/64 [::/0 via 2001:db8::1]",
                "eth1 NIC =eth1 #1 ra=true DHCP router advertisements",
                "eth2 NIC =eth2 #2 ra=false",
                "eth3 NIC =eth3 #3 ra=true DHCP DHCPv6 router advertisements",
            ],
            vec![],
        ),
        (
            "ETH0_IP=192.0.2.1/24\nETH0_IP=192.0.2.2/24\nETH0_FOO=1\nROOT_PASSWORD=secret\nETH0_METHOD=fixed\nreboot now\n",
            vec!["eth0 NIC =eth0 #0 192.0.2.2/24"],
            vec![
                "duplicate-key ETH0_IP is set twice (first on line 1); the last value is used",
                "unknown-key unknown key \"FOO\" in ETHn_…, ignored",
                "bad-value METHOD \"fixed\": expected one of static, dhcp, skip",
                "command-ignored \"reboot\" sets no variable, not executed",
                "no-effect ignored 1 variables unrelated to networking: ROOT_PASSWORD",
            ],
        ),
    ] {
        let (lines, diags) = read(text);
        assert_eq!(lines, expected, "{text}\n{diags:#?}");
        let diags: Vec<&str> = diags.iter().map(|s| s.split_once(' ').unwrap().1).collect();
        assert_eq!(diags, messages, "{text}");
    }
}
