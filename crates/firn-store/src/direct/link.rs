//! GC roots of a store folder: `gcroots/firn/NAME`.

use super::{
    Root,
    error::{Context, DirectError},
    layout::{Directory, remove},
};
use crate::root::check_root_name;
use firn_core::StoreDir;
use rustix::fs;

/// Links that are made under another name first. Nix follows every link below `gcroots`, so that the paths are rooted
/// before they are valid, and an older root of the same name holds its path until the new one is.
pub(super) struct RootLinks<'a> {
    dir: Option<Directory>,
    roots: &'a [Root<'a>],
    targets: Vec<String>,
}

impl<'a> RootLinks<'a> {
    pub(super) fn draft(gcroots: &Directory, store_dir: &StoreDir, roots: &'a [Root<'a>]) -> Result<Self, DirectError> {
        for (n, root) in roots.iter().enumerate() {
            check_root_name(root.name)?;
            if roots[..n].iter().any(|other| other.name == root.name) {
                return Err(DirectError::RootTwice(root.name.to_owned()));
            }
        }
        let targets = roots.iter().map(|root| store_dir.display(root.path)).collect();
        let dir = if roots.is_empty() { None } else { Some(gcroots.enter("firn", |_| Ok(()))?) };
        let links = Self { dir, roots, targets };
        links.each(|dir, root, target| {
            remove(&dir.fd, draft_name(root).as_bytes())?;
            fs::symlinkat(target, &dir.fd, draft_name(root))
        })?;
        Ok(links)
    }

    /// Gives the links their names and reads them back. Those that cannot have theirs stay under the draft's.
    pub(super) fn publish(mut self) -> Result<(), DirectError> {
        let published = self.each(|dir, root, target| {
            fs::renameat(&dir.fd, draft_name(root), &dir.fd, root.name)?;
            let found = fs::readlinkat(&dir.fd, root.name, Vec::new())?;
            if found.as_bytes() == target.as_bytes() { Ok(()) } else { Err(rustix::io::Errno::STALE) }
        });
        self.dir = None;
        published
    }

    fn each(&self, act: impl Fn(&Directory, &Root<'_>, &str) -> rustix::io::Result<()>) -> Result<(), DirectError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        for (root, target) in self.roots.iter().zip(&self.targets) {
            act(dir, root, target).context("link", || dir.path.join(root.name))?;
        }
        Ok(())
    }
}

impl Drop for RootLinks<'_> {
    fn drop(&mut self) {
        let _ = self.each(|dir, root, _| remove(&dir.fd, draft_name(root).as_bytes()));
    }
}

fn draft_name(root: &Root<'_>) -> String {
    format!(".{}.new", root.name)
}
