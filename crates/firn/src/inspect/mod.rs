//! What `firn inspect` shows: read from a file, found in it, and as data and as text for people.

mod derivation;
mod files;
pub(crate) mod find;
pub(crate) mod load;
mod pattern;
mod summary;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod ways;

pub use derivation::{derivation_json, derivation_text};
pub use files::{Order, SourceFile, SourceFiles};
pub use pattern::Pattern;
pub use summary::{SectionLine, Summary};
pub use text::Style;
pub use ways::{Step, Way, Ways};
