//! A reader of ISO 9660 drives: plain names, Rock Ridge, Joliet. Config drives are read with it instead of being
//! mounted: that needs no root, no isofs module and no unmounting, and takes an image file as well as a device. Bounded
//! for hostile images: sizes are checked before anything is read, and every walk has an end. Entry: [`Iso::open`].

use super::bytes::{ReadAt, le32, utf16_be};
use super::tree::{ReadError, TEXT_LIMIT, Tree, names};
use super::volume::{ISO_DESCRIPTOR_COUNT, ISO_DESCRIPTORS, is_joliet};

/// The most that a directory may have, in bytes: some 8000 files.
const DIRECTORY_LIMIT: usize = 1 << 20;
/// Continuation areas that one entry may chain.
const CONTINUATION_LIMIT: usize = 16;
/// Links that one path may go through.
const LINK_LIMIT: usize = 16;
/// Names that one path may have, links resolved.
const DEPTH_LIMIT: usize = 64;

/// An open ISO 9660 volume.
pub(super) struct Iso<R> {
    reader: R,
    /// Bytes of a logical block.
    block: u64,
    root: Entry,
    names: Names,
}

/// Where the names come from, the best first, as Linux chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Rock Ridge, with the bytes to skip before each system use area.
    RockRidge {
        skip: usize,
    },
    Joliet,
    /// Upper case, eight and three characters where the writer kept to level 1.
    Plain,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    /// First byte of the contents.
    start: u64,
    size: usize,
    directory: bool,
    /// Rock Ridge: where a symbolic link leads.
    link: Option<String>,
    /// In one piece and not interleaved; anything else is made only for files over 4 GiB.
    simple: bool,
}

impl<R: ReadAt> Iso<R> {
    /// Opens the volume. `None` where there is no ISO 9660.
    pub(super) fn open(reader: R) -> Result<Option<Iso<R>>, ReadError> {
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
        let mut iso = Iso::from_descriptor(reader, &primary, Names::Plain)?;
        if let Some(skip) = iso.rock_ridge()? {
            iso.names = Names::RockRidge { skip };
        } else if let Some(joliet) = joliet {
            iso = Iso::from_descriptor(iso.reader, &joliet, Names::Joliet)?;
        }
        Ok(Some(iso))
    }

    fn from_descriptor(reader: R, descriptor: &[u8], names: Names) -> Result<Iso<R>, ReadError> {
        let block = u64::from(u16::from_le_bytes([descriptor[128], descriptor[129]]));
        if !matches!(block, 512 | 1024 | 2048) {
            return Err(ReadError::Damaged("block size"));
        }
        let root = record(&descriptor[156..190], block).ok_or(ReadError::Damaged("root directory"))?;
        Ok(Iso { reader, block, root, names })
    }

    /// The bytes to skip, where the root's own entry announces a system use area (SUSP 1.12, 5.3).
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

    fn entries(&self, directory: &Entry) -> Result<Vec<Entry>, ReadError> {
        if directory.size > DIRECTORY_LIMIT {
            return Err(ReadError::Damaged("size of a directory"));
        }
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
        let entries = self.entries(directory)?;
        let exact = entries.iter().find(|e| e.name == name);
        let found = exact.or_else(|| {
            // Joliet and plain names have no case of their own, and plain ones are cut and mangled.
            entries.iter().find(|e| match self.names {
                Names::RockRidge { .. } => false,
                Names::Joliet => e.name.eq_ignore_ascii_case(name),
                Names::Plain => is_plain_form(&e.name, name),
            })
        });
        Ok(found.cloned())
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

impl<R: ReadAt> Tree for Iso<R> {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(entry) = self.find(path)? else { return Ok(None) };
        if entry.directory {
            return Err(ReadError::NotAFile);
        }
        if entry.size > TEXT_LIMIT || !entry.simple {
            return Err(ReadError::TooLarge);
        }
        let bytes = self.reader.read_at(entry.start, entry.size)?;
        if bytes.len() < entry.size {
            return Err(ReadError::Damaged("the file ends early"));
        }
        Ok(Some(bytes))
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, ReadError> {
        match self.find(directory)? {
            Some(entry) if entry.directory => {
                let names = self.entries(&entry)?.into_iter().map(|e| e.name);
                // Plain names have no case: Linux shows them in lower case, and so do we.
                Ok(names.map(|n| if self.names == Names::Plain { n.to_lowercase() } else { n }).collect())
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

/// A Rock Ridge link's target, put together from its components (RRIP 1.12, 4.1.3).
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

/// Whether `plain` is what a level 1 or 3 writer makes of `name`: upper case, `_` for what is not allowed, and
/// perhaps cut to eight and three characters. `network-config` is `NETWORK_`, or `NETWORK_CONFIG`.
fn is_plain_form(plain: &str, name: &str) -> bool {
    let mangled = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    };
    let split = |text: &str| {
        text.rsplit_once('.').map_or((text.to_owned(), String::new()), |(a, b)| (a.to_owned(), b.to_owned()))
    };
    let same = |plain: &str, name: &str, cut: usize| {
        let (plain, name) = (mangled(plain), mangled(name));
        plain == name || plain == name.chars().take(cut).collect::<String>()
    };
    let ((plain_base, plain_extension), (base, extension)) = (split(plain), split(name));
    same(&plain_base, &base, 8) && same(&plain_extension, &extension, 3)
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
            assert!(is_plain_form(plain, name), "{plain} {name}");
        }
        assert!(!is_plain_form("META_DAT.JSO", "network_data.json"));
        assert!(!is_plain_form("NETWORK_.JSO", "network-config"));
    }

    /// One directory with one link, built by hand: what no tool makes.
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
    fn links_end_and_stay_inside() {
        let read = |target: &[u8]| Iso::open(image_with_link(target)).unwrap().unwrap().read("LATEST");
        assert!(matches!(read(b"LATEST"), Err(ReadError::Damaged("links in a circle"))));
        assert!(matches!(read(b"LATEST/LATEST/LATEST/LATEST/LATEST"), Err(ReadError::Damaged(_))));
        assert!(matches!(read(b"../x"), Err(ReadError::LeavesTree)));
        assert!(matches!(read(b"/x"), Err(ReadError::LeavesTree)));
        assert!(matches!(read(b"gone"), Ok(None)));
    }

    #[test]
    fn a_directory_or_file_beyond_the_end_is_said() {
        let mut image = image_with_link(b"x");
        image[16 * 2048 + 156 + 10..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let iso = Iso::open(image).unwrap().unwrap();
        assert!(matches!(iso.read("LATEST"), Err(ReadError::Damaged("size of a directory"))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_change_of_an_image_is_survived(
            changes in proptest::collection::vec((0_usize..0x800, any::<u8>(), any::<bool>()), 0..40)
        ) {
            let mut image = image_with_link(b"other");
            for (at, byte, directory) in changes {
                let sector = if directory { 20 } else { 16 };
                image[sector * 2048 + at] = byte;
            }
            if let Ok(Some(iso)) = Iso::open(image) {
                let _ = iso.read("openstack/latest/network_data.json");
                let _ = iso.read("LATEST");
                let _ = iso.list("");
            }
        }
    }
}
