//! What a store folder is after we wrote it, and after we could not.

mod contract;
mod faults;
mod hostile;
mod reading;
mod scene;
