//! What is activated: which system, for whom, and whether it is the expected one.

use crate::{
    CommandError, ExitCode, Loaded, StoreTarget,
    encode::system_host,
    import::{expected_root, is_local},
    load::{root_name, root_names},
    realise::Subject,
};
use firn_activate::{Host, guard::Addressee};
use firn_core::{StoreDir, StorePath, derivation::Derivation};
use std::path::{Path, PathBuf};

/// A path of the store that is a built system, or a link to one.
pub(super) fn built(file: &Path) -> Option<PathBuf> {
    let real = file.canonicalize().ok()?;
    // What else a folder of the store may be is told by the guards.
    (real.starts_with("/nix/store") && real.is_dir()).then_some(real)
}

pub(super) fn root_of(subject: &Subject) -> PathBuf {
    let root = match subject {
        Subject::Loaded(loaded) => loaded.closure.roots().first().cloned(),
        Subject::Path(_, path) => Some(path.clone()),
    };
    root.map_or_else(PathBuf::new, |root| PathBuf::from(subject.store_dir().display(&root)))
}

/// Whom a system that is not built yet is for: its manifest says it, else its derivation.
pub(super) fn addressee(subject: &Subject) -> Addressee {
    let root = match subject {
        Subject::Loaded(loaded) => loaded.closure.roots().first(),
        Subject::Path(_, path) => Some(path),
    };
    let front = match subject {
        Subject::Loaded(loaded) => loaded.front.as_ref(),
        Subject::Path(..) => None,
    };
    let manifest = front.map(|front| &front.header.manifest);
    // One of several hosts was chosen by its name; the manifest is of the first.
    let alone = front.is_some_and(|front| front.header.roots.len() == 1);
    let derivation = || Some(String::from_utf8_lossy(&subject.derivation(root?)?.system).into_owned());
    Addressee {
        host: manifest
            .and_then(|manifest| manifest.host.clone())
            .filter(|_| alone)
            .or_else(|| system_host(root?.name()).map(str::to_owned)),
        name: root.map(|root| root.name().trim_end_matches(".drv").to_owned()),
        machine_id: manifest.and_then(|manifest| manifest.machine_id.clone()).filter(|_| alone),
        system: manifest.and_then(|manifest| manifest.system.clone()).or_else(derivation),
    }
}

/// Whom a built system is for: it knows the name that the host has in it, else its own name tells.
pub(super) fn addressee_of_built(host: &Host, system: &Path) -> Addressee {
    let name = system.file_name().and_then(|name| name.to_str()).and_then(|name| name.get(33..)).map(str::to_owned);
    let by_name = || name.as_deref().and_then(system_host).map(str::to_owned);
    let host_name = host.text(system.join("etc/hostname")).filter(|name| !name.is_empty());
    Addressee { host: host_name.or_else(by_name), name, machine_id: None, system: host.text(system.join("system")) }
}

/// Refuses a built system that is not what the expected root builds. `expected` as `--expect` has it.
pub(super) fn check_built(expected: &str, system: &Path) -> Result<(), CommandError> {
    let folder = system.parent().and_then(Path::to_str).unwrap_or_default();
    let store_dir = StoreDir::new(folder).map_err(|error| CommandError::new(ExitCode::StoreDir, error))?;
    let wanted = expected_root(expected, &store_dir)?;
    let refused = |text: String| Err(CommandError::new(ExitCode::Unexpected, text).about(system.display()));
    let Some(root) =
        store_dir.parse(wanted.as_bytes()).ok().or_else(|| StorePath::from_base_name(wanted.as_bytes()).ok())
    else {
        return refused(format!("--expect {wanted} names no store path"));
    };
    if Path::new(&store_dir.display(&root)) == system {
        return Ok(());
    }
    let text = std::fs::read(store_dir.display(&root)).ok();
    match text.and_then(|text| Derivation::parse(&text).ok()) {
        Some(drv) if drv.outputs.iter().any(|output| Path::new(&*String::from_utf8_lossy(&output.path)) == system) => {
            Ok(())
        }
        Some(_) => refused(format!("it is not what {wanted} builds")),
        None => refused(format!("whether it is what {wanted} builds cannot be told: that is not in the store")),
    }
    .map_err(|error| error.hint("nothing was changed; get the right one, or check what --expect names"))
}

/// Refuses several systems at once: only one can run.
pub(super) fn one_system(loaded: &Loaded, file: &Path) -> Result<(), CommandError> {
    let roots = loaded.closure.roots();
    if roots.iter().filter(|root| is_system(root)).count() < 2 {
        return Ok(());
    }
    let names: Vec<String> = names(roots).iter().map(|name| format!("{}#{name}", file.display())).collect();
    Err(CommandError::new(ExitCode::Refused, format!("it holds {} systems, and only one can run", roots.len()))
        .about(&loaded.source)
        .hint("nothing was changed")
        .hint(format!("say which: {}", names.join(", "))))
}

