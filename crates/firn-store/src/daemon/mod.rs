//! A client of the Nix daemon's worker protocol: over its socket, over `nix-daemon --stdio`, or over ssh.
//!
//! [`Session::open`] names the store. An import is [`Session::plan`], [`Session::add_missing`], [`Session::make_roots`]
//! and [`Session::close`]: three round trips for any number of paths. Realising goes on in the same session with
//! [`Session::missing`] and [`Session::build`].

mod activity;
mod channel;
mod connection;
mod error;
mod handshake;
mod import;
mod log;
mod operation;
#[cfg(test)]
mod replay;
mod running;
mod session;
mod ssh;
mod untrusted;
mod url;
mod wire;

pub use activity::{Activities, Build, Tally};
pub use error::{DaemonError, RemoteError};
pub use handshake::{Greeting, Trust};
pub use import::{ImportReport, Plan};
pub use log::{Activity, Event, Events, Field, ResultKind, plain};
pub use operation::{BuildResult, BuildStatus, Missing, PathInfo, Settings};
pub use running::{Running, RunningError};
pub use session::{Session, SessionOptions};
#[doc(hidden)]
pub use untrusted::read_untrusted;
pub use url::{SshTarget, StoreUrl};
pub use wire::WireError;

#[cfg(test)]
mod tests;
