//! A clock that continues during suspend and cannot be set: the time of day may be wrong this early.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The time since the machine was started (CLOCK_BOOTTIME).
pub fn uptime() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}
