//! What a person points `pack` at.

use super::provenance::without_credentials;
use crate::{CommandError, ExitCode};
use firn_core::{StoreDir, StorePath};
use std::{
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// How many links may lead to a store path.
const MAX_LINKS: usize = 40;

/// One thing to pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A path in the store, or what a link leads to there.
    Store(StorePath),
    /// A flake, and an attribute of it.
    Flake(FlakeRef),
}

/// A flake reference, split at its `#`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FlakeRef {
    /// What is before the `#`: `.`, `github:owner/repo`, `path:/x`.
    pub(super) flake: String,
    /// What is after it: a host, or a whole attribute path.
    pub(super) fragment: Option<String>,
}

impl fmt::Display for FlakeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flake = without_credentials(&self.flake);
        match &self.fragment {
            Some(fragment) => write!(f, "{flake}#{fragment}"),
            None => f.write_str(&flake),
        }
    }
}

impl What {
    /// Reads an argument. Links are followed; nothing is looked up in a store.
    pub(super) fn parse(text: &str, store_dir: &StoreDir) -> Result<Self, CommandError> {
        if let Some((flake, fragment)) = text.split_once('#') {
            // Outputs are no matter of a recipe.
            let fragment = fragment.split_once('^').map_or(fragment, |(attribute, _)| attribute);
            let fragment = (!fragment.is_empty()).then(|| fragment.to_owned());
            return Ok(Self::Flake(FlakeRef { flake: local(flake), fragment }));
        }
        let base = text.split_once(".drv!").or_else(|| text.split_once(".drv^"));
        let base = base.map_or_else(|| text.to_owned(), |(stem, _)| format!("{stem}.drv"));
        let path = Path::new(&base);
        if let Some(path) = in_store(path, store_dir)? {
            return Ok(Self::Store(path));
        }
        let wrong = |why: &str| CommandError::new(ExitCode::Input, why.to_owned()).about(text);
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Ok(Self::Flake(FlakeRef { flake: local(&base), fragment: None })),
            Ok(_) if base.ends_with(".drv") => Err(wrong("a derivation outside the store has lost its references")
                .hint(format!("name it as it is in the store: {store_dir}/...-{}", name_of(path)))),
            Ok(_) => Err(wrong("this is neither a flake nor in the store").hint(
                "for an expression say --file FILE --attr ATTR; for a stream or a firn file, firn convert IN OUT",
            )),
            Err(error) if is_path(&base) => Err(CommandError::new(ExitCode::Input, error).about(text)),
            Err(_) => Ok(Self::Flake(FlakeRef { flake: base, fragment: None })),
        }
    }
}

/// Whether a text can only be meant as a path.
fn is_path(text: &str) -> bool {
    text.starts_with(['/', '.', '~']) || text.ends_with(".drv") || (text.contains('/') && !text.contains(':'))
}

/// A folder by a name that Nix would look up in its registry.
fn local(flake: &str) -> String {
    let bare = !flake.is_empty() && !flake.starts_with(['/', '.']) && !flake.contains(':');
    match flake {
        "" => ".".to_owned(),
        _ if bare && Path::new(flake).join("flake.nix").exists() => format!("./{flake}"),
        _ => flake.to_owned(),
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The store path that a path names or leads to.
pub(crate) fn in_store(path: &Path, store_dir: &StoreDir) -> Result<Option<StorePath>, CommandError> {
    let mut path: PathBuf = path.to_owned();
    for _ in 0..MAX_LINKS {
        if let Some(found) = below_store(&path, store_dir)? {
            return Ok(Some(found));
        }
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    match path.canonicalize() {
        Ok(real) => below_store(&real, store_dir),
        Err(_) => Ok(None),
    }
}

fn below_store(path: &Path, store_dir: &StoreDir) -> Result<Option<StorePath>, CommandError> {
    let Ok(rest) = path.strip_prefix(store_dir.as_str()) else { return Ok(None) };
    let Some(first) = rest.components().next() else { return Ok(None) };
    Ok(Some(StorePath::from_base_name(first.as_os_str().as_bytes())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRV: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-web.drv";

    fn parse(text: &str) -> Result<What, CommandError> {
        What::parse(text, &StoreDir::default())
    }

    fn flake(text: &str) -> (String, Option<String>) {
        match parse(text).unwrap() {
            What::Flake(FlakeRef { flake, fragment }) => (flake, fragment),
            What::Store(path) => panic!("{path}"),
        }
    }

    fn store(text: &str) -> String {
        match parse(text).unwrap() {
            What::Store(path) => path.to_string(),
            What::Flake(flake) => panic!("{flake:?}"),
        }
    }

    #[test]
    fn a_derivation_is_known_with_the_outputs_that_tools_append() {
        for text in [DRV.to_owned(), format!("{DRV}!out"), format!("{DRV}^*")] {
            assert_eq!(store(&text), "0123456789abcdfghijklmnpqrsvwxyz-web.drv");
        }
    }

    #[test]
    fn a_link_leads_to_its_store_path_though_the_store_is_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let (inner, outer) = (dir.path().join("system-1-link"), dir.path().join("system"));
        std::os::unix::fs::symlink(DRV.trim_end_matches(".drv"), &inner).unwrap();
        std::os::unix::fs::symlink("system-1-link", &outer).unwrap();
        assert_eq!(store(outer.to_str().unwrap()), "0123456789abcdfghijklmnpqrsvwxyz-web");
    }

    #[test]
    fn flakes_are_split_at_their_fragment() {
        assert_eq!(flake(".#web"), (".".into(), Some("web".into())));
        assert_eq!(flake("#web"), (".".into(), Some("web".into())));
        assert_eq!(flake("github:a/b?ref=c#x.y^out"), ("github:a/b?ref=c".into(), Some("x.y".into())));
        assert_eq!(flake("github:a/b"), ("github:a/b".into(), None));
        assert_eq!(flake("/"), ("/".into(), None));
    }

    #[test]
    fn what_is_neither_a_flake_nor_in_the_store_is_refused_with_what_to_say() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("configuration.nix");
        std::fs::write(&file, "{}").unwrap();
        let error = parse(file.to_str().unwrap()).unwrap_err();
        assert!(error.hints()[0].contains("--file"), "{error}");
        let drv = dir.path().join("web.drv");
        std::fs::write(&drv, "Derive()").unwrap();
        assert!(parse(drv.to_str().unwrap()).unwrap_err().hints()[0].contains("/nix/store/...-web.drv"));
        assert_eq!(parse("./absent").unwrap_err().code(), ExitCode::Input);
        assert_eq!(parse("/nix/store/short").unwrap_err().code(), ExitCode::Usage);
    }
}
