//! `netapply check`: diagnostics only, for pipelines. Reads the descriptions one after the other, checks them on all
//! cores, and reports them in order.

mod baseline;
mod entry;
mod junit;
mod output;
mod sarif;
mod work;

use std::path::PathBuf;
use std::sync::Arc;

use super::{Exit, block_on, complain, request};
use crate::cli::{Args, OutputFormat};
use crate::fleet::booted::BootedNode;
use crate::format::{Content, many};
use crate::order::Order as _;
use crate::source::{self, Found, Layout, NotFound};
use baseline::Baseline;
use foldhash::HashMap;
use output::CheckOutput;
use work::{CheckJob, Pool};

/// Exit status 3 on any error, 0 with warnings or notes only.
pub(super) fn check(args: &Args) -> Exit {
    let baseline = match args.baseline.as_deref().map(Baseline::read).transpose() {
        Ok(baseline) => baseline.unwrap_or_default(),
        Err(wrong) => {
            complain(&wrong);
            return Exit::Usage;
        }
    };
    let mut output = CheckOutput::new(args, baseline);
    if let Some(path) = &args.fleet_policy {
        match std::fs::read_to_string(path) {
            Ok(text) => output.policy(path, &text),
            Err(error) => {
                complain(&format!("--fleet-policy {path}: {error}"));
                return Exit::Usage;
            }
        }
    }
    match args.reports.as_deref().map(booted).transpose() {
        Ok(booted) => output.booted(booted.unwrap_or_default()),
        Err(wrong) => {
            complain(&wrong);
            return Exit::Usage;
        }
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // One runtime and one look at the machine for all descriptions.
    let done = block_on(async {
        let mut request = request(args, None);
        request.many = true;
        let mut pool = Pool::new(threads, output.options());
        let mut paths = Vec::new();
        let mut missing = HashMap::default();
        for source in &args.sources {
            let directory = if args.merge { Ok(None) } else { source::directory(source, &request).await };
            match directory {
                Ok(Some(directory)) => {
                    output.directory(source, &directory);
                    paths.extend(directory.paths);
                }
                Ok(None) => paths.push(source.clone()),
                Err(problem) => {
                    missing.insert(paths.len(), problem);
                    paths.push(source.clone());
                }
            }
        }
        output.expect(paths.len());
        let mut at = 0;
        while let Some(path) = paths.get(at) {
            if let Some(problem) = missing.remove(&at) {
                pool.give(CheckJob::Missing(path.clone(), problem));
                at += 1;
                continue;
            }
            let end = (at..paths.len()).find(|at| missing.contains_key(at)).unwrap_or(paths.len());
            let mut found = |path: &str, found| {
                give(&mut pool, path, found);
                pool.finished(|checked| output.add(checked));
            };
            at = end - source::find_some(&paths[at..end], &request, &mut found).await.len();
        }
        pool.end(|checked| output.add(checked));
    });
    if let Err(error) = done {
        complain(&format!("cannot start: {error}"));
        return Exit::BadText;
    }
    output.end()
}

/// Submits a description, or each of those in a file.
fn give(pool: &mut Pool, path: &str, found: Result<Found, NotFound>) {
    let mut found = match found {
        Ok(found) => found,
        Err(problem) => return pool.give(CheckJob::Missing(path.to_owned(), problem)),
    };
    // A file may contain several; a drive's description is one machine's.
    if let (Layout::Plain, [document]) = (found.layout, &mut found.documents[..]) {
        let content = Content::new(std::mem::take(&mut document.text));
        let name: Arc<str> = document.name.as_str().into();
        let is_many = many::split(content.text(), &mut |description| {
            pool.give(CheckJob::Part(Arc::clone(&name), Arc::clone(&content), Box::new(description)));
        });
        if is_many {
            return;
        }
        let text = Arc::into_inner(content).map(Content::into_text);
        document.text = text.unwrap_or_default();
    }
    pool.give(CheckJob::One(path.to_owned(), Box::new(found)));
}

/// The inventories and reports in a directory and its subdirectories.
fn booted(directory: &str) -> Result<Vec<BootedNode>, String> {
    /// How deep subdirectories are searched: one per node, one per rack.
    const DEPTH: usize = 4;
    let mut booted = Vec::new();
    let mut next = vec![(PathBuf::from(directory), 0)];
    while let Some((path, depth)) = next.pop() {
        let wrong = |error: std::io::Error| format!("--reports {}: {error}", path.display());
        for entry in std::fs::read_dir(&path).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let path = entry.path();
            let kind = entry.file_type().map_err(wrong)?;
            if kind.is_dir() && depth < DEPTH {
                next.push((path, depth + 1));
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "json") {
                let name = path.display().to_string();
                let text =
                    std::fs::read_to_string(&path).map_err(|error| format!("--reports {name}: {error}"))?;
                let read = BootedNode::read(&name, &text);
                booted.extend(
                    read.map_err(|wrong| format!("--reports {name}: not an inventory or report: {wrong}"))?,
                );
            }
        }
    }
    booted.order_by(|a, b| a.path().cmp(b.path()));
    Ok(booted)
}

/// Whether the diagnostics are for a person.
fn is_text(args: &Args) -> bool {
    !args.json && matches!(args.format, OutputFormat::Text | OutputFormat::Sh | OutputFormat::Mermaid)
}
