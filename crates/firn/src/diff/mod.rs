//! What changes from one system to another, as data and as text for people.

mod end;
mod lines;
mod report;
mod show;
mod sources;
#[cfg(test)]
mod tests;
mod why;

pub(crate) use end::{End, against_current, ends};
pub use lines::Line;
pub use report::{Causes, FieldLines, Item, Named, Package, Report, SourceChange, Totals};
pub use sources::{FileChange, SourceChanges};
pub(crate) use why::why;
