//! The contents of netapply and of its package: licences, duplicate crate versions, files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Licences that a dependency may be used under; deny.toml lists the same for the public CI.
const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "Unlicense",
];

/// Crates that are present in two versions, and why.
const TWICE: &[(&str, &str)] = &[
    ("getrandom", "proptest's rand and tempfile, in tests only"),
    ("syn", "at build time only: derives of the netlink crates, serde and tokio"),
];

/// cargo's data on every crate that this machine's build needs, from Cargo.lock and the download cache.
fn crates() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = Command::new(cargo);
    command.current_dir(ROOT);
    command.args(["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", &host]);
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let used: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages.filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id))).cloned().collect()
}

/// Whether one of the alternatives of an SPDX expression consists of allowed licences.
fn is_allowed(expression: &str) -> bool {
    if let Some((first, rest)) = expression.strip_prefix('(').and_then(|inner| inner.split_once(") AND ")) {
        return is_allowed(first) && is_allowed(rest);
    }
    let one = |text: &str| text.split(" AND ").all(|part| LICENCES.contains(&part.trim()));
    expression.split(" OR ").flat_map(|part| part.split('/')).any(one)
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let crates = crates();
    assert!(crates.len() > 20, "only {} crates were found", crates.len());
    let licence = |package: &Value| package["license"].as_str().unwrap_or("none").to_owned();
    let refused: Vec<String> = crates
        .iter()
        .filter(|package| !is_allowed(&licence(package)))
        .map(|package| format!("{}: {}", package["name"], licence(package)))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0") && is_allowed("MIT/Apache-2.0"));
    assert!(!is_allowed("GPL-2.0-only") && !is_allowed("MIT AND GPL-2.0-only") && !is_allowed("none"));
}

#[test]
fn no_crate_is_duplicated_without_a_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in crates() {
        let word = |key: &str| package[key].as_str().expect("a word").to_owned();
        versions.entry(word("name")).or_default().insert(word("version"));
    }
    let twice: BTreeSet<&str> =
        versions.iter().filter(|(_, versions)| versions.len() > 1).map(|(name, _)| name.as_str()).collect();
    let listed: BTreeSet<&str> = TWICE.iter().map(|(name, _)| *name).collect();
    assert_eq!(twice, listed, "TWICE lists the crates that are there in two versions");
}

#[test]
fn the_package_holds_what_a_build_needs() {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(ROOT);
    let output =
        command.args(["package", "--list", "--offline", "--allow-dirty"]).output().expect("cargo runs");
    assert!(output.status.success(), "cargo package: {}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8_lossy(&output.stdout);
    let listed: Vec<&str> = listed.lines().collect();
    const BESIDE: &[&str] = &[
        ".cargo_vcs_info.json",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "Cargo.toml.orig",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "build.rs",
        "linker.ld",
    ];
    let needless: Vec<&&str> =
        listed.iter().filter(|path| !path.starts_with("src/") && !BESIDE.contains(path)).collect();
    assert!(needless.is_empty(), "no build needs {needless:?}: see `include` in Cargo.toml");
    for needed in ["src/main.rs", "Cargo.lock", "LICENSE-MIT"] {
        assert!(listed.contains(&needed), "the package lacks {needed}");
    }
}

/// In the folders that Debian's packages use; nothing below /etc, where a package's links would be taken for the
/// administrator's.
#[test]
fn the_debian_package_holds_units_hooks_manuals_and_completions() {
    let out = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(Path::new(ROOT).join("release/deb"));
    command.arg(Path::new(ROOT).join("LICENSE-MIT")).arg("amd64").arg(out.path());
    command.env("DEBFULLNAME", "Somebody").env("DEBEMAIL", "somebody@example.com");
    let output = command.output().expect("release/deb runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let package = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let ask = |option: &str| {
        let output = Command::new("dpkg-deb").args([option, &package]).output().expect("dpkg-deb runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (held, about) = (ask("--contents"), ask("--info"));
    for path in [
        "./usr/bin/netapply",
        "./usr/lib/systemd/system/netapply.service",
        "./usr/lib/systemd/system/netapply-wait-online.service",
        "./usr/lib/systemd/system/netapply-lease.service",
        "./usr/lib/systemd/system/dhcpcd.service.d/50-netapply.conf",
        "./usr/lib/dracut/modules.d/50netapply/module-setup.sh",
        "./usr/share/initramfs-tools/hooks/netapply",
        "./usr/share/initramfs-tools/scripts/init-premount/netapply",
        "./usr/share/man/man8/netapply.8.gz",
        "./usr/share/man/man8/netapply-check.8.gz",
        "./usr/share/bash-completion/completions/netapply",
        "./usr/share/zsh/vendor-completions/_netapply",
        "./usr/share/fish/vendor_completions.d/netapply.fish",
        "./usr/share/doc/netapply/copyright",
    ] {
        assert!(held.lines().any(|line| line.ends_with(path)), "{path} is missing:\n{held}");
    }
    assert!(!held.contains("./etc/") && held.lines().all(|line| line.contains("root/root")), "{held}");
    assert!(about.contains(concat!("Version: ", env!("CARGO_PKG_VERSION"))), "{about}");
    assert!(about.contains("Maintainer: Somebody <somebody@example.com>"), "{about}");
}

/// The SBOM lists the contents of Cargo.lock, with checksums, and nothing that only tests or builds need.
#[test]
fn the_sbom_lists_what_is_linked() {
    let output = Command::new(Path::new(ROOT).join("release/sbom"))
        .env("CARGO_NET_OFFLINE", "true")
        .output()
        .expect("release/sbom runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sbom: Value = serde_json::from_slice(&output.stdout).expect("release/sbom prints JSON");
    assert_eq!(
        sbom["metadata"]["component"]["purl"],
        concat!("pkg:cargo/netapply@", env!("CARGO_PKG_VERSION"))
    );
    let components = sbom["components"].as_array().expect("components");
    let names: BTreeSet<&str> = components.iter().filter_map(|each| each["name"].as_str()).collect();
    for linked in ["rtnetlink", "tokio", "serde_json", "clap_builder", "libc"] {
        assert!(names.contains(linked), "{linked} is missing");
    }
    for absent in ["proptest", "boon", "serde_derive", "clap_mangen", "syn"] {
        assert!(!names.contains(absent), "{absent} is not linked");
    }
    for each in components {
        let sum = each["hashes"][0]["content"].as_str().unwrap_or_default();
        assert_eq!(sum.len(), 64, "{each}");
        assert!(is_allowed(each["licenses"][0]["expression"].as_str().unwrap_or("none")), "{each}");
    }
}

#[test]
fn every_fuzz_target_runs_each_night() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let workflow = std::fs::read_to_string(root.join(".github/workflows/nightly.yml")).unwrap();
    let (_, rest) = workflow.split_once("matrix: { target: [").expect("the job fuzz has a matrix");
    let (list, _) = rest.split_once(']').unwrap();
    let mut listed: Vec<&str> = list.split(", ").collect();
    let mut there: Vec<String> = std::fs::read_dir(root.join("fuzz/targets"))
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    listed.sort_unstable();
    there.sort_unstable();
    assert_eq!(listed, there);
}
