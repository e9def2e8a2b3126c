//! Patches: one zstd frame that may copy from a reference, bytes that writer and reader both have.

use super::{Codec, CodecError, MIB};
use std::borrow::Cow;
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

/// From so many bytes of frame and reference on, long copies are looked for in a coarser way: twenty times as fast, for a
/// quarter more of very little (measured on 2 x 9.5 MB of options.xml: 0.2 s and 3.0 KB against 3.3 s and 2.5 KB).
const COARSE: usize = 6 << 20;

/// Many files are searched as small frames are up to so many bytes: two months of a nixpkgs tree (11 MB with its reference) are
/// 247,056 bytes in 3.8 s, in the coarser way 284,408 in 0.5. From here on level 16 with long copies pays.
const TREE: usize = 20 << 20;

/// From so many bytes on, short copies of files are not looked for: they come between longer ones. Web 2019-10 to 2019-12 has
/// 27,718 bytes instead of 28,723, minimal 7,363 instead of 7,175.
const FILES: usize = 1 << 20;

/// What a patch is of. The search is tuned for it; the bytes can be read all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchOf {
    /// Records and lists, whose copies are short.
    Records,
    /// Many files: a short copy costs more than its bytes do.
    Contents,
    /// One large file, or a part of it: from 6 MiB on long copies are nearly all.
    LargeFile,
}

/// Packs bytes that are much like the reference. Same input, same bytes, on every machine.
pub fn pack_patch(raw: &[u8], reference: &[u8], of: PatchOf) -> Result<Vec<u8>, CodecError> {
    let total = raw.len() + reference.len();
    // A window that holds both, so that no part of the reference is out of reach at the end of the frame.
    let window_log = total.max(1 << 10).next_power_of_two().trailing_zeros().min(27);
    let long = total >= if of == PatchOf::Contents { TREE } else { COARSE };
    let coarse = long && total < TREE;
    let mut parameters = vec![
        CParameter::CompressionLevel(if coarse { 12 } else { 16 }),
        CParameter::WindowLog(window_log),
        CParameter::ContentSizeFlag(false),
        CParameter::ChecksumFlag(false),
        CParameter::DictIdFlag(false),
    ];
    if long {
        parameters.push(CParameter::EnableLongDistanceMatching(true));
    } else {
        // Levels 17 to 19 take two to four times as long, and are larger for files.
        parameters.extend([
            CParameter::ChainLog((window_log + 1).min(24)),
            CParameter::SearchLog(7),
            CParameter::MinMatch(if of != PatchOf::Records && total >= FILES { 5 } else { 3 }),
            CParameter::TargetLength(999),
        ]);
    }
    if coarse {
        parameters.extend([CParameter::LdmHashRateLog(3), CParameter::LdmMinMatch(96)]);
    }
    let memory = |_| CodecError::Memory { bytes: patch_memory(total as u64) };
    let mut context = CCtx::try_create().ok_or(CodecError::Memory { bytes: MIB })?;
    for parameter in parameters {
        context.set_parameter(parameter).map_err(memory)?;
    }
    // zstd takes what lies in memory right behind the reference for its continuation, and makes other bytes of it.
    let apart =
        if reference.as_ptr_range().end == raw.as_ptr() { Cow::Owned(raw.to_vec()) } else { Cow::Borrowed(raw) };
    context.ref_prefix(reference).map_err(memory)?;
    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(raw.len()));
    context.compress2(&mut packed, &apart).map_err(memory)?;
    packed.shrink_to_fit();
    Ok(packed)
}

/// Bytes of memory that packing takes beside the bytes themselves: tables for so many bytes of frame and reference.
pub fn patch_memory(total: u64) -> u64 {
    if total >= COARSE as u64 { 96 * MIB } else { 24 * total.next_power_of_two().max(MIB) }
}

/// The raw bytes of a patch: exactly so many, or an error.
pub fn unpack_patch(packed: &[u8], reference: &[u8], raw_bytes: u64) -> Result<Vec<u8>, CodecError> {
    let damaged = |_| CodecError::Damaged("zstd");
    let len = zstd_safe::find_frame_compressed_size(packed).map_err(damaged)?;
    if len != packed.len() {
        return Err(CodecError::GoesOn);
    }
    let room = usize::try_from(raw_bytes).map_err(|_| CodecError::Memory { bytes: raw_bytes })?;
    let mut raw = Vec::new();
    raw.try_reserve_exact(room).map_err(|_| CodecError::Memory { bytes: raw_bytes })?;
    let mut context = DCtx::try_create().ok_or(CodecError::Memory { bytes: MIB })?;
    context.ref_prefix(reference).map_err(|_| CodecError::Parameters(Codec::Stored))?;
    context.decompress(&mut raw, packed).map_err(damaged)?;
    match raw_bytes.checked_sub(raw.len() as u64) {
        Some(0) => Ok(raw),
        Some(missing) => Err(CodecError::Ends { missing }),
        None => Err(CodecError::GoesOn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seed: u32, len: usize) -> Vec<u8> {
        let mut state = seed;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(len)
        .collect()
    }

    #[test]
    fn what_is_in_the_reference_costs_next_to_nothing() {
        for len in [1_000, 400_000, 4 << 20] {
            let old = text(7, len);
            let mut new = old.clone();
            new.splice(len / 2..len / 2 + 10, *b"something else");
            let packed = pack_patch(&new, &old, PatchOf::Contents).unwrap();
            assert!(packed.len() < 60 + len / 10_000, "{len}: {}", packed.len());
            assert_eq!(unpack_patch(&packed, &old, new.len() as u64).unwrap(), new);
        }
    }

    #[test]
    fn where_frame_and_reference_are_in_memory_does_not_matter() {
        for len in [3_000, 50_000, 400_000, 7 << 20] {
            let old = text(7, len);
            let mut new = old.clone();
            new.splice(len / 2..len / 2 + 10, *b"something else");
            let beside = [old.as_slice(), new.as_slice()].concat();
            let (before, after) = beside.split_at(len);
            let around = [new.as_slice(), old.as_slice()].concat();
            let (first, second) = around.split_at(new.len());
            for of in [PatchOf::Records, PatchOf::Contents, PatchOf::LargeFile] {
                let packed = pack_patch(&new, &old, of).unwrap();
                assert_eq!(pack_patch(after, before, of).unwrap(), packed, "{len} {of:?}");
                assert_eq!(pack_patch(first, second, of).unwrap(), packed, "{len} {of:?}");
            }
        }
    }

    #[test]
    fn a_patch_of_another_length_or_with_more_behind_it_is_refused() {
        let (old, new) = (text(1, 5_000), text(2, 3_000));
        let mut packed = pack_patch(&new, &old, PatchOf::Records).unwrap();
        assert!(unpack_patch(&packed, &old, 2_999).is_err());
        assert_eq!(unpack_patch(&packed, &old, 3_001), Err(CodecError::Ends { missing: 1 }));
        assert!(unpack_patch(&packed[..packed.len() - 1], &old, 3_000).is_err());
        packed.push(0);
        assert!(unpack_patch(&packed, &old, 3_000).is_err());
    }
}
