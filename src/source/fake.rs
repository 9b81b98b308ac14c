//! A machine in a directory: sysfs, device nodes and seed directories for this room's tests.

use super::watch::Watch;
use crate::machine::Machine;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

pub(super) struct FakeMachine(tempfile::TempDir);

impl FakeMachine {
    pub(super) fn new() -> FakeMachine {
        let fake = FakeMachine(tempfile::tempdir().unwrap());
        for directory in ["sys/class/block", "dev"] {
            fs::create_dir_all(fake.0.path().join(directory)).unwrap();
        }
        fake
    }

    pub(super) fn machine(&self) -> Machine {
        Machine::below(self.0.path())
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// A whole disk at `path` below /sys/devices, with this content.
    pub(super) fn disk(&self, path: &str, image: &[u8]) {
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        self.write(&format!("sys/devices/{path}/size"), b"2048\n");
        self.write(&format!("sys/devices/{path}/removable"), b"0\n");
        self.write(&format!("dev/{name}"), image);
        let link = self.0.path().join("sys/class/block").join(name);
        symlink(format!("../../devices/{path}"), link).unwrap();
    }

    /// A partition of such a disk.
    pub(super) fn partition(&self, disk: &str, name: &str, image: &[u8]) {
        self.write(&format!("sys/devices/{disk}/{name}/partition"), b"1\n");
        self.disk(&format!("{disk}/{name}"), image);
    }

    /// The kernel's events, and the end to send them from.
    pub(super) fn events() -> (Watch, UnixDatagram) {
        let (ours, kernel) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Watch::over(ours.into()).unwrap(), kernel)
    }
}

/// A small plain ISO 9660 volume with one file in its root.
pub(super) fn iso(label: &str, publisher: &str, name: &str, text: &str) -> Vec<u8> {
    let mut image = vec![0; 22 * 2048];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    let record = |name: &[u8], sector: u32, size: usize, flags: u8| {
        let mut record = vec![0; 33];
        record[2..6].copy_from_slice(&sector.to_le_bytes());
        record[10..14].copy_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
        record[25] = flags;
        record[32] = u8::try_from(name.len()).unwrap();
        record.extend_from_slice(name);
        record.resize(record.len().next_multiple_of(2), 0);
        record[0] = u8::try_from(record.len()).unwrap();
        record
    };
    put(16 * 2048, b"\x01CD001\x01");
    put(16 * 2048 + 40, format!("{label:32}").as_bytes());
    put(16 * 2048 + 128, &2048_u16.to_le_bytes());
    put(16 * 2048 + 156, &record(&[0], 18, 2048, 2));
    put(16 * 2048 + 318, format!("{publisher:128}").as_bytes());
    put(17 * 2048, b"\xffCD001\x01");
    put(18 * 2048, &[record(&[0], 18, 2048, 2), record(name.as_bytes(), 19, text.len(), 0)].concat());
    put(19 * 2048, text.as_bytes());
    image
}
