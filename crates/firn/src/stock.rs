//! Stock export streams as proven closures.

use crate::{
    encode::{expect_texts, text_len},
    error::{About, CommandError},
    event::{Meter, Sink, Work},
    input::{Input, Position},
};
use firn_core::{
    ClaimedPath, ClosureError, Proven, ProvenPath, Spool, StoreDir, StorePath,
    export::{self, Exported},
};
use std::{
    io::{self, Read},
    sync::{Mutex, PoisonError},
};

/// Reads every stream of an input and proves what they hold. Roots are the paths that no other refers to. Warns when
/// they look like the pieces of a split export.
pub fn read_export(
    input: Input,
    spool: &mut dyn Spool,
    threads: usize,
    sink: &dyn Sink,
) -> Result<Proven, CommandError> {
    let source = input.source().clone();
    let meter = Meter::begin(sink, Work::Read, input.size(), None);
    let position = input.position();
    let exported = export::read(Watched { input, meter, seen: 0, position }, spool).about(&source)?;
    let Exported { store_dir, paths, streams, pieces, .. } = exported;
    expect_texts(paths.iter().map(|path| text_len(&path.path, &path.content)).sum());
    let store_dir = store_dir.unwrap_or_default();
    let paths = prove_all(paths, &store_dir, spool, threads, sink).about(&source)?;
    let closure = Proven::new(store_dir, None, paths).about(&source)?;
    if let Some(warning) = split(closure.roots(), streams, pieces) {
        sink.warn(&format!("{source} {warning}"));
    }
    // A stream has no digest of its own: a source that was changed on its way looks like an output of unknown origin.
    if closure.roots().iter().all(StorePath::is_derivation) {
        for path in closure.needing_trust().filter(|path| path.deriver().is_none()) {
            sink.warn(&format!(
                "{source}: nothing proves {}: it is an output of unknown origin, or was changed",
                path.path()
            ));
        }
    }
    Ok(closure)
}

/// Proves paths on several threads; the first error in their order is returned.
pub fn prove_all(
    paths: Vec<ClaimedPath>,
    store_dir: &StoreDir,
    spool: &dyn Spool,
    threads: usize,
    sink: &dyn Sink,
) -> Result<Vec<ProvenPath>, ClosureError> {
    let meter = Meter::begin(sink, Work::Prove, None, Some(paths.len() as u64));
    let queue = Mutex::new(paths.into_iter().enumerate());
    let work = || {
        let mut done = Vec::new();
        loop {
            let Some((i, path)) = queue.lock().unwrap_or_else(PoisonError::into_inner).next() else { return done };
            done.push((i, path.prove(store_dir, spool)));
            meter.add(0, 1);
        }
    };
    let mut proven = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut proven = work();
        for other in others {
            proven.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        proven
    });
    proven.sort_unstable_by_key(|(i, _)| *i);
    proven.into_iter().map(|(_, path)| path).collect()
}

/// Tells bytes of the file, as it lies on disk, to the sink.
struct Watched<'a> {
    input: Input,
    meter: Meter<'a>,
    seen: u64,
    position: Position,
}

impl Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buf)?;
        let now = self.position.get();
        if now > self.seen {
            self.meter.add(now - self.seen, 0);
            self.seen = now;
        }
        Ok(n)
    }
}

/// `xargs nix-store --export` writes a stream for every few thousand arguments, and a reader that takes only the first
/// has closed but headless paths. Whole systems are derivations, each from a closed stream of its own or named alike.
fn split(roots: &[StorePath], streams: u64, pieces: bool) -> Option<String> {
    let family = |root: &StorePath| root.name().split('-').next().unwrap_or_default().to_owned();
    let alike = roots.windows(2).all(|pair| family(&pair[0]) == family(&pair[1]));
    let whole = roots.iter().all(StorePath::is_derivation) && (alike || roots.len() as u64 <= streams);
    (roots.len() > 1 && (pieces || !whole)).then(|| {
        format!(
            "has {} roots that no system joins: is a piece missing? nix-store --export split by xargs writes several \
             streams, and all of them are needed",
            roots.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(names: &[&str]) -> Vec<StorePath> {
        let path = |name: &&str| StorePath::from_parts(&[7; 20], name.as_bytes()).unwrap();
        names.iter().map(path).collect()
    }

    #[test]
    fn whole_systems_are_no_split_export_and_loose_paths_are() {
        assert!(split(&roots(&["a.drv"]), 3, false).is_none());
        assert!(split(&roots(&["a.drv", "b.drv"]), 2, false).is_none());
        assert!(split(&roots(&["nixos-system-a.drv", "nixos-system-b.drv"]), 1, false).is_none());
        assert!(split(&roots(&["a.drv", "b.drv", "c.drv"]), 2, false).is_some());
        assert!(split(&roots(&["a.drv", "patch"]), 2, false).is_some());
        assert!(split(&roots(&["a.drv", "b.drv"]), 2, true).is_some());
    }
}
