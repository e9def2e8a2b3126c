//! Properties: any closure comes back as it was, and no bytes make the reader panic or leave its limits.

use super::*;
use crate::{
    Blob, ClaimedPath, MemorySpool, Node, Proven,
    derivation::{Derivation, FixedOutput, Input, Output, fixed_output_path, hash_modulo, output_path},
    hash::{self, Sha256},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Numbers from a seed (splitmix64): a closure is a function of one.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % sides.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.roll(n) == 0
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.roll(list.len())]
    }

    fn some<T: Clone>(&mut self, list: &[T]) -> Vec<T> {
        let most = self.roll(4);
        let mut out: Vec<T> = Vec::new();
        for _ in 0..most.min(list.len()) {
            out.push(self.pick(list).clone());
        }
        out
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.roll(256) as u8).collect()
    }
}

/// A derivation that others may use.
#[derive(Clone)]
struct Made {
    path: StorePath,
    outputs: Vec<Output>,
    input_hash: Option<Sha256>,
}

struct Maker {
    dice: Dice,
    dir: StoreDir,
    spool: MemorySpool,
    paths: Vec<ProvenPath>,
    derivations: Vec<Made>,
    sources: Vec<StorePath>,
}

const NAMES: [&[u8]; 10] = [
    b"hello-2.10",
    b"a",
    b"bash-4.4-p23",
    b"source",
    b"hello-2.10.tar.gz",
    b"x-unstable-2019-01-01",
    b"lib.so",
    b"0",
    b"perl5.30-A-1.2",
    b"-._+?=",
];

