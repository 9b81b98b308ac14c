//! The hand-off of each link, and of all together: networkd, NetworkManager, dhcpcd, ifupdown, connman, cloud-init,
//! dracut, markers.

use foldhash::HashSet;

use super::draft::{For, PlanDraft};
use super::image::Presence;
use super::{APPLIED, CLOUD_INIT_OFF, CONNMAN, DHCPCD, IFUPDOWN, MADE, MARKERS, Surroundings, is_left};
use crate::model::{Desired, Dynamic, Kind, Link, fits, hex, is_plain};
use crate::resolve::{DhcpIdentity, Resolved, ResolvedLink};

/// Written by cloud-init's generator before any unit starts.
const CLOUD_INIT: &str = "/run/cloud-init/cloud.cfg";
/// The beginning of the path of wicked's file of a link.
const IFCFG: &str = "/etc/sysconfig/network/ifcfg-";
/// Links that connman does not manage by default (`NetworkInterfaceBlacklist` in its main.conf); our list replaces it.
const CONNMAN_DEFAULT: &str = "vmnet,vboxnet,virbr,ifb,ve-,vb-";

/// Hands off one link.
pub(super) fn tell(draft: &mut PlanDraft, link: &ResolvedLink) {
    let surroundings = draft.surroundings;
    let name = &link.name;
    let whose = For::Link(link);
    if !is_plain(name) {
        cannot_tell(draft, name);
        if !is_left(link) {
            draft.file(whose, format!("{MARKERS}/{name}"), format!("{}\n", link.desired.id));
        }
        return;
    }
    if is_left(link) {
        leave(draft, link);
        return;
    }
    let (networkd, network_manager) = (surroundings.networkd, surroundings.network_manager);
    // A running tool is notified before the first change: it may manage the link, and removes its addresses when it
    // releases it.
    let when = |presence: Presence| if presence == Presence::Running { For::First } else { whose };
    if network_manager > Presence::Masked {
        draft.release(link);
        // The list is strict, and an image's own setting in /etc replaces it: then the section applies.
        draft.file(
            when(network_manager),
            format!("/run/NetworkManager/conf.d/00-netapply-{name}.conf"),
            format!(
                "{MADE}[keyfile]\nunmanaged-devices+=interface-name:={name}\n\n\
                 [device-netapply-{name}]\nmatch-device=interface-name:={name}\nmanaged=0\n"
            ),
        );
    }
    if networkd > Presence::Masked {
        // The first matching file in order of names wins, over those in /etc and /usr too.
        draft.file(
            when(networkd),
            format!("/run/systemd/network/{}-netapply-{name}.network", first_rank(draft)),
            format!("{MADE}[Match]\nName={name}\n\n[Link]\nUnmanaged=yes\n"),
        );
    }
    if surroundings.dracut && !link.desired.addresses.is_empty() {
        // What dracut's own ifup.sh writes, for its netroot and for modules that wait for a network.
        for state in ["up", "did-setup"] {
            draft.file_of_others(whose, &format!("/tmp/net.{name}.{state}"), String::new());
        }
    }
    draft.file(whose, format!("{MARKERS}/{name}"), format!("{}\n", link.desired.id));
}

/// A name that is a pattern, an option or a list to the tools: it is not written anywhere, and its link is reported. No
/// description gives such a name, but a NIC may have it.
fn cannot_tell(draft: &mut PlanDraft, name: &str) {
    let Surroundings { networkd, network_manager, dhcpcd, ifupdown, connman, .. } = draft.surroundings;
    let tools = [
        ("networkd", networkd),
        ("NetworkManager", network_manager),
        ("dhcpcd", dhcpcd),
        ("ifupdown", ifupdown),
        ("connman", connman),
    ];
    let there: Vec<&str> =
        tools.iter().filter(|(_, presence)| **presence > Presence::Masked).map(|(tool, _)| *tool).collect();
    if !there.is_empty() {
        let (name, there) = (crate::page::printable(name), there.join(", "));
        draft.note(format!(
            "The name {name} cannot be written in files of {there}: give the link a name of letters and digits \
             (set-name), or they may take it over."
        ));
    }
}

