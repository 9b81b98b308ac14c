//! A directory of descriptions, one per node, as Terraform or Ansible write them: which files and directories in it
//! hold one each. Only `netapply check` reads a directory this way; a boot reads one description. Blocking: callers run
//! it in a `child`. Entry: [`contents`].

use foldhash::HashSet;

use super::explicit::nothing_on;
use super::layout;
use super::tree::{DirTree, Links};
use super::{Directory, NotFound, NotFoundKind};
use std::fs;
use std::path::{Path, PathBuf};

use crate::order::Order as _;

/// How many entries of a directory and its subdirectories are examined.
const ENTRIES: usize = 1_000_000;
/// The maximum depth of subdirectories.
const DEPTH: usize = 64;
/// File names that may hold a description.
const EXTENSIONS: [&str; 4] = ["json", "yaml", "yml", "iso"];
/// Where netplan keeps its files, which are merged.
const NETPLAN: [&str; 3] = ["etc/netplan", "run/netplan", "lib/netplan"];
/// Files beside `network_data.json` in a directory that is a config drive's `latest`.
const BESIDE: [&str; 6] = [
    "network_data.json",
    "network_info.json",
    "meta_data.json",
    "vendor_data.json",
    "vendor_data2.json",
    "ec2",
];

/// The contents of a directory.
pub(super) fn contents(directory: &Path, links: Links) -> Result<Directory, NotFound> {
    let mut walk = Walk { links, paths: Vec::new(), skipped: 0, entries: 0, seen: HashSet::default() };
    if is_one(directory, links) {
        return Ok(Directory { is_one: true, paths: vec![shown(directory)], links: 0 });
    }
    walk.directory(directory, 0)?;
    // What says which host a description is for is none itself.
    walk.paths
        .retain(|path| !["hosts/index.yaml", "hosts/index.json"].iter().any(|index| path.ends_with(index)));
    if walk.paths.is_empty() {
        let mut problem = nothing_on(&shown(directory));
        problem.hint =
            "In a directory of descriptions netapply looks for *.json, *.yaml and *.iso, else for \
                        openstack/latest/network_data.json, network-config, context.sh or etc/netplan/*.yaml."
                .to_owned();
        return Err(problem);
    }
    walk.paths.order();
    Ok(Directory {
        is_one: false,
        paths: walk.paths.iter().map(|path| shown(path)).collect(),
        links: walk.skipped,
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Whether the directory is laid out as one description: a config drive, a seed, the root of a file system with netplan's
/// files, or the directory that holds those.
fn is_one(directory: &Path, links: Links) -> bool {
    let has = |name: &str| directory.join(name).exists();
    if has("openstack") || has("network-config") || has("context.sh") || NETPLAN.iter().any(|path| has(path))
    {
        return true;
    }
    if directory.canonicalize().is_ok_and(|real| NETPLAN.iter().any(|path| real.ends_with(path))) {
        return true;
    }
    // What `latest` contains, and no other description next to it.
    (has("network_data.json") || has("network_info.json"))
        && names(directory).is_some_and(|names| {
            names.iter().all(|name| !may_describe(Path::new(name)) || BESIDE.contains(&name.as_str()))
        })
        // An unreadable or empty one is reported by its reader.
        && layout::read(&DirTree::new(directory, links), None).map_or(true, |found| found.is_some())
}

/// The names in a directory; `None` if it cannot be read.
fn names(directory: &Path) -> Option<Vec<String>> {
    let entries = fs::read_dir(directory).ok()?;
    entries.map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect()
}

fn may_describe(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

struct Walk {
    links: Links,
    paths: Vec<PathBuf>,
    skipped: u32,
    entries: usize,
    /// Directories already searched, if links are followed: they may form a cycle.
    seen: HashSet<PathBuf>,
}

impl Walk {
    fn directory(&mut self, directory: &Path, depth: usize) -> Result<(), NotFound> {
        let known = self.links == Links::Followed
            && directory.canonicalize().is_ok_and(|real| !self.seen.insert(real));
        if known {
            return Ok(());
        }
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let Ok(entries) = entries else {
            // Read like a description, it is reported with the reason, and the others are checked.
            self.paths.push(directory.to_owned());
            return Ok(());
        };
        self.entries += entries.len();
        if self.entries > ENTRIES || depth > DEPTH {
            let what = if depth > DEPTH { format!("{DEPTH} levels") } else { format!("{ENTRIES} files") };
            let message = format!("{} has more than {what} below it.", shown(directory));
            return Err(NotFound::new(
                NotFoundKind::Unreadable,
                message,
                "Name the directories that hold descriptions.",
            ));
        }
        for entry in entries {
            // `.git` and the like.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            let Ok(mut kind) = entry.file_type() else { continue };
            if kind.is_symlink() {
                match fs::metadata(&path) {
                    Ok(target) if self.links == Links::Followed => kind = target.file_type(),
                    _ => {
                        self.skipped += 1;
                        continue;
                    }
                }
            }
            match kind.is_dir() {
                true if is_one(&path, self.links) => self.paths.push(path),
                true => self.directory(&path, depth + 1)?,
                false if may_describe(&path) => self.paths.push(path),
                false => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes these files and returns what is read from the directory, with paths below it.
    fn read(files: &[&str], links: Links) -> (bool, Vec<String>, u32) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match file.strip_suffix("->") {
                Some(link) => std::os::unix::fs::symlink("..", folder.path().join(link)).unwrap(),
                None => fs::write(path, "{}").unwrap(),
            }
        }
        let found = contents(folder.path(), links).unwrap();
        let below = |path: &String| {
            path.strip_prefix(&shown(folder.path())).unwrap().trim_start_matches('/').to_owned()
        };
        (found.is_one, found.paths.iter().map(below).collect(), found.links)
    }

    fn many(files: &[&str]) -> Vec<String> {
        let (is_one, paths, _) = read(files, Links::Confined);
        assert!(!is_one, "{files:?}");
        paths
    }

    #[test]
    fn every_file_of_a_directory_is_a_description() {
        assert_eq!(
            many(&["b.json", "a.yaml", "c.iso", "d.YML", "README.md"]),
            ["a.yaml", "b.json", "c.iso", "d.YML"]
        );
        assert_eq!(many(&["rack1/a.json", "rack2/deep/b.json"]), ["rack1/a.json", "rack2/deep/b.json"]);
        assert_eq!(many(&["a.json", ".git/config.json", ".hidden.yaml"]), ["a.json"]);
        // Another node's file is next to it: this is not a config drive's directory.
        assert_eq!(many(&["network_data.json", "node2.json"]), ["network_data.json", "node2.json"]);
    }

    #[test]
    fn a_drives_layout_is_one_description() {
        for files in [
            &["openstack/latest/network_data.json", "openstack/latest/meta_data.json"][..],
            &["network-config", "meta-data"],
            &["context.sh"],
            &["etc/netplan/50.yaml", "other.yaml"],
            &["network_data.json", "meta_data.json", "user_data"],
        ] {
            assert_eq!(read(files, Links::Confined), (true, vec![String::new()], 0), "{files:?}");
        }
        let drives =
            ["n1/openstack/latest/network_data.json", "n2/network-config", "n3/network_data.json", "n4.json"];
        assert_eq!(many(&drives), ["n1", "n2", "n3", "n4.json"]);
        assert_eq!(many(&["a/etc/netplan/1.yaml", "b/etc/netplan/1.yaml"]), ["a", "b"]);
    }

    #[test]
    fn links_are_counted_and_followed_only_on_request() {
        let files = ["a.json", "sub/b.json", "sub/back->"];
        assert_eq!(read(&files, Links::Confined), (false, vec!["a.json".into(), "sub/b.json".into()], 1));
        assert_eq!(read(&files, Links::Followed), (false, vec!["a.json".into(), "sub/b.json".into()], 0));
    }

    #[test]
    fn a_directory_without_descriptions_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let problem = contents(folder.path(), Links::Confined).unwrap_err();
        assert!(problem.hint.contains("*.json"), "{}", problem.hint);
    }
}
