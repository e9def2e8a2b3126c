//! Targets of firn-store.

#![allow(dead_code, reason = "each user calls some of them")]

/// Every target of this crate, by name.
pub(crate) const ALL: &[(&str, fn(&[u8]))] = &[("replies", replies)];

/// What a daemon says: its greeting, or a reply and the messages before it.
pub(crate) fn replies(data: &[u8]) {
    firn_store::daemon::read_untrusted(data);
}
