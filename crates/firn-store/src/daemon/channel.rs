//! From the name of a store to a line to its daemon.

use super::{connection::Connection, error::DaemonError, ssh, url::StoreUrl};
use crate::{
    environment::Environment,
    root::{RootRequest, link_path},
};
use firn_core::StoreDir;
use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, atomic::AtomicBool},
};

const STDIO_DAEMON: &str = "nix-daemon";

/// An open line and where the links of roots are.
pub(crate) struct Channel {
    pub(crate) connection: Connection,
    pub(crate) links: Links,
}

/// Who makes the links of roots.
pub(crate) enum Links {
    /// This process; in the store's own folder of roots where it may write to that.
    Local { gcroots: Option<PathBuf> },
    /// The command that ssh has run has made them.
    Remote,
}

pub(crate) fn open(
    url: &StoreUrl,
    environment: &Environment,
    store_dir: &StoreDir,
    roots: &[RootRequest],
    stop: Arc<AtomicBool>,
) -> Result<Channel, DaemonError> {
    let owned = |connection, gcroots: Option<PathBuf>| {
        // What is wrong with a root is said before anything is sent.
        roots.iter().try_for_each(|root| link_path(&root.place, environment, gcroots.as_deref()).map(|_| ()))?;
        Ok(Channel { connection, links: Links::Local { gcroots } })
    };
    let local =
        |connection, state_dir: &Path| owned(connection, (environment.uid == 0).then(|| state_dir.join("gcroots")));
    match url {
        StoreUrl::Auto => {
            if let Some(remote) = environment.nix_remote.as_deref().filter(|remote| *remote != "auto") {
                return open(&remote.parse()?, environment, store_dir, roots, stop);
            }
            match connect(&environment.daemon_socket(), Arc::clone(&stop)) {
                Ok(connection) => local(connection, environment.state_dir()),
                Err(DaemonError::Connect { source, .. })
                    if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
                {
                    local(stdio(None, stop)?, environment.state_dir())
                }
                Err(error) => Err(error),
            }
        }
        StoreUrl::Daemon => local(connect(&environment.daemon_socket(), stop)?, environment.state_dir()),
        StoreUrl::Socket(socket) => {
            let beside = socket.parent().filter(|dir| dir.ends_with("daemon-socket")).and_then(Path::parent);
            local(connect(socket, stop)?, beside.unwrap_or(environment.state_dir()))
        }
        StoreUrl::LocalRoot(root) => {
            let connection = stdio(Some(format!("local?root={}", root.display())), stop)?;
            // Whoever may write the store may write there, and one link serves one store.
            owned(connection, Some(root.join("nix/var/nix/gcroots")))
        }
        StoreUrl::Ssh(target) => {
            let command = ssh::command(target, environment.ssh_options.as_deref(), store_dir, roots)?;
            let mut connection = Connection::program(target.destination.clone(), command, stop)?;
            connection.expect_preamble();
            Ok(Channel { connection, links: Links::Remote })
        }
    }
}

fn connect(socket: &Path, stop: Arc<AtomicBool>) -> Result<Connection, DaemonError> {
    let failed = |source| DaemonError::Connect { socket: socket.to_owned(), source };
    let stream = UnixStream::connect(socket).map_err(failed)?;
    Connection::socket("the Nix daemon".to_owned(), stream, stop).map_err(failed)
}

fn stdio(remote: Option<String>, stop: Arc<AtomicBool>) -> Result<Connection, DaemonError> {
    let mut command = Command::new(STDIO_DAEMON);
    command.arg("--stdio");
    match remote {
        Some(remote) => command.env("NIX_REMOTE", remote),
        None => command.env_remove("NIX_REMOTE"),
    };
    Connection::program("nix-daemon --stdio".to_owned(), command, stop)
}
