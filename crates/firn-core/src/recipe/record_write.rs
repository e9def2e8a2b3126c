//! From a derivation to a record. Whatever is written is read back and compared by the caller.

use super::{
    equal,
    exceptions::{Exceptions, exception},
    hash_text,
    implied::IMPLIED,
    order::Targets,
    state::{ARGS, BUILDER, FIRST_KEY, Reference, SYSTEM, State},
    token::{self, NameParts, push_id},
};
use crate::{
    derivation::Derivation,
    hash::{self, Sha256},
    leb128,
};
use foldhash::HashMap;
use std::collections::BTreeSet;

/// What the writer knows beside the state that it shares with the reader. References are by id.
pub(super) struct Dictionary {
    pub(super) targets: Targets,
    /// Position in `State::hashes` by digest.
    pub(super) hashes: HashMap<Box<[u8]>, usize>,
}

/// One record in the making.
pub(super) struct RecordWriter<'a> {
    state: &'a State,
    dictionary: &'a Dictionary,
    actual: &'a [Reference],
    parts: NameParts,
    out: Vec<u8>,
    /// Hashes that are new in this record.
    pub(super) new_hashes: Vec<Vec<u8>>,
    /// Position in `State::hashes` of each of them.
    new_positions: HashMap<Vec<u8>, usize>,
    /// The top of the stack without what this record took, at most [`MAX_BELOW`] deep, the top last.
    top: Vec<u32>,
    /// How much of the stack is below it.
    below: usize,
    used_sources: u32,
    found: BTreeSet<Reference>,
}

/// How far below the top of the stack a first reference is looked for.
const MAX_BELOW: usize = 200;

/// A record, and the hashes that it adds.
pub(super) struct WrittenRecord {
    pub(super) bytes: Vec<u8>,
    pub(super) new_hashes: Vec<Vec<u8>>,
    /// Masked hash of the derivation, where it was needed.
    pub(super) masked: Option<Sha256>,
}

/// Writes the record of a text that cannot be taken apart.
pub(super) fn write_raw(name: &[u8], references: &[Reference], text: &[u8]) -> WrittenRecord {
    let mut bytes = vec![token::RAW];
    bytes.extend_from_slice(name);
    bytes.push(0);
    leb128::put(&mut bytes, references.len() as u64);
    for reference in references {
        push_reference(&mut bytes, *reference);
    }
    leb128::put(&mut bytes, text.len() as u64);
    bytes.extend_from_slice(text);
    WrittenRecord { bytes, new_hashes: Vec::new(), masked: None }
}

fn push_reference(out: &mut Vec<u8>, reference: Reference) {
    match reference {
        Reference::Derivation(id) => {
            out.push(0);
            push_id(out, id);
        }
        Reference::Source(id) => {
            out.push(1);
            push_id(out, id);
        }
        Reference::Output(id, output) => {
            out.push(2);
            push_id(out, id);
            leb128::put(out, u64::from(output));
        }
    }
}

/// Writes the record of a derivation; `None` when it has to travel raw. `actual` are its references by id, sorted.
pub(super) fn write_record(
    state: &State,
    dictionary: &Dictionary,
    name: &[u8],
    drv: &Derivation,
    actual: &[Reference],
) -> Option<WrittenRecord> {
    // A NUL ends the names of keys and outputs.
    let named = drv.env.iter().map(|(key, _)| key).chain(drv.outputs.iter().map(|o| &o.name)).all(|n| !n.contains(&0));
    let canonical = named && !drv.versioned && drv.env.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let (exceptions, masked) = canonical.then(|| exceptions_of(state, name, drv)).flatten()?;
    let mut writer = RecordWriter {
        state,
        dictionary,
        actual,
        parts: NameParts::new(name.to_vec()),
        out: Vec::with_capacity(1024),
        new_hashes: Vec::new(),
        new_positions: HashMap::default(),
        top: state.stack[state.stack.len().saturating_sub(MAX_BELOW)..].to_vec(),
        below: state.stack.len().saturating_sub(MAX_BELOW),
        used_sources: state.used_sources,
        found: BTreeSet::new(),
    };
    writer.name();
    writer.value(SYSTEM, &drv.system);
    writer.value(BUILDER, &drv.builder);
    writer.args(&drv.args);
    for (key, value) in &drv.env {
        if !is_implied(drv, key, value, name, &exceptions) {
            let number = writer.key(key);
            writer.value(number, value);
        }
    }
    writer.end(exceptions);
    Some(WrittenRecord { bytes: writer.out, new_hashes: writer.new_hashes, masked })
}