impl Maker {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            dir: StoreDir::default(),
            spool: MemorySpool::new(),
            paths: Vec::new(),
            derivations: Vec::new(),
            sources: Vec::new(),
        }
    }

    fn closure(mut self, size: usize) -> (Proven, MemorySpool) {
        for _ in 0..size {
            match self.dice.roll(10) {
                0..3 => self.source(),
                3 => self.strange_text(),
                _ => self.derivation(),
            }
        }
        let mut roots: Vec<StorePath> = Vec::new();
        let referred = |path: &StorePath| self.paths.iter().any(|p| p.path() != path && p.references().contains(path));
        roots.extend(self.paths.iter().map(|p| p.path().clone()).filter(|p| !referred(p)));
        roots.sort();
        roots.dedup();
        (Proven::new(self.dir, Some(roots), self.paths).unwrap(), self.spool)
    }

    fn name(&mut self) -> Vec<u8> {
        self.dice.pick(&NAMES).to_vec()
    }

    fn node(&mut self, depth: usize) -> Node {
        match self.dice.roll(if depth < 3 { 6 } else { 4 }) {
            0 => {
                Node::Symlink { target: self.dice.pick(&[&b"../x"[..], b"/nix/store", b"\xff\n\x01"]).to_vec().into() }
            }
            1..4 => {
                let len = *self.dice.pick(&[0, 1, 5, 300, 70_000]);
                // Few different contents, so that some are there twice.
                let contents = vec![self.dice.roll(3) as u8; len];
                Node::Regular { executable: self.dice.one_in(3), contents: self.spool.put(&contents).unwrap() }
            }
            _ => {
                let mut entries = BTreeMap::new();
                for _ in 0..self.dice.roll(4) {
                    let name = *self.dice.pick(&[&b"a"[..], b"b.c", b"b", b"\xff\xfe", b"a-b", b".d"]);
                    entries.insert(Box::<[u8]>::from(name), self.node(depth + 1));
                }
                Node::Directory { entries: entries.into_iter().collect() }
            }
        }
    }

    fn source(&mut self) {
        let name = self.name();
        let mut references = self.dice.some(&self.sources);
        references.sort();
        references.dedup();
        let address = *self.dice.pick(&[Address::Text, Address::Flat, Address::Recursive, Address::Trusted]);
        let mut content = self.node(0);
        if matches!(address, Address::Text | Address::Flat) {
            let len = self.dice.roll(50);
            let bytes = self.dice.bytes(len);
            content = Node::file(self.spool.put(&bytes).unwrap());
        }
        let nar = content.nar_hash(&self.spool).unwrap().0;
        let digest = match &content {
            Node::Regular { contents, .. } if address != Address::Recursive => {
                sha256(&self.spool.get(*contents).unwrap())
            }
            _ => nar,
        };
        if address == Address::Flat {
            references.clear();
        }
        let path = crate::address_path(&self.dir, address, &digest, &references, &name).unwrap();
        let (mut deriver, mut signatures) = (None, Vec::new());
        let path = path.unwrap_or_else(|| {
            deriver = self.derivations.first().map(|d| d.path.clone());
            signatures = vec!["key-1:AAAA".to_owned(); self.dice.roll(3)];
            StorePath::from_parts(&self.dice.bytes(20).try_into().unwrap(), &name).unwrap()
        });
        if address == Address::Trusted {
            if self.dice.one_in(2) {
                references.push(path.clone());
            }
            if let Some(made) = self.derivations.last().filter(|_| self.dice.0.is_multiple_of(5)) {
                references.push(made.path.clone());
            }
        }
        self.sources.push(path.clone());
        let claimed = ClaimedPath { path, references, content, deriver, signatures };
        self.paths.push(claimed.prove(&self.dir, &self.spool).unwrap());
    }

    /// A `.drv` that is no derivation, or one of a kind that is never taken apart.
    fn strange_text(&mut self) {
        let texts: [&[u8]; 4] = [
            b"",
            b"Derive(",
            br#"DrvWithVersion("xp-dyn-drv",[("out","","r:sha256","")],[],[],"x","b",[],[])"#,
            br#"Derive([],[],[],"\a","",[],[("b",""),("a",""),("a","")])"#,
        ];
        let text = self.dice.pick(&texts).to_vec();
        let mut references = self.dice.some(&self.sources);
        references.extend(self.derivations.last().map(|made| made.path.clone()));
        self.text(b"strange", text, references, &Derivation::default());
    }

    fn text(&mut self, name: &[u8], text: Vec<u8>, mut references: Vec<StorePath>, drv: &Derivation) {
        references.sort();
        references.dedup();
        let name = [name, b".drv"].concat();
        let path = crate::address_path(&self.dir, Address::Text, &sha256(&text), &references, &name).unwrap().unwrap();
        let content = Node::file(self.spool.put(&text).unwrap());
        let claimed = ClaimedPath { path: path.clone(), references, content, deriver: None, signatures: Vec::new() };
        self.paths.push(claimed.prove(&self.dir, &self.spool).unwrap());
        let of_input =
            |i: usize| self.derivations.iter().find(|m| self.full(&m.path) == drv.inputs[i].path)?.input_hash;
        let input_hash = drv.fixed_input_hash().or_else(|| {
            let known = !drv.versioned && drv.outputs.iter().all(|o| !o.path.is_empty());
            known.then(|| hash_modulo(drv, false, of_input)).flatten()
        });
        self.derivations.push(Made { path, outputs: drv.outputs.clone(), input_hash });
    }

    fn full(&self, path: &StorePath) -> Vec<u8> {
        self.dir.display(path).into_bytes()
    }

    /// A value: text of every kind, and paths that may or may not be inputs.
    fn value(&mut self, name: &[u8], mentioned: &[Vec<u8>]) -> Vec<u8> {
        let mut value = Vec::new();
        for _ in 0..self.dice.roll(5) {
            match self.dice.roll(12) {
                0 => value.extend_from_slice(name),
                1 => value.extend_from_slice(b"/nix/store/"),
                2 => value.extend(self.dice.bytes(6)),
                3 => value.extend_from_slice(b"\"quoted\" \\ \n\t\r ${x} 2.10"),
                4 => {
                    let len = *self.dice.pick(&[16, 20, 32, 64]);
                    // Few different ones, so that some come again.
                    let digest = vec![self.dice.roll(4) as u8 * 63; len];
                    let spelled = [hash::hex(&digest), hash::base32(&digest), hash::base64(&digest)];
                    value.extend_from_slice(self.dice.pick(&spelled).as_bytes());
                }
                5..8 if !mentioned.is_empty() => value.extend_from_slice(self.dice.pick::<Vec<u8>>(mentioned)),
                8 => {
                    if let Some(made) = self.derivations.first() {
                        value.extend(self.full(&made.path));
                    }
                }
                9 => {
                    if let Some(output) = self.derivations.last().and_then(|made| made.outputs.last()) {
                        value.extend_from_slice(&output.path);
                    }
                }
                _ => {
                    let text: &[u8] = self.dice.pick::<&[u8]>(&[b" ", b":", b"-dev/lib", b"abc", b"\x01"]);
                    value.extend_from_slice(text);
                }
            }
        }
        value
    }

    fn derivation(&mut self) {
        let name = self.name();
        let mut drv = Derivation::default();
        let mut references = self.dice.some(&self.sources);
        let mut mentioned: Vec<Vec<u8>> = references.iter().map(|r| self.full(r)).collect();
        drv.sources = mentioned.clone();
        let mut inputs = BTreeMap::new();
        for made in self.dice.some(&self.derivations) {
            let full = self.full(&made.path);
            references.push(made.path.clone());
            if made.outputs.is_empty() || self.dice.one_in(6) {
                drv.sources.push(full.clone());
                mentioned.push(full);
                continue;
            }
            let mut outputs: Vec<Vec<u8>> = self.dice.some(&made.outputs).into_iter().map(|o| o.name).collect();
            if outputs.is_empty() {
                outputs.push(made.outputs[0].name.clone());
            }
            outputs.sort();
            outputs.dedup();
            mentioned.extend(made.outputs.iter().filter(|o| outputs.contains(&o.name)).map(|o| o.path.clone()));
            inputs.insert(full, outputs);
        }
        drv.inputs = inputs.into_iter().map(|(path, outputs)| Input { path, outputs }).collect();
        drv.sources.sort();
        drv.sources.dedup();
        drv.system = self.dice.pick(&[&b"x86_64-linux"[..], b"builtin", b""]).to_vec();
        drv.builder = if self.dice.one_in(3) { self.value(&name, &mentioned) } else { b"/bin/sh".to_vec() };
        for _ in 0..self.dice.roll(4) {
            let arg = self.value(&name, &mentioned);
            drv.args.push(arg);
        }
        let outputs: &[&[u8]] = match self.dice.roll(4) {
            0 => &[b"dev", b"out"],
            1 => &[b"a", b"lib", b"out"],
            _ => &[b"out"],
        };
        let structured = self.dice.one_in(4);
        let mut env: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for key in [&b"src"[..], b"buildInputs", b"own key", b"", b"\xff", b"a\0b"] {
            if self.dice.one_in(2) && (key != b"a\0b" || self.dice.one_in(8)) {
                let value = self.value(&name, &mentioned);
                env.insert(key.to_vec(), value);
            }
        }
        let implied =
            [(&b"name"[..], name.clone()), (b"builder", drv.builder.clone()), (b"system", drv.system.clone())];
        for (key, value) in implied {
            match self.dice.roll(8) {
                0 => {}
                1 => _ = env.insert(key.to_vec(), b"other".to_vec()),
                _ if structured => {}
                _ => _ = env.insert(key.to_vec(), value),
            }
        }
        let mut fixed = Vec::new();
        if outputs.len() == 1 && self.dice.one_in(3) {
            fixed = self.fixed();
        }
        if structured {
            let list: Vec<String> = outputs.iter().map(|o| format!("{:?}", String::from_utf8_lossy(o))).collect();
            let texts = fixed.iter().map(|(k, v)| format!("{k:?}:{v:?},")).collect::<String>();
            let inner = self.value(&name, &mentioned);
            let json =
                [format!("{{{texts}\"outputs\":[{}],\"x\":\"", list.join(",")).as_bytes(), &inner, b"\"}"].concat();
            env.insert(b"__json".to_vec(), json);
        } else {
            env.extend(fixed.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.clone().into_bytes())));
            if outputs != [b"out"] || self.dice.one_in(2) {
                env.insert(b"outputs".to_vec(), outputs.join(&b' '));
            }
        }
        drv.outputs = outputs.iter().map(|name| Output { name: name.to_vec(), ..Output::default() }).collect();
        let with_entries = !self.dice.one_in(6);
        if with_entries {
            env.extend(outputs.iter().map(|name| (name.to_vec(), Vec::new())));
        }
        drv.env = env.into_iter().collect();
        self.set_outputs(&name, &mut drv, &fixed);
        if with_entries {
            for output in &drv.outputs {
                let entry = drv.env.iter_mut().find(|(key, _)| *key == output.name);
                entry.unwrap().1.clone_from(&output.path);
            }
        }
        if self.dice.one_in(10) {
            drv.env.reverse();
        }
        self.text(&name, drv.print(), references, &drv);
    }

    /// Attributes of a fixed output, spelled in one of the ways that Nix knows.
    fn fixed(&mut self) -> Vec<(&'static str, String)> {
        let (algorithm, len) = *self.dice.pick(&[("md5", 16), ("sha1", 20), ("sha256", 32), ("sha512", 64)]);
        let digest = self.dice.bytes(len);
        let text = match self.dice.roll(3) {
            0 => hash::hex(&digest),
            1 => hash::base32(&digest),
            _ => hash::base64(&digest),
        };
        let (hash, algorithm) = match self.dice.roll(5) {
            0 => (format!("{algorithm}-{}", hash::base64(&digest)), String::new()),
            1 => (format!("{algorithm}:{text}"), algorithm.to_owned()),
            _ => (text, algorithm.to_owned()),
        };
        let mut out = vec![("outputHash", hash), ("outputHashAlgo", algorithm)];
        match self.dice.roll(4) {
            0 => {}
            1 => out.push(("outputHashMode", "flat".to_owned())),
            2 => out.push(("outputHashMode", "nonsense".to_owned())),
            _ => out.push(("outputHashMode", "recursive".to_owned())),
        }
        out
    }

    fn set_outputs(&mut self, name: &[u8], drv: &mut Derivation, fixed: &[(&str, String)]) {
        let attribute = |key: &str| fixed.iter().find(|(k, _)| *k == key).map(|(_, v)| v.as_bytes());
        match self.dice.roll(8) {
            // As the build will tell.
            0 => {
                let hash = if self.dice.one_in(2) { b"impure".to_vec() } else { Vec::new() };
                for output in &mut drv.outputs {
                    (output.algorithm, output.hash) = (b"r:sha256".to_vec(), hash.clone());
                }
            }
            // Not what Nix would have computed.
            1 => {
                for output in &mut drv.outputs {
                    output.path = format!("/nix/store/{}-odd", "0".repeat(32)).into_bytes();
                }
            }
            _ if !fixed.is_empty() => {
                let given = attribute("outputHashAlgo").unwrap();
                let parsed = super::hash_text::parse_output_hash(attribute("outputHash").unwrap(), given);
                let (algorithm, hash) = parsed.unwrap();
                let recursive = attribute("outputHashMode") == Some(b"recursive");
                let algorithm = if recursive { [b"r:", algorithm.as_slice()].concat() } else { algorithm };
                let fixed = FixedOutput { algorithm, hash: hash.into_bytes() };
                let path = fixed_output_path(&self.dir, &fixed, name).unwrap();
                drv.outputs[0].path = self.full(&path);
                (drv.outputs[0].algorithm, drv.outputs[0].hash) = (fixed.algorithm, fixed.hash);
            }
            _ => {
                let of =
                    |i: usize| self.derivations.iter().find(|m| self.full(&m.path) == drv.inputs[i].path)?.input_hash;
                // Below a floating output nothing is known.
                let Some(masked) = hash_modulo(drv, true, of) else { return };
                for output in &mut drv.outputs {
                    let path = output_path(&self.dir, &masked, name, &output.name).unwrap();
                    output.path = self.dir.display(&path).into_bytes();
                }
            }
        }
    }
}

