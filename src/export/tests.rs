//! Every case of testdata, written for each tool that netapply can read, is read back unchanged, apart from the
//! reported losses. And reported losses are real.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::diagnostic::Diagnostic;
use crate::format::{Parsed, parse};
use crate::inventory::Inventory;
use crate::model::attribute::OptionValue;
use crate::model::{Activation, Dynamic, LinkRef, Located, Match, NamePattern, Naming, attribute};
use crate::resolve::{Missing, resolve};

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The files of every case.
fn cases() -> Vec<(String, Vec<(String, String)>)> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let folders = below(&testdata).into_iter().flat_map(|format| below(&format));
    let texts = |case: &Path| {
        let is_text = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            path.is_file() && !name.ends_with(".txt") && name != "inventory.json" && name != "args"
        };
        let texts = below(case).into_iter().filter(is_text);
        let read = |path: PathBuf| {
            (path.display().to_string(), String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
        };
        texts.map(read).collect()
    };
    folders.map(|case| (case.strip_prefix(&testdata).unwrap().display().to_string(), texts(&case))).collect()
}

fn resolved(desired: &Desired) -> Resolved {
    resolve(desired, &Inventory::default(), Missing::StandIn).0
}

/// A description in a form that does not depend on the format: links by their kernel names, or by what their NIC is
/// matched by; a format's own additions left out.
struct Plain {
    /// The fields of each link, as text without places.
    links: BTreeMap<String, BTreeMap<String, String>>,
    /// Rules and name servers of the machine and of links, in any order.
    machine: BTreeMap<&'static str, Vec<String>>,
    /// The ids of the description and their new names.
    keys: HashMap<String, String>,
}

impl Plain {
    fn new(desired: &Desired) -> Plain {
        let resolved = resolved(desired);
        let names = Names::new(&resolved);
        let keys: HashMap<String, String> =
            desired.links.iter().map(|link| (link.id.clone(), key(link, &names))).collect();
        let mut rules = desired.rules.clone();
        let mut resolver = desired.resolver.clone();
        let mut links = BTreeMap::new();
        let mut dropping = Vec::new();
        for link in &desired.links {
            let mut link = link.clone();
            rules.append(&mut link.rules);
            resolver.merge(&std::mem::take(&mut link.resolver));
            plain(&mut link, &keys);
            // Which link they are written with is irrelevant.
            let is_route = |route: &Route| !route.kind.is_linkless();
            let others = link.routes.iter().filter(|route| !is_route(route));
            dropping.extend(others.map(|route| without_places(&format!("{route:#?}"))));
            link.routes.retain(is_route);
            links.insert(link.id.clone(), fields(&link));
        }
        for rule in &mut rules {
            rule.iif = rule.iif.take().map(|id| keys.get(&id).cloned().unwrap_or(id));
            let everything = rule.family.everything();
            rule.from = rule.from.filter(|net| *net != everything);
            rule.to = rule.to.filter(|net| *net != everything);
        }
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts
        };
        let host_name = desired.host_name.iter().map(|name| name.value.clone()).collect();
        let rules = rules.iter().map(|rule| without_places(&format!("{rule:#?}"))).collect();
        let servers = resolver.servers.iter().map(|server| server.value.to_string());
        let search = resolver.search.iter().map(|domain| domain.value.clone());
        let machine = BTreeMap::from([
            ("host_name", host_name),
            ("routes", sorted(dropping)),
            ("rules", sorted(rules)),
            ("resolver", sorted(servers.chain(search).collect())),
        ]);
        Plain { links, machine, keys }
    }
}

fn key(link: &Link, names: &Names<'_>) -> String {
    if link.kind != Kind::Physical {
        return names.of(link).to_owned();
    }
    let Match { mac, name, pci, drivers, .. } = &link.select;
    let drivers: Vec<&str> = drivers.iter().map(|driver| driver.value.as_str()).collect();
    let (name, pci) = (name.as_ref().map(|name| &name.value), pci.as_ref().map(|pci| &pci.value));
    format!("NIC {:?} {name:?} {pci:?} {drivers:?}", mac.map(|mac| mac.value))
}

