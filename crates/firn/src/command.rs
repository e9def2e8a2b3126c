//! One command a file: its flags, and how it calls its pipeline.

pub mod activate;
pub mod convert;
pub mod diff;
pub mod elevate;
pub mod generations;
pub mod import;
pub mod inspect;
pub mod pack;
pub mod realise;
pub mod rollback;
pub mod status;
mod subject;
pub mod verify;
