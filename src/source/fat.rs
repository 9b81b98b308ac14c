//! FAT's superblock: a boot sector, and a label that may also stand in the root directory. Entry: [`Fat::parse`].

use super::bytes::{ReadAt, le16, le32, printable};
use std::io;

/// A FAT boot sector (Microsoft, "FAT: General Overview of On-Disk Format" 1.03).
pub(super) struct Fat {
    /// Where the first FAT begins, in bytes.
    table: u64,
    /// Where the fixed root directory of FAT12/16 begins, or the data area of FAT32, in bytes.
    after_tables: u64,
    /// Bytes of the fixed root directory; 0 on FAT32.
    root_size: usize,
    cluster_size: u64,
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
        // A partition table ends in 55 aa as well, and NTFS and exFAT have boot sectors: the values have to make sense.
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
        Some(Fat {
            table: reserved * sector,
            after_tables: (reserved + tables * table_sectors) * sector,
            root_size: root_entries * 32,
            cluster_size: per_cluster * sector,
            root_cluster: if is_32 { le32(head, 44)? } else { 0 },
            boot_label: (head.get(signature) == Some(&0x29)).then(|| printable(head, label, 11)).flatten(),
        })
    }

    /// The labels, and when the volume was made. The root directory's label comes first: tools that rename a volume
    /// often change only that one.
    pub(super) fn labels(&self, reader: &dyn ReadAt) -> io::Result<(Vec<String>, Option<String>)> {
        let entry = self.label_entry(reader)?;
        let mut labels: Vec<String> = entry.iter().filter_map(|entry| printable(entry, 0, 11)).collect();
        // mkfs.fat writes "NO NAME" where there is no label.
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
            let at = self.after_tables + u64::from(cluster - 2) * self.cluster_size;
            let size = usize::try_from(self.cluster_size).unwrap_or(0);
            match label_in(&reader.read_at(at, size)?) {
                Ok(Some(entry)) => return Ok(Some(entry)),
                Err(End) => break,
                Ok(None) => {}
            }
            let next = reader.read_at(self.table + u64::from(cluster) * 4, 4)?;
            cluster = le32(&next, 0).unwrap_or(0) & 0x0fff_ffff;
        }
        Ok(None)
    }
}

/// The directory ends here.
struct End;

fn label_in(directory: &[u8]) -> Result<Option<Vec<u8>>, End> {
    for entry in directory.chunks_exact(32) {
        match (entry[0], entry[11]) {
            (0, _) => return Err(End),
            (0xe5, _) => {}
            // 0x0f in the low bits is a piece of a long name, not a volume label.
            (_, attributes) if attributes & 0x18 == 0x08 && attributes & 0x0f != 0x0f => {
                return Ok(Some(entry.to_vec()));
            }
            _ => {}
        }
    }
    Ok(None)
}

fn fat_time(entry: &[u8]) -> Option<String> {
    let (time, date) = (le16(entry, 22)?, le16(entry, 24)?);
    (date != 0).then(|| {
        let (year, month, day) = (1980 + (date >> 9), (date >> 5) & 15, date & 31);
        let (hour, minute, second) = (time >> 11, (time >> 5) & 63, (time & 31) * 2);
        format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    })
}