/// The prefix of a .network file's name that sorts before all of the image's.
fn first_rank(draft: &PlanDraft) -> &'static str {
    let before = |name: &String| name.as_str() < "00-netapply-";
    if draft.surroundings.network_files.keys().any(before) { "!00" } else { "00" }
}

/// A link that requests DHCP stays with the image. networkd manages a link only if a file says so, and images have
/// files for NICs only: a bond or VLAN gets one.
fn leave(draft: &mut PlanDraft, link: &ResolvedLink) {
    let Link { kind, addresses, routes, dynamic, .. } = &link.desired;
    let mixed = !addresses.is_empty() || !routes.is_empty();
    let name = &link.name;
    let path = format!("/run/systemd/network/{}-netapply-{name}.network", first_rank(draft));
    let own = *kind == Kind::Physical && !mixed;
    let file = if own { network_file(draft.surroundings, name) } else { Ok(None) };
    let learns = draft.learns(draft.surroundings.networkd, &path);
    if let Some(identity) = link.identity.as_ref().filter(|identity| identity.leased) {
        untold(draft, name, identity, file.err().filter(|_| learns));
    }
    let identity = link.identity.as_ref().map(|identity| identify(draft, link, identity));
    if own {
        if let (Ok(Some(text)), Some(identity), true) = (file, identity, learns) {
            let text = format!("{MADE}[Match]\nName={name}\n{}{identity}", without_match(text));
            draft.file(For::Link(link), path, text);
        }
        return;
    }
    let identity = identity.unwrap_or_default();
    if draft.surroundings.networkd <= Presence::Masked {
        if *kind != Kind::Physical {
            let noun = kind.noun();
            draft.note(format!(
                "{name} asks for DHCP, which is left to the image: see that its DHCP client takes a {noun}."
            ));
        }
        return;
    }
    let asks = |family: Dynamic| dynamic.iter().any(|d| d.value == family);
    let dhcp = match (asks(Dynamic::Dhcp4), asks(Dynamic::Dhcp6)) {
        (true, true) => "yes",
        (true, false) => "ipv4",
        _ => "ipv6",
    };
    let routers = if asks(Dynamic::RouterAdvertisements) || asks(Dynamic::Dhcp6) { "yes" } else { "no" };
    // If netapply configured part of the link, the image's own file must not drop it; else that file comes first.
    let rank = if mixed { first_rank(draft) } else { "zz" };
    draft.file(
        For::Link(link),
        format!("/run/systemd/network/{rank}-netapply-{name}.network"),
        format!(
            "{MADE}[Match]\nName={name}\n\n[Network]\nDHCP={dhcp}\nIPv6AcceptRA={routers}\nKeepConfiguration=static\n\
             {identity}"
        ),
    );
}

/// Tells NetworkManager who a link is to DHCP servers, and returns the sections that tell networkd: the next client gets
/// the lease of the one before, instead of a second one. A client that runs already has its own.
fn identify(draft: &mut PlanDraft, link: &ResolvedLink, identity: &DhcpIdentity) -> String {
    let DhcpIdentity { client_id, duid, iaid, .. } = identity;
    let name = &link.name;
    let path = format!("/run/NetworkManager/conf.d/00-netapply-{name}.conf");
    if draft.learns(draft.surroundings.network_manager, &path) {
        // Defaults, which a connection's own settings replace (NetworkManager.conf(5)).
        let text = format!(
            "{MADE}[connection-netapply-{name}]\nmatch-device=interface-name:{name}\nipv4.dhcp-client-id={}\n\
             ipv4.dhcp-iaid={iaid}\nipv6.dhcp-duid={}\nipv6.dhcp-iaid={iaid}\n",
            hex(client_id),
            hex(duid)
        );
        draft.file(For::Link(link), path, text);
    }
    let (kind, data) = duid.split_at_checked(2).unwrap_or_default();
    let kind = if kind == [0, 4] { "uuid" } else { "link-layer" };
    let duid = format!("DUIDType={kind}\nDUIDRawData={}\nIAID={iaid}\n", hex(data));
    // By their first byte: an IAID and a DUID (RFC 4361), or a hardware address.
    let four = match client_id.first() {
        Some(255) => format!("ClientIdentifier=duid\n{duid}"),
        Some(1) => "ClientIdentifier=mac\n".to_owned(),
        _ => String::new(),
    };
    format!("\n[DHCPv4]\n{four}\n[DHCPv6]\n{duid}")
}

