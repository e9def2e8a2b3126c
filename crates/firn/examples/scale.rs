//! Large closures as export streams, for `cargo xtask scale`: `scale KIND [FOLDER]` writes one to standard output. The same
//! arguments and the same folder give the same bytes.

use firn::FileSpool;
use firn_core::{
    Blob, ClaimedPath, Node, Proven, ProvenPath, Spool, StoreDir, StorePath,
    derivation::{Derivation, Input, InputHash, Output, hash_modulo, output_path},
    export,
    hash::{self, Sha256},
};
use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

type Anything<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "scale tree FOLDER | text FOLDER | random | tiny | flat | copies | derivations";

/// Files and bytes of the source tree.
const TREE: (usize, u64) = (50_000, 400_000_000);
/// Bytes of the large file.
const LARGE: u64 = 1_000_000_000;
/// Files that are tiny, or in one directory.
const TINY: usize = 50_000;
/// Derivations.
const DERIVATIONS: usize = 100_000;

fn main() -> Anything<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut maker = Maker::new()?;
    match words[..] {
        ["tree", folder] => maker.tree(Path::new(folder))?,
        ["text", folder] => maker.text(Path::new(folder))?,
        ["random"] => maker.random()?,
        ["tiny"] => maker.tiny()?,
        ["flat"] => maker.flat()?,
        ["copies"] => maker.copies()?,
        ["derivations"] => maker.derivations()?,
        _ => return Err(USAGE.into()),
    }
    maker.finish()
}

/// Numbers from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn roll(&mut self, sides: usize) -> usize {
        (self.next() % sides.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.roll(words.len())]
    }

    fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.roll(16)])).collect()
    }
}

/// A derivation that others may use.
struct Made {
    path: StorePath,
    out: StorePath,
    input_hash: InputHash,
}

/// Directories and files by name, before they are nodes.
#[derive(Default)]
struct Folder(BTreeMap<Box<[u8]>, Entry>);

enum Entry {
    File(Blob),
    Folder(Folder),
}

impl Folder {
    fn put(&mut self, path: &[u8], file: Blob) {
        match path.iter().position(|b| *b == b'/') {
            None => drop(self.0.insert(path.into(), Entry::File(file))),
            Some(slash) => {
                let entry = self.0.entry(path[..slash].into()).or_insert_with(|| Entry::Folder(Self::default()));
                if let Entry::Folder(folder) = entry {
                    folder.put(&path[slash + 1..], file);
                }
            }
        }
    }

    fn node(self) -> Node {
        let node = |entry| match entry {
            Entry::File(blob) => Node::file(blob),
            Entry::Folder(folder) => folder.node(),
        };
        Node::Directory { entries: self.0.into_iter().map(|(name, entry)| (name, node(entry))).collect() }
    }
}

struct Maker {
    dice: Dice,
    store_dir: StoreDir,
    spool: FileSpool,
    paths: Vec<ProvenPath>,
}

impl Maker {
    fn new() -> io::Result<Self> {
        let spool = FileSpool::new(&std::env::temp_dir())?;
        Ok(Self { dice: Dice(1), store_dir: StoreDir::default(), spool, paths: Vec::new() })
    }

    fn finish(self) -> Anything<()> {
        let closure = Proven::new(self.store_dir, None, self.paths)?;
        let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
        export::write(&closure, &self.spool, &mut out)?;
        Ok(out.flush()?)
    }

    fn add(&mut self, path: StorePath, references: Vec<StorePath>, content: Node) -> Anything<()> {
        let claimed = ClaimedPath { path, references, content, deriver: None, signatures: Vec::new() };
        self.paths.push(claimed.prove(&self.store_dir, &self.spool)?);
        Ok(())
    }

    fn source(&mut self, name: &str, content: Node) -> Anything<StorePath> {
        let (digest, _) = content.nar_hash(&self.spool)?;
        let path = self.store_dir.make_path("source", &digest, name.as_bytes())?;
        self.add(path.clone(), Vec::new(), content)?;
        Ok(path)
    }

