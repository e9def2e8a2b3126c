//! Any input that holds a closure, as a proven closure.

use crate::{
    CommandError, DecodeOptions, ExitCode, Session, StoreTarget, cli::Globals, delta::Bases, encode::system_host,
    input::Source, spool_file::FileSpool,
};
use firn_core::{Proven, StorePath, format::Front};
use std::path::Path;

/// A closure, and where its contents are.
#[derive(Debug)]
pub struct Loaded {
    /// The closure, proven.
    pub closure: Proven,
    /// Its contents.
    pub spool: FileSpool,
    /// The front of the file, where it is a firn file.
    pub front: Option<Front>,
    /// How messages call the input.
    pub source: Source,
}

/// Bytes of memory that a process takes beside models and windows.
pub(crate) const OTHER_MEMORY: u64 = 24 << 20;

impl Session<'_> {
    /// What a reader of firn files may use.
    pub fn decode_options(&self) -> DecodeOptions {
        let mut options = DecodeOptions { threads: self.threads(), ..DecodeOptions::default() };
        if let Some(max) = self.globals.max_memory {
            options.codec_memory = max.saturating_sub(OTHER_MEMORY);
            options.limits.memory_bytes = options.codec_memory;
        }
        options
    }

    /// Where bases of deltas may be: what the flags name, and a store.
    pub(crate) fn bases(&self, store: Option<&StoreTarget>) -> Bases {
        let Globals { base, base_dir, .. } = &self.globals;
        Bases { named: base.clone(), folder: base_dir.clone(), store: store.cloned(), ..Bases::default() }
    }

    fn load_from(&self, source: Source, mut spool: FileSpool, bases: &Bases) -> Result<Loaded, CommandError> {
        let input = self.open(source)?;
        let source = input.source().clone();
        let (closure, front) = self.read_closure(input, &mut spool, bases, 0)?;
        Ok(Loaded { closure, spool, front, source })
    }

    /// Reads a whole input, `FILE` or one host of it, `FILE#HOST`, and proves what it holds. The base of a delta may be named,
    /// or in `store`.
    pub fn load_host(&self, file: &Path, store: Option<&StoreTarget>) -> Result<Loaded, CommandError> {
        self.load_with(file, None, &self.bases(store))
    }

    /// As [`Session::load_host`], into a spool that may have the contents of a base.
    pub(crate) fn load_with(
        &self,
        file: &Path,
        spool: Option<FileSpool>,
        bases: &Bases,
    ) -> Result<Loaded, CommandError> {
        let (source, host) = Source::with_host(file);
        let spool = spool.map_or_else(|| self.spool(None), Ok)?;
        let mut loaded = self.load_from(source, spool, bases)?;
        let Some(host) = host else { return Ok(loaded) };
        let roots = loaded.closure.roots();
        let names = root_names(roots);
        let fits = |(root, name): &(&StorePath, &String)| {
            **name == host || root_name(root) == host || root.name().trim_end_matches(".drv") == host
        };
        let Some((root, _)) = roots.iter().zip(&names).find(fits) else {
            return Err(CommandError::new(ExitCode::Absent, format!("there is no host {host:?} in it"))
                .hint(format!("it holds {}", names.join(", ")))
                .about(&loaded.source));
        };
        let root = root.clone();
        loaded.closure = loaded.closure.restrict(vec![root])?;
        Ok(loaded)
    }
}

/// Name under which a root is kept: its host, else its own name.
pub fn root_name(root: &StorePath) -> &str {
    let name = root.name().strip_suffix(".drv").unwrap_or(root.name());
    system_host(name).unwrap_or(name)
}

/// Names of all roots, each its own: where two have the same, the later ones are numbered.
pub fn root_names(roots: &[StorePath]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(roots.len());
    for root in roots {
        let name = root_name(root);
        let numbered = (2..).map(|n| format!("{name}-{n}"));
        let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !names.contains(name));
        names.extend(free);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_of_one_host_have_names_of_their_own() {
        let root =
            |hash: &str, name| StorePath::from_base_name(format!("{}-{name}", hash.repeat(32)).as_bytes()).unwrap();
        let roots = [
            root("a", "nixos-system-web-1.0.drv"),
            root("b", "nixos-system-web-2.0.drv"),
            root("c", "nixos-system-db-1.0.drv"),
            root("d", "hello-1.drv"),
        ];
        assert_eq!(root_names(&roots), ["web", "web-2", "db", "hello-1"]);
    }
}
