//! Attributes of a derivation that are looked up by name: in the environment, or in the JSON of structured ones.

use super::Derivation;

/// Looks a text attribute up.
pub(crate) fn text(drv: &Derivation, key: &[u8]) -> Option<Vec<u8>> {
    if let Some(value) = drv.env(key) {
        return Some(value.to_vec());
    }
    let value = json_member(drv.env(b"__json")?, key)?;
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (!inner.contains(&b'\\')).then(|| inner.to_vec())
}

/// Names of the outputs that a derivation says it has, sorted; `out` where it says nothing.
pub(crate) fn outputs(drv: &Derivation) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = if let Some(list) = drv.env(b"outputs") {
        list.split(u8::is_ascii_whitespace).filter(|n| !n.is_empty()).map(<[u8]>::to_vec).collect()
    } else if let Some(list) = drv.env(b"__json").and_then(|json| json_member(json, b"outputs")) {
        let inner = list.strip_prefix(b"[").and_then(|l| l.strip_suffix(b"]")).unwrap_or_default();
        let names = inner.split(|b| *b == b',').map(|n| n.trim_ascii());
        names.filter_map(|n| Some(n.strip_prefix(b"\"")?.strip_suffix(b"\"")?.to_vec())).collect()
    } else {
        Vec::new()
    };
    if names.is_empty() {
        names.push(b"out".to_vec());
    }
    names.sort();
    names.dedup();
    names
}

/// The text of a member of a JSON object, found without nesting limits and without allocation: a guess that the writer
/// checks, so malformed JSON only costs bytes.
pub(crate) fn json_member<'a>(json: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut at = skip_space(json, 0);
    if json.get(at) != Some(&b'{') {
        return None;
    }
    at = skip_space(json, at + 1);
    while json.get(at) == Some(&b'"') {
        let end = string_end(json, at)?;
        let name = json.get(at + 1..end - 1)?;
        at = skip_space(json, end);
        if json.get(at) != Some(&b':') {
            return None;
        }
        at = skip_space(json, at + 1);
        let end = value_end(json, at)?;
        if name == key {
            return json.get(at..end);
        }
        at = skip_space(json, end);
        if json.get(at) != Some(&b',') {
            return None;
        }
        at = skip_space(json, at + 1);
    }
    None
}

fn skip_space(json: &[u8], mut at: usize) -> usize {
    while json.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// Position after the string that begins at `at`.
fn string_end(json: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match json.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Position after the value that begins at `at`.
fn value_end(json: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0u32;
    loop {
        match json.get(at)? {
            b'"' => at = string_end(json, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b',' if depth == 0 => return Some(at),
            _ => at += 1,
        }
        if depth == 0 && matches!(json.get(at), Some(b',' | b'}') | None) {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_of_structured_attributes_are_found_at_the_top_level_only() {
        let json = br#"{"a":{"outputs":["no"]},"b":"x,\"outputs\":","n":1,"outputs":["out","dev"],"z":null}"#;
        let drv = Derivation { env: vec![(b"__json".to_vec(), json.to_vec())], ..Derivation::default() };
        assert_eq!(outputs(&drv), [b"dev".to_vec(), b"out".to_vec()]);
        assert_eq!(text(&drv, b"b"), None);
        assert_eq!(json_member(json, b"n"), Some(&b"1"[..]));
        assert_eq!(json_member(br#"{"a":"#, b"a"), None);
    }
}
