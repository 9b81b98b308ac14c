//! What a drive contains about the machine besides its network: instance id, hostname, and where an older form of the
//! network description is embedded. Pure. What cannot be parsed here is not an error of the network description: it
//! becomes a note. Entries: [`openstack`], [`nocloud`], [`opennebula`].

use crate::diagnostic::Severity;
use crate::format::tree::{self, Node, Value};
use serde::Serialize;

/// The machine's metadata on the drive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// As on the drive: a short name, or a full one with its domain.
    pub hostname: Option<String>,
    /// The instance's id: `uuid`, `instance-id`.
    pub instance_id: Option<String>,
    /// The file with the hostname, and its line there.
    #[serde(skip)]
    pub hostname_at: Option<(String, u32)>,
}

impl Metadata {
    /// The same, with the line of the hostname in this file.
    pub(super) fn located(self, file: &str, text: &str) -> Metadata {
        let line = self.hostname.as_ref().map(|name| {
            let index = text.lines().position(|line| line.contains(name.as_str()));
            (file.to_owned(), index.unwrap_or_default() as u32 + 1)
        });
        Metadata { hostname_at: line, ..self }
    }
}

/// Reads a `meta_data.json`: the metadata, and `network_config.content_path`.
pub(super) fn openstack(text: &str) -> Result<(Metadata, Option<String>), String> {
    let root = parse(text)?;
    let metadata = Metadata {
        hostname: text_of(root.get("hostname")),
        instance_id: text_of(root.get("uuid")),
        hostname_at: None,
    };
    Ok((metadata, text_of(root.get("network_config").and_then(|config| config.get("content_path")))))
}

/// Whether a `vendor_data.json` contains a network description, under its key `network_info`.
pub(super) fn has_network_info(text: &str) -> bool {
    parse(text).is_ok_and(|root| root.get("network_info").is_some_and(|info| info.value != Value::Null))
}

/// Reads a NoCloud `meta-data`: the metadata, and the text under `network-interfaces` (Debian's interfaces format),
/// with line feeds before it, so that diagnostics name the line of the file.
pub(super) fn nocloud(text: &str) -> Result<(Metadata, Option<String>), String> {
    let root = parse(text)?;
    let first = |keys: &[&str]| keys.iter().find_map(|key| text_of(root.get(key)));
    let metadata = Metadata {
        hostname: first(&["local-hostname", "hostname"]),
        instance_id: first(&["instance-id"]),
        hostname_at: None,
    };
    let interfaces = root.get("network-interfaces").and_then(|value| {
        let text = value.text().filter(|text| !text.trim().is_empty())?;
        Some(format!("{}{text}", "\n".repeat(value.at.line.saturating_sub(1) as usize)))
    });
    Ok((metadata, interfaces))
}

/// The beginning of user data that may set the hostname: anything else is a script, an archive or compressed.
pub(super) const CLOUD_CONFIG: &str = "#cloud-config";

/// The hostname in a `#cloud-config` user-data, where Proxmox writes it.
pub(super) fn user_data_hostname(text: &str) -> Option<String> {
    if !text.starts_with(CLOUD_CONFIG) {
        return None;
    }
    let root = parse(text).ok()?;
    ["fqdn", "hostname"].iter().find_map(|key| text_of(root.get(key)))
}

/// The values of a JSON or YAML document, within the limits of every description; or the first error.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut diags = Vec::new();
    let root = tree::parse(text, 0, &mut diags);
    root.ok_or_else(|| {
        let error = diags.iter().find(|d| d.severity == Severity::Error);
        error.map_or_else(String::new, |d| format!("{}, line {}", d.message, d.at.line))
    })
}

/// A scalar without the space around it; `None` if nothing is left.
fn text_of(node: Option<&Node>) -> Option<String> {
    let text = node?.text()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The hostname in OpenNebula's `context.sh`.
pub(super) fn opennebula(text: &str) -> Metadata {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
        let value = line.trim().trim_matches(['\'', '"']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    Metadata {
        hostname: value("SET_HOSTNAME").or_else(|| value("HOSTNAME")),
        instance_id: value("VMID"),
        hostname_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn openstack_names_its_network_file() {
        let text = r#"{"uuid": "0a1b", "hostname": "web1.novalocal", "network_config": {"content_path": "/content/0000"}}"#;
        let (metadata, path) = openstack(text).unwrap();
        assert_eq!(metadata.hostname.as_deref(), Some("web1.novalocal"));
        assert_eq!(metadata.instance_id.as_deref(), Some("0a1b"));
        assert_eq!(path.as_deref(), Some("/content/0000"));
        assert!(openstack("{").is_err());
    }

    #[test]
    fn nocloud_as_yaml_and_as_json() {
        let (yaml, none) = nocloud("instance-id: i-1\nlocal-hostname: 'web1'\nextra: {a: [b]}\n").unwrap();
        let (json, _) = nocloud(r#"{"instance-id": "i-1", "x": ["y"], "local-hostname": "web1"}"#).unwrap();
        assert_eq!(yaml, json);
        assert_eq!(yaml.hostname.as_deref(), Some("web1"));
        assert_eq!(yaml.instance_id.as_deref(), Some("i-1"));
        assert_eq!(none, None);
    }

    #[test]
    fn interfaces_keep_their_line_numbers() {
        let text = "instance-id: i-1\nnetwork-interfaces: |\n  auto eth0\n  iface eth0 inet dhcp\nx: y\n";
        let (_, interfaces) = nocloud(text).unwrap();
        assert_eq!(interfaces.as_deref(), Some("\n\nauto eth0\niface eth0 inet dhcp\n"));
    }

    #[test]
    fn proxmox_keeps_the_hostname_in_user_data() {
        let text = "#cloud-config\nhostname: vm1\nmanage_etc_hosts: true\nfqdn: vm1.example.lan\nchpasswd:\n  expire: False\n";
        assert_eq!(user_data_hostname(text).as_deref(), Some("vm1.example.lan"));
        assert_eq!(user_data_hostname("#!/bin/sh\nhostname: x\n"), None);
    }

    #[test]
    fn context_script() {
        let metadata = opennebula("# made by OpenNebula\nSET_HOSTNAME='web1'\nETH0_IP=\"192.0.2.10\"\n");
        assert_eq!(metadata.hostname.as_deref(), Some("web1"));
    }

    #[test]
    fn an_alias_bomb_stays_small() {
        let bomb = "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\ninstance-id: i-1\n";
        assert_eq!(nocloud(bomb).unwrap().0.instance_id.as_deref(), Some("i-1"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-:{}\\[\\]|>&*!%'\"a-z0-9#,? \n\t]{0,120}") {
            let _ = (nocloud(&text), user_data_hostname(&format!("#cloud-config\n{text}")), opennebula(&text));
        }
    }
}
