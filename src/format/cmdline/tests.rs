use super::*;
use crate::format::parse;
use crate::model::{Dynamic, IfName};

fn links(text: &str) -> (Vec<Link>, Vec<String>) {
    let parsed = parse(vec![("cmdline".into(), text.into())]);
    let diags = parsed.diagnostics.iter().map(|d| format!("{} {}", d.code, d.message)).collect();
    (parsed.desired.links, diags)
}

fn one(text: &str) -> Link {
    let (mut links, diags) = links(text);
    assert_eq!(links.len(), 1, "{text}: {diags:?}");
    links.remove(0)
}

fn dynamic(link: &Link) -> Vec<Dynamic> {
    link.dynamic.iter().map(|d| d.value).collect()
}

fn addresses(link: &Link) -> Vec<String> {
    let peer = |a: &crate::model::Address| a.peer.map(|p| format!(" peer {p}")).unwrap_or_default();
    link.addresses.iter().map(|a| format!("{}{}", a.net, peer(a))).collect()
}

#[test]
fn every_method_of_an_interface() {
    use Dynamic::{Dhcp4, Dhcp6, RouterAdvertisements};
    for (word, expected) in [
        ("dhcp", &[Dhcp4][..]),
        ("on", &[Dhcp4]),
        ("any", &[Dhcp4]),
        ("single-dhcp", &[Dhcp4]),
        ("dhcp6", &[Dhcp6, RouterAdvertisements]),
        ("auto6", &[RouterAdvertisements]),
        ("either6", &[RouterAdvertisements, Dhcp6]),
        ("link6", &[]),
        ("none", &[]),
        ("dhcp,dhcp6", &[Dhcp4, Dhcp6, RouterAdvertisements]),
    ] {
        let link = one(&format!("ip=eth0:{word}"));
        assert_eq!(dynamic(&link), expected, "{word}");
        let long = one(&format!("ip=:::::eth0:{word}"));
        assert_eq!(dynamic(&long), expected, "{word}");
    }
    assert_eq!(one("ip=eth0:link6").ipv6.accept_ra.map(|ra| ra.value), Some(false));
    let (_, diags) = links("ip=eth0:bootp ip=eth1:dhpc");
    assert!(diags[0].starts_with("unsupported ip \"bootp\""), "{diags:?}");
    assert!(diags.iter().any(|d| d.starts_with("bad-")), "{diags:?}");
}

#[test]
fn an_mtu_and_a_mac_address_or_name_servers_follow_the_method() {
    let link = one("ip=eth0:dhcp:9000:52:54:00:00:00:09");
    assert_eq!(link.mtu.unwrap().value.get(), 9000);
    assert!(link.mac.is_some());
    let link = one("ip=192.0.2.2::192.0.2.1:24:h:eth0:none::52-54-00-00-00-09");
    assert!(link.mtu.is_none() && link.mac.is_some());
    let link = one("ip=[2001:db8::2]::[2001:db8::1]:64::eth0:none:[2001:db8::53]:192.0.2.53:192.0.2.123");
    let servers: Vec<String> = link.resolver.servers.iter().map(|s| s.value.to_string()).collect();
    assert_eq!(servers, ["2001:db8::53", "192.0.2.53"]);
    assert_eq!(addresses(&link), ["2001:db8::2/64"]);
    let link = one("ip=192.0.2.2:::24::eth0:none::192.0.2.54");
    assert_eq!(link.resolver.servers.len(), 1);
}

#[test]
fn a_far_end_is_told_from_a_boot_server() {
    let shown = |text: &str| addresses(&one(text));
    // klibc and the kernel: the server with the root file system.
    assert_eq!(shown("ip=192.0.2.2:192.0.2.9:192.0.2.1:255.255.255.0:h:eth0:off"), ["192.0.2.2/24"]);
    assert_eq!(
        shown("ip=192.0.2.2:198.51.100.1::255.255.255.255::eth0:none"),
        ["192.0.2.2/32 peer 198.51.100.1/32"]
    );
    assert_eq!(shown("ip=192.0.2.2:198.51.100.0/24::24::eth0:none"), ["192.0.2.2/24 peer 198.51.100.0/24"]);
}

