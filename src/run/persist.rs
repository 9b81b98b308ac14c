//! `netapply persist`: writes a description into a system that is not running, in the format of the tool that makes the
//! network there, and says which of its files compete with that.

use std::fs;
use std::path::{Path, PathBuf};

use super::convert::{converted, give, write_file};
use super::{Exit, complain, print_raw};
use crate::cli::Args;
use crate::export::{File, Tool, is_ours};
use crate::handoff::wanted;
use crate::machine::Machine;
use crate::order::Order as _;
use crate::page::printable;

/// A tool that makes the network of a system, and where it takes files from.
struct Network {
    tool: Tool,
    name: &'static str,
    /// The folder of its files.
    folder: &'static str,
    /// It is installed: one of these is there.
    programs: &'static [&'static str],
    /// It is enabled: one of these units is; none where being installed is enough.
    units: &'static [&'static str],
}

/// The tools in order of preference: netplan gives its files to one of those below it.
const NETWORKS: &[Network] = &[
    Network {
        tool: Tool::Netplan,
        name: "netplan",
        folder: "/etc/netplan",
        programs: &[
            "/usr/lib/systemd/system-generators/netplan",
            "/lib/systemd/system-generators/netplan",
            "/usr/sbin/netplan",
        ],
        units: &[],
    },
    Network {
        tool: Tool::Keyfile,
        name: "NetworkManager",
        folder: "/etc/NetworkManager/system-connections",
        programs: &["/usr/sbin/NetworkManager", "/usr/bin/NetworkManager"],
        units: &["NetworkManager.service"],
    },
    Network {
        tool: Tool::Networkd,
        name: "systemd-networkd",
        folder: "/etc/systemd/network",
        programs: &["/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd"],
        units: &["systemd-networkd.service"],
    },
    Network {
        tool: Tool::Eni,
        name: "ifupdown",
        folder: "/etc/network/interfaces.d",
        programs: &["/usr/sbin/ifup", "/sbin/ifup"],
        units: &["networking.service"],
    },
];

static NIXOS: Network =
    Network { tool: Tool::Nixos, name: "NixOS", folder: "/etc/nixos", programs: &["/etc/NIXOS"], units: &[] };

/// Exit code 1 where no tool is enabled or a file cannot be written, else that of `convert`.
pub(super) fn persist(args: &Args, root: &str) -> Exit {
    let machine = Machine::below(root);
    if !machine.root().is_dir() {
        complain(&format!("{root} is not a directory: name the root of a mounted system"));
        return Exit::Usage;
    }
    let enabled = enabled(&machine);
    let Some(network) = enabled.first() else {
        let names: Vec<&str> = NETWORKS.iter().map(|network| network.name).collect();
        complain(&format!(
            "no tool is enabled below {root} that would make its network: looked for NixOS, {}",
            names.join(", ")
        ));
        return Exit::Incomplete;
    };
    let converted = match converted(args, args.sources.first(), network.tool) {
        Ok(converted) => converted,
        Err(exit) => return exit,
    };
    let (mut files, exit) = match converted.files(args) {
        Ok((files, exit)) => (files.to_vec(), exit),
        Err(exit) => return exit,
    };
    let folder = match place(network, &machine, &mut files) {
        Ok(folder) => folder,
        Err(why) => {
            complain(&why);
            return Exit::Incomplete;
        }
    };
    let mut page = String::new();
    for file in &files {
        let path = folder.join(&file.name);
        if let Err(why) = write_file(&path, file).and_then(|()| give(&path, file, &machine)) {
            complain(&why);
            return Exit::Incomplete;
        }
        page += &format!("{}: wrote {}\n", network.name, path.display());
    }
    for path in earlier(&folder, &files) {
        match fs::remove_file(&path) {
            Ok(()) => {
                page += &format!("{}: removed {} of an earlier netapply\n", network.name, path.display())
            }
            Err(error) => complain(&format!("cannot remove {}: {error}", path.display())),
        }
    }
    page += &notes(network, &enabled, &machine, &folder, &files);
    let page: String = page.lines().map(|line| format!("{}\n", printable(line))).collect();
    print_raw(&page, exit)
}

/// The tools that are installed and enabled.
fn enabled(machine: &Machine) -> Vec<&'static Network> {
    let is_installed =
        |network: &&'static Network| network.programs.iter().any(|path| exists(&machine.at(path)));
    if is_installed(&&NIXOS) {
        return vec![&NIXOS];
    }
    let is_on = |network: &&'static Network| {
        network.units.is_empty() || network.units.iter().any(|unit| is_enabled(machine, unit))
    };
    NETWORKS.iter().filter(is_installed).filter(is_on).collect()
}

/// Whether something is there, be it a link that leads nowhere from here: the system is not running.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether systemd starts a unit: some target wants it, and it is not masked; or, with OpenRC, a runlevel has it.
fn is_enabled(machine: &Machine, unit: &str) -> bool {
    let own = machine.at("/etc/systemd/system");
    if fs::read_link(own.join(unit)).is_ok_and(|target| target == Path::new("/dev/null")) {
        return false;
    }
    let service = unit.trim_end_matches(".service");
    wanted(machine).iter().any(|name| name == unit)
        || below(&machine.at("/etc/runlevels")).iter().any(|level| exists(&level.join(service)))
}

