//! From a record to a derivation: expands its values; what follows from them is added by `implied`.

use super::{
    RecipeError, equal,
    exceptions::{Exceptions, read_reference},
    hash_text,
    input::Input,
    state::{ARGS, BUILDER, FIRST_KEY, Known, KnownOutput, Reference, SYSTEM, State, Value},
    token::{self, NameParts},
};
use crate::{
    closure::ProvenPath,
    derivation::{Derivation, hash_modulo},
    format::Section,
    hash::{Sha256, sha256},
    store_path::StorePath,
};
use std::collections::{BTreeMap, BTreeSet};

/// A derivation as it was read.
pub(super) struct ReadRecord {
    /// Text of the `.drv` file.
    pub(super) text: Vec<u8>,
    /// Its path.
    pub(super) path: StorePath,
    /// What it refers to, sorted.
    pub(super) references: Vec<StorePath>,
    /// Of the text, where the path was computed from it.
    pub(super) digest: Option<Sha256>,
}

/// What a writer knows of the record that it reads back.
pub(super) struct Expected<'a> {
    pub(super) text: &'a [u8],
    pub(super) path: &'a ProvenPath,
    /// Masked hash of the derivation in the text, where the writer needed it.
    pub(super) masked: Option<Sha256>,
}

impl State {
    /// Reads one record, of which text and values may have `limit` bytes.
    pub(super) fn read_record(
        &mut self,
        input: &mut Input<'_>,
        hashes: &mut Input<'_>,
        limit: usize,
        expected: Option<&Expected<'_>>,
    ) -> Result<ReadRecord, RecipeError> {
        let record = match input.peek()? {
            token::RAW => {
                input.byte()?;
                self.read_raw(input, limit, expected)?
            }
            _ => self.read_fields(input, hashes, limit, expected)?,
        };
        if self.known.len() >= token::MAX_IDS as usize {
            return Err(input.error("there are too many derivations"));
        }
        self.stack.push(self.known.len() as u32 - 1);
        Ok(record)
    }

    fn read_raw(
        &mut self,
        input: &mut Input<'_>,
        limit: usize,
        expected: Option<&Expected<'_>>,
    ) -> Result<ReadRecord, RecipeError> {
        let name = input.string(crate::MAX_NAME)?;
        let mut references = BTreeSet::new();
        for _ in 0..input.number()? {
            let reference = read_reference(input)?;
            references.insert(self.resolve(reference, input)?.clone());
        }
        let len = input.number()?;
        let mut text = Vec::new();
        input.take(&mut text, len, limit as u64)?;
        let drv = Derivation::parse(&text).unwrap_or_default();
        let ids = self.ids_of_inputs(&drv);
        self.add(&name, text, references.into_iter().collect(), &drv, ids, input, expected)
    }

    fn read_fields(
        &mut self,
        input: &mut Input<'_>,
        hashes: &mut Input<'_>,
        limit: usize,
        expected: Option<&Expected<'_>>,
    ) -> Result<ReadRecord, RecipeError> {
        let name = if input.peek()? == token::NAME {
            input.byte()?;
            let depth = usize::from(input.byte()?);
            let at = self.stack.len().checked_sub(depth + 1).ok_or_else(|| input.error("a name of nothing"))?;
            let name = self.known[self.stack[at] as usize].path.name().as_bytes();
            let name = name.strip_suffix(b".drv").unwrap_or(name);
            name[..token::stem_len(name)].to_vec()
        } else {
            input.string(crate::MAX_NAME)?
        };
        let parts = NameParts::new(name);
        let mut left = limit;
        let mut references = Vec::new();
        let mut drv = Derivation::default();
        for key in [SYSTEM, BUILDER] {
            let value = self.read_value(input, hashes, &parts, key, &mut left)?;
            references.extend_from_slice(&value.references);
            *(if key == SYSTEM { &mut drv.system } else { &mut drv.builder }) = value.bytes;
        }
        let (args, found) = self.read_args(input, hashes, &parts, &mut left)?;
        references.extend_from_slice(&found);
        drv.args = args;
        let mut exceptions = Exceptions::default();
        let mut env: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        loop {
            let (key, number) = match input.byte()? {
                token::END => break,
                token::EXCEPTIONS => {
                    exceptions = self.read_exceptions(input, hashes, &parts, &mut left)?;
                    break;
                }
                token::NEW_KEY => {
                    let key = input.string(left)?;
                    let number = self.key_numbers.get(key.as_slice()).copied();
                    let number = number.unwrap_or_else(|| self.add_key(&key));
                    (key, number)
                }
                byte if (token::KEY..token::LONG_KEY).contains(&byte) => {
                    let number = FIRST_KEY + usize::from(byte - token::KEY);
                    (self.key(number, input)?, number)
                }
                byte if (token::LONG_KEY..token::NEW_KEY).contains(&byte) => {
                    let high = usize::from(byte - token::LONG_KEY);
                    let number = FIRST_KEY + token::SHORT_KEYS + high * 256 + usize::from(input.byte()?);
                    (self.key(number, input)?, number)
                }
                _ => return Err(input.error("expected a key")),
            };
            // What `("","")` takes in the text.
            spend(&mut left, key.len() + 7, input)?;
            let value = self.read_value(input, hashes, &parts, number, &mut left)?;
            references.extend_from_slice(&value.references);
            if env.insert(key, value.bytes).is_some() {
                return Err(input.error("a key is there twice"));
            }
        }
        drv.env = env.into_iter().collect();
        let references: BTreeSet<Reference> = references.into_iter().collect();
        let references = &(&references - &exceptions.removed) | &exceptions.added;
        let name = parts.name;
        let ids = self.set_inputs(&mut drv, &references).ok_or_else(|| input.error("a reference to nothing"))?;
        self.complete(&name, &mut drv, &ids, &exceptions, expected.and_then(|e| e.masked))?;
        let mut references: Vec<StorePath> = ids.iter().map(|id| self.known[*id as usize].path.clone()).collect();
        for source in &drv.sources {
            references.push(self.store_dir.parse(source)?);
        }
        references.sort();
        references.dedup();
        let text = drv.print();
        if text.len() > limit.saturating_mul(2) {
            return Err(input.error("a text is longer than the limit"));
        }
        self.add(&name, text, references, &drv, Some(ids), input, expected)
    }

