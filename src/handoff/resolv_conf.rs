//! The state of /etc/resolv.conf: the links that it leads through, the file at their end, and what writes that file.

use std::fs;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};

use super::files::read;
use crate::machine::Machine;

/// glibc and musl use at most this many name servers (`MAXNS`, resolv.h).
pub(crate) const SERVERS: usize = 3;
/// Where programs look.
pub(super) const ETC: &str = "/etc/resolv.conf";
/// The kernel follows no more links (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;
/// Where resolvconf(8) is.
const PROGRAMS: &[&str] = &[
    "/sbin/resolvconf",
    "/usr/sbin/resolvconf",
    "/usr/bin/resolvconf",
    "/run/current-system/sw/bin/resolvconf",
];

/// The end of the links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// A regular file.
    File,
    /// Nothing exists there.
    #[default]
    Missing,
    /// A folder, or something else that is no file.
    Other,
    /// The links form a cycle.
    Circle,
}

/// Whether the file at the end can be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It can be replaced, or created.
    #[default]
    Writable,
    /// The file system is read-only, or the file is immutable.
    ReadOnly,
}

/// The state of /etc/resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResolvConf {
    /// The links that were followed, /etc/resolv.conf first.
    pub links: Vec<String>,
    /// The path at the end.
    pub path: String,
    /// What exists there.
    pub end: End,
    /// Whether it can be written.
    pub access: Access,
    /// Whether /etc/resolv.conf itself can be replaced by a file.
    pub etc: Access,
    /// Its name servers, at most the three that programs use; with a zone if one was given.
    pub servers: Vec<Server>,
    /// The program named in a comment as the file's writer.
    pub writer: Option<String>,
}

/// A name server of resolv.conf(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its address.
    pub ip: IpAddr,
    /// The link of a link-local one.
    pub zone: Option<String>,
}

impl ResolvConf {
    /// Follows /etc/resolv.conf to its end.
    pub(super) fn observe(machine: &Machine) -> Self {
        let (links, path) = follow(machine, ETC);
        let text = path.as_deref().and_then(|path| read(machine, path)).unwrap_or_default();
        let etc = if can_write(&machine.at("/etc")) { Access::Writable } else { Access::ReadOnly };
        let Some(path) = path else {
            return ResolvConf { links, path: ETC.into(), end: End::Circle, etc, ..ResolvConf::default() };
        };
        let file = machine.at(&path);
        let (end, writable) = match fs::symlink_metadata(&file) {
            // An immutable file and one that is mounted read-only cannot be written, which the folder does not show.
            Ok(found) if found.is_file() => (End::File, can_write(&file)),
            Ok(_) => (End::Other, false),
            Err(_) => (End::Missing, file.ancestors().skip(1).find(|f| f.exists()).is_some_and(can_write)),
        };
        let access = if writable { Access::Writable } else { Access::ReadOnly };
        let mut servers = parse(&text).0;
        servers.truncate(SERVERS);
        ResolvConf { links, path, end, access, etc, servers, writer: writer(&text) }
    }

    /// Whether the end is one of systemd-resolved's files (systemd-resolved.service(8), section /ETC/RESOLV.CONF).
    pub(super) fn is_of_resolved(&self) -> bool {
        ["/run/systemd/resolve/", "/usr/lib/systemd/resolv.conf", "/lib/systemd/resolv.conf"]
            .iter()
            .any(|place| self.path.starts_with(place))
    }

    /// Whether the end is NetworkManager's own file.
    pub(super) fn is_of_network_manager(&self) -> bool {
        self.path.starts_with("/run/NetworkManager/")
    }

    /// Whether the end belongs to a package, so that only its maintainer writes it.
    pub(super) fn is_of_package(&self) -> bool {
        ["/usr/", "/lib/", "/nix/"].iter().any(|place| self.path.starts_with(place))
    }
}

/// The symbolic links on a path, those of folders included, and its end below the machine's root; `None` if they form a
/// cycle.
fn follow(machine: &Machine, path: &str) -> (Vec<String>, Option<String>) {
    let mut links = Vec::new();
    let mut at = PathBuf::from("/");
    let components = |path: &Path| {
        let names = path.components().rev().filter(|c| !matches!(c, Component::RootDir | Component::CurDir));
        names.map(|c| c.as_os_str().to_owned()).collect::<Vec<_>>()
    };
    let mut rest = components(Path::new(path));
    while let Some(name) = rest.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        match fs::read_link(machine.at(&next.to_string_lossy())) {
            Ok(target) => {
                links.push(next.to_string_lossy().into_owned());
                if links.len() > MOST_LINKS {
                    return (links, None);
                }
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                rest.extend(components(&target));
            }
            Err(_) => at = next,
        }
    }
    (links, Some(at.to_string_lossy().into_owned()))
}

