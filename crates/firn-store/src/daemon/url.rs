//! Names of stores, as `--store` takes them.

use super::error::DaemonError;
use std::{fmt, path::PathBuf, str::FromStr};

/// A store that a daemon gives access to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// What `NIX_REMOTE` says, else the socket, else `nix-daemon --stdio`.
    Auto,
    /// The daemon's socket.
    Daemon,
    /// A daemon's socket elsewhere.
    Socket(PathBuf),
    /// A store below another root folder, by `nix-daemon --stdio`.
    LocalRoot(PathBuf),
    /// A host that `ssh` leads to.
    Ssh(SshTarget),
}

/// A host that `ssh` leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// `[user@]host`.
    pub destination: String,
    /// Port, where the address has one.
    pub port: Option<u16>,
    /// `ssh-key`: the key to log in with.
    pub key: Option<String>,
    /// `remote-program`: what to run instead of `nix-daemon`.
    pub program: Option<String>,
    /// `compress`: whether ssh compresses; helps where the line is slower than some MB/s.
    pub compress: bool,
}

impl FromStr for StoreUrl {
    type Err = DaemonError;

    fn from_str(url: &str) -> Result<Self, DaemonError> {
        let refuse = |why| DaemonError::Url { url: url.to_owned(), why };
        let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
        let parameters: Vec<(&str, String)> = parameters
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').and_then(|(name, value)| Some((name, decode(value)?))))
            .collect::<Option<_>>()
            .ok_or_else(|| refuse("after the question mark come name=value pairs"))?;
        let no_parameters = |parsed| {
            if parameters.is_empty() { Ok(parsed) } else { Err(refuse("this kind of store has no parameters")) }
        };
        if let Some(host) = address.strip_prefix("ssh-ng://") {
            return ssh(host, parameters).map(Self::Ssh).map_err(refuse);
        }
        match address {
            "" | "auto" => no_parameters(Self::Auto),
            "daemon" | "unix://" => no_parameters(Self::Daemon),
            "local" | "local://" => match parameters.as_slice() {
                [("root", root)] if root.starts_with('/') => Ok(Self::LocalRoot(root.into())),
                [("root", _)] => Err(refuse("the root must be an absolute folder: local?root=/mnt")),
                [] => Err(refuse("say which root: local?root=/mnt, or use auto")),
                _ => Err(refuse("local takes one parameter: local?root=/mnt")),
            },
            _ if address.starts_with("unix:///") => no_parameters(Self::Socket(address[7..].into())),
            _ if address.starts_with('/') => no_parameters(Self::LocalRoot(address.into())),
            _ if address.starts_with("ssh://") => {
                Err(refuse("the protocol of ssh:// asks for each path by itself; use ssh-ng:// with the same host"))
            }
            _ => Err(refuse(
                "may be auto, daemon, unix:///path/of/socket, local?root=/folder or ssh-ng://[user@]host[:port]",
            )),
        }
    }
}

fn ssh(address: &str, parameters: Vec<(&str, String)>) -> Result<SshTarget, &'static str> {
    let address = address.strip_suffix('/').unwrap_or(address);
    let (user, host) = address.rsplit_once('@').map_or(("", address), |(user, host)| (user, host));
    let (host, port) = if let Some(inner) = host.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or("an address in [ ] has no end")?;
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or("after ] comes :port")?) })
    } else if host.matches(':').count() == 1 {
        host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port)))
    } else {
        (host, None)
    };
    let port = port.map(|port| port.parse().map_err(|_| "the port is no number below 65536")).transpose()?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    if host.is_empty() || host.contains(odd) || user.contains(odd) {
        return Err("say which host: ssh-ng://[user@]host[:port]");
    }
    let destination = if user.is_empty() { host.to_owned() } else { format!("{user}@{host}") };
    // ssh would take it for an option.
    if destination.starts_with('-') {
        return Err("a host or user cannot begin with a dash");
    }
    let mut target = SshTarget { destination, port, key: None, program: None, compress: false };
    for (name, value) in parameters {
        match name {
            "ssh-key" => target.key = Some(value),
            "remote-program" => target.program = Some(value),
            "compress" => target.compress = value == "true",
            _ => return Err("ssh-ng takes the parameters ssh-key, remote-program and compress"),
        }
    }
    Ok(target)
}

/// Undoes the %-encoding of a parameter; `None` where it is none.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |b: u8| char::from(b).to_digit(16);
            u8::try_from(digit(rest.next()?)? * 16 + digit(rest.next()?)?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Daemon => f.write_str("daemon"),
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
            Self::LocalRoot(root) => write!(f, "local?root={}", root.display()),
            Self::Ssh(target) => {
                write!(f, "ssh-ng://{}", target.destination)?;
                target.port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh_target(url: &str) -> (String, Option<u16>) {
        match url.parse().unwrap() {
            StoreUrl::Ssh(target) => (target.destination, target.port),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_stores_of_the_manual_are_understood() {
        assert_eq!("auto".parse::<StoreUrl>().unwrap(), StoreUrl::Auto);
        assert_eq!("unix:///run/s".parse::<StoreUrl>().unwrap(), StoreUrl::Socket("/run/s".into()));
        let root = StoreUrl::LocalRoot("/mnt/a b".into());
        assert_eq!("local?root=/mnt/a%20b".parse::<StoreUrl>().unwrap(), root);
        assert_eq!(ssh_target("ssh-ng://web"), ("web".into(), None));
        assert_eq!(ssh_target("ssh-ng://alice@web:2222"), ("alice@web".into(), Some(2222)));
        assert_eq!(ssh_target("ssh-ng://root@[fe80::1%25eth0]:22"), ("root@fe80::1%25eth0".into(), Some(22)));
        assert_eq!(ssh_target("ssh-ng://::1"), ("::1".into(), None));
    }

    #[test]
    fn what_is_no_store_is_refused_with_what_may_stand_there() {
        let urls =
            ["ssh://web", "local", "local?root=mnt", "unix://x", "ssh-ng://", "ssh-ng://-oProxyCommand=x", "s3://b"];
        for url in urls.into_iter().chain(["ssh-ng://h:x", "ssh-ng://h?max-connections=2", "daemon?a=b", "auto?x"]) {
            assert!(matches!(url.parse::<StoreUrl>(), Err(DaemonError::Url { .. })), "{url}");
        }
    }
}
