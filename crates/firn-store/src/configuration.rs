//! What the `nix.conf` of this machine sets, as far as a client has to tell a daemon.
//!
//! A client that sends one setting sends all of a fixed list, and the daemon takes them for its own (Nix: `SetOptions` in
//! `daemon.cc`). So a client of Nix sends what its own `nix.conf` says, and so do we.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// How deep files may include one another.
const DEPTH: usize = 8;
/// Bytes of one file at most; what follows is left.
const LENGTH: usize = 1 << 20;

/// Settings by name, each as it was set last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration(HashMap<String, String>);

impl Configuration {
    /// Reads `nix.conf`, the person's own and `NIX_CONFIG`, in this order (Nix: `initConfig`). `variable` is
    /// `std::env::var_os` in a program. What cannot be read sets nothing, as for Nix.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let mut settings = Self::default();
        let folder = path("NIX_CONF_DIR").unwrap_or_else(|| "/etc/nix".into());
        settings.file(&folder.join("nix.conf"), DEPTH);
        match variable("NIX_USER_CONF_FILES").filter(|value| !value.is_empty()) {
            // The first of them has the last word.
            Some(files) => {
                let files: Vec<PathBuf> = std::env::split_paths(&files).collect();
                files.iter().rev().for_each(|file| settings.file(file, DEPTH));
            }
            None => {
                let home = path("XDG_CONFIG_HOME").or_else(|| Some(path("HOME")?.join(".config")));
                settings.file(&home.unwrap_or_default().join("nix/nix.conf"), DEPTH);
            }
        }
        if let Some(text) = variable("NIX_CONFIG") {
            settings.text(&text.to_string_lossy(), Path::new(""), DEPTH);
        }
        settings
    }

    fn file(&mut self, path: &Path, depth: usize) {
        let Ok(mut text) = std::fs::read(path) else { return };
        text.truncate(LENGTH);
        self.text(&String::from_utf8_lossy(&text), path.parent().unwrap_or(Path::new("")), depth);
    }

    fn text(&mut self, text: &str, folder: &Path, depth: usize) {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["include" | "!include", file] if depth > 0 => self.file(&folder.join(file), depth - 1),
                [name, "=", ref value @ ..] => drop(self.0.insert(name.to_owned(), value.join(" "))),
                _ => {}
            }
        }
    }

    /// A setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A setting that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// A setting that is `true` or `false`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_that_of_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("nix.conf", "max-jobs = auto # all\ncores = 2\n!include absent.conf\ninclude more.conf\nfallback=true\n");
        write("more.conf", "max-silent-time = 60\ninclude more.conf\nsubstitute = false\n");
        write("user.conf", "cores = 3\nsubstituters = a  b\n");
        let read = |config: Option<&str>| {
            Configuration::read(|name| match name {
                "NIX_CONF_DIR" => Some(dir.path().into()),
                "NIX_USER_CONF_FILES" => Some(dir.path().join("user.conf").into()),
                "NIX_CONFIG" => config.map(OsString::from),
                _ => None,
            })
        };
        let settings = read(None);
        assert_eq!((settings.get("max-jobs"), settings.number("max-jobs")), (Some("auto"), None));
        assert_eq!((settings.number("cores"), settings.number("max-silent-time")), (Some(3), Some(60)));
        assert_eq!((settings.flag("substitute"), settings.get("substituters")), (Some(false), Some("a b")));
        // Nix wants spaces around the sign.
        assert_eq!(settings.flag("fallback"), None);
        assert_eq!(read(Some("cores = 4\nmax-jobs = 8")).number("max-jobs"), Some(8));
        assert_eq!(Configuration::read(|_| Some("/nonexistent".into())), Configuration::default());
    }
}
