//! The greeting. 1.37 is announced: no daemon then wants an exchange of features, so all that the client says can be
//! sent at once, requests behind it (measured with Nix 2.8, 2.26 and 2.34).

use super::{
    error::DaemonError,
    log::{Events, drain},
    wire::{Input, Reader, write_number},
};
use std::io::{self, Write};

const CLIENT_MAGIC: u64 = 0x6e69_7863;
const DAEMON_MAGIC: u64 = 0x6478_696f;
const MAJOR: u64 = 1;
const MINOR: u64 = 37;
/// The first with AddMultipleToStore: Nix 2.4.
const OLDEST: u64 = 32;

/// Whether a daemon trusts us: takes outputs without signatures and any setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It did not say: Nix before 2.15, or a daemon behind the one we speak to.
    Unknown,
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// What a daemon says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Minor version of the protocol that both speak.
    pub minor: u64,
    /// Version of its Nix, where it says it.
    pub nix: Option<String>,
    /// Whether it trusts us.
    pub trust: Trust,
}

pub(crate) fn write_greeting(out: &mut dyn Write) -> io::Result<()> {
    for number in [CLIENT_MAGIC, MAJOR << 8 | MINOR, 0, 0] {
        write_number(out, number)?;
    }
    Ok(())
}

pub(crate) fn read_greeting<I: Input>(
    reader: &mut Reader<I>,
    peer: &str,
    events: Events<'_>,
) -> Result<Greeting, DaemonError> {
    let magic = reader.number()?;
    if magic != DAEMON_MAGIC {
        let mut said = magic.to_le_bytes().to_vec();
        said.extend_from_slice(reader.peek(200));
        let said = super::log::plain(&String::from_utf8_lossy(&said)).trim().to_owned();
        return Err(DaemonError::NoDaemon { peer: peer.to_owned(), said });
    }
    let version = reader.number()?;
    let minor = MINOR.min(version & 0xff);
    if version >> 8 != MAJOR {
        return Err(reader.invalid("version of the worker protocol", version).into());
    }
    if minor < OLDEST {
        return Err(DaemonError::TooOld { peer: peer.to_owned(), minor });
    }
    let nix = if minor >= 33 { Some(reader.text()?) } else { None };
    let trust = match if minor >= 35 { reader.number()? } else { 0 } {
        0 => Trust::Unknown,
        1 => Trust::Yes,
        2 => Trust::No,
        other => return Err(reader.invalid("degree of trust", other).into()),
    };
    drain(reader, events, &|_| {})?;
    Ok(Greeting { minor, nix, trust })
}

#[cfg(test)]
mod tests {
    use super::{super::wire::write_text, *};

    fn greeting(bytes: &[u8]) -> Result<Greeting, DaemonError> {
        read_greeting(&mut Reader::new(bytes), "the test", &mut |_| {})
    }

    fn daemon(version: u64, nix: &str, rest: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_number(&mut bytes, DAEMON_MAGIC).unwrap();
        write_number(&mut bytes, version).unwrap();
        write_text(&mut bytes, nix).unwrap();
        rest.iter().for_each(|n| write_number(&mut bytes, *n).unwrap());
        bytes
    }

    #[test]
    fn the_greetings_of_nix_2_8_and_2_34_are_understood() {
        let old = daemon(0x122, "2.8.0", &[0x616c_7473]);
        assert_eq!(
            greeting(&old).unwrap(),
            Greeting { minor: 34, nix: Some("2.8.0".to_owned()), trust: Trust::Unknown }
        );
        let new = daemon(0x126, "2.34.8", &[2, 0x616c_7473]);
        assert_eq!(greeting(&new).unwrap(), Greeting { minor: 37, nix: Some("2.34.8".to_owned()), trust: Trust::No });
    }

    #[test]
    fn what_is_no_daemon_is_shown() {
        let error = greeting(b"Welcome to Example Linux 5!\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the test does not answer as a Nix daemon does; it said \"Welcome to Example Linux 5!\""
        );
    }

    #[test]
    fn a_daemon_before_nix_2_4_is_refused() {
        assert!(matches!(greeting(&daemon(0x115, "", &[])), Err(DaemonError::TooOld { minor: 21, .. })));
    }
}
