//! Hand-offs on images built by hand: what is written, what each file depends on, and that a second run writes nothing.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::inventory::{Inventory, ObservedLink};
use crate::machine::Machine;
use crate::model::{Address, Dynamic, Link, Located, Match, Place, Route};
use crate::plan::{Action, Manager, Service, StepId, plan};
use crate::resolve::{DhcpIdentity, Missing, resolve};

fn at() -> Place {
    Place { file: 0, line: 1, column: 1 }
}

fn nic(index: u32, name: &str, mac: &str) -> ObservedLink {
    let mac = mac.parse().ok();
    ObservedLink {
        index,
        name: name.into(),
        mac,
        permanent_mac: mac,
        layer: "ether".into(),
        mtu: 1500,
        ..ObservedLink::default()
    }
}

fn machine() -> Inventory {
    let links = vec![nic(2, "eth0", "02:00:00:00:00:0a"), nic(3, "eth1", "02:00:00:00:00:0b")];
    Inventory { links, ..Inventory::default() }
}

fn by_mac(id: &str, mac: &str) -> Link {
    let mut link = Link::new(id, Kind::Physical, at());
    link.select = Match { mac: Some(Located::new(mac.parse().unwrap(), at())), ..Match::default() };
    link
}

/// eth0 with an address, a default route and a name server.
fn uplink_nic() -> Link {
    let mut link = by_mac("nic", "02:00:00:00:00:0a");
    link.addresses.push(Address::new("192.0.2.10/24".parse().unwrap(), at()));
    let via = Some("192.0.2.1".parse().unwrap());
    link.routes.push(Route::new("0.0.0.0/0".parse().unwrap(), via, at()));
    link.resolver.servers.push(Located::new("192.0.2.53".parse().unwrap(), at()));
    link.resolver.search.push(Located::new("example.lan".into(), at()));
    link
}

/// eth1, left to DHCP.
fn dynamic_nic() -> Link {
    let mut link = by_mac("lan", "02:00:00:00:00:0b");
    link.dynamic.push(Located::new(Dynamic::Dhcp4, at()));
    link
}

struct Told {
    plan: Plan,
    notes: Vec<String>,
}

impl Told {
    fn of(links: &[Link], hostname: Option<&str>, surroundings: &Surroundings) -> Told {
        Told::on(&machine(), links, hostname, surroundings)
    }

    fn on(machine: &Inventory, links: &[Link], hostname: Option<&str>, surroundings: &Surroundings) -> Told {
        let desired = Desired { links: links.to_vec(), ..Desired::default() };
        let (resolved, _) = resolve(&desired, machine, Missing::Report);
        let mut plan = plan(&resolved, machine);
        let notes = add(&mut plan, &desired, &resolved, hostname, surroundings);
        Told { plan, notes }
    }

    fn actions(&self) -> impl Iterator<Item = &Action> {
        let hostname = |a: &Action| matches!(a, Action::Sysctl { key, .. } if key == "kernel/hostname");
        let actions = self.plan.steps.iter().map(|step| &step.action);
        actions.filter(move |action| action.is_handoff() || hostname(action))
    }

    fn paths(&self) -> Vec<&str> {
        self.actions().filter_map(written).map(|(path, _)| path).collect()
    }

    fn content(&self, wanted: &str) -> &str {
        let found = self.actions().filter_map(written).find(|(path, _)| *path == wanted);
        found.unwrap_or_else(|| panic!("{wanted} is not written")).1
    }

    /// The steps that this file depends on.
    fn needs(&self, wanted: &str) -> &[crate::plan::StepId] {
        let is = |step: &&crate::plan::Step| matches!(&step.action, Action::WriteFile { path, .. } if path == wanted);
        &self.plan.steps.iter().find(is).unwrap().needs
    }

    /// The surroundings once all steps are done.
    fn after(&self, before: &Surroundings) -> Surroundings {
        let mut after = before.clone();
        for action in self.actions() {
            match action {
                Action::WriteFile { path, content } => {
                    if path == record::RECORD {
                        after.record = serde_json::from_str(content).unwrap();
                    }
                    after.files.insert(path.clone(), content.clone());
                }
                Action::RemoveFile { path } => {
                    if path == record::RECORD {
                        after.record = Record::default();
                    }
                    after.files.remove(path);
                }
                Action::Resolvconf { record, content, .. } => {
                    let path = format!("/run/resolvconf/interface/{record}");
                    match content {
                        Some(content) => after.files.insert(path, content.clone()),
                        None => after.files.remove(&path),
                    };
                }
                Action::Manage { link, by, on: false } => {
                    after.managed.remove(&(link.clone(), *by));
                }
                Action::Refresh(_) | Action::Manage { .. } => {}
                Action::Sysctl { value, .. } => after.hostname = Some(value.clone()),
                other => panic!("no step of a hand-off: {other:?}"),
            }
        }
        after
    }
}

/// Path and content of a written file.
fn written(action: &Action) -> Option<(&str, &str)> {
    match action {
        Action::WriteFile { path, content } => Some((path, content)),
        _ => None,
    }
}

/// A resolv.conf that is a dangling link to this path.
fn leads_to(path: &str) -> ResolvConf {
    ResolvConf { links: vec!["/etc/resolv.conf".into()], path: path.into(), ..ResolvConf::default() }
}

/// resolvconf(8) without settings.
fn openresolv(settings: &[(&str, &str)]) -> Option<Resolvconf> {
    let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Some(Resolvconf { program: "/sbin/resolvconf".into(), debian: false, settings })
}

/// An image with everything in it.
fn full() -> Surroundings {
    Surroundings {
        resolv_conf: leads_to("/run/systemd/resolve/stub-resolv.conf"),
        resolved: Presence::Enabled,
        networkd: Presence::Enabled,
        network_manager: Presence::Enabled,
        cloud_init: true,
        ..Surroundings::default()
    }
}

