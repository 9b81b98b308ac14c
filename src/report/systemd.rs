//! What is sent to systemd: a status line while waiting, and one structured journal entry at the end. Does nothing
//! without systemd.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Report, Verdict};
use crate::machine::Machine;
use crate::page::printable;

/// How long the journal may take to accept the entry.
pub(crate) const JOURNAL: Duration = Duration::from_secs(1);

/// Sets the status line that `systemctl status` shows (sd_notify(3)). The unit needs `NotifyAccess=`.
pub fn status(line: &str) {
    notify(&format!("STATUS={}", printable(line)));
}

/// Sends systemd a message of sd_notify(3): `READY=1`, `WATCHDOG=1`.
pub(crate) fn notify(text: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        _ => SocketAddr::from_pathname(&name),
    };
    if let (Ok(address), Ok(socket)) = (address, unblocking()) {
        // A status line that cannot be sent at once is dropped.
        let _ = socket.send_to_addr(text.as_bytes(), &address);
    }
}

/// Writes a summary of the report to the journal, with fields to search by: `NETAPPLY_VERDICT`, `NETAPPLY_EXIT`,
/// `NETAPPLY_SOURCE`, `NETAPPLY_TEXT`, and one `NETAPPLY_CAUSE` and `NETAPPLY_LINK` for each cause.
pub fn journal(machine: &Machine, report: &Report) {
    let journal = machine.journal_socket();
    if !journal.exists() {
        return;
    }
    let entry = entry(report);
    let Ok(socket) = unblocking() else { return };
    // A socket that is not connected counts as ready, however full the receiver's is (af_unix.c, unix_dgram_poll).
    if socket.connect(&journal).is_err() {
        return;
    }
    let end = Instant::now() + JOURNAL;
    // A busy journal accepts it a moment later.
    while socket.send(&entry).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let mut full = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
        let _ = poll(&mut full, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO));
    }
}

/// A socket that never blocks, whatever the other end does.
fn unblocking() -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The entry in the journal's native format: `NAME=value` lines; values contain no line breaks.
fn entry(report: &Report) -> Vec<u8> {
    let verdict = match report.verdict {
        Verdict::Works => "works",
        Verdict::Applied => "applied",
        Verdict::Unverified => "unverified",
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
    let line = |(name, value): (&str, String)| format!("{name}={}\n", printable(&value));
    fields.into_iter().map(line).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Builder;

    #[test]
    fn an_entry_has_one_field_per_line() {
        let mut report = Builder::default().finish(4);
        report.screen = vec!["first\nPRIORITY=0".to_owned()];
        let entry = String::from_utf8(entry(&report)).unwrap();
        assert!(entry.starts_with("MESSAGE=first\\nPRIORITY=0\nPRIORITY=3\n"), "{entry}");
        assert!(entry.contains("\nNETAPPLY_VERDICT=nothing\nNETAPPLY_EXIT=4\n"), "{entry}");
    }
}
