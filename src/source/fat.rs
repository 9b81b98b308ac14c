//! FAT12, FAT16 and FAT32: the superblock with its labels, and a reader of files. A drive is read with it instead of
//! being mounted: that needs no root and no vfat or nls module, and works on an image file as well as a device. Bounded
//! for hostile images: every cluster chain has an end, and a directory costs its drive's budget. Entries:
//! [`Fat::parse`], [`Fat::tree`].

use foldhash::HashMap;

use super::bytes::{ReadAt, le16, le32, printable};
use super::tree::{Budget, FileTree, ReadError, names};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// Bytes of a directory entry.
const ENTRY: usize = 32;
/// The maximum size of a directory, in bytes: FAT's own limit.
const DIRECTORY_LIMIT: usize = 65_536 * ENTRY;
/// The attributes of a piece of a long name.
const LONG_NAME: u8 = 0x0f;
const VOLUME_LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;

/// A FAT boot sector (Microsoft, "FAT: General Overview of On-Disk Format" 1.03).
#[derive(Debug, Clone)]
pub(super) struct Fat {
    /// Where the first FAT begins, in bytes.
    table: u64,
    /// Where the fixed root directory of FAT12 and FAT16 begins, or the data area of FAT32, in bytes.
    after_tables: u64,
    /// Bytes of the fixed root directory; 0 on FAT32.
    root_size: usize,
    /// Bytes of a cluster.
    cluster_size: usize,
    /// Data clusters; their numbers begin at 2.
    clusters: u32,
    /// FAT32 only.
    root_cluster: u32,
    boot_label: Option<String>,
}

impl Fat {
    /// The boot sector, if the first bytes of a volume are one.
    pub(super) fn parse(head: &[u8]) -> Option<Fat> {
        let sector = u64::from(le16(head, 11)?);
        let per_cluster = u64::from(*head.get(13)?);
        let reserved = u64::from(le16(head, 14)?);
        let tables = u64::from(*head.get(16)?);
        let root_entries = usize::from(le16(head, 17)?);
        let media = *head.get(21)?;
        // A partition table ends in 55 aa as well, and NTFS and exFAT have boot sectors: the values are checked.
        if head.get(510..512)? != [0x55, 0xaa]
            || !matches!(sector, 512 | 1024 | 2048 | 4096)
            || !per_cluster.is_power_of_two()
            || reserved == 0
            || !matches!(tables, 1 | 2)
            || media < 0xf0
        {
            return None;
        }
        let short = u64::from(le16(head, 22)?);
        let is_32 = short == 0;
        let table_sectors = if is_32 { u64::from(le32(head, 36)?) } else { short };
        if table_sectors == 0 || is_32 != (root_entries == 0) {
            return None;
        }
        let (signature, label) = if is_32 { (66, 71) } else { (38, 43) };
        let after_tables = reserved + tables * table_sectors;
        let root_sectors = ((root_entries * ENTRY) as u64).div_ceil(sector);
        let small = u64::from(le16(head, 19)?);
        let all = if small == 0 { u64::from(le32(head, 32)?) } else { small };
        let data = all.saturating_sub(after_tables + root_sectors);
        Some(Fat {
            table: reserved * sector,
            after_tables: after_tables * sector,
            root_size: root_entries * ENTRY,
            cluster_size: usize::try_from(per_cluster * sector).ok()?,
            clusters: u32::try_from(data / per_cluster).ok()?,
            root_cluster: if is_32 { le32(head, 44)? } else { 0 },
            boot_label: (head.get(signature) == Some(&0x29)).then(|| printable(head, label, 11)).flatten(),
        })
    }

    /// The labels, and when the volume was made. The root directory's label comes first: tools that rename a volume
    /// often change only that one.
    pub(super) fn labels(&self, reader: &dyn ReadAt) -> io::Result<(Vec<String>, Option<String>)> {
        let entry = self.label_entry(reader)?;
        let mut labels: Vec<String> = entry.iter().filter_map(|entry| printable(entry, 0, 11)).collect();
        // mkfs.fat writes "NO NAME" if there is no label.
        let boot = self.boot_label.clone().filter(|label| label != "NO NAME");
        labels.extend(boot.filter(|boot| !labels.iter().any(|label| label.eq_ignore_ascii_case(boot))));
        Ok((labels, entry.as_deref().and_then(fat_time)))
    }

    /// The root directory's volume entry.
    fn label_entry(&self, reader: &dyn ReadAt) -> io::Result<Option<Vec<u8>>> {
        if self.root_size > 0 {
            return Ok(label_in(&reader.read_at(self.after_tables, self.root_size)?).ok().flatten());
        }
        let mut cluster = self.root_cluster;
        // The entry is among the first ones in every real volume; the bound ends a cyclic cluster chain.
        for _ in 0..16 {
            if !(2..0x0fff_fff7).contains(&cluster) {
                break;
            }
            match label_in(&reader.read_at(self.place(cluster), self.cluster_size)?) {
                Ok(Some(entry)) => return Ok(Some(entry)),
                Err(End) => break,
                Ok(None) => {}
            }
            cluster =
                le32(&reader.read_at(self.table + u64::from(cluster) * 4, 4)?, 0).unwrap_or(0) & 0x0fff_ffff;
        }
        Ok(None)
    }

