//! The hash of a derivation modulo the derivations of its fixed inputs, and the output paths that follow from it
//! (Nix: `hashDerivationModulo` in `derivations.cc`).

use super::{Derivation, aterm::plain_list};
use crate::{
    hash::{Sha256, hex, sha256},
    store_path::{StoreDir, StorePath, StorePathError},
};
use std::collections::{BTreeMap, BTreeSet};

/// What stands for an input derivation when a referrer is hashed.
pub type InputHash = Sha256;

/// Digest of a fixed output, as its derivation names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedOutput {
    /// `sha256`, or `r:sha256` when the digest is that of the NAR.
    pub algorithm: Vec<u8>,
    /// Base 16.
    pub hash: Vec<u8>,
}

/// Path of a fixed output (Nix: `makeFixedOutputPath`).
pub fn fixed_output_path(store_dir: &StoreDir, fixed: &FixedOutput, name: &[u8]) -> Result<StorePath, StorePathError> {
    if fixed.algorithm == b"r:sha256"
        && let Some(digest) = crate::hash::from_hex(&fixed.hash).and_then(|d| Sha256::try_from(d).ok())
    {
        return store_dir.make_path("source", &digest, name);
    }
    let mut inner = b"fixed:out:".to_vec();
    inner.extend_from_slice(&fixed.algorithm);
    inner.push(b':');
    inner.extend_from_slice(&fixed.hash);
    inner.push(b':');
    store_dir.make_path("output:out", &sha256(&inner), name)
}

/// Name of the store path of an output: the derivation's, with `-dev` and the like for all but `out`.
pub fn output_name(drv_name: &[u8], output: &[u8]) -> Vec<u8> {
    let mut name = drv_name.to_vec();
    if output != b"out" {
        name.push(b'-');
        name.extend_from_slice(output);
    }
    name
}

/// Path of an input-addressed output, from the masked hash.
pub fn output_path(
    store_dir: &StoreDir,
    masked: &Sha256,
    drv_name: &[u8],
    output: &[u8],
) -> Result<StorePath, StorePathError> {
    let kind = format!("output:{}", String::from_utf8_lossy(output));
    store_dir.make_path(&kind, masked, &output_name(drv_name, output))
}

/// Hash of a derivation with each input replaced by its own hash; `masked` blanks the own output paths. `input_hash`
/// gives that of the n-th input, `None` where it has none (a floating input); then the result is `None` too.
///
/// The hash of a fixed-output derivation as an input is not this one but [`Derivation::fixed_input_hash`].
pub fn hash_modulo(
    drv: &Derivation,
    masked: bool,
    mut input_hash: impl FnMut(usize) -> Option<InputHash>,
) -> Option<Sha256> {
    // Inputs with equal hashes are one, and have the outputs of all of them.
    let mut inputs: BTreeMap<InputHash, BTreeSet<&[u8]>> = BTreeMap::new();
    for (i, input) in drv.inputs.iter().enumerate() {
        inputs.entry(input_hash(i)?).or_default().extend(input.outputs.iter().map(Vec::as_slice));
    }
    let mut out = Vec::with_capacity(4096);
    drv.print_outputs(&mut out, masked);
    for (i, (digest, outputs)) in inputs.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"(\"" } else { b",(\"" });
        out.extend_from_slice(hex(digest).as_bytes());
        out.extend_from_slice(b"\",");
        plain_list(&mut out, outputs.iter().copied());
        out.push(b')');
    }
    drv.print_rest(&mut out, masked);
    Some(sha256(&out))
}

impl Derivation {
    /// The digest of the output, when this is a fixed-output derivation.
    pub fn fixed_output(&self) -> Option<FixedOutput> {
        match self.outputs.as_slice() {
            [out] if out.name == b"out" && !out.hash.is_empty() && !out.algorithm.is_empty() => {
                Some(FixedOutput { algorithm: out.algorithm.clone(), hash: out.hash.clone() })
            }
            _ => None,
        }
    }

    /// What stands for this derivation in its referrers when its output is fixed.
    pub fn fixed_input_hash(&self) -> Option<InputHash> {
        let fixed = self.fixed_output()?;
        let mut text = b"fixed:out:".to_vec();
        for part in [&fixed.algorithm, &fixed.hash] {
            text.extend_from_slice(part);
            text.push(b':');
        }
        text.extend_from_slice(&self.outputs.first()?.path);
        Some(sha256(&text))
    }
}
