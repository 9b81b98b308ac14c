//! The NVMe boot firmware table (NVM Express Boot Specification 1.0), which firmware leaves in ACPI for a root on NVMe
//! over TCP. Decodes its network data into lines, one per fact. Trusts nothing: every offset is checked. Entry:
//! [`lines`].

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

/// How many bytes of a table are read; real ones have a few KiB.
pub const MOST: usize = 1 << 20;

const HEADER: usize = 64;
/// Descriptor types.
const CONTROL: u8 = 1;
const HFI: u8 = 3;
const NAMESPACE: u8 = 4;
const TRANSPORT: u8 = 7;
/// NVMe over TCP.
const TCP: u8 = 3;
const VALID: u8 = 1;
/// The interface's addresses came by DHCP.
const BY_DHCP: u8 = 4;

/// A table, or a part of one.
#[derive(Copy, Clone)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn part(self, at: usize, length: usize) -> Option<Bytes<'a>> {
        self.0.get(at..at.checked_add(length)?).map(Bytes)
    }

    fn u8(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn u16(self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.0.get(at..at + 2)?.try_into().ok()?))
    }

    fn u32(self, at: usize) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.0.get(at..at + 4)?.try_into().ok()?)).ok()
    }

    /// The heap object of a six-byte reference. `None` for an empty one.
    fn object(self, reference: Bytes<'_>) -> Option<Bytes<'a>> {
        let (at, length) = (reference.u32(0)?, usize::from(reference.u16(4)?));
        let (heap, heap_length) = (self.u32(36)?, self.u32(40)?);
        let inside = at >= heap && at.checked_add(length)? <= heap.checked_add(heap_length)?;
        self.part(at, length).filter(|_| length > 0 && inside)
    }

    /// An address in sixteen bytes, IPv4 ones mapped; `None` for zeroes.
    fn address(self, at: usize) -> Option<IpAddr> {
        let bytes: [u8; 16] = self.0.get(at..at + 16)?.try_into().ok()?;
        let address = Ipv6Addr::from(bytes).to_canonical();
        Some(address).filter(|address| !address.is_unspecified())
    }
}

/// The network data of a table, as `hfi1/mac=52:54:00:00:00:01`; the interfaces that reach the root's namespaces have
/// `hfi1/target=ADDRESS`.
///
/// # Errors
/// Why the table is invalid.
pub fn lines(table: &[u8]) -> Result<String, &'static str> {
    let all = Bytes(table);
    let length = all.u32(4).filter(|length| *length >= HEADER && *length <= table.len());
    let (Some(length), Some(b"NBFT")) = (length, table.get(..4)) else {
        return Err("it has no header of an NBFT");
    };
    if table.get(..length).unwrap_or_default().iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) != 0 {
        return Err("its checksum is wrong");
    }
    if all.u8(8) != Some(1) {
        return Err("its version is not 1");
    }
    let all = Bytes(table.get(..length).unwrap_or_default());
    let control =
        all.part(HEADER, 64).filter(|c| c.u8(0) == Some(CONTROL) && c.u8(6).is_some_and(|f| f & VALID != 0));
    let Some(control) = control else { return Err("it has no control descriptor") };
    let mut out = String::new();
    let mut targets: Vec<(u8, IpAddr)> = Vec::new();
    for namespace in list(all, control, 24) {
        targets.extend(namespaces(all, namespace).unwrap_or_default());
    }
    for descriptor in list(all, control, 16) {
        let valid = descriptor.u8(0) == Some(HFI)
            && descriptor.u8(2).is_some_and(|flags| flags & VALID != 0)
            && descriptor.u8(3) == Some(TCP);
        let transport = descriptor.part(16, 6).and_then(|reference| all.object(reference));
        if let (true, Some(index), Some(transport)) = (valid, descriptor.u8(1), transport) {
            interface(all, index, transport, &targets, &mut out);
        }
    }
    Ok(out)
}

/// The descriptors of a list in the control descriptor: offset, length and, after the version, the count.
fn list<'a>(all: Bytes<'a>, control: Bytes<'a>, at: usize) -> impl Iterator<Item = Bytes<'a>> {
    let place = || Some((control.u32(at)?, usize::from(control.u16(at + 4)?), control.u8(at + 7)?));
    let (offset, length, count) = place().unwrap_or_default();
    (0..usize::from(count)).filter_map(move |number| all.part(offset.checked_add(number * length)?, length))
}

/// The interfaces by which a namespace is reached, each with its address.
fn namespaces(all: Bytes<'_>, namespace: Bytes<'_>) -> Option<Vec<(u8, IpAddr)>> {
    let valid = namespace.u8(0)? == NAMESPACE && namespace.u16(3)? & u16::from(VALID) != 0;
    let address = all.object(namespace.part(10, 6)?)?.address(0)?;
    let first = namespace.u8(46)?;
    let others = namespace.part(48, 6).and_then(|reference| all.object(reference)).map_or(&[][..], |o| o.0);
    let interfaces = std::iter::once(first).chain(others.iter().copied()).filter(|index| *index != 0);
    valid.then(|| interfaces.map(|index| (index, address)).collect())
}

