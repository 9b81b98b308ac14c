//! A reader of ISO 9660 drives: plain names, Rock Ridge, Joliet. Config drives are read with it instead of being
//! mounted: that needs no root, no isofs module and no unmounting, and works on an image file as well as a device.
//! Bounded for hostile images: sizes are checked before anything is read, and every walk has an end. Entry:
//! [`Iso::open`].

use foldhash::HashMap;

use super::bytes::{ReadAt, le32, utf16_be};
use super::tree::{Budget, FileTree, ReadError, names};
use super::volume::{ISO_DESCRIPTOR_COUNT, ISO_DESCRIPTORS, is_joliet};
use std::cell::RefCell;
use std::rc::Rc;

/// The maximum size of a directory, in bytes: some 100,000 files.
const DIRECTORY_LIMIT: usize = 16 << 20;
/// Continuation areas that one entry may chain.
const CONTINUATION_LIMIT: usize = 16;
/// Symbolic links that one path may follow.
const LINK_LIMIT: usize = 16;
/// Components that one path may have, with links resolved.
const DEPTH_LIMIT: usize = 64;

/// An open ISO 9660 volume.
pub(super) struct Iso<'a, R> {
    reader: R,
    budget: &'a Budget,
    /// Bytes of a logical block.
    block: u64,
    root: Entry,
    names: Names,
    /// By first byte and size.
    directories: RefCell<HashMap<(u64, usize), Rc<Directory>>>,
}

/// A directory, parsed once.
struct Directory {
    entries: Vec<Entry>,
    /// By the forms of a name that [`Names::forms`] gives.
    index: HashMap<String, usize>,
}

/// Where the names come from, best first, in the order that Linux uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Rock Ridge, with the bytes to skip before each system use area.
    RockRidge {
        skip: usize,
    },
    Joliet,
    /// Uppercase, in 8.3 form if the writer kept to level 1.
    Plain,
}

impl Names {
    /// The forms under which an entry of this name is stored, best first.
    fn entry_forms(self, name: &str) -> Vec<String> {
        match self {
            Names::RockRidge { .. } => vec![name.to_owned()],
            // Joliet and plain names are case-insensitive.
            Names::Joliet => vec![name.to_owned(), name.to_ascii_lowercase()],
            Names::Plain => vec![name.to_owned(), mangled(name)],
        }
    }

