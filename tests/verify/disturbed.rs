//! The program in a hostile environment: nobody reads its output, others apply at the same time, signals arrive, and
//! little of a process's usual environment exists.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use netapply::machine::{Machine, files};
use nix::fcntl::{FcntlArg, Flock, FlockArg, OFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{Pid, mkfifo, pipe};
use serde_json::Value;

use crate::commands::{description, exits};
use crate::lldp;
use crate::wires::{in_machine, wire};

const STATIC: &str = "addresses: [192.0.2.2/24]";
/// Nobody answers for the gateway, so that a verification waits.
const WAITING: &str = "addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]";
/// Longer than anything here takes, and shorter than a hang.
const HANG: Duration = Duration::from_secs(60);

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netapply"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // If the tests are run by nohup(1) it is ignored, and netapply would ignore it, too.
    // SAFETY: signal(2) may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
            Ok(())
        });
    }
    command
}

fn start(arguments: &str) -> Child {
    program().args(arguments.split_whitespace()).spawn().unwrap()
}

/// The exit status; panics if the program hangs.
#[track_caller]
fn code(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + HANG;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    panic!("the program hangs");
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

fn report() -> Value {
    serde_json::from_slice(&files::read(&Machine::default().report()).unwrap()).unwrap()
}

/// Waits until the condition holds.
#[track_caller]
fn until(mut so: impl FnMut() -> bool) {
    let end = Instant::now() + HANG;
    while !so() {
        assert!(Instant::now() < end, "it does not become so");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The end of a full pipe, and the one that nobody reads from.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut file = File::from(writer);
    while file.write(&[b'x'; 4096]).is_ok() {}
    while file.write(b"x").is_ok() {}
    fcntl(file.as_fd(), FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (file.into(), reader)
}

#[test]
fn another_apply_is_waited_for_and_a_verification_is_overtaken() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        let path = description(STATIC);
        let machine = Machine::default();
        let mut file = files::lockable(&machine.lock()).unwrap();
        file.write_all(b"pid 7, since yesterday\n1\n").unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusive).unwrap();
        exits(75, "verify --wait=1");
        assert!(!machine.report().exists(), "a verification that has no turn reports nothing");
        let mut waiting = start(&format!("apply --no-verify --handoff=none {path}"));
        let mut ended = start(&format!("apply --no-verify --handoff=none {path}"));
        until(|| {
            let log = std::fs::read_to_string(machine.log()).unwrap_or_default();
            log.matches("waiting up to 30 s: another netapply is applying, pid 7, since yesterday").count()
                == 2
        });
        send(&ended, Signal::SIGTERM);
        assert_eq!(code(&mut ended), Some(1));
        assert!(waiting.try_wait().unwrap().is_none(), "it does not wait");
        drop(lock);
        assert_eq!(code(&mut waiting), Some(0));

        let other = description(WAITING);
        exits(0, &format!("apply --no-verify --handoff=none {other}"));
        let mut verifying = start("verify --wait=15");
        until(|| std::fs::read_to_string(machine.log()).unwrap().contains("waiting for gateway"));
        let path = description(STATIC);
        exits(0, &format!("apply --no-verify --handoff=none {path}"));
        let applied = report();
        assert_eq!(code(&mut verifying), Some(75));
        assert_eq!(report(), applied, "the report is that of the last apply");
    });
}

#[test]
fn an_unread_output_never_blocks_the_work() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        let path = description(STATIC);
        let machine = Machine::default();
        files::make_folder(&machine.run()).unwrap();
        let pipes = [machine.report(), machine.description(), machine.owed(), machine.log(), machine.lock()];
        pipes.iter().for_each(|path| mkfifo(path, Mode::S_IRWXU).unwrap());
        std::fs::create_dir_all(machine.journal_socket().parent().unwrap()).unwrap();
        let sockets = ["/run/notify".into(), machine.journal_socket()];
        let unread: Vec<UnixDatagram> =
            sockets.iter().map(|path| UnixDatagram::bind(path).unwrap()).collect();
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        sockets.iter().for_each(|path| while filler.send_to(b"x", path).is_ok() {});
        let (stderr, _unread) = full_pipe();
        // As a boot, which writes to the journal, and to no console here.
        let journal = fstat(&stderr).unwrap();
        let none = None::<&str>;
        mount(Some("/dev/null"), &machine.consoles(), none, MsFlags::MS_BIND, none).unwrap();
        let mut child = program()
            .args(["apply", "--handoff=none", "--wait=10", path])
            .env("NOTIFY_SOCKET", "/run/notify")
            .env("JOURNAL_STREAM", format!("{}:{}", journal.st_dev, journal.st_ino))
            .stderr(stderr)
            .spawn()
            .unwrap();
        assert_eq!(code(&mut child), Some(0));
        assert_eq!(report()["verdict"], "works");
        // Both were full all the time.
        for socket in unread {
            socket.set_nonblocking(true).unwrap();
            let mut byte = [0; 8];
            while let Ok(length) = socket.recv(&mut byte) {
                assert_eq!(byte[..length], *b"x");
            }
        }

        let (stdout, _unread) = full_pipe();
        let mut child = program().args(["verify", "--json"]).stdout(stdout).spawn().unwrap();
        let written = report()["written"].clone();
        until(|| report()["written"] != written);
        std::thread::sleep(Duration::from_millis(200));
        assert!(child.try_wait().unwrap().is_none(), "it gave up its reader");
        send(&child, Signal::SIGTERM);
        until(|| child.try_wait().unwrap().is_some());
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
    });
}

