//! Name servers and search domains.

use super::{ip, words};
use crate::diagnostic::{Code, Diagnostic};
use crate::format::tree::Node;
use crate::model::{Located, Place, Resolver, is_plain, needs_zone};

/// Adds name servers, from a list or one string.
pub(in crate::format) fn name_servers(
    node: &Node,
    key: &str,
    resolver: &mut Resolver,
    diags: &mut Vec<Diagnostic>,
) {
    for word in words(node, key, diags) {
        if resolver.servers.len() >= Resolver::MOST {
            return diags.push(too_many(key, word.at));
        }
        let (bare, zone) = zoned(word.value);
        let Some(server) = ip(&Node::scalar(bare, word.at), key, diags) else { continue };
        if server.value.is_unspecified() || server.value.is_multicast() {
            let message = format!("{key} \"{}\": cannot be a name server", word.value);
            diags.push(Diagnostic::new(Code::BadAddress, word.at, message));
        } else if let Some(first) = resolver.servers.iter().find(|s| s.value == server.value) {
            let message = format!("duplicate name server {}, first on line {}", server.value, first.at.line);
            diags.push(Diagnostic::new(Code::RepeatedServer, word.at, message));
        } else {
            resolver.servers.push(server);
            resolver.zones.extend(zone.map(|zone| (server.value, zone)));
        }
    }
}

/// `fe80::53%eth0` in its two parts. Anything else, including an address that needs no zone, is left whole.
fn zoned(text: &str) -> (&str, Option<String>) {
    let parts = text.split_once('%');
    let is_local = |ip: &str| ip.parse().is_ok_and(|ip| needs_zone(&ip));
    match parts.filter(|(ip, zone)| is_local(ip) && is_plain(zone)) {
        Some((ip, zone)) => (ip, Some(zone.to_owned())),
        None => (text, None),
    }
}

/// Adds search domains, from a list or one string. Only valid domain names are accepted, because they are written to
/// line-based files.
pub(in crate::format) fn search_domains(
    node: &Node,
    key: &str,
    resolver: &mut Resolver,
    diags: &mut Vec<Diagnostic>,
) {
    for word in words(node, key, diags) {
        if resolver.search.len() >= Resolver::MOST {
            return diags.push(too_many(key, word.at));
        }
        let domain = word.value.trim_end_matches('.');
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if domain.is_empty() || domain.len() > 253 || domain.contains("..") || !domain.chars().all(allowed) {
            let message = format!("{key} \"{}\": not a domain name", word.value);
            diags.push(Diagnostic::new(Code::BadValue, word.at, message));
        } else if !resolver.search.iter().any(|s| s.value == domain) {
            resolver.search.push(Located::new(domain.to_owned(), word.at));
        }
    }
}

fn too_many(key: &str, at: Place) -> Diagnostic {
    let message = format!("{key}: more than {} of them, the rest was left out", Resolver::MOST);
    Diagnostic::new(Code::BadValue, at, message)
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn servers_and_domains() {
        let mut resolver = Resolver::default();
        let ((), diags) = read("[192.0.2.53, '2001:db8::53', 192.0.2.53, 'dns.example']", |n, s| {
            name_servers(n, "dns_nameservers", &mut resolver, s);
        });
        assert_eq!(resolver.servers.len(), 2);
        assert_eq!(
            diags,
            [
                "repeated-server: duplicate name server 192.0.2.53, first on line 1",
                "bad-address: dns_nameservers \"dns.example\": not an IP address"
            ]
        );
        let ((), diags) = read("'example.com lan. b@d'", |n, s| {
            search_domains(n, "dns_search", &mut resolver, s);
        });
        let domains: Vec<&str> = resolver.search.iter().map(|d| d.value.as_str()).collect();
        assert_eq!(domains, ["example.com", "lan"]);
        assert_eq!(diags, ["bad-value: dns_search \"b@d\": not a domain name"]);
        let ((), diags) = read("['fe80::53%eth0', 'fe80::54', '192.0.2.54%eth0', 'fe80::55%*']", |n, s| {
            name_servers(n, "addresses", &mut resolver, s);
        });
        resolver.stand_on("nic");
        let shown: Vec<String> = resolver.servers.iter().map(|s| resolver.shown(&s.value)).collect();
        assert_eq!(shown[2..], ["fe80::53%eth0", "fe80::54%nic", "192.0.2.54", "fe80::55%nic"]);
        assert_eq!(
            diags,
            [
                "no-effect: addresses \"192.0.2.54%eth0\": using only the address 192.0.2.54",
                "no-effect: addresses \"fe80::55%*\": using only the address fe80::55"
            ]
        );
    }
}