/// Normalises equivalent values.
fn plain(link: &mut Link, keys: &HashMap<String, String>) {
    let key = |id: &mut String| {
        if let Some(key) = keys.get(id) {
            id.clone_from(key);
        }
    };
    key(&mut link.id);
    let references = link.parent.iter_mut().chain(&mut link.peer).chain(&mut link.members);
    references.for_each(|LinkRef { value, .. }| key(value));
    for (option, setting) in &mut link.settings.0 {
        let is_link = attribute::of(link.kind, option).is_some_and(|a| a.form == attribute::Form::Link);
        if let (true, OptionValue::Text(id)) = (is_link, &mut setting.value) {
            key(id);
        }
    }
    for hop in link.routes.iter_mut().flat_map(|route| &mut route.more) {
        hop.link.iter_mut().for_each(key);
    }
    let exact = match &link.select.name {
        Some(Located { value: NamePattern::Exact(name), .. }) => Some(name.clone()),
        _ => None,
    };
    link.select.many &= link.select.mac.is_none() && exact.is_none();
    (link.select.implied, link.select.similar) = (false, None);
    match &link.naming {
        _ if link.kind != Kind::Physical => link.naming = Naming::Generate,
        Naming::Set(name) if Some(name.value.as_str()) == exact.as_deref() => link.naming = Naming::Keep,
        _ => {}
    }
    link.settings.0.retain(|option, setting| match (&setting.value, *option) {
        (OptionValue::Text(tag), "protocol") => tag != "802.1Q",
        (OptionValue::Text(mode), "mode") if link.kind == Kind::Bond => mode != "balance-rr",
        (OptionValue::Bool(on), "vlan_filtering") => *on,
        (OptionValue::Number(0), "encaplimit") => true,
        (OptionValue::Bool(on), "stp_state") => *on,
        (
            OptionValue::Number(0),
            "arp_interval" | "downdelay" | "maxaddress" | "min_links" | "tos" | "updelay",
        ) => false,
        _ => true,
    });
    link.port.0.retain(|_, setting| setting.value != OptionValue::Number(0));
    if link.asks(Dynamic::RouterAdvertisements) {
        link.ipv6.accept_ra.get_or_insert(Located::new(true, Place::NONE));
        link.dynamic.retain(|d| d.value != Dynamic::RouterAdvertisements);
    }
    link.ipv6.autoconf =
        link.ipv6.autoconf.filter(|auto| !auto.value || link.ipv6.accept_ra.is_none_or(|ra| !ra.value));
    link.ipv6.static_alone &=
        link.addresses.iter().any(|a| a.net.addr().is_ipv6()) && link.ipv6.accept_ra.is_none();
    // The order between two families is irrelevant.
    link.addresses.sort_by_key(|address| address.net.addr().is_ipv6());
    for route in &mut link.routes {
        route.more.iter_mut().for_each(|hop| hop.link = hop.link.take().filter(|other| *other != link.id));
        route.table = route.table.filter(|table| *table != 254);
    }
    // So is that of routes, and of the members of a VRF.
    link.routes.sort_by_cached_key(|route| format!("{:?}", Route { at: Place::NONE, ..route.clone() }));
    if link.kind == Kind::Vrf {
        link.members.sort_by(|a, b| a.value.cmp(&b.value));
    }
    for address in &mut link.addresses {
        address.broadcast = address.unusual_broadcast();
    }
    link.dynamic.sort_by_key(|d| d.value);
    link.dynamic.dedup_by_key(|d| d.value);
    if !link.dynamic.iter().any(|d| matches!(d.value, Dynamic::Dhcp4 | Dynamic::Dhcp6)) {
        link.dhcp4 = crate::model::DhcpOptions { duid: link.dhcp4.duid, ..Default::default() };
    }
    link.optional |= link.activation != Activation::Up;
}

/// The fields of a link as `{:#?}` prints them, by their names.
fn fields(link: &Link) -> BTreeMap<String, String> {
    let text = without_places(&format!("{link:#?}"));
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut field = String::new();
    for line in text.lines() {
        let inner = line.strip_prefix("    ").filter(|rest| !rest.starts_with([' ', '}', ']', ')', '{']));
        if let Some((name, _)) = inner.and_then(|rest| rest.split_once(':')) {
            field = name.to_owned();
        }
        if line.starts_with("    ") {
            *fields.entry(field.clone()).or_default() += &format!("{line}\n");
        }
    }
    fields
}

