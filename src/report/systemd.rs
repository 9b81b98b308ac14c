//! What systemd gets: a status line while waiting, and one structured journal entry at the end. Does nothing where there
//! is no systemd.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::{Report, Verdict};
use crate::machine::Machine;

/// Sets the status line that `systemctl status` shows (sd_notify(3)). The unit needs `NotifyAccess=`.
pub fn status(line: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        _ => SocketAddr::from_pathname(&name),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        // Nobody listens any more: then nobody misses it.
        let _ = socket.send_to_addr(format!("STATUS={line}").as_bytes(), &address);
    }
}

/// Writes the report's gist to the journal, with fields to search by: `NETAPPLY_VERDICT`, `NETAPPLY_EXIT`,
/// `NETAPPLY_SOURCE`, `NETAPPLY_TEXT`, and one `NETAPPLY_CAUSE` and `NETAPPLY_LINK` for each cause.
pub fn journal(machine: &Machine, report: &Report) {
    let journal = machine.journal_socket();
    if !journal.exists() {
        return;
    }
    if let Ok(socket) = UnixDatagram::unbound() {
        // As above.
        let _ = socket.send_to(&entry(report), &journal);
    }
}

/// The entry in the journal's own form: `NAME=value` lines; a value has no line break in it.
fn entry(report: &Report) -> Vec<u8> {
    let verdict = match report.verdict {
        Verdict::Works => "works",
        Verdict::Applied => "applied",
        Verdict::Faults => "faults",
        Verdict::Nothing => "nothing",
        Verdict::Interrupted => "interrupted",
    };
    let bad = !matches!(report.verdict, Verdict::Works | Verdict::Applied) && !report.is_by_design();
    let mut fields = vec![
        ("MESSAGE", report.screen.first().cloned().unwrap_or_default()),
        ("PRIORITY", if bad { "3" } else { "6" }.to_owned()),
        ("SYSLOG_IDENTIFIER", "netapply".to_owned()),
        ("NETAPPLY_VERDICT", verdict.to_owned()),
        ("NETAPPLY_EXIT", report.exit.to_string()),
    ];
    if let Some(source) = &report.source {
        fields.push(("NETAPPLY_SOURCE", source.path.clone()));
        fields.push(("NETAPPLY_TEXT", source.hash.clone()));
    }
    for cause in &report.causes {
        fields.push(("NETAPPLY_CAUSE", cause.code.to_string()));
        if !cause.link.is_empty() {
            fields.push(("NETAPPLY_LINK", cause.link.clone()));
        }
    }
    let line = |(name, value): (&str, String)| format!("{name}={}\n", value.replace(['\n', '\r'], " "));
    fields.into_iter().map(line).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Builder;

    #[test]
    fn an_entry_has_one_field_a_line() {
        let mut report = Builder::default().finish(4);
        report.screen = vec!["first\nPRIORITY=0".to_owned()];
        let entry = String::from_utf8(entry(&report)).unwrap();
        assert!(entry.starts_with("MESSAGE=first PRIORITY=0\nPRIORITY=3\n"), "{entry}");
        assert!(entry.contains("\nNETAPPLY_VERDICT=nothing\nNETAPPLY_EXIT=4\n"), "{entry}");
    }
}