    fn key(&self, number: usize, input: &Input<'_>) -> Result<Vec<u8>, RecipeError> {
        self.keys.get(number).map(|k| k.to_vec()).ok_or_else(|| input.error("a key that is not known"))
    }

    /// Records a derivation whose text is known, and the ids of its inputs.
    #[expect(clippy::too_many_arguments, reason = "all that is known of one derivation")]
    fn add(
        &mut self,
        name: &[u8],
        text: Vec<u8>,
        references: Vec<StorePath>,
        drv: &Derivation,
        ids: Option<Vec<u32>>,
        input: &Input<'_>,
        expected: Option<&Expected<'_>>,
    ) -> Result<ReadRecord, RecipeError> {
        // The path of equal texts with equal references is proven.
        let known =
            expected.filter(|e| equal(e.text, &text) && e.path.references() == references).map(|e| e.path.path());
        let (path, digest) = match known {
            Some(path) => (path.clone(), None),
            None => {
                let (digest, file_name) = (sha256(&text), [name, b".drv"].concat());
                let path = crate::address_path(&self.store_dir, crate::Address::Text, &digest, &references, &file_name);
                (path?.ok_or_else(|| input.error("a derivation without an address"))?, Some(digest))
            }
        };
        let input_hash = drv.fixed_input_hash().or_else(|| {
            let known = !drv.versioned && drv.outputs.iter().all(|o| !o.path.is_empty());
            let ids = ids.filter(|_| known)?;
            hash_modulo(drv, false, |i| self.input_hash(*ids.get(i)?))
        });
        let mut outputs: Vec<KnownOutput> = drv
            .outputs
            .iter()
            .map(|o| KnownOutput { name: o.name.as_slice().into(), path: self.store_dir.parse(&o.path).ok() })
            .collect();
        outputs.sort_by(|a, b| a.name.cmp(&b.name));
        self.numbers.insert(path.clone(), self.known.len() as u32);
        self.known.push(Known { path: path.clone(), outputs, input_hash });
        Ok(ReadRecord { text, path, references, digest })
    }

    fn read_args(
        &mut self,
        input: &mut Input<'_>,
        hashes: &mut Input<'_>,
        parts: &NameParts,
        left: &mut usize,
    ) -> Result<(Vec<Vec<u8>>, Vec<Reference>), RecipeError> {
        match input.peek()? {
            token::SAME => {
                input.byte()?;
                spend(left, self.last_args.0.iter().map(|arg| arg.len() + 2).sum(), input)?;
                return Ok(self.last_args.clone());
            }
            token::NO_ARGS => {
                input.byte()?;
                return Ok(Default::default());
            }
            _ => {}
        }
        let (mut args, mut references) = (Vec::new(), Vec::new());
        loop {
            let mut value = Value::default();
            let end = self.read_text(input, hashes, parts, &mut value, left)?;
            spend(left, 2, input)?;
            args.push(value.bytes);
            references.append(&mut value.references);
            if !end {
                continue;
            }
            self.last_args = (args.clone(), references.clone());
            return Ok((args, references));
        }
    }

    fn read_value(
        &mut self,
        input: &mut Input<'_>,
        hashes: &mut Input<'_>,
        parts: &NameParts,
        key: usize,
        left: &mut usize,
    ) -> Result<Value, RecipeError> {
        if input.peek()? == token::SAME {
            input.byte()?;
            let value = self.last.get(key).cloned().flatten();
            let value = value.ok_or_else(|| input.error("a repetition of nothing"))?;
            spend(left, value.bytes.len(), input)?;
            return Ok(value);
        }
        let mut value = Value::default();
        if !self.read_text(input, hashes, parts, &mut value, left)? {
            return Err(input.error("an argument outside of arguments"));
        }
        if key != ARGS {
            self.remember(key, &value);
        }
        Ok(value)
    }