fn is_system(root: &StorePath) -> bool {
    system_host(root.name()).is_some()
}

/// The shortest name of each root that names no other.
fn names(roots: &[StorePath]) -> Vec<String> {
    let full = |root: &StorePath| root.name().trim_end_matches(".drv").to_owned();
    let once =
        |name: &dyn Fn(&StorePath) -> String, root| roots.iter().filter(|other| name(other) == name(root)).count() == 1;
    let named = roots.iter().zip(root_names(roots)).map(|(root, numbered)| match root {
        root if once(&|root| root_name(root).to_owned(), root) => root_name(root).to_owned(),
        root if once(&full, root) => full(root),
        _ => numbered,
    });
    named.collect()
}

/// Refuses another store than the one that this host runs from.
pub(super) fn own_store(store: Option<&str>, target: &StoreTarget) -> Result<(), CommandError> {
    match target {
        StoreTarget::Daemon(url) if is_local(url) => Ok(()),
        _ => Err(CommandError::new(
            ExitCode::Refused,
            format!(
                "a system is activated from the store of the host that it runs on, not from {}",
                store.unwrap_or("another")
            ),
        )
        .hint("nothing was changed")
        .hint(
            "run firn on that host: ssh HOST firn switch FILE; or only bring it there: firn realise --store URL FILE",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::is_root;

    fn root(hash: &str, name: &str) -> StorePath {
        StorePath::from_base_name(format!("{}-{name}", hash.repeat(32)).as_bytes()).unwrap()
    }

    #[test]
    fn a_derivation_and_a_built_system_are_for_a_host_too() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().to_str().unwrap();
        let drv = root("a", "nixos-system-other-B.drv");
        let text = r#"Derive([("out","/x/b","","")],[],[],"aarch64-linux","/bin/sh",[],[("out","/x/b")])"#;
        std::fs::write(dir.path().join(drv.as_str()), text).unwrap();
        let to = addressee(&Subject::Path(StoreDir::new(store).unwrap(), drv));
        assert_eq!((to.host.as_deref(), to.system.as_deref()), (Some("other"), Some("aarch64-linux")));
        let host = Host::below(dir.path());
        let system = Path::new("/nix/store").join(root("b", "nixos-system-other-B").as_str());
        std::fs::create_dir_all(host.path(system.join("etc"))).unwrap();
        assert_eq!(addressee_of_built(&host, &system).host.as_deref(), Some("other"));
        std::fs::write(host.path(system.join("etc/hostname")), "web\n").unwrap();
        assert_eq!(addressee_of_built(&host, &system).host.as_deref(), Some("web"));
    }

    #[test]
    fn what_is_expected_is_looked_for_in_what_is_no_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let store_dir = StoreDir::new(dir.path().to_str().unwrap()).unwrap();
        let (drv, other) = (root("a", "nixos-system-web-B.drv"), root("0", "x.drv"));
        let system = dir.path().join(root("b", "nixos-system-web-B").as_str());
        let shown = |path: &StorePath| store_dir.display(path);
        let found = |expected| is_root(&shown(expected), &store_dir, std::slice::from_ref(&drv));
        assert!(found(&drv).is_ok());
        assert_eq!(found(&other).unwrap_err().code(), ExitCode::Unexpected);
        std::fs::create_dir(&system).unwrap();
        let out = system.display();
        let text = format!(r#"Derive([("out","{out}","","")],[],[],"x86_64-linux","/bin/sh",[],[("out","{out}")])"#);
        std::fs::write(dir.path().join(drv.as_str()), text).unwrap();
        assert!(check_built(&shown(&drv), &system).is_ok());
        assert!(check_built(&out.to_string(), &system).is_ok());
        let another = dir.path().join(root("c", "nixos-system-web-B").as_str());
        for (expected, system, said) in [(&drv, &another, "it is not what"), (&other, &system, "cannot be told")] {
            let refused = check_built(&shown(expected), system).unwrap_err();
            assert_eq!(refused.code(), ExitCode::Unexpected);
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }

    #[test]
    fn systems_of_a_file_are_told_apart() {
        let web = |hash, label: &str| root(hash, &format!("nixos-system-web-{label}.drv"));
        assert_eq!(names(&[web("a", "1.0"), root("b", "nixos-system-db-1.0.drv")]), ["web", "db"]);
        assert_eq!(names(&[web("a", "1.0"), web("b", "2.0")]), ["nixos-system-web-1.0", "nixos-system-web-2.0"]);
        assert_eq!(names(&[web("a", "1.0"), web("b", "1.0")]), ["web", "web-2"]);
    }

    #[test]
    fn only_the_store_of_this_host_holds_what_it_runs() {
        for (url, fits) in [("auto", true), ("daemon", true), ("local?root=/x", false), ("ssh-ng://web", false)] {
            assert_eq!(own_store(Some(url), &StoreTarget::Daemon(url.parse().unwrap())).is_ok(), fits, "{url}");
        }
    }
}