/// Says which client may get a second address beside that of netapply's lease, because it is not told who the link is.
/// `networkd` is the file that keeps networkd from being told.
fn untold(draft: &mut PlanDraft, name: &str, identity: &DhcpIdentity, networkd: Option<&str>) {
    let tools = draft.surroundings;
    let nobody =
        [tools.networkd, tools.network_manager, tools.dhcpcd].iter().all(|tool| *tool <= Presence::Masked);
    let is_known = matches!(identity.client_id.first(), Some(1 | 255));
    let why = match networkd {
        Some(file) => {
            format!("{file} has drop-ins, or conditions besides Name= and Type=, so systemd-networkd")
        }
        None if tools.networkd > Presence::Masked && !is_known => {
            "systemd-networkd cannot send the described client ID, and".to_owned()
        }
        None if nobody => "the image's DHCP client".to_owned(),
        None => return,
    };
    draft.note(format!(
        "{why} is not told who {name} is to DHCP servers: it may get a second address beside netapply's lease."
    ));
}

/// The image's file that networkd takes for a NIC: the first that matches, if one does.
///
/// # Errors
/// The file with which that cannot be told from the name.
fn network_file<'s>(surroundings: &'s Surroundings, name: &str) -> Result<Option<&'s str>, &'s str> {
    for (file, text) in &surroundings.network_files {
        // An empty file, or a link to /dev/null, hides another's.
        if text.is_empty() || !applies(text, name).ok_or(file.as_str())? {
            continue;
        }
        let has_more = surroundings.network_files.contains_key(&format!("{file}.d"));
        return if has_more { Err(file) } else { Ok(Some(text)) };
    }
    Ok(None)
}

/// Whether the conditions of a .network file are true for a wired NIC of this name: all have to be, so that one that is not
/// decides, as in the files that systemd has for tunnels and containers. `None` if others decide.
fn applies(text: &str, name: &str) -> Option<bool> {
    let (mut named, mut typed, mut has_others) = (None, None, false);
    let conditions = lines(text).filter(|(is_match, _)| *is_match).map(|(_, line)| line.trim());
    for line in conditions.filter(|line| !line.starts_with(['[', '#', ';'])) {
        let Some((key, values)) = line.split_once('=') else { continue };
        let values = values.trim();
        match key.trim() {
            // A list that begins with `!` is of the names that do not match (systemd.network(5)).
            "Name" if named.is_none() => {
                let (inverted, values) = values.strip_prefix('!').map_or((false, values), |v| (true, v));
                named = Some(values.split_whitespace().any(|pattern| fits(pattern, name)) != inverted);
            }
            "Type" if typed.is_none() && !values.starts_with('!') => {
                typed = Some(values.split_whitespace().any(|kind| kind == "ether"));
            }
            // A second list adds to the first one.
            "Name" | "Type" => return None,
            _ => has_others = true,
        }
    }
    match named != Some(false) && typed != Some(false) {
        true if has_others => None,
        is_true => Some(is_true),
    }
}

/// A .network file without its conditions.
fn without_match(text: &str) -> String {
    lines(text).filter(|(is_match, _)| !is_match).map(|(_, line)| format!("{line}\n")).collect()
}

/// The lines of a .network file, and whether each belongs to a section `[Match]`, its heading included.
fn lines(text: &str) -> impl Iterator<Item = (bool, &str)> {
    text.lines().scan(false, |is_match, line| {
        if line.trim_start().starts_with('[') {
            *is_match = line.trim() == "[Match]";
        }
        Some((*is_match, line))
    })
}

