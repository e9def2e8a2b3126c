//! Nix's database, read: which paths are valid, what they refer to, who made them.
//!
//! A database in WAL mode can be read in two ways. While Nix has it open, its shared-memory file is there and a read-only
//! connection sees every commit. After Nix closed it, an ordinary user cannot make that file again; then the database
//! does not change, may be opened as immutable, and is checked not to have changed when the answer is there.

use firn_core::{
    StoreDir, StorePath,
    hash::{Sha256, from_base32, from_hex},
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Why the database gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// There is none.
    #[error("there is no database of Nix at {}", .0.display())]
    Absent(PathBuf),
    /// A Nix process writes to it and this user may not read along.
    #[error("{} is being written: ask the daemon instead", .0.display())]
    Busy(PathBuf),
    /// SQLite refused.
    #[error("reading {}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A path is not valid in this store.
    #[error("{0} is not valid in this store")]
    NotValid(StorePath),
    /// A field of a path cannot be understood.
    #[error("the database says {value:?} as {field} of {path}")]
    Field {
        /// The path, as it stands there.
        path: String,
        /// Which column.
        field: &'static str,
        /// What it says.
        value: String,
    },
}

/// What the store knows of a valid path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidPath {
    /// The path.
    pub path: StorePath,
    /// SHA-256 of its NAR.
    pub nar_hash: Sha256,
    /// Size of its NAR in bytes; 0 where the store does not know it.
    pub nar_size: u64,
    /// The `ca` field. Absent says nothing: an import by Nix loses it.
    pub content_address: Option<String>,
    /// The derivation that made it, valid or not.
    pub deriver: Option<StorePath>,
    /// What it refers to, sorted, itself included where it does.
    pub references: Vec<StorePath>,
    /// Signatures, `key:base64`.
    pub signatures: Vec<String>,
}

/// An open database, only read.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    store_dir: StoreDir,
    path: PathBuf,
    /// What the file looked like when it was opened as immutable.
    immutable: Option<Print>,
}

/// What changes when a database is written.
type Print = (u64, u64, u64, i64, i64);

const COLUMNS: &str = "path, hash, narSize, ca, deriver, sigs";
const CLOSURE: &str = "with recursive c(id) as (select id from ValidPaths where path = ?
    union select reference from c join Refs on referrer = c.id)";

impl Database {
    /// Opens the database of a store whose state is in `state_dir` (`/nix/var/nix`).
    pub fn open(state_dir: &Path, store_dir: StoreDir) -> Result<Self, DatabaseError> {
        let path = state_dir.join("db/db.sqlite");
        if !path.exists() {
            return Err(DatabaseError::Absent(path));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let probe = |connection: Connection| {
            connection.query_row("select count(*) from ValidPaths where id = 0", [], |_| Ok(()))?;
            Ok(connection)
        };
        match Connection::open_with_flags(&path, flags).and_then(probe) {
            Ok(connection) => return Ok(Self { connection, store_dir, path, immutable: None }),
            // "attempt to write a readonly database", "unable to open database file": no shared memory.
            Err(error)
                if matches!(
                    error.sqlite_error_code(),
                    Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen)
                ) => {}
            Err(source) => return Err(DatabaseError::Sqlite { path, source }),
        }
        let print = print(&path).ok_or_else(|| DatabaseError::Busy(path.clone()))?;
        let connection = Connection::open_with_flags(uri(&path), flags | OpenFlags::SQLITE_OPEN_URI).and_then(probe);
        let connection = connection.map_err(|source| DatabaseError::Sqlite { path: path.clone(), source })?;
        Ok(Self { connection, store_dir, path, immutable: Some(print) })
    }

