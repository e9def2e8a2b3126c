//! One command a file: its flags, and how it calls its pipeline.

pub mod convert;
pub mod import;
pub mod inspect;
pub mod pack;
pub mod realise;
pub mod verify;
