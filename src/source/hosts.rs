//! One image for many hosts: `hosts/NAME/` has a description each, and `hosts/index.yaml` may say which host each is
//! for. The one for this machine is chosen by the MAC addresses that the descriptions match NICs by, then by SMBIOS
//! UUID or serial number, then by host name. Entry: [`read`]; [`pick`] is pure.

use std::path::Path;

use foldhash::HashSet;

use super::layout::{self, Contents, Layout};
use super::metadata::{self, Metadata};
use super::tree::{FileTree, ReadError, TEXT_LIMIT, read_file};
use super::{Document, NotFound, NotFoundKind};
use crate::format::tree::{Node, Value};
use crate::machine::Machine;
use crate::order::Order as _;

/// The folder of the hosts.
const FOLDER: &str = "hosts";
/// The index of the hosts.
const INDEXES: [&str; 2] = ["index.yaml", "index.json"];
/// In SUSE Edge's folder for nm-configurator: the state that applies if no host's does.
const FOR_ALL: &str = "_all.yaml";
/// How many hosts a message names.
const SHOWN: usize = 8;

/// What identifies a host.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Host {
    /// The folder's name, or the file's without `.yaml`.
    name: String,
    /// In lowercase, with colons.
    macs: Vec<String>,
    /// From SMBIOS.
    uuid: Option<String>,
    serial: Option<String>,
    host_name: Option<String>,
}

/// Reads the description for this machine from a drive with many, else the only one on it.
pub(super) fn read(
    tree: &dyn FileTree,
    promised: Option<Layout>,
    machine: &Machine,
) -> Result<Option<Contents>, NotFound> {
    match of_folder(tree, &mut || this(machine))? {
        Some(contents) => Ok(Some(contents)),
        None => layout::read(tree, promised),
    }
}

/// Reads from `hosts/`. `None` if there is no such folder, or nothing in it.
fn of_folder(tree: &dyn FileTree, machine: &mut dyn FnMut() -> Host) -> Result<Option<Contents>, NotFound> {
    let index = match index(tree)? {
        Some(hosts) => hosts,
        None => {
            let mut names = tree.list(FOLDER).map_err(|e| layout::unreadable(FOLDER, &e))?;
            names.retain(|name| is_folder_name(name));
            names.order();
            if names.is_empty() {
                return Ok(None);
            }
            let mut hosts = Vec::new();
            for name in names {
                if let Some(contents) = contents(tree, &name)? {
                    hosts.push(described(name, &contents));
                }
            }
            hosts
        }
    };
    if index.is_empty() {
        return Ok(None);
    }
    let machine = machine();
    let chosen = choose(&index, &machine, FOLDER)?;
    match contents(tree, &chosen.name)? {
        Some(contents) => Ok(Some(contents)),
        None => Err(NotFound::new(
            NotFoundKind::NoDescription,
            format!("{FOLDER}/{} is this machine's, and holds no network description.", chosen.name),
            "Put network_data.json, network-config, nmstate.yaml or netplan's files there.",
        )),
    }
}

/// SUSE Edge's folder for nm-configurator: `HOSTNAME.yaml` with nmstate's state of each host, or `_all.yaml`. `None` if
/// the folder's files are not all states, or there is only one.
pub(super) fn states(tree: &dyn FileTree, machine: &Machine) -> Result<Option<Contents>, NotFound> {
    let mut names = tree.list("").map_err(|e| layout::unreadable("", &e))?;
    names.retain(|name| name.ends_with(".yaml") && !name.starts_with('.'));
    names.order();
    if names.len() < 2 && names.first().is_none_or(|name| name != FOR_ALL) {
        return Ok(None);
    }
    let mut hosts = Vec::new();
    for name in names {
        let Some(bytes) = tree.read(&name, TEXT_LIMIT).map_err(|e| layout::unreadable(&name, &e))? else {
            continue;
        };
        let document = Document::decode(&name, bytes)?;
        if !crate::format::is_nmstate(&document.text) {
            return Ok(None);
        }
        let contents = Contents {
            layout: Layout::Plain,
            documents: vec![document],
            metadata: Metadata::default(),
            notes: Vec::new(),
        };
        hosts.push((described(name.trim_end_matches(".yaml").to_owned(), &contents), contents));
    }
    let is_for_all = |host: &Host| FOR_ALL.strip_suffix(".yaml") == Some(host.name.as_str());
    let own: Vec<Host> =
        hosts.iter().map(|(host, _)| host.clone()).filter(|host| !is_for_all(host)).collect();
    let chosen = choose(&own, &this(machine), "the folder").map(|host| host.name.clone());
    let for_all =
        || hosts.iter().map(|(host, _)| host).find(|host| is_for_all(host)).map(|host| host.name.clone());
    let name = match chosen {
        Ok(name) => name,
        Err(problem) => for_all().ok_or(problem)?,
    };
    Ok(hosts.into_iter().find(|(host, _)| host.name == name).map(|(_, contents)| contents))
}

