//! A host's addresses as the image would find them: /etc/hosts, then the described name servers. libc's resolver is not
//! used: in a static binary it would load the image's modules.

use std::net::IpAddr;
use std::time::Duration;

use nix::net::if_::if_nametoindex;

use crate::handoff::resolv_conf;
use crate::machine::Machine;

use super::dns::{self, Lookup};

/// Resolves a host; each server has `wait`. If the description has no server, those that a DHCP client wrote down are
/// queried.
pub(super) async fn resolve(
    host: &str,
    servers: &[(IpAddr, u32)],
    search: &[String],
    wait: Duration,
    machine: &Machine,
) -> Lookup {
    if let Ok(ip) = host.parse() {
        return Lookup::Found(vec![ip]);
    }
    let hosts = std::fs::read_to_string(machine.hosts()).unwrap_or_default();
    let known = in_hosts(&hosts, host);
    if !known.is_empty() {
        return Lookup::Found(known);
    }
    let mut others = Vec::new();
    if servers.is_empty() {
        others = in_resolv_conf(&std::fs::read_to_string(machine.resolv_conf()).unwrap_or_default());
    }
    let servers = if servers.is_empty() { &others } else { servers };
    let mut result = Lookup::Silent;
    for name in candidates(host, search) {
        match dns::addresses(&name, servers, wait).await {
            found @ Lookup::Found(_) => return found,
            // If one name is refused, another may still be found.
            answer if result == Lookup::Silent || answer == Lookup::Refused => result = answer,
            _ => {}
        }
    }
    result
}

/// The name servers of resolv.conf(5), at most three, with the index of the link of a link-local one.
fn in_resolv_conf(text: &str) -> Vec<(IpAddr, u32)> {
    let index = |zone: String| if_nametoindex(zone.as_str()).ok().or_else(|| zone.parse().ok());
    let servers = resolv_conf::parse(text).0.into_iter().take(resolv_conf::SERVERS);
    servers.map(|server| (server.ip, server.zone.and_then(index).unwrap_or(0))).collect()
}

/// The names to query, as in resolv.conf(5) with `ndots:1`.
fn candidates(host: &str, search: &[String]) -> Vec<String> {
    let mut names = vec![host.to_owned()];
    if !host.ends_with('.') {
        let within: Vec<String> = search.iter().map(|domain| format!("{host}.{domain}")).collect();
        let at = if host.contains('.') { 1 } else { 0 };
        names.splice(at..at, within);
    }
    names
}

fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let line = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let ip = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(ip)
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_by_any_of_their_names() {
        let text = "127.0.0.1 localhost\n192.0.2.1\tgw gw.example # the gateway\nfe80::1%eth0 gw\n::1 gw6\n";
        assert_eq!(in_hosts(text, "GW.example"), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert!(in_hosts(text, "gateway").is_empty());
    }

    #[test]
    fn servers_are_those_that_a_client_wrote_down() {
        let text =
            "# dhcp\nsearch example\nnameserver 192.0.2.53\n nameserver fd00::53 \nnameserver fe80::1%lo\n";
        let servers = [("192.0.2.53", 0), ("fd00::53", 0), ("fe80::1", 1)];
        assert_eq!(in_resolv_conf(text), servers.map(|(ip, index)| (ip.parse().unwrap(), index)));
    }

    #[test]
    fn search_domains_come_first_for_short_names() {
        let search = ["a.example".to_owned()];
        assert_eq!(candidates("api", &search), ["api.a.example", "api"]);
        assert_eq!(candidates("api.b", &search), ["api.b", "api.b.a.example"]);
        assert_eq!(candidates("api.", &search), ["api."]);
    }
}
