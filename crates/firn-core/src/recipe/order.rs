//! In which order derivations and sources travel, and which path stands for what.

use super::{RecipeError, state::Reference};
use crate::{derivation::Front, hash, store_path::StoreDir};
use foldhash::{HashMap, HashSet};
use memchr::memmem::Finder;

/// What a store path of the closure may stand for, by its hash part.
pub(super) type Targets = HashMap<[u8; 20], Vec<Target>>;

/// One thing that a store path may stand for. Several fixed-output derivations may have the same output path.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The whole base name.
    pub(super) base: Box<[u8]>,
    pub(super) reference: Reference,
}

/// What one derivation wants, as references to derivations and sources by number.
#[derive(Debug, Clone, Default)]
pub(super) struct Wants {
    /// In the order of their first appearance in builder, arguments and environment; those that do not appear last.
    pub(super) derivations: Vec<u32>,
    /// Likewise.
    pub(super) sources: Vec<u32>,
}

/// Adds a target.
pub(super) fn add_target(targets: &mut Targets, base: &[u8], reference: Reference) {
    if let Some(digest) = base.get(..32).and_then(hash::from_base32::<20>) {
        // One is the rule, and a growing list would begin with room for four.
        let list = targets.entry(digest).or_insert_with(|| Vec::with_capacity(1));
        list.push(Target { base: base.into(), reference });
    }
}

/// Calls `found` for all targets of each store path in a text.
fn for_each_path<'a>(text: &[u8], prefix: &Finder<'_>, targets: &'a Targets, mut found: impl FnMut(&'a [Target])) {
    let mut at = 0;
    while let Some(n) = prefix.find(&text[at..]) {
        at += n + prefix.needle().len();
        if let Some(list) = text.get(at..at + 32).and_then(hash::from_base32::<20>).and_then(|d| targets.get(&d)) {
            found(list);
        }
    }
}

/// What a derivation wants, by the numbers of `actual` references.
pub(super) fn wants(front: &Front<'_>, prefix: &Finder<'_>, targets: &Targets, actual: &[Reference]) -> Wants {
    let mut wants = Wants::default();
    let mut noted = HashSet::default();
    let mut note = |reference: Reference| {
        let (list, whole, number) = match reference {
            Reference::Output(n, _) | Reference::Derivation(n) => (&mut wants.derivations, Reference::Derivation(n), n),
            Reference::Source(n) => (&mut wants.sources, reference, n),
        };
        if noted.insert(whole) {
            list.push(number);
        }
    };
    // No byte of a path is ever escaped.
    for_each_path(front.rest, prefix, targets, |list| {
        if let Some(target) = list.iter().find(|t| actual.binary_search(&t.reference).is_ok()) {
            note(target.reference);
        }
    });
    actual.iter().for_each(|reference| note(*reference));
    wants.derivations.shrink_to_fit();
    wants.sources.shrink_to_fit();
    wants
}

/// Depth-first post-order of derivations: from the roots, inputs in reverse order of appearance, so that what appears
/// first is on top of the stack. What no root reaches comes after, in the order given.
pub(super) fn derivations(wants: &[Wants], roots: &[u32]) -> Result<Vec<u32>, RecipeError> {
    let mut state = vec![0u8; wants.len()];
    let mut order = Vec::with_capacity(wants.len());
    let mut stack: Vec<(u32, usize)> = Vec::new();
    let all = 0..wants.len() as u32;
    for start in roots.iter().copied().chain(all) {
        if state[start as usize] != 0 {
            continue;
        }
        state[start as usize] = 1;
        stack.push((start, 0));
        while let Some((node, done)) = stack.last_mut() {
            let inputs = &wants[*node as usize].derivations;
            if *done == inputs.len() {
                state[*node as usize] = 2;
                order.push(*node);
                stack.pop();
                continue;
            }
            *done += 1;
            let next = inputs[inputs.len() - *done];
            match state[next as usize] {
                0 => {
                    state[next as usize] = 1;
                    stack.push((next, 0));
                }
                1 => return Err(RecipeError::Cycle),
                _ => {}
            }
        }
    }
    Ok(order)
}

/// References of a derivation by number: every wanted output, every source, and every derivation among the sources.
pub(super) fn actual(
    front: &Front<'_>,
    store_dir: &StoreDir,
    number: &dyn Fn(&[u8]) -> Option<Reference>,
    output: &dyn Fn(u32, &[u8]) -> Option<u32>,
) -> Option<Vec<Reference>> {
    let prefix = store_dir.as_str().len() + 1;
    let mut references = Vec::new();
    let mut wanted = front.wanted.as_slice();
    for (path, outputs) in &front.inputs {
        let Reference::Derivation(id) = number(path.get(prefix..)?)? else { return None };
        // An input of which no output is wanted has no place in a record.
        if *outputs == 0 {
            return None;
        }
        let (names, after) = wanted.split_at_checked(*outputs)?;
        wanted = after;
        for name in names {
            references.push(Reference::Output(id, output(id, name)?));
        }
    }
    for source in &front.sources {
        references.push(number(source.get(prefix..)?)?);
    }
    references.sort_unstable();
    references.dedup();
    references.shrink_to_fit();
    Some(references)
}
