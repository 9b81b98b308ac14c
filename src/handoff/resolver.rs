//! Name servers and search domains, in the way that the image's /etc/resolv.conf asks for.

use super::draft::{Draft, For};
use super::links::MADE;
use super::{ResolvConf, uplink};
use crate::model::Resolver;
use crate::plan::Service;
use crate::resolve::Resolved;

/// glibc and musl ask no more (`MAXNS`, resolv.h).
const SERVERS: usize = 3;
const ETC: &str = "/etc/resolv.conf";

/// Tells the image the described name servers; nothing where the description has none.
pub(super) fn tell(draft: &mut Draft, resolved: &Resolved) {
    let resolver = &resolved.resolver;
    let Some(uplink) =
        uplink(resolved).filter(|_| !resolver.servers.is_empty() || !resolver.search.is_empty())
    else {
        return;
    };
    let surroundings = draft.surroundings;
    // Without the link that leads to them, the servers are of no use and the image's own take over.
    let whose = For::Link(uplink);
    if surroundings.dracut {
        draft.file(whose, format!("/tmp/net.{}.resolv.conf", uplink.name), text(resolver, ""));
    }
    if surroundings.initramfs || surroundings.resolv_conf == ResolvConf::Resolved {
        // In an initramfs it is for the system that follows, which may have systemd-resolved; /run survives.
        let written =
            draft.file(whose, "/run/systemd/resolved.conf.d/50-netapply.conf", resolved_conf(resolver));
        if written && surroundings.resolved_runs {
            draft.refresh(Service::Resolved);
        }
    }
    match &surroundings.resolv_conf {
        ResolvConf::Resolved => return,
        ResolvConf::NetworkManager(path) => {
            // NetworkManager would overwrite the file with what it knows itself: nothing.
            draft.file(
                whose,
                "/run/NetworkManager/conf.d/00-netapply-dns.conf",
                format!("{MADE}[main]\ndns=none\nrc-manager=unmanaged\n"),
            );
            let present = surroundings.files.get(path).map_or("", String::as_str);
            draft.file(whose, path, text(resolver, present));
        }
        ResolvConf::Program(program) => {
            // openresolv and Debian's program merge the records of all interfaces.
            draft.resolvconf(whose, program, format!("{}.netapply", uplink.name), text(resolver, ""));
        }
        ResolvConf::ReadOnly => {
            let path = "/run/netapply/resolv.conf";
            draft.file(whose, path, text(resolver, ""));
            draft.note(format!(
                "{ETC} cannot be written, so programs do not see the described name servers: they are in {path}."
            ));
        }
        ResolvConf::File(path) => {
            if surroundings.network_manager {
                draft.file(
                    whose,
                    "/run/NetworkManager/conf.d/00-netapply-dns.conf",
                    format!("{MADE}[main]\ndns=none\nrc-manager=unmanaged\n"),
                );
            }
            let present = surroundings.files.get(path).map_or("", String::as_str);
            draft.file(whose, path, text(resolver, present));
        }
    }
    if resolver.servers.len() > SERVERS {
        draft.note(format!(
            "The description has {} name servers; programs ask the first {SERVERS}.",
            resolver.servers.len()
        ));
    }
}

/// A resolv.conf(5). What the description does not speak of stays as it is in `present`.
fn text(resolver: &Resolver, present: &str) -> String {
    let keep = |words: &'static [&'static str]| {
        let is = move |line: &&str| line.split_whitespace().next().is_some_and(|w| words.contains(&w));
        present.lines().filter(is).map(|line| format!("{line}\n")).collect::<String>()
    };
    let mut text = String::from(MADE);
    if resolver.search.is_empty() {
        text.push_str(&keep(&["search", "domain"]));
    } else {
        text.push_str(&format!("search {}\n", domains(resolver)));
    }
    if resolver.servers.is_empty() {
        text.push_str(&keep(&["nameserver"]));
    } else {
        for server in resolver.servers.iter().take(SERVERS) {
            text.push_str(&format!("nameserver {}\n", server.value));
        }
    }
    text.push_str(&keep(&["options", "sortlist"]));
    text
}

/// For systemd-resolved: servers that hold for every link.
fn resolved_conf(resolver: &Resolver) -> String {
    let mut text = format!("{MADE}[Resolve]\n");
    if !resolver.servers.is_empty() {
        let servers: Vec<String> = resolver.servers.iter().map(|s| s.value.to_string()).collect();
        text.push_str(&format!("DNS={}\n", servers.join(" ")));
    }
    if !resolver.search.is_empty() {
        text.push_str(&format!("Domains={}\n", domains(resolver)));
    }
    text
}

fn domains(resolver: &Resolver) -> String {
    resolver.search.iter().map(|d| d.value.as_str()).collect::<Vec<_>>().join(" ")
}
