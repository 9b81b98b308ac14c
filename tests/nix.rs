//! flake.nix and nix/, evaluated by nix on a stand-in for nixpkgs (tests/nix/): option types, assertions, and the units
//! of the resulting system. Nothing is built here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The path of the stand-in's package.
const STORE: &str = "/nix/store/00000000000000000000000000000000-netapply-0.1.0";

/// nix's result for one of the systems in tests/nix/systems.nix.
fn evaluate(system: &str) -> Result<Value, String> {
    // No store is written, so neither root nor /nix is needed.
    let output = Command::new("nix-instantiate")
        .args(["--store", "dummy://", "--eval", "--strict", "--json"])
        .args(["tests/nix/systems.nix", "-A", system])
        .current_dir(ROOT)
        .output()
        .unwrap_or_else(|error| panic!("nix-instantiate: {error}: run tests/setup"));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("nix prints JSON"))
}

#[track_caller]
fn system(name: &str) -> Value {
    evaluate(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The one assertion that fails there.
#[track_caller]
fn assertion(name: &str) -> String {
    let failed = system(name)["failed"].clone();
    assert_eq!(failed.as_array().unwrap().len(), 1, "{name}: {failed}");
    failed[0].as_str().unwrap().to_owned()
}

/// The last value of each key of a unit file.
fn unit(name: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(Path::new(ROOT).join("systemd").join(name)).expect("a unit");
    let pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

const UNITS: [&str; 3] = ["netapply", "netapply-lease", "netapply-wait-online"];

#[test]
fn a_system_gets_the_packages_own_units() {
    for name in ["plain", "networkd", "networkmanager", "installer", "without-dhcp"] {
        let system = system(name);
        assert_eq!(system["failed"], json!([]), "{name}");
        assert_eq!(system["warnings"], json!([]), "{name}");
        assert_eq!(system["packages"], json!([STORE]), "{name}");
        for each in UNITS {
            let ours = &system["units"][each];
            // NixOS ignores the [Install] sections of a package, and uses everything else.
            assert_eq!(ours["wantedBy"], json!([unit(&format!("{each}.service"))["WantedBy"]]), "{name}");
            assert_eq!(ours["serviceConfig"], json!({}), "{name}: {each} is as it is in systemd/");
            assert_eq!(ours["unitConfig"], json!({}));
            for ordering in ["before", "after", "wants", "conflicts"] {
                assert_eq!(ours[ordering], json!([]), "{name}: {each}");
            }
            assert_eq!((&ours["restartIfChanged"], &ours["stopIfChanged"]), (&json!(false), &json!(false)));
        }
        // The others are prevented by conditions in the package. A definition here would create a unit on a system that
        // does not have it.
        let standing: Vec<&str> = match name {
            "plain" => vec!["dhcpcd"],
            "networkd" => vec!["systemd-networkd-wait-online"],
            "networkmanager" => vec!["NetworkManager", "NetworkManager-wait-online"],
            "installer" => vec!["NetworkManager", "NetworkManager-wait-online", "sshd"],
            _ => vec![],
        };
        let units = system["units"].as_object().unwrap();
        let others: Vec<&str> = units.keys().map(String::as_str).filter(|u| !UNITS.contains(u)).collect();
        assert_eq!(others, standing, "{name}");
        for other in others {
            assert_eq!(units[other]["unitConfig"], json!({}), "{name}: {other}");
        }
    }
}

#[test]
fn arguments_come_after_those_of_the_units() {
    let system = system("full");
    for (each, arguments) in [
        ("netapply", "--wait=60 --log=debug --strict --handoff=none --fallback=dhcp"),
        (
            "netapply-wait-online",
            "--wait=60 --log=debug --probe=tcp://[2001:db8::80]:443 --probe=ping://fe80::1%%eth0",
        ),
    ] {
        let own =
            unit(&format!("{each}.service"))["ExecStart"].replace("/usr/bin/", &format!("{STORE}/bin/"));
        let wanted = json!(["", format!("{own} {arguments}")]);
        assert_eq!(system["units"][each]["serviceConfig"], json!({"ExecStart": wanted}));
        // And netapply accepts them.
        let words = wanted[1].as_str().unwrap().replace("%%", "%");
        let status = Command::new(env!("CARGO_BIN_EXE_netapply"))
            .args(words.split(' ').skip(1))
            .arg("--help")
            .output()
            .expect("netapply runs");
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    }
    let warnings = system["warnings"].as_array().unwrap();
    assert!(warnings[0].as_str().unwrap().contains("handoff is \"none\" while a DHCP client is on"));
}

#[test]
fn without_a_fallback_no_client_is_on() {
    let with = |name: &str| system(name)["networking"].clone();
    assert_eq!(with("plain")["useDHCP"], json!(true));
    assert_eq!(with("plain")["dhcpcd"]["enable"], json!(true));
    for name in ["without-dhcp", "without-dhcp-networkmanager"] {
        assert_eq!(with(name)["useDHCP"], json!(false), "{name}");
        assert_eq!(with(name)["dhcpcd"]["enable"], json!(false), "{name}");
    }
    assert_eq!(with("without-dhcp")["networkmanager"]["settings"], json!({}), "it is not there");
    assert_eq!(
        with("without-dhcp-networkmanager")["networkmanager"]["settings"]["main"]["no-auto-default"],
        json!("*")
    );
    assert!(assertion("without-a-client").contains("no DHCP client is on"));
}

#[test]
fn an_installer_requires_a_key_to_log_in() {
    let installer = system("installer");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLE admin@example.com";
    assert_eq!(installer["keys"], json!([key]), "as `readFile` gives it, without the end of the line");
    assert_eq!(installer["services"]["openssh"]["enable"], json!(true));
    let settings = &installer["services"]["openssh"]["settings"];
    assert_eq!(settings["PermitRootLogin"], json!("prohibit-password"));
    assert_eq!(settings["PasswordAuthentication"], json!(false));
    assert_eq!(installer["services"]["qemuGuest"]["enable"], json!(true));
    assert_eq!(installer["kernelParams"], json!(["console=ttyS0,115200", "console=tty0"]));

    let changed = system("installer-changed");
    assert_eq!(changed["services"]["qemuGuest"]["enable"], json!(false));
    assert_eq!(changed["kernelParams"], json!(["console=ttyAMA0"]));

    for name in ["installer-without-keys", "installer-with-comments"] {
        assert!(assertion(name).contains("nobody could log in"), "{name}");
    }
    assert!(assertion("installer-with-a-private-key").contains("holds a private key"));
    assert!(assertion("container").contains("a container has no config drive"));
}

#[test]
fn an_option_accepts_exactly_its_values() {
    for (name, complaint) in [
        ("wrong-type", "`services.netapply.strict' is not of type `boolean'"),
        ("wrong-wait", "`services.netapply.wait' is not of type `null or integer between 0 and 300'"),
        ("wrong-probe", "`services.netapply.probes' is not of type"),
        ("wrong-probe-quote", "`services.netapply.probes' is not of type"),
        ("wrong-handoff", "`services.netapply.handoff' is not of type"),
        ("wrong-option", "`services.netapply.stricter' does not exist"),
        ("wrong-keys", "`services.netapply.installer.authorizedKeys' is not of type `list of"),
    ] {
        let error = evaluate(name).expect_err(name);
        assert!(error.contains(complaint), "{name}: {error}");
    }
    let guide = std::fs::read_to_string(Path::new(ROOT).join("docs/nixos.md")).unwrap();
    let options = system("options");
    for (name, option) in options.as_object().unwrap() {
        assert!(guide.contains(&format!("\n| `{name}` |")), "docs/nixos.md lacks {name}");
        assert!(option["description"].as_str().unwrap().len() > 15, "{name} says what it is for");
    }
    assert_eq!(options.as_object().unwrap().len(), 9);
}

#[test]
fn a_system_without_the_module_is_unchanged() {
    let system = system("disabled");
    assert_eq!(system["packages"], json!([]));
    assert_eq!(system["kernelModules"], json!([]));
    assert_eq!(system["units"].as_object().unwrap().keys().collect::<Vec<_>>(), ["dhcpcd"]);
}

#[test]
fn the_package_holds_the_units_with_its_own_program() {
    let packages = system("package");
    assert_eq!(packages["x86_64-linux"], packages["aarch64-linux"]);
    let package = &packages["x86_64-linux"];
    assert_eq!(
        (&package["pname"], &package["version"]),
        (&json!("netapply"), &json!(env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(package["meta"]["mainProgram"], json!("netapply"));

    // nixpkgs' stdenv, as far as the package uses it.
    let substitute = "substituteInPlace() { test \"$2\" = --replace-fail; grep -qF \"$3\" \"$1\"; sed -i \"s|$3|$4|g\" \"$1\"; }";
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("bash")
        .args(["-euc", &format!("{substitute}\n{}", package["postInstall"].as_str().unwrap())])
        .env("out", folder.path())
        .current_dir(ROOT)
        .status()
        .unwrap();
    assert!(status.success());
    let man = std::fs::read_dir(Path::new(ROOT).join("docs/man")).unwrap();
    let mut pages: Vec<String> = man.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    pages.push("netapply.8".to_owned());
    let pages = pages.iter().map(|page| format!("man/man8/{page}"));
    let completions = [
        "bash-completion/completions/netapply.bash",
        "zsh/site-functions/_netapply",
        "fish/vendor_completions.d/netapply.fish",
    ];
    for file in pages.chain(completions.map(str::to_owned)) {
        assert!(folder.path().join("share").join(&file).exists(), "{file}");
    }
    let program = folder.path().join("bin/netapply").display().to_string();
    let mut files = 0;
    let mut folders = vec![Path::new(ROOT).join("systemd")];
    while let Some(folder_of_ours) = folders.pop() {
        for entry in std::fs::read_dir(folder_of_ours).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let below = path.strip_prefix(Path::new(ROOT).join("systemd")).unwrap();
            // Puts it into images that have no package manager.
            if below == Path::new("install") {
                continue;
            }
            let installed = folder.path().join("lib/systemd/system").join(below);
            let text = std::fs::read_to_string(&path).unwrap().replace("/usr/bin/netapply", &program);
            assert_eq!(std::fs::read_to_string(installed).unwrap(), text, "{}", below.display());
            files += 1;
        }
    }
    assert!(files >= 12, "{files}");
}

/// What `systemd.network` has of the sections of networkd's files (nixos/modules/system/boot/networkd.nix), and whether they
/// may be repeated.
const SECTIONS: &[(&str, &str, bool)] = &[
    ("NetDev", "netdevConfig", false),
    ("Bond", "bondConfig", false),
    ("Bridge", "bridgeConfig", false),
    ("VLAN", "vlanConfig", false),
    ("VRF", "vrfConfig", false),
    ("MACVLAN", "macvlanConfig", false),
    ("VXLAN", "vxlanConfig", false),
    ("Tunnel", "tunnelConfig", false),
    ("Peer", "peerConfig", false),
    ("WireGuard", "wireguardConfig", false),
    ("WireGuardPeer", "wireguardPeers", true),
    ("Match", "matchConfig", false),
    ("Link", "linkConfig", false),
    ("Network", "networkConfig", false),
    ("Address", "addresses", true),
    ("Route", "routes", true),
    ("RoutingPolicyRule", "routingPolicyRules", true),
    ("DHCPv4", "dhcpV4Config", false),
    ("DHCPv6", "dhcpV6Config", false),
    ("IPv6AcceptRA", "ipv6AcceptRAConfig", false),
    ("BridgeVLAN", "bridgeVLANs", true),
    ("IPoIB", "ipoIBConfig", false),
];

/// A file of networkd's as `systemd.network` has it.
fn as_attributes(text: &str) -> Value {
    let mut file = json!({});
    for section in text.split("\n[").skip(1) {
        let (name, lines) = section.split_once("]\n").expect("a section");
        let mut keys = json!({});
        for (key, value) in lines.lines().filter_map(|line| line.split_once('=')) {
            let value = match value.parse::<i64>() {
                Ok(number) if number.to_string() == value && !key.ends_with("MTUBytes") => json!(number),
                _ => json!(value),
            };
            keys[key] = match keys[key].take() {
                Value::Null => value,
                Value::Array(mut all) => {
                    all.push(value);
                    Value::Array(all)
                }
                first => json!([first, value]),
            };
        }
        let (_, attribute, several) = SECTIONS.iter().find(|(known, ..)| *known == name).expect(name);
        match (several, file[attribute].take()) {
            (false, before) => {
                assert_eq!(before, Value::Null, "[{name}] is there twice");
                file[attribute] = keys;
            }
            (true, Value::Array(mut all)) => {
                all.push(keys);
                file[attribute] = Value::Array(all);
            }
            (true, _) => file[attribute] = json!([keys]),
        }
    }
    file
}

/// Every case of testdata as a module: its attributes are the sections that `--to networkd` writes, and nothing else of
/// NixOS makes a network.
#[test]
fn a_module_has_what_networkd_gets() {
    let folder = tempfile::tempdir().unwrap();
    let convert = |case: &Path, to: &str, output: &Path| {
        let run = Command::new(env!("CARGO_BIN_EXE_netapply"))
            .args(["convert", "--to", to, "--output"])
            .args([output, case])
            .output()
            .expect("netapply runs");
        drop(run);
    };
    let mut modules = BTreeMap::new();
    for format in std::fs::read_dir(Path::new(ROOT).join("testdata")).unwrap() {
        for case in std::fs::read_dir(format.unwrap().path()).unwrap() {
            let case = case.unwrap().path();
            let own = folder.path().join(modules.len().to_string());
            convert(&case, "nixos", &own);
            // WireGuard's keys are not for the store: such a module has less.
            if own.join("netapply.nix").exists() {
                convert(&case, "networkd", &own.join("networkd"));
                modules.insert(modules.len().to_string(), (case, own));
            }
        }
    }
    assert!(modules.len() > 100, "{}", modules.len());
    let list = modules.iter().map(|(name, (_, own))| format!("\"{name}\" = {}/netapply.nix;", own.display()));
    let expression = format!(
        "let
          lib = import {ROOT}/tests/nix/nixpkgs/lib.nix;
          look = file: let
            inherit (lib.evalModules {{ modules = [ {ROOT}/tests/nix/nixpkgs/nixos.nix file ]; specialArgs.pkgs = {{ }}; }}) config;
          in {{
            inherit (config.systemd) network;
            units = builtins.attrNames config.systemd.services;
            inherit (config.networking) useDHCP useNetworkd hostName;
          }};
        in builtins.mapAttrs (_: look) {{ {} }}",
        list.collect::<String>()
    );
    let output = Command::new("nix-instantiate")
        .args(["--store", "dummy://", "--eval", "--strict", "--json", "-E", &expression])
        .output()
        .unwrap_or_else(|error| panic!("nix-instantiate: {error}: run tests/setup"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let systems: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut files = 0;
    for (name, (case, own)) in &modules {
        let system = &systems[name];
        assert_eq!((&system["useDHCP"], &system["useNetworkd"]), (&json!(false), &json!(true)));
        assert_eq!(system["units"], json!(["systemd-networkd-wait-online"]), "{}", case.display());
        let mut secret = false;
        let mut network = json!({"enable": true, "links": {}, "netdevs": {}, "networks": {}});
        for file in std::fs::read_dir(own.join("networkd")).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let kind = format!("{}s", path.extension().unwrap().to_str().unwrap());
            secret |= text.contains("\nPrivateKey=") || text.contains("\nPresharedKey=");
            network[kind][path.file_stem().unwrap().to_str().unwrap()] = as_attributes(&text);
            files += 1;
        }
        if secret {
            continue;
        }
        assert_eq!(system["network"], network, "{}", case.display());
    }
    assert!(files > 500, "{files}");
}