struct Sections {
    names: Vec<u8>,
    contents: Vec<u8>,
    hashes: Vec<u8>,
    records: Vec<u8>,
}

fn sections(closure: &Proven, spool: &MemorySpool) -> (EncodedRecipe, Sections) {
    let encoded = encode(closure, spool, &mut |blob: Blob| Ok(blob.len == 300), &mut |_| {}).unwrap();
    let mut contents = Vec::new();
    for (blob, _) in &encoded.contents {
        contents.extend(spool.get(*blob).unwrap());
    }
    let names = encoded.source_names.clone();
    let sections = Sections { names, contents, hashes: encoded.hashes.clone(), records: encoded.derivations.clone() };
    (encoded, sections)
}

fn decode(sections: &Sections, limits: &RecipeLimits) -> Result<(Vec<ProvenPath>, MemorySpool), RecipeError> {
    let mut spool = MemorySpool::new();
    spool.append(&sections.contents)?;
    let list = SourceList::read(&mut sections.names.as_slice(), 0, limits)?;
    let digests = (0..list.len()).map(|i| list.digest(i, &spool)).collect::<io::Result<_>>()?;
    let dir = StoreDir::default();
    let mut paths = list.resolve(&dir, digests)?;
    let sources = paths.iter().map(|p| p.path().clone()).collect();
    let (mut records, mut hashes) = (sections.records.as_slice(), sections.hashes.as_slice());
    let mut reader = DerivationReader::new(&dir, sources, &mut records, &mut hashes, limits.clone());
    while let Some(path) = reader.next(&mut spool)? {
        paths.push(path);
    }
    Ok((paths, spool))
}