#[test]
fn a_static_nic_is_left_alone_by_all_tools() {
    let told = Told::of(&[uplink_nic()], Some("web1.example.lan"), &full());
    assert_eq!(
        told.paths(),
        [
            "/run/netapply/handoff.json",
            "/run/systemd/resolved.conf.d/50-netapply.conf",
            "/run/NetworkManager/conf.d/00-netapply-eth0.conf",
            "/run/systemd/network/00-netapply-eth0.network",
            "/run/netapply/links/eth0",
            "/run/systemd/networkd.conf.d/50-netapply.conf",
            "/run/cloud-init/cloud.cfg",
            APPLIED,
        ]
    );
    let resolved = told.content("/run/systemd/resolved.conf.d/50-netapply.conf");
    assert!(resolved.ends_with("[Resolve]\nDNS=192.0.2.53\nDomains=example.lan\n"), "{resolved}");
    let last = told.actions().last().unwrap();
    assert_eq!(*last, Action::Sysctl { key: "kernel/hostname".into(), value: "web1".into() });
    // The marker depends on address and route, and says which link it is for.
    assert!(told.needs("/run/netapply/links/eth0").len() >= 3);
    assert_eq!(told.content("/run/netapply/links/eth0"), "nic\n");
}

#[test]
fn a_second_run_tells_nothing() {
    let hosts = [
        full(),
        Surroundings::default(),
        Surroundings {
            resolv_conf: ResolvConf { access: Access::ReadOnly, end: End::File, ..ResolvConf::default() },
            ..full()
        },
        Surroundings { resolv_conf: ResolvConf::default(), resolvconf: openresolv(&[]), ..full() },
        Surroundings { resolv_conf: leads_to("/run/NetworkManager/resolv.conf"), ..full() },
        Surroundings { initramfs: true, dracut: true, ..full() },
        Surroundings {
            connman: Presence::Enabled,
            dhcpcd: Presence::Enabled,
            ifupdown: Presence::Enabled,
            ..full()
        },
        Surroundings {
            networkd: Presence::Running,
            network_manager: Presence::Running,
            managed: [Manager::Networkd, Manager::NetworkManager].map(|m| ("eth0".into(), m)).into(),
            ..full()
        },
    ];
    for before in hosts {
        let links = [uplink_nic(), dynamic_nic()];
        let first = Told::of(&links, Some("web1"), &before);
        assert!(first.actions().next().is_some());
        let second = Told::of(&links, Some("web1"), &first.after(&before));
        assert_eq!(second.actions().collect::<Vec<_>>(), Vec::<&Action>::new(), "{before:?}");
    }
}

#[test]
fn a_link_left_to_dhcp_stays_with_the_image() {
    let told = Told::of(&[uplink_nic(), dynamic_nic()], None, &full());
    assert!(told.paths().contains(&"/run/netapply/links/eth0"));
    assert!(!told.paths().iter().any(|path| path.contains("eth1")), "{:?}", told.paths());
    // Tools that manage all links or none have to start.
    assert!(!told.paths().contains(&APPLIED) && !told.paths().contains(&"/run/cloud-init/cloud.cfg"));
}

/// The next client asks as netapply did, so that it gets the same lease.
#[test]
fn the_image_s_client_is_told_who_the_link_is() {
    const ETHER: &str = "[Match]\nType=ether\nName=!lo*\n[Network]\nDHCP=yes\n";
    let with = |client_id: &[u8], surroundings: &Surroundings| {
        let desired = Desired { links: vec![dynamic_nic()], ..Desired::default() };
        let (mut resolved, _) = resolve(&desired, &machine(), Missing::Report);
        let client_id = client_id.to_vec();
        resolved.links[0].identity =
            Some(DhcpIdentity { client_id, duid: vec![0, 4, 7, 0xff], iaid: 9, leased: true });
        let mut plan = plan(&resolved, &machine());
        let notes = add(&mut plan, &desired, &resolved, None, surroundings);
        Told { plan, notes }
    };
    let told = |surroundings: &Surroundings| with(&[1, 2, 0, 0, 0, 0, 0xb], surroundings);
    let files =
        |files: &[(&str, &str)]| files.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
    let own = files(&[
        ("10-masked.network", ""),
        ("20-eth0.network", "[Match]\nName=eth0 wl*\n"),
        // As systemd has them for others: one false condition is enough.
        ("30-6rd-tunnel.network", "[Match]\nName=6rd-*\nType=sit\n"),
        ("30-container-host0.network", "[Match]\nVirtualization=container\nName=host0\n"),
        ("30-container-vz.network", "[Match]\nKind=bridge\nName=vz-*\n"),
        ("30-wifi-adhoc.network", "[Match]\nType=wlan\nWLANInterfaceType=ad-hoc\n"),
        ("80-e.network", ETHER),
    ]);
    let before = Surroundings { dhcpcd: Presence::Enabled, network_files: own, ..full() };
    let first = told(&before);
    let manager = first.content("/run/NetworkManager/conf.d/00-netapply-eth1.conf");
    assert!(
        manager.ends_with(
            "\n[connection-netapply-eth1]\nmatch-device=interface-name:eth1\nipv4.dhcp-client-id=01:02:00:00:00:00:0b\n\
             ipv4.dhcp-iaid=9\nipv6.dhcp-duid=00:04:07:ff\nipv6.dhcp-iaid=9\n"
        ),
        "{manager}"
    );
    let networkd = first.content("/run/systemd/network/00-netapply-eth1.network");
    assert!(
        networkd.ends_with(
            "\n[Match]\nName=eth1\n[Network]\nDHCP=yes\n\n[DHCPv4]\nClientIdentifier=mac\n\n[DHCPv6]\nDUIDType=uuid\n\
             DUIDRawData=07:ff\nIAID=9\n"
        ),
        "{networkd}"
    );
    let dhcpcd = first.content(DHCPCD);
    let block = "interface eth1\nclientid 01:02:00:00:00:00:0b\niaid 9\n";
    assert!(dhcpcd.ends_with(&format!("\nduid 00:04:07:ff\n{block}")), "{dhcpcd}");
    // A second run, once they run, changes nothing; one that ran before is left alone.
    let running = |surroundings: Surroundings| Surroundings {
        networkd: Presence::Running,
        network_manager: Presence::Running,
        dhcpcd: Presence::Running,
        ..surroundings
    };
    assert_eq!(told(&running(first.after(&before))).actions().count(), 0);
    let late = told(&running(before.clone()));
    assert!(late.paths().iter().all(|path| !path.contains("eth1") && *path != DHCPCD), "{:?}", late.paths());
    assert_eq!(first.notes, Vec::<String>::new());
    // What else decides which file networkd takes is not guessed at, but said.
    let second =
        "is not told who eth1 is to DHCP servers: it may get a second address beside netapply's lease.";
    for (name, text, file) in [
        ("15-x.network", "[Match]\nDriver=virtio_net\n", "15-x.network"),
        ("15-x.network", "[Match]\nName=eth0\nName=eth1\n", "15-x.network"),
        ("15-x.network", "[Match]\nType=!loopback\n", "15-x.network"),
        ("80-e.network.d", "", "80-e.network"),
    ] {
        let mut other = before.clone();
        other.network_files.insert(name.into(), text.into());
        let told = told(&other);
        assert!(!told.paths().iter().any(|path| path.ends_with("eth1.network")), "{name}");
        let why = "has drop-ins, or conditions besides Name= and Type=, so systemd-networkd";
        assert_eq!(told.notes, [format!("{file} {why} {second}")]);
    }
    let described = with(b"\0node-7", &before).notes;
    assert_eq!(described, [format!("systemd-networkd cannot send the described client ID, and {second}")]);
    let none = Surroundings { networkd: Presence::Absent, network_manager: Presence::Masked, ..full() };
    assert_eq!(told(&none).notes, [format!("the image's DHCP client {second}")]);
}

