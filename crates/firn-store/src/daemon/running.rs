//! What a host runs, asked over ssh with nothing but stock tools there.

use super::{ssh, url::SshTarget};
use std::{io, process::Stdio};

/// What a host runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Running {
    /// The system; none on a host that is no NixOS.
    pub system: Option<String>,
    /// The derivation that it was made from, which is in the store of the host.
    pub derivation: Option<String>,
    /// A derivation that is said to have made it and is not there, as Nix calls it.
    pub deriver: Option<String>,
}

/// Why a host did not say it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunningError {
    /// There is no ssh here.
    #[error("cannot start \"ssh\": is it installed and in PATH?")]
    Spawn(#[source] io::Error),
    /// The login failed, or a program that was run there.
    #[error("{host} does not say what it runs{}", said(words))]
    Failed {
        /// As it was named.
        host: String,
        /// What ssh, or the host, said last.
        words: String,
    },
}

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// Says what runs, what of the roots of firn makes it, else what Nix recorded. A specialisation is part of the system that
/// the profile has. As [`ssh`]'s script it is quoted once, for any login shell.
const SCRIPT: &str = concat!(
    r#"PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/bin:/bin; "#,
    r#"s=$(readlink -f /run/current-system); [ -e "$s" ] || exit 0; "#,
    r#"p=$(readlink -f /nix/var/nix/profiles/system); "#,
    r#"for x in "$p"/specialisation/* "$p"/fine-tune/*; do "#,
    r#"if [ "$(readlink -f "$x")" = "$s" ]; then s=$p; break; fi; done; "#,
    r#"echo "firn-system $s"; "#,
    r#"for l in /nix/var/nix/gcroots/firn/* "${XDG_STATE_HOME:-$HOME/.local/state}"/firn/roots/*; do "#,
    r#"d=$(readlink "$l") || continue; case $d in *.drv) "#,
    r#"if [ -e "$d" ] && nix-store -q --outputs "$d" | grep -qxF "$s"; then "#,
    r#"echo "firn-derivation $d"; exit 0; fi;; esac; done; "#,
    r#"d=$(nix-store -q --deriver "$s") || exit 1; "#,
    r#"if nix-store --check-validity "$d" 2>/dev/null; then echo "firn-derivation $d"; else echo "firn-deriver $d"; fi"#,
);

impl Running {
    /// Asks a host. `options` are those of `NIX_SSHOPTS`.
    pub fn ask(target: &SshTarget, options: Option<&str>) -> Result<Self, RunningError> {
        let mut ssh = ssh::login(target, options, &[SCRIPT.to_owned(), "firn".to_owned()]);
        let output = ssh.stdin(Stdio::null()).output().map_err(RunningError::Spawn)?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let words = words.trim().lines().last().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
            return Err(RunningError::Failed { host: target.destination.clone(), words });
        }
        Ok(Self::read(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Login shells may say other things before.
    fn read(said: &str) -> Self {
        let find = |mark: &str| said.lines().find_map(|line| line.strip_prefix(mark)).map(str::to_owned);
        Self {
            system: find("firn-system "),
            derivation: find("firn-derivation "),
            deriver: find("firn-deriver ").filter(|deriver| deriver != "unknown-deriver"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_safe_in_single_quotes_of_any_shell() {
        assert!(!SCRIPT.contains(['\'', '\\', '!', '\n']));
    }

    #[test]
    fn what_a_host_says_is_read_among_the_words_of_its_shell() {
        let running = Running::read("welcome\nfirn-system /nix/store/a\nfirn-derivation /nix/store/a.drv\n");
        assert_eq!((running.system.as_deref(), running.deriver), (Some("/nix/store/a"), None));
        assert_eq!(running.derivation.as_deref(), Some("/nix/store/a.drv"));
        assert_eq!(Running::read("firn-system x\nfirn-deriver unknown-deriver\n").deriver, None);
        assert_eq!(Running::read("firn-system x\nfirn-deriver y\n").deriver.as_deref(), Some("y"));
        assert_eq!(Running::read("no NixOS here\n"), Running::default());
    }
}