#[test]
fn signals_end_a_run_with_a_report_or_not_at_all() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        let path = description(WAITING);
        let log = || std::fs::read_to_string(Machine::default().log()).unwrap_or_default();
        for (number, end) in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT].into_iter().enumerate() {
            let mut child = start(&format!("apply --handoff=none --wait=50 {path}"));
            until(|| log().matches("waiting for gateway").count() > number);
            for nothing in [Signal::SIGALRM, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGPIPE] {
                send(&child, nothing);
            }
            send(&child, end);
            assert_eq!(code(&mut child), Some(1), "{end}");
            assert_eq!(report()["verdict"], "interrupted", "{end}");
        }
    });
}

/// Two flooding threads leave netapply less than half of two processors.
#[test]
fn a_flood_of_arp_does_not_stretch_the_bound() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        let path = description(WAITING);
        let stop = Arc::new(AtomicBool::new(false));
        let floods = [(); 2].map(|()| lldp::flood("other", "port0", stop.clone()));
        let begin = Instant::now();
        let mut child = start(&format!("apply --handoff=none --wait=10 {path}"));
        let exit = code(&mut child);
        let took = begin.elapsed();
        stop.store(true, Ordering::Relaxed);
        let frames: u64 = floods.map(|flood| flood.join().unwrap()).iter().sum();
        eprintln!("{frames} frames, {took:?} of 10 s");
        assert_eq!(exit, Some(1));
        assert_eq!(report()["verdict"], "faults");
        assert!(frames > 10_000, "{frames}");
        // It was 25 s.
        assert!(took < Duration::from_secs(20), "{took:?}");
    });
}

#[test]
fn a_minimal_environment_suffices_or_is_reported() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        let path = description(STATIC);
        let machine = Machine::default();
        let run = |before: &str| {
            let script =
                format!("{before}; exec {} apply --no-verify {path}", env!("CARGO_BIN_EXE_netapply"));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            let said = [output.stderr, output.stdout].concat();
            (output.status.code(), String::from_utf8_lossy(&said).into_owned())
        };
        let (exit, said) = run("umask 0");
        assert_eq!(exit, Some(0), "{said}");
        let mut looked = 0;
        for entry in std::fs::read_dir(machine.run()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o022, 0, "{:?} {mode:o}", entry.path());
            looked += 1;
        }
        assert!(looked > 3);
        assert_eq!(std::fs::metadata(machine.run()).unwrap().permissions().mode() & 0o777, 0o755);

        let (exit, said) = run("ulimit -f 0");
        assert_eq!(exit, Some(1), "{said}");
        assert!(said.contains("report.json: File too large"), "{said}");
        assert!(!machine.report().exists(), "the report of an earlier run is still there");

        // Without /dev/null and with closed standard files the network is configured nonetheless.
        let hide = "mount -t tmpfs none /dev; exec <&- >&- 2>/run/said";
        let (exit, _) = run(hide);
        let said = std::fs::read_to_string("/run/said").unwrap();
        assert_eq!(exit, Some(0), "{said}");
        assert!(
            said.contains("standard input is closed, and /dev/null cannot be opened: No such file"),
            "{said}"
        );
        assert!(said.contains("standard output is closed"), "{said}");
        Command::new("umount").arg("/dev").status().unwrap();

        for files in 4..14 {
            let (exit, said) = run(&format!("ulimit -n {files}"));
            assert!(
                exit == Some(0) || (exit.is_some() && said.contains("open files")),
                "{files}: {exit:?} {said}"
            );
        }
    });
}