/// A plain name: an entry of an index never leads elsewhere.
fn is_folder_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains('/') && !INDEXES.contains(&name)
}

/// The index, if there is one.
fn index(tree: &dyn FileTree) -> Result<Option<Vec<Host>>, NotFound> {
    for file in INDEXES {
        let path = format!("{FOLDER}/{file}");
        let Some(bytes) = tree.read(&path, TEXT_LIMIT).map_err(|e| layout::unreadable(&path, &e))? else {
            continue;
        };
        let document = Document::decode(&path, bytes)?;
        let wrong = |why: String| {
            let hint =
                "It is a mapping from each host's name to mac, uuid, serial and hostname (docs/hosts.md).";
            NotFound::new(NotFoundKind::Unreadable, format!("{path} cannot be used: {why}."), hint)
        };
        let root = metadata::parse(&document.text).map_err(wrong)?;
        return hosts(&root).map(Some).map_err(wrong);
    }
    Ok(None)
}

/// The hosts of an index.
fn hosts(root: &Node) -> Result<Vec<Host>, String> {
    let Value::Map(entries) = &root.value else {
        return Err(format!("it is {}, not a mapping", root.noun()));
    };
    let mut hosts = Vec::new();
    for entry in entries {
        let name = entry.key.clone();
        if !is_folder_name(&name) {
            return Err(format!("line {}: \"{name}\" is no name of a folder", entry.key_at.line));
        }
        let mut host = Host { name, ..Host::default() };
        let Value::Map(facts) = &entry.value.value else {
            hosts.push(host);
            continue;
        };
        for fact in facts {
            let text =
                || fact.value.text().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
            match fact.key.as_str() {
                "mac" => {
                    let own = std::iter::once(&fact.value);
                    let macs = own.chain(fact.value.items()).filter_map(Node::text);
                    host.macs = macs.map(|mac| mac.trim().to_ascii_lowercase().replace('-', ":")).collect();
                }
                "uuid" => host.uuid = text(),
                "serial" => host.serial = text(),
                "hostname" => host.host_name = text(),
                other => {
                    return Err(format!("line {}: unknown key \"{other}\"", fact.key_at.line));
                }
            }
        }
        hosts.push(host);
    }
    Ok(hosts)
}

/// The identification of a host in its description.
fn described(name: String, contents: &Contents) -> Host {
    let texts = contents.documents.iter().map(|document| (document.name.clone(), document.text.clone()));
    Host {
        name,
        macs: crate::format::macs(texts.collect()),
        uuid: contents.metadata.instance_id.clone(),
        serial: None,
        host_name: contents.metadata.hostname.clone(),
    }
}

/// The content of a host's folder: a drive's files, or netplan's.
fn contents(tree: &dyn FileTree, name: &str) -> Result<Option<Contents>, NotFound> {
    let below = Below { tree, folder: format!("{FOLDER}/{name}") };
    let found = match layout::read(&below, None)? {
        Some(contents) => Some(contents),
        None => layout::netplan(&below)?,
    };
    Ok(found.map(|mut contents| {
        for document in &mut contents.documents {
            document.name = format!("{}/{}", below.folder, document.name);
        }
        contents
    }))
}

