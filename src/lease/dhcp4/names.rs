//! Domain names: in DNS encoding, several at once (RFC 1035, section 4.1.4, by RFC 3397), and which are accepted.

/// How many names of a list are kept.
pub const MOST: usize = 64;
/// The longest name in text form (RFC 1035, section 2.3.4).
const LONGEST: usize = 253;
/// The two bits that make a length a pointer.
const POINTER: u8 = 0b1100_0000;

/// A name that is safe in a file, a shell or on a console: labels of letters, digits, `-` and `_`. Its case is kept, a
/// trailing dot is removed.
pub fn checked(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let good = |label: &str| {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        !label.is_empty() && label.len() <= 63 && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    (name.len() <= LONGEST && name.split('.').all(good)).then(|| name.to_owned())
}

/// A sequence of names, each of which may end in a pointer to an earlier place. Those that are not [`checked`] are left
/// out; `None` if the encoding itself is invalid.
pub fn read(bytes: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < bytes.len() && names.len() < MOST {
        let (name, next) = one(bytes, at)?;
        names.extend(checked(&name));
        at = next;
    }
    Some(names)
}

/// The name at a place, and where the next one begins.
fn one(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut next = None;
    // A pointer must lead to an earlier place than the last one, so that there are no cycles.
    let (mut at, mut bound) = (start, start);
    loop {
        let length = *bytes.get(at)?;
        if length & POINTER == POINTER {
            let target = usize::from(u16::from_be_bytes([length & !POINTER, *bytes.get(at + 1)?]));
            next.get_or_insert(at + 2);
            (target < bound).then_some(())?;
            (at, bound) = (target, target);
        } else if length & POINTER != 0 {
            return None;
        } else if length == 0 {
            return Some((name, next.unwrap_or(at + 1)));
        } else {
            let label = bytes.get(at + 1..at + 1 + usize::from(length))?;
            if !name.is_empty() {
                name.push('.');
            }
            // A dot within a label makes the name invalid.
            name.extend(label.iter().map(|b| if *b == b'.' { '\0' } else { char::from(*b) }));
            (name.len() <= 4 * LONGEST).then_some(())?;
            at += 1 + usize::from(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unpacked_as_rfc_3397_shows() {
        let bytes = b"\x03eng\x05apple\x03com\0\x09marketing\xc0\x04";
        assert_eq!(read(bytes).unwrap(), ["eng.apple.com", "marketing.apple.com"]);
        assert_eq!(read(b"\x01a\0\xc0\x00\x01b\xc0\x00").unwrap(), ["a", "a", "b.a"]);
        assert_eq!(read(b"").unwrap(), [""; 0]);
    }

    #[test]
    fn loops_and_truncated_names_are_refused() {
        for bytes in [
            &b"\xc0\x00"[..],
            b"\x01a\xc0\x00",
            b"\x01a\xc0\x05",
            b"\x01a",
            b"\x05a",
            b"\xc0",
            b"\x40a\0",
            b"\x01a\0\x01b\xc0\x03",
        ] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn only_plain_names_are_believed() {
        for name in ["example.org", "a", "_tcp.x-y.example", "example.org."] {
            assert!(checked(name).is_some(), "{name}");
        }
        let long = ["a".repeat(63).as_str(); 5].join(".");
        for name in ["", ".", "a..b", "a b", "a\n", "$(x)", "-a", "a-", "é", "a\x1b", &"a".repeat(64), &long]
        {
            assert_eq!(checked(name), None, "{name}");
        }
        assert_eq!(read(b"\x03a.b\0\x04a\"bc\0\x01c\0").unwrap(), ["c"]);
    }
}
