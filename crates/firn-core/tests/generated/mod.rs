//! Closures from a seed: sources of every kind, derivations that Nix and nobody would write, and closures that are much like
//! another one. Unit tests and integration tests take them in by path.

#![allow(dead_code, reason = "each user makes some of them")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod derivation;

use firn_core::{
    Address, ClaimedPath, MemorySpool, Node, Proven, ProvenPath, Spool, StoreDir, StorePath, address_path,
    derivation::{Derivation, Output, hash_modulo},
    hash::{Sha256, sha256},
};
use std::collections::BTreeMap;

/// Numbers from a seed (splitmix64): a closure is a function of one.
pub(crate) struct Dice(u64);

impl Dice {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        (self.number() % sides.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
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
pub(crate) struct Made {
    pub(crate) path: StorePath,
    pub(crate) outputs: Vec<Output>,
    input_hash: Option<Sha256>,
}

/// What one path is made from: its own numbers, and others for what is changed in it afterwards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    seed: u64,
    change: Option<u64>,
}

/// Steps of a closure of about so many paths.
pub(crate) fn plan(seed: u64, size: usize) -> Vec<Step> {
    let mut dice = Dice(seed);
    (0..size).map(|_| Step { seed: dice.number(), change: None }).collect()
}

/// The steps of a closure that is much like another one: some are gone, some new, some changed. What is gone or new changes
/// what refers to it.
pub(crate) fn changed(plan: &[Step], seed: u64) -> Vec<Step> {
    let mut dice = Dice(seed);
    let mut steps = Vec::new();
    for step in plan {
        match dice.roll(12) {
            0 => {}
            1 => steps.extend([Step { seed: dice.number(), change: None }, *step]),
            2..5 => steps.push(Step { change: Some(dice.number()), ..*step }),
            _ => steps.push(*step),
        }
    }
    steps
}

/// Makes one closure.
pub(crate) struct Maker<S = MemorySpool> {
    dice: Dice,
    change: Option<Dice>,
    dir: StoreDir,
    spool: S,
    paths: Vec<ProvenPath>,
    pub(crate) derivations: Vec<Made>,
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
    pub(crate) fn new(seed: u64) -> Self {
        Self::into_spool(seed, MemorySpool::new())
    }
}

impl<S: Spool> Maker<S> {
    fn into_spool(seed: u64, spool: S) -> Self {
        Self {
            dice: Dice(seed),
            change: None,
            dir: StoreDir::default(),
            spool,
            paths: Vec::new(),
            derivations: Vec::new(),
            sources: Vec::new(),
        }
    }

    /// The closure of some steps; its contents are appended to the spool.
    pub(crate) fn of_steps(steps: &[Step], spool: S) -> (Proven, S) {
        let mut maker = Self::into_spool(0, spool);
        for step in steps {
            (maker.dice, maker.change) = (Dice(step.seed), step.change.map(Dice));
            maker.path();
        }
        maker.closure(0)
    }

    /// The closure of what was made, and so many paths more.
    pub(crate) fn closure(mut self, size: usize) -> (Proven, S) {
        (0..size).for_each(|_| self.path());
        let mut roots: Vec<StorePath> = Vec::new();
        let referred = |path: &StorePath| self.paths.iter().any(|p| p.path() != path && p.references().contains(path));
        roots.extend(self.paths.iter().map(|p| p.path().clone()).filter(|p| !referred(p)));
        roots.sort();
        roots.dedup();
        (Proven::new(self.dir, Some(roots), self.paths).unwrap(), self.spool)
    }

    fn path(&mut self) {
        match self.dice.roll(10) {
            0..3 => self.source(),
            3 => self.strange_text(),
            _ => self.derivation(),
        }
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
                let contents = match self.dice.roll(5) {
                    byte @ 0..3 => vec![byte as u8; len],
                    _ => (0..len / 6).flat_map(|_| format!("{:04x}\n", self.dice.roll(1 << 16)).into_bytes()).collect(),
                };
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

    /// Changes one thing in a tree: a file's contents or kind, or what a folder holds.
    fn change_node(&mut self, node: &mut Node, change: &mut Dice) {
        match node {
            Node::Symlink { .. } => *node = Node::file(self.spool.put(b"was a link").unwrap()),
            Node::Regular { executable, .. } if change.one_in(3) => *executable = !*executable,
            Node::Regular { contents, .. } => {
                let mut bytes = self.spool.get(*contents).unwrap();
                let at = change.roll(bytes.len());
                bytes.splice(at..at, *b"new");
                *contents = self.spool.put(&bytes).unwrap();
            }
            Node::Directory { entries } => {
                let mut sorted: BTreeMap<Box<[u8]>, Node> = std::mem::take(entries).into_iter().collect();
                let name = sorted.keys().nth(change.roll(sorted.len().max(1))).cloned();
                match (change.roll(4), name) {
                    (0, Some(name)) => _ = sorted.remove(&name),
                    (1, Some(name)) => {
                        let child = sorted.remove(&name).unwrap();
                        sorted.insert(b"renamed"[..].into(), child);
                    }
                    (2.., Some(name)) => self.change_node(sorted.get_mut(&name).unwrap(), change),
                    _ => _ = sorted.insert(b"added"[..].into(), Node::file(self.spool.put(b"added").unwrap())),
                }
                *entries = sorted.into_iter().collect();
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
            let mut bytes = self.dice.bytes(len);
            bytes.extend(self.change.take().map(|mut change| change.roll(256) as u8));
            content = Node::file(self.spool.put(&bytes).unwrap());
        } else if let Some(mut change) = self.change.take() {
            self.change_node(&mut content, &mut change);
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
        let path = address_path(&self.dir, address, &digest, &references, &name).unwrap();
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

    /// A text that others may use as `drv`.
    pub(crate) fn text(&mut self, name: &[u8], text: Vec<u8>, mut references: Vec<StorePath>, drv: &Derivation) {
        references.sort();
        references.dedup();
        let name = [name, b".drv"].concat();
        let path = address_path(&self.dir, Address::Text, &sha256(&text), &references, &name).unwrap().unwrap();
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

    /// Adds a tree as a source.
    pub(crate) fn tree(&mut self, content: Node) {
        let digest = content.nar_hash(&self.spool).unwrap().0;
        let path = address_path(&self.dir, Address::Recursive, &digest, &[], b"source").unwrap().unwrap();
        let claimed = ClaimedPath { path, references: Vec::new(), content, deriver: None, signatures: Vec::new() };
        self.paths.push(claimed.prove(&self.dir, &self.spool).unwrap());
    }

    /// Where a text is.
    pub(crate) fn file(&mut self, text: &str) -> Node {
        Node::file(self.spool.put(text.as_bytes()).unwrap())
    }

    pub(crate) fn full(&self, path: &StorePath) -> Vec<u8> {
        self.dir.display(path).into_bytes()
    }
}
