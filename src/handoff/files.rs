//! Files and folders of the image, as they are read everywhere in this room.

use std::fs;
use std::io::Read;

use crate::machine::Machine;

/// The size limit of files that are read; a longer file is not netapply's.
const LONGEST: u64 = 64 * 1024;

/// The names in a folder; none if it cannot be read.
pub(super) fn names(machine: &Machine, folder: &str) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(machine.at(folder)).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// A regular file's text; `None` for anything else, so that no pipe or device is ever opened.
pub(super) fn read(machine: &Machine, path: &str) -> Option<String> {
    let path = machine.at(path);
    if !fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}
