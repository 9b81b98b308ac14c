//! A thread for blocking calls, so that the runtime never blocks.

use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

type Job = Box<dyn FnOnce() + Send>;

/// A thread started by the first job; it is abandoned if a job does not end.
#[derive(Debug, Default)]
pub(super) struct Worker {
    jobs: Option<Sender<Job>>,
    /// A job was given up and may still be running.
    busy: bool,
}

impl Worker {
    /// Runs `job` on the thread; `None` if it has not ended within `bound`. If no thread can be created, it is run
    /// here.
    pub(super) async fn run<T: Send + 'static>(
        &mut self,
        bound: Duration,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.busy {
            self.jobs = None;
        }
        self.busy = true;
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move || drop(sender.send(job())));
        if self.jobs.is_none() {
            self.jobs = start();
        }
        match &self.jobs {
            Some(jobs) => drop(jobs.send(job)),
            None => job(),
        }
        let result = timeout(bound, receiver).await.ok()?.ok();
        self.busy = false;
        result
    }
}

/// The thread has the namespaces of the one that starts it.
fn start() -> Option<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    let work = move || jobs.into_iter().for_each(|job| job());
    thread::Builder::new().name("effects".to_owned()).spawn(work).ok().map(|_| sender)
}