    /// Runs queries on one state of the database.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, DatabaseError> {
        let result = self.connection.unchecked_transaction().map_err(Failure::from).and_then(|read| query(&read));
        if self.immutable.is_some() && self.immutable != print(&self.path) {
            return Err(DatabaseError::Busy(self.path.clone()));
        }
        result.map_err(|failure| match failure {
            Failure::Sqlite(source) => DatabaseError::Sqlite { path: self.path.clone(), source },
            Failure::Other(error) => error,
        })
    }

    /// Whether a path is valid.
    pub fn is_valid(&self, path: &StorePath) -> Result<bool, DatabaseError> {
        Ok(!self.valid([path])?.is_empty())
    }

    /// Those paths that are valid.
    pub fn valid<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p StorePath>,
    ) -> Result<HashSet<StorePath>, DatabaseError> {
        self.read(|db| {
            let mut select = db.prepare("select 1 from ValidPaths where path = ?")?;
            let mut valid = HashSet::new();
            for path in paths {
                if select.exists([self.store_dir.display(path)])? {
                    valid.insert(path.clone());
                }
            }
            Ok(valid)
        })
    }

    /// What is known of a path; `None` if it is not valid.
    pub fn info(&self, path: &StorePath) -> Result<Option<ValidPath>, DatabaseError> {
        self.read(|db| {
            let full = self.store_dir.display(path);
            let select = format!("select {COLUMNS} from ValidPaths where path = ?");
            let Some(row) = db.query_row(&select, [&full], |row| Fields::new(row, 0)).optional()? else {
                return Ok(None);
            };
            let mut info = row.parse(&self.store_dir)?;
            let references = "select r.path from ValidPaths p join Refs on referrer = p.id
                join ValidPaths r on r.id = reference where p.path = ?";
            let mut references = db.prepare(references)?;
            for reference in references.query_map([&full], |row| row.get::<_, String>(0))? {
                info.references.push(self.store_path(&reference?)?);
            }
            info.references.sort();
            Ok(Some(info))
        })
    }

    /// The closure of some paths, ordered by path.
    pub fn closure(&self, roots: &[StorePath]) -> Result<Vec<ValidPath>, DatabaseError> {
        self.read(|db| {
            let mut paths: HashMap<i64, ValidPath> = HashMap::new();
            let mut edges: Vec<(i64, i64)> = Vec::new();
            let mut nodes = db.prepare(&format!("{CLOSURE} select id, {COLUMNS} from ValidPaths join c using(id)"))?;
            let mut refs =
                db.prepare(&format!("{CLOSURE} select referrer, reference from Refs join c on referrer = c.id"))?;
            for root in roots {
                let full = self.store_dir.display(root);
                let mut rows = nodes.query([&full])?;
                let mut found = false;
                while let Some(row) = rows.next()? {
                    found = true;
                    paths.insert(row.get(0)?, Fields::new(row, 1)?.parse(&self.store_dir)?);
                }
                if !found {
                    return Err(DatabaseError::NotValid(root.clone()).into());
                }
                for edge in refs.query_map([&full], |row| Ok((row.get(0)?, row.get(1)?)))? {
                    edges.push(edge?);
                }
            }
            edges.sort_unstable();
            edges.dedup();
            for (referrer, reference) in edges {
                let reference = paths.get(&reference).map(|p| p.path.clone());
                if let (Some(referrer), Some(reference)) = (paths.get_mut(&referrer), reference) {
                    referrer.references.push(reference);
                }
            }
            let sorted: BTreeMap<_, _> = paths.into_values().map(|p| (p.path.clone(), p)).collect();
            Ok(sorted
                .into_values()
                .map(|mut p| {
                    p.references.sort();
                    p
                })
                .collect())
        })
    }

    /// Valid derivations that have this path as an output: first the one that made it.
    pub fn derivers(&self, path: &StorePath) -> Result<Vec<StorePath>, DatabaseError> {
        self.read(|db| {
            let full = self.store_dir.display(path);
            let select = "select d.path from ValidPaths p join ValidPaths d on d.path = p.deriver where p.path = ?1
                union all
                select d.path from DerivationOutputs o join ValidPaths d on d.id = o.drv where o.path = ?1";
            let mut select = db.prepare(select)?;
            let mut derivers = Vec::new();
            for deriver in select.query_map([&full], |row| row.get::<_, String>(0))? {
                let deriver = self.store_path(&deriver?)?;
                if !derivers.contains(&deriver) {
                    derivers.push(deriver);
                }
            }
            Ok(derivers)
        })
    }

    fn store_path(&self, path: &str) -> Result<StorePath, DatabaseError> {
        parse(&self.store_dir, path, "path", path)
    }
}

/// A row of `ValidPaths` as it stands there.
struct Fields {
    path: String,
    hash: String,
    nar_size: Option<i64>,
    ca: Option<String>,
    deriver: Option<String>,
    signatures: Option<String>,
}

impl Fields {
    fn new(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            path: row.get(at)?,
            hash: row.get(at + 1)?,
            nar_size: row.get(at + 2)?,
            ca: row.get(at + 3)?,
            deriver: row.get(at + 4)?,
            signatures: row.get(at + 5)?,
        })
    }

    fn parse(self, store_dir: &StoreDir) -> Result<ValidPath, DatabaseError> {
        let digest = self.hash.strip_prefix("sha256:").map(str::as_bytes).and_then(|digest| match digest.len() {
            64 => from_hex(digest)?.try_into().ok(),
            _ => from_base32(digest),
        });
        let Some(nar_hash) = digest else {
            return Err(DatabaseError::Field { path: self.path, field: "hash", value: self.hash });
        };
        let deriver = self.deriver.as_deref().filter(|deriver| !deriver.is_empty());
        Ok(ValidPath {
            path: parse(store_dir, &self.path, "path", &self.path)?,
            nar_hash,
            nar_size: self.nar_size.map_or(0, i64::cast_unsigned),
            content_address: self.ca.filter(|ca| !ca.is_empty()),
            deriver: deriver.map(|deriver| parse(store_dir, &self.path, "deriver", deriver)).transpose()?,
            references: Vec::new(),
            signatures: self.signatures.iter().flat_map(|all| all.split_whitespace()).map(str::to_owned).collect(),
        })
    }
}

fn parse(store_dir: &StoreDir, path: &str, field: &'static str, value: &str) -> Result<StorePath, DatabaseError> {
    let bad = |_| DatabaseError::Field { path: path.to_owned(), field, value: value.to_owned() };
    store_dir.parse(value.as_bytes()).map_err(bad)
}

/// Looks at a database that has no log, or an empty one; `None` if it has one.
fn print(path: &Path) -> Option<Print> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if std::fs::symlink_metadata(log).is_ok_and(|log| log.len() > 0) {
        return None;
    }
    let db = std::fs::metadata(path).ok()?;
    Some((db.dev(), db.ino(), db.len(), db.mtime(), db.mtime_nsec()))
}

/// The URI of an immutable database; a name may have `?`, `#` and `%` in it.
fn uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()) {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(*byte)),
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri + "?immutable=1"
}

enum Failure {
    Sqlite(rusqlite::Error),
    Other(DatabaseError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::Other(error)
    }
}
