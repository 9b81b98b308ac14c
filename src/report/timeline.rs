//! Where a run's time goes: each phase with its start, its length, and what was waited for.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::machine::clock;
use serde::{Deserialize, Serialize};

use crate::page::Page;

/// The phases of a run, from the start of its process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// When the process started, in seconds since the kernel's boot.
    pub uptime: f64,
    /// In the order in which they ended.
    pub phases: Vec<Phase>,
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// What was done.
    pub name: String,
    /// When it began, in seconds since the process started.
    pub begin: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What was waited for, from the last progress line; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<String>,
}

impl Timeline {
    /// A line for each phase, including gaps that belong to no phase.
    pub fn page(&self) -> Page {
        let mut page = Page::default();
        page.line(format_args!(
            "   begin  length  phase (of a process that started {:.3} s after the kernel)",
            self.uptime
        ));
        for phase in &self.phases {
            let Phase { name, begin, seconds, waited_for } = phase;
            let why = waited_for.as_ref().map_or_else(String::new, |what| format!(": {what}"));
            page.line(format_args!("{begin:8.3}{seconds:8.3}  {name}{why}"));
        }
        page
    }
}

/// Measures the phases of a run.
#[derive(Debug)]
pub struct Clock {
    /// The process's start on this clock.
    start: Instant,
    timeline: RefCell<Timeline>,
    waited_for: RefCell<Option<String>>,
}

impl Clock {
    /// Begins with the phase `start`: the time of the kernel and the loader.
    pub fn start() -> Clock {
        let now = Instant::now();
        let uptime = clock::uptime();
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let started = started(&stat).unwrap_or(uptime).min(uptime);
        let clock = Clock {
            start: now.checked_sub(uptime - started).unwrap_or(now),
            timeline: RefCell::new(Timeline { uptime: started.as_secs_f64(), phases: Vec::new() }),
            waited_for: RefCell::default(),
        };
        clock.end("start", clock.start);
        clock
    }

    /// Measures a phase.
    pub async fn during<T>(&self, name: &str, phase: impl Future<Output = T>) -> T {
        let begin = Instant::now();
        let result = phase.await;
        self.end(name, begin);
        result
    }

    /// Ends a phase that began then.
    pub fn end(&self, name: &str, begin: Instant) {
        let seconds = |d: Duration| (d.as_secs_f64() * 1e6).round() / 1e6;
        let phase = Phase {
            name: name.to_owned(),
            begin: seconds(begin.saturating_duration_since(self.start)),
            seconds: seconds(begin.elapsed()),
            waited_for: self.waited_for.take(),
        };
        log::debug!("{name}: {:.3} s from {:.3} s", phase.seconds, phase.begin);
        self.timeline.borrow_mut().phases.push(phase);
    }

    /// Records what the current phase waits for.
    pub fn waits_for(&self, what: &str) {
        *self.waited_for.borrow_mut() = Some(what.to_owned());
    }

    /// The phases so far.
    pub fn timeline(&self) -> Timeline {
        self.timeline.borrow().clone()
    }
}

/// When a process started, from its /proc/PID/stat (proc_pid_stat(5)): field 22, in clock ticks since boot. The name,
/// field 2, may contain spaces and parentheses.
fn started(stat: &str) -> Option<Duration> {
    let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    Some(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_have_their_begin_and_what_was_waited_for() {
        let clock = Clock::start();
        let begin = Instant::now();
        clock.waits_for("waiting for a drive");
        clock.end("drive", begin);
        clock.end("plan", begin);
        let Timeline { phases, .. } = clock.timeline();
        let names: Vec<&str> = phases.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["start", "drive", "plan"]);
        assert!(phases[1].begin >= phases[0].seconds, "{phases:?}");
        assert_eq!(phases[1].waited_for.as_deref(), Some("waiting for a drive"));
        assert_eq!(phases[2].waited_for, None);
    }

    #[test]
    fn the_start_of_a_process_is_its_22nd_field() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 1234 0 0";
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).unwrap().unwrap();
        assert_eq!(started(stat).unwrap().as_secs_f64(), 1234.0 / per_second as f64);
        assert_eq!(started(""), None);
    }
}
