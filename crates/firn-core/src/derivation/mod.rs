//! Derivations byte for byte: the ATerm that Nix writes, parsed and printed; the hash modulo fixed outputs; output paths.
//!
//! Bytes, not text: Nix checks neither UTF-8 nor names when it reads one, and a closure must never be refused for what
//! stands in a derivation. What this module cannot print back exactly travels raw.

mod aterm;
pub(crate) mod attributes;
mod modulo;
#[cfg(test)]
mod tests;

pub use aterm::ATermError;
pub(crate) use aterm::Front;
pub use modulo::{FixedOutput, InputHash, fixed_output_path, hash_modulo, output_name, output_path};

/// One output: all four fields as they stand in the text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// `out`, `dev` ...
    pub name: Vec<u8>,
    /// Full store path; empty for outputs whose path is known only after the build.
    pub path: Vec<u8>,
    /// `sha256`, `r:sha256` ... of a fixed or floating output, else empty.
    pub algorithm: Vec<u8>,
    /// Base 16 digest of a fixed output, else empty.
    pub hash: Vec<u8>,
}

/// An input derivation and which of its outputs are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Full store path of the derivation.
    pub path: Vec<u8>,
    /// Names of outputs.
    pub outputs: Vec<Vec<u8>>,
}

/// A derivation, its lists in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Derivation {
    /// Outputs.
    pub outputs: Vec<Output>,
    /// Input derivations.
    pub inputs: Vec<Input>,
    /// Input sources: full store paths.
    pub sources: Vec<Vec<u8>>,
    /// `x86_64-linux` ...
    pub system: Vec<u8>,
    /// Program to run.
    pub builder: Vec<u8>,
    /// Its arguments.
    pub args: Vec<Vec<u8>>,
    /// Its environment.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the text has the versioned form of dynamic derivations; such a one is never printed.
    pub versioned: bool,
}

impl Derivation {
    /// Value of an environment variable.
    pub fn env(&self, key: &[u8]) -> Option<&[u8]> {
        self.env.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_slice())
    }
}
