//! From a realised NixOS system to a running one, and back.
//!
//! Goal and facts give a plan; an executor in a process of its own does its steps, with a journal on disk that is always
//! one state ahead. Of files and stores this crate knows nothing but the path of a system.
#![forbid(unsafe_code)]

pub mod back;
pub mod clock;
pub mod config;
mod error;
pub mod facts;
pub mod goal;
pub mod guard;
pub mod health;
pub mod hold;
mod host;
pub mod imported;
pub mod journal;
pub mod launch;
pub mod loader;
pub mod log;
pub mod machine;
pub mod outcome;
pub mod plan;
pub mod profile;
pub mod prune;
pub mod record;
pub mod resume;
mod revert;
pub mod script;
pub mod session;
pub mod supervise;

pub use error::ActivateError;
pub use host::Host;