    /// Where a cluster begins, in bytes.
    fn place(&self, cluster: u32) -> u64 {
        let root = if self.root_size > 0 { self.root_size.next_multiple_of(512) as u64 } else { 0 };
        self.after_tables + root + u64::from(cluster.saturating_sub(2)) * self.cluster_size as u64
    }

    /// The cluster after this one; `None` at the end of the chain.
    fn next(&self, reader: &dyn ReadAt, cluster: u32) -> Result<Option<u32>, ReadError> {
        // The number of clusters alone determines the width of the table's entries.
        let (at, bits) = match self.clusters {
            _ if self.root_size == 0 => (u64::from(cluster) * 4, 28),
            0..4085 => (u64::from(cluster) * 3 / 2, 12),
            _ => (u64::from(cluster) * 2, 16),
        };
        let mut bytes = reader.read_at(self.table + at, if bits == 28 { 4 } else { 2 })?;
        bytes.resize(4, 0);
        let raw = le32(&bytes, 0).unwrap_or(0);
        let raw = if bits == 12 && cluster % 2 == 1 { raw >> 4 } else { raw };
        let mask = (1_u32 << bits) - 1;
        match raw & mask {
            end if end >= mask - 7 => Ok(None),
            next => self.valid(next).map(Some),
        }
    }

    fn valid(&self, cluster: u32) -> Result<u32, ReadError> {
        match cluster >= 2 && cluster - 2 < self.clusters {
            true => Ok(cluster),
            false => Err(ReadError::Damaged("cluster chain")),
        }
    }

    /// The files, read from `reader`.
    pub(super) fn tree<'a, R: ReadAt>(self, reader: R, budget: &'a Budget) -> FatTree<'a, R> {
        FatTree { fat: self, reader, budget, directories: RefCell::default() }
    }
}

/// The files of a FAT volume.
pub(super) struct FatTree<'a, R> {
    fat: Fat,
    reader: R,
    budget: &'a Budget,
    /// By first cluster; 0 is the root of FAT12 and FAT16.
    directories: RefCell<HashMap<u32, Rc<Directory>>>,
}

/// A directory, parsed once.
struct Directory {
    entries: Vec<Entry>,
    /// By name in lowercase: FAT's names are case-insensitive.
    index: HashMap<String, usize>,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    directory: bool,
    cluster: u32,
    size: usize,
}

