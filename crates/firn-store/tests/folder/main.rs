//! What a store folder is after we wrote it, and after we could not.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail and speak as tests do")]

mod contract;
mod faults;
mod hostile;
mod reading;
mod scene;
