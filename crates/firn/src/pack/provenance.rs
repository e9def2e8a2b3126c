//! Where a system came from, without what lets anyone in there.

use serde_json::Value;

/// Parameters of a flake's URL that say what it is. Any other could be a token.
const KEPT: [&str; 13] = [
    "ref",
    "rev",
    "dir",
    "narHash",
    "submodules",
    "shallow",
    "allRefs",
    "lfs",
    "host",
    "lastModified",
    "revCount",
    "type",
    "name",
];

/// What the metadata of a flake says, for the header. `lock` is the digest of its lock file, in hexadecimal.
pub(super) fn of_flake(metadata: &Value, lock: Option<String>) -> Vec<(String, String)> {
    let text = |key: &str| metadata.get(key).and_then(Value::as_str);
    let mut facts = Vec::new();
    if let Some(url) = text("originalUrl").or_else(|| text("url")) {
        facts.push(("flake".to_owned(), without_credentials(url)));
    }
    if let Some(lock) = lock {
        facts.push(("lock".to_owned(), lock));
    }
    if let Some(revision) = text("revision").or_else(|| text("dirtyRevision")) {
        facts.push(("revision".to_owned(), revision.to_owned()));
    }
    let is_git = metadata.pointer("/locked/type").and_then(Value::as_str) == Some("git");
    if is_git && text("revision").is_none() {
        facts.push(("dirty".to_owned(), "true".to_owned()));
    }
    facts
}

/// A URL without a password, without what stands for one before the `@`, and without parameters that are not known.
pub(super) fn without_credentials(url: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let (query, fragment) = match query.and_then(|query| query.split_once('#')) {
        Some((query, fragment)) => (Some(query), Some(fragment)),
        None => (query, None),
    };
    let mut clean = match address.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = match authority.rsplit_once('@') {
                // A login name is no secret where keys are used; elsewhere a token stands in its place.
                Some((user, host)) if scheme.ends_with("ssh") => {
                    format!("{}@{host}", user.split(':').next().unwrap_or_default())
                }
                Some((_, host)) => host.to_owned(),
                None => authority.to_owned(),
            };
            format!("{scheme}://{host}{path}")
        }
        None => address.to_owned(),
    };
    let known = |pair: &&str| pair.split_once('=').is_some_and(|(name, _)| KEPT.contains(&name));
    let query: Vec<&str> = query.unwrap_or_default().split('&').filter(known).collect();
    if !query.is_empty() {
        clean.push('?');
        clean.push_str(&query.join("&"));
    }
    if let Some(fragment) = fragment {
        clean.push('#');
        clean.push_str(fragment);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_tokens_are_taken_from_urls() {
        for (url, clean) in [
            ("git+https://me:pw@host/x.git?ref=main", "git+https://host/x.git?ref=main"),
            (
                "https://ghp_abc@host/x.tar.gz?private_token=1&narHash=sha256-x",
                "https://host/x.tar.gz?narHash=sha256-x",
            ),
            ("git+ssh://git:pw@host/x", "git+ssh://git@host/x"),
            ("github:owner/repo?host=git.example&access_token=x", "github:owner/repo?host=git.example"),
            ("path:/home/a/flake", "path:/home/a/flake"),
            ("git+file:///srv/a@b", "git+file:///srv/a@b"),
        ] {
            assert_eq!(without_credentials(url), clean);
        }
    }

    #[test]
    fn a_dirty_tree_has_no_revision_and_says_so() {
        let metadata = serde_json::json!({ "originalUrl": "git+file:///a", "locked": { "type": "git" } });
        let facts = of_flake(&metadata, None);
        assert_eq!(facts, [("flake".into(), "git+file:///a".into()), ("dirty".into(), "true".into())]);
    }
}
