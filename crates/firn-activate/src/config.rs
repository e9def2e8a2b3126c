//! `/etc/firn/config.toml`: what a host always wants.

use crate::{error::ActivateError, host::Host};
use serde::{Deserialize, Deserializer, de::Error};
use std::{fs, io, time::Duration};

/// Where it is.
pub const PATH: &str = "/etc/firn/config.toml";

/// What may be set. Flags of the command line come before it; lists are added to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Units that may fail.
    pub allow_failed: Vec<String>,
    /// Shell commands that must succeed.
    pub checks: Vec<String>,
    /// For so long no unit may fail.
    #[serde(deserialize_with = "time")]
    pub settle: Option<Duration>,
    /// Longest time that one run of the script may take.
    #[serde(deserialize_with = "some_time")]
    pub activation_timeout: Option<Duration>,
    /// Window for a confirmation where the caller came over ssh.
    #[serde(deserialize_with = "some_time")]
    pub confirm_within: Option<Duration>,
}

impl Config {
    /// Reads it; a host without it wants nothing.
    pub fn read(host: &Host) -> Result<Self, ActivateError> {
        let path = host.path(PATH);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            text => text.map_err(ActivateError::file("read", &path))?,
        };
        toml::from_str(&text).map_err(|source| ActivateError::Config { path, source: Box::new(source) })
    }
}

/// A time as it stands in the file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Seconds(u64),
    Text(String),
}

impl Time {
    fn text(self) -> String {
        match self {
            Self::Seconds(seconds) => seconds.to_string(),
            Self::Text(text) => text,
        }
    }
}

fn time<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    duration(&Time::deserialize(input)?.text()).map(Some).map_err(D::Error::custom)
}

fn some_time<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    limit(&Time::deserialize(input)?.text()).map(Some).map_err(D::Error::custom)
}

/// As [`duration`], of what is waited for: no time at all would be none to anybody.
pub fn limit(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be more than no time".to_owned()),
        time => Ok(time),
    }
}

/// A time: `30s`, `2m`, `1h`, `250ms`; a number alone counts seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let scale: u64 = match unit.trim() {
        "ms" => 1,
        "" | "s" | "sec" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a time is a number with ms, s, m or h after it".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a time begins with a number".to_owned())?;
    // Longer than anybody waits, and far from where sums overflow.
    match number.checked_mul(scale) {
        Some(ms) if ms <= 30 * 86_400_000 => Ok(Duration::from_millis(ms)),
        _ => Err("a time is at most 30 days".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_say_what_may_fail_and_how_long_to_wait() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        assert_eq!(Config::read(&host).unwrap(), Config::default());
        fs::create_dir_all(host.path("/etc/firn")).unwrap();
        fs::write(host.path(PATH), "allow-failed = [\"acme-*\"]\nsettle = \"2s\"\n").unwrap();
        let config = Config::read(&host).unwrap();
        assert_eq!((config.allow_failed, config.settle), (vec!["acme-*".to_owned()], Some(Duration::from_secs(2))));
        fs::write(host.path(PATH), "settle = 5\nconfirm-within = 90\n").unwrap();
        let config = Config::read(&host).unwrap();
        assert_eq!(config.settle.zip(config.confirm_within), Some((Duration::from_secs(5), Duration::from_secs(90))));
        for wrong in ["settel = \"2s\"", "settle = -1", "confirm-within = 0", "activation-timeout = \"0s\""] {
            fs::write(host.path(PATH), wrong).unwrap();
            assert!(matches!(Config::read(&host), Err(ActivateError::Config { .. })), "{wrong}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "m", "2x", "-1", "99999999999999999999h", "31d", "800h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
