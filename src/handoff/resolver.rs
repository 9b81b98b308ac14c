//! Name servers and search domains, for the image's programs.

use super::draft::{For, PlanDraft};
use super::image::Presence;
use super::resolv_conf::{Access, ETC, End, Resolvconf, SERVERS};
use super::{MADE, Surroundings, uplink};
use crate::model::{Resolver, is_plain};
use crate::resolve::Resolved;

/// Where name servers have to be written so that the image's programs use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination<'a> {
    /// systemd-resolved, by a drop-in.
    Resolved,
    /// NetworkManager writes this file itself.
    NetworkManager(&'a str),
    /// resolvconf(8).
    Resolvconf(&'a Resolvconf),
    /// Nobody else writes this file.
    File(&'a str),
    /// The file cannot be written, for this reason.
    Nowhere(String),
}

/// Decides by the state of /etc/resolv.conf and the programs that write it.
pub(super) fn destination<'a>(surroundings: &'a Surroundings, record: &str) -> Destination<'a> {
    let Surroundings { resolv_conf, resolvconf, resolved, network_manager, .. } = surroundings;
    if resolv_conf.is_of_resolved() && *resolved >= Presence::Enabled {
        return Destination::Resolved;
    }
    if resolv_conf.is_of_network_manager() && *network_manager >= Presence::Enabled {
        return Destination::NetworkManager(&resolv_conf.path);
    }
    if let Some(program) = resolvconf {
        if program.obstacle(record, resolv_conf).is_none() {
            return Destination::Resolvconf(program);
        }
    }
    let path = match resolv_conf.path.as_str() {
        "" => ETC,
        path => path,
    };
    let writable = resolv_conf.access == Access::Writable;
    match resolv_conf.end {
        End::File | End::Missing if writable && !resolv_conf.is_of_package() => Destination::File(path),
        // The link is replaced: it dangles, or leads to a package's file.
        End::Missing | End::File | End::Circle
            if resolv_conf.etc == Access::Writable && !resolv_conf.links.is_empty() =>
        {
            Destination::File(ETC)
        }
        End::Other => Destination::Nowhere(format!("{path} is not a file")),
        End::Circle => Destination::Nowhere(format!("the links of {ETC} lead in a circle")),
        End::File | End::Missing => Destination::Nowhere(format!("{path} is read-only")),
    }
}

/// Configures the described name servers in the image; does nothing if the description has none.
pub(super) fn tell(draft: &mut PlanDraft, resolved: &Resolved) {
    let mut resolver = resolved.resolver.clone();
    let described = !resolver.servers.is_empty() || !resolver.search.is_empty();
    let Some(uplink) = uplink(resolved).filter(|_| described) else { return };
    let surroundings = draft.surroundings;
    // Programs ask a link-local server through one link or not at all.
    resolver.stand_on(&uplink.name);
    let resolver = &resolver;
    // The name is used in a command line and in file names.
    let link = if is_plain(&uplink.name) { uplink.name.as_str() } else { "link" };
    // Without the link that leads to them, the servers are useless and the image's own are used.
    let whose = For::Resolver(uplink);
    if surroundings.dracut {
        draft.file_of_others(whose, &format!("/tmp/net.{link}.resolv.conf"), text(resolver, ""));
    }
    // In an initramfs it is for the following system, which may have systemd-resolved; /run survives. A resolved that
    // is not enabled may be started by hand.
    let may_be_resolved =
        surroundings.resolv_conf.is_of_resolved() && surroundings.resolved > Presence::Masked;
    if surroundings.initramfs || may_be_resolved {
        draft.file(whose, "/run/systemd/resolved.conf.d/50-netapply.conf", resolved_conf(resolver));
    }
    let record = format!("{link}.netapply");
    let destination = destination(surroundings, &record);
    if let (Some(program), Destination::File(_)) = (&surroundings.resolvconf, &destination) {
        if let Some(obstacle) =
            program.obstacle(&record, &surroundings.resolv_conf).filter(|_| !program.debian)
        {
            draft.note(format!(
                "{obstacle} keeps the described name servers out: they are written into the file itself, until \
                 resolvconf writes it again."
            ));
        }
    }
    let present = |path: &str| surroundings.files.get(path).map_or("", String::as_str);
    match destination {
        Destination::Resolved => return,
        Destination::NetworkManager(path) => {
            // It rewrites the file with each lease: with these servers, because they are global ones.
            network_manager(draft, whose, resolver, "");
            // Once it runs, it has written the same itself.
            match has_the_same(present(path), resolver) {
                true => draft.keep(path),
                false => draft.file_of_others(whose, path, text(resolver, present(path))),
            }
        }
        Destination::Resolvconf(program) => {
            draft.resolvconf(whose, &program.program, record, text(resolver, ""));
        }
        Destination::Nowhere(why) => {
            let path = "/run/netapply/resolv.conf";
            draft.file(whose, path, text(resolver, ""));
            draft.note(format!("Programs do not see the described name servers: {why}. They are in {path}."));
        }
        Destination::File(path) => {
            network_manager(draft, whose, resolver, "[main]\ndns=none\nrc-manager=unmanaged\n\n");
            draft.file_of_others(whose, path, text(resolver, present(path)));
        }
    }
    if resolver.servers.len() > SERVERS {
        draft.note(format!(
            "The description has {} name servers; programs ask the first {SERVERS}.",
            resolver.servers.len()
        ));
    }
}

