//! Reads that may take long, or for ever: a CD that spins up, a BMC whose virtual medium hangs. Each runs in a thread of
//! its own and is given up after a bound; the thread is then left behind. Entry: [`start`].

use std::io;
use std::time::Duration;
use tokio::sync::oneshot;

/// A read on its way.
pub(super) struct Job<T>(oneshot::Receiver<T>);

/// Runs `read` in a new thread, because a thread of a pool could not be given up.
pub(super) fn start<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> io::Result<Job<T>> {
    let (result, job) = oneshot::channel();
    // Who has given the read up does not take its result.
    std::thread::Builder::new().spawn(move || drop(result.send(read())))?;
    Ok(Job(job))
}

impl<T> Job<T> {
    /// The result, or `None` if it did not come in time.
    pub(super) async fn finish(self, bound: Duration) -> Option<T> {
        tokio::time::timeout(bound, self.0).await.ok()?.ok()
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
