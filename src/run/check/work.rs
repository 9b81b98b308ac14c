//! Descriptions are checked by as many threads as there are cores; results arrive in the order of the descriptions.
//! Entry: [`Pool`].

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::super::{parse, unreadable};
use crate::diagnostic::{DiagnosticRecord, Renderer};
use crate::fleet::FleetNode;
use crate::format::many::Description;
use crate::format::{self, Content, Parsed};
use crate::page::{Page, Style};
use crate::source::{Found, NotFound};

/// How many descriptions may wait for a thread, which limits memory.
const WAITING: usize = 512;

/// A description to be checked.
pub(super) enum CheckJob {
    /// It cannot be read.
    Missing(String, NotFound),
    /// A source with one description.
    One(String, Box<Found>),
    /// One of many in a file with this name and content.
    Part(Arc<str>, Arc<Content>, Box<Description>),
}

/// How descriptions are checked.
#[derive(Copy, Clone, Debug)]
pub(super) struct CheckOptions {
    /// Also report what Ironic's API would reject.
    pub(super) for_ironic: bool,
    /// If diagnostics are shown to a person, how.
    pub(super) style: Option<Style>,
    /// Keep the facts that are compared with other nodes.
    pub(super) facts: bool,
}

/// The result for a description.
pub(super) struct Checked {
    /// The path of the file or drive.
    pub(super) source: String,
    /// The node's name in a file with many.
    pub(super) node: Option<String>,
    pub(super) format: &'static str,
    /// Each diagnostic, with its text if a person reads it.
    pub(super) diagnostics: Vec<(DiagnosticRecord, Page)>,
    pub(super) facts: Option<FleetNode>,
}

/// The threads.
pub(super) struct Pool {
    jobs: Option<SyncSender<(usize, CheckJob)>>,
    results: Receiver<(usize, Checked)>,
    given: usize,
    /// The number of the next one to report.
    next: usize,
    /// Finished ones that come after it.
    early: BTreeMap<usize, Checked>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    pub(super) fn new(threads: usize, options: CheckOptions) -> Pool {
        let (jobs, queue) = sync_channel(WAITING);
        let (to, results) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let start = |_| {
            let (queue, to) = (Arc::clone(&queue), to.clone());
            std::thread::spawn(move || work(&queue, &to, options))
        };
        let threads = (0..threads).map(start).collect();
        Pool { jobs: Some(jobs), results, given: 0, next: 0, early: BTreeMap::new(), threads }
    }

    /// Submits one; waits if too many are pending.
    pub(super) fn give(&mut self, job: CheckJob) {
        if let Some(jobs) = &self.jobs {
            // The threads end after this.
            let _ = jobs.send((self.given, job));
            self.given += 1;
        }
    }

    /// Reports those that are finished, in order.
    pub(super) fn finished(&mut self, mut tell: impl FnMut(Checked)) {
        while let Ok((number, checked)) = self.results.try_recv() {
            self.early.insert(number, checked);
        }
        self.in_order(&mut tell);
    }

    fn in_order(&mut self, tell: &mut dyn FnMut(Checked)) {
        while let Some(checked) = self.early.remove(&self.next) {
            self.next += 1;
            tell(checked);
        }
    }

    /// Waits for the remaining ones and reports them.
    pub(super) fn end(mut self, mut tell: impl FnMut(Checked)) {
        self.jobs = None;
        while self.next < self.given {
            let Ok((number, checked)) = self.results.recv() else { break };
            self.early.insert(number, checked);
            self.in_order(&mut tell);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn work(queue: &Mutex<Receiver<(usize, CheckJob)>>, to: &Sender<(usize, Checked)>, options: CheckOptions) {
    loop {
        // Only the waiting is under the lock.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, job)) = job else { return };
        if to.send((number, checked(job, options))).is_err() {
            return;
        }
    }
}

fn checked(job: CheckJob, options: CheckOptions) -> Checked {
    let mut host_name = None;
    let (source, node, mut parsed) = match job {
        CheckJob::Missing(source, problem) => {
            let parsed = unreadable(&source, &problem);
            (source, None, parsed)
        }
        CheckJob::One(source, found) => {
            host_name = host_name_of(&source, &found);
            (source, None, parse(&found))
        }
        CheckJob::Part(name, content, description) => {
            let node = description.node.clone();
            (name.to_string(), Some(node), description.read(&name, &content))
        }
    };
    if options.for_ironic {
        format::for_ironic(&mut parsed);
    }
    let Parsed { desired, diagnostics, texts, format } = parsed;
    let facts = options.facts.then(|| {
        let name = node.clone().unwrap_or_else(|| source.clone());
        let files = texts.iter().map(|text| text.name.clone()).collect();
        FleetNode::new(name, files, &desired, host_name)
    });
    let renderer = Renderer { texts: &texts, style: options.style.unwrap_or_default() };
    let diagnostics = diagnostics
        .iter()
        .map(|diagnostic| {
            let shown = options.style.map(|_| renderer.render(diagnostic)).unwrap_or_default();
            (renderer.record(diagnostic), shown)
        })
        .collect();
    Checked { source, node, format, diagnostics, facts }
}

/// The host name on a drive, and its place.
fn host_name_of(source: &str, found: &Found) -> Option<(String, String, u32)> {
    let name = found.metadata.hostname.clone()?;
    let (file, line) = found.metadata.hostname_at.clone()?;
    // Files in a directory are real files; those of an image exist only in it.
    let file = std::path::Path::new(source).join(file).display().to_string();
    Some((name, file, line))
}