impl<R: ReadAt> FatTree<'_, R> {
    fn root(&self) -> Entry {
        Entry { name: String::new(), directory: true, cluster: self.fat.root_cluster, size: 0 }
    }

    /// The first `length` bytes of a chain; for a directory all of it, up to its limit.
    fn chain(&self, first: u32, length: Option<usize>) -> Result<Vec<u8>, ReadError> {
        let wanted = length.unwrap_or(DIRECTORY_LIMIT);
        let mut bytes = Vec::new();
        let mut cluster = if wanted == 0 { None } else { Some(self.fat.valid(first)?) };
        while let Some(at) = cluster.filter(|_| bytes.len() < wanted) {
            let size = self.fat.cluster_size.min(wanted - bytes.len());
            let part = self.reader.read_at(self.fat.place(at), size)?;
            if part.len() < size {
                return Err(ReadError::Damaged("the file ends early"));
            }
            // A directory ends at the first entry that was never used.
            let over = length.is_none() && part.chunks_exact(ENTRY).any(|entry| entry[0] == 0);
            bytes.extend(part);
            cluster = if over || bytes.len() >= wanted { None } else { self.fat.next(&self.reader, at)? };
        }
        match length.is_some_and(|length| bytes.len() < length) {
            true => Err(ReadError::Damaged("the file ends early")),
            false => Ok(bytes),
        }
    }

    fn directory(&self, entry: &Entry) -> Result<Rc<Directory>, ReadError> {
        if let Some(known) = self.directories.borrow().get(&entry.cluster) {
            return Ok(known.clone());
        }
        // An entry ".." of a directory below the root has cluster 0, on FAT32 too; no path leads through it.
        let bytes = match entry.cluster {
            0 => self.reader.read_at(self.fat.after_tables, self.fat.root_size)?,
            first => self.chain(first, None)?,
        };
        let entries = entries(&bytes);
        self.budget.spend_entries(bytes.len() / ENTRY)?;
        let mut index = HashMap::with_capacity_and_hasher(entries.len(), Default::default());
        for (number, entry) in entries.iter().enumerate() {
            index.entry(entry.name.to_lowercase()).or_insert(number);
        }
        let directory = Rc::new(Directory { entries, index });
        self.directories.borrow_mut().insert(entry.cluster, directory.clone());
        Ok(directory)
    }

    fn find(&self, path: &str) -> Result<Option<Entry>, ReadError> {
        let mut at = self.root();
        for name in names(path).ok_or(ReadError::LeavesTree)? {
            if !at.directory {
                return Ok(None);
            }
            let directory = self.directory(&at)?;
            match directory.index.get(&name.to_lowercase()) {
                Some(number) => at = directory.entries[*number].clone(),
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The file's entry.
    fn file(&self, path: &str) -> Result<Option<Entry>, ReadError> {
        match self.find(path)? {
            Some(entry) if entry.directory => Err(ReadError::NotAFile),
            found => Ok(found),
        }
    }
}

impl<R: ReadAt> FileTree for FatTree<'_, R> {
    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(entry) = self.file(path)? else { return Ok(None) };
        if entry.size > limit {
            return Err(ReadError::TooLarge(limit));
        }
        self.budget.spend_bytes(entry.size)?;
        self.chain(entry.cluster, Some(entry.size)).map(Some)
    }

    fn head(&self, path: &str, length: usize) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(entry) = self.file(path)? else { return Ok(None) };
        self.chain(entry.cluster, Some(entry.size.min(length))).map(Some)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, ReadError> {
        match self.find(path)? {
            Some(entry) if entry.directory => {
                Ok(self.directory(&entry)?.entries.iter().map(|entry| entry.name.clone()).collect())
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// The end of the directory.
struct End;

fn label_in(directory: &[u8]) -> Result<Option<Vec<u8>>, End> {
    for entry in directory.chunks_exact(ENTRY) {
        match (entry[0], entry[11]) {
            (0, _) => return Err(End),
            (0xe5, _) => {}
            (_, attributes)
                if attributes & (VOLUME_LABEL | DIRECTORY) == VOLUME_LABEL
                    && attributes & LONG_NAME != LONG_NAME =>
            {
                return Ok(Some(entry.to_vec()));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// The files and directories among the entries, `.` and `..` left out.
fn entries(bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut long = LongName::default();
    for raw in bytes.chunks_exact(ENTRY).take_while(|raw| raw[0] != 0) {
        let attributes = raw[11];
        if raw[0] == 0xe5 {
            long = LongName::default();
        } else if attributes & 0x3f == LONG_NAME {
            long.piece(raw);
        } else if attributes & VOLUME_LABEL != 0 || raw[0] == b'.' {
            long = LongName::default();
        } else {
            let name = std::mem::take(&mut long).finish(raw).unwrap_or_else(|| short_name(raw));
            let high = u32::from(le16(raw, 20).unwrap_or(0)) << 16;
            entries.push(Entry {
                name,
                directory: attributes & DIRECTORY != 0,
                cluster: high | u32::from(le16(raw, 26).unwrap_or(0)),
                size: le32(raw, 28).unwrap_or(0) as usize,
            });
        }
    }
    entries
}

/// A long name, assembled from its pieces, which precede the entry, the last piece first.
#[derive(Default)]
struct LongName {
    units: Vec<u16>,
    /// The number of the next piece; 0: all have been read.
    due: u8,
    checksum: Option<u8>,
}

impl LongName {
    fn piece(&mut self, raw: &[u8]) {
        let number = raw[0] & 0x3f;
        if raw[0] & 0x40 != 0 {
            *self = LongName { units: Vec::new(), due: number, checksum: Some(raw[13]) };
        }
        // At most 20 pieces: 255 characters.
        if self.due != number || !(1..=20).contains(&number) || self.checksum != Some(raw[13]) {
            *self = LongName::default();
            return;
        }
        self.due -= 1;
        let parts = [&raw[1..11], &raw[14..26], &raw[28..32]];
        let units = parts
            .iter()
            .flat_map(|part| part.chunks_exact(2))
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        self.units.splice(0..0, units);
    }

    /// The name, if its pieces are complete and belong to this entry.
    fn finish(self, raw: &[u8]) -> Option<String> {
        let sum = raw[..11].iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let name = String::from_utf16_lossy(&self.units);
        (self.due == 0 && self.checksum == Some(sum) && !name.is_empty()).then_some(name)
    }
}

/// The 8.3 name. Two bits mark a part as lowercase, as Windows NT writes it.
fn short_name(raw: &[u8]) -> String {
    let part = |bytes: &[u8], lowercase: bool| {
        let text = String::from_utf8_lossy(bytes).trim_end().to_owned();
        if lowercase { text.to_lowercase() } else { text }
    };
    let base = part(&raw[..8], raw[12] & 0x08 != 0);
    let extension = part(&raw[8..11], raw[12] & 0x10 != 0);
    if extension.is_empty() { base } else { format!("{base}.{extension}") }
}

fn fat_time(entry: &[u8]) -> Option<String> {
    let (time, date) = (le16(entry, 22)?, le16(entry, 24)?);
    (date != 0).then(|| {
        let (year, month, day) = (1980 + (date >> 9), (date >> 5) & 15, date & 31);
        let (hour, minute, second) = (time >> 11, (time >> 5) & 63, (time & 31) * 2);
        format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    })
}
