//! What a boot reports while it waits, and after: consoles, systemd's status line, the journal's fields. The program
//! itself runs here, as systemd would start it, with sockets and a console held by the test.

use std::fs::File;
use std::io::Read;
use std::os::linux::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::wires::{in_machine, sh, wire};
use harness::namespace::{ip, private_folder};

const TEXT: &str = "network: {version: 2, ethernets: {eth0: {addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]}}}";

fn datagrams(socket: &UnixDatagram) -> Vec<String> {
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 65_536];
    let next = || {
        socket.recv(&mut buffer).ok().map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn a_boot_reports_what_is_waited_for_and_the_result() {
    in_machine(async || {
        wire("eth0", "router", "port0");
        ip("link set eth0 down");
        ip("-n router address add 192.0.2.254/24 dev port0");
        sh("mkdir -p /run/systemd/journal /run/test");
        std::fs::write("/run/test/net.yaml", TEXT).unwrap();
        std::fs::write("/run/test/active", "tty9").unwrap();
        let none = None::<&str>;
        mount(Some("/run/test/active"), "/sys/class/tty/console/active", none, MsFlags::MS_BIND, none)
            .unwrap();
        // Neither this machine's consoles nor its log are written to.
        for place in ["/dev", "/var/log"] {
            private_folder(place);
        }
        mkfifo("/dev/tty9", Mode::S_IRWXU).unwrap();
        // Open for reading and writing, so that it never ends before the program has written.
        let mut console = File::options().read(true).write(true).open("/dev/tty9").unwrap();
        let notify = UnixDatagram::bind("/run/test/notify").unwrap();
        let journal = UnixDatagram::bind("/run/systemd/journal/socket").unwrap();
        let log = File::create("/run/test/log").unwrap();
        let stream = log.metadata().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_netapply"))
            .args(["apply", "--handoff=none", "--wait=15", "/run/test/net.yaml"])
            .env("JOURNAL_STREAM", format!("{}:{}", stream.st_dev(), stream.st_ino()))
            .env("NOTIFY_SOCKET", "/run/test/notify")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        assert_eq!(
            child.wait().unwrap().code(),
            Some(1),
            "{}",
            std::fs::read_to_string("/run/test/log").unwrap()
        );

        let status = datagrams(&notify);
        assert!(!status.is_empty(), "no status line");
        // What is waited for, and a fault as soon as it is known.
        let is_known = |line: &String| line.ends_with(" s more") || line.starts_with("STATUS=fault: ");
        assert!(status.iter().all(is_known), "{status:?}");
        assert!(status.iter().any(|line| line.contains("[gateway-absent]")), "{status:?}");
        assert!(status.iter().any(|line| line.contains("gateway 192.0.2.1 on eth0")), "{status:?}");

        let entries = datagrams(&journal);
        let [entry] = entries.as_slice() else { panic!("{entries:?}") };
        for field in [
            "MESSAGE=netapply: FAULT - /run/test/net.yaml, text ",
            "PRIORITY=3",
            "SYSLOG_IDENTIFIER=netapply",
            "NETAPPLY_VERDICT=faults",
            "NETAPPLY_EXIT=1",
            "NETAPPLY_SOURCE=/run/test/net.yaml",
            "NETAPPLY_CAUSE=gateway-absent",
            "NETAPPLY_LINK=eth0",
        ] {
            assert!(entry.lines().any(|line| line.starts_with(field)), "{field} is not in {entry}");
        }

        let mut buffer = vec![0; 65_536];
        let length = console.read(&mut buffer).unwrap();
        let shown = String::from_utf8(buffer[..length].to_vec()).unwrap();
        assert!(shown.is_ascii(), "{shown}");
        // A console has 80 columns: a long line continues on the next.
        let joined = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for line in &status {
            let text = line.strip_prefix("STATUS=").unwrap_or_else(|| panic!("{line}"));
            assert!(joined.contains(&format!("netapply: {text}")), "{text} is not in {shown}");
        }
        assert!(shown.contains("netapply: FAULT - /run/test/net.yaml"), "{shown}");
        assert!(shown.contains("[gateway-absent]"), "{shown}");
        assert!(shown.contains("  -> Correct the gateway in the description"), "{shown}");
        let said = std::fs::read_to_string("/run/test/log").unwrap();
        assert!(said.contains("<6>netapply: waiting for "), "{said}");
    });
}