/// The entries of a folder in order; none where there is no folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.order();
    paths
}

/// The folder to write to, which has to be below the root whatever links lead there. ifupdown reads others' files only
/// where its own says so.
fn place(network: &Network, machine: &Machine, files: &mut [File]) -> Result<PathBuf, String> {
    let mut folder = machine.at(network.folder);
    if network.tool == Tool::Eni {
        let own = machine.at("/etc/network/interfaces");
        match fs::read_to_string(&own) {
            Ok(text) if sources(&text) => {
                for file in files {
                    file.name = "netapply".to_owned();
                }
            }
            Ok(text) if is_ours(&text) => folder = machine.at("/etc/network"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => folder = machine.at("/etc/network"),
            Ok(_) => {
                return Err(format!(
                    "{0} is somebody's and reads no other file: add the line \"source /etc/network/interfaces.d/*\"",
                    own.display()
                ));
            }
            Err(error) => return Err(format!("cannot read {}: {error}", own.display())),
        }
    }
    let there = folder.ancestors().find(|path| exists(path)).unwrap_or(&folder);
    let (real, root) = (fs::canonicalize(there), fs::canonicalize(machine.root()));
    match (real, root) {
        (Ok(real), Ok(root)) if real.starts_with(&root) => Ok(folder),
        _ => Err(format!("{} leads out of {}", there.display(), machine.root().display())),
    }
}

/// Files of an earlier netapply for links that are described no longer.
fn earlier(folder: &Path, files: &[File]) -> Vec<PathBuf> {
    let is_new = |path: &PathBuf| files.iter().any(|file| folder.join(&file.name) == *path);
    let text = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
    below(folder).into_iter().filter(|path| !is_new(path) && is_ours(&text(path))).collect()
}

/// Whether interfaces text reads the files of interfaces.d.
fn sources(text: &str) -> bool {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.into_iter().any(|words| match words.as_slice() {
        ["source" | "source-directory", path, ..] => path.contains("interfaces.d"),
        _ => false,
    })
}

/// What an operator has to know beside the files: what competes, and what it takes until they have an effect.
fn notes(
    network: &Network,
    enabled: &[&'static Network],
    machine: &Machine,
    folder: &Path,
    files: &[File],
) -> String {
    let mut out = String::new();
    for path in competing(network, machine, folder) {
        if files.iter().all(|file| folder.join(&file.name) != path) {
            out += &format!("{} is read, too, and may compete\n", path.display());
        }
    }
    for other in enabled.iter().skip(1).filter(|_| network.tool != Tool::Netplan) {
        out += &format!("{} is enabled, too, and may take the same links\n", other.name);
    }
    if network.tool == Tool::Nixos {
        out +=
            "a rebuild activates it: import ./netapply.nix in configuration.nix, then nixos-rebuild switch\n";
    }
    if cloud_init_writes(machine) {
        out += "cloud-init is enabled and may write the network anew: \"network: {config: disabled}\" in /etc/cloud/cloud.cfg.d turns that off\n";
    }
    out
}

/// The files of others that the tool reads beside ours.
fn competing(network: &Network, machine: &Machine, folder: &Path) -> Vec<PathBuf> {
    let ends = |path: &Path, ending: &str| path.extension().is_some_and(|end| end == ending);
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match network.tool {
        Tool::Netplan => below(folder).into_iter().filter(|path| ends(path, "yaml")).collect(),
        Tool::Keyfile => {
            let scripts = below(&machine.at("/etc/sysconfig/network-scripts"));
            let scripts = scripts
                .into_iter()
                .filter(|path| name(path).starts_with("ifcfg-") && name(path) != "ifcfg-lo");
            below(folder).into_iter().filter(|path| !is_hidden(&name(path))).chain(scripts).collect()
        }
        // The first file that matches a link has it.
        Tool::Networkd => {
            let before = |path: &PathBuf| {
                (ends(path, "network") || ends(path, "link")) && name(path).as_str() < "10-netapply-"
            };
            let folders = [folder.to_owned(), machine.at("/usr/lib/systemd/network")];
            folders.iter().flat_map(|folder| below(folder)).filter(before).collect()
        }
        Tool::Eni => {
            let has_stanza = |path: &PathBuf| {
                let text = fs::read_to_string(path).unwrap_or_default();
                let others = |line: &str| {
                    let mut words = line.split_whitespace();
                    words.next() == Some("iface") && words.next().is_some_and(|name| name != "lo")
                };
                text.lines().any(others)
            };
            let own = machine.at("/etc/network/interfaces");
            let others = below(&machine.at("/etc/network/interfaces.d"));
            std::iter::once(own).chain(others).filter(has_stanza).collect()
        }
        _ => Vec::new(),
    }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// Whether cloud-init is there and nobody told it to leave the network alone.
fn cloud_init_writes(machine: &Machine) -> bool {
    let is_there = ["/usr/bin/cloud-init", "/run/current-system/sw/bin/cloud-init"];
    let is_off = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default().replace([' ', '{', '}', '\n'], "");
        text.contains("network:config:disabled")
    };
    is_there.iter().any(|path| exists(&machine.at(path)))
        && !exists(&machine.at("/etc/cloud/cloud-init.disabled"))
        && !below(&machine.at("/etc/cloud/cloud.cfg.d")).iter().any(is_off)
}