#[test]
fn klibc_leaves_fields_at_the_end_out() {
    let link = one("ip=192.0.2.2::192.0.2.1:255.255.255.0:host:eth0");
    assert_eq!((addresses(&link), dynamic(&link)), (vec!["192.0.2.2/24".to_owned()], vec![]));
    let link = one("ip=::192.0.2.1:255.255.255.0:host:eth0");
    assert_eq!(dynamic(&link), [Dynamic::Dhcp4]);
    assert_eq!(links("ip=off").0.len(), 0);
}

#[test]
fn an_address_without_an_interface_is_the_boot_nics() {
    let address = "ip=192.0.2.2::192.0.2.1:24::none";
    let text = format!("{} BOOTIF=01-52-54-00-00-00-01", address.replace("::none", ":::none"));
    let link = one(&text);
    assert_eq!(link.select.mac.unwrap().value.to_string(), "52:54:00:00:00:01");
    assert_eq!(addresses(&link), ["192.0.2.2/24"]);
    let link = one(&format!("{text} rd.bootif=0"));
    assert!(link.select.mac.is_none() && link.select.name.is_some());
    let link = one(&format!("{text} bootdev=ens3"));
    assert_eq!(link.id, "ens3");
    // A bond is the only link that can be meant.
    let (links, diags) = links("ip=192.0.2.2::192.0.2.1:24:::none bond=bond0:a,b:mode=1");
    assert_eq!(addresses(&links[0]), ["192.0.2.2/24"], "{diags:?}");
}

#[test]
fn dhcp_for_all_is_no_description_by_itself() {
    for text in ["ip=dhcp", "ip=on quiet", "ip=auto6 rd.neednet=1"] {
        let parsed = parse(vec![("cmdline".into(), text.into())]);
        assert!(parsed.desired.links.is_empty(), "{text}");
        assert!(
            crate::diagnostic::worst(&parsed.diagnostics) <= Some(crate::diagnostic::Severity::Warning),
            "{text}"
        );
    }
    let (links, _) = links("ip=dhcp bond=bond0:a,b:mode=1 vlan=bond0.5:bond0");
    let asked: Vec<(&str, usize)> = links.iter().map(|l| (l.id.as_str(), l.dynamic.len())).collect();
    assert_eq!(asked, [("bond0", 0), ("bond0.5", 1), ("a", 0), ("b", 0)]);
}

#[test]
fn vlans_are_numbered_in_decimal_by_the_end_of_their_name() {
    for (name, id) in [("vlan5", 5), ("vlan0010", 10), ("eth0.5", 5), ("eth0.0010", 10), ("storage20", 20)] {
        let (links, _) = links(&format!("vlan={name}:eth0"));
        assert_eq!((links[0].id.as_str(), links[0].settings.number("id")), (name, Some(id)));
    }
    for wrong in ["vlan=eth0:eth0:x", "vlan=5:eth0", "vlan=vlan:eth0", "vlan=vlan4095:eth0", "vlan=eth0.5"] {
        assert_eq!(links(wrong).0.len(), 0, "{wrong}");
    }
}

#[test]
fn bonds_in_every_form() {
    let members = |link: &Link| link.members.iter().map(|m| m.value.clone()).collect::<Vec<_>>();
    for bare in ["bond", "bond=", "bond=bond0"] {
        let (links, _) = links(&format!("{bare} ip=bond0:dhcp"));
        assert_eq!(
            (links[0].id.as_str(), members(&links[0])),
            ("bond0", vec!["eth0".into(), "eth1".into()]),
            "{bare}"
        );
    }
    let (links, diags) = links(
        "bond=lag:a,b:mode=active-backup,arp_interval=100,arp_ip_target=192.0.2.1;192.0.2.3,primary=a:9000",
    );
    assert_eq!(diags.len(), 0, "{diags:?}");
    assert_eq!(
        links[0].naming,
        Naming::Set(Located::new(IfName::new("lag").unwrap(), Place { column: 6, ..links[0].at }))
    );
    assert_eq!(links[0].mtu.unwrap().value.get(), 9000);
    assert_eq!(links[0].settings.word("mode"), Some("active-backup"));
    assert_eq!(links[0].settings.0.len(), 4);
}

#[test]
fn a_team_takes_its_addresses_along() {
    let (links, diags) = links("team=team0:a,b ip=team0:dhcp rd.route=198.51.100.0/24:192.0.2.1:team0");
    assert!(links.is_empty());
    let codes: Vec<&str> = diags.iter().filter_map(|d| d.split(' ').next()).collect();
    assert_eq!(codes, ["unsupported", "left-out", "left-out", "nothing-usable"]);
}
