//! Why something changes: the way to it from the root, and what each step has to do with it.

use crate::inspect::{Pattern, Style, text::printable};
use firn_core::difference::{Difference, Side};
use serde_json::{Value, json};

/// Ways that are shown when a pattern fits more.
const WAYS: usize = 3;

/// The ways to what a pattern fits: first to what changed by itself, then to what changed, then to the rest.
pub(crate) struct Ways(Vec<Vec<(String, &'static str)>>);

/// Finds them; `None` where nothing fits.
pub(crate) fn why(difference: &Difference<'_>, pattern: &Pattern) -> Option<Ways> {
    let by_new = difference.by_new();
    let state = |number: usize| match by_new.get(&number) {
        Some(pair) if pair.own => "changed",
        Some(_) => "by its inputs",
        None if difference.added.contains(&number) => "added",
        None => "the same",
    };
    let fitting = |side: &Side<'_>, number: &usize| pattern.fits(side.store_dir(), side.path(*number));
    let (old, new) = (difference.old, difference.new);
    let mut found: Vec<usize> = (0..new.len()).filter(|number| fitting(new, number)).collect();
    found.sort_by_key(|number| {
        let order = ["changed", "added", "by its inputs", "the same"];
        (order.iter().position(|state_of| *state_of == state(*number)), new.name(*number).len(), *number)
    });
    let step = |number: usize| (new.name(number).to_owned(), state(number));
    let mut ways: Vec<_> = found.iter().take(WAYS).map(|n| new.way(*n).into_iter().map(step).collect()).collect();
    if ways.is_empty() {
        let gone = difference.removed.iter().filter(|number| fitting(old, number)).take(WAYS);
        ways = gone.map(|n| old.way(*n).into_iter().map(|n| (old.name(n).to_owned(), "was")).collect()).collect();
    }
    (!ways.is_empty()).then_some(Ways(ways))
}

impl Ways {
    /// A line for each step.
    pub(crate) fn text(&self, style: Style) -> String {
        let way = |way: &Vec<(String, &'static str)>| {
            let lines = way.iter().enumerate().map(|(depth, (name, state))| {
                let name = printable(name.as_bytes());
                let name = if depth + 1 == way.len() { style.bold(&name) } else { name };
                format!("{}{name}  {}\n", "  ".repeat(depth.min(12)), style.dim(state))
            });
            lines.collect::<String>()
        };
        self.0.iter().map(way).collect::<Vec<_>>().join("\n")
    }

    /// The same as JSON.
    pub(crate) fn json(&self) -> Value {
        let step = |(name, state): &(String, &'static str)| json!({"name": name, "state": state});
        let ways: Vec<Vec<Value>> = self.0.iter().map(|way| way.iter().map(step).collect()).collect();
        json!({"version": 1, "ways": ways})
    }
}