/// access(2) detects read-only mounts and immutable files, which permission bits do not show.
fn can_write(path: &Path) -> bool {
    access(path, AccessFlags::W_OK).is_ok()
}

/// The name servers and the search domains of a resolv.conf(5). Programs use [`SERVERS`] of the servers, and the last line
/// of domains.
pub(crate) fn parse(text: &str) -> (Vec<Server>, Vec<String>) {
    let (mut servers, mut search) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let word = words.next().unwrap_or_default();
                let (ip, zone) = word.split_once('%').map_or((word, None), |(ip, zone)| (ip, Some(zone)));
                servers.extend(ip.parse().ok().map(|ip| Server { ip, zone: zone.map(str::to_owned) }));
            }
            Some("search" | "domain") => search = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    (servers, search)
}

/// The program named as the file's writer: `# Generated by NetworkManager`, `# … generated by resolvconf(8)`.
fn writer(text: &str) -> Option<String> {
    let comments = text.lines().take_while(|line| line.starts_with(['#', ';']) || line.is_empty());
    let by = comments.filter_map(|line| line.split_once("enerated by ").or(line.split_once("Made by ")));
    let name = by.filter_map(|(_, name)| name.split([' ', '.', ',', '(']).next()).next()?;
    Some(crate::page::printable(name).into_owned())
}

/// resolvconf(8): Debian's, or openresolv.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolvconf {
    /// The program.
    pub program: String,
    /// It is Debian's, which writes only /run/resolvconf/resolv.conf.
    pub debian: bool,
    /// openresolv's settings, as `name` and value.
    pub settings: Vec<(String, String)>,
}

impl Resolvconf {
    fn is(machine: &Machine, program: &str) -> bool {
        // systemd-resolved ships one that is another name of resolvectl(1).
        let own = fs::read_link(machine.at(program)).is_ok_and(|target| target.ends_with("resolvectl"));
        machine.at(program).is_file() && !own && access(&machine.at(program), AccessFlags::X_OK).is_ok()
    }

    pub(super) fn observe(machine: &Machine) -> Option<Self> {
        let program = PROGRAMS.iter().find(|program| Resolvconf::is(machine, program))?;
        // A file of shell assignments (resolvconf.conf(5)).
        let text = read(machine, "/etc/resolvconf.conf").unwrap_or_default();
        let settings = text.lines().filter_map(|line| {
            let (name, value) = line.trim().split_once('=')?;
            let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
            (!name.starts_with('#')).then(|| (name.to_owned(), value.to_owned()))
        });
        Some(Resolvconf {
            program: (*program).to_owned(),
            debian: machine.at("/etc/resolvconf/update.d").is_dir(),
            settings: settings.collect(),
        })
    }

    /// A setting; the last one counts, and an empty one counts as unset.
    fn setting(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().rfind(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Why a record of this name is not written to the file that programs read; `None` if it is.
    pub(super) fn obstacle(&self, record: &str, resolv_conf: &ResolvConf) -> Option<String> {
        if self.debian {
            let reads = resolv_conf.path.starts_with("/run/resolvconf/");
            return (!reads).then(|| {
                format!("resolvconf writes /run/resolvconf/resolv.conf, and {ETC} does not lead there")
            });
        }
        let off = |value: &&str| ["NO", "FALSE", "0", "OFF"].contains(&value.to_uppercase().as_str());
        if let Some(value) = self.setting("resolvconf").filter(off) {
            return Some(format!("resolvconf={value} in /etc/resolvconf.conf"));
        }
        let elsewhere = |path: &&str| *path != ETC && *path != resolv_conf.path;
        if let Some(path) = self.setting("resolv_conf").filter(elsewhere) {
            return Some(format!("resolv_conf={path} in /etc/resolvconf.conf"));
        }
        let matches = |patterns: &str| {
            let mut patterns = patterns.split_whitespace().filter_map(|p| glob::Pattern::new(p).ok());
            patterns.any(|pattern| pattern.matches(record))
        };
        for (name, fits) in [("allow_interfaces", false), ("deny_interfaces", true)] {
            if let Some(value) = self.setting(name).filter(|value| matches(value) == fits) {
                return Some(format!("{name}=\"{value}\" in /etc/resolvconf.conf"));
            }
        }
        None
    }
}
