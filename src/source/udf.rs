//! UDF's superblock: whether a volume is UDF, its labels and when it was made. Its files are read by the kernel. Entry:
//! [`probe`].

use super::bytes::{ReadAt, clean, le16, le32, utf16_be};
use std::io;

/// The block sizes that writers use, the commonest first.
const BLOCK_SIZES: [u64; 4] = [2048, 512, 4096, 1024];
/// The block with the anchor (ECMA-167, 3/8.4.2.1).
const ANCHOR: u64 = 256;
/// How many volume descriptors are read: more than any real volume has.
const DESCRIPTORS: u64 = 32;

/// The tags of the descriptors that are read (ECMA-167, 3/7.2.1).
const TAG_PRIMARY: u16 = 1;
const TAG_ANCHOR: u16 = 2;
const TAG_LOGICAL: u16 = 6;
const TAG_TERMINATING: u16 = 8;

/// The labels, and when the volume was made. `None` if this is not UDF.
pub(super) fn probe(reader: &dyn ReadAt) -> io::Result<Option<(Vec<String>, Option<String>)>> {
    if !is_recognised(reader)? {
        return Ok(None);
    }
    for block in BLOCK_SIZES {
        let anchor = reader.read_at(ANCHOR * block, 512)?;
        if tag(&anchor) == Some(TAG_ANCHOR) {
            let start = le32(&anchor, 20).unwrap_or(0);
            return labels(reader, u64::from(start), block).map(Some);
        }
    }
    Ok(Some((Vec::new(), None)))
}

/// Whether the volume recognition sequence names UDF: `BEA01`, then `NSR02` or `NSR03` (ECMA-167, 2/8.3).
fn is_recognised(reader: &dyn ReadAt) -> io::Result<bool> {
    // With blocks of 4096 bytes the structures are twice as far apart.
    for step in [2048, 4096] {
        let mut begun = false;
        for n in 0..8 {
            let head = reader.read_at(32768 + n * step, 6)?;
            match head.get(1..6) {
                Some(b"BEA01") => begun = true,
                Some(b"NSR02" | b"NSR03") if begun => return Ok(true),
                Some(b"TEA01") => break,
                _ => {}
            }
        }
    }
    Ok(false)
}

/// The contents of the volume's descriptors. The logical volume's identifier is what blkid(8) calls the label.
fn labels(reader: &dyn ReadAt, start: u64, block: u64) -> io::Result<(Vec<String>, Option<String>)> {
    let (mut logical, mut primary, mut made) = (None, None, None);
    for n in 0..DESCRIPTORS {
        let descriptor = reader.read_at((start + n) * block, 512)?;
        match tag(&descriptor) {
            Some(TAG_PRIMARY) => {
                primary = descriptor.get(24..56).and_then(dstring);
                made = descriptor.get(376..388).and_then(timestamp);
            }
            Some(TAG_LOGICAL) => logical = descriptor.get(84..212).and_then(dstring),
            None | Some(TAG_TERMINATING) => break,
            Some(_) => {}
        }
    }
    let mut labels: Vec<String> = logical.into_iter().collect();
    labels.extend(primary.filter(|primary| !labels.contains(primary)));
    Ok((labels, made))
}

/// A descriptor's tag, if its checksum is right (ECMA-167, 3/7.2).
fn tag(descriptor: &[u8]) -> Option<u16> {
    let tag = descriptor.get(..16)?;
    let sum =
        tag.iter().enumerate().filter(|(n, _)| *n != 4).fold(0_u8, |sum, (_, byte)| sum.wrapping_add(*byte));
    (sum == tag[4]).then(|| le16(tag, 0)).flatten()
}

/// A field of characters: the last byte is the number in use, the first their width (UDF 2.60, 2.1.1 and 2.1.3).
fn dstring(field: &[u8]) -> Option<String> {
    let (length, field) = field.split_last()?;
    let (width, text) = field.get(..usize::from(*length))?.split_first()?;
    let text = match width {
        8 | 254 => text.iter().map(|byte| char::from(*byte)).collect(),
        16 | 255 => utf16_be(text),
        _ => return None,
    };
    Some(clean(&text)).filter(|text| !text.is_empty())
}

/// ECMA-167, 1/7.3: type and offset from UTC in minutes, then year, month, day, hour, minute, second.
fn timestamp(bytes: &[u8]) -> Option<String> {
    let zone = le16(bytes, 0)?;
    let year = le16(bytes, 2)?;
    let [month, day, hour, minute, second] = bytes.get(4..9)?.try_into().ok()?;
    if year == 0 {
        return None;
    }
    // Twelve bits of two's complement; -2047 is "not given".
    let minutes = (i32::from(zone & 0xfff) << 20) >> 20;
    let zone = match minutes {
        0 => " UTC".to_owned(),
        -1440..=1440 => {
            let sign = if minutes < 0 { '-' } else { '+' };
            format!(" {sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
        _ => String::new(),
    };
    Some(format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{zone}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A pure UDF volume's superblocks, as Windows writes them on a disk of 512-byte blocks: labels and nothing else.
    pub(in crate::source) fn image(label: &str, block: usize) -> Vec<u8> {
        let mut image = vec![0; 32768 + 3 * 2048.max(block)];
        for (n, word) in [b"BEA01", b"NSR03", b"TEA01"].iter().enumerate() {
            let at = 32768 + n * 2048.max(block);
            image[at + 1..at + 6].copy_from_slice(*word);
        }
        image.resize(300 * block, 0);
        let mut put = |at: usize, tag: u16, fill: &dyn Fn(&mut [u8])| {
            let descriptor = &mut image[at * block..at * block + 512];
            descriptor[..2].copy_from_slice(&tag.to_le_bytes());
            descriptor[2] = 3;
            let sum = descriptor[..16].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
            descriptor[4] = sum;
            fill(descriptor);
        };
        let text = |field: &mut [u8], label: &str| {
            field[0] = 8;
            field[1..=label.len()].copy_from_slice(label.as_bytes());
            field[field.len() - 1] = u8::try_from(label.len() + 1).unwrap();
        };
        put(256, TAG_ANCHOR, &|d| d[20..24].copy_from_slice(&260_u32.to_le_bytes()));
        put(260, TAG_PRIMARY, &|d| {
            text(&mut d[24..56], "other");
            // 120 minutes east of UTC, in local time.
            d[376..385].copy_from_slice(&[120, 0x10, 0xea, 0x07, 3, 1, 10, 20, 30]);
        });
        put(261, TAG_LOGICAL, &|d| text(&mut d[84..212], label));
        put(262, TAG_TERMINATING, &|_| {});
        image
    }

    #[test]
    fn labels_and_time_in_every_block_size() {
        for block in [512, 2048, 4096] {
            let (labels, made) = probe(&image("config-2", block)).unwrap().unwrap();
            assert_eq!(labels, ["config-2", "other"], "{block}");
            assert_eq!(made.as_deref(), Some("2026-03-01 10:20:30 +02:00"));
        }
    }

    #[test]
    fn a_wide_label() {
        let mut field = vec![0; 32];
        field[..5].copy_from_slice(&[16, 0, b'a', 0, 0xfc]);
        field[31] = 5;
        assert_eq!(dstring(&field).as_deref(), Some("aü"));
        assert_eq!(dstring(&[0; 32]), None);
    }

    proptest! {
        #[test]
        fn no_descriptor_panics(bytes in proptest::collection::vec(any::<u8>(), 512), at in 256_usize..262) {
            let mut image = image("config-2", 512);
            image[at * 512..][..512].copy_from_slice(&bytes);
            probe(&image).unwrap();
        }
    }
}
