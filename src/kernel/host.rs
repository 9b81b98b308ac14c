//! The steps that are no netlink: a sysctl, a file, a program.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::apply::Trouble;

/// How long resolvconf(8) may take; it is a shell script that runs others.
const PROGRAM_BOUND: Duration = Duration::from_secs(30);

/// Writes a value below /proc/sys.
pub(super) fn sysctl(key: &str, value: &str) -> Result<(), Trouble> {
    let path = Path::new("/proc/sys").join(key);
    fs::write(&path, value).map_err(|error| file_trouble(&path, &error))
}

/// Writes a file whole: what reads it sees the old content or the new, never a part. Makes its folder.
pub(super) fn write_file(path: &Path, content: &str) -> Result<(), Trouble> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(|error| file_trouble(folder, &error))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.netapply"));
    let written = fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    written.or_else(|error| {
        let _ = fs::remove_file(&temporary);
        let errno = error.raw_os_error().map(Errno::from_raw);
        match errno {
            // Somebody has mounted a file over it, as containers do with /etc/resolv.conf: nothing can take its place.
            Some(Errno::EBUSY | Errno::EXDEV) => fs::write(path, content).map_err(|e| file_trouble(path, &e)),
            _ => Err(file_trouble(path, &error)),
        }
    })
}

/// Removes a file; one that is not there is removed already.
pub(super) fn remove_file(path: &Path) -> Result<(), Trouble> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_trouble(path, &error)),
        _ => Ok(()),
    }
}

/// Runs `PROGRAM -a RECORD` with the content on its standard input, or `PROGRAM -d RECORD`, within a bound.
pub(super) fn resolvconf(program: &str, record: &str, content: Option<&str>) -> Result<(), Trouble> {
    let trouble = |why: String| Trouble::Program { program: program.to_owned(), why };
    let mut command = Command::new(program);
    command
        .args([if content.is_some() { "-a" } else { "-d" }, record])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| trouble(words(&error)))?;
    let pid = Pid::from_raw(child.id() as i32);
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading is judged by its status.
        let _ = stdin.write_all(content.unwrap_or_default().as_bytes());
    }
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match ended.recv_timeout(PROGRAM_BOUND) {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.trim().lines().last().unwrap_or_default();
            Err(trouble(format!("ended with {}: {last}", output.status)))
        }
        Ok(Err(error)) => Err(trouble(words(&error))),
        Err(_) => {
            let _ = kill(pid, Signal::SIGKILL);
            Err(trouble(format!("did not end within {} s", PROGRAM_BOUND.as_secs())))
        }
    }
}

fn file_trouble(path: &Path, error: &io::Error) -> Trouble {
    Trouble::File { path: path.to_owned(), why: words(error) }
}

/// An error of the system in words that do not depend on the C library.
pub(super) fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("links/bond0");
        for content in ["first\n", "second\n"] {
            write_file(&path, content).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let refused = write_file(&path.join("below"), "").unwrap_err();
        assert!(refused.to_string().contains("links/bond0: "), "{refused}");
    }

    #[test]
    fn a_program_is_judged_by_its_status_and_last_words() {
        assert_eq!(resolvconf("/bin/true", "eth0.netapply", Some("nameserver 192.0.2.53\n")), Ok(()));
        let failed = resolvconf("/bin/cat", "eth0.netapply", Some("")).unwrap_err().to_string();
        assert!(failed.starts_with("/bin/cat: ended with exit status: 1: "), "{failed}");
        let absent = resolvconf("/nonexistent", "eth0.netapply", Some("")).unwrap_err();
        assert_eq!(absent.to_string(), "/nonexistent: No such file or directory");
    }
}
