//! What a superblock says about a volume: its file system, labels, ISO publisher id and time of creation. Read here and
//! not from udev's links, because an initramfs may have no udev, and udev knows only one of a volume's labels. Pure
//! over [`ReadAt`]: knows no device names and mounts nothing. Every byte is untrusted. Entry: [`probe`].

use super::bytes::{ReadAt, clean, le16, le32, printable, utf16_be};
use super::fat::Fat;
use super::udf;
use std::io;

/// The file systems that a config drive can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileSystem {
    /// ISO 9660, read by `iso`.
    Iso9660,
    /// FAT12, FAT16 or FAT32.
    Vfat,
    /// ext2, ext3 or ext4: the ext4 driver reads them all.
    Ext4,
    /// UDF without ISO 9660: what Windows' own tools write.
    Udf,
}

impl FileSystem {
    /// As people write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            FileSystem::Iso9660 => "ISO 9660",
            FileSystem::Vfat => "VFAT",
            FileSystem::Ext4 => "ext4",
            FileSystem::Udf => "UDF",
        }
    }
}

/// The contents of the superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) filesystem: FileSystem,
    /// Every label, the one that blkid shows first: an ISO can have a second one in its Joliet descriptor, VFAT one in
    /// the root directory and another in the boot sector. Printable: control characters are replaced.
    pub(super) labels: Vec<String>,
    /// ISO 9660 only: what Ironic puts on the kernel command line as `ir_pub_id`.
    pub(super) publisher: Option<String>,
    /// When the volume was made, as `2026-03-01 10:20:30 +02:00`; VFAT keeps local time without its zone.
    pub(super) created: Option<String>,
}

/// ISO 9660 descriptors start here, one every 2048 bytes (ECMA-119, 7.1.1).
pub(super) const ISO_DESCRIPTORS: u64 = 32768;
/// How many descriptors are read: more than any real disc has, in case the terminator is missing.
pub(super) const ISO_DESCRIPTOR_COUNT: usize = 32;

/// Reads the superblocks. `None`: no file system that a config drive can have.
pub(super) fn probe(reader: &dyn ReadAt) -> io::Result<Option<Volume>> {
    // ISO 9660 first: a hybrid image has a partition table, and can have a FAT boot sector, in the same place.
    if let Some(volume) = probe_iso(reader)? {
        return Ok(Some(volume));
    }
    if let Some((labels, created)) = udf::probe(reader)? {
        return Ok(Some(Volume { filesystem: FileSystem::Udf, labels, publisher: None, created }));
    }
    let head = reader.read_at(0, 4096)?;
    if let Some(fat) = Fat::parse(&head) {
        let (labels, created) = fat.labels(reader)?;
        return Ok(Some(Volume { filesystem: FileSystem::Vfat, labels, publisher: None, created }));
    }
    Ok(probe_ext(&head))
}

fn probe_iso(reader: &dyn ReadAt) -> io::Result<Option<Volume>> {
    let mut volume: Option<Volume> = None;
    for n in 0..ISO_DESCRIPTOR_COUNT {
        let descriptor = reader.read_at(ISO_DESCRIPTORS + 2048 * n as u64, 2048)?;
        let (Some(kind), Some(b"CD001")) = (descriptor.first(), descriptor.get(1..6)) else { break };
        match (kind, &mut volume) {
            (1, None) => {
                volume = Some(Volume {
                    filesystem: FileSystem::Iso9660,
                    labels: printable(&descriptor, 40, 32).into_iter().collect(),
                    publisher: printable(&descriptor, 318, 128),
                    created: descriptor.get(813..830).and_then(iso_time),
                });
            }
            (2, Some(volume)) if is_joliet(&descriptor) => {
                let label = descriptor.get(40..72).map(utf16_be).map(|l| clean(&l)).unwrap_or_default();
                let known = volume.labels.first().is_some_and(|first| first.starts_with(&label));
                if !label.is_empty() && !known {
                    volume.labels.push(label);
                }
            }
            (255, _) => break,
            _ => {}
        }
    }
    Ok(volume)
}

/// Whether a supplementary descriptor is Joliet's: one of its three escape sequences.
pub(super) fn is_joliet(descriptor: &[u8]) -> bool {
    matches!(descriptor.get(88..91), Some(b"%/@" | b"%/C" | b"%/E"))
}

/// ECMA-119 8.4.26.1: sixteen digits, then the offset from UTC in quarters of an hour. All zeros: not given.
fn iso_time(bytes: &[u8]) -> Option<String> {
    let digits = std::str::from_utf8(bytes.get(..16)?).ok()?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.starts_with("0000") {
        return None;
    }
    let quarters = i32::from(i8::from_ne_bytes([*bytes.get(16)?]));
    let zone = match quarters {
        0 => "UTC".to_owned(),
        q => format!("{}{:02}:{:02}", if q < 0 { '-' } else { '+' }, q.abs() / 4, q.abs() % 4 * 15),
    };
    let (year, month, day) = (&digits[..4], &digits[4..6], &digits[6..8]);
    let (hour, minute, second) = (&digits[8..10], &digits[10..12], &digits[12..14]);
    Some(format!("{year}-{month}-{day} {hour}:{minute}:{second} {zone}"))
}

fn probe_ext(head: &[u8]) -> Option<Volume> {
    let superblock = head.get(1024..)?;
    if le16(superblock, 56)? != 0xef53 {
        return None;
    }
    Some(Volume {
        filesystem: FileSystem::Ext4,
        labels: printable(superblock, 120, 16).into_iter().collect(),
        publisher: None,
        created: le32(superblock, 264).filter(|t| *t != 0).map(|t| utc(u64::from(t))),
    })
}

