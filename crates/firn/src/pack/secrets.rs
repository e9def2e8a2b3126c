//! Secrets in the text of derivations: a store is readable by everybody, and a file carries it away.
//!
//! Only what is a key by its form is named, never what merely speaks of one. Keys of Google's interfaces are left out:
//! browsers hold public ones, and every Firefox of nixpkgs would be named.

/// A form that secrets have: what they begin with, and the least number of characters that must follow.
struct Form {
    kind: &'static str,
    prefix: &'static str,
    least: usize,
    /// Whether a character may be in the rest.
    alphabet: fn(u8) -> bool,
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

const FORMS: [Form; 12] = [
    Form { kind: "an age key", prefix: "AGE-SECRET-KEY-1", least: 58, alphabet: upper },
    Form { kind: "an access key of AWS", prefix: "AKIA", least: 16, alphabet: upper },
    Form { kind: "a token of GitHub", prefix: "ghp_", least: 36, alphabet: alphanumeric },
    Form { kind: "a token of GitHub", prefix: "gho_", least: 36, alphabet: alphanumeric },
    Form { kind: "a token of GitHub", prefix: "ghs_", least: 36, alphabet: alphanumeric },
    Form { kind: "a token of GitHub", prefix: "github_pat_", least: 60, alphabet: word },
    Form { kind: "a token of GitLab", prefix: "glpat-", least: 20, alphabet: word },
    Form { kind: "a token of Slack", prefix: "xoxb-", least: 24, alphabet: word },
    Form { kind: "a token of Slack", prefix: "xoxp-", least: 24, alphabet: word },
    Form { kind: "a key of Stripe", prefix: "sk_live_", least: 24, alphabet: alphanumeric },
    Form { kind: "a token of Tailscale", prefix: "tskey-auth-", least: 20, alphabet: word },
    Form { kind: "a private key", prefix: "-----BEGIN ", least: 0, alphabet: word },
];

/// Characters of base 64 that make the body of a PEM key.
const PEM_BODY: usize = 32;

/// What kind of secret a text holds: the first that is found.
pub(super) fn find(text: &[u8]) -> Option<&'static str> {
    for at in 0..text.len() {
        let (rest, before) = (&text[at..], at.checked_sub(1).map(|at| text[at]));
        if !may_begin(rest) {
            continue;
        }
        for form in &FORMS {
            let Some(after) = rest.strip_prefix(form.prefix.as_bytes()) else { continue };
            let found = if form.least == 0 {
                is_private_key(after)
            } else {
                let end = after.iter().take_while(|b| (form.alphabet)(**b)).count();
                // Part of a longer word, such as a hash, is no token; `\n` before it is an escape.
                let escaped = at >= 2 && text[at - 2] == b'\\';
                end >= form.least && (escaped || before.is_none_or(|b| !base64(b) && b != b'_' && b != b'-'))
            };
            if found {
                return Some(form.kind);
            }
        }
    }
    None
}

/// Whether the first two bytes are those of some form: decides for almost every place.
fn may_begin(text: &[u8]) -> bool {
    matches!(
        text,
        [b'A', b'G' | b'K', ..]
            | [b'g', b'h' | b'i' | b'l', ..]
            | [b'x', b'o', ..]
            | [b's', b'k', ..]
            | [b't', b's', ..]
            | [b'-', b'-', ..]
    )
}

/// What follows `-----BEGIN `: a kind of private key, the end of the line, and a body.
fn is_private_key(after: &[u8]) -> bool {
    let Some(end) = after.iter().take(40).position(|b| *b == b'-') else { return false };
    let label = &after[..end];
    if !label.ends_with(b"PRIVATE KEY") && label != b"PGP PRIVATE KEY BLOCK" {
        return false;
    }
    let Some(mut body) = after[end..].strip_prefix(b"-----") else { return false };
    // Line ends as they are, or escaped once or more.
    while let Some((first, rest)) = body.split_first() {
        match first {
            b'\n' | b'\r' | b'\\' | b' ' => body = rest,
            b'n' | b'r' if body.len() < after.len() && after[after.len() - body.len() - 1] == b'\\' => body = rest,
            _ => break,
        }
    }
    body.iter().take_while(|b| base64(**b)).count() >= PEM_BODY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tokens_are_known_by_their_form() {
        let body = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz";
        for text in [
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\\n{body}\\n"),
            format!("-----BEGIN RSA PRIVATE KEY-----\n{body}"),
            format!("-----BEGIN PRIVATE KEY-----\\\\n{body}"),
        ] {
            assert_eq!(find(text.as_bytes()), Some("a private key"), "{text}");
        }
        let token = "0123456789abcdefghijklmnopqrstuvwxyz";
        assert_eq!(find(format!("(\"token\",\"ghp_{token}\")").as_bytes()), Some("a token of GitHub"));
        assert_eq!(find(format!("a\\nghp_{token}\\n").as_bytes()), Some("a token of GitHub"));
        assert_eq!(find(b"AKIAIOSFODNN7EXAMPLE"), Some("an access key of AWS"));
        assert_eq!(find(format!("glpat-{token}").as_bytes()), Some("a token of GitLab"));
    }

    #[test]
    fn no_form_is_passed_over() {
        assert!(FORMS.iter().all(|form| may_begin(form.prefix.as_bytes())));
    }

    #[test]
    fn what_only_speaks_of_a_secret_is_none() {
        for text in [
            "grep -q -- '-----BEGIN PRIVATE KEY-----' $key",
            "-----BEGIN CERTIFICATE-----\\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBa",
            "-----BEGIN PUBLIC KEY-----\\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBa",
            "tokens begin with ghp_ or glpat-",
            "sha256-xxAKIAIOSFODNN7EXAMPLEAAAAAAAAAA=",
            "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-openssh",
        ] {
            assert_eq!(find(text.as_bytes()), None, "{text}");
        }
    }
}