    /// A system that has one source.
    fn system(&mut self, name: &str, content: Node) -> Anything<()> {
        let source = self.source("source", content)?;
        let root = format!("nixos-system-{name}-26.11");
        self.derivation(&root, &[], &[source], Vec::new())?;
        Ok(())
    }

    fn derivation(
        &mut self,
        name: &str,
        inputs: &[&Made],
        sources: &[StorePath],
        variables: Vec<(String, String)>,
    ) -> Anything<Made> {
        let show = |path: &StorePath| self.store_dir.display(path).into_bytes();
        let mut sorted: Vec<&&Made> = inputs.iter().collect();
        sorted.sort_by(|a, b| a.path.cmp(&b.path));
        sorted.dedup_by(|a, b| a.path == b.path);
        let mut sources: Vec<StorePath> = sources.to_vec();
        sources.sort();
        sources.dedup();
        let mut env: BTreeMap<Vec<u8>, Vec<u8>> =
            variables.into_iter().map(|(key, value)| (key.into_bytes(), value.into_bytes())).collect();
        for (key, value) in [("name", name), ("builder", "/bin/sh"), ("system", "x86_64-linux"), ("out", "")] {
            env.insert(key.into(), value.into());
        }
        for (number, source) in sources.iter().enumerate() {
            env.insert(format!("source{number}").into_bytes(), show(source));
        }
        let mut drv = Derivation {
            outputs: vec![Output { name: b"out".to_vec(), ..Output::default() }],
            inputs: sorted.iter().map(|i| Input { path: show(&i.path), outputs: vec![b"out".to_vec()] }).collect(),
            sources: sources.iter().map(show).collect(),
            system: b"x86_64-linux".to_vec(),
            builder: b"/bin/sh".to_vec(),
            args: vec![b"-c".to_vec(), b"echo".to_vec()],
            env: env.into_iter().collect(),
            versioned: false,
        };
        let hashed = |drv: &Derivation, masked| {
            hash_modulo(drv, masked, |n| Some(sorted[n].input_hash)).ok_or("an input without a hash")
        };
        let masked: Sha256 = hashed(&drv, true)?;
        let out = output_path(&self.store_dir, &masked, name.as_bytes(), b"out")?;
        drv.outputs[0].path = show(&out);
        for (key, value) in &mut drv.env {
            if key == b"out" {
                *value = show(&out);
            }
        }
        let input_hash = hashed(&drv, false)?;
        let text = drv.print();
        let mut references: Vec<StorePath> = sorted.iter().map(|i| i.path.clone()).chain(sources).collect();
        references.sort();
        let mut kind = "text".to_owned();
        references.iter().for_each(|path| kind.push_str(&format!(":{}", self.store_dir.display(path))));
        let path = self.store_dir.make_path(&kind, &hash::sha256(&text), format!("{name}.drv").as_bytes())?;
        let content = Node::file(self.spool.put(&text)?);
        self.add(path.clone(), references, content)?;
        Ok(Made { path, out, input_hash })
    }

    /// The files of a folder again and again, each time with other words of their own in every twelfth place, until there are
    /// enough; then larger ones until they have the bytes.
    fn tree(&mut self, from: &Path) -> Anything<()> {
        let files = files(from)?;
        let (mut tree, mut count, mut bytes) = (Folder::default(), 0, 0);
        // Files of this size give as many bytes as are wanted in as many files.
        let wanted = TREE.1 / TREE.0 as u64;
        for copy in 0.. {
            for path in &files {
                let text = std::fs::read(path)?;
                // Large ones have to wait while there are bytes enough for as many files, small ones the other way round.
                let ahead = bytes > count as u64 * wanted;
                if count > 1000 && (text.len() as u64 > wanted) == ahead {
                    continue;
                }
                let text = if copy == 0 { text } else { self.vary(&text) };
                let mut name = format!("{copy}/").into_bytes();
                name.extend_from_slice(path.strip_prefix(from)?.as_os_str().as_encoded_bytes());
                tree.put(&name, self.spool.put(&text)?);
                (count, bytes) = (count + 1, bytes + text.len() as u64);
                if count >= TREE.0 && bytes >= TREE.1 {
                    return self.system("tree", tree.node());
                }
            }
        }
        Ok(())
    }