/// A folder of a tree, as a tree.
struct Below<'a> {
    tree: &'a dyn FileTree,
    folder: String,
}

impl Below<'_> {
    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.folder)
    }
}

impl FileTree for Below<'_> {
    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, ReadError> {
        self.tree.read(&self.path(path), limit)
    }

    fn head(&self, path: &str, length: usize) -> Result<Option<Vec<u8>>, ReadError> {
        self.tree.head(&self.path(path), length)
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, ReadError> {
        self.tree.list(&self.path(directory))
    }
}

/// This machine, from the kernel's files.
fn this(machine: &Machine) -> Host {
    let text = |path: &Path| {
        let bytes = read_file(path, 4096).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned()).filter(|text| !text.is_empty())
    };
    let links = std::fs::read_dir(machine.sys_net()).into_iter().flatten().flatten();
    let links = links.filter(|link| link.file_name() != "lo");
    // In a bond a NIC has the bond's address.
    let files = ["address", "bonding_slave/perm_hwaddr"];
    let found = links.flat_map(|link| files.map(|file| text(&link.path().join(file)))).flatten();
    let mut macs: Vec<String> = found.map(|mac| mac.to_ascii_lowercase()).collect();
    macs.order();
    macs.dedup();
    Host {
        name: String::new(),
        macs,
        uuid: text(&machine.product_uuid()),
        serial: text(&machine.product_serial()),
        host_name: machine.host_name(),
    }
}

/// Why none of several was chosen.
#[derive(Debug, PartialEq, Eq)]
enum Unclear<'a> {
    /// Nothing distinguishes one of them from the others.
    Several(Vec<&'a Host>),
    /// None is for this machine.
    None,
}

/// The host that this machine is.
fn pick<'a>(hosts: &'a [Host], machine: &Host) -> Result<&'a Host, Unclear<'a>> {
    let here: HashSet<&str> = machine.macs.iter().map(String::as_str).collect();
    let is_here = |mac: &String| here.contains(mac.as_str());
    let same = |one: &Option<String>, other: &Option<String>| match (one, other) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => false,
    };
    let has_name = |host: &Host| {
        let own = Some(host.name.clone());
        let short =
            machine.host_name.as_ref().map(|name| name.split('.').next().unwrap_or_default().to_owned());
        [&machine.host_name, &short].iter().any(|name| same(name, &host.host_name) || same(name, &own))
    };
    let tests: [&dyn Fn(&Host) -> bool; 4] = [
        &|host| !host.macs.is_empty() && host.macs.iter().all(is_here),
        &|host| host.macs.iter().any(is_here),
        &|host| same(&host.uuid, &machine.uuid) || same(&host.serial, &machine.serial),
        &has_name,
    ];
    let mut left: Vec<&Host> = hosts.iter().collect();
    let mut is_told = false;
    for test in tests {
        let fitting: Vec<&Host> = left.iter().copied().filter(|host| test(host)).collect();
        if let [only] = fitting[..] {
            return Ok(only);
        }
        if !fitting.is_empty() {
            (left, is_told) = (fitting, true);
        }
    }
    Err(if is_told { Unclear::Several(left) } else { Unclear::None })
}

