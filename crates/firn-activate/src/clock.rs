//! Time, handed in.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A moment, on the two clocks that matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Milliseconds since 1970, as people have it. It may jump.
    pub unix_ms: u64,
    /// Milliseconds since the host started, suspended time among them. It never jumps.
    pub boot_ms: u64,
    /// The same without suspended time, as systemd has it in its timestamps.
    #[serde(default)]
    pub monotonic_ms: u64,
    /// Which start of the host `boot_ms` counts from.
    pub boot_id: String,
}

impl Moment {
    /// This much later.
    pub fn after(&self, duration: Duration) -> Self {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            unix_ms: self.unix_ms.saturating_add(ms),
            boot_ms: self.boot_ms.saturating_add(ms),
            monotonic_ms: self.monotonic_ms.saturating_add(ms),
            boot_id: self.boot_id.clone(),
        }
    }

    /// How long until `other`; zero if it is past, or belongs to another start of the host.
    pub fn until(&self, other: &Self) -> Duration {
        if self.boot_id != other.boot_id {
            return Duration::ZERO;
        }
        Duration::from_millis(other.boot_ms.saturating_sub(self.boot_ms))
    }
}

/// Tells the time and lets it pass.
pub trait Clock {
    /// Now.
    fn now(&self) -> Moment;
    /// Waits.
    fn sleep(&self, duration: Duration);
}

/// The clock of this host.
#[derive(Debug, Clone, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment {
            unix_ms: ms(ClockId::Realtime),
            boot_ms: ms(ClockId::Boottime),
            monotonic_ms: ms(ClockId::Monotonic),
            boot_id: boot_id(),
        }
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// Containers share the kernel's boot id with their machine, so the start of PID 1 is part of it.
fn boot_id() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let start = crate::session::start_ticks(1).unwrap_or(0);
    format!("{}-{start}", kernel.trim())
}

fn ms(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}