    /// The forms under which an entry is looked up, best first.
    fn wanted_forms(self, name: &str) -> Vec<String> {
        match self {
            Names::RockRidge { .. } | Names::Joliet => self.entry_forms(name),
            Names::Plain => [name.to_owned()].into_iter().chain(plain_forms(name)).collect(),
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    /// First byte of the contents.
    start: u64,
    size: usize,
    directory: bool,
    /// Rock Ridge: the target of a symbolic link.
    link: Option<String>,
    /// In one piece and not interleaved; other layouts are used only for files over 4 GiB.
    simple: bool,
}

impl<'a, R: ReadAt> Iso<'a, R> {
    /// Opens the volume. `None` if there is no ISO 9660.
    pub(super) fn open(reader: R, budget: &'a Budget) -> Result<Option<Iso<'a, R>>, ReadError> {
        let (mut primary, mut joliet) = (None, None);
        for n in 0..ISO_DESCRIPTOR_COUNT {
            let descriptor = reader.read_at(ISO_DESCRIPTORS + 2048 * n as u64, 2048)?;
            if descriptor.len() < 2048 || &descriptor[1..6] != b"CD001" || descriptor[0] == 255 {
                break;
            }
            match descriptor[0] {
                1 if primary.is_none() => primary = Some(descriptor),
                2 if joliet.is_none() && is_joliet(&descriptor) => joliet = Some(descriptor),
                _ => {}
            }
        }
        let Some(primary) = primary else { return Ok(None) };
        let mut iso = Iso::from_descriptor(reader, budget, &primary, Names::Plain)?;
        if let Some(skip) = iso.rock_ridge()? {
            iso.names = Names::RockRidge { skip };
        } else if let Some(joliet) = joliet {
            iso = Iso::from_descriptor(iso.reader, budget, &joliet, Names::Joliet)?;
        }
        Ok(Some(iso))
    }

    fn from_descriptor(
        reader: R,
        budget: &'a Budget,
        descriptor: &[u8],
        names: Names,
    ) -> Result<Iso<'a, R>, ReadError> {
        let block = u64::from(u16::from_le_bytes([descriptor[128], descriptor[129]]));
        if !matches!(block, 512 | 1024 | 2048) {
            return Err(ReadError::Damaged("block size"));
        }
        let root = record(&descriptor[156..190], block).ok_or(ReadError::Damaged("root directory"))?;
        Ok(Iso { reader, budget, block, root, names, directories: RefCell::default() })
    }

    /// The bytes to skip, if the root's own entry announces a system use area (SUSP 1.12, 5.3).
    fn rock_ridge(&self) -> Result<Option<usize>, ReadError> {
        let sector = self.reader.read_at(self.root.start, 2048)?;
        let length = usize::from(sector.first().copied().unwrap_or(0));
        let Some(own) = sector.get(..length) else { return Ok(None) };
        let mut announced = None;
        self.system_use(own, 0, &mut |signature, data| {
            if signature == b"SP" && data.get(..2) == Some(&[0xbe, 0xef]) {
                announced = announced.or(data.get(2).map(|skip| usize::from(*skip)));
            }
        })?;
        Ok(announced)
    }

    /// Calls `field` with the signature and data of every field of an entry's system use area, continuations included.
    fn system_use(
        &self,
        record: &[u8],
        skip: usize,
        field: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), ReadError> {
        let name = usize::from(record.get(32).copied().unwrap_or(0));
        // The name is padded to an even offset.
        let mut area = record.get(33 + name + (name + 1) % 2 + skip..).unwrap_or_default().to_vec();
        for _ in 0..CONTINUATION_LIMIT {
            let mut continuation = None;
            let mut rest = &area[..];
            while let Some(length) = rest.get(2).map(|l| usize::from(*l)).filter(|l| *l >= 4) {
                let Some(whole) = rest.get(..length) else { break };
                let (signature, data) = (&whole[..2], &whole[4..]);
                match signature {
                    b"CE" => {
                        continuation =
                            le32(data, 0).zip(le32(data, 8)).zip(le32(data, 16).filter(|l| *l <= 2048));
                    }
                    b"ST" => break,
                    _ => field(signature, data),
                }
                rest = &rest[length..];
            }
            let Some(((block, offset), length)) = continuation else { break };
            area = self.reader.read_at(u64::from(block) * self.block + u64::from(offset), length as usize)?;
        }
        Ok(())
    }

    fn directory(&self, entry: &Entry) -> Result<Rc<Directory>, ReadError> {
        let place = (entry.start, entry.size);
        if let Some(known) = self.directories.borrow().get(&place) {
            return Ok(known.clone());
        }
        let entries = self.entries(entry)?;
        let mut index = HashMap::with_capacity_and_hasher(entries.len(), Default::default());
        for (number, entry) in entries.iter().enumerate() {
            for form in self.names.entry_forms(&entry.name) {
                index.entry(form).or_insert(number);
            }
        }
        let directory = Rc::new(Directory { entries, index });
        self.directories.borrow_mut().insert(place, directory.clone());
        Ok(directory)
    }

    fn entries(&self, directory: &Entry) -> Result<Vec<Entry>, ReadError> {
        if directory.size > DIRECTORY_LIMIT {
            return Err(ReadError::Damaged("size of a directory"));
        }
        // An entry has at least 34 bytes; an empty sector counts as one.
        self.budget.spend_entries(directory.size.div_ceil(2048))?;
        let bytes = self.reader.read_at(directory.start, directory.size)?;
        let mut entries = Vec::new();
        // An entry never crosses a sector; a length of 0 means that the rest of the sector is empty.
        for sector in bytes.chunks(2048) {
            let mut rest = sector;
            while let Some(length) = rest.first().map(|l| usize::from(*l)).filter(|l| *l > 0) {
                let Some(raw) = rest.get(..length) else { break };
                if let Some(mut entry) = record(raw, self.block) {
                    // Names of one byte, 0 and 1, are the directory itself and its parent.
                    if !matches!(raw.get(32..34), Some([1, 0 | 1])) {
                        self.budget.spend_entries(1)?;
                        self.name(raw, &mut entry)?;
                        entries.push(entry);
                    }
                }
                rest = &rest[length..];
            }
        }
        Ok(entries)
    }

    fn name(&self, raw: &[u8], entry: &mut Entry) -> Result<(), ReadError> {
        let length = usize::from(raw.get(32).copied().unwrap_or(0));
        let bytes = raw.get(33..33 + length).unwrap_or_default();
        let name = if self.names == Names::Joliet {
            utf16_be(bytes)
        } else {
            String::from_utf8_lossy(bytes).into_owned()
        };
        let name = name.split(';').next().unwrap_or_default();
        entry.name = name.strip_suffix('.').unwrap_or(name).to_owned();
        if let Names::RockRidge { skip } = self.names {
            let (mut long, mut target) = (Vec::new(), Link::default());
            self.system_use(raw, skip, &mut |signature, data| match signature {
                b"NM" if long.len() < 1024 => long.extend_from_slice(data.get(1..).unwrap_or_default()),
                b"SL" => target.extend(data),
                _ => {}
            })?;
            if !long.is_empty() {
                entry.name = String::from_utf8_lossy(&long).into_owned();
            }
            entry.link = target.0.map(|target| String::from_utf8_lossy(&target).into_owned());
        }
        Ok(())
    }

    fn child(&self, directory: &Entry, name: &str) -> Result<Option<Entry>, ReadError> {
        let directory = self.directory(directory)?;
        let found =
            self.names.wanted_forms(name).into_iter().find_map(|form| directory.index.get(&form).copied());
        Ok(found.map(|number| directory.entries[number].clone()))
    }

    /// Walks a path, through links within the volume.
    fn find(&self, path: &str) -> Result<Option<Entry>, ReadError> {
        let mut todo: Vec<String> =
            names(path).ok_or(ReadError::LeavesTree)?.iter().rev().map(|n| (*n).to_owned()).collect();
        let mut above: Vec<Entry> = Vec::new();
        let mut at = self.root.clone();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    at = above.pop().ok_or(ReadError::LeavesTree)?;
                    continue;
                }
                _ => {}
            }
            if !at.directory {
                return Ok(None);
            }
            let Some(next) = self.child(&at, &name)? else { return Ok(None) };
            if let Some(target) = &next.link {
                links += 1;
                if target.starts_with('/') {
                    return Err(ReadError::LeavesTree);
                }
                if links > LINK_LIMIT {
                    return Err(ReadError::Damaged("links in a circle"));
                }
                todo.extend(target.split('/').rev().map(str::to_owned));
            } else {
                above.push(at);
                at = next;
            }
            if above.len() > DEPTH_LIMIT || todo.len() > DEPTH_LIMIT {
                return Err(ReadError::Damaged("depth of a path"));
            }
        }
        Ok(Some(at))
    }
}

