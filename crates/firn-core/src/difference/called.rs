//! What people call it: a file of /etc by its path there, a unit by the name that systemd knows. The derivations tell.

use crate::derivation::{Derivation, attributes::json_member};
use std::borrow::Cow;

/// Which path each file of /etc is made from, by what the derivation `etc` says: store path with what may follow, and
/// the path below /etc. NixOS had lists `sources` and `targets`, then calls of `makeEtcEntry`; others make links.
pub(super) fn files_of_etc(etc: &Derivation) -> Vec<(Vec<u8>, String)> {
    let (sources, targets) = (list(etc, b"sources"), list(etc, b"targets"));
    if !targets.is_empty() && sources.len() == targets.len() {
        return sources.into_iter().map(String::into_bytes).zip(targets).collect();
    }
    let command = build_command(etc).unwrap_or_default();
    let mut files = Vec::new();
    for line in command.lines() {
        let words = words(line);
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["makeEtcEntry", source, target, ..] => files.push((source.as_bytes().to_vec(), (*target).to_owned())),
            ["ln", .., source, link] => {
                files.extend(link.strip_prefix("$out/etc/").map(|t| (source.as_bytes().to_vec(), t.to_owned())));
            }
            _ => {}
        }
    }
    files
}

/// The name of the unit that a derivation makes; `None` where it does not say so.
pub(super) fn unit(unit: &Derivation) -> Option<String> {
    let command = build_command(unit)?;
    let said = |word: &String| {
        let name = word.strip_prefix("name=").or_else(|| word.strip_prefix("$out/"))?;
        (!name.is_empty() && !name.contains(['$', '/'])).then(|| name.to_owned())
    };
    command.lines().find_map(|line| words(line).iter().find_map(said))
}

/// Words of a line as a shell takes them apart; nothing is expanded.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (' ' | '\t', None) => words.extend(word.take()),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(end)) if c == end => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The shell script that makes it.
fn build_command(drv: &Derivation) -> Option<Cow<'_, str>> {
    const KEY: &[u8] = b"buildCommand";
    if let Some(command) = drv.env(KEY) {
        return Some(String::from_utf8_lossy(command));
    }
    let command = String::from_utf8_lossy(json_member(drv.env(b"__json")?, KEY)?);
    Some(Cow::Owned(unescaped(command.strip_prefix('"')?.strip_suffix('"')?)))
}

/// The words of an attribute, or the strings of a structured one.
fn list(drv: &Derivation, key: &[u8]) -> Vec<String> {
    if let Some(list) = drv.env(key) {
        return String::from_utf8_lossy(list).split_ascii_whitespace().map(str::to_owned).collect();
    }
    let list = drv.env(b"__json").and_then(|json| json_member(json, key)).unwrap_or_default();
    let list = String::from_utf8_lossy(list);
    let strings = list.strip_prefix("[\"").and_then(|list| list.strip_suffix("\"]"));
    strings.map(|list| list.split("\",\"").map(unescaped).collect()).unwrap_or_default()
}

/// Text of JSON strings, with the escapes that Nix writes undone.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                other => out.extend(other),
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drv(env: &[(&str, &str)]) -> Derivation {
        let env = env.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        Derivation { env, ..Derivation::default() }
    }

    #[test]
    fn files_of_etc_are_told_in_all_shapes_that_there_were() {
        let expected =
            [(b"/nix/store/a-hosts".to_vec(), "hosts".into()), (b"/b/etc/fonts/".to_vec(), "x/fonts".into())];
        let lists = [("sources", "/nix/store/a-hosts /b/etc/fonts/"), ("targets", "hosts x/fonts")];
        let calls = "set -eu\nmakeEtcEntry() {\n  src=$1\n}\n'makeEtcEntry' '/nix/store/a-hosts' 'hosts' 'symlink' '+0'\n\
                     makeEtcEntry /b/etc/fonts/ x/fonts symlink +0";
        let links =
            "mkdir -p $out/etc\nln -s /nix/store/a-hosts $out/etc/hosts\nln -s /b/etc/fonts/ \"$out/etc/x/fonts\"";
        let escaped = format!("{{\"buildCommand\":\"{}\"}}", calls.replace('\n', "\\n"));
        let listed = r#"{"sources":["/nix/store/a-hosts","/b/etc/fonts/"],"targets":["hosts","x/fonts"]}"#;
        for env in [
            &lists[..],
            &[("buildCommand", calls)],
            &[("buildCommand", links)],
            &[("__json", &escaped)],
            &[("__json", listed)],
        ] {
            assert_eq!(files_of_etc(&drv(env)), expected, "{env:?}");
        }
        assert!(files_of_etc(&drv(&[("targets", "hosts"), ("sources", "")])).is_empty());
    }

    #[test]
    fn units_are_called_as_systemd_calls_them() {
        let old = "mkdir -p $out\necho -n \"$text\" > $out/getty@.service\n";
        let new =
            "name=getty@.service\nmkdir -p \"$out/$(dirname -- \"$name\")\"\necho -n \"$text\" > \"$out/$name\"\n";
        for command in [old, new, "mkdir -p $out\nln -s /dev/null $out/getty@.service\n"] {
            assert_eq!(unit(&drv(&[("buildCommand", command)])).as_deref(), Some("getty@.service"));
        }
        let escaped = r"name=dev-disk-by\\x2dlabel.swap";
        assert_eq!(unit(&drv(&[("buildCommand", escaped)])).as_deref(), Some(r"dev-disk-by\x2dlabel.swap"));
        assert_eq!(unit(&drv(&[("buildCommand", "mkdir $out")])), None);
    }
}