/// Whether the reader adds a variable by itself.
fn is_implied(drv: &Derivation, key: &[u8], value: &[u8], name: &[u8], exceptions: &Exceptions) -> bool {
    let structured = drv.env(b"__json").is_some();
    for (bit, implied) in IMPLIED.iter().enumerate() {
        if key == *implied {
            return value == [name, &drv.builder, &drv.system][bit]
                && structured == (exceptions.implied >> bit & 1 == 1);
        }
    }
    drv.outputs.iter().any(|o| o.name == key && o.path == value)
}

/// What of a derivation does not follow from the rest, and its masked hash where outputs follow from that; `None` when
/// nothing helps.
fn exceptions_of(state: &State, name: &[u8], drv: &Derivation) -> Option<(Exceptions, Option<Sha256>)> {
    // As the reader computes them: sorted, each once.
    let is_sorted = |list: &[Vec<u8>]| list.windows(2).all(|pair| pair[0] < pair[1]);
    if !drv.inputs.windows(2).all(|pair| pair[0].path < pair[1].path)
        || !drv.inputs.iter().all(|input| is_sorted(&input.outputs))
        || !is_sorted(&drv.sources)
    {
        return None;
    }
    let mut exceptions = Exceptions::default();
    let structured = drv.env(b"__json").is_some();
    for (bit, key) in IMPLIED.iter().enumerate() {
        // Absent where expected, or there where not.
        let there = drv.env(key);
        let equal = there == Some([name, &drv.builder, &drv.system][bit]);
        if (!structured && there.is_none()) || (structured && equal) {
            exceptions.implied |= 1 << bit;
        }
    }
    let no_entry = drv.outputs.iter().filter(|o| drv.env(&o.name).is_none());
    exceptions.no_entry = no_entry.map(|o| o.name.clone()).collect();
    let ids = state.ids_of_inputs(drv)?;
    let mut masked = None;
    if !state.follow_outputs(name, drv, &ids, &mut masked).unwrap_or(false) {
        exceptions.outputs = Some(drv.outputs.clone());
    }
    Some((exceptions, masked))
}