/// As [`pick`], with the reason as sentences.
fn choose<'a>(hosts: &'a [Host], machine: &Host, place: &str) -> Result<&'a Host, NotFound> {
    let named = |hosts: &[&Host]| {
        let names: Vec<&str> = hosts.iter().take(SHOWN).map(|host| host.name.as_str()).collect();
        let more = hosts.len().saturating_sub(SHOWN);
        if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
    };
    pick(hosts, machine).map_err(|unclear| {
        let (message, hint) = match unclear {
            Unclear::Several(left) => (
                format!("Several descriptions in {place} are for this machine: {}.", named(&left)),
                "Give each the MAC addresses of its own NICs only, or a uuid or serial in hosts/index.yaml.".to_owned(),
            ),
            Unclear::None => {
                let all: Vec<&Host> = hosts.iter().collect();
                let macs = if machine.macs.is_empty() { "none".to_owned() } else { machine.macs.join(", ") };
                (
                    format!("None of the descriptions in {place} is for this machine: {}.", named(&all)),
                    format!("Its MAC addresses are: {macs}. One of them, its UUID, serial number or host name tells the host."),
                )
            }
        };
        NotFound::new(NotFoundKind::NoDescription, message, hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    /// Files in memory, and which were read.
    #[derive(Default)]
    struct Counted {
        files: BTreeMap<String, String>,
        read: RefCell<Vec<String>>,
    }

    impl FileTree for Counted {
        fn read(&self, path: &str, _: usize) -> Result<Option<Vec<u8>>, ReadError> {
            let found = self.files.get(path).map(|text| text.as_bytes().to_vec());
            if found.is_some() {
                self.read.borrow_mut().push(path.to_owned());
            }
            Ok(found)
        }

        fn head(&self, path: &str, _: usize) -> Result<Option<Vec<u8>>, ReadError> {
            self.read(path, 0)
        }

        fn list(&self, directory: &str) -> Result<Vec<String>, ReadError> {
            let begin = if directory.is_empty() {
                String::new()
            } else {
                format!("{}/", directory.trim_end_matches('/'))
            };
            let names = self.files.keys().filter_map(|path| path.strip_prefix(&begin)?.split('/').next());
            let names: std::collections::BTreeSet<String> = names.map(str::to_owned).collect();
            Ok(names.into_iter().collect())
        }
    }

    fn mac(number: usize) -> String {
        format!("52:54:00:00:{:02x}:{:02x}", number >> 8, number & 255)
    }

    fn description(number: usize) -> String {
        format!("version: 2\nethernets:\n  e: {{match: {{macaddress: '{}'}}, dhcp4: true}}\n", mac(number))
    }

    fn machine(macs: &[usize]) -> Host {
        Host { macs: macs.iter().map(|number| mac(*number)).collect(), ..Host::default() }
    }

    fn found(tree: &Counted, machine: &Host) -> Result<Option<String>, NotFound> {
        let contents = of_folder(tree, &mut || machine.clone())?;
        Ok(contents.map(|contents| contents.documents[0].name.clone()))
    }

    #[test]
    fn with_an_index_of_ten_thousand_hosts_it_and_one_description_are_read() {
        let mut tree = Counted::default();
        let mut index = String::new();
        for number in 0..10_000 {
            tree.files.insert(format!("hosts/n{number}/network-config"), description(number));
            index += &format!("n{number}: {{mac: ['{}']}}\n", mac(number));
        }
        tree.files.insert("hosts/index.yaml".to_owned(), index);
        assert_eq!(found(&tree, &machine(&[7777])).unwrap().as_deref(), Some("hosts/n7777/network-config"));
        assert_eq!(*tree.read.borrow(), ["hosts/index.yaml", "hosts/n7777/network-config"]);
    }

    #[test]
    fn without_an_index_the_descriptions_tell_their_hosts() {
        let mut tree = Counted::default();
        for number in 0..3 {
            tree.files.insert(format!("hosts/n{number}/network-config"), description(number));
        }
        tree.files.insert("hosts/n9/50-net.yaml".to_owned(), description(9));
        assert_eq!(found(&tree, &machine(&[1, 100])).unwrap().as_deref(), Some("hosts/n1/network-config"));
        assert_eq!(found(&tree, &machine(&[9])).unwrap().as_deref(), Some("hosts/n9/50-net.yaml"));
        let problem = found(&tree, &machine(&[50])).unwrap_err();
        assert_eq!(problem.message, "None of the descriptions in hosts is for this machine: n0, n1, n2, n9.");
        assert!(problem.hint.contains(&mac(50)), "{}", problem.hint);
        let problem = found(&tree, &machine(&[0, 2])).unwrap_err();
        assert_eq!(problem.message, "Several descriptions in hosts are for this machine: n0, n2.");
        // The host name decides among those left by the MAC addresses.
        let named = Host { host_name: Some("n2.example".to_owned()), ..machine(&[0, 2]) };
        assert_eq!(found(&tree, &named).unwrap().as_deref(), Some("hosts/n2/network-config"));
        assert_eq!(found(&Counted::default(), &machine(&[0])).unwrap(), None);
    }

    #[test]
    fn mac_addresses_then_uuid_or_serial_then_the_name() {
        let host = |name: &str, macs: &[usize], uuid: &str, host_name: &str| Host {
            name: name.to_owned(),
            uuid: Some(uuid.to_owned()),
            host_name: Some(host_name.to_owned()),
            ..machine(macs)
        };
        let hosts = [host("a", &[1, 2], "u1", "x"), host("b", &[1], "u2", "y"), host("c", &[], "u3", "z")];
        let picked = |this: &Host| pick(&hosts, this).map(|host| host.name.clone()).ok();
        assert_eq!(picked(&machine(&[1, 2, 3])), None, "both are whole");
        assert_eq!(picked(&machine(&[2])).as_deref(), Some("a"));
        assert_eq!(picked(&machine(&[1])).as_deref(), Some("b"), "all of its addresses are here");
        let with = |uuid: &str, host_name: &str, macs: &[usize]| Host {
            uuid: Some(uuid.to_owned()),
            host_name: Some(host_name.to_owned()),
            ..machine(macs)
        };
        assert_eq!(picked(&with("U2", "z", &[1, 2])).as_deref(), Some("b"));
        assert_eq!(picked(&with("u3", "x", &[9])).as_deref(), Some("c"));
        assert_eq!(picked(&with("u9", "z", &[9])).as_deref(), Some("c"));
        assert_eq!(picked(&with("u9", "w", &[9])), None);
    }

    #[test]
    fn an_index_is_checked() {
        let wrong = |text: &str| {
            let mut tree = Counted::default();
            tree.files.insert("hosts/index.yaml".to_owned(), text.to_owned());
            found(&tree, &machine(&[1])).unwrap_err().message
        };
        assert!(wrong("[a]").contains("not a mapping"));
        assert!(wrong("../x: {mac: a}\n").contains("is no name of a folder"));
        assert!(wrong("a: {macs: b}\n").contains("unknown key \"macs\""));
        // A host whose folder is missing.
        let message = wrong("a: {mac: '52:54:00:00:00:01'}\n");
        assert_eq!(message, "hosts/a is this machine's, and holds no network description.");
    }

    #[test]
    fn states_of_hosts_beside_each_other_are_told_apart() {
        use super::super::fake::FakeMachine;
        let fake = FakeMachine::new();
        fake.write("sys/class/net/eth0/address", format!("{}\n", mac(2)).as_bytes());
        let state = |number: usize| {
            format!(
                "interfaces:\n- {{name: e, type: ethernet, identifier: mac-address, mac-address: '{}'}}\n",
                mac(number)
            )
        };
        let mut tree = Counted::default();
        let name = |tree: &Counted| {
            states(tree, &fake.machine())
                .map(|found| found.map(|contents| contents.documents[0].name.clone()))
        };
        tree.files.insert("a.yaml".to_owned(), state(1));
        assert_eq!(name(&tree).unwrap(), None, "one state alone is for whoever names it");
        tree.files.insert("b.yaml".to_owned(), state(2));
        assert_eq!(name(&tree).unwrap().as_deref(), Some("b.yaml"));
        tree.files.insert("b.yaml".to_owned(), state(3));
        assert!(name(&tree).unwrap_err().message.contains("a, b"));
        tree.files.insert("_all.yaml".to_owned(), "interfaces:\n- {name: eth0, type: ethernet}\n".to_owned());
        assert_eq!(name(&tree).unwrap().as_deref(), Some("_all.yaml"));
        tree.files.insert("c.yaml".to_owned(), description(2));
        assert_eq!(name(&tree).unwrap(), None, "netplan's files are merged");
    }
}