/// Hands off what concerns all links together.
pub(super) fn tell_of_all(draft: &mut PlanDraft, desired: &Desired, resolved: &Resolved) {
    let surroundings = draft.surroundings;
    let uplink = super::uplink(resolved);
    if let Some(uplink) = uplink {
        if surroundings.networkd > Presence::Masked {
            foreign(draft, uplink);
        }
        if surroundings.dracut {
            let names: Vec<&str> = resolved
                .links
                .iter()
                .filter(|l| !is_left(l) && !l.desired.addresses.is_empty() && is_plain(&l.name))
                .map(|l| l.name.as_str())
                .collect();
            if !names.is_empty() {
                draft.file_of_others(For::Link(uplink), "/tmp/net.ifaces", format!("{}\n", names.join(" ")));
            }
        }
    }
    tools_of_all(draft, resolved);
    if resolved.links.iter().any(is_left) || is_one_missing(desired, resolved) {
        return;
    }
    if surroundings.cloud_init && !surroundings.initramfs {
        let present = surroundings.files.get(CLOUD_INIT).map_or("", String::as_str);
        // An existing setting of the network by others is not touched; ours exists after a first run.
        let mut text = present.to_owned();
        if !present.lines().any(|line| line.starts_with("network:")) {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(CLOUD_INIT_OFF);
        }
        if text.contains(CLOUD_INIT_OFF) {
            draft.file_of_others(For::All, CLOUD_INIT, text);
        }
    }
    draft.file(For::All, APPLIED, "");
}

/// When networkd manages any link, it drops rules and routes that it did not add, unless the last of its settings says
/// otherwise. It reads them only when it starts.
fn foreign(draft: &mut PlanDraft, uplink: &ResolvedLink) {
    let surroundings = draft.surroundings;
    let own = ["50-netapply.conf", "zz-netapply.conf"];
    let removed_after = |own: &str| {
        let mut after =
            surroundings.foreign.iter().filter(|(name, _)| *name != "networkd.conf" && name.as_str() > own);
        after.next_back().filter(|(_, removes)| *removes).map(|(name, _)| name.clone())
    };
    let name = if removed_after(own[0]).is_some() { own[1] } else { own[0] };
    if let Some(other) = removed_after(name) {
        draft.note(format!(
            "networkd removes rules and routes of others because of networkd.conf.d/{other}: rename that file, so that \
             it sorts before {name}."
        ));
    }
    let whose = if surroundings.networkd == Presence::Running { For::First } else { For::Link(uplink) };
    draft.file(
        whose,
        format!("/run/systemd/networkd.conf.d/{name}"),
        format!("{MADE}[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n"),
    );
}

/// dhcpcd's configuration: the links that are not its own, and who the others are to DHCP servers.
fn tell_dhcpcd(draft: &mut PlanDraft, names: &[&str], identities: Vec<(&str, &DhcpIdentity)>) {
    let Surroundings { dhcpcd, files, .. } = draft.surroundings;
    let text = |path: &str| files.get(path).map_or("", String::as_str);
    let block = |(name, identity): &(&str, &DhcpIdentity)| {
        format!("interface {name}\nclientid {}\niaid {}\n", hex(&identity.client_id), identity.iaid)
    };
    let mut blocks: String = identities.iter().map(block).collect();
    // One that runs has a lease already.
    if *dhcpcd == Presence::Running && !text(DHCPCD).contains(&blocks) {
        blocks.clear();
    }
    if *dhcpcd <= Presence::Masked || (names.is_empty() && blocks.is_empty()) {
        return;
    }
    // Everything after an `interface` line applies to that interface alone: what concerns all comes first.
    let mut conf = String::from(MADE);
    if !names.is_empty() {
        conf.push_str(&format!("denyinterfaces {}\n", names.join(" ")));
    }
    if let Some((_, identity)) = identities.first().filter(|_| !blocks.is_empty()) {
        conf.push_str(&format!("duid {}\n", hex(&identity.duid)));
    }
    conf.push_str(text("/etc/dhcpcd.conf"));
    if !conf.ends_with('\n') && !blocks.is_empty() {
        conf.push('\n');
    }
    conf.push_str(&blocks);
    let whose = if *dhcpcd == Presence::Running { For::First } else { For::All };
    draft.file(whose, DHCPCD, conf);
}

