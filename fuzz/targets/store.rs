//! Targets of firn-store.

#![allow(dead_code, reason = "each user calls some of them")]

/// A name and what is called with any bytes.
type Target = (&'static str, fn(&[u8]));

/// Every target of this crate, by name.
pub(crate) const ALL: &[Target] = &[("replies", replies)];

/// What a daemon says: its greeting, or a reply and the messages before it.
pub(crate) fn replies(data: &[u8]) {
    firn_store::daemon::read_untrusted(data);
}
