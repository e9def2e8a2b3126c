//! What of a process's environment decides where a store is and where roots go.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The environment variables that matter, handed in by the caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `NIX_REMOTE`: the store where none is named.
    pub nix_remote: Option<String>,
    /// `NIX_DAEMON_SOCKET_PATH`.
    pub daemon_socket: Option<PathBuf>,
    /// `NIX_STATE_DIR`; `/nix/var/nix` without it.
    pub state_dir: Option<PathBuf>,
    /// `NIX_SSHOPTS`: more arguments for `ssh`.
    pub ssh_options: Option<String>,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// Effective user number.
    pub uid: u32,
}

impl Environment {
    /// Takes the variables from `variable`, which is `std::env::var_os` in a program; empty ones count as absent.
    pub fn new(uid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name| variable(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
        Self {
            nix_remote: text("NIX_REMOTE"),
            daemon_socket: path("NIX_DAEMON_SOCKET_PATH"),
            state_dir: path("NIX_STATE_DIR"),
            ssh_options: text("NIX_SSHOPTS"),
            xdg_state_home: path("XDG_STATE_HOME"),
            home: path("HOME"),
            uid,
        }
    }

    /// Where Nix keeps its database, roots and socket.
    pub fn state_dir(&self) -> &Path {
        self.state_dir.as_deref().unwrap_or(Path::new("/nix/var/nix"))
    }

    /// The socket of the daemon.
    pub fn daemon_socket(&self) -> PathBuf {
        self.daemon_socket.clone().unwrap_or_else(|| self.state_dir().join("daemon-socket/socket"))
    }

    /// `$XDG_STATE_HOME`, else `~/.local/state`; `None` where neither is known.
    pub fn user_state(&self) -> Option<PathBuf> {
        self.xdg_state_home.clone().or_else(|| self.home.as_ref().map(|home| home.join(".local/state")))
    }
}