/// Tools that manage all links, or those in a list, are given a list without ours. Drop-ins of their units use it.
fn tools_of_all(draft: &mut PlanDraft, resolved: &Resolved) {
    let surroundings = draft.surroundings;
    let told = resolved.links.iter().filter(|l| !is_left(l) && is_plain(&l.name));
    let names: Vec<&str> = told.map(|l| l.name.as_str()).collect();
    let left = resolved.links.iter().filter(|l| is_left(l) && is_plain(&l.name));
    tell_dhcpcd(draft, &names, left.filter_map(|l| Some((l.name.as_str(), l.identity.as_ref()?))).collect());
    if names.is_empty() {
        return;
    }
    let when = |presence: Presence| if presence == Presence::Running { For::First } else { For::All };
    let text = |path: &str| surroundings.files.get(path).map_or("", String::as_str);
    if surroundings.ifupdown > Presence::Masked {
        draft.file(For::All, IFUPDOWN, format!("{MADE}EXCLUDE_INTERFACES=\"{}\"\n", names.join(" ")));
    }
    if surroundings.connman > Presence::Masked {
        let mut conf = String::from(MADE);
        let mut list = format!("NetworkInterfaceBlacklist = {CONNMAN_DEFAULT},{}\n", names.join(","));
        let present = text("/etc/connman/main.conf");
        for line in present.lines() {
            match line.split_once('=').filter(|(key, _)| key.trim() == "NetworkInterfaceBlacklist") {
                Some((_, value)) => {
                    list = format!("NetworkInterfaceBlacklist = {},{}\n", value.trim(), names.join(","));
                }
                None => conf.push_str(&format!("{line}\n")),
            }
        }
        if !present.lines().any(|line| line.trim() == "[General]") {
            conf.push_str("[General]\n");
        }
        draft.file(
            when(surroundings.connman),
            CONNMAN,
            conf.replacen("[General]\n", &format!("[General]\n{list}"), 1),
        );
    }
    if surroundings.wicked >= Presence::Enabled {
        for path in names.iter().map(|name| format!("{IFCFG}{name}")) {
            if surroundings.files.get(&path).is_some_and(|text| is_started(text)) {
                draft.note(format!(
                    "wicked is started on this machine and takes a link by {path}: remove that file, or set \
                     STARTMODE=off in it."
                ));
            }
        }
    }
}

/// Whether wicked brings a link up at boot, by its ifcfg file (ifcfg(5)): with any other STARTMODE, or none, it does not.
fn is_started(ifcfg: &str) -> bool {
    const MODES: [&str; 7] = ["auto", "boot", "onboot", "on", "nfsroot", "hotplug", "ifplugd"];
    let lines = ifcfg.lines().filter_map(|line| line.trim().strip_prefix("STARTMODE="));
    let mode = lines.map(|mode| mode.trim_matches(['"', '\''])).next_back();
    mode.is_some_and(|mode| MODES.contains(&mode))
}

/// Whether a link that would have had a network of its own is missing: its NIC may exist under another MAC, and then
/// the image's own tools are the way in. A bond's missing member is no such link.
fn is_one_missing(desired: &Desired, resolved: &Resolved) -> bool {
    let there: HashSet<&str> = resolved.links.iter().map(|l| l.desired.id.as_str()).collect();
    let has_network = |l: &&Link| !l.addresses.is_empty() || !l.routes.is_empty() || !l.dynamic.is_empty();
    desired.links.iter().filter(has_network).any(|l| !l.optional && !there.contains(l.id.as_str()))
}
