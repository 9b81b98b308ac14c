//! Files generated from the command line: a manual page for each command in docs/man, and completions in completions/.
//! `NETAPPLY_BLESS=1 cargo test --test cli` rewrites them. Also that the commands' output contains nothing that a
//! terminal or a CI interprets, whatever is in a description or its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap_complete::{Shell, generate};
use clap_mangen::Man;

/// The generated files, by path.
fn derived() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let command = netapply::cli::command();
    for (shell, name) in
        [(Shell::Bash, "netapply.bash"), (Shell::Zsh, "_netapply"), (Shell::Fish, "netapply.fish")]
    {
        let mut text = Vec::new();
        generate(shell, &mut command.clone(), "netapply", &mut text);
        files.insert(Path::new("completions").join(name), text);
    }
    for of in command.get_subcommands().filter(|of| of.get_name() != "help") {
        let name = format!("netapply-{}", of.get_name());
        let page = of.clone().bin_name(format!("netapply {}", of.get_name())).display_name(&name);
        let mut text = Vec::new();
        Man::new(page).title(&name).section("8").manual("System Administration").render(&mut text).unwrap();
        files.insert(format!("docs/man/{name}.8").into(), text);
    }
    files
}

#[test]
fn manual_pages_and_completions_are_those_of_the_command_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, text) in derived() {
        let there = root.join(&path);
        if std::env::var_os("NETAPPLY_BLESS").is_some() {
            std::fs::create_dir_all(there.parent().unwrap()).unwrap();
            std::fs::write(&there, text).unwrap();
        } else {
            let is = std::fs::read(&there).unwrap_or_default();
            assert!(is == text, "{} is not what the command line makes of it", path.display());
        }
    }
}

#[test]
fn the_manual_has_every_command_and_names_its_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = std::fs::read_to_string(root.join("docs/netapply.8")).unwrap().replace("\\-", "-");
    let command = netapply::cli::command();
    let mut pages = 0;
    for name in command.get_subcommands().map(clap::Command::get_name).filter(|name| *name != "help") {
        assert!(manual.contains(&format!(".BR netapply-{name} (8)")), "netapply-{name}(8) is not named");
        pages += 1;
    }
    assert!(pages >= 6, "{pages}");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let options: Vec<String> = command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments)
        .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
        .chain(["--help", "--version"].map(str::to_owned))
        .collect();
    // The program's own options follow its name, those of its runner precede it.
    let commands = readme.lines().flat_map(|line| line.split("netapply ").skip(1));
    for word in commands.flat_map(str::split_whitespace).filter(|word| word.starts_with("--")) {
        let option = word.split(['=', '`', ',', ')', ';', ':', '.', '*']).next().unwrap_or_default();
        let foreign = ["--release", "--target", "--output", "--build-arg", "--rm", "--test"];
        assert!(
            foreign.contains(&option) || options.iter().any(|known| known == option),
            "README.md shows {option}, which no command has"
        );
    }
}

/// Moves the cursor, forges a line, turns the reading direction, is a C1 control, separates lines.
const HOSTILE: &str = "a\u{1b}[2J\n::error::forged\r\u{202e}\u{9b}2J\u{2028}";

#[test]
fn nothing_in_a_description_reaches_a_terminal_or_a_ci_as_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let name = "net\n::error::forged\u{1b}[2J\u{202e}.json";
    let description = serde_json::json!({
        "links": [
            {"id": HOSTILE, "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"},
            {"id": "b", "type": HOSTILE, "bond_links": [HOSTILE], HOSTILE: HOSTILE},
        ],
        "networks": [
            {"id": HOSTILE, "type": "ipv4", "link": HOSTILE, "ip_address": HOSTILE, "netmask": HOSTILE},
        ],
        "services": [{"type": "dns", "address": HOSTILE}],
    });
    std::fs::write(folder.path().join(name), description.to_string()).unwrap();
    let mut lines = 0;
    for options in [
        &["check"][..],
        &["check", "--format", "github"],
        &["--dry-run"],
        &["apply", "--no-verify", "--strict"],
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_netapply"))
            .current_dir(folder.path())
            .args(options)
            .arg(format!("./{name}"))
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(text.contains("forged"), "{options:?}: {text}");
        for line in text.lines() {
            assert!(!line.starts_with("::error::"), "{options:?}: {line}");
            lines += 1;
        }
        let bad = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2028}".contains(c);
        assert!(!text.contains(bad), "{options:?}: {text:?}");
    }
    assert!(lines > 10, "{lines}");
}