    /// Expands tokens up to the end of the string (`true`) or of an argument (`false`).
    pub(super) fn read_text(
        &mut self,
        input: &mut Input<'_>,
        hashes: &mut Input<'_>,
        parts: &NameParts,
        value: &mut Value,
        left: &mut usize,
    ) -> Result<bool, RecipeError> {
        let limit = *left;
        loop {
            input.plain(&mut value.bytes, limit)?;
            if value.bytes.len() > limit {
                return Err(input.error("a text is longer than the limit"));
            }
            let byte = input.byte()?;
            match byte {
                token::END | token::NEXT_ARG => {
                    spend(left, value.bytes.len(), input)?;
                    return Ok(byte == token::END);
                }
                token::ESCAPE => value.bytes.push(input.byte()?.wrapping_sub(64)),
                token::NAME => value.bytes.extend_from_slice(&parts.name),
                token::STEM => value.bytes.extend_from_slice(parts.stem()),
                token::PNAME => value.bytes.extend_from_slice(parts.pname()),
                token::VERSION => value.bytes.extend_from_slice(parts.version()),
                token::STORE => value.bytes.extend_from_slice(&self.prefix),
                token::NEW_HASH => {
                    let (encoding, len) = hash_code(input)?;
                    let mut bytes = vec![0; len];
                    hashes.exact(&mut bytes).map_err(|error| error.in_section(Section::Hashes))?;
                    value.bytes.extend_from_slice(hash_text::write(encoding, &bytes).as_bytes());
                    self.hashes.push(bytes.into());
                }
                token::OLD_HASH => {
                    let (encoding, len) = hash_code(input)?;
                    let back = usize::try_from(input.number()?).unwrap_or(usize::MAX);
                    let bytes = self.hashes.len().checked_sub(back.saturating_add(1)).map(|i| &self.hashes[i]);
                    let bytes = bytes.filter(|b| b.len() == len).ok_or_else(|| input.error("a hash of nothing"))?;
                    value.bytes.extend_from_slice(hash_text::write(encoding, bytes).as_bytes());
                }
                _ => {
                    let reference = self.read_reference_token(byte, input)?;
                    let path = self.resolve(reference, input)?;
                    value.bytes.extend_from_slice(&self.prefix);
                    value.bytes.extend_from_slice(path.as_str().as_bytes());
                    value.references.push(reference);
                }
            }
        }
    }

    fn read_reference_token(&mut self, byte: u8, input: &mut Input<'_>) -> Result<Reference, RecipeError> {
        match byte {
            token::NEW_SOURCE | token::SOURCE => {
                let id = if byte == token::SOURCE { input.id()? } else { self.used_sources };
                self.used_sources = self.used_sources.max(id.saturating_add(1));
                Ok(Reference::Source(id))
            }
            token::DRV_FILE => {
                let byte = input.byte()?;
                Ok(Reference::Derivation(self.read_derivation_id(byte, input)?))
            }
            _ => {
                let id = self.read_derivation_id(byte, input)?;
                let known = self.known.get(id as usize).ok_or_else(|| input.error("a reference to nothing"))?;
                let output = match known.outputs.len() {
                    0 | 1 => 0,
                    _ => u32::from(input.byte()?.wrapping_sub(b'a')),
                };
                Ok(Reference::Output(id, output))
            }
        }
    }

    fn read_derivation_id(&mut self, byte: u8, input: &mut Input<'_>) -> Result<u32, RecipeError> {
        let below = match byte {
            token::DRV => return input.id(),
            token::NEW => 0,
            token::NEW_BELOW => usize::from(input.byte()?),
            _ => return Err(input.error("a control byte that means nothing here")),
        };
        match self.stack.len().checked_sub(below + 1) {
            Some(at) => Ok(self.stack.remove(at)),
            None => Err(input.error("a first reference to nothing")),
        }
    }

    fn resolve(&self, reference: Reference, input: &Input<'_>) -> Result<&StorePath, RecipeError> {
        self.path_of(reference).ok_or_else(|| input.error("a reference to nothing"))
    }
}

fn hash_code(input: &mut Input<'_>) -> Result<(hash_text::Encoding, usize), RecipeError> {
    hash_text::from_code(input.byte()?).ok_or_else(|| input.error("a hash of unknown kind"))
}

/// Takes bytes from what a derivation may still have.
pub(super) fn spend(left: &mut usize, bytes: usize, input: &Input<'_>) -> Result<(), RecipeError> {
    *left = left.checked_sub(bytes).ok_or_else(|| input.error("a derivation is longer than the limit"))?;
    Ok(())
}