/// `{:#?}` of a value without places, which differ in a written description.
pub(super) fn without_places(text: &str) -> String {
    let mut out = String::new();
    let mut depth = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match depth {
            Some(place) if indent > place => continue,
            Some(_) => depth = None,
            None if line.trim_end().ends_with("Place {") => depth = Some(indent),
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

impl Part {
    /// The field of [`Link`].
    fn field(self) -> String {
        let mut field = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !field.is_empty() {
                field.push('_');
            }
            field.push(letter.to_ascii_lowercase());
        }
        field
    }
}

/// The lines that one text has more often.
fn difference(was: &str, is: &str) -> String {
    let only = |a: &str, b: &str, sign: &str| -> String {
        let mut others: Vec<&str> = b.lines().collect();
        let mut out = String::new();
        for line in a.lines() {
            match others.iter().position(|other| *other == line) {
                Some(at) => {
                    others.remove(at);
                }
                None => out += &format!(" {sign}{}", line.trim()),
            }
        }
        out
    };
    only(was, is, "-") + &only(is, was, "+")
}

/// Where a description and what was read back differ without a reported loss, and reported losses that are none.
fn unreported(parsed: &Parsed, losses: &[ExportLoss], back: &Parsed) -> Vec<String> {
    let (was, mut is) = (Plain::new(&parsed.desired), Plain::new(&back.desired));
    // dracut reads the id of a VLAN from its name.
    for loss in losses.iter().filter(|loss| loss.part == Part::Naming) {
        let Some((_, new)) = loss.diagnostic.message.split_once("it is called ") else { continue };
        let old = was.keys.get(&loss.link).unwrap_or(&loss.link);
        for fields in is.links.values_mut() {
            let texts = fields.values_mut();
            texts.for_each(|text| *text = text.replace(&format!("\"{new}\""), &format!("\"{old}\"")));
        }
        let renamed = is.links.remove(new);
        is.links.extend(renamed.map(|fields| (old.clone(), fields)));
    }
    let mut wrong: Vec<String> = Vec::new();
    let mut differ: HashSet<(String, String)> = HashSet::default();
    let lost = |link: &str, field: &str| {
        losses.iter().any(|loss| {
            was.keys.get(&loss.link).map_or(loss.link.as_str(), String::as_str) == link
                && loss.part.field() == field
        })
    };
    for (id, fields) in &was.links {
        let Some(others) = is.links.get(id) else {
            differ.insert((id.clone(), "kind".to_owned()));
            if !lost(id, "kind") {
                wrong.push(format!("{id} is gone"));
            }
            continue;
        };
        for (field, value) in fields {
            let other = others.get(field).map_or("", String::as_str);
            if value == other {
                continue;
            }
            differ.insert((id.clone(), field.clone()));
            if !lost(id, field) {
                wrong.push(format!("{id}: {field}: {}", difference(value, other)));
            }
        }
    }
    wrong.extend(is.links.keys().filter(|id| !was.links.contains_key(*id)).map(|id| format!("{id} is new")));
    for (what, values) in &was.machine {
        let reported = losses.iter().any(|loss| loss.part.field() == *what || loss.part == Part::Kind);
        if is.machine[what] != *values && !reported {
            wrong.push(format!("{what} were {values:?} and are {:?}", is.machine[what]));
        }
    }
    for loss in losses.iter().filter(|loss| loss.diagnostic.severity > Severity::Note) {
        let link = was.keys.get(&loss.link).unwrap_or(&loss.link);
        let is_dropping = loss.part == Part::Routes && was.machine["routes"] != is.machine["routes"];
        let is_machine = is_dropping || matches!(loss.part, Part::Rules | Part::Resolver | Part::HostName);
        let is_gone = differ.contains(&(link.clone(), "kind".to_owned()));
        // The reader gives metrics to routes that would conflict.
        let gives = |d: &Diagnostic| matches!(d.code, Code::TwoDefaultRoutes | Code::ConflictingRoute);
        let is_numbered =
            loss.diagnostic.message.contains("metric of a route") && back.diagnostics.iter().any(gives);
        if !is_machine && !is_gone && !is_numbered && !differ.contains(&(link.clone(), loss.part.field())) {
            wrong.push(format!("not lost: {}", loss.diagnostic.message));
        }
    }
    wrong
}

/// The errors of the output, apart from those that the description had.
fn complaints<'a>(was: &'a Parsed, back: &'a Parsed) -> impl Iterator<Item = &'a Diagnostic> {
    let is_old = |d: &&Diagnostic| was.diagnostics.iter().any(|old| old.message == d.message);
    back.diagnostics.iter().filter(move |d| d.severity == Severity::Error && !is_old(d))
}

/// The tools whose format netapply reads.
const READ: &[Tool] =
    &[Tool::Netplan, Tool::Nmstate, Tool::NetworkData, Tool::CloudInitV1, Tool::Eni, Tool::Cmdline];

#[test]
fn output_is_read_back_unchanged_or_reported() {
    let mut wrong = String::new();
    let mut written = 0;
    let mut whole: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (case, texts) in cases() {
        let parsed = parse(texts);
        for (name, tool) in Tool::ALL.iter().filter(|(_, tool)| READ.contains(tool)) {
            let exported = export(*tool, &parsed.desired, &resolved(&parsed.desired));
            let files = exported.files.iter().map(|file| (file.name.clone(), file.text.clone())).collect();
            if exported.files.is_empty() {
                let silent = !parsed.desired.links.is_empty() && exported.losses.is_empty();
                assert!(!silent, "{case} to {name} writes nothing and says nothing");
                continue;
            }
            written += 1;
            let figures: &mut (usize, usize) = whole.entry(name).or_default();
            *figures = (figures.0 + 1, figures.1 + usize::from(exported.losses.is_empty()));
            let back = parse(files);
            let found = unreported(&parsed, &exported.losses, &back);
            let messages = complaints(&parsed, &back).map(|d| format!("read back: {}", d.message));
            for line in found.into_iter().chain(messages) {
                wrong += &format!("{case} to {name}: {line}\n");
            }
        }
    }
    for (name, (cases, without_loss)) in whole {
        println!("{name}: {cases} cases, {without_loss} of them without a loss");
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(written > 100, "{written}");
}

/// dracut writes it to resolv.conf as it is.
#[test]
fn a_name_server_on_the_command_line_has_no_brackets() {
    let text = "network: {version: 2, ethernets: {eth0: {addresses: ['2001:db8::2/64'],
        nameservers: {addresses: ['2001:db8::53']}}}}";
    let parsed = parse(vec![("x".to_owned(), text.to_owned())]);
    let written = export(Tool::Cmdline, &parsed.desired, &resolved(&parsed.desired)).files.remove(0).text;
    assert!(written.contains("ip=[2001:db8::2]") && written.contains("nameserver=2001:db8::53"), "{written}");
}

