//! Nix's database, written: one transaction for a whole closure.

use super::{
    error::{Context, DirectError},
    layout::Directory,
};
use firn_core::{ProvenPath, StoreDir, StorePath, hash::hex};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use rustix::fs::{self, Mode, OFlags};
use std::{
    collections::HashMap,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

/// The schema of every Nix since 2.0.
const SCHEMA: &str = "10";

/// Tables as `schema.sql` and `ca-specific-schema.sql` leave them; newer Nix adds by itself what is new.
const TABLES: &str = "
create table ValidPaths (
    id               integer primary key autoincrement not null,
    path             text unique not null,
    hash             text not null,
    registrationTime integer not null,
    deriver          text,
    narSize          integer,
    ultimate         integer, -- null implies \"false\"
    sigs             text, -- space-separated
    ca               text -- if not null, an assertion that the path is content-addressed; see ValidPathInfo
);
create table Refs (
    referrer  integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
);
create table DerivationOutputs (
    drv  integer not null,
    id   text not null, -- symbolic output id, usually \"out\"
    path text not null,
    primary key (drv, id),
    foreign key (drv) references ValidPaths(id) on delete cascade
);
";

/// Made after the rows of a new database: much cheaper than keeping them in order meanwhile.
const INDEXES: &str = "
create index IndexReferrer on Refs(referrer);
create index IndexReference on Refs(reference);
create trigger DeleteSelfRefs before delete on ValidPaths
  begin
    delete from Refs where referrer = old.id and reference = old.id;
  end;
create index IndexDerivationOutputs on DerivationOutputs(path);
";

/// What a store knows of a path before it is imported.
pub(super) enum Known {
    /// Nothing.
    Absent,
    /// It is valid and fully described.
    Valid(i64),
    /// It is valid, and its `ca` is to be filled in: an import by Nix leaves it empty.
    Unaddressed(i64),
}

/// An open transaction on the database of a store folder.
pub(super) struct Registry {
    connection: Connection,
    path: PathBuf,
    identity: (u64, u64),
    new: bool,
}

impl Registry {
    /// Opens or makes the database and begins the transaction. Nobody else has it open: the caller holds `big-lock`.
    pub(super) fn open(db: &Directory) -> Result<Self, DirectError> {
        if let Some(found) = db.read("schema")?
            && found.trim() != SCHEMA
        {
            return Err(DirectError::Schema { path: db.path.join("schema"), found: found.trim().to_owned() });
        }
        let path = db.path.join("db.sqlite");
        // Made here and not by SQLite, for the mode and to know which file it has to be.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = fs::openat(&db.fd, "db.sqlite", flags, mode).context("open", || path.clone())?;
        let stat = fs::fstat(&file).context("stat", || path.clone())?;
        if stat.st_size == 0 {
            // The umask may have taken bits away.
            fs::fchmod(&file, mode).context("set the mode of", || path.clone())?;
        }
        drop(file);
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let wrap = |source| database_error(&path, source);
        let connection = Connection::open_with_flags(&path, flags).map_err(wrap)?;
        // With exclusive locking WAL needs no shared memory. The cache holds what some ten thousand paths dirty.
        let pragmas = "pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = full;
             pragma foreign_keys = off; pragma cache_size = -16384; pragma wal_autocheckpoint = 0; begin immediate;";
        connection.execute_batch(pragmas).map_err(wrap)?;
        let tables = "select count(*) from sqlite_master where name = 'ValidPaths'";
        let new = connection.query_row(tables, [], |row| row.get::<_, i64>(0)).map_err(wrap)? == 0;
        if new {
            connection.execute_batch(TABLES).map_err(wrap)?;
        }
        let registry = Self { connection, path, identity: (stat.st_dev, stat.st_ino), new };
        registry.check_identity()?;
        Ok(registry)
    }

    /// SQLite goes by names, and a name may have been swapped since.
    fn check_identity(&self) -> Result<(), DirectError> {
        let stat = fs::lstat(&self.path).context("stat", || self.path.clone())?;
        if (stat.st_dev, stat.st_ino) == self.identity { Ok(()) } else { Err(DirectError::Replaced(self.path.clone())) }
    }

    fn error(&self, source: rusqlite::Error) -> DirectError {
        database_error(&self.path, source)
    }

    /// What is known of each path, in the same order.
    pub(super) fn known(&self, store_dir: &StoreDir, paths: &[ProvenPath]) -> Result<Vec<Known>, DirectError> {
        if self.new {
            return Ok(paths.iter().map(|_| Known::Absent).collect());
        }
        let query = "select id, hash, ca from ValidPaths where path = ?";
        let mut select = self.connection.prepare(query).map_err(|e| self.error(e))?;
        let look_up = |path: &ProvenPath| {
            let row = select.query_row([store_dir.display(path.path())], |row| {
                let row: (i64, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(row)
            });
            let Some((id, hash, ca)) = row.optional().map_err(|e| self.error(e))? else { return Ok(Known::Absent) };
            let addressed = path.content_address().is_none();
            // Only what Nix writes today can be compared.
            if !addressed && hash.len() == "sha256:".len() + 64 && hash != nar_hash(path) {
                return Err(DirectError::Damaged(path.path().clone()));
            }
            Ok(match ca {
                Some(ca) if !ca.is_empty() => Known::Valid(id),
                _ if addressed => Known::Valid(id),
                _ => Known::Unaddressed(id),
            })
        };
        paths.iter().map(look_up).collect()
    }

    /// Adds rows for the absent paths, in reference order, and completes the unaddressed ones. `outputs` gives name and
    /// full path of a derivation's outputs as far as they are known.
    pub(super) fn add(
        &self,
        store_dir: &StoreDir,
        paths: &[ProvenPath],
        known: &[Known],
        mut outputs: impl FnMut(&ProvenPath) -> Result<Vec<(String, String)>, DirectError>,
    ) -> Result<(), DirectError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).cast_signed();
        let wrap = |e| self.error(e);
        let prepare = |sql| self.connection.prepare(sql).map_err(wrap);
        let mut valid = prepare(
            "insert into ValidPaths (path, hash, registrationTime, deriver, narSize, sigs, ca) values (?, ?, ?, ?, ?, ?, ?)",
        )?;
        let mut refs = prepare("insert into Refs (referrer, reference) values (?, ?)")?;
        let mut drvs = prepare("insert or replace into DerivationOutputs (drv, id, path) values (?, ?, ?)")?;
        let mut complete = prepare("update ValidPaths set ca = ? where id = ?")?;
        let mut ids: HashMap<&StorePath, i64> = HashMap::with_capacity(paths.len());
        for (path, known) in paths.iter().zip(known) {
            let id = match known {
                Known::Valid(id) => *id,
                Known::Unaddressed(id) => {
                    complete.execute(params![path.content_address(), id]).map_err(wrap)?;
                    *id
                }
                Known::Absent => {
                    let deriver = path.deriver().map(|deriver| store_dir.display(deriver));
                    let signatures = (!path.signatures().is_empty()).then(|| path.signatures().join(" "));
                    let row = params![
                        store_dir.display(path.path()),
                        nar_hash(path),
                        now,
                        deriver,
                        path.nar_size().cast_signed(),
                        signatures,
                        path.content_address()
                    ];
                    let id = valid.insert(row).map_err(wrap)?;
                    ids.insert(path.path(), id);
                    for reference in path.references() {
                        // Every reference is in a proven closure and comes before its referrer.
                        if let Some(reference) = ids.get(reference) {
                            refs.execute([id, *reference]).map_err(wrap)?;
                        }
                    }
                    if path.is_derivation() {
                        for (name, output) in outputs(path)? {
                            drvs.execute(params![id, name, output]).map_err(wrap)?;
                        }
                    }
                    continue;
                }
            };
            ids.insert(path.path(), id);
        }
        Ok(())
    }

    /// Makes the indexes of a new database, once all rows are in it.
    pub(super) fn index(&self) -> Result<(), DirectError> {
        if self.new { self.connection.execute_batch(INDEXES).map_err(|e| self.error(e)) } else { Ok(()) }
    }

    /// Does all of a commit that may fail before anything can be valid.
    pub(super) fn prepare(&self, db: &Directory) -> Result<(), DirectError> {
        if db.read("schema")?.is_none() {
            draft_schema(db).context("write", || db.path.join("schema"))?;
        }
        // Writes the pages to the log, where they mean nothing yet: a full disk shows now and not in the commit.
        self.connection.cache_flush().map_err(|e| self.error(e))?;
        self.check_identity()
    }

    /// Commits: before it nothing is valid, after it everything is.
    pub(super) fn commit(self, db: &Directory) -> Result<(), DirectError> {
        self.connection.execute_batch("commit").map_err(|e| self.error(e))?;
        let Self { connection, .. } = self;
        // Moves the rows from the log to the database; what fails here the next one to open it does.
        drop(connection);
        // Absent if the schema was there before. Without the file Nix opens the store all the same and writes it.
        let _ = fs::renameat(&db.fd, SCHEMA_DRAFT, &db.fd, "schema");
        Ok(())
    }
}

const SCHEMA_DRAFT: &str = "schema.new";

fn draft_schema(db: &Directory) -> std::io::Result<()> {
    super::layout::remove(&db.fd, SCHEMA_DRAFT.as_bytes())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    let file = fs::openat(&db.fd, SCHEMA_DRAFT, flags, mode)?;
    fs::fchmod(&file, mode)?;
    rustix::io::write(&file, SCHEMA.as_bytes())?;
    Ok(fs::fsync(&file)?)
}

fn nar_hash(path: &ProvenPath) -> String {
    format!("sha256:{}", hex(path.nar_hash()))
}

fn database_error(path: &std::path::Path, source: rusqlite::Error) -> DirectError {
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => DirectError::Full { path: path.to_owned() },
        _ => DirectError::Database { path: path.to_owned(), source },
    }
}