    /// All files of a folder in one, again and again.
    fn text(&mut self, from: &Path) -> Anything<()> {
        let start = self.spool.len();
        let files = files(from)?;
        for copy in 0.. {
            for path in &files {
                let text = std::fs::read(path)?;
                let text = if copy == 0 { text } else { self.vary(&text) };
                self.spool.put(&text)?;
                let len = self.spool.len() - start;
                if len >= LARGE {
                    return self.system("text", Node::file(Blob { offset: start, len: LARGE }));
                }
            }
        }
        Ok(())
    }

    fn vary(&mut self, text: &[u8]) -> Vec<u8> {
        let mut words: Vec<&[u8]> = text.split_inclusive(|b| *b == b' ').collect();
        let mut at = self.dice.roll(12);
        while at < words.len() {
            let other = self.dice.roll(words.len());
            words[at] = words[other];
            at += 1 + self.dice.roll(23);
        }
        words.concat()
    }

    fn random(&mut self) -> Anything<()> {
        let start = self.spool.len();
        let mut piece = vec![0; 1 << 20];
        while self.spool.len() - start < LARGE {
            piece.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.dice.next().to_le_bytes()));
            self.spool.put(&piece)?;
        }
        self.system("random", Node::file(Blob { offset: start, len: LARGE }))
    }

    fn tiny(&mut self) -> Anything<()> {
        let mut tree = Folder::default();
        for n in 0..TINY {
            let text = format!("{n} {}\n", self.dice.hex(8));
            let path = format!("{}/{}/{n}.conf", n / 2500, n / 50);
            tree.put(path.as_bytes(), self.spool.put(text.as_bytes())?);
        }
        self.system("tiny", tree.node())
    }

    fn flat(&mut self) -> Anything<()> {
        let mut tree = Folder::default();
        for n in 0..TINY {
            let text = format!("option.{n} = {};\n", self.dice.hex(4)).repeat(1 + self.dice.roll(40));
            tree.put(format!("option-{}-{n}.nix", self.dice.hex(6)).as_bytes(), self.spool.put(text.as_bytes())?);
        }
        self.system("flat", tree.node())
    }

    /// A small tree, twice, with other words the second time; and two versions of a file of 2 MB.
    fn copies(&mut self) -> Anything<()> {
        let mut tree = Folder::default();
        let word = |dice: &mut Dice| format!("{} ", dice.hex(4));
        for n in 0..600 {
            let words: Vec<String> = (0..24).map(|_| word(&mut self.dice)).collect();
            for folder in ["earlier", "later"] {
                let mut words = words.clone();
                if folder == "later" {
                    words[n % 24] = "changed ".to_owned();
                }
                let text = words.concat().repeat(40);
                tree.put(format!("{folder}/{}/{n}.nix", n % 20).as_bytes(), self.spool.put(text.as_bytes())?);
            }
        }
        let words: String = (0..99).map(|_| word(&mut self.dice)).collect();
        for version in 1..=2 {
            let text = format!("{}\nversion {version}\n", words.repeat(5000));
            tree.put(format!("options-{version}.json").as_bytes(), self.spool.put(text.as_bytes())?);
        }
        self.system("copies", tree.node())
    }

    /// Packages with sources that are fetched, patches and what they are built with, as nixpkgs has them.
    fn derivations(&mut self) -> Anything<()> {
        const STEMS: [&str; 16] = [
            "python3.13-",
            "perl5.42-",
            "lib",
            "haskell-",
            "rust_",
            "gnome-",
            "kde-",
            "x",
            "go-",
            "r-",
            "ocaml-",
            "node-",
            "texlive-",
            "unit-",
            "etc-",
            "font-",
        ];
        const WORDS: [&str; 16] = [
            "http", "json", "xml", "date", "core", "async", "crypto", "sound", "image", "socket", "table", "proto",
            "cache", "shell", "parser", "query",
        ];
        let setup = self.spool.put(b"source $stdenv/setup\ngenericBuild\n")?;
        let builder = self.source("builder.sh", Node::file(setup))?;
        let mut all: Vec<Made> = Vec::new();
        // What nobody has used yet, so that the root reaches all.
        let mut unused: Vec<usize> = Vec::new();
        while all.len() < DERIVATIONS - 1 {
            let name = format!("{}{}-{}", self.dice.pick(&STEMS), self.dice.pick(&WORDS), self.dice.pick(&WORDS));
            let version = format!("{}.{}.{}", self.dice.roll(9), self.dice.roll(30), self.dice.roll(12));
            let text = |text: &str| text.to_owned();
            if self.dice.roll(5) < 2 {
                let url = format!("https://files.example.org/{name}/{name}-{version}.tar.gz");
                let variables = vec![
                    (text("urls"), url),
                    (text("sha"), self.dice.hex(64)),
                    (text("preferLocalBuild"), text("1")),
                    (text("impureEnvVars"), text("http_proxy https_proxy ftp_proxy all_proxy no_proxy")),
                ];
                let made = self.derivation(
                    &format!("{name}-{version}.tar.gz"),
                    &[],
                    std::slice::from_ref(&builder),
                    variables,
                )?;
                unused.push(all.len());
                all.push(made);
                continue;
            }
            let mut sources = vec![builder.clone()];
            if self.dice.roll(8) == 0 {
                let patch =
                    format!("--- a/configure\n+++ b/configure\n@@ -{0} +{0} @@\n-{1}\n", self.dice.roll(999), name);
                let patch = self.spool.put(patch.as_bytes())?;
                let name = format!("fix-{}.patch", self.dice.hex(12));
                let patch = self.source(&name, Node::file(patch))?;
                sources.push(patch);
            }
            let mut inputs: Vec<usize> = (0..self.dice.roll(4)).filter_map(|_| unused.pop()).collect();
            let near = all.len().min(2000);
            inputs.extend((0..self.dice.roll(8)).filter(|_| near > 0).map(|_| all.len() - 1 - self.dice.roll(near)));
            inputs.extend((0..3).filter(|n| *n < all.len()));
            let list = |numbers: &[usize], all: &[Made]| {
                let shown = numbers.iter().map(|n| self.store_dir.display(&all[*n].out));
                shown.collect::<Vec<_>>().join(" ")
            };
            let half = inputs.len() / 2;
            let variables = vec![
                (text("buildInputs"), list(&inputs[..half], &all)),
                (text("nativeBuildInputs"), list(&inputs[half..], &all)),
                (text("pname"), name.clone()),
                (text("version"), version.clone()),
                (text("configureFlags"), format!("--disable-static --with-{}", self.dice.pick(&WORDS))),
                (text("doCheck"), text("1")),
                (text("strictDeps"), text("")),
            ];
            let inputs: Vec<&Made> = inputs.iter().map(|n| &all[*n]).collect();
            let made = self.derivation(&format!("{name}-{version}"), &inputs, &sources, variables)?;
            unused.push(all.len());
            all.push(made);
        }
        let inputs: Vec<&Made> = unused.iter().map(|n| &all[*n]).collect();
        let paths = inputs.iter().map(|i| self.store_dir.display(&i.out)).collect::<Vec<_>>().join(" ");
        self.derivation("nixos-system-derivations-26.11", &inputs, &[builder], vec![("pkgs".into(), paths)])?;
        Ok(())
    }
}

/// Regular files below a folder, sorted.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
