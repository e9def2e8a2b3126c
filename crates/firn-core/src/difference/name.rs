//! Name and version of a derivation.

/// Splits at the first dash that no letter follows (Nix: `DrvName::DrvName` in `names.cc`). The version is empty where
/// there is none.
pub fn parse_name(name: &str) -> (&str, &str) {
    let bytes = name.as_bytes();
    let dash = bytes.windows(2).position(|pair| pair[0] == b'-' && !pair[1].is_ascii_alphabetic());
    dash.map_or((name, ""), |at| (&name[..at], &name[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_nix_does_it() {
        // nix-instantiate --eval -E 'builtins.parseDrvName "..."'
        for (name, expected) in [
            ("hello-2.10", ("hello", "2.10")),
            ("bash-4.4-p23", ("bash", "4.4-p23")),
            ("python3.7-requests-2.22.0", ("python3.7-requests", "2.22.0")),
            ("etc-hosts", ("etc-hosts", "")),
            ("x-", ("x-", "")),
            ("a--b", ("a", "-b")),
        ] {
            assert_eq!(parse_name(name), expected);
        }
    }
}
