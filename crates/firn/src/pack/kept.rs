//! What firn keeps in a store by name: `pack --keep NAME`, and what was imported.

use super::{StorePlace, what::in_store};
use firn_core::StorePath;
use std::{fs, path::Path};

/// All names with what they keep, in order of the names.
pub(crate) fn all(place: &StorePlace) -> Vec<(String, StorePath)> {
    let mut found: Vec<(String, StorePath)> = Vec::new();
    for folder in place.root_folders() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if let Some(path) = link(&entry.path(), place) {
                found.push((name, path));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// What was kept last under a name: one path, else those of a file with several systems, `NAME-1` and so on.
pub(super) fn last(name: &str, place: &StorePlace) -> Vec<StorePath> {
    for folder in place.root_folders() {
        if let Some(path) = link(&folder.join(name), place) {
            return vec![path];
        }
        let paths: Vec<StorePath> =
            (1..).map_while(|number| link(&folder.join(format!("{name}-{number}")), place)).collect();
        if !paths.is_empty() {
            return paths;
        }
    }
    Vec::new()
}

/// The store path that a link leads to.
fn link(link: &Path, place: &StorePlace) -> Option<StorePath> {
    in_store(&fs::read_link(link).ok()?, &place.store_dir).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use firn_core::StoreDir;
    use firn_store::Environment;
    use std::os::unix::fs::symlink;

    fn drv(letter: &str) -> String {
        format!("/nix/store/{}-nixos-system-{letter}.drv", letter.repeat(32))
    }

    #[test]
    fn what_is_kept_is_found_by_its_name_be_it_one_system_or_several() {
        let dir = tempfile::tempdir().unwrap();
        let place = StorePlace::folder(dir.path(), StoreDir::default(), Environment::default());
        let folder = dir.path().join("nix/var/nix/gcroots/firn");
        fs::create_dir_all(&folder).unwrap();
        let names = |paths: Vec<StorePath>| paths.iter().map(|path| path.name().to_owned()).collect::<Vec<_>>();
        assert!(last("web", &place).is_empty());
        symlink(drv("a"), folder.join("web")).unwrap();
        assert_eq!(names(last("web", &place)), ["nixos-system-a.drv"]);
        for (name, letter) in [("fleet-1", "b"), ("fleet-2", "c"), ("web-1", "d")] {
            symlink(drv(letter), folder.join(name)).unwrap();
        }
        // Another host is called so.
        assert_eq!(names(last("web", &place)), ["nixos-system-a.drv"]);
        assert_eq!(names(last("fleet", &place)), ["nixos-system-b.drv", "nixos-system-c.drv"]);
        let all: Vec<String> = all(&place).into_iter().map(|(name, _)| name).collect();
        assert_eq!(all, ["fleet-1", "fleet-2", "web", "web-1"]);
    }
}
