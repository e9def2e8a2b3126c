//! GC roots: links that keep a path and its closure from being collected.

use crate::environment::Environment;
use firn_core::StorePath;
use rustix::fs::{Access, AtFlags};
use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

/// Why a root could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// The name could lead out of the folder of roots.
    #[error("{0:?} cannot be the name of a root: letters, digits and +-._?= may be in it, and no dot at its beginning")]
    Name(String),
    /// No folder for links is known.
    #[error("neither HOME nor XDG_STATE_HOME says where links may be kept; say --out-link PATH")]
    NoHome,
    /// Something else is where the link would go.
    #[error("{} is there already and is no link; say another --out-link", .0.display())]
    Occupied(PathBuf),
    /// The link could not be made.
    #[error("cannot make the link {}", link.display())]
    Io {
        /// The link.
        link: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The link is there, but the daemon does not know it.
    #[error("the daemon does not see {link}, so it would not keep {path}: put --out-link on its own file system")]
    Unseen {
        /// The link.
        link: String,
        /// What it points to.
        path: StorePath,
    },
    /// A path in the file system of a remote host that its shell might misread.
    #[error("{0:?} cannot be sent to a remote shell: control characters and backslashes are not supported")]
    Quoting(String),
}

/// A root that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootRequest {
    /// Where the link goes.
    pub place: RootPlace,
    /// What it keeps.
    pub target: StorePath,
}

/// Where the link of a root goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootPlace {
    /// Under this name in the folder of roots: `/nix/var/nix/gcroots/firn` for root, `~/.local/state/firn/roots` for
    /// others.
    Name(String),
    /// At this path.
    Link(PathBuf),
}

/// Checks that a name stays in the folder of roots and means the same to every shell.
pub fn check_root_name(name: &str) -> Result<(), RootError> {
    match firn_core::check_name(name.as_bytes()) {
        Ok(()) if !name.starts_with('.') => Ok(()),
        _ => Err(RootError::Name(name.to_owned())),
    }
}

/// The absolute path of the link. `gcroots` is the store's own folder of roots where we may write to it: as root, or in
/// a store of our own.
pub fn link_path(place: &RootPlace, environment: &Environment, gcroots: Option<&Path>) -> Result<PathBuf, RootError> {
    match place {
        RootPlace::Link(link) => {
            std::path::absolute(link).map_err(|source| RootError::Io { link: link.clone(), source })
        }
        RootPlace::Name(name) => {
            check_root_name(name)?;
            Ok(match gcroots {
                Some(gcroots) => gcroots.join("firn").join(name),
                None => environment.user_state().ok_or(RootError::NoHome)?.join("firn/roots").join(name),
            })
        }
    }
}

/// Folder and name of a link, where nothing else is.
fn free_place(link: &Path) -> Result<(&Path, &OsStr), RootError> {
    match link.symlink_metadata() {
        Ok(there) if !there.file_type().is_symlink() => return Err(RootError::Occupied(link.to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(RootError::Io { link: link.to_owned(), source }),
    }
    link.parent().zip(link.file_name()).ok_or_else(|| RootError::Occupied(link.to_owned()))
}

/// Refuses a link that could not be made, before anything is done that it is to keep. Nothing is written.
pub fn check_link(link: &Path) -> Result<(), RootError> {
    let (folder, _) = free_place(link)?;
    let Some(there) = folder.ancestors().find(|folder| folder.exists()) else { return Ok(()) };
    if !there.is_dir() {
        return Err(RootError::Io { link: link.to_owned(), source: io::ErrorKind::NotADirectory.into() });
    }
    let access = Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::accessat(rustix::fs::CWD, there, access, AtFlags::EACCESS)
        .map_err(|errno| RootError::Io { link: link.to_owned(), source: errno.into() })
}

/// Makes a link, or replaces one in one step. Folders above it are made.
pub fn replace_link(link: &Path, target: &str) -> Result<(), RootError> {
    let failed = |source| RootError::Io { link: link.to_owned(), source };
    let (folder, name) = free_place(link)?;
    std::fs::create_dir_all(folder).map_err(failed)?;
    // A name of its own, so that two that replace the same link do not meet.
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    let made = tempfile::Builder::new()
        .prefix(&prefix)
        .make_in(folder, |path| std::os::unix::fs::symlink(target, path))
        .map_err(failed)?;
    made.into_temp_path().persist(link).map_err(|error| failed(error.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_made_and_replaced_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("a/b/web");
        for target in ["/nix/store/x", "/nix/store/y"] {
            replace_link(&link, target).unwrap();
            assert_eq!(std::fs::read_link(&link).unwrap(), Path::new(target));
        }
        assert_eq!(link.parent().unwrap().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_link_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("result");
        std::fs::write(&link, "mine").unwrap();
        assert!(matches!(replace_link(&link, "/nix/store/x"), Err(RootError::Occupied(_))));
        assert_eq!(std::fs::read(&link).unwrap(), b"mine");
    }

    #[test]
    fn a_place_is_checked_without_a_trace() {
        let dir = tempfile::tempdir().unwrap();
        check_link(&dir.path().join("a/b/web")).unwrap();
        replace_link(&dir.path().join("web"), "/nix/store/x").unwrap();
        check_link(&dir.path().join("web")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(matches!(check_link(&dir.path().join("file")), Err(RootError::Occupied(_))));
        assert!(matches!(check_link(&dir.path().join("file/web")), Err(RootError::Io { .. })));
        assert_eq!(dir.path().read_dir().unwrap().count(), 2);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let environment = Environment { home: Some("/home/a".into()), uid: 1000, ..Environment::default() };
        let path = |name: &str| link_path(&RootPlace::Name(name.to_owned()), &environment, None);
        assert_eq!(path("web").unwrap(), Path::new("/home/a/.local/state/firn/roots/web"));
        for bad in ["", "..", ".web", "a/b", "a b", "$(x)", "a'b"] {
            assert!(matches!(path(bad), Err(RootError::Name(_))), "{bad}");
        }
        let gcroots = Some(Path::new("/nix/var/nix/gcroots"));
        let root = link_path(&RootPlace::Name("web".into()), &Environment::default(), gcroots);
        assert_eq!(root.unwrap(), Path::new("/nix/var/nix/gcroots/firn/web"));
    }
}
