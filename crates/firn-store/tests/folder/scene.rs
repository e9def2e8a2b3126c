//! Closures to import, folders to import them into, and stock Nix to judge the result.

use firn_core::{
    Address, Blob, ClaimedPath, MemorySpool, Node, Proven, Spool, StoreDir, StorePath, address_path, export,
    hash::sha256,
};
use firn_store::direct::{DirectError, Imported, Progress, Root, StoreFolder};
use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// A closure with its contents, and the stream it came from.
pub(crate) struct Closure {
    pub(crate) proven: Proven,
    pub(crate) spool: MemorySpool,
    pub(crate) stream: Vec<u8>,
}

impl Closure {
    pub(crate) fn root(&self) -> &StorePath {
        &self.proven.roots()[0]
    }

    /// Imports into `dir`, the first root under the name `system`.
    pub(crate) fn import(&self, dir: &Path) -> Result<Imported, DirectError> {
        self.import_watched(dir, &|_| ())
    }

    pub(crate) fn import_watched(&self, dir: &Path, progress: Progress<'_>) -> Result<Imported, DirectError> {
        let folder = StoreFolder::open(dir, self.proven.store_dir().clone(), progress)?;
        folder.import(&self.proven, &self.spool, &[Root { name: "system", path: self.root() }], progress)
    }
}

/// A real closure of `tests/closures`.
pub(crate) fn real(name: &str) -> Closure {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/closures").join(format!("{name}.export.zst"));
    let stream = zstd::decode_all(std::fs::File::open(file).unwrap()).unwrap();
    let mut spool = MemorySpool::new();
    let exported = export::read(stream.as_slice(), &mut spool).unwrap();
    let dir = exported.store_dir.unwrap();
    let paths = exported.paths.into_iter().map(|path| path.prove(&dir, &spool).unwrap()).collect();
    Closure { proven: Proven::new(dir, None, paths).unwrap(), spool, stream }
}

/// A small closure of all shapes: texts, a derivation, a tree with an executable, a link, an empty directory.
pub(crate) fn small(store_dir: &StoreDir) -> Closure {
    let mut spool = MemorySpool::new();
    let mut paths = Vec::new();
    let mut add = |name: &str, address: Address, content: Node, references: Vec<StorePath>, spool: &MemorySpool| {
        let digest = match (&content, address) {
            (Node::Regular { contents, .. }, Address::Text | Address::Flat) => sha256(&spool.get(*contents).unwrap()),
            _ => content.nar_hash(spool).unwrap().0,
        };
        let path = address_path(store_dir, address, &digest, &references, name.as_bytes()).unwrap().unwrap();
        paths.push(ClaimedPath { path: path.clone(), references, content, deriver: None, signatures: Vec::new() });
        path
    };
    let blob = |spool: &mut MemorySpool, text: &str| -> Blob { spool.put(text.as_bytes()).unwrap() };

    let flat = Node::file(blob(&mut spool, "flat"));
    let flat = add("flat", Address::Flat, flat, vec![], &spool);
    let script = Node::Regular { executable: true, contents: blob(&mut spool, "#!/bin/sh\n") };
    let long = Node::file(blob(&mut spool, &"x".repeat(300_000)));
    let entry = |name: &str, node: Node| -> (Box<[u8]>, Node) { (name.as_bytes().into(), node) };
    let inner = Node::Directory { entries: vec![entry("long", long), entry("run", script)] };
    let link = Node::Symlink { target: b"bin/run".as_slice().into() };
    let empty = Node::Directory { entries: vec![] };
    let tree = Node::Directory { entries: vec![entry("bin", inner), entry("empty", empty), entry("go", link)] };
    let tree = add("tree", Address::Recursive, tree, vec![], &spool);
    let link = add("link", Address::Recursive, Node::Symlink { target: b"/x".as_slice().into() }, vec![], &spool);
    let text = Node::file(blob(&mut spool, &store_dir.display(&tree)));
    let text = add("text", Address::Text, text, vec![tree.clone()], &spool);

    let fixed = "1".repeat(64);
    let derivation = firn_core::derivation::FixedOutput { algorithm: b"sha256".to_vec(), hash: fixed.clone().into() };
    let out = firn_core::derivation::fixed_output_path(store_dir, &derivation, b"fetched").unwrap();
    let mut sources = vec![flat, link, text, tree];
    sources.sort();
    let listed = sources.iter().map(|p| format!("{:?}", store_dir.display(p))).collect::<Vec<_>>().join(",");
    let out = store_dir.display(&out);
    let aterm = format!(
        "Derive([(\"out\",{out:?},\"sha256\",\"{fixed}\")],[],[{listed}],\"x86_64-linux\",\"/bin/sh\",[],[(\"name\",\"fetched\"),(\"out\",{out:?})])"
    );
    let aterm = Node::file(blob(&mut spool, &aterm));
    add("fetched.drv", Address::Text, aterm, sources, &spool);

    let paths = paths.into_iter().map(|path| path.prove(store_dir, &spool).unwrap()).collect();
    Closure { proven: Proven::new(store_dir.clone(), None, paths).unwrap(), spool, stream: Vec::new() }
}

