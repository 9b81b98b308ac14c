//! A program of the image: resolvconf(8), which is a shell script that runs others.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, Command};
use tokio::time::timeout;

use crate::kernel::errno;
use crate::kernel::trouble::{ProgramFailure, Trouble};

/// How long a program may take, its children included.
pub const PROGRAM_BOUND: Duration = Duration::from_secs(15);

/// How long to wait for the rest of an exited program's output: a child may keep standard error open.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How much of a program's output is kept, in bytes: the end of it.
const KEPT: usize = 4096;

/// The process group of a program, killed when it is dropped before the program has exited.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Runs `PROGRAM -a RECORD` with the content on its standard input, or `PROGRAM -d RECORD`. `shown` is the program's
/// path on the machine.
pub(super) async fn resolvconf(
    program: &Path,
    shown: &str,
    record: &str,
    content: Option<&str>,
) -> Result<(), Trouble> {
    let verb = if content.is_some() { "-a" } else { "-d" };
    let result = run(program, [verb, record], content.unwrap_or_default(), PROGRAM_BOUND).await;
    result.map_err(|failure| Trouble::Program { program: format!("{shown} {verb} {record}"), failure })
}

/// Runs a program in a process group of its own, which is killed if it does not exit within `bound`.
pub(super) async fn run(
    program: &Path,
    arguments: [&str; 2],
    input: &str,
    bound: Duration,
) -> Result<(), ProgramFailure> {
    let start = |error: std::io::Error| ProgramFailure::Start(errno(&error));
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.process_group(0);
    let mut child = command.spawn().map_err(start)?;
    let mut group = Group(child.id().map(|id| Pid::from_raw(id as i32)));
    let (stdin, mut output) = (child.stdin.take(), child.stderr.take());
    let mut words = Vec::new();
    let status = {
        let talk = async {
            tokio::join!(feed(stdin, input), listen(&mut output, &mut words));
            std::future::pending::<()>().await;
        };
        let exited = async {
            tokio::select! {
                biased;
                () = talk => None,
                status = child.wait() => Some(status),
            }
        };
        timeout(bound, exited).await
    };
    let status = match status {
        Ok(Some(Ok(status))) => status,
        Ok(Some(Err(error))) => return Err(start(error)),
        Ok(None) | Err(_) => return Err(ProgramFailure::Late(bound)),
    };
    // Processes that it leaves running are intended.
    group.0 = None;
    let _ = timeout(LAST_WORDS, listen(&mut output, &mut words)).await;
    judge(status, &words)
}

/// A program that exits without reading its input is judged by its status.
async fn feed(input: Option<ChildStdin>, content: &str) {
    if let Some(mut input) = input {
        let _ = input.write_all(content.as_bytes()).await;
    }
}

async fn listen(output: &mut Option<ChildStderr>, words: &mut Vec<u8>) {
    let Some(output) = output else { return };
    let mut part = [0; 1024];
    while let Ok(length @ 1..) = output.read(&mut part).await {
        words.extend_from_slice(&part[..length]);
        let surplus = words.len().saturating_sub(KEPT);
        words.drain(..surplus);
    }
}

fn judge(status: ExitStatus, words: &[u8]) -> Result<(), ProgramFailure> {
    if status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(words);
    let last = words.trim().lines().last().unwrap_or_default().to_owned();
    Err(ProgramFailure::Status { status, words: crate::diagnostic::printable(last) })
}
