//! Where on a drive the network description is: OpenStack's config drive, NoCloud, OpenNebula, a directory of netplan
//! files. Works on any [`FileTree`]; knows neither devices nor the meaning of the files. Entry: [`read`].

use serde::Serialize;

use super::metadata::{self, CLOUD_CONFIG, Metadata};
use super::tree::{FileTree, ReadError, SIDE_LIMIT, TEXT_LIMIT};
use super::{Document, NotFound, NotFoundKind, is_denied};
use crate::order::Order as _;

/// The layout of the drive or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// OpenStack: `openstack/latest/network_data.json` and its older equivalents.
    ConfigDrive,
    /// cloud-init's NoCloud: `network-config`, `meta-data`.
    NoCloud,
    /// OpenNebula: `context.sh`.
    OpenNebula,
    /// netplan's files, which are merged: one document each, sorted by file name.
    Netplan,
    /// A single file without a drive.
    Plain,
}

/// The contents of a tree.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) layout: Layout,
    pub(super) documents: Vec<Document>,
    pub(super) metadata: Metadata,
    pub(super) notes: Vec<String>,
}

/// The layout of a config drive with this label, if it is one.
pub(super) fn of_label(label: &str) -> Option<Layout> {
    const LABELS: [(&str, Layout); 3] =
        [("config-2", Layout::ConfigDrive), ("cidata", Layout::NoCloud), ("CONTEXT", Layout::OpenNebula)];
    LABELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(label)).map(|(_, layout)| *layout)
}

/// Reads the description from a drive; the layout that its label promises is tried first. `None`: there is no network
/// description on it.
pub(super) fn read(tree: &dyn FileTree, promised: Option<Layout>) -> Result<Option<Contents>, NotFound> {
    let others = [Layout::ConfigDrive, Layout::NoCloud, Layout::OpenNebula];
    let others = others.into_iter().filter(|layout| Some(*layout) != promised);
    for layout in promised.into_iter().chain(others) {
        let mut drive = Drive { tree, metadata: Metadata::default(), notes: Vec::new(), empty: None };
        let document = match layout {
            Layout::NoCloud => drive.nocloud()?,
            Layout::OpenNebula => drive.opennebula()?,
            _ => drive.config_drive()?,
        };
        let Drive { metadata, notes, empty, .. } = drive;
        // An empty file is returned only if there is no other: its parser reports that it is empty.
        if let Some(document) = document.or(empty) {
            return Ok(Some(Contents { layout, documents: vec![document], metadata, notes }));
        }
    }
    Ok(None)
}

/// Reads netplan's files from a directory of them, or from a root file system's `lib/netplan`, `etc/netplan` and
/// `run/netplan`, where a file in a later directory replaces one of the same name in an earlier one
/// (netplan-generate(8)).
pub(super) fn netplan(tree: &dyn FileTree) -> Result<Option<Contents>, NotFound> {
    let mut files: Vec<(String, String)> = Vec::new();
    for directory in ["", "lib/netplan", "etc/netplan", "run/netplan"] {
        let names = tree.list(directory).map_err(|e| unreadable(directory, &e))?;
        let yaml = names.into_iter().filter(|name| name.ends_with(".yaml") && !name.starts_with('.'));
        for name in yaml {
            let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
            files.retain(|(known, _)| *known != name);
            files.push((name, path));
        }
    }
    files.order();
    let mut documents = Vec::new();
    for (_, path) in files {
        if let Some(bytes) = tree.read(&path, TEXT_LIMIT).map_err(|e| unreadable(&path, &e))? {
            documents.push(Document::decode(&path, bytes)?);
        }
    }
    Ok((!documents.is_empty()).then(|| Contents {
        layout: Layout::Netplan,
        documents,
        metadata: Metadata::default(),
        notes: Vec::new(),
    }))
}

/// Where nmstate's state is stored next to the usual files of a drive.
const NMSTATE: &str = "nmstate.yaml";

/// A drive being searched.
struct Drive<'a> {
    tree: &'a dyn FileTree,
    metadata: Metadata,
    notes: Vec<String>,
    /// The first description that is an empty file: Proxmox leaves such files.
    empty: Option<Document>,
}

