//! Reads untrusted bytes: at an offset of a device, an image file or a test's buffer; fixed text fields, numbers. Knows
//! no file system. Entry: [`ReadAt`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Something that can be read at an offset: a device, an image file, bytes in a test.
pub(super) trait ReadAt {
    /// Up to `length` bytes from `offset`; fewer only at the end.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let Some(at) = offset.checked_add(filled as u64).filter(|at| *at <= i64::MAX as u64) else {
                break;
            };
            match FileExt::read_at(self, &mut bytes[filled..], at) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        Ok(self[from..from.saturating_add(length).min(self.len())].to_vec())
    }
}

/// Big-endian UTF-16, as in Joliet; invalid characters become U+FFFD.
pub(super) fn utf16_be(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// A fixed field of text: padding cut off, `None` if nothing is left.
pub(super) fn printable(bytes: &[u8], at: usize, length: usize) -> Option<String> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    Some(clean(&String::from_utf8_lossy(field))).filter(|text| !text.is_empty())
}

/// What may be shown on a console: up to the first NUL, no padding, nothing that moves a cursor or reorders text.
pub(super) fn clean(text: &str) -> String {
    let text = text.split('\0').next().unwrap_or_default().trim();
    text.chars().map(crate::page::one_column).collect()
}

pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