#[test]
fn a_bond_on_dhcp_gets_a_client() {
    let mut bond = Link::new("bond0", Kind::Bond, at());
    bond.members.push(Located::new("nic".into(), at()));
    bond.dynamic.push(Located::new(Dynamic::Dhcp4, at()));
    let links = [by_mac("nic", "02:00:00:00:00:0a"), bond];
    let told = Told::of(&links, None, &full());
    let text = told.content("/run/systemd/network/zz-netapply-bond0.network");
    assert!(text.contains("Name=bond0\n") && text.contains("DHCP=ipv4\n"), "{text}");
    assert!(told.paths().contains(&"/run/systemd/network/00-netapply-eth0.network"));

    let told = Told::of(&links, None, &Surroundings { networkd: Presence::Absent, ..full() });
    assert_eq!(
        told.notes,
        ["bond0 asks for DHCP, which is left to the image: see that its DHCP client takes a bond."]
    );
}

#[test]
fn a_missing_nic_leaves_links_to_the_image() {
    let mut lost = uplink_nic();
    lost.id = "lost".into();
    lost.select.mac = Some(Located::new("02:00:00:00:00:ff".parse().unwrap(), at()));
    let told = Told::of(&[uplink_nic(), lost.clone()], None, &full());
    assert!(told.paths().contains(&"/run/netapply/links/eth0") && !told.paths().contains(&APPLIED));
    lost.optional = true;
    assert!(Told::of(&[uplink_nic(), lost.clone()], None, &full()).paths().contains(&APPLIED));
    // Nothing usable: not a single file.
    assert_eq!(Told::of(&[lost], Some("web1"), &full()).plan.steps, []);
}

#[test]
fn a_bond_with_a_missing_member_is_created() {
    let mut bond = Link::new("bond0", Kind::Bond, at());
    bond.members = ["nic", "lost"].iter().map(|m| Located::new((*m).to_owned(), at())).collect();
    bond.addresses = uplink_nic().addresses;
    let links = [by_mac("nic", "02:00:00:00:00:0a"), by_mac("lost", "02:00:00:00:00:ff"), bond];
    assert!(Told::of(&links, None, &full()).paths().contains(&APPLIED));
}