impl Drive<'_> {
    /// Reads a file that may describe the network. An empty one is remembered.
    fn description(&mut self, path: &str) -> Result<Option<Document>, NotFound> {
        let Some(bytes) = self.tree.read(path, TEXT_LIMIT).map_err(|e| unreadable(path, &e))? else {
            return Ok(None);
        };
        let document = Document::decode(path, bytes)?;
        if !document.text.trim().is_empty() {
            return Ok(Some(document));
        }
        self.empty.get_or_insert(document);
        Ok(None)
    }

    /// Reads a file that only adds to the description: a problem with it becomes a note and does not fail the run.
    fn side_text(&mut self, path: &str, limit: usize) -> Option<Document> {
        let read = self.tree.read(path, limit).map_err(|e| unreadable(path, &e));
        match read.and_then(|bytes| bytes.map(|bytes| Document::decode(path, bytes)).transpose()) {
            Ok(document) => document.filter(|d| !d.text.trim().is_empty()),
            Err(problem) => {
                self.notes.push(problem.message);
                None
            }
        }
    }

    /// Takes the hostname from user data, where Proxmox stores it, if nothing better was found. User data can be
    /// anything, compressed or binary, and large: only a cloud-config is read beyond its first bytes.
    fn hostname_from(&mut self, path: &str) {
        let begins = || self.tree.head(path, CLOUD_CONFIG.len()).ok().flatten();
        if self.metadata.hostname.is_none() && begins().is_some_and(|head| head == CLOUD_CONFIG.as_bytes()) {
            let user_data = self.side_text(path, SIDE_LIMIT);
            if let Some(user_data) = user_data {
                self.metadata.hostname = metadata::user_data_hostname(&user_data.text);
                self.metadata = std::mem::take(&mut self.metadata).located(path, &user_data.text);
            }
        }
    }

    fn note_unparsable(&mut self, path: &str, why: &str) {
        self.notes.push(format!("{path} cannot be parsed and is not used: {why}."));
    }

    fn config_drive(&mut self) -> Result<Option<Document>, NotFound> {
        let directories = self.versions()?;
        let mut content_path = None;
        for directory in &directories {
            let path = format!("{directory}meta_data.json");
            let Some(document) = self.side_text(&path, SIDE_LIMIT) else { continue };
            match metadata::openstack(&document.text) {
                Ok((metadata, content)) => {
                    (self.metadata, content_path) = (metadata.located(&path, &document.text), content);
                }
                Err(why) => self.note_unparsable(&path, &why),
            }
            break;
        }
        for directory in &directories {
            self.hostname_from(&format!("{directory}user_data"));
        }
        // Rackspace and early Nova wrote network_info.json, others put the same in vendor_data.json.
        for file in ["network_data.json", "network_info.json", NMSTATE] {
            for directory in &directories {
                if let Some(document) = self.description(&format!("{directory}{file}"))? {
                    return Ok(Some(document));
                }
            }
        }
        for directory in &directories {
            let vendor = self.side_text(&format!("{directory}vendor_data.json"), TEXT_LIMIT);
            if let Some(document) = vendor.filter(|d| metadata::has_network_info(&d.text)) {
                return Ok(Some(document));
            }
        }
        match content_path {
            // "/content/0000" is relative to openstack/.
            Some(path) => self.description(&format!("openstack/{}", path.trim_start_matches('/'))),
            None => Ok(None),
        }
    }

    /// The directories that may hold the description, best first: `latest`, then the dated ones, newest first, then the
    /// root, for a directory that is itself a `latest`. Each with its trailing slash.
    fn versions(&self) -> Result<Vec<String>, NotFound> {
        let is_date = |name: &str| {
            name.len() == 10 && name.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'_'))
        };
        let mut dated = self.tree.list("openstack").map_err(|e| unreadable("openstack", &e))?;
        dated.retain(|name| is_date(name));
        dated.order_by(|a, b| b.cmp(a));
        let names = std::iter::once("latest".to_owned()).chain(dated);
        Ok(names.map(|name| format!("openstack/{name}/")).chain([String::new()]).collect())
    }

    fn nocloud(&mut self) -> Result<Option<Document>, NotFound> {
        let mut interfaces = None;
        if let Some(document) = self.side_text("meta-data", SIDE_LIMIT) {
            match metadata::nocloud(&document.text) {
                Ok((metadata, text)) => {
                    self.metadata = metadata.located("meta-data", &document.text);
                    interfaces = text.map(|text| Document { name: document.name, text });
                }
                Err(why) => self.note_unparsable("meta-data", &why),
            }
        }
        self.hostname_from("user-data");
        if let Some(document) = self.description("network-config")? {
            return Ok(Some(document));
        }
        Ok(self.description(NMSTATE)?.or(interfaces))
    }

    fn opennebula(&mut self) -> Result<Option<Document>, NotFound> {
        let document = self.description("context.sh")?;
        if let Some(document) = &document {
            self.metadata = metadata::opennebula(&document.text).located("context.sh", &document.text);
        }
        Ok(document)
    }
}

