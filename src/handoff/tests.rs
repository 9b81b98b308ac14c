//! Hand-offs on images built by hand: what is written, what each file needs, and that a second run writes nothing.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::inventory::{Inventory, ObservedLink};
use crate::model::{Address, Dynamic, Link, Located, Match, Place, Route};
use crate::plan::{Action, Service, plan};
use crate::resolve::{Missing, resolve};

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
    /// How many steps belong to the network.
    network: usize,
    notes: Vec<String>,
}

impl Told {
    fn of(links: &[Link], hostname: Option<&str>, surroundings: &Surroundings) -> Told {
        let desired = Desired { links: links.to_vec(), ..Desired::default() };
        let (resolved, _) = resolve(&desired, &machine(), Missing::Report);
        let mut plan = plan(&resolved, &machine());
        let network = plan.steps.len();
        let notes = add(&mut plan, &desired, &resolved, hostname, surroundings);
        Told { plan, network, notes }
    }

    fn actions(&self) -> impl Iterator<Item = &Action> {
        self.plan.steps.iter().skip(self.network).map(|step| &step.action)
    }

    fn paths(&self) -> Vec<&str> {
        self.actions().filter_map(written).map(|(path, _)| path).collect()
    }

    fn content(&self, wanted: &str) -> &str {
        let found = self.actions().filter_map(written).find(|(path, _)| *path == wanted);
        found.unwrap_or_else(|| panic!("{wanted} is not written")).1
    }

    /// The steps that this file needs.
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
                    after.files.insert(path.clone(), content.clone());
                }
                Action::RemoveFile { path } => drop(after.files.remove(path)),
                Action::Resolvconf { record, content, .. } => {
                    after.files.insert(format!("/run/resolvconf/interface/{record}"), content.clone());
                }
                Action::Sysctl { value, .. } => after.hostname = Some(value.clone()),
                other => panic!("no step of a hand-off: {other:?}"),
            }
        }
        after
    }
}

/// Path and content of a file that is written.
fn written(action: &Action) -> Option<(&str, &str)> {
    match action {
        Action::WriteFile { path, content } => Some((path, content)),
        _ => None,
    }
}

/// An image with everything in it.
fn full() -> Surroundings {
    Surroundings {
        resolv_conf: ResolvConf::Resolved,
        networkd: true,
        network_manager: true,
        cloud_init: true,
        ..Surroundings::default()
    }
}

