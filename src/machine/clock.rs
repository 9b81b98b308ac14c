//! A clock that continues during suspend and cannot be set: the time of day may be wrong this early.

use std::future::pending;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, TimerFd, TimerFlags};
use nix::time::{ClockId, clock_gettime};
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

/// The time since the machine was started (CLOCK_BOOTTIME).
pub fn uptime() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// A timer of this clock, for a program that is idle for hours: tokio's timers do not count a suspend, and wake the
/// program several times on the way to a distant moment (they move down the levels of a wheel).
#[derive(Debug, Default)]
pub struct Alarm {
    timer: Option<AsyncFd<OwnedFd>>,
    /// What the timer is set for.
    set: Option<Duration>,
}

impl Alarm {
    /// Waits until that moment, however far away: the caller chooses it. Never ends for `None`. Cancel safe.
    pub async fn at(&mut self, moment: Option<Duration>) {
        let Some(moment) = moment else { return pending().await };
        while uptime() < moment {
            if self.set != Some(moment) {
                self.set = self.start(moment).map(|()| moment);
            }
            match (&self.timer, self.set) {
                (Some(timer), Some(_)) => match timer.readable().await {
                    Ok(mut ready) => ready.clear_ready(),
                    Err(_) => self.timer = None,
                },
                // There are no more descriptors.
                _ => sleep(moment.saturating_sub(uptime())).await,
            }
        }
    }

    fn start(&mut self, moment: Duration) -> Option<()> {
        if self.timer.is_none() {
            let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
            let timer = TimerFd::new(timerfd::ClockId::CLOCK_BOOTTIME, flags).ok()?;
            // SAFETY: an OwnedFd keeps its one descriptor open until it is dropped, and nothing here replaces it.
            self.timer = unsafe { AsyncFd::register(OwnedFd::from(timer)) }.ok();
        }
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let once = libc::itimerspec { it_interval: never, it_value: *TimeSpec::from(moment).as_ref() };
        let timer = self.timer.as_ref()?.get_ref().as_raw_fd();
        // SAFETY: the kernel only reads the structure, and writes no old one.
        let set =
            unsafe { libc::timerfd_settime(timer, libc::TFD_TIMER_ABSTIME, &once, std::ptr::null_mut()) };
        (set == 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alarm_ends_at_its_moment_however_it_was_set_before() {
        let mut alarm = Alarm::default();
        let begin = uptime();
        let far = begin + Duration::from_secs(3600);
        for milliseconds in [30, 0, 60] {
            let moment = begin + Duration::from_millis(milliseconds);
            // Another event comes first, and the timer is set anew.
            tokio::select! {
                biased;
                () = alarm.at(Some(far)) => panic!("an hour has not passed"),
                () = tokio::task::yield_now() => {}
            }
            alarm.at(Some(moment)).await;
            assert!((moment..far).contains(&uptime()));
        }
        tokio::select! {
            biased;
            () = alarm.at(None) => panic!("nothing was set"),
            () = tokio::task::yield_now() => {}
        }
    }
}