/// Everything that must survive, by path.
fn essence(paths: &[ProvenPath], spool: &MemorySpool) -> BTreeMap<StorePath, impl PartialEq + std::fmt::Debug> {
    let one = |p: &ProvenPath| {
        assert_eq!(p.content().nar_hash(spool).unwrap(), (*p.nar_hash(), p.nar_size()));
        let signed = (p.address() == Address::Trusted).then(|| (p.deriver().cloned(), p.signatures().to_vec()));
        (p.references().to_vec(), *p.nar_hash(), p.content_address(), signed)
    };
    paths.iter().map(|p| (p.path().clone(), one(p))).collect()
}

/// The limits that the header of this closure's file gives its reader, to the byte.
fn limits(encoded: &EncodedRecipe, sections: &Sections) -> RecipeLimits {
    RecipeLimits {
        paths: encoded.derivation_count.max(encoded.source_count),
        contents: sections.contents.len() as u64,
        derivations: encoded.text_bytes,
        ..RecipeLimits::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_closure_comes_back_as_it_was(seed: u64, size in 1usize..30) {
        let (closure, spool) = Maker::new(seed).closure(size);
        let (encoded, sections) = sections(&closure, &spool);
        let (paths, back) = decode(&sections, &limits(&encoded, &sections)).unwrap();
        prop_assert_eq!(essence(closure.paths(), &spool), essence(&paths, &back));
        let decoded = Proven::new(closure.store_dir().clone(), Some(closure.roots().to_vec()), paths).unwrap();
        prop_assert_eq!(decoded.paths().len(), closure.paths().len());
    }

    #[test]
    fn the_sections_do_not_depend_on_the_order_of_the_paths(seed: u64, size in 1usize..20) {
        let (closure, spool) = Maker::new(seed).closure(size);
        let mut paths = closure.paths().to_vec();
        paths.reverse();
        let other = Proven::new(closure.store_dir().clone(), Some(closure.roots().to_vec()), paths).unwrap();
        let ((_, a), (_, b)) = (sections(&closure, &spool), sections(&other, &spool));
        prop_assert!(a.names == b.names && a.contents == b.contents && a.hashes == b.hashes && a.records == b.records);
    }

    #[test]
    fn damaged_sections_neither_panic_nor_leave_the_limits(
        seed: u64,
        size in 1usize..12,
        damage in proptest::collection::vec((0u8..4, any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..6),
    ) {
        let (closure, spool) = Maker::new(seed).closure(size);
        let (encoded, mut sections) = sections(&closure, &spool);
        let limits = limits(&encoded, &sections);
        for (section, place, byte, how) in damage {
            let Sections { names, hashes, records, .. } = &mut sections;
            let bytes = match section { 0 => names, 1 => hashes, _ => records };
            if bytes.is_empty() {
                continue;
            }
            let at = place.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] %= 0x20,
                2 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        if let Ok((paths, _)) = decode(&sections, &limits) {
            let texts: u64 = paths.iter().filter(|p| p.is_derivation()).map(ProvenPath::nar_size).sum();
            prop_assert!(texts <= limits.derivations + 200 * paths.len() as u64);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(
        names in proptest::collection::vec(prop_oneof![0u8..0x20, any::<u8>()], 0..200),
        hashes in proptest::collection::vec(any::<u8>(), 0..100),
        records in proptest::collection::vec(prop_oneof![0u8..0x20, 0x61u8..0x6b, any::<u8>()], 0..300),
    ) {
        let limits = RecipeLimits { paths: 50, contents: 1000, derivation: 5000, derivations: 20_000 };
        _ = decode(&Sections { names: names.clone(), contents: vec![7; 1000], hashes: hashes.clone(), records: Vec::new() }, &limits);
        _ = decode(&Sections { names: vec![0, 0], contents: Vec::new(), hashes, records }, &limits);
    }
}

fn record_of(bytes: &[u8], limits: RecipeLimits) -> Result<Option<ProvenPath>, RecipeError> {
    let (mut records, mut hashes): (&[u8], &[u8]) = (bytes, &[]);
    DerivationReader::new(&StoreDir::default(), Vec::new(), &mut records, &mut hashes, limits)
        .next(&mut MemorySpool::new())
}

#[test]
fn parts_that_take_no_text_still_count() {
    let limits = || RecipeLimits { derivation: 10_000, ..RecipeLimits::default() };
    // name, system, builder
    let start = b"a\0\0\0";
    let args = [&start[..], &[token::NEXT_ARG; 20_000]].concat();
    let mut keys = [&start[..], &[token::NO_ARGS]].concat();
    (0..20_000u32).for_each(|i| keys.extend_from_slice(format!("\u{fe}{i}\0\0").replace('\u{fe}', "\u{1}").as_bytes()));
    let keys: Vec<u8> = keys.iter().map(|b| if *b == 1 { token::NEW_KEY } else { *b }).collect();
    let outputs = [&start[..], &[token::NO_ARGS, token::EXCEPTIONS, 2, 0xa0, 0x9c, 1], &[0; 80_000]].concat();
    for bytes in [args, keys, outputs] {
        let error = record_of(&bytes, limits()).unwrap_err().to_string();
        assert!(error.contains("longer than the limit"), "{error}");
    }
}

#[test]
fn a_source_of_deep_folders_with_many_files_is_refused_before_its_paths_fill_memory() {
    // 2000 folders of long names inside each other, and files below the last: each path has half a megabyte.
    let mut names = vec![1, b's', 0, 2, 0];
    for _ in 0..2000 {
        names.push(b'd');
        names.extend_from_slice(&[b'x'; 255]);
        names.push(0);
    }
    names.push(b'd');
    for i in 0..2000u32 {
        names.extend_from_slice(format!("{i:08}\0f").as_bytes());
    }
    let error = SourceList::read(&mut names.as_slice(), 0, &RecipeLimits::default()).err().unwrap().to_string();
    assert!(error.contains("names"), "{error}");
}

#[test]
fn a_derivation_with_thousands_of_inputs_takes_no_cubic_time() {
    let mut maker = Maker::new(0);
    let out = |path| Output { name: b"out".to_vec(), path, ..Output::default() };
    for i in 0..3000 {
        let name = format!("leaf-{i}");
        let path = format!("/nix/store/{}-{name}", hash::base32(&sha256(name.as_bytes())[..20])).into_bytes();
        let drv = Derivation { outputs: vec![out(path)], ..Derivation::default() };
        maker.text(name.as_bytes(), drv.print(), Vec::new(), &drv);
    }
    let mut leaves: Vec<&Made> = maker.derivations.iter().collect();
    leaves.sort_by_key(|made| &made.path);
    let inputs = leaves.iter().map(|made| Input { path: maker.full(&made.path), outputs: vec![b"out".to_vec()] });
    let all: Vec<&[u8]> = maker.derivations.iter().map(|made| made.outputs[0].path.as_slice()).collect();
    let env = vec![(b"all".to_vec(), all.join(&b' '))];
    let drv = Derivation { inputs: inputs.collect(), env, ..Derivation::default() };
    let references = maker.derivations.iter().map(|made| made.path.clone()).collect();
    maker.text(b"all", drv.print(), references, &drv);
    let (closure, spool) = maker.closure(0);
    let (encoded, sections) = sections(&closure, &spool);
    let (paths, _) = decode(&sections, &limits(&encoded, &sections)).unwrap();
    assert_eq!(paths.len(), 3001);
    // Taken from the stack one by one: a byte each.
    assert!(encoded.record_bytes.last().is_some_and(|n| *n < 7000), "{:?}", encoded.record_bytes.last());
}
