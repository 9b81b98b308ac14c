//! Retransmission (RFC 9915, section 15; RFC 7559 has routers solicited in the same form): how long to wait for an answer
//! before a message is sent again, and when to stop. Pure.

use std::time::Duration;

use super::dhcp4::machine::{Moment, Random};

/// First delay, longest delay, and how often or how long at most (RFC 9915, section 7.6); 0 is without a bound.
#[derive(Copy, Clone, Debug)]
pub(super) struct Pace {
    pub(super) first: Duration,
    pub(super) longest: Duration,
    pub(super) times: u32,
    pub(super) whole: Duration,
}

/// The same in seconds.
pub(super) const fn pace(first: u64, longest: u64, times: u32, whole: u64) -> Pace {
    Pace {
        first: Duration::from_secs(first),
        longest: Duration::from_secs(longest),
        times,
        whole: Duration::from_secs(whole),
    }
}

/// An exchange: its number, and when it began.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    /// 24 bits.
    pub(super) id: u32,
    pub(super) began: Moment,
    pub(super) sent: u32,
    delay: Duration,
    /// When the next message is due.
    pub(super) next: Moment,
}

impl Exchange {
    /// The first message is due at once.
    pub(super) fn new(now: Moment, random: Random<'_>) -> Exchange {
        Exchange { id: random() & 0xff_ffff, began: now, sent: 0, delay: Duration::ZERO, next: now }
    }

    /// The first message waits for up to so long, so that the machines of a rack do not ask at the same moment.
    pub(super) fn delayed(now: Moment, most: Duration, random: Random<'_>) -> Exchange {
        let mut exchange = Exchange::new(now, random);
        exchange.next = now + part(most, random);
        exchange
    }

    /// Each delay is twice the one before; up to a tenth of the first delay, of the one before or of the longest is added
    /// or taken away. `longer` has the first one longer than its base, so that all servers have their time.
    pub(super) fn sent(&mut self, now: Moment, pace: Pace, longer: bool, random: Random<'_>) {
        let first = self.sent == 0;
        self.sent = self.sent.saturating_add(1);
        let (base, tenth) = match first {
            true => (pace.first, pace.first / 10),
            false => (self.delay * 2, self.delay / 10),
        };
        let is_capped = pace.longest > Duration::ZERO && base > pace.longest;
        let (base, tenth) = if is_capped { (pace.longest, pace.longest / 10) } else { (base, tenth) };
        self.delay = match first && longer {
            true => base + part(tenth, random).max(Duration::from_millis(1)),
            false => base - tenth + part(tenth * 2, random),
        };
        self.next = now + self.delay;
        if pace.whole > Duration::ZERO {
            self.next = self.next.min(self.began + pace.whole);
        }
    }

    pub(super) fn is_over(&self, pace: Pace, now: Moment) -> bool {
        pace.times > 0 && self.sent >= pace.times
            || pace.whole > Duration::ZERO && self.sent > 0 && now >= self.began + pace.whole
    }
}

/// A time in milliseconds, as files keep it.
pub(super) fn millis(time: Moment) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A part of this duration, by chance.
pub(super) fn part(whole: Duration, random: Random<'_>) -> Duration {
    Duration::from_millis(u64::from(random()) % (millis(whole) + 1))
}