/// Seconds since 1970 as `2026-03-01 10:20:30 UTC`.
pub(super) fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    // Howard Hinnant's civil_from_days, for days since 1970 that are not negative.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {}", clock(rest))
}

/// The time of day of seconds since 1970, as `10:20:30 UTC`.
pub(super) fn clock(seconds: u64) -> String {
    let rest = seconds % 86400;
    format!("{:02}:{:02}:{:02} UTC", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
        image[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn iso() -> Vec<u8> {
        let mut image = vec![0; 40960];
        put(&mut image, 32768, b"\x01CD001\x01");
        put(&mut image, 32768 + 40, format!("{:32}", "config-2").as_bytes());
        put(&mut image, 32768 + 318, format!("{:128}", "AAAA-bbbb").as_bytes());
        put(&mut image, 32768 + 813, b"2026030110203000\x08");
        put(&mut image, 34816, b"\xffCD001\x01");
        image
    }

    #[test]
    fn iso_label_publisher_and_time() {
        let volume = probe(&iso()).unwrap().unwrap();
        assert_eq!(volume.labels, ["config-2"]);
        assert_eq!(volume.publisher.as_deref(), Some("AAAA-bbbb"));
        assert_eq!(volume.created.as_deref(), Some("2026-03-01 10:20:30 +02:00"));
    }

    #[test]
    fn fat16_label_of_the_root_directory_precedes_the_boot_sectors() {
        let mut image = vec![0; 512 * 64];
        put(&mut image, 11, &512_u16.to_le_bytes());
        image[13] = 4;
        put(&mut image, 14, &1_u16.to_le_bytes());
        image[16] = 2;
        put(&mut image, 17, &512_u16.to_le_bytes());
        image[21] = 0xf8;
        put(&mut image, 22, &8_u16.to_le_bytes());
        image[38] = 0x29;
        put(&mut image, 43, b"OLD NAME   ");
        put(&mut image, 510, &[0x55, 0xaa]);
        let root = 512 * 17;
        put(&mut image, root, b"\xe5ELETED    \x08");
        put(&mut image, root + 32, b"Along name \x0f");
        put(&mut image, root + 64, b"cidata     \x08");
        let volume = probe(&image).unwrap().unwrap();
        assert_eq!(volume.labels, ["cidata", "OLD NAME"]);
    }

    #[test]
    fn a_partition_table_is_not_fat() {
        let mut image = vec![0; 4096];
        put(&mut image, 510, &[0x55, 0xaa]);
        assert_eq!(probe(&image).unwrap(), None);
    }

    #[test]
    fn a_cyclic_fat32_cluster_chain_ends() {
        let mut image = vec![0xff_u8; 512 * 64];
        image[..512].fill(0);
        put(&mut image, 11, &512_u16.to_le_bytes());
        image[13] = 1;
        put(&mut image, 14, &1_u16.to_le_bytes());
        image[16] = 1;
        image[21] = 0xf8;
        put(&mut image, 36, &1_u32.to_le_bytes());
        put(&mut image, 44, &2_u32.to_le_bytes());
        put(&mut image, 510, &[0x55, 0xaa]);
        put(&mut image, 512 + 8, &2_u32.to_le_bytes());
        assert_eq!(probe(&image).unwrap().unwrap().labels, Vec::<String>::new());
    }

    #[test]
    fn ext_label_and_time() {
        let mut image = vec![0; 4096];
        put(&mut image, 1024 + 56, &[0x53, 0xef]);
        put(&mut image, 1024 + 120, b"config-2");
        put(&mut image, 1024 + 264, &1_772_360_430_u32.to_le_bytes());
        let volume = probe(&image).unwrap().unwrap();
        assert_eq!(volume.labels, ["config-2"]);
        assert_eq!(volume.created.as_deref(), Some("2026-03-01 10:20:30 UTC"));
    }

    #[test]
    fn control_characters_of_a_label_are_replaced() {
        let mut image = iso();
        put(&mut image, 32768 + 40, b"a\x1b[2Jb   ");
        assert_eq!(probe(&image).unwrap().unwrap().labels, ["a [2Jb"]);
    }

    #[test]
    fn dates_around_leap_days() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(1_709_164_800), "2024-02-29 00:00:00 UTC");
        assert_eq!(utc(4_102_444_799), "2099-12-31 23:59:59 UTC");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_do_not_panic(
            head in proptest::collection::vec(any::<u8>(), 0..2048),
            descriptors in proptest::collection::vec(any::<u8>(), 0..4096),
            valid in any::<bool>(),
        ) {
            let mut image = vec![0; 40960];
            put(&mut image, 0, &head);
            put(&mut image, 32768, &descriptors);
            put(&mut image, 510, &[0x55, 0xaa]);
            if valid {
                put(&mut image, 32768, b"\x01CD001\x01");
                put(&mut image, 34816, b"\x02CD001\x01");
            }
            probe(&image).unwrap();
        }

        #[test]
        fn no_fat_parameters_panic(parameters in proptest::collection::vec(any::<u8>(), 80)) {
            let mut image = vec![0x08; 8192];
            put(&mut image, 11, &parameters);
            put(&mut image, 510, &[0x55, 0xaa]);
            for sector in [512_u16, 4096] {
                put(&mut image, 11, &sector.to_le_bytes());
                image[13] = 1;
                image[16] = 1;
                image[21] = 0xf8;
                probe(&image).unwrap();
            }
        }
    }
}