impl RecordWriter<'_> {
    fn name(&mut self) {
        let name = &self.parts.name;
        let top = self.state.stack.iter().rev().take(8);
        let depth = top.enumerate().find(|(_, id)| {
            let other = self.state.known[**id as usize].path.name().as_bytes();
            let other = other.strip_suffix(b".drv").unwrap_or(other);
            &other[..token::stem_len(other)] == name.as_slice()
        });
        match depth {
            Some((depth, _)) => self.out.extend_from_slice(&[token::NAME, depth as u8]),
            None => {
                self.out.extend_from_slice(name);
                self.out.push(token::END);
            }
        }
    }

    fn key(&mut self, key: &[u8]) -> usize {
        let number = self.state.key_numbers.get(key).copied();
        match number.map(|n| n - FIRST_KEY) {
            Some(n) if n < token::SHORT_KEYS => self.out.push(token::KEY + n as u8),
            Some(n) => {
                let n = n - token::SHORT_KEYS;
                self.out.extend_from_slice(&[token::LONG_KEY + (n >> 8) as u8, n as u8]);
            }
            None => {
                self.out.push(token::NEW_KEY);
                self.out.extend_from_slice(key);
                self.out.push(token::END);
            }
        }
        number.unwrap_or(usize::MAX)
    }

    /// Whether an earlier value's references are all wanted here, as they were there.
    fn are_wanted(&self, references: &[Reference]) -> bool {
        references.iter().all(|r| self.actual.binary_search(r).is_ok())
    }

    fn value(&mut self, key: usize, bytes: &[u8]) {
        if let Some(Some(last)) = self.state.last.get(key)
            && equal(&last.bytes, bytes)
            && !bytes.is_empty()
            && self.are_wanted(&last.references)
        {
            self.found.extend(last.references.iter().copied());
            self.out.push(token::SAME);
            return;
        }
        debug_assert_ne!(key, ARGS);
        self.text(bytes);
        self.out.push(token::END);
    }

    fn args(&mut self, args: &[Vec<u8>]) {
        let (last, references) = &self.state.last_args;
        if args.is_empty() {
            self.out.push(token::NO_ARGS);
        } else if last == args && self.are_wanted(references) {
            self.found.extend(references.iter().copied());
            self.out.push(token::SAME);
        } else {
            for (i, arg) in args.iter().enumerate() {
                if i > 0 {
                    self.out.push(token::NEXT_ARG);
                }
                self.text(arg);
            }
            self.out.push(token::END);
        }
    }

    /// A string as tokens, without its end.
    fn text(&mut self, text: &[u8]) {
        let prefix = self.state.prefix.as_slice();
        let mut at = 0;
        let mut in_word = false;
        while at < text.len() {
            let rest = &text[at..];
            if rest[0] == b'/' && rest.starts_with(prefix) {
                at += prefix.len() + self.path(&text[at + prefix.len()..]);
                in_word = text[at - 1].is_ascii_alphanumeric();
                continue;
            }
            let alphanumeric = rest[0].is_ascii_alphanumeric();
            if !in_word && alphanumeric {
                let len = self.word(rest);
                if len > 0 {
                    at += len;
                    in_word = true;
                    continue;
                }
            }
            if token::is_control(rest[0]) {
                self.out.extend_from_slice(&[token::ESCAPE, rest[0].wrapping_add(64)]);
            } else {
                self.out.push(rest[0]);
            }
            in_word = alphanumeric;
            at += 1;
        }
    }

    /// A part of the name or a hash, at the start of a word; how many bytes it took.
    fn word(&mut self, rest: &[u8]) -> usize {
        let ends = |len: usize| rest.get(len).is_none_or(|b| !b.is_ascii_alphanumeric());
        let parts = [
            (token::NAME, self.parts.name.as_slice(), 1),
            (token::STEM, self.parts.stem(), 1),
            (token::PNAME, self.parts.pname(), 3),
            (token::VERSION, self.parts.version(), 3),
        ];
        for (token, part, least) in parts {
            if part.len() >= least && rest.starts_with(part) && ends(part.len()) {
                self.out.push(token);
                return part.len();
            }
        }
        let Some(found) = hash_text::find(rest) else { return 0 };
        let code = hash_text::code(found.encoding, found.bytes.len());
        let known = self.state.hashes.len() + self.new_hashes.len();
        let here = self.new_positions.get(&found.bytes).copied();
        match here.or_else(|| self.dictionary.hashes.get(found.bytes.as_slice()).copied()) {
            Some(position) => {
                self.out.extend_from_slice(&[token::OLD_HASH, code]);
                leb128::put(&mut self.out, (known - 1 - position) as u64);
            }
            None => {
                self.out.extend_from_slice(&[token::NEW_HASH, code]);
                self.new_positions.insert(found.bytes.clone(), known);
                self.new_hashes.push(found.bytes);
            }
        }
        found.len
    }

    /// What follows the store directory; how many bytes of it are taken.
    fn path(&mut self, rest: &[u8]) -> usize {
        let targets = rest.get(..32).and_then(hash::from_base32::<20>).and_then(|d| self.dictionary.targets.get(&d));
        let fits = |t: &&super::order::Target| rest.starts_with(&t.base) && self.is_known(t.reference);
        let wanted = |t: &&super::order::Target| self.actual.binary_search(&t.reference).is_ok();
        let list = targets.map(Vec::as_slice).unwrap_or_default();
        let target = list.iter().filter(fits).find(wanted).or_else(|| list.iter().find(fits));
        let Some(target) = target else {
            self.out.push(token::STORE);
            return 0;
        };
        self.found.insert(target.reference);
        self.reference(target.reference);
        target.base.len()
    }

    /// Whether the reader has it by now.
    fn is_known(&self, reference: Reference) -> bool {
        match reference {
            Reference::Output(id, output) => {
                let known = self.state.known.get(id as usize).and_then(|k| k.outputs.get(output as usize));
                known.is_some_and(|o| o.path.is_some()) && output < 150
            }
            Reference::Derivation(id) => (id as usize) < self.state.known.len(),
            Reference::Source(_) => true,
        }
    }

    fn reference(&mut self, reference: Reference) {
        match reference {
            Reference::Source(id) if id == self.used_sources => self.out.push(token::NEW_SOURCE),
            Reference::Source(id) => {
                self.out.push(token::SOURCE);
                push_id(&mut self.out, id);
            }
            Reference::Derivation(id) => {
                self.out.push(token::DRV_FILE);
                self.derivation(id);
            }
            Reference::Output(id, output) => {
                self.derivation(id);
                if self.state.known[id as usize].outputs.len() > 1 {
                    self.out.push(b'a' + output as u8);
                }
            }
        }
        if let Reference::Source(id) = reference {
            self.used_sources = self.used_sources.max(id + 1);
        }
    }

    fn derivation(&mut self, id: u32) {
        match self.top.iter().rev().position(|other| *other == id) {
            Some(below) => {
                self.top.remove(self.top.len() - 1 - below);
                if let Some(next) = self.below.checked_sub(1) {
                    self.top.insert(0, self.state.stack[next]);
                    self.below = next;
                }
                if below == 0 {
                    self.out.push(token::NEW);
                } else {
                    self.out.extend_from_slice(&[token::NEW_BELOW, below as u8]);
                }
            }
            None => {
                self.out.push(token::DRV);
                push_id(&mut self.out, id);
            }
        }
    }

    fn end(&mut self, mut exceptions: Exceptions) {
        let actual: BTreeSet<Reference> = self.actual.iter().copied().collect();
        exceptions.added = &actual - &self.found;
        exceptions.removed = &self.found - &actual;
        // The reader adds variables by itself; those that are missing are told only where it would.
        if exceptions == Exceptions::default() {
            self.out.push(token::END);
            return;
        }
        self.out.push(token::EXCEPTIONS);
        if exceptions.implied != 0 {
            self.out.extend_from_slice(&[exception::IMPLIED, exceptions.implied]);
        }
        if let Some(outputs) = &exceptions.outputs {
            self.out.push(exception::OUTPUTS);
            leb128::put(&mut self.out, outputs.len() as u64);
            for output in outputs {
                for field in [&output.name, &output.path, &output.algorithm, &output.hash] {
                    self.text(field);
                    self.out.push(token::END);
                }
            }
        }
        if !exceptions.no_entry.is_empty() {
            self.out.push(exception::NO_ENTRY);
            leb128::put(&mut self.out, exceptions.no_entry.len() as u64);
            for name in &exceptions.no_entry {
                self.out.extend_from_slice(name);
                self.out.push(0);
            }
        }
        for (code, set) in [(exception::REMOVED, &exceptions.removed), (exception::ADDED, &exceptions.added)] {
            if !set.is_empty() {
                self.out.push(code);
                leb128::put(&mut self.out, set.len() as u64);
                set.iter().for_each(|reference| push_reference(&mut self.out, *reference));
            }
        }
        self.out.push(exception::END);
    }
}
