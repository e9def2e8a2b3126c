//! The command that leads to a daemon on another host: one login, stock Nix and a POSIX shell there.

use super::url::SshTarget;
use crate::root::{RootError, RootPlace, RootRequest, check_root_name};
use firn_core::StoreDir;
use std::process::Command;

/// What the remote script says before its process number and the path of each link; [`pending`] is what it made.
pub(crate) const LINK: &str = "firn-link ";
/// What it says last before the daemon speaks.
pub(crate) const READY: &str = "firn-ready";
/// The link that a root is until its path has come: one for each process, so that two imports under one name do not
/// meet.
pub(crate) fn pending(process: &str, link: &str) -> String {
    format!("{link}.{process}.new")
}

/// Makes links, becomes a daemon, and puts the links in their places when it has ended. Arguments are the daemon's
/// program and three for each root: `name` or `link`, which, target. An older link stays until the new path is there;
/// the pending one is a root from before the connection closes until the other is in place, and goes with the next
/// session if its own did not end. Neither `'` nor a line
/// break may stand in it, nor a backslash or `!`: the login shell may be any.
const SCRIPT: &str = concat!(
    r#"PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/bin:/bin; "#,
    r#"d=$1; shift; "#,
    r#"if [ "$(id -u)" = 0 ]; then b=/nix/var/nix/gcroots/firn; "#,
    r#"else b=${XDG_STATE_HOME:-$HOME/.local/state}/firn/roots; fi; "#,
    r#"each() { f=$1; shift; while [ $# -ge 3 ]; do "#,
    r#"case $1 in name) l=$b/$2;; *) case $2 in /*) l=$2;; *) l=$PWD/$2;; esac;; esac; "#,
    r#"$f "$3" || return 1; shift 3; done; }; "#,
    r#"prepare() { if [ -L "$l" ]; then :; elif [ -e "$l" ]; then "#,
    r#"echo "$l is there already and is no link" >&2; return 1; fi; "#,
    r#"for n in "$l".*.new; do p=${n%.new}; p=${p##*.}; "#,
    r#"if [ -L "$n" ] && [ "$p" -gt 0 ] 2>/dev/null; then kill -0 "$p" 2>/dev/null || rm -f "$n"; fi; done; "#,
    r#"mkdir -p "${l%/*}" && ln -sfn "$1" "$l.$$.new" && "#,
    r#"{ [ -L "$l" ] || ln -s "$1" "$l" 2>/dev/null || [ -L "$l" ]; } && echo "firn-link $$ $l"; }; "#,
    r#"settle() { if [ -e "$1" ]; then ln -sfn "$1" "$l" || [ -L "$l" ] || e=1; "#,
    r#"else e=1; [ -e "$l" ] || rm -f "$l"; fi; rm -f "$l.$$.new"; }; "#,
    r#"each prepare "$@" || exit 1; "#,
    r#"echo firn-ready; "#,
    r#"if [ $# = 0 ]; then exec "$d" --stdio; fi; "#,
    r#"e=0; "$d" --stdio; each settle "$@"; exit $e"#,
);

/// Quotes a word for any shell that knows single quotes.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r#"'"'"'"#))
}

