//! Reads that may take long, or for ever: a CD that spins up, a BMC whose virtual medium hangs. Each runs in a thread of
//! its own and is given up after a bound; the thread is then left behind. Entry: [`start`].

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UnixStream;

/// A read on its way.
pub(super) struct Job<T> {
    result: Arc<Mutex<Option<T>>>,
    /// Closed by the thread when the result is there.
    done: UnixStream,
}

/// Runs `read` in a new thread, because a thread of a pool could not be given up.
pub(super) fn start<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> io::Result<Job<T>> {
    let (done, signal) = StdStream::pair()?;
    done.set_nonblocking(true)?;
    let result = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&result);
    std::thread::Builder::new().spawn(move || {
        let value = read();
        if let Ok(mut slot) = slot.lock() {
            *slot = Some(value);
        }
        drop(signal);
    })?;
    Ok(Job { result, done: UnixStream::from_std(done)? })
}

impl<T> Job<T> {
    /// The result, or `None` if it did not come in time.
    pub(super) async fn finish(self, bound: Duration) -> Option<T> {
        let _ = tokio::time::timeout(bound, self.done.readable()).await;
        self.result.lock().ok()?.take()
    }
}

/// Runs `read` in a new thread and waits for it, at most `bound`.
pub(super) async fn run<T: Send + 'static>(
    bound: Duration,
    read: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    start(read).ok()?.finish(bound).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_result_comes_and_a_hanging_read_is_given_up() {
        block_on(async {
            assert_eq!(run(Duration::from_secs(60), || 7).await, Some(7));
            let (send, receive) = std::sync::mpsc::channel::<()>();
            let hanging = run(Duration::from_millis(10), move || receive.recv().is_ok()).await;
            assert_eq!(hanging, None);
            drop(send);
        });
    }
}