#[test]
fn a_link_that_no_parameter_names_is_reported() {
    let text = "network: {version: 2, ethernets: {eth0: {}, eth1: {}},
        bonds: {bond0: {interfaces: [eth1], dhcp4: true, parameters: {mode: active-backup}}}}";
    let parsed = parse(vec![("x".to_owned(), text.to_owned())]);
    let exported = export(Tool::Cmdline, &parsed.desired, &resolved(&parsed.desired));
    let unnamed: Vec<&str> =
        exported.losses.iter().filter(|l| l.part == Part::Kind).map(|l| l.link.as_str()).collect();
    assert_eq!(unnamed, ["eth0"], "{:?}", exported.losses);
}

#[test]
fn a_client_id_is_reported_lost_for_tools_without_one() {
    let mut link = Link::new("eth0", Kind::Physical, Place::NONE);
    link.select.name = Some(Located::new(NamePattern::Exact("eth0".to_owned()), Place::NONE));
    link.dynamic = vec![Located::new(Dynamic::Dhcp4, Place::NONE)];
    link.dhcp4.client_id = Some(vec![0, b'n', b'1']);
    let desired = Desired { links: vec![link], ..Desired::default() };
    for (name, tool) in [
        ("netplan", Tool::Netplan),
        ("networkd", Tool::Networkd),
        ("network_data", Tool::NetworkData),
        ("v1", Tool::CloudInitV1),
        ("nixos", Tool::Nixos),
        ("cmdline", Tool::Cmdline),
    ] {
        let losses = export(tool, &desired, &resolved(&desired)).losses;
        let is_reported =
            losses.iter().any(|l| l.part == Part::Dhcp4 && l.diagnostic.message.contains("client id"));
        assert!(is_reported, "{name}: {losses:?}");
    }
}

#[test]
fn several_nics_of_one_description_are_none_that_has_a_name() {
    use crate::inventory::ObservedLink;
    use crate::model::LinkLayer;
    let text = "network: {version: 2, ethernets: {nics: {match: {name: 'eth*'}, dhcp4: true}}}";
    let parsed = parse(vec![("x".to_owned(), text.to_owned())]);
    let nic = |name: &str| ObservedLink {
        name: name.to_owned(),
        layer: LinkLayer::Ether,
        ..ObservedLink::default()
    };
    let inventory = Inventory { links: vec![nic("eth0"), nic("eth1")], ..Inventory::default() };
    let resolved = resolve(&parsed.desired, &inventory, Missing::Report).0;
    let written = export(Tool::Eni, &parsed.desired, &resolved).files.remove(0).text;
    assert!(written.contains("auto /eth*="), "{written}");
    let lost = export(Tool::Nmstate, &parsed.desired, &resolved).losses;
    assert!(lost.iter().any(|loss| loss.diagnostic.message.contains("match for several NICs")), "{lost:?}");
}
