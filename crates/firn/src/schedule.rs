//! Runs jobs on a few threads, in the order given, within a budget of memory.

use std::sync::{Condvar, Mutex, PoisonError};

/// Memory that jobs share. One job that needs more than all of it runs alone.
#[derive(Debug)]
pub(crate) struct Budget {
    total: u64,
    state: Mutex<Use>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Use {
    bytes: u64,
    jobs: usize,
}

/// A share of a [`Budget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(total: u64) -> Self {
        Self { total, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits until `bytes` are free and fewer than `jobs` jobs run.
    pub(crate) fn take(&self, bytes: u64, jobs: usize) -> Share<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.jobs > 0 && (state.jobs >= jobs.max(1) || state.bytes.saturating_add(bytes) > self.total) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.jobs += 1;
        state.bytes = state.bytes.saturating_add(bytes);
        Share { budget: self, bytes }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.jobs -= 1;
        state.bytes = state.bytes.saturating_sub(self.bytes);
        self.budget.changed.notify_all();
    }
}

/// How many threads to use when nobody says.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn jobs_never_hold_more_than_the_budget_unless_alone() {
        let budget = Budget::new(10);
        let held = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for bytes in [4, 6, 3, 20, 9, 1, 10, 2] {
                let share = budget.take(bytes, 3);
                let held = &held;
                scope.spawn(move || {
                    let now = held.fetch_add(share.bytes, Ordering::SeqCst) + share.bytes;
                    assert!(now <= 10 || now == 20, "{now}");
                    held.fetch_sub(share.bytes, Ordering::SeqCst);
                });
            }
        });
    }
}