/// Splits `NIX_SSHOPTS` as Nix does: at white space, with quotes and backslashes as in a shell (`shellSplitString`).
pub(crate) fn split_options(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                while let Some(inner) = chars.next().filter(|inner| *inner != c) {
                    match inner {
                        '\\' if c == '"' => word.extend(chars.next()),
                        _ => word.push(inner),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The call of `ssh`.
pub(crate) fn command(
    target: &SshTarget,
    options: Option<&str>,
    store_dir: &StoreDir,
    roots: &[RootRequest],
) -> Result<Command, RootError> {
    let mut words = vec![SCRIPT.to_owned(), "firn".to_owned()];
    words.push(target.program.clone().unwrap_or_else(|| "nix-daemon".to_owned()));
    for root in roots {
        let (kind, which) = match &root.place {
            RootPlace::Name(name) => {
                check_root_name(name)?;
                ("name", name.clone())
            }
            RootPlace::Link(link) => ("link", link.to_string_lossy().into_owned()),
        };
        words.extend([kind.to_owned(), which, store_dir.display(&root.target)]);
    }
    if let Some(odd) = words.iter().find(|word| word.contains(|c: char| c.is_control() || c == '\\')) {
        return Err(RootError::Quoting(odd.clone()));
    }
    Ok(login(target, options, &words))
}

/// The call of `ssh` that runs a script with these words: the script, its name, its arguments.
pub(super) fn login(target: &SshTarget, options: Option<&str>, words: &[String]) -> Command {
    let mut ssh = Command::new("ssh");
    ssh.args(split_options(options.unwrap_or_default())).args(["-x", "-T"]);
    // A line that is dead ends within a minute; options above come first and win.
    ssh.args(["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"]);
    if let Some(key) = &target.key {
        ssh.args(["-i", key]);
    }
    if let Some(port) = target.port {
        ssh.args(["-p", &port.to_string()]);
    }
    if target.compress {
        ssh.arg("-C");
    }
    let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
    ssh.arg("--").arg(&target.destination).arg(format!("sh -c {}", words.join(" ")));
    ssh
}

#[cfg(test)]
mod tests {
    use super::*;
    use firn_core::StorePath;
    use std::{fs, os::unix::fs::symlink, path::Path};

    #[test]
    fn options_are_split_as_a_shell_does() {
        assert_eq!(split_options(" -o  'A b' -F\\ x \"c d\"e ''"), ["-o", "A b", "-F x", "c de", ""]);
        assert_eq!(split_options("-p 22 -i ~/.ssh/k"), ["-p", "22", "-i", "~/.ssh/k"]);
        assert!(split_options("").is_empty());
    }

    #[test]
    fn the_script_is_safe_in_single_quotes_of_any_shell() {
        assert!(!SCRIPT.contains(['\'', '\\', '!', '\n']));
    }

    /// Runs the remote command without ssh, with a daemon that makes `come` valid.
    fn run(home: &Path, place: RootPlace, come: bool) -> (bool, String) {
        let store = home.join("store");
        fs::create_dir_all(&store).unwrap();
        let path = StorePath::from_base_name(b"7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-new").unwrap();
        let store_dir = StoreDir::new(store.to_str().unwrap()).unwrap();
        let daemon = home.join("it's a daemon");
        let touch = if come { format!("touch {}", store_dir.display(&path)) } else { String::new() };
        fs::write(&daemon, format!("#!/bin/sh\ncat >/dev/null\nls -A $HOME/roots 2>/dev/null\n{touch}\n")).unwrap();
        fs::set_permissions(&daemon, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let target = SshTarget {
            destination: "h".into(),
            port: None,
            key: None,
            program: Some(daemon.to_str().unwrap().to_owned()),
            compress: false,
        };
        let ssh = command(&target, None, &store_dir, &[RootRequest { place, target: path }]).unwrap();
        let remote = ssh.get_args().last().unwrap().to_owned();
        let output = Command::new("sh").arg("-c").arg(remote).env("HOME", home).current_dir(home).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn the_remote_link_takes_its_place_when_the_path_has_come_and_only_then() {
        let home = tempfile::tempdir().unwrap();
        let place = || RootPlace::Link("roots/it's $HOME".into());
        let link = home.path().join("roots/it's $HOME");
        let new = home.path().join("store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-new");

        let (success, said) = run(home.path(), place(), false);
        assert!(!success);
        assert!(link.symlink_metadata().is_err());
        let process = said.strip_prefix(LINK).and_then(|said| said.split_once(' ')).unwrap().0;
        let pending = pending(process, "it's $HOME");
        assert_eq!(said, format!("{LINK}{process} {}\n{READY}\nit's $HOME\n{pending}\n", link.display()));

        symlink(home.path(), &link).unwrap();
        assert!(!run(home.path(), place(), false).0);
        assert_eq!(fs::read_link(&link).unwrap(), home.path());

        assert!(run(home.path(), place(), true).0);
        assert_eq!(fs::read_link(&link).unwrap(), new);
        assert_eq!(link.parent().unwrap().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn what_a_session_that_died_left_goes_with_the_next_and_nothing_else_does() {
        let home = tempfile::tempdir().unwrap();
        let roots = home.path().join("roots");
        fs::create_dir(&roots).unwrap();
        let (dead, alive) = ("999999999".to_owned(), std::process::id().to_string());
        for name in [pending(&dead, "web"), pending(&alive, "web"), "web.mine.new".to_owned()] {
            symlink(home.path(), roots.join(name)).unwrap();
        }
        fs::write(roots.join(pending(&dead, "web.x")), "no link").unwrap();
        assert!(run(home.path(), RootPlace::Link("roots/web".into()), true).0);
        let left = roots.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let left = left.collect::<std::collections::BTreeSet<_>>();
        let kept = ["web".to_owned(), pending(&alive, "web"), "web.mine.new".to_owned(), pending(&dead, "web.x")];
        assert_eq!(left, kept.into());
    }

    #[test]
    fn what_is_no_link_on_the_other_side_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("mine"), "x").unwrap();
        let (success, said) = run(home.path(), RootPlace::Link("mine".into()), true);
        assert!(!success);
        assert_eq!(said, "");
        assert_eq!(fs::read(home.path().join("mine")).unwrap(), b"x");
    }

    #[test]
    fn what_a_shell_might_misread_is_refused() {
        let target = SshTarget { destination: "h".into(), port: None, key: None, program: None, compress: false };
        let path = StorePath::from_base_name(b"7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-new").unwrap();
        for place in [
            RootPlace::Link("a\\b".into()),
            RootPlace::Link("a\nb".into()),
            RootPlace::Name("../x".into()),
            RootPlace::Name("a';b".into()),
        ] {
            let root = RootRequest { place, target: path.clone() };
            assert!(command(&target, None, &StoreDir::default(), &[root]).is_err());
        }
    }
}
