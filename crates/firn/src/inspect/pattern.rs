//! How a person names a path.

use firn_core::{StoreDir, StorePath};

/// A part of a name or store path; with `*` or `?` in it, a glob for all of either.
#[derive(Debug, Clone)]
pub struct Pattern(String);

impl Pattern {
    /// Any text is one. A slash at its end is ignored.
    pub fn new(text: &str) -> Self {
        Self(text.trim_end_matches('/').to_owned())
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it fits a path: its name, with or without `.drv`, or the path, with or without the store directory.
    pub fn fits(&self, store_dir: &StoreDir, path: &StorePath) -> bool {
        let full = store_dir.display(path);
        let name = path.name();
        if !self.is_glob() {
            return full.contains(&self.0);
        }
        let forms = [name, name.strip_suffix(".drv").unwrap_or(name), path.as_str(), &full];
        forms.iter().any(|form| glob(self.0.as_bytes(), form.as_bytes()))
    }

    /// Whether it fits a text, which need not be UTF-8.
    pub fn fits_text(&self, text: &[u8]) -> bool {
        let needle = self.0.as_bytes();
        if self.is_glob() {
            glob(needle, text)
        } else {
            needle.is_empty() || text.windows(needle.len()).any(|window| window == needle)
        }
    }

    /// The same, deaf to case.
    pub fn nearly_fits(&self, name: &str) -> bool {
        let needle = self.0.trim_matches(['*', '?']).to_lowercase();
        !needle.is_empty() && name.to_lowercase().contains(&needle)
    }

    fn is_glob(&self) -> bool {
        self.0.contains(['*', '?'])
    }
}

/// `*` stands for any bytes, `?` for one. Goes back to the last star only, so it takes at most the product of the lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((after, from)) = star else { return false };
                (p, t) = (after, from + 1);
                star = Some((after, t));
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_fits_anywhere_and_a_glob_only_as_a_whole() {
        let dir = StoreDir::default();
        let path = StorePath::from_base_name(b"5d2x9hymlmyxvbyyxhgxvpmzv5wqxwpc-hello-2.10.drv").unwrap();
        for fits in ["hello", "5d2x", "lo-2", "hello*", "*-2.1?", "/nix/store/5d2x*.drv", "5d2*", "hello-2.10", ""] {
            assert!(Pattern::new(fits).fits(&dir, &path), "{fits}");
        }
        for not in ["Hello", "ello*", "hello-?", "/nix/store/hello"] {
            assert!(!Pattern::new(not).fits(&dir, &path), "{not}");
        }
        assert!(Pattern::new("HELLO*").nearly_fits("hello-2.10.drv"));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        assert!(!glob("*a".repeat(40).as_bytes(), "a".repeat(39).as_bytes()));
        assert!(glob(b"*a*b*", b"xxaxxbxx"));
    }
}
