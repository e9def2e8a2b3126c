//! What follows from the values of a record: inputs, implied variables, outputs and their paths (docs/format-recipe.md, 4.2).

use super::{
    exceptions::Exceptions,
    hash_text,
    state::{Reference, State},
};
use crate::{
    derivation::{self, Derivation, FixedOutput, Input, Output, attributes, hash_modulo, output_path},
    hash::Sha256,
    store_path::{StorePath, StorePathError},
};
use std::collections::{BTreeMap, BTreeSet};

/// Variables that repeat a field, unless attributes are structured.
pub(super) const IMPLIED: [&[u8]; 3] = [b"name", b"builder", b"system"];

impl State {
    /// Fills inputs and sources; the ids of the inputs in the order of the list.
    pub(super) fn set_inputs(&self, drv: &mut Derivation, references: &BTreeSet<Reference>) -> Option<Vec<u32>> {
        let mut inputs: BTreeMap<&StorePath, (u32, BTreeSet<&[u8]>)> = BTreeMap::new();
        let mut sources: BTreeSet<&StorePath> = BTreeSet::new();
        for reference in references {
            match *reference {
                Reference::Output(id, output) => {
                    let known = self.known.get(id as usize)?;
                    let output = &known.outputs.get(output as usize)?.name;
                    inputs.entry(&known.path).or_insert_with(|| (id, BTreeSet::new())).1.insert(output);
                }
                other => _ = sources.insert(self.path_of(other)?),
            }
        }
        let full = |path: &StorePath| self.store_dir.display(path).into_bytes();
        drv.sources = sources.into_iter().map(full).collect();
        drv.inputs = inputs
            .iter()
            .map(|(path, (_, outputs))| Input {
                path: full(path),
                outputs: outputs.iter().map(|o| o.to_vec()).collect(),
            })
            .collect();
        Some(inputs.into_values().map(|(id, _)| id).collect())
    }

    /// Adds what follows from the rest: implied variables, outputs and their variables.
    pub(super) fn complete(
        &self,
        name: &[u8],
        drv: &mut Derivation,
        inputs: &[u32],
        exceptions: &Exceptions,
        masked: Option<Sha256>,
    ) -> Result<(), StorePathError> {
        let structured = drv.env(b"__json").is_some();
        for (bit, key) in IMPLIED.iter().enumerate() {
            let value = [name, &drv.builder, &drv.system][bit].to_vec();
            if structured == (exceptions.implied >> bit & 1 == 1) {
                insert(drv, key, value);
            }
        }
        let names = match &exceptions.outputs {
            Some(outputs) => {
                drv.outputs = outputs.clone();
                let with_entry = outputs.iter().filter(|o| !exceptions.no_entry.contains(&o.name));
                insert_all(drv, with_entry.map(|o| (o.name.clone(), o.path.clone())).collect());
                return Ok(());
            }
            None => attributes::outputs(drv),
        };
        if let Some(fixed) = fixed_output(drv, &names) {
            let path = derivation::fixed_output_path(&self.store_dir, &fixed, name)?;
            let path = self.store_dir.display(&path).into_bytes();
            if !exceptions.no_entry.contains(&names[0]) {
                insert(drv, &names[0], path.clone());
            }
            drv.outputs = vec![Output { name: names[0].clone(), path, algorithm: fixed.algorithm, hash: fixed.hash }];
            return Ok(());
        }
        let with_entry = names.iter().filter(|name| !exceptions.no_entry.contains(*name));
        insert_all(drv, with_entry.map(|name| (name.clone(), Vec::new())).collect());
        drv.outputs = names.iter().map(|n| Output { name: n.clone(), ..Output::default() }).collect();
        let masked = masked.or_else(|| hash_modulo(drv, true, |i| self.input_hash(*inputs.get(i)?)));
        let Some(masked) = masked else { return Ok(()) };
        for output in &mut drv.outputs {
            let path = output_path(&self.store_dir, &masked, name, &output.name)?;
            output.path = self.store_dir.display(&path).into_bytes();
        }
        for output in &drv.outputs {
            if let Ok(at) = drv.env.binary_search_by(|(k, _)| k.cmp(&output.name))
                && drv.env[at].1.is_empty()
            {
                drv.env[at].1.clone_from(&output.path);
            }
        }
        Ok(())
    }