/// A folder that can be removed again although its directories are read-only.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("nix/store")
    }

    pub(crate) fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path().join("nix/var/nix/db/db.sqlite")).unwrap()
    }

    /// One value of the database.
    pub(crate) fn ask(&self, query: &str) -> i64 {
        self.database().query_row(query, [], |row| row.get(0)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        make_writable(self.0.path());
    }
}

fn make_writable(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700));
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

/// Every file below `dir` with all that Nix cares for.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, String> {
    fn go(dir: &Path, top: &Path, all: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            // Links of an optimised store, of no meaning here and with a time of their own.
            if path.ends_with(".links") {
                continue;
            }
            let stat = std::fs::symlink_metadata(&path).unwrap();
            let content = if stat.is_symlink() {
                std::fs::read_link(&path).unwrap().to_string_lossy().into_owned()
            } else if stat.is_file() {
                firn_core::hash::hex(&sha256(&std::fs::read(&path).unwrap()))
            } else {
                String::new()
            };
            let line = format!("{:o} {} {}.{} {content}", stat.mode(), stat.uid(), stat.mtime(), stat.mtime_nsec());
            all.insert(path.strip_prefix(top).unwrap().to_owned(), line);
            if stat.is_dir() {
                go(&path, top, all);
            }
        }
    }
    let mut all = BTreeMap::new();
    go(dir, dir, &mut all);
    all
}

/// Whether a thing that a test needs may be left out; says so. Panics where it may not.
pub(crate) fn not_tested(name: &str, why: &str) {
    println!("NOT TESTED  {name}: {why}");
    let allowed = std::env::var("FIRN_ALLOW_SKIP").unwrap_or_default();
    assert!(allowed.split(',').any(|skip| skip == name), "{why}; FIRN_ALLOW_SKIP does not name {name}");
}

/// Stock Nix on a store folder.
pub(crate) struct Nix {
    home: TempDir,
}

impl Nix {
    /// `None` where there is no Nix and that is allowed.
    pub(crate) fn find() -> Option<Self> {
        if Command::new("nix-store").arg("--version").output().is_ok() {
            return Some(Self { home: tempfile::tempdir().unwrap() });
        }
        not_tested("nix", "nix-store is not installed");
        None
    }

    pub(crate) fn command(&self, program: &str, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.home.path());
        command.env("NIX_CONF_DIR", self.home.path()).env("NIX_REMOTE", format!("local?root={}", dir.display()));
        // Debian's nix-bin alone makes no group of build users.
        command.env("NIX_CONFIG", "build-users-group =");
        command
    }

    pub(crate) fn store(&self, dir: &Path, args: &[&str]) -> Output {
        let output = self.command("nix-store", dir).args(args).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "nix-store {args:?}: {errors}");
        output
    }

    pub(crate) fn lines(&self, dir: &Path, args: &[&str]) -> Vec<String> {
        String::from_utf8(self.store(dir, args).stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Fails on anything that Nix finds wrong.
    pub(crate) fn verify(&self, dir: &Path) {
        let output = self.store(dir, &["--verify", "--check-contents"]);
        let said = String::from_utf8_lossy(&output.stderr);
        for wrong in ["error", "warning", "disappeared", "modified", "not valid"] {
            assert!(!said.contains(wrong), "{said}");
        }
    }

    /// `nix-store --import`.
    pub(crate) fn import(&self, dir: &Path, stream: &[u8]) {
        let mut child = self
            .command("nix-store", dir)
            .arg("--import")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), stream).unwrap();
        assert!(child.wait().unwrap().success());
    }
}
