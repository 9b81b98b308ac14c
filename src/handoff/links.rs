//! What is told of each link, and of all together: networkd, NetworkManager, cloud-init, dracut, markers.

use std::collections::HashSet;

use super::draft::{Draft, For};
use super::{APPLIED, MARKERS, is_left};
use crate::model::{Desired, Dynamic, Kind, Link};
use crate::resolve::{Resolved, ResolvedLink};

/// The first line of every file that is written.
pub(super) const MADE: &str = "# Made by netapply from the network description.\n";
/// What cloud-init's own configuration is told. It is merged over the files in /etc/cloud (cloudinit/stages.py,
/// `fetch_base_config`) and lets user-data and everything else of the drive be processed.
const CLOUD_INIT_OFF: &str = "network: {config: disabled}\n";
/// Written by cloud-init's generator before any unit starts.
const CLOUD_INIT: &str = "/run/cloud-init/cloud.cfg";

/// Tells of one link.
pub(super) fn tell(draft: &mut Draft, link: &ResolvedLink) {
    let surroundings = draft.surroundings;
    let name = &link.name;
    let whose = For::Link(link);
    if is_left(link) {
        leave(draft, link);
        return;
    }
    // Both programs take the name as a pattern, or as one of several words.
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+@".contains(c));
    if !plain && (surroundings.networkd || surroundings.network_manager) {
        draft.note(format!(
            "The name {name} cannot be written in the files of networkd and NetworkManager: give the link a name of \
             letters and digits, or they may take it over."
        ));
    }
    if surroundings.networkd && plain {
        // The first file in the order of names that matches wins, over those in /etc and /usr too.
        draft.file(
            whose,
            format!("/run/systemd/network/00-netapply-{name}.network"),
            format!("{MADE}[Match]\nName={name}\n\n[Link]\nUnmanaged=yes\n"),
        );
    }
    if surroundings.network_manager && plain {
        // The list is strict, and an image that sets one of its own in /etc replaces it: then the section holds.
        draft.file(
            whose,
            format!("/run/NetworkManager/conf.d/00-netapply-{name}.conf"),
            format!(
                "{MADE}[keyfile]\nunmanaged-devices+=interface-name:={name}\n\n\
                 [device-netapply-{name}]\nmatch-device=interface-name:={name}\nmanaged=0\n"
            ),
        );
    }
    if surroundings.dracut && !link.desired.addresses.is_empty() {
        // What dracut's own ifup.sh leaves, for its netroot and for modules that wait for a network.
        for state in ["up", "did-setup"] {
            draft.file(whose, format!("/tmp/net.{name}.{state}"), "");
        }
    }
    draft.file(whose, format!("{MARKERS}/{name}"), format!("{}\n", link.desired.id));
}

/// A link that asks for DHCP stays with the image. networkd takes a link only where a file says so, and images have files
/// for NICs alone: a bond or VLAN gets one.
fn leave(draft: &mut Draft, link: &ResolvedLink) {
    let Link { kind, addresses, routes, dynamic, .. } = &link.desired;
    let mixed = !addresses.is_empty() || !routes.is_empty();
    let name = &link.name;
    if *kind == Kind::Physical && !mixed {
        return;
    }
    if !draft.surroundings.networkd {
        if *kind != Kind::Physical {
            let noun = kind.noun();
            draft.note(format!(
                "{name} asks for DHCP, which is left to the image: see that its DHCP client takes a {noun}."
            ));
        }
        return;
    }
    let asks = |wish: Dynamic| dynamic.iter().any(|d| d.value == wish);
    let dhcp = match (asks(Dynamic::Dhcp4), asks(Dynamic::Dhcp6)) {
        (true, true) => "yes",
        (true, false) => "ipv4",
        _ => "ipv6",
    };
    let routers = if asks(Dynamic::RouterAdvertisements) || asks(Dynamic::Dhcp6) { "yes" } else { "no" };
    // Where the link has something of ours, the image's own file must not drop it; else that file comes first.
    let rank = if mixed { "00" } else { "zz" };
    draft.file(
        For::Link(link),
        format!("/run/systemd/network/{rank}-netapply-{name}.network"),
        format!(
            "{MADE}[Match]\nName={name}\n\n[Network]\nDHCP={dhcp}\nIPv6AcceptRA={routers}\nKeepConfiguration=static\n"
        ),
    );
}

/// Tells what holds for all links together.
pub(super) fn tell_of_all(draft: &mut Draft, desired: &Desired, resolved: &Resolved) {
    let surroundings = draft.surroundings;
    let uplink = super::uplink(resolved);
    if let Some(uplink) = uplink {
        if surroundings.networkd {
            // networkd drops rules and routes that it did not make as soon as it manages any link.
            draft.file(
                For::Link(uplink),
                "/run/systemd/networkd.conf.d/50-netapply.conf",
                format!("{MADE}[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n"),
            );
        }
        if surroundings.dracut {
            let names: Vec<&str> = resolved
                .links
                .iter()
                .filter(|l| !is_left(l) && !l.desired.addresses.is_empty())
                .map(|l| l.name.as_str())
                .collect();
            if !names.is_empty() {
                draft.file(For::Link(uplink), "/tmp/net.ifaces", format!("{}\n", names.join(" ")));
            }
        }
    }
    if resolved.links.iter().any(is_left) || is_one_missing(desired, resolved) {
        return;
    }
    if surroundings.cloud_init && !surroundings.initramfs {
        let present = surroundings.files.get(CLOUD_INIT).map_or("", String::as_str);
        // Somebody's own word on the network is left alone; ours is there after a first run.
        let mut text = present.to_owned();
        if !present.lines().any(|line| line.starts_with("network:")) {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(CLOUD_INIT_OFF);
        }
        draft.file(For::All, CLOUD_INIT, text);
    }
    draft.file(For::All, APPLIED, "");
}

/// Whether a link that would have had a network of its own is not there: its NIC may be, under another MAC, and then the
/// image's own tools are the way in. A bond's missing member is no such link.
fn is_one_missing(desired: &Desired, resolved: &Resolved) -> bool {
    let there: HashSet<&str> = resolved.links.iter().map(|l| l.desired.id.as_str()).collect();
    let has_network = |l: &&Link| !l.addresses.is_empty() || !l.routes.is_empty() || !l.dynamic.is_empty();
    desired.links.iter().filter(has_network).any(|l| !l.optional && !there.contains(l.id.as_str()))
}
