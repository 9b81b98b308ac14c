//! Name servers and search domains.

use super::{ip, words};
use crate::diagnostic::{Code, Diagnostic};
use crate::format::tree::Node;
use crate::model::{Located, Place, Resolver};

/// Adds name servers, written as a list or in one text.
pub(in crate::format) fn name_servers(
    node: &Node,
    key: &str,
    resolver: &mut Resolver,
    said: &mut Vec<Diagnostic>,
) {
    for word in words(node, key, said) {
        if resolver.servers.len() >= Resolver::MOST {
            return said.push(too_many(key, word.at));
        }
        let Some(server) = ip(&Node::scalar(word.value, word.at), key, said) else { continue };
        if server.value.is_unspecified() || server.value.is_multicast() {
            let message = format!("{key} \"{}\": cannot be a name server", word.value);
            said.push(Diagnostic::new(Code::BadAddress, word.at, message));
        } else if resolver.servers.iter().any(|s| s.value == server.value) {
            let message = format!("name server {} stands twice; once is enough", server.value);
            said.push(Diagnostic::new(Code::RepeatedServer, word.at, message));
        } else {
            resolver.servers.push(server);
        }
    }
}

/// Adds search domains, written as a list or in one text. Only what a domain name may hold gets through: the list ends
/// up in a file of lines.
pub(in crate::format) fn search_domains(
    node: &Node,
    key: &str,
    resolver: &mut Resolver,
    said: &mut Vec<Diagnostic>,
) {
    for word in words(node, key, said) {
        if resolver.search.len() >= Resolver::MOST {
            return said.push(too_many(key, word.at));
        }
        let domain = word.value.trim_end_matches('.');
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if domain.is_empty() || domain.len() > 253 || domain.contains("..") || !domain.chars().all(allowed) {
            let message = format!("{key} \"{}\": not a domain name", word.value);
            said.push(Diagnostic::new(Code::BadValue, word.at, message));
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
        let ((), said) = read("[192.0.2.53, '2001:db8::53', 192.0.2.53, 'dns.example']", |n, s| {
            name_servers(n, "dns_nameservers", &mut resolver, s);
        });
        assert_eq!(resolver.servers.len(), 2);
        assert_eq!(
            said,
            [
                "repeated-server: name server 192.0.2.53 stands twice; once is enough",
                "bad-address: dns_nameservers \"dns.example\": not an IP address"
            ]
        );
        let ((), said) = read("'example.com lan. b@d'", |n, s| {
            search_domains(n, "dns_search", &mut resolver, s);
        });
        let domains: Vec<&str> = resolver.search.iter().map(|d| d.value.as_str()).collect();
        assert_eq!(domains, ["example.com", "lan"]);
        assert_eq!(said, ["bad-value: dns_search \"b@d\": not a domain name"]);
    }
}
