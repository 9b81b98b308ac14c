//! What firmware recorded about the network that it booted from: the iSCSI boot firmware table (iBFT), which the kernel
//! shows below /sys/firmware/ibft, and the NVMe one (nBFT) in ACPI. Each becomes lines such as
//! `ethernet0/ip-addr=192.0.2.10`, which `format` reads. Secrets in the tables are not read. Entries: [`ibft`],
//! [`nbft`], [`tables`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::tree::read_file;
use super::{Document, NotFound, NotFoundKind, nbft as table};
use crate::machine::Machine;
use crate::order::Order as _;

/// The kernel's attributes of a NIC, `drivers/firmware/iscsi_ibft.c`.
const NIC_FILES: &[&str] = &[
    "flags",
    "mac",
    "vlan",
    "ip-addr",
    "subnet-mask",
    "prefix-len",
    "origin",
    "gateway",
    "primary-dns",
    "secondary-dns",
    "dhcp",
    "hostname",
];
/// How many NICs and targets are read: the table has room for two of each.
const MOST_NICS: usize = 16;
/// The maximum size of one of those files.
const MOST_BYTES: usize = 4096;

/// The iBFT.
///
/// # Errors
/// There is none.
pub(super) fn ibft(machine: &Machine) -> Result<Document, NotFound> {
    let folder = machine.ibft();
    let mut text = String::new();
    let mut targets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in entries(&folder, "target") {
        let target = folder.join(&name);
        if let (Some(nic), Some(address)) = (value(&target, "nic-assoc"), value(&target, "ip-addr")) {
            targets.entry(nic).or_default().push(address);
        }
    }
    for name in entries(&folder, "ethernet") {
        let nic = folder.join(&name);
        for key in NIC_FILES {
            if let Some(value) = value(&nic, key) {
                let _ = writeln!(text, "{name}/{key}={value}");
            }
        }
        let index = value(&nic, "index").unwrap_or_else(|| name.trim_start_matches("ethernet").to_owned());
        for target in targets.get(&index).into_iter().flatten() {
            let _ = writeln!(text, "{name}/target={target}");
        }
    }
    document(&folder, text, "iBFT", "The module iscsi_ibft makes it visible, where the firmware has one.")
}

/// The nBFT, all tables of it.
///
/// # Errors
/// There is none, or none can be read.
pub(super) fn nbft(machine: &Machine) -> Result<Document, NotFound> {
    let folder = machine.acpi_tables();
    let mut text = String::new();
    for name in entries(&folder, "NBFT") {
        let path = folder.join(&name);
        let wrong = match read_file(&path, table::MOST) {
            Ok(bytes) => match table::lines(&bytes) {
                Ok(lines) => {
                    text.push_str(&lines);
                    continue;
                }
                Err(wrong) => wrong.to_owned(),
            },
            Err(error) => format!("{error:?}"),
        };
        return Err(NotFound::new(
            NotFoundKind::Unreadable,
            format!("The nBFT in {} cannot be used: {wrong}.", path.display()),
            "Update the firmware, or name another source.",
        ));
    }
    document(&folder, text, "nBFT", "The firmware leaves one where it has booted from NVMe over TCP.")
}

fn document(folder: &Path, text: String, what: &str, hint: &str) -> Result<Document, NotFound> {
    if text.is_empty() {
        let message = format!("There is no {what} in {}.", folder.display());
        return Err(NotFound::new(NotFoundKind::NoDescription, message, hint));
    }
    Ok(Document { name: folder.display().to_string(), text })
}

/// The entries of a folder with this prefix, in order of their number.
fn entries(folder: &Path, begins: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_number = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
    let mut names: Vec<String> =
        names.filter(|name| name.strip_prefix(begins).is_some_and(is_number)).collect();
    names.order_by_key(|name| (name.len(), name.clone()));
    names.truncate(MOST_NICS);
    names
}

/// The only line of a file.
fn value(folder: &Path, name: &str) -> Option<String> {
    let bytes = read_file(&folder.join(name), MOST_BYTES).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.trim_end_matches(['\n', '\0', ' ']);
    (!line.is_empty() && !line.chars().any(char::is_control)).then(|| line.to_owned())
}

/// The content of both tables, if they exist: the NICs by which the root is reached, whatever describes the network.
pub fn tables(machine: &Machine) -> Vec<(&'static str, String)> {
    let found = [("iBFT", ibft(machine)), ("nBFT", nbft(machine))];
    found.into_iter().filter_map(|(name, table)| Some((name, table.ok()?.text))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeMachine;
    use super::*;

    #[test]
    fn each_file_of_the_ibft_is_a_line_and_secrets_are_left() {
        let fake = FakeMachine::new();
        let put =
            |path: &str, value: &str| fake.write(&format!("sys/firmware/ibft/{path}"), value.as_bytes());
        put("initiator/initiator-name", "iqn.x\n");
        for (key, value) in
            [("flags", "3"), ("mac", "52:54:00:5e:70:01"), ("ip-addr", "192.0.2.10"), ("gateway", "")]
        {
            put(&format!("ethernet0/{key}"), &format!("{value}\n"));
        }
        put("target0/nic-assoc", "0\n");
        put("target0/ip-addr", "192.0.2.200\n");
        put("target0/chap-secret", "secret\n");
        let document = ibft(&fake.machine()).unwrap();
        let expected = "ethernet0/flags=3\nethernet0/mac=52:54:00:5e:70:01\nethernet0/ip-addr=192.0.2.10\n\
                        ethernet0/target=192.0.2.200\n";
        assert_eq!(document.text, expected);
        assert_eq!(tables(&fake.machine()), [("iBFT", expected.to_owned())]);
        assert_eq!(nbft(&fake.machine()).unwrap_err().kind, NotFoundKind::NoDescription);
    }

    #[test]
    fn a_damaged_nbft_is_said_to_be_one() {
        let fake = FakeMachine::new();
        fake.write("sys/firmware/acpi/tables/NBFT", &table::made::table(|_| {}));
        assert!(nbft(&fake.machine()).unwrap().text.starts_with("hfi1/mac="));
        fake.write("sys/firmware/acpi/tables/NBFT2", b"NBFT");
        let problem = nbft(&fake.machine()).unwrap_err();
        assert!(problem.kind.is_unreadable() && problem.message.contains("no header"), "{}", problem.message);
    }
}
