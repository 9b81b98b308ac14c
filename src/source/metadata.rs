//! What a drive says of the machine beside its network: instance id, hostname, and where an older form of the network
//! description is hidden. Pure. What cannot be parsed here is no fault of the network's: it becomes a note.
//! Entries: [`openstack`], [`nocloud`], [`opennebula`].

use saphyr_parser::{Event, Parser};
use serde::Serialize;

/// What the drive says of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// As the drive has it: a short name, or a full one with its domain.
    pub hostname: Option<String>,
    /// The instance's id: `uuid`, `instance-id`.
    pub instance_id: Option<String>,
}

/// Reads a `meta_data.json`: the metadata, and `network_config.content_path`.
pub(super) fn openstack(text: &str) -> Result<(Metadata, Option<String>), String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let text = |pointer: &str| {
        let text = value.pointer(pointer)?.as_str()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let metadata = Metadata { hostname: text("/hostname"), instance_id: text("/uuid") };
    Ok((metadata, text("/network_config/content_path")))
}

/// Whether a `vendor_data.json` carries a network description, under its key `network_info`.
pub(super) fn has_network_info(text: &str) -> bool {
    let value = serde_json::from_str::<serde_json::Value>(text).ok();
    value.is_some_and(|v| v.get("network_info").is_some_and(|info| !info.is_null()))
}

/// Reads a NoCloud `meta-data`: the metadata, and the text under `network-interfaces` (Debian's interfaces format),
/// moved down to the line where it stands in the file, so that diagnostics name the right one.
pub(super) fn nocloud(text: &str) -> Result<(Metadata, Option<String>), String> {
    let scalars = top_level_scalars(text)?;
    let get = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| scalars.iter().find(|s| s.key == *key));
        found.filter(|s| !s.value.trim().is_empty())
    };
    let metadata = Metadata {
        hostname: get(&["local-hostname", "hostname"]).map(|s| s.value.trim().to_owned()),
        instance_id: get(&["instance-id"]).map(|s| s.value.trim().to_owned()),
    };
    let interfaces =
        get(&["network-interfaces"]).map(|s| format!("{}{}", "\n".repeat(s.lines_before), s.value));
    Ok((metadata, interfaces))
}

/// The hostname in a `#cloud-config` user-data, where Proxmox writes it.
pub(super) fn user_data_hostname(text: &str) -> Option<String> {
    if !text.starts_with("#cloud-config") {
        return None;
    }
    let scalars = top_level_scalars(text).ok()?;
    let found = ["fqdn", "hostname"].iter().find_map(|key| scalars.iter().find(|s| s.key == *key))?;
    Some(found.value.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The hostname in OpenNebula's `context.sh`.
pub(super) fn opennebula(text: &str) -> Metadata {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
        let value = line.trim().trim_matches(['\'', '"']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    Metadata { hostname: value("SET_HOSTNAME").or_else(|| value("HOSTNAME")), instance_id: value("VMID") }
}

struct Scalar {
    key: String,
    value: String,
    /// Lines of the file before the value's first one.
    lines_before: usize,
}

/// The `key: value` pairs of a YAML (or JSON) mapping whose values are plain text. Aliases are not followed.
fn top_level_scalars(text: &str) -> Result<Vec<Scalar>, String> {
    let mut scalars = Vec::new();
    let mut depth = 0_usize;
    let mut key: Option<String> = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| e.to_string())?;
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                if depth == 1 {
                    key = None;
                }
            }
            Event::Scalar(value, ..) if depth == 1 => match key.take() {
                None => key = Some(value.into_owned()),
                Some(key) => {
                    // The span of a block scalar begins at its first line, any other's at the value itself.
                    let lines_before = span.start.line().saturating_sub(1);
                    scalars.push(Scalar { key, value: value.into_owned(), lines_before });
                }
            },
            Event::Alias(_) if depth == 1 => key = None,
            Event::DocumentEnd => break,
            _ => {}
        }
    }
    Ok(scalars)
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
        fn any_text_is_survived(text in "[-:{}\\[\\]|>&*!%'\"a-z0-9#,? \n\t]{0,120}") {
            let _ = (nocloud(&text), user_data_hostname(&format!("#cloud-config\n{text}")), opennebula(&text));
        }
    }
}
