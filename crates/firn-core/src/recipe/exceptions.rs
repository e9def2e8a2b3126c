//! What of a derivation does not follow from the values of its record (docs/format-recipe.md, 4.3).

use super::{
    RecipeError,
    input::Input,
    record_read::spend,
    state::{Reference, State, Value},
    token::NameParts,
};
use crate::derivation::Output;
use std::collections::BTreeSet;

/// What a record says beside its values.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Exceptions {
    /// Bits of [`IMPLIED`] that are not as expected.
    pub(super) implied: u8,
    /// Outputs that do not follow from the rest.
    pub(super) outputs: Option<Vec<Output>>,
    /// Outputs without an entry in the environment.
    pub(super) no_entry: BTreeSet<Vec<u8>>,
    pub(super) removed: BTreeSet<Reference>,
    pub(super) added: BTreeSet<Reference>,
}

/// Codes in an exceptions block.
pub(super) mod exception {
    pub(in crate::recipe) const END: u8 = 0;
    pub(in crate::recipe) const IMPLIED: u8 = 1;
    pub(in crate::recipe) const OUTPUTS: u8 = 2;
    pub(in crate::recipe) const NO_ENTRY: u8 = 3;
    pub(in crate::recipe) const REMOVED: u8 = 4;
    pub(in crate::recipe) const ADDED: u8 = 5;
}

impl State {
    /// Reads the block, behind the byte that begins it.
    pub(super) fn read_exceptions(
        &mut self,
        input: &mut Input<'_>,
        hashes: &mut Input<'_>,
        parts: &NameParts,
        left: &mut usize,
    ) -> Result<Exceptions, RecipeError> {
        let mut exceptions = Exceptions::default();
        loop {
            match input.byte()? {
                exception::END => return Ok(exceptions),
                exception::IMPLIED => exceptions.implied = input.byte()?,
                exception::OUTPUTS => {
                    let mut outputs = Vec::new();
                    for _ in 0..input.number()? {
                        let mut fields: [Value; 4] = Default::default();
                        for field in &mut fields {
                            if !self.read_text(input, hashes, parts, field, left)? {
                                return Err(input.error("an argument outside of arguments"));
                            }
                        }
                        // What `("","","","")` takes in the text.
                        spend(left, 13, input)?;
                        let [name, path, algorithm, hash] = fields.map(|f| f.bytes);
                        outputs.push(Output { name, path, algorithm, hash });
                    }
                    exceptions.outputs = Some(outputs);
                }
                exception::NO_ENTRY => {
                    // These name outputs, whose names are counted elsewhere.
                    let mut left = *left;
                    for _ in 0..input.number()? {
                        let name = input.string(left)?;
                        spend(&mut left, name.len() + 1, input)?;
                        exceptions.no_entry.insert(name);
                    }
                }
                code @ (exception::REMOVED | exception::ADDED) => {
                    for _ in 0..input.number()? {
                        let reference = read_reference(input)?;
                        self.resolve_any(reference).ok_or_else(|| input.error("a reference to nothing"))?;
                        let set =
                            if code == exception::ADDED { &mut exceptions.added } else { &mut exceptions.removed };
                        set.insert(reference);
                    }
                }
                _ => return Err(input.error("an exception that means nothing")),
            }
        }
    }

    /// Whether a reference is to something, be its path known or not.
    fn resolve_any(&self, reference: Reference) -> Option<()> {
        match reference {
            Reference::Output(id, output) => {
                self.known.get(id as usize)?.outputs.get(output as usize)?;
            }
            other => _ = self.path_of(other)?,
        }
        Some(())
    }
}

/// A reference outside of a value.
pub(super) fn read_reference(input: &mut Input<'_>) -> Result<Reference, RecipeError> {
    Ok(match input.byte()? {
        0 => Reference::Derivation(input.id()?),
        1 => Reference::Source(input.id()?),
        2 => {
            let id = input.id()?;
            let output = u32::try_from(input.number()?).map_err(|_| input.error("a reference to nothing"))?;
            Reference::Output(id, output)
        }
        _ => return Err(input.error("a reference of unknown kind")),
    })
}