#[test]
fn a_static_nic_is_kept_from_everybody() {
    let told = Told::of(&[uplink_nic()], Some("web1.example.lan"), &full());
    assert_eq!(
        told.paths(),
        [
            "/run/systemd/resolved.conf.d/50-netapply.conf",
            "/run/systemd/network/00-netapply-eth0.network",
            "/run/NetworkManager/conf.d/00-netapply-eth0.conf",
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
    // Address and route are what the marker needs, and it says which link it is for.
    assert!(told.needs("/run/netapply/links/eth0").len() >= 3);
    assert_eq!(told.content("/run/netapply/links/eth0"), "nic\n");
}

#[test]
fn a_second_run_tells_nothing() {
    let hosts = [
        full(),
        Surroundings::default(),
        Surroundings { resolv_conf: ResolvConf::ReadOnly, ..full() },
        Surroundings { resolv_conf: ResolvConf::Program("/sbin/resolvconf".into()), ..full() },
        Surroundings {
            resolv_conf: ResolvConf::NetworkManager("/run/NetworkManager/resolv.conf".into()),
            ..full()
        },
        Surroundings { initramfs: true, dracut: true, ..full() },
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
    // Tools that take all links or none have to start.
    assert!(!told.paths().contains(&APPLIED) && !told.paths().contains(&"/run/cloud-init/cloud.cfg"));
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

    let told = Told::of(&links, None, &Surroundings { networkd: false, ..full() });
    assert_eq!(
        told.notes,
        ["bond0 asks for DHCP, which is left to the image: see that its DHCP client takes a bond."]
    );
}

#[test]
fn a_nic_that_is_not_there_leaves_the_old_path_open() {
    let mut lost = uplink_nic();
    lost.id = "lost".into();
    lost.select.mac = Some(Located::new("02:00:00:00:00:ff".parse().unwrap(), at()));
    let told = Told::of(&[uplink_nic(), lost.clone()], None, &full());
    assert!(told.paths().contains(&"/run/netapply/links/eth0") && !told.paths().contains(&APPLIED));
    lost.optional = true;
    assert!(Told::of(&[uplink_nic(), lost.clone()], None, &full()).paths().contains(&APPLIED));
    // Nothing usable at all: not a single file.
    assert_eq!(Told::of(&[lost], Some("web1"), &full()).plan.steps, []);
}

#[test]
fn a_bond_with_a_missing_member_is_whole_enough() {
    let mut bond = Link::new("bond0", Kind::Bond, at());
    bond.members = ["nic", "lost"].iter().map(|m| Located::new((*m).to_owned(), at())).collect();
    bond.addresses = uplink_nic().addresses;
    let links = [by_mac("nic", "02:00:00:00:00:0a"), by_mac("lost", "02:00:00:00:00:ff"), bond];
    assert!(Told::of(&links, None, &full()).paths().contains(&APPLIED));
}

#[test]
fn what_an_earlier_description_left_goes() {
    let mut before = full();
    for path in [
        "/run/netapply/links/eth7",
        "/run/systemd/network/00-netapply-eth7.network",
        "/run/NetworkManager/conf.d/00-netapply-dns.conf",
        APPLIED,
        // Somebody else's.
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
fn cloud_init_is_told_beside_what_its_generator_found() {
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
fn a_name_is_given_only_to_a_nameless_machine() {
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
fn dracut_is_told_in_its_own_files() {
    let surroundings =
        Surroundings { initramfs: true, dracut: true, networkd: true, ..Surroundings::default() };
    let told = Told::of(&[uplink_nic()], Some("web1"), &surroundings);
    assert_eq!(told.content("/tmp/net.ifaces"), "eth0\n");
    assert_eq!(told.content("/tmp/net.eth0.did-setup"), "");
    assert!(told.content("/tmp/net.eth0.resolv.conf").contains("nameserver 192.0.2.53\n"));
    // The system that follows may have systemd-resolved; the initramfs itself has a file.
    assert!(told.paths().contains(&"/run/systemd/resolved.conf.d/50-netapply.conf"));
    assert!(told.paths().contains(&"/etc/resolv.conf"));
}

/// A root directory with these units in it.
fn root(units: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("usr/lib/systemd/system");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(root.path().join("etc")).unwrap();
    for unit in units {
        fs::write(folder.join(unit), "").unwrap();
    }
    root
}

#[test]
fn resolv_conf_is_whose_it_links_to() {
    let observed = |target: Option<&str>, units: &[&str]| {
        let root = root(units);
        let path = root.path().join("etc/resolv.conf");
        if let Some(target) = target {
            symlink(target, path).unwrap();
        }
        Surroundings::observe(root.path()).resolv_conf
    };
    let file = |path: &str| ResolvConf::File(path.into());
    let resolved = &["systemd-resolved.service"][..];
    // The link dangles until the program has started.
    for target in [
        "../run/systemd/resolve/stub-resolv.conf",
        "/run/systemd/resolve/resolv.conf",
        "/usr/lib/systemd/resolv.conf",
    ] {
        assert_eq!(observed(Some(target), resolved), ResolvConf::Resolved, "{target}");
        assert_eq!(observed(Some(target), &[]), file("/etc/resolv.conf"), "{target}");
    }
    assert_eq!(
        observed(Some("/run/NetworkManager/resolv.conf"), &["NetworkManager.service"]),
        ResolvConf::NetworkManager("/run/NetworkManager/resolv.conf".into())
    );
    assert_eq!(observed(Some("/nowhere"), resolved), file("/etc/resolv.conf"));
    assert_eq!(observed(Some("os-release"), &[]), file("/etc/resolv.conf"));
    assert_eq!(observed(None, resolved), file("/etc/resolv.conf"));

    let root = root(&[]);
    fs::create_dir_all(root.path().join("run/other")).unwrap();
    fs::write(root.path().join("run/other/resolv.conf"), "options rotate\n").unwrap();
    symlink("../run/other/resolv.conf", root.path().join("etc/resolv.conf")).unwrap();
    let observed = Surroundings::observe(root.path());
    assert_eq!(observed.resolv_conf, file("/run/other/resolv.conf"));
    assert_eq!(observed.files["/run/other/resolv.conf"], "options rotate\n");
}

#[test]
fn resolvconf_is_a_program_of_its_own() {
    let root = root(&["systemd-resolved.service"]);
    let sbin = root.path().join("usr/sbin");
    fs::create_dir_all(&sbin).unwrap();
    symlink("../bin/resolvectl", sbin.join("resolvconf")).unwrap();
    fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    fs::write(root.path().join("usr/bin/resolvectl"), "").unwrap();
    assert_eq!(Surroundings::observe(root.path()).resolv_conf, ResolvConf::File("/etc/resolv.conf".into()));
    fs::remove_file(sbin.join("resolvconf")).unwrap();
    fs::write(sbin.join("resolvconf"), "").unwrap();
    let observed = Surroundings::observe(root.path()).resolv_conf;
    assert_eq!(observed, ResolvConf::Program("/usr/sbin/resolvconf".into()));
}

#[test]
fn a_name_is_one_that_somebody_gave() {
    let root = root(&[]);
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let name = || Surroundings::observe(root.path()).hostname;
    put("etc/os-release", "ID=fedora\nDEFAULT_HOSTNAME=\"fedora\"\n");
    for none in ["localhost\n", "(none)\n", "fedora\n", "\n"] {
        put("proc/sys/kernel/hostname", none);
        assert_eq!(name(), None, "{none}");
    }
    put("etc/hostname", "web1\n");
    assert_eq!(name().as_deref(), Some("web1"));
}

#[test]
fn what_runs_already_reads_it_again() {
    let running = Surroundings { resolved_runs: true, networkd_runs: true, ..full() };
    let refreshed = |told: &Told| {
        let of = |a: &Action| if let Action::Refresh(service) = a { Some(*service) } else { None };
        told.actions().filter_map(of).collect::<Vec<_>>()
    };
    let told = Told::of(&[uplink_nic()], None, &running);
    assert_eq!(refreshed(&told), [Service::Resolved, Service::Networkd]);
    // After what they are to read.
    let last = told.actions().last().map(|action| matches!(action, Action::Refresh(Service::Networkd)));
    assert_eq!(last, Some(true));
    assert_eq!(refreshed(&Told::of(&[uplink_nic()], None, &full())), []);

    // Once they have been told, there is nothing to read.
    let mut after = running;
    for action in told.actions() {
        if let Action::WriteFile { path, content } = action {
            after.files.insert(path.clone(), content.clone());
        }
    }
    assert_eq!(refreshed(&Told::of(&[uplink_nic()], None, &after)), []);
}

#[test]
fn a_service_runs_where_systemd_says_so() {
    let root = root(&["systemd-networkd.service", "systemd-resolved.service"]);
    let put = |path: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink("0123456789abcdef0123456789abcdef", path).unwrap();
    };
    let runs = || {
        let seen = Surroundings::observe(root.path());
        (seen.networkd_runs, seen.resolved_runs)
    };
    put("run/systemd/units/invocation:systemd-networkd.service");
    assert_eq!(runs(), (false, false), "early in a boot there is no D-Bus to tell it");
    fs::create_dir_all(root.path().join("run/dbus")).unwrap();
    fs::write(root.path().join("run/dbus/system_bus_socket"), "").unwrap();
    assert_eq!(runs(), (true, false));
    put("run/systemd/units/invocation:systemd-resolved.service");
    assert_eq!(runs(), (true, true));
}

#[test]
fn what_is_in_the_image_is_seen() {
    let root = root(&["systemd-networkd.service", "cloud-init-local.service"]);
    let seen = Surroundings::observe(root.path());
    assert!(seen.networkd && seen.cloud_init && !seen.network_manager && !seen.ipa && !seen.dracut);
    fs::write(root.path().join("etc/initrd-release"), "").unwrap();
    fs::create_dir_all(root.path().join("usr/lib")).unwrap();
    fs::write(root.path().join("usr/lib/dracut-lib.sh"), "").unwrap();
    let seen = Surroundings::observe(root.path());
    assert!(seen.initramfs && seen.dracut && seen.network_manager);
}