    /// Whether [`State::complete`] would give the outputs that a derivation has. The masked hash, if it was needed.
    pub(super) fn follow_outputs(
        &self,
        name: &[u8],
        drv: &Derivation,
        inputs: &[u32],
        masked: &mut Option<Sha256>,
    ) -> Result<bool, StorePathError> {
        let names = attributes::outputs(drv);
        if let Some(fixed) = fixed_output(drv, &names) {
            let path = derivation::fixed_output_path(&self.store_dir, &fixed, name)?;
            let path = self.store_dir.display(&path).into_bytes();
            let output = Output { name: names[0].clone(), path, algorithm: fixed.algorithm, hash: fixed.hash };
            return Ok(drv.outputs == [output]);
        }
        let plain = |o: &Output| o.algorithm.is_empty() && o.hash.is_empty() && drv.env(&o.name) != Some(b"");
        if !drv.outputs.iter().map(|o| &o.name).eq(&names) || !drv.outputs.iter().all(plain) {
            return Ok(false);
        }
        *masked = hash_modulo(drv, true, |i| self.input_hash(*inputs.get(i)?));
        for output in &drv.outputs {
            let path = match masked {
                Some(masked) => self.store_dir.display(&output_path(&self.store_dir, masked, name, &output.name)?),
                None => String::new(),
            };
            if output.path != path.as_bytes() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ids of the inputs of a derivation, in its order.
    pub(super) fn ids_of_inputs(&self, drv: &Derivation) -> Option<Vec<u32>> {
        let prefix = self.prefix.as_slice();
        drv.inputs
            .iter()
            .map(|input| {
                let base = std::str::from_utf8(input.path.strip_prefix(prefix)?).ok()?;
                self.numbers.get(base).copied()
            })
            .collect()
    }
}

/// Adds a variable unless it is there.
fn insert(drv: &mut Derivation, key: &[u8], value: Vec<u8>) {
    if let Err(at) = drv.env.binary_search_by(|(k, _)| k.as_slice().cmp(key)) {
        drv.env.insert(at, (key.to_vec(), value));
    }
}

/// Adds variables unless they are there; all at once, since there may be many.
fn insert_all(drv: &mut Derivation, variables: Vec<(Vec<u8>, Vec<u8>)>) {
    drv.env.extend(variables);
    // The sort is stable, so of two with one key the one that was there stays.
    drv.env.sort_by(|a, b| a.0.cmp(&b.0));
    drv.env.dedup_by(|later, earlier| later.0 == earlier.0);
}

/// The fixed output that the attributes describe, as `derivationStrict` in Nix's `primops.cc` reads them.
fn fixed_output(drv: &Derivation, names: &[Vec<u8>]) -> Option<FixedOutput> {
    if names.len() != 1 || names[0] != b"out" {
        return None;
    }
    let hash = attributes::text(drv, b"outputHash").filter(|h| !h.is_empty())?;
    let algorithm = attributes::text(drv, b"outputHashAlgo").unwrap_or_default();
    let recursive = match attributes::text(drv, b"outputHashMode").unwrap_or_default().as_slice() {
        b"" | b"flat" => false,
        b"recursive" | b"nar" => true,
        _ => return None,
    };
    let (algorithm, hash) = hash_text::parse_output_hash(&hash, &algorithm)?;
    let algorithm = if recursive { [b"r:", algorithm.as_slice()].concat() } else { algorithm };
    Some(FixedOutput { algorithm, hash: hash.into_bytes() })
}