#[test]
fn check_counts_keys_without_effect_and_shows_them_if_asked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/network_data/services-with-search");
    let check = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_netapply"));
        let output = command.arg("check").args(more).arg(root.join("network_data.json")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (short, whole) = (check(&[]), check(&["--log", "info"]));
    assert!(!short.contains("has no effect") && short.contains("; --log info shows all notes"), "{short}");
    assert!(whole.contains("has no effect here") && !whole.contains("--log info"), "{whole}");
    assert!(check(&["--json"]).contains("\"no-effect\""));
}

/// A pipeline's folder with one file per node, next to a drive: each is read by itself, and the summary says so.
#[test]
fn check_reads_a_directory_as_many_descriptions() {
    let folder = tempfile::tempdir().unwrap();
    let node = |name: &str| {
        format!("network:\n  version: 2\n  ethernets: {{{name}: {{addresses: [192.0.2.1/24]}}}}\n")
    };
    let drive = folder.path().join("node3/openstack/latest");
    std::fs::create_dir_all(&drive).unwrap();
    std::fs::write(drive.join("network_data.json"), r#"{"links": [], "networks": []}"#).unwrap();
    std::fs::write(folder.path().join("node1.yaml"), node("eth0")).unwrap();
    std::fs::write(folder.path().join("node2.yaml"), node("eth1")).unwrap();
    std::fs::write(folder.path().join("node4.json"), "{").unwrap();
    let check = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_netapply"));
        let output = command.arg("check").args(arguments).current_dir(folder.path()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (status, text) = check(&["."]);
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("./node4.json:1:"), "{text}");
    assert!(
        text.contains(".: read as 4 descriptions; --merge reads it as one\n4 descriptions: 1 error,"),
        "{text}"
    );
    let (status, text) = check(&["node1.yaml", "node3"]);
    assert!(text.contains("node3: read as one description\n2 descriptions: 0 errors,"), "{status} {text}");
    let (status, json) = check(&["--json", "."]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((status, json["files"].as_array().unwrap().len()), (3, 4), "{json}");
    let (_, text) = check(&["--merge", "."]);
    assert!(text.contains("\n1 description: 0 errors,") && text.contains("is also on"), "{text}");
}

/// What the format cannot express is a warning at its line; with `--strict` it is an error and nothing is written.
#[test]
fn convert_writes_files_as_their_tool_wants_them() {
    use std::os::unix::fs::PermissionsExt as _;

    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let folder = tempfile::tempdir().unwrap();
    let convert = |case: &str, more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_netapply"));
        command.args(["convert", "--to", "netplan"]).args(more).arg(testdata.join(case));
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (bond, strict) = ("network_data/bond-every-option/network_data.json", folder.path().join("strict"));
    let (code, file, messages) = convert(bond, &[]);
    assert_eq!(code, Some(0), "{messages}");
    assert!(file.contains("\nnetwork:\n  version: 2\n"), "{file}");
    assert!(
        messages.contains("network_data.json:")
            && messages.contains(" warning: ")
            && messages.contains("[not-in-format]")
    );
    let (code, file, messages) = convert(bond, &["--strict", "--output", strict.to_str().unwrap()]);
    assert_eq!((code, file.as_str()), (Some(3), ""));
    assert!(messages.contains(" error: ") && !strict.exists(), "{messages}");
    let (code, file, messages) = convert(bond, &["-o", folder.path().join("etc").to_str().unwrap()]);
    assert_eq!((code, file.as_str()), (Some(0), ""), "{messages}");
    let written = folder.path().join("etc/50-netapply.yaml");
    assert_eq!(std::fs::metadata(&written).unwrap().permissions().mode() & 0o777, 0o600);
    // The valid parts of a description with errors are written nonetheless.
    let (code, file, messages) = convert("netplan/error-vlan-id", &[]);
    assert_eq!(code, Some(3), "{messages}");
    assert!(messages.contains(" error: ") && file.contains("ethernets:"), "{file}");
}

/// Roots of systems that use each tool, made of the few files that tell.
#[test]
fn persist_writes_for_the_tool_of_the_system() {
    use std::os::unix::fs::PermissionsExt as _;
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/network_data/two-nic-lacp-bond");
    let persist = |files: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let (path, text) = file.split_once('=').unwrap_or((file, ""));
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("->") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => std::fs::write(path, text).unwrap(),
            }
        }
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_netapply"))
            .args(["persist".as_ref(), folder.path(), &testdata])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).replace(&folder.path().display().to_string(), "ROOT")
        };
        (output.status.code(), text(&output.stdout), text(&output.stderr), folder)
    };
    let networkd = [
        "usr/lib/systemd/systemd-networkd",
        "etc/systemd/system/multi-user.target.wants/systemd-networkd.service=->/usr/lib/systemd/system/systemd-networkd.service",
        "etc/group=systemd-network:x:0:\n",
    ];
    let manager = [
        "usr/sbin/NetworkManager",
        "etc/systemd/system/multi-user.target.wants/NetworkManager.service=->/usr/lib/systemd/system/NetworkManager.service",
        "etc/NetworkManager/system-connections/Wired.nmconnection=[connection]\n",
    ];

    let (code, out, err, root) = persist(&networkd);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        out.contains("systemd-networkd: wrote ROOT/etc/systemd/network/10-netapply-aggi.netdev\n"),
        "{out}"
    );
    assert!(!out.contains("may compete"), "{out}");
    // What is described no longer goes, and what others wrote stays.
    let below = root.path().join("etc/systemd/network");
    let header = std::fs::read_to_string(below.join("10-netapply-aggi.network")).unwrap();
    std::fs::write(below.join("10-netapply-old.network"), header).unwrap();
    std::fs::write(below.join("05-mine.network"), "[Match]\n").unwrap();
    let again = std::process::Command::new(env!("CARGO_BIN_EXE_netapply"))
        .args(["persist".as_ref(), root.path(), &testdata])
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(
        out.contains("removed") && out.contains("05-mine.network is read, too, and may compete"),
        "{out}"
    );
    assert!(!below.join("10-netapply-old.network").exists() && below.join("05-mine.network").exists());

    // netplan before NetworkManager, NetworkManager before networkd.
    let all = [&networkd[..], &manager[..]].concat();
    let (code, out, err, root) = persist(&all);
    assert_eq!(code, Some(0), "{out}{err}");
    let connection = root.path().join("etc/NetworkManager/system-connections/netapply-aggi.nmconnection");
    assert_eq!(std::fs::metadata(&connection).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(out.contains("system-connections/Wired.nmconnection is read, too, and may compete"), "{out}");
    assert!(out.contains("systemd-networkd is enabled, too"), "{out}");
    let (_, out, _, root) = persist(&[&all[..], &["usr/sbin/netplan", "usr/bin/cloud-init"]].concat());
    assert!(root.path().join("etc/netplan/50-netapply.yaml").exists(), "{out}");
    assert!(out.contains("cloud-init is enabled and may write the network anew"), "{out}");

    // A unit that is masked is none.
    let masked = [&all[..], &["etc/systemd/system/NetworkManager.service=->/dev/null"]].concat();
    let (_, out, _, _) = persist(&masked);
    assert!(out.starts_with("systemd-networkd: wrote"), "{out}");

    let debian = ["sbin/ifup", "etc/systemd/system/multi-user.target.wants/networking.service=->/x"];
    let (_, out, _, _) = persist(&debian);
    assert_eq!(out, "ifupdown: wrote ROOT/etc/network/interfaces\n");
    let usual =
        "etc/network/interfaces=source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\n";
    let (_, out, _, _) = persist(&[&debian[..], &[usual]].concat());
    assert_eq!(out, "ifupdown: wrote ROOT/etc/network/interfaces.d/netapply\n");
    let own = "etc/network/interfaces=auto eth0\niface eth0 inet dhcp\n";
    let (code, out, err, _) = persist(&[&debian[..], &[own]].concat());
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("reads no other file: add the line"), "{err}");

    let (_, out, _, root) = persist(&["etc/NIXOS"]);
    assert!(root.path().join("etc/nixos/netapply.nix").exists());
    assert!(out.contains("a rebuild activates it"), "{out}");

    let (code, out, err, _) = persist(&["etc/hostname"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("no tool is enabled below ROOT"), "{err}");
    // A link in a foreign system leads into that, not into ours.
    let outside = tempfile::tempdir().unwrap();
    let link = format!("etc/systemd/network=->{}", outside.path().display());
    let (code, _, err, _) = persist(&[&networkd[..], &[link.as_str()]].concat());
    assert_eq!(code, Some(1));
    assert!(err.contains("leads out of ROOT"), "{err}");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}