/// A file that exists on the drive but cannot be read.
pub(super) fn unreadable(path: &str, error: &ReadError) -> NotFound {
    let message = format!("{path} {error}.");
    let (kind, hint) = match error {
        ReadError::Io(e) if is_denied(e) => return NotFound::denied(message, "Run netapply as root.", e),
        ReadError::Io(_) | ReadError::Damaged(_) => (
            NotFoundKind::Unreadable,
            "Make the drive anew, and check that the medium was written to its end.",
        ),
        ReadError::NotAFile => (NotFoundKind::Unreadable, "Put the text itself there, as a regular file."),
        ReadError::LeavesTree => (
            NotFoundKind::Unreadable,
            "Put the file itself there. In a directory that is yours: --follow-links.",
        ),
        ReadError::TooLarge(_) | ReadError::TooMuch | ReadError::TooMany => (
            NotFoundKind::Unreadable,
            "No network description is that large: check the drive's content, and create it again.",
        ),
    };
    let problem = NotFound::new(kind, message, hint);
    match error {
        ReadError::Io(e) => problem.caused_by(e),
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Fake(BTreeMap<&'static str, String>);

    impl FileTree for Fake {
        fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, ReadError> {
            match self.0.get(path) {
                Some(text) if text.len() > limit => Err(ReadError::TooLarge(limit)),
                text => Ok(text.map(|text| text.as_bytes().to_vec())),
            }
        }

        fn head(&self, path: &str, length: usize) -> Result<Option<Vec<u8>>, ReadError> {
            Ok(self.0.get(path).map(|text| text.as_bytes()[..length.min(text.len())].to_vec()))
        }

        fn list(&self, directory: &str) -> Result<Vec<String>, ReadError> {
            let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
            let below = self.0.keys().filter_map(|path| path.strip_prefix(&prefix));
            let mut names: Vec<String> =
                below.filter_map(|p| p.split('/').next()).map(str::to_owned).collect();
            names.dedup();
            Ok(names)
        }
    }

    fn contents(files: &[(&'static str, &'static str)], promised: Option<Layout>) -> Option<Contents> {
        read(&Fake(files.iter().map(|(path, text)| (*path, (*text).to_owned())).collect()), promised).unwrap()
    }

    fn taken(files: &[(&'static str, &'static str)]) -> Option<String> {
        contents(files, None).map(|c| c.documents[0].name.clone())
    }

    #[test]
    fn network_data_alone_is_a_good_drive() {
        assert_eq!(
            taken(&[("openstack/latest/network_data.json", "{}")]).as_deref(),
            Some("openstack/latest/network_data.json")
        );
    }

    #[test]
    fn the_newest_dated_directory_if_latest_is_missing() {
        let files = [
            ("openstack/2012-08-10/network_data.json", "{}"),
            ("openstack/2018-08-27/network_data.json", "{}"),
            ("openstack/content/0000", "x"),
        ];
        assert_eq!(taken(&files).as_deref(), Some("openstack/2018-08-27/network_data.json"));
    }

    #[test]
    fn older_places_in_their_order() {
        let info = ("openstack/latest/network_info.json", "{}");
        let vendor = ("openstack/latest/vendor_data.json", r#"{"network_info": {"links": []}}"#);
        let meta =
            ("openstack/latest/meta_data.json", r#"{"network_config": {"content_path": "/content/0000"}}"#);
        let eni = ("openstack/content/0000", "auto lo\n");
        assert_eq!(taken(&[info, vendor, meta, eni]).as_deref(), Some(info.0));
        assert_eq!(taken(&[vendor, meta, eni]).as_deref(), Some(vendor.0));
        // Proxmox leaves an empty vendor_data.json.
        assert_eq!(taken(&[("openstack/latest/vendor_data.json", ""), meta, eni]).as_deref(), Some(eni.0));
        assert_eq!(taken(&[meta]), None);
    }

    #[test]
    fn an_empty_description_is_used_only_without_another() {
        let empty = ("openstack/latest/network_data.json", " \n");
        let eni = ("openstack/content/0000", "auto lo\n");
        let meta =
            ("openstack/latest/meta_data.json", r#"{"network_config": {"content_path": "/content/0000"}}"#);
        assert_eq!(taken(&[empty]).as_deref(), Some(empty.0));
        assert_eq!(taken(&[empty, meta, eni]).as_deref(), Some(eni.0));
    }

    #[test]
    fn a_broken_meta_data_is_a_note_and_stops_nothing() {
        let files =
            [("openstack/latest/network_data.json", "{}"), ("openstack/latest/meta_data.json", "{oops")];
        let contents = contents(&files, None).unwrap();
        assert_eq!(contents.notes.len(), 1);
        assert!(contents.notes[0].starts_with("openstack/latest/meta_data.json cannot be parsed"));
    }

    #[test]
    fn nocloud_with_network_config_alone() {
        let contents = contents(&[("network-config", "version: 2\n")], Some(Layout::NoCloud)).unwrap();
        assert_eq!(
            (contents.layout, contents.documents[0].name.as_str()),
            (Layout::NoCloud, "network-config")
        );
    }

    #[test]
    fn a_state_of_nmstate_is_found_on_every_drive() {
        let state = "interfaces: []\n";
        assert_eq!(taken(&[("nmstate.yaml", state)]).as_deref(), Some("nmstate.yaml"));
        let drive = [("openstack/latest/nmstate.yaml", state), ("openstack/latest/meta_data.json", "{}")];
        assert_eq!(taken(&drive).as_deref(), Some("openstack/latest/nmstate.yaml"));
        let both = [("nmstate.yaml", state), ("network-config", "version: 2\n")];
        assert_eq!(contents(&both, Some(Layout::NoCloud)).unwrap().documents[0].name, "network-config");
    }

    #[test]
    fn nocloud_hostname_and_legacy_interfaces() {
        let files = [
            ("meta-data", "instance-id: i-1\nnetwork-interfaces: |\n  auto eth0\n"),
            ("user-data", "#cloud-config\nhostname: vm1\n"),
        ];
        let contents = contents(&files, None).unwrap();
        assert_eq!(
            contents.documents,
            [Document { name: "meta-data".into(), text: "\n\nauto eth0\n".into() }]
        );
        assert_eq!(contents.metadata.hostname.as_deref(), Some("vm1"));
    }

    #[test]
    fn a_label_decides_which_layout_comes_first() {
        let files = [("network-config", "version: 2\n"), ("openstack/latest/network_data.json", "{}")];
        let layout = |label: &str| contents(&files, of_label(label)).unwrap().layout;
        assert_eq!(layout("CIDATA"), Layout::NoCloud);
        assert_eq!(layout("config-2"), Layout::ConfigDrive);
        assert_eq!(layout("whatever"), Layout::ConfigDrive);
    }

    #[test]
    fn side_files_of_any_size_and_shape_cost_little_and_stop_nothing() {
        // Ten megabytes took 1.96 GB and 20 s: see tests/bounds.rs for the figures.
        let flow = "[a,".repeat(10 << 20 >> 2);
        let files = |path: &'static str, text: String| {
            let network = ("network-config", "version: 2\n".to_owned());
            read(&Fake(BTreeMap::from([network, (path, text)])), None).unwrap().unwrap()
        };
        let contents = files("meta-data", flow.clone());
        assert_eq!(contents.notes, ["meta-data is larger than 1 MiB."]);
        let contents = files("user-data", format!("#cloud-config\n{flow}"));
        assert_eq!(contents.notes, ["user-data is larger than 1 MiB."]);
        assert_eq!(files("user-data", flow).notes, Vec::<String>::new(), "not a cloud-config: never read");
        let contents = files("meta-data", "[a,".repeat(300_000));
        assert!(
            contents.notes[0].starts_with("meta-data cannot be parsed and is not used: "),
            "{:?}",
            contents.notes
        );
    }

    #[test]
    fn a_drive_without_a_network() {
        assert!(
            contents(&[("user-data", "#cloud-config\n"), ("meta-data", "instance-id: i\n")], None).is_none()
        );
    }

    #[test]
    fn netplan_files_of_a_root_shadow_each_other_by_name() {
        let files = [
            "lib/netplan/50-base.yaml",
            "etc/netplan/50-base.yaml",
            "etc/netplan/10-first.yaml",
            "etc/netplan/README",
            "run/netplan/90-last.yaml",
        ];
        let tree = Fake(files.map(|path| (path, path.to_owned())).into());
        let names: Vec<String> =
            netplan(&tree).unwrap().unwrap().documents.into_iter().map(|d| d.name).collect();
        assert_eq!(
            names,
            ["etc/netplan/10-first.yaml", "etc/netplan/50-base.yaml", "run/netplan/90-last.yaml"]
        );
    }
}