impl<R: ReadAt> Iso<'_, R> {
    /// The first bytes of a file, `length` if it has as many.
    fn contents(&self, entry: &Entry, length: usize) -> Result<Vec<u8>, ReadError> {
        if entry.directory {
            return Err(ReadError::NotAFile);
        }
        let length = entry.size.min(length);
        let bytes = self.reader.read_at(entry.start, length)?;
        if bytes.len() < length { Err(ReadError::Damaged("the file ends early")) } else { Ok(bytes) }
    }
}

impl<R: ReadAt> FileTree for Iso<'_, R> {
    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(entry) = self.find(path)? else { return Ok(None) };
        if entry.size > limit || !entry.simple {
            return Err(ReadError::TooLarge(limit));
        }
        self.budget.spend_bytes(entry.size)?;
        self.contents(&entry, entry.size).map(Some)
    }

    fn head(&self, path: &str, length: usize) -> Result<Option<Vec<u8>>, ReadError> {
        self.find(path)?.map(|entry| self.contents(&entry, length)).transpose()
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, ReadError> {
        match self.find(directory)? {
            Some(entry) if entry.directory => {
                let directory = self.directory(&entry)?;
                let names = directory.entries.iter().map(|e| &e.name);
                // Plain names are case-insensitive: Linux shows them in lowercase, and so do we.
                let shown =
                    |n: &String| if self.names == Names::Plain { n.to_lowercase() } else { n.clone() };
                Ok(names.map(shown).collect())
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// A directory record (ECMA-119, 9.1), without its name.
fn record(raw: &[u8], block: u64) -> Option<Entry> {
    let attribute_blocks = u64::from(*raw.get(1)?);
    let flags = *raw.get(25)?;
    Some(Entry {
        name: String::new(),
        start: (u64::from(le32(raw, 2)?) + attribute_blocks) * block,
        size: usize::try_from(le32(raw, 10)?).ok()?,
        directory: flags & 0x02 != 0,
        link: None,
        simple: flags & 0x80 == 0 && *raw.get(26)? == 0,
    })
}

/// A Rock Ridge link's target, assembled from its components (RRIP 1.12, 4.1.3).
#[derive(Default)]
struct Link(Option<Vec<u8>>);

impl Link {
    fn extend(&mut self, data: &[u8]) {
        let target = self.0.get_or_insert_default();
        let mut rest = data.get(1..).unwrap_or_default();
        while let [flags, length, tail @ ..] = rest {
            let Some(text) = tail.get(..usize::from(*length)) else { break };
            if target.len() > 4096 {
                break;
            }
            // Bit 0 says that the next component continues this one, so that no slash comes between.
            match flags & 0x0e {
                0x02 => target.push(b'.'),
                0x04 => target.extend_from_slice(b".."),
                0x08 => {}
                _ => target.extend_from_slice(text),
            }
            if flags & 1 == 0 {
                target.push(b'/');
            }
            rest = &tail[usize::from(*length)..];
        }
    }
}

/// A plain name in the form that is looked up: uppercase, `_` for characters that a plain name may not have. The last
/// full stop stays.
fn mangled(name: &str) -> String {
    let part = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    };
    match name.rsplit_once('.') {
        Some((base, extension)) => format!("{}.{}", part(base), part(extension)),
        None => part(name),
    }
}

/// How a level 1 or 3 writer stores `name`: mangled, and perhaps truncated to 8.3. `network-config` is
/// `NETWORK_CONFIG`, or `NETWORK_`.
fn plain_forms(name: &str) -> Vec<String> {
    let mangled = mangled(name);
    let (base, extension) =
        mangled.split_once('.').map_or((&*mangled, None), |(base, rest)| (base, Some(rest)));
    let cut = |text: &str, length: usize| text.get(..length).unwrap_or(text).to_owned();
    let mut forms = Vec::new();
    for base in [base.to_owned(), cut(base, 8)] {
        match extension {
            Some(extension) => {
                forms.extend([extension.to_owned(), cut(extension, 3)].map(|end| format!("{base}.{end}")));
            }
            None => forms.push(base),
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_forms_of_the_names_that_matter() {
        for (plain, name) in [
            ("NETWORK_.JSO", "network_data.json"),
            ("NETWORK_DATA.JSON", "network_data.json"),
            ("OPENSTAC", "openstack"),
            ("NETWORK_", "network-config"),
            ("NETWORK_CONFIG", "network-config"),
            ("META_DAT", "meta-data"),
            ("0000", "0000"),
            ("CONTEXT.SH", "context.sh"),
        ] {
            assert!(plain_forms(name).contains(&mangled(plain)), "{plain} {name}");
        }
        assert!(!plain_forms("network_data.json").contains(&mangled("META_DAT.JSO")));
        assert!(!plain_forms("network-config").contains(&mangled("NETWORK_.JSO")));
    }

    /// One directory with one link, built by hand: no tool creates such a volume.
    fn image_with_link(target: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 24 * 2048];
        let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        put(16 * 2048, b"\x01CD001\x01");
        put(16 * 2048 + 128, &2048_u16.to_le_bytes());
        put(17 * 2048, b"\xffCD001\x01");
        let entry = |name: &[u8], flags: u8, system_use: &[u8]| {
            let mut e = vec![0; 33];
            e[2..6].copy_from_slice(&20_u32.to_le_bytes());
            e[10..14].copy_from_slice(&2048_u32.to_le_bytes());
            e[25] = flags;
            e[32] = name.len() as u8;
            e.extend_from_slice(name);
            if name.len() % 2 == 0 {
                e.push(0);
            }
            e.extend_from_slice(system_use);
            e[0] = e.len() as u8;
            e
        };
        put(16 * 2048 + 156, &entry(&[0], 2, &[]));
        let own = entry(&[0], 2, b"SP\x07\x01\xbe\xef\x00");
        let mut link = b"SL".to_vec();
        link.extend_from_slice(&[7 + target.len() as u8, 1, 0, 0, target.len() as u8]);
        link.extend_from_slice(target);
        let other = entry(b"LATEST", 0, &link);
        put(20 * 2048, &own);
        put(20 * 2048 + own.len(), &other);
        image
    }

    #[test]
    fn links_stay_inside_and_cycles_end() {
        let budget = Budget::new();
        let read =
            |target: &[u8]| Iso::open(image_with_link(target), &budget).unwrap().unwrap().read("LATEST", 9);
        assert!(matches!(read(b"LATEST"), Err(ReadError::Damaged("links in a circle"))));
        assert!(matches!(read(b"LATEST/LATEST/LATEST/LATEST/LATEST"), Err(ReadError::Damaged(_))));
        assert!(matches!(read(b"../x"), Err(ReadError::LeavesTree)));
        assert!(matches!(read(b"/x"), Err(ReadError::LeavesTree)));
        assert!(matches!(read(b"gone"), Ok(None)));
    }

    #[test]
    fn a_directory_beyond_the_end_is_damage() {
        let mut image = image_with_link(b"x");
        image[16 * 2048 + 156 + 10..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let budget = Budget::new();
        let iso = Iso::open(image, &budget).unwrap().unwrap();
        assert!(matches!(iso.read("LATEST", 9), Err(ReadError::Damaged("size of a directory"))));
    }

    /// Counts reads.
    struct Counting(Vec<u8>, std::cell::Cell<usize>);

    impl ReadAt for Counting {
        fn read_at(&self, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
            self.1.set(self.1.get() + 1);
            self.0.read_at(offset, length)
        }
    }

    #[test]
    fn a_directory_is_read_once_however_many_names_are_looked_up() {
        let budget = Budget::new();
        let iso =
            Iso::open(Counting(image_with_link(b"gone"), Default::default()), &budget).unwrap().unwrap();
        let opened = iso.reader.1.get();
        for name in 0..1000 {
            assert!(matches!(iso.read(&format!("{name}"), 9), Ok(None)));
        }
        assert!(iso.reader.1.get() <= opened + 2, "{} reads", iso.reader.1.get() - opened);
    }

    /// A directory record without a system use area.
    fn record_of(name: &[u8], sector: usize, size: usize, directory: bool) -> Vec<u8> {
        let mut record = vec![0; 33];
        record[2..6].copy_from_slice(&u32::try_from(sector).unwrap().to_le_bytes());
        record[10..14].copy_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
        record[25] = if directory { 2 } else { 0 };
        record[32] = u8::try_from(name.len()).unwrap();
        record.extend_from_slice(name);
        record.resize(record.len().next_multiple_of(2), 0);
        record[0] = u8::try_from(record.len()).unwrap();
        record
    }

    /// A plain volume with a dated directory for each host; only the oldest has a description.
    fn image_with_hosts(hosts: usize) -> Vec<u8> {
        const PER_SECTOR: usize = 40;
        let (list, list_sectors) = (20, hosts.div_ceil(PER_SECTOR));
        let first = list + list_sectors;
        let text = first + hosts;
        let mut image = vec![0; (text + 1) * 2048];
        let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        put(16 * 2048, b"\x01CD001\x01");
        put(16 * 2048 + 128, &2048_u16.to_le_bytes());
        put(16 * 2048 + 156, &record_of(&[0], 18, 2048, true));
        put(17 * 2048, b"\xffCD001\x01");
        put(18 * 2048, &record_of(b"OPENSTACK", list, list_sectors * 2048, true));
        for host in 0..hosts {
            let record = record_of(format!("{host:04}-01-01").as_bytes(), first + host, 2048, true);
            put((list + host / PER_SECTOR) * 2048 + host % PER_SECTOR * record.len(), &record);
        }
        put(first * 2048, &record_of(b"NETWORK_DATA.JSON", text, 2, false));
        put(text * 2048, b"{}");
        image
    }

    #[test]
    fn ten_thousand_hosts_fit_and_cost_one_read_each() {
        let budget = Budget::new();
        let image = Counting(image_with_hosts(10_000), Default::default());
        let iso = Iso::open(image, &budget).unwrap().unwrap();
        let contents = crate::source::layout::read(&iso, None).unwrap().unwrap();
        assert_eq!(contents.documents[0].name, "openstack/0000-01-01/network_data.json");
        assert!(iso.reader.1.get() < 10_020, "{} reads", iso.reader.1.get());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_change_of_an_image_panics(
            changes in proptest::collection::vec((0_usize..0x800, any::<u8>(), any::<bool>()), 0..40)
        ) {
            let mut image = image_with_link(b"other");
            for (at, byte, directory) in changes {
                let sector = if directory { 20 } else { 16 };
                image[sector * 2048 + at] = byte;
            }
            let budget = Budget::new();
            if let Ok(Some(iso)) = Iso::open(image, &budget) {
                let _ = iso.read("openstack/latest/network_data.json", 9);
                let _ = iso.read("LATEST", 9);
                let _ = iso.list("");
            }
        }
    }
}