/// The lines of an interface.
fn interface(all: Bytes<'_>, index: u8, transport: Bytes<'_>, targets: &[(u8, IpAddr)], out: &mut String) {
    let Some(flags) = transport.u8(6) else { return };
    if transport.u8(0) != Some(TRANSPORT) || flags & VALID == 0 {
        return;
    }
    let mut line = |key: &str, value: String| {
        let _ = writeln!(out, "hfi{index}/{key}={value}");
    };
    if let Some(mac) = transport.part(11, 6) {
        let pairs: Vec<String> = mac.0.iter().map(|byte| format!("{byte:02x}")).collect();
        line("mac", pairs.join(":"));
    }
    if let Some(vlan) = transport.u16(17).filter(|vlan| *vlan != 0) {
        line("vlan", vlan.to_string());
    }
    if let Some(address) = transport.address(20) {
        line("ip-addr", address.to_string());
        if let Some(length) = transport.u8(36) {
            line("prefix-len", length.to_string());
        }
    }
    for (key, at) in [("gateway", 37), ("primary-dns", 56), ("secondary-dns", 72)] {
        if let Some(address) = transport.address(at) {
            line(key, address.to_string());
        }
    }
    if let Some(metric) = transport.u16(54).filter(|metric| *metric != 0) {
        line("metric", metric.to_string());
    }
    if flags & BY_DHCP != 0 {
        let server = transport.address(88).map_or_else(|| "yes".to_owned(), |server| server.to_string());
        line("dhcp", server);
    }
    if let Some(name) = transport.part(104, 6).and_then(|reference| all.object(reference)) {
        let name = String::from_utf8_lossy(name.0);
        let name = name.trim_end_matches('\0');
        if !name.chars().any(char::is_control) {
            line("hostname", name.to_owned());
        }
    }
    // Several namespaces of one subsystem have one address.
    let mut written: Vec<&IpAddr> = Vec::new();
    for (_, target) in targets.iter().filter(|(interface, _)| *interface == index) {
        if !written.contains(&target) {
            line("target", target.to_string());
            written.push(target);
        }
    }
}

/// A table built according to the specification, for the tests of this room and others.
#[cfg(test)]
pub(crate) mod made {
    use super::*;

    /// A table with one interface and one namespace; `change` may break it before the checksum is set.
    pub(crate) fn table(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut table = vec![0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| table[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"NBFT");
        put(4, &512_u32.to_le_bytes());
        put(8, &[1]);
        put(36, &256_u32.to_le_bytes());
        put(40, &256_u32.to_le_bytes());
        put(64, &[CONTROL, 1, 0, 0, 64, 0, VALID]);
        // Lists of one interface, at 128, and one namespace, at 160.
        put(64 + 16, &[128, 0, 0, 0, 32, 0, 1, 1]);
        put(64 + 24, &[160, 0, 0, 0, 96, 0, 1, 1]);
        put(128, &[HFI, 1, VALID, TCP]);
        put(128 + 16, &[0, 1, 0, 0, 128, 0]);
        put(160, &[NAMESPACE, 1, 0, VALID, 0, TCP]);
        put(160 + 10, &[0x80, 1, 0, 0, 16, 0]);
        put(160 + 46, &[1]);
        let mapped = |address: [u8; 4]| {
            let mut bytes = [0_u8; 16];
            bytes[10..12].copy_from_slice(&[0xff, 0xff]);
            bytes[12..].copy_from_slice(&address);
            bytes
        };
        put(256, &[TRANSPORT, 1, TCP, 1, 1, 0, VALID]);
        put(256 + 11, &[0x52, 0x54, 0, 0x5e, 0x70, 1]);
        put(256 + 17, &[20, 0]);
        put(256 + 20, &mapped([192, 0, 2, 10]));
        put(256 + 36, &[24]);
        put(256 + 37, &mapped([192, 0, 2, 1]));
        put(256 + 54, &500_u16.to_le_bytes());
        put(256 + 56, &mapped([192, 0, 2, 53]));
        put(256 + 104, &[0x90, 1, 0, 0, 6, 0]);
        put(0x180, &mapped([192, 0, 2, 200]));
        put(0x190, b"node7\0");
        change(&mut table);
        let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        table[9] = table[9].wrapping_sub(sum);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::made::table;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_facts_of_a_table() {
        let expected = "hfi1/mac=52:54:00:5e:70:01\nhfi1/vlan=20\nhfi1/ip-addr=192.0.2.10\nhfi1/prefix-len=24\n\
                        hfi1/gateway=192.0.2.1\nhfi1/primary-dns=192.0.2.53\nhfi1/metric=500\nhfi1/hostname=node7\n\
                        hfi1/target=192.0.2.200\n";
        assert_eq!(lines(&table(|_| {})).unwrap(), expected);
        let by_dhcp = lines(&table(|t| t[256 + 6] |= BY_DHCP)).unwrap();
        assert!(by_dhcp.contains("hfi1/dhcp=yes\n"), "{by_dhcp}");
    }

    #[test]
    fn what_is_no_table_or_leads_out_of_it_is_refused() {
        assert!(lines(b"").is_err());
        assert!(lines(&table(|t| t[8] = 2)).is_err());
        assert!(lines(&table(|t| t[64 + 6] = 0)).is_err());
        let mut wrong = table(|_| {});
        wrong[20] ^= 1;
        assert_eq!(lines(&wrong), Err("its checksum is wrong"));
        // An interface that is not valid, and one whose transport is outside the heap.
        assert_eq!(lines(&table(|t| t[130] = 0)).unwrap(), "");
        assert_eq!(lines(&table(|t| t[146] = 0xff)).unwrap(), "");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in 0..512_usize, byte: u8, other in 0..512_usize, value: u8) {
            let _ = lines(&table(|t| { t[at] = byte; t[other] = value; }));
        }
    }
}