/// Configures the servers as global ones in NetworkManager: where a setting of the image takes precedence over `main`,
/// it writes these into resolv.conf. Without any server it has to keep writing those of its leases.
fn network_manager(draft: &mut PlanDraft, whose: For, resolver: &Resolver, main: &str) {
    if draft.surroundings.network_manager <= Presence::Masked || resolver.servers.is_empty() {
        return;
    }
    let servers: Vec<String> = resolver.servers.iter().map(|s| resolver.shown(&s.value)).collect();
    let mut text = format!("{MADE}{main}[global-dns]\n");
    if !resolver.search.is_empty() {
        text.push_str(&format!("searches={}\n", domains(resolver, ",")));
    }
    text.push_str(&format!("\n[global-dns-domain-*]\nservers={}\n", servers.join(",")));
    draft.file(whose, "/run/NetworkManager/conf.d/00-netapply-dns.conf", text);
}

/// A resolv.conf(5). What is not described is kept from `present`.
fn text(resolver: &Resolver, present: &str) -> String {
    let keep = |words: &'static [&'static str]| {
        let is = move |line: &&str| line.split_whitespace().next().is_some_and(|w| words.contains(&w));
        present.lines().filter(is).map(|line| format!("{line}\n")).collect::<String>()
    };
    let mut text = String::from(MADE);
    if resolver.search.is_empty() {
        text.push_str(&keep(&["search", "domain"]));
    } else {
        text.push_str(&format!("search {}\n", domains(resolver, " ")));
    }
    if resolver.servers.is_empty() {
        text.push_str(&keep(&["nameserver"]));
    } else {
        for server in resolver.servers.iter().take(SERVERS) {
            text.push_str(&format!("nameserver {}\n", resolver.shown(&server.value)));
        }
    }
    text.push_str(&keep(&["options", "sortlist"]));
    text
}

/// Whether programs that read this use the described servers for the described domains, whatever wrote it.
fn has_the_same(present: &str, resolver: &Resolver) -> bool {
    let of = |key: &str| -> Vec<&str> {
        let lines = present.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        lines.flat_map(str::split_whitespace).collect()
    };
    let servers: Vec<String> =
        resolver.servers.iter().take(SERVERS).map(|s| resolver.shown(&s.value)).collect();
    let search: Vec<&str> = resolver.search.iter().map(|d| d.value.as_str()).collect();
    (servers.is_empty() || of("nameserver") == servers) && (search.is_empty() || of("search") == search)
}

/// For systemd-resolved: servers for every link.
fn resolved_conf(resolver: &Resolver) -> String {
    let mut text = format!("{MADE}[Resolve]\n");
    if !resolver.servers.is_empty() {
        let servers: Vec<String> = resolver.servers.iter().map(|s| resolver.shown(&s.value)).collect();
        text.push_str(&format!("DNS={}\n", servers.join(" ")));
    }
    if !resolver.search.is_empty() {
        text.push_str(&format!("Domains={}\n", domains(resolver, " ")));
    }
    text
}

fn domains(resolver: &Resolver, between: &str) -> String {
    resolver.search.iter().map(|d| d.value.as_str()).collect::<Vec<_>>().join(between)
}