#[test]
fn leftovers_of_an_earlier_description_are_removed() {
    let mut before = full();
    for path in [
        "/run/netapply/links/eth7",
        "/run/systemd/network/00-netapply-eth7.network",
        "/run/NetworkManager/conf.d/00-netapply-dns.conf",
        APPLIED,
        // Another program's.
        "/tmp/net.eth7.up",
        "/run/resolvconf/interface/eth7.dhcp",
    ] {
        before.files.insert(path.into(), String::new());
    }
    let told = Told::of(&[uplink_nic(), dynamic_nic()], None, &before);
    let removed: Vec<&str> = told
        .actions()
        .filter_map(|action| match action {
            Action::RemoveFile { path } => Some(path.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        removed,
        [
            "/run/NetworkManager/conf.d/00-netapply-dns.conf",
            APPLIED,
            "/run/netapply/links/eth7",
            "/run/systemd/network/00-netapply-eth7.network",
        ]
    );
}

#[test]
fn a_plain_resolv_conf_keeps_what_is_not_described() {
    let mut before = Surroundings::default();
    let present = "search old.example\nnameserver 198.51.100.1\noptions edns0 timeout:1\n";
    before.files.insert("/etc/resolv.conf".into(), present.into());
    let told = Told::of(&[uplink_nic()], None, &before);
    let text = told.content("/etc/resolv.conf");
    assert!(text.ends_with("search example.lan\nnameserver 192.0.2.53\noptions edns0 timeout:1\n"), "{text}");

    let mut many = uplink_nic();
    many.resolver.search.clear();
    many.resolver.servers =
        (1..=4).map(|n| Located::new(format!("192.0.2.{n}").parse().unwrap(), at())).collect();
    let told = Told::of(&[many], None, &before);
    let text = told.content("/etc/resolv.conf");
    assert!(text.contains("search old.example\n") && !text.contains("192.0.2.4"), "{text}");
    assert_eq!(told.notes, ["The description has 4 name servers; programs ask the first 3."]);
}

#[test]
fn cloud_init_is_configured_next_to_its_generators_result() {
    let mut before = full();
    let found = "datasource_list: [ NoCloud, None ]\n";
    before.files.insert("/run/cloud-init/cloud.cfg".into(), found.into());
    let told = Told::of(&[uplink_nic()], None, &before);
    assert_eq!(
        told.content("/run/cloud-init/cloud.cfg"),
        "datasource_list: [ NoCloud, None ]\nnetwork: {config: disabled}\n"
    );
    before.files.insert("/run/cloud-init/cloud.cfg".into(), "network:\n  version: 2\n".into());
    assert!(!Told::of(&[uplink_nic()], None, &before).paths().contains(&"/run/cloud-init/cloud.cfg"));
}

#[test]
fn a_host_name_is_set_only_if_there_is_none() {
    let steps = |hostname: &str, surroundings: &Surroundings| {
        let told = Told::of(&[uplink_nic()], Some(hostname), surroundings);
        let names =
            told.actions().filter(|a| matches!(a, Action::Sysctl { key, .. } if key == "kernel/hostname"));
        (names.count(), told.notes.len())
    };
    assert_eq!(steps("web1", &full()), (1, 0));
    assert_eq!(steps("web1", &Surroundings { hostname: Some("there".into()), ..full() }), (0, 0));
    assert_eq!(steps("web1", &Surroundings { ipa: true, ..full() }), (0, 0));
    assert_eq!(steps("web1", &Surroundings { initramfs: true, ..full() }), (0, 0));
    assert_eq!(steps("web 1\nx", &full()), (0, 1));
}

#[test]
fn dracuts_own_files_are_written() {
    let surroundings = Surroundings {
        initramfs: true,
        dracut: true,
        networkd: Presence::Enabled,
        ..Surroundings::default()
    };
    let told = Told::of(&[uplink_nic()], Some("web1"), &surroundings);
    assert_eq!(told.content("/tmp/net.ifaces"), "eth0\n");
    assert_eq!(told.content("/tmp/net.eth0.did-setup"), "");
    assert!(told.content("/tmp/net.eth0.resolv.conf").contains("nameserver 192.0.2.53\n"));
    // The following system may have systemd-resolved; the initramfs itself has a file.
    assert!(told.paths().contains(&"/run/systemd/resolved.conf.d/50-netapply.conf"));
    assert!(told.paths().contains(&"/etc/resolv.conf"));
}

/// A machine whose image has these units, each started by multi-user.target.
struct Image(tempfile::TempDir);

impl Image {
    fn new(units: &[&str]) -> Image {
        let image = Image(tempfile::tempdir().unwrap());
        for unit in units {
            image.put(&format!("usr/lib/systemd/system/{unit}"), "[Unit]\n");
            image.link(&format!("etc/systemd/system/multi-user.target.wants/{unit}"), "/x");
        }
        fs::create_dir_all(image.0.path().join("etc")).unwrap();
        image
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn put(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let _ = fs::remove_file(self.path(path));
        symlink(target, self.path(path)).unwrap();
    }

    fn observe(&self) -> Surroundings {
        Surroundings::observe(&Machine::below(self.0.path()))
    }

    /// Where name servers go, in words.
    fn destination(&self) -> String {
        format!("{:?}", resolver::destination(&self.observe(), "eth0.netapply"))
    }
}

#[test]
fn name_servers_are_written_to_resolv_confs_target() {
    const RESOLVED: &str = "systemd-resolved.service";
    // The link dangles until the program has started; NixOS has two links more.
    let image = Image::new(&[RESOLVED]);
    image.link("etc/static", "/nix/store/etc");
    image.link("nix/store/etc/resolv.conf", "/run/systemd/resolve/stub-resolv.conf");
    let absent = Image::new(&[]);
    let masked = Image::new(&[RESOLVED]);
    masked.link(&format!("etc/systemd/system/{RESOLVED}"), "/dev/null");
    let disabled = Image::new(&[]);
    disabled.put(&format!("usr/lib/systemd/system/{RESOLVED}"), "[Unit]\n");
    for target in [
        "../run/systemd/resolve/stub-resolv.conf",
        "/run/systemd/resolve/resolv.conf",
        "/etc/static/resolv.conf",
        "/usr/lib/systemd/resolv.conf",
    ] {
        image.link("etc/resolv.conf", target);
        assert_eq!(image.destination(), "Resolved", "{target}");
    }
    for image in [&absent, &masked, &disabled] {
        image.link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
        assert_eq!(image.destination(), "File(\"/run/systemd/resolve/stub-resolv.conf\")");
        // Nobody may write a package's file.
        image.put("usr/lib/systemd/resolv.conf", "nameserver 127.0.0.53\n");
        image.link("etc/resolv.conf", "/usr/lib/systemd/resolv.conf");
        assert_eq!(image.destination(), "File(\"/etc/resolv.conf\")");
    }
    let manager = Image::new(&["NetworkManager.service"]);
    manager.link("etc/resolv.conf", "/run/NetworkManager/resolv.conf");
    assert_eq!(manager.destination(), "NetworkManager(\"/run/NetworkManager/resolv.conf\")");

    // A location chosen by the image, whether it exists or not.
    let other = Image::new(&[]);
    other.link("var/run", "../run");
    other.link("etc/resolv.conf", "/var/run/other/resolv.conf");
    assert_eq!(other.destination(), "File(\"/run/other/resolv.conf\")");
    other.put("run/other/resolv.conf", "options rotate\n");
    let observed = other.observe();
    assert_eq!(observed.files["/run/other/resolv.conf"], "options rotate\n");
    assert_eq!(observed.resolv_conf.links, ["/etc/resolv.conf", "/var/run"]);
}

#[test]
fn a_resolv_conf_that_is_no_file_is_reported_as_such() {
    let image = Image::new(&[]);
    assert_eq!(image.destination(), "File(\"/etc/resolv.conf\")");
    fs::create_dir(image.path("etc/resolv.conf")).unwrap();
    assert_eq!(image.destination(), "Nowhere(\"/etc/resolv.conf is not a file\")");
    let told = Told::of(&[uplink_nic()], None, &image.observe());
    assert_eq!(told.paths(), ["/run/netapply/resolv.conf", "/run/netapply/links/eth0", APPLIED]);
    assert_eq!(
        told.notes,
        ["Programs do not see the described name servers: /etc/resolv.conf is not a file. They are in \
          /run/netapply/resolv.conf."]
    );
    let circle = Image::new(&[]);
    circle.link("etc/resolv.conf", "a");
    circle.link("etc/a", "resolv.conf");
    assert_eq!(circle.observe().resolv_conf.end, End::Circle);
    assert_eq!(circle.destination(), "File(\"/etc/resolv.conf\")");
}

/// A link-local server requires its link: that of its zone, where it is listed, or else the uplink.
#[test]
fn a_link_local_server_keeps_its_link_in_every_file() {
    let server: std::net::IpAddr = "fe80::53".parse().unwrap();
    let at_end = |path: &str| Surroundings { resolv_conf: leads_to(path), dracut: true, ..full() };
    let file = "/etc/resolv.conf";
    for (zone, expected) in
        [(None, "fe80::53%eth0"), (Some("lan"), "fe80::53%eth1"), (Some("wan9"), "fe80::53%wan9")]
    {
        let mut uplink = uplink_nic();
        uplink.resolver.servers = vec![Located::new(server, at())];
        uplink.resolver.zones.extend(zone.map(|zone| (server, zone.to_owned())));
        let links = [uplink, by_mac("lan", "02:00:00:00:00:0b")];
        let plain = Told::of(&links, None, &at_end(file));
        for path in [file, "/tmp/net.eth0.resolv.conf"] {
            let text = plain.content(path);
            assert!(text.ends_with(&format!("nameserver {expected}\n")), "{path}: {text}");
        }
        let text = plain.content("/run/NetworkManager/conf.d/00-netapply-dns.conf");
        assert!(text.ends_with(&format!("servers={expected}\n")), "{text}");
        let stub = Told::of(&links, None, &full());
        let text = stub.content("/run/systemd/resolved.conf.d/50-netapply.conf");
        assert!(text.contains(&format!("\nDNS={expected}\n")), "{text}");
        let resolvconf = Surroundings { resolvconf: openresolv(&[]), ..at_end(file) };
        let told = Told::of(&links, None, &resolvconf);
        let text = told.actions().find_map(|action| match action {
            Action::Resolvconf { content, .. } => content.clone(),
            _ => None,
        });
        assert!(text.is_some_and(|text| text.contains(&format!("nameserver {expected}\n"))));
    }
}

#[test]
fn resolvconf_is_used_where_programs_read_what_it_writes() {
    let image = Image::new(&["systemd-resolved.service"]);
    image.link("usr/sbin/resolvconf", "../bin/resolvectl");
    image.put("usr/bin/resolvectl", "");
    let file = "File(\"/etc/resolv.conf\")";
    assert_eq!(image.destination(), file);
    let program = |image: &Image, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let _ = fs::remove_file(image.path("usr/sbin/resolvconf"));
        image.put("usr/sbin/resolvconf", "#!/bin/sh\n");
        let path = image.path("usr/sbin/resolvconf");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    program(&image, 0o644);
    assert_eq!(image.destination(), file, "what cannot be executed is no program");
    program(&image, 0o755);
    assert!(image.destination().starts_with("Resolvconf("), "{}", image.destination());
    for setting in [
        "resolvconf=NO",
        "resolv_conf=/run/resolv.conf",
        "allow_interfaces=\"eth0 lo*\"",
        "deny_interfaces='*'",
    ] {
        image.put("etc/resolvconf.conf", &format!("# comment\n{setting}\n"));
        assert_eq!(image.destination(), file, "{setting}");
        let told = Told::of(&[uplink_nic()], None, &image.observe());
        assert!(told.notes[0].contains(&setting.replace('\'', "\"")), "{:?}", told.notes);
    }
    for setting in ["resolvconf=YES", "resolv_conf=/etc/resolv.conf", "allow_interfaces=\"eth0*\"", "name=x"]
    {
        image.put("etc/resolvconf.conf", &format!("{setting}\n"));
        assert!(image.destination().starts_with("Resolvconf("), "{setting}");
    }

    // Debian's writes its own file, which the image may use or not.
    let debian = Image::new(&[]);
    program(&debian, 0o755);
    fs::create_dir_all(debian.path("etc/resolvconf/update.d/x")).unwrap();
    assert_eq!(debian.destination(), file);
    debian.link("etc/resolvconf/run", "/run/resolvconf");
    debian.link("etc/resolv.conf", "resolvconf/run/resolv.conf");
    assert!(debian.destination().starts_with("Resolvconf("), "{}", debian.destination());
}

#[test]
fn network_manager_keeps_its_leases_servers_if_none_are_described() {
    let before = Surroundings { resolv_conf: ResolvConf::default(), ..full() };
    let dns = "/run/NetworkManager/conf.d/00-netapply-dns.conf";
    let told = Told::of(&[uplink_nic()], None, &before);
    let text = told.content(dns);
    assert!(
        text.contains("dns=none\n") && text.contains("[global-dns-domain-*]\nservers=192.0.2.53\n"),
        "{text}"
    );
    let mut search = uplink_nic();
    search.resolver.servers.clear();
    assert!(!Told::of(&[search], None, &before).paths().contains(&dns));
}

#[test]
fn default_host_names_count_as_none() {
    let image = Image::new(&[]);
    let name = || image.observe().hostname;
    image.put("etc/os-release", "ID=fedora\nDEFAULT_HOSTNAME=\"fedora\"\n");
    image.put("etc/hostname", "# set by the installer\n\n");
    for none in ["localhost\n", "(none)\n", "fedora\n", "\n"] {
        image.put("proc/sys/kernel/hostname", none);
        assert_eq!(name(), None, "{none}");
    }
    image.put("etc/hostname", "# the name\nweb1\n");
    assert_eq!(name().as_deref(), Some("web1"));
}

#[test]
fn a_running_tool_lets_a_link_go_before_the_first_change() {
    let running = Surroundings {
        resolved: Presence::Running,
        networkd: Presence::Running,
        network_manager: Presence::Running,
        managed: [Manager::Networkd, Manager::NetworkManager].map(|m| ("eth0".into(), m)).into(),
        ..full()
    };
    let told = Told::of(&[uplink_nic()], None, &running);
    let manage = |by| Action::Manage { link: "eth0".into(), by, on: false };
    let position = |action: &Action| told.plan.steps.iter().position(|step| step.action == *action).unwrap();
    let change = told.plan.steps.iter().position(|step| !step.action.is_handoff()).unwrap();
    let order = [
        manage(Manager::NetworkManager),
        Action::Refresh(Service::NetworkManager),
        Action::Refresh(Service::NetworkdAgain),
        manage(Manager::Networkd),
    ];
    let order = order.map(|action| position(&action));
    assert!(order.is_sorted() && order[3] < change, "{order:?} {change}");
    // A reload before the release would remove the addresses.
    assert!(told.plan.steps[order[1]].needs.contains(&StepId(order[0])));
    // The dependencies of the network's steps have moved with them.
    for (number, step) in told.plan.steps.iter().enumerate() {
        assert!(step.needs.iter().all(|need| need.0 < number), "{step:?}");
    }
    let refreshed = |told: &Told| told.actions().filter(|a| matches!(a, Action::Refresh(_))).count();
    assert_eq!(refreshed(&Told::of(&[uplink_nic()], None, &full())), 0);
    assert_eq!(Told::of(&[uplink_nic()], None, &told.after(&running)).actions().count(), 0);
}

#[test]
fn files_sort_before_and_after_those_of_the_image() {
    let network = |name: &str| {
        let before = Surroundings { network_files: [(name.to_owned(), String::new())].into(), ..full() };
        let told = Told::of(&[uplink_nic()], None, &before);
        told.paths().iter().find(|path| path.ends_with("eth0.network")).unwrap().to_string()
    };
    assert_eq!(network("99-dhcp.network"), "/run/systemd/network/00-netapply-eth0.network");
    assert_eq!(network("00-eth0.network"), "/run/systemd/network/!00-netapply-eth0.network");

    let conf = |name: &str| {
        let told =
            Told::of(&[uplink_nic()], None, &Surroundings { foreign: vec![(name.into(), true)], ..full() });
        let paths = told.paths();
        let path = paths.iter().find(|path| path.contains("networkd.conf.d/")).unwrap();
        (path.rsplit('/').next().unwrap().to_owned(), told.notes.len())
    };
    assert_eq!(conf("networkd.conf"), ("50-netapply.conf".into(), 0));
    assert_eq!(conf("10-image.conf"), ("50-netapply.conf".into(), 0));
    assert_eq!(conf("90-image.conf"), ("zz-netapply.conf".into(), 0));
    assert_eq!(conf("zzz.conf"), ("zz-netapply.conf".into(), 1));
}

#[test]
fn tools_of_all_links_get_a_list_of_ours() {
    let mut before = Surroundings {
        connman: Presence::Enabled,
        dhcpcd: Presence::Enabled,
        ifupdown: Presence::Enabled,
        wicked: Presence::Enabled,
        ..Surroundings::default()
    };
    before.files.insert("/etc/dhcpcd.conf".into(), "duid\ninterface eth9\nnogateway\n".into());
    before
        .files
        .insert("/etc/connman/main.conf".into(), "[General]\nNetworkInterfaceBlacklist = virbr\n".into());
    let told = Told::of(&[uplink_nic(), dynamic_nic()], None, &before);
    let dhcpcd = told.content(DHCPCD);
    assert!(dhcpcd.ends_with("\ndenyinterfaces eth0\nduid\ninterface eth9\nnogateway\n"), "{dhcpcd}");
    assert!(told.content(IFUPDOWN).ends_with("\nEXCLUDE_INTERFACES=\"eth0\"\n"));
    assert!(told.content(CONNMAN).ends_with("\n[General]\nNetworkInterfaceBlacklist = virbr,eth0\n"));
    assert_eq!(told.notes, <[&str; 0]>::default());
}

/// wicked brings up what its own files say, and cannot be told otherwise.
#[test]
fn a_link_that_wicked_starts_is_named_with_its_file() {
    let notes = |name: &str, ifcfg: &str| {
        let mut before = Surroundings { wicked: Presence::Enabled, ..Surroundings::default() };
        before.files.insert(format!("/etc/sysconfig/network/ifcfg-{name}"), ifcfg.to_owned());
        Told::of(&[uplink_nic(), dynamic_nic()], None, &before).notes
    };
    let named = notes("eth0", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n");
    assert!(named.len() == 1 && named[0].contains("/etc/sysconfig/network/ifcfg-eth0:"), "{named:?}");
    for (name, ifcfg) in [
        ("eth0", "STARTMODE=auto\nSTARTMODE=off\n"),
        ("eth0", "BOOTPROTO=dhcp\n"),
        ("eth1", "STARTMODE=hotplug\n"),
    ] {
        assert_eq!(notes(name, ifcfg), <[&str; 0]>::default(), "{name} {ifcfg}");
    }
}

/// One that was started by hand has read its configuration before netapply wrote it.
#[test]
fn a_running_tool_starts_again_with_the_list_before_the_first_change_and_when_it_goes() {
    let running = Surroundings {
        connman: Presence::Running,
        dhcpcd: Presence::Running,
        ifupdown: Presence::Enabled,
        ..Surroundings::default()
    };
    let links = [uplink_nic(), by_mac("lan", "02:00:00:00:00:0b")];
    let told = Told::of(&links, None, &running);
    let position = |told: &Told, wanted: Action| {
        told.plan.steps.iter().position(|step| step.action == wanted).unwrap_or_else(|| panic!("{wanted:?}"))
    };
    let change = told.plan.steps.iter().position(|step| !step.action.is_handoff()).unwrap();
    for (list, service) in [(DHCPCD, Service::Dhcpcd), (CONNMAN, Service::Connman)] {
        let restart = position(&told, Action::Refresh(service));
        let written =
            told.plan.steps.iter().position(|step| written(&step.action).is_some_and(|w| w.0 == list));
        assert!(written < Some(restart) && restart < change, "{list} {restart} {change}");
    }
    let after = told.after(&running);
    let again = Told::of(&links, None, &after);
    assert_eq!(again.actions().count(), 0, "{:?}", again.plan.steps);

    let back = |links: &[String]| {
        let mut plan = Plan::default();
        take_back(&mut plan, links, &after);
        Told { plan, notes: Vec::new() }
    };
    // One link, then both: the lists shrink, and are removed.
    let one = back(&["eth1".to_owned()]);
    assert!(one.content(DHCPCD).contains("\ndenyinterfaces eth0\n"), "{}", one.content(DHCPCD));
    assert!(one.content(CONNMAN).ends_with(",eth0\n"), "{}", one.content(CONNMAN));
    assert!(one.content(IFUPDOWN).ends_with("\nEXCLUDE_INTERFACES=\"eth0\"\n"));
    let both = back(&["eth0".to_owned(), "eth1".to_owned()]);
    assert!(!both.content(DHCPCD).contains("denyinterfaces") && !both.content(IFUPDOWN).contains("EXCLUDE"));
    for told in [one, both, back(&[])] {
        position(&told, Action::Refresh(Service::Dhcpcd));
        position(&told, Action::Refresh(Service::Connman));
    }
}

#[test]
fn undescribed_parts_are_undone() {
    let mut before =
        Surroundings { resolvconf: openresolv(&[("resolvconf", "NO")]), ..Surroundings::default() };
    let present = "nameserver 198.51.100.1\n";
    before.files.insert("/etc/resolv.conf".into(), present.into());
    before.resolv_conf.path = "/etc/resolv.conf".into();
    let first = Told::of(&[uplink_nic()], None, &before).after(&before);
    assert!(first.files["/etc/resolv.conf"].contains("192.0.2.53"));
    assert_eq!(first.record.files["/etc/resolv.conf"].as_deref(), Some(present));

    // Another description without servers, then one without links.
    let mut mute = uplink_nic();
    mute.resolver = Default::default();
    let second = Told::of(&[mute], None, &first).after(&first);
    assert_eq!(second.files["/etc/resolv.conf"], present);
    assert_eq!(second.record, Record::default());
    let none = Told::of(&[], None, &first).after(&first);
    assert_eq!(none, before);
    // What another program wrote since is theirs.
    let mut theirs = first.clone();
    theirs.files.insert("/etc/resolv.conf".into(), "nameserver 203.0.113.1\n".into());
    let none = Told::of(&[], None, &theirs).after(&theirs);
    assert_eq!(none.files["/etc/resolv.conf"], "nameserver 203.0.113.1\n");

    let mut resolvconf = first;
    resolvconf.files.insert("/run/resolvconf/interfaces/eth0.netapply".into(), String::new());
    let told = Told::of(&[], None, &resolvconf);
    let removes = |a: &Action| matches!(a, Action::Resolvconf { record, content: None, .. } if record == "eth0.netapply");
    assert!(told.actions().any(removes));
}

#[test]
fn a_single_link_can_be_given_back() {
    let before = Surroundings { network_manager: Presence::Running, ..full() };
    let mut second = dynamic_nic();
    second.dynamic.clear();
    let mut before = Told::of(&[uplink_nic(), second], None, &before).after(&before);
    before.record.released = vec!["eth0".into(), "eth1".into()];
    let mut plan = Plan::default();
    take_back(&mut plan, &["eth1".to_owned()], &before);
    let told = Told { plan, notes: Vec::new() };
    let removed: Vec<&str> = told
        .actions()
        .filter_map(|a| if let Action::RemoveFile { path } = a { Some(path.as_str()) } else { None })
        .collect();
    assert_eq!(
        removed,
        [
            "/run/NetworkManager/conf.d/00-netapply-eth1.conf",
            APPLIED,
            "/run/netapply/links/eth1",
            "/run/systemd/network/00-netapply-eth1.network"
        ]
    );
    let back = Action::Manage { link: "eth1".into(), by: Manager::NetworkManager, on: true };
    assert_eq!(told.actions().last(), Some(&back));
    let after = told.after(&before);
    assert_eq!(after.record.released, ["eth0"]);
    let mut plan = Plan::default();
    take_back(&mut plan, &[], &after);
    let nothing = Told { plan, notes: Vec::new() }.after(&after);
    assert_eq!((nothing.files.len(), nothing.record), (0, Record::default()), "{:?}", nothing.files.keys());
}

#[test]
fn the_presence_of_a_service_is_observed() {
    const UNIT: &str = "systemd-networkd.service";
    let presence = |image: &Image| image.observe().networkd;
    let image = Image::new(&[UNIT]);
    assert_eq!(presence(&image), Presence::Enabled);
    image.link(&format!("run/systemd/units/invocation:{UNIT}"), "0123456789abcdef0123456789abcdef");
    assert_eq!(presence(&image), Presence::Running);
    let masked = Image::new(&[UNIT]);
    masked.put(&format!("run/systemd/system/{UNIT}"), "");
    assert_eq!(presence(&masked), Presence::Masked);
    masked.put("etc/initrd-release", "");
    masked.put("usr/lib/dracut-lib.sh", "");
    let seen = masked.observe();
    assert!(seen.initramfs && seen.dracut);
    assert_eq!(
        (seen.networkd, seen.network_manager),
        (Presence::Enabled, Presence::Enabled),
        "the next system's"
    );
    let seen = Image::new(&["cloud-init-local.service"]).observe();
    assert!(seen.cloud_init && !seen.ipa && seen.network_manager == Presence::Absent);
}

#[test]
fn name_server_use_has_one_reason() {
    use state::{NameLookup, ResolvedDaemon as Asked, Unused};
    let server = |text: &str| Server { ip: text.parse().unwrap(), zone: None };
    let described = "192.0.2.53".parse().unwrap();
    let file = |servers: &[&str]| ResolvConf {
        path: "/etc/resolv.conf".into(),
        end: End::File,
        servers: servers.iter().map(|text| server(text)).collect(),
        ..ResolvConf::default()
    };
    let why =
        |names: &NameLookup| names.unused(&described).map(|unused| unused.map(|unused| unused.words().0));
    let ok = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(
        why(&NameLookup { resolv_conf: file(&["192.0.2.1", "192.0.2.53"]), ..NameLookup::default() }),
        Ok(None)
    );
    let local = "127.0.0.1".parse().unwrap();
    assert_eq!(why(&NameLookup { resolv_conf: file(&["127.0.0.1"]), ..NameLookup::default() }), Err(local));

    let hosts = Some("files mymachines".to_owned());
    let unasked = NameLookup { hosts, resolv_conf: file(&["192.0.2.53"]), ..NameLookup::default() };
    assert_eq!(
        why(&unasked),
        ok("programs ask no name server: /etc/nsswitch.conf has `hosts: files mymachines`")
    );

    // systemd-resolved, as the stub in the file, as the target of a dangling link, or as a service of nsswitch.
    let stub = || file(&["127.0.0.53"]);
    for (resolv_conf, hosts) in [
        (stub(), None),
        (leads_to("/run/systemd/resolve/stub-resolv.conf"), None),
        (file(&["192.0.2.1"]), Some("resolve [!UNAVAIL=return] files dns".to_owned())),
    ] {
        let with = |servers: &[&str], fails: Option<&str>| NameLookup {
            resolved: Presence::Running,
            resolved_state: Some(Asked {
                servers: servers.iter().map(|text| text.parse().unwrap()).collect(),
                dns_over_tls: "yes".into(),
                fails: fails.map(str::to_owned),
                ..Asked::default()
            }),
            resolv_conf: resolv_conf.clone(),
            hosts: hosts.clone(),
            ..NameLookup::default()
        };
        assert_eq!(why(&with(&["192.0.2.53"], None)), Ok(None));
        assert_eq!(why(&with(&[], None)), ok("programs ask systemd-resolved, which asks no server"));
        assert_eq!(
            why(&with(&["192.0.2.53"], Some("timed out"))),
            ok("systemd-resolved gets no answer with DNSOverTLS=yes: timed out")
        );
    }
    for (resolved, words) in [
        (Presence::Absent, "is not in the image"),
        (Presence::Masked, "is masked"),
        (Presence::Disabled, "is disabled"),
        (Presence::Enabled, "does not run"),
    ] {
        let names = NameLookup { resolved, resolv_conf: stub(), ..NameLookup::default() };
        assert_eq!(why(&names), ok(&format!("programs ask systemd-resolved, which {words}")));
    }
    let missing = ResolvConf { end: End::Missing, ..leads_to("/run/other") };
    assert_eq!(
        why(&NameLookup { resolv_conf: missing, ..NameLookup::default() }),
        ok("programs ask nobody: /etc/resolv.conf leads to /run/other, which does not exist")
    );
    let manager = NameLookup {
        resolv_conf: ResolvConf { writer: Some("NetworkManager".into()), ..file(&["192.0.2.1"]) },
        network_manager: vec![("dns=default".into(), "/etc/NetworkManager/NetworkManager.conf".into())],
        network_manager_runs: true,
        ..NameLookup::default()
    };
    assert_eq!(
        why(&manager),
        ok("programs ask 192.0.2.1: /etc/resolv.conf, written by NetworkManager (dns=default in \
            /etc/NetworkManager/NetworkManager.conf)")
    );
    let unused = manager.unused(&described).unwrap().unwrap();
    assert!(matches!(unused, Unused::Others { ref servers, .. } if servers.len() == 1), "{unused:?}");
}

/// The kernel accepts any name for a NIC; a description gives none of these (`IfName::to_give`).
#[test]
fn a_name_that_is_a_pattern_or_an_option_gets_into_no_tools_file() {
    for name in ["!x", "*", "-a", "a,b", "x=\"1", "7", "[e]th0", "$(x)"] {
        let machine = Inventory { links: vec![nic(2, name, "02:00:00:00:00:0a")], ..Inventory::default() };
        let everybody = Surroundings {
            dhcpcd: Presence::Enabled,
            connman: Presence::Enabled,
            ifupdown: Presence::Enabled,
            initramfs: true,
            dracut: true,
            resolvconf: openresolv(&[]),
            resolv_conf: leads_to("/etc/resolv.conf"),
            ..full()
        };
        let told = Told::on(&machine, &[uplink_nic()], None, &everybody);
        for (path, content) in told.actions().filter_map(written) {
            let marker = path == format!("{MARKERS}/{name}");
            assert!(
                marker || !(path.contains(name) || content.contains(name)) || name == "7",
                "{name}: {path}: {content}"
            );
            assert!(
                !content.contains("Name=7") && !content.contains("denyinterfaces 7"),
                "{path}: {content}"
            );
        }
        for action in told.actions() {
            let Action::Resolvconf { record, .. } = action else { continue };
            assert_eq!(record, "link.netapply");
        }
        assert!(told.paths().contains(&format!("{MARKERS}/{name}").as_str()), "{name}");
        let tools = "networkd, NetworkManager, dhcpcd, ifupdown, connman";
        let note = format!("The name {name} cannot be written in files of {tools}: ");
        assert!(told.notes.iter().any(|n| n.starts_with(&note)), "{:?}", told.notes);
    }
}

#[test]
fn time_servers_of_leases_are_told_to_the_daemon_that_sets_the_clock() {
    let desired = Desired { links: vec![uplink_nic()], ..Desired::default() };
    let told = |servers: &[&str], surroundings: &Surroundings| {
        let (mut resolved, _) = resolve(&desired, &machine(), Missing::Report);
        resolved.time_servers = servers.iter().map(|server| server.parse().unwrap()).collect();
        let mut plan = plan(&resolved, &machine());
        let notes = add(&mut plan, &desired, &resolved, None, surroundings);
        Told { plan, notes }
    };
    let servers = ["192.0.2.123", "2001:db8::123"];
    let refreshed = |told: &Told| {
        let services = told.actions().filter_map(|action| match action {
            Action::Refresh(service) => Some(*service),
            _ => None,
        });
        services.collect::<Vec<_>>()
    };
    for (surroundings, path, text, service) in [
        (
            Surroundings { timesyncd: Presence::Running, ..Surroundings::default() },
            "/run/systemd/timesyncd.conf.d/50-netapply.conf",
            "[Time]\nNTP=192.0.2.123 2001:db8::123\n",
            Some(Service::Timesyncd),
        ),
        (
            Surroundings { chrony: Presence::Running, ..Surroundings::default() },
            "/run/chrony-dhcp/netapply.sources",
            "server 192.0.2.123 iburst\nserver 2001:db8::123 iburst\n",
            Some(Service::Chrony),
        ),
        (
            Surroundings { chronyd: Presence::Enabled, ..Surroundings::default() },
            "/run/chrony-dhcp/netapply.sources",
            "server 192.0.2.123 iburst\nserver 2001:db8::123 iburst\n",
            None,
        ),
    ] {
        let first = told(&servers, &surroundings);
        assert_eq!(first.content(path), format!("{MADE}{text}"));
        assert_eq!(refreshed(&first), service.into_iter().collect::<Vec<_>>());
        let after = first.after(&surroundings);
        assert_eq!(told(&servers, &after).actions().count(), 0, "{path}");
        // The lease has ended.
        let last = told(&[], &after);
        assert!(last.actions().any(|action| *action == Action::RemoveFile { path: path.to_owned() }));
        assert_eq!(refreshed(&last), service.into_iter().collect::<Vec<_>>());
    }
    let is_of_time = |path: &&str| path.contains("timesyncd") || path.contains("chrony");
    let absent = told(&servers, &Surroundings { timesyncd: Presence::Masked, ..Surroundings::default() });
    assert!(!absent.paths().iter().any(is_of_time));
    // The system that follows an initramfs may have either.
    let initramfs = told(&servers, &Surroundings { initramfs: true, ..Surroundings::default() });
    assert_eq!(initramfs.paths().iter().filter(|path| is_of_time(path)).count(), 2);
}
