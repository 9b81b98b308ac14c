//! Effects on a machine that is a folder, and on programs and threads that hang.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use tempfile::TempDir;

use super::*;
use crate::kernel::trouble::ProgramFailure;
use crate::plan::Former;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn write(path: &str, content: &str) -> Action {
    Action::WriteFile { path: path.to_owned(), content: content.to_owned() }
}

/// A script for sh(1) as a program.
fn script(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("program");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The process whose number a script has written, which may take a moment.
fn written_pid(path: &Path) -> Pid {
    loop {
        match fs::read_to_string(path).unwrap_or_default().trim().parse() {
            Ok(pid) => return Pid::from_raw(pid),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Waits until a process is gone, or is a zombie.
fn assert_ends(pid: Pid) {
    for _ in 0..1000 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.rsplit(')').next().is_none_or(|rest| rest.trim().is_empty() || rest.trim().starts_with('Z')) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("process {pid} is still there");
}

#[test]
fn a_file_is_written_whole_and_nothing_is_left_beside_it() {
    let root = tempfile::tempdir().unwrap();
    let mut real = Real::on(&Machine::below(root.path()));
    let path = root.path().join("run/links/bond0");
    for content in ["first\n", "second\n"] {
        run(real.make(&write("/run/links/bond0", content))).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    let refused = run(real.make(&write("/run/links/bond0/below", ""))).unwrap_err();
    assert!(refused.to_string().ends_with("links/bond0/below: Not a directory"), "{refused}");
    assert!(std::error::Error::source(&refused).is_some());
}

#[test]
fn a_fifo_in_the_place_of_a_file_holds_nothing_up() {
    let root = tempfile::tempdir().unwrap();
    let mut real = Real::on(&Machine::below(root.path()));
    for name in ["marker", ".marker.netapply"] {
        mkfifo(&root.path().join(name), Mode::S_IRWXU).unwrap();
    }
    assert_eq!(run(real.inverse(&write("/marker", ""))), None, "it cannot be put back");
    run(real.make(&write("/marker", "content"))).unwrap();
    assert_eq!(fs::read_to_string(root.path().join("marker")).unwrap(), "content");
    // A sysctl is written in place, and never waits for a reader.
    mkfifo(&root.path().join("fifo"), Mode::S_IRWXU).unwrap();
    let key = "../../fifo".to_owned();
    fs::create_dir_all(root.path().join("proc/sys")).unwrap();
    assert!(run(real.make(&Action::Sysctl { key, value: "1".to_owned() })).is_err());
}

#[test]
fn earlier_state_is_restored() {
    let root = tempfile::tempdir().unwrap();
    let mut real = Real::on(&Machine::below(root.path()));
    let at = |name: &str| root.path().join(name);
    fs::write(at("file"), "old").unwrap();
    fs::set_permissions(at("file"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("/nowhere/resolv.conf", at("link")).unwrap();
    for name in ["file", "link", "absent"] {
        for change in [write(&format!("/{name}"), "new"), Action::RemoveFile { path: format!("/{name}") }] {
            let inverse = run(real.inverse(&change)).unwrap();
            run(real.make(&change)).unwrap();
            run(real.make(&inverse)).unwrap();
        }
    }
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "old");
    assert_eq!(fs::metadata(at("file")).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("/nowhere/resolv.conf"));
    assert!(!at("absent").exists());
    let former = run(real.inverse(&write("/link", "")));
    let path = "/link".to_owned();
    assert_eq!(former, Some(Action::PutBack { path, former: Former::Link("/nowhere/resolv.conf".into()) }));
}

#[test]
fn a_resolvconf_record_is_restored() {
    let root = tempfile::tempdir().unwrap();
    let mut real = Real::on(&Machine::below(root.path()));
    let resolvconf = |content: Option<&str>| Action::Resolvconf {
        program: "/sbin/resolvconf".to_owned(),
        record: "eth0.netapply".to_owned(),
        content: content.map(str::to_owned),
    };
    assert_eq!(run(real.inverse(&resolvconf(Some("new")))), Some(resolvconf(None)));
    let folder = root.path().join("run/resolvconf/interfaces");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("eth0.netapply"), "nameserver 192.0.2.1\n").unwrap();
    assert_eq!(run(real.inverse(&resolvconf(Some("new")))), Some(resolvconf(Some("nameserver 192.0.2.1\n"))));
}

#[test]
fn a_program_is_judged_by_its_status_and_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let bound = Duration::from_secs(60);
    let outcome = |text: &str| run(program::run(&script(&folder, text), ["-a", "eth0"], "input\n", bound));
    assert_eq!(outcome("grep -q input"), Ok(()));
    assert_eq!(outcome("exit 0"), Ok(()), "one that does not read its input");
    let failed = outcome("echo first >&2; printf 'last\\033[2J' >&2; exit 3").unwrap_err();
    assert_eq!(failed.to_string(), "exited with exit status: 3: last\\u{1b}[2J");
    let absent = run(program::run(Path::new("/nonexistent"), ["-a", "eth0"], "", bound)).unwrap_err();
    assert_eq!(absent, ProgramFailure::Start(nix::errno::Errno::ENOENT));
}

#[test]
fn a_child_that_keeps_standard_error_open_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let child = folder.path().join("child");
    let program = script(&folder, &format!("sleep 1000 & echo $! > {}", child.display()));
    let outcome = run(program::run(&program, ["-a", "eth0"], "", Duration::from_secs(60)));
    assert_eq!(outcome, Ok(()));
    let pid = written_pid(&child);
    kill(pid, None).expect("what the program has left running goes on");
    kill(pid, Signal::SIGKILL).unwrap();
}

#[test]
fn a_program_that_hangs_or_trickles_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let child = folder.path().join("child");
    let bound = Duration::from_millis(500);
    for body in ["wait", "while :; do echo . >&2; sleep 0.05; done"] {
        let _ = fs::remove_file(&child);
        let program = script(&folder, &format!("sleep 1000 & echo $! > {}\n{body}", child.display()));
        let outcome = run(program::run(&program, ["-a", "eth0"], "", bound));
        assert_eq!(outcome, Err(ProgramFailure::Late(bound)));
        assert_ends(written_pid(&child));
    }
}

#[test]
fn a_program_that_times_out_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let child = folder.path().join("child");
    let program = script(&folder, &format!("sleep 1000 & echo $! > {}\nwait", child.display()));
    run(async {
        let hangs = program::run(&program, ["-a", "eth0"], "", Duration::from_secs(600));
        let written = async {
            while !fs::read_to_string(&child).is_ok_and(|text| text.ends_with('\n')) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            _ = hangs => panic!("it hangs"),
            () = written => {}
        }
    });
    assert_ends(written_pid(&child));
}

#[test]
fn a_thread_that_hangs_is_left_behind() {
    let mut worker = Worker::default();
    run(async {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let hangs = worker.run(Duration::from_millis(50), move || held.recv());
        assert_eq!(hangs.await, None);
        // One that was dropped is not waited for either.
        let (release_too, held) = std::sync::mpsc::channel::<()>();
        {
            let hangs = worker.run(Duration::from_secs(600), move || held.recv());
            let _ = tokio::time::timeout(Duration::from_millis(50), hangs).await;
        }
        assert_eq!(worker.run(Duration::from_secs(60), || 7).await, Some(7));
        drop((release, release_too));
    });
}

#[test]
fn a_recorder_makes_what_belongs_to_the_namespace_only() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("proc/sys/net/ipv6/conf/eth0")).unwrap();
    let setting = root.path().join("proc/sys/net/ipv6/conf/eth0/accept_ra");
    fs::write(&setting, "1").unwrap();
    let recorded = Recorded::default();
    let mut recorder = Recorder::before(Real::on(&Machine::below(root.path())), recorded.clone());
    let sysctl = |key: &str| Action::Sysctl { key: key.to_owned(), value: "0".to_owned() };
    for action in [sysctl("net/ipv6/conf/eth0/accept_ra"), sysctl("kernel/hostname"), write("/marker", "")] {
        run(recorder.make(&action)).unwrap();
    }
    assert_eq!(fs::read_to_string(setting).unwrap(), "0");
    assert_eq!(*recorded.borrow(), [sysctl("kernel/hostname"), write("/marker", "")]);
    assert!(!root.path().join("marker").exists());
}
