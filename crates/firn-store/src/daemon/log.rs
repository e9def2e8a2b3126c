//! What a daemon tells while it works: log lines, activities, their results, and the error that ends them
//! (`TunnelLogger` of Nix's `daemon.cc`).

use super::{
    error::{DaemonError, RemoteError},
    wire::{Input, Reader, WireError},
};

const LAST: u64 = 0x616c_7473;
const NEXT: u64 = 0x6f6c_6d67;
const ERROR: u64 = 0x6378_7470;
const WRITE: u64 = 0x6461_7416;
const START: u64 = 0x5354_5254;
const STOP: u64 = 0x5354_4f50;
const RESULT: u64 = 0x5253_4c54;

/// Something that happens while a daemon works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A line of the log: of the daemon, or of the `ssh` that leads to it.
    Line(String),
    /// What was sent so far by an import, of what has to be sent.
    Sent {
        /// Store paths.
        paths: u64,
        /// Bytes of their NARs.
        bytes: u64,
    },
    /// An activity begins.
    Start {
        /// Its number.
        id: u64,
        /// How important its text is: 0 error, 3 info, 7 vomit.
        level: u64,
        /// What is done.
        kind: Activity,
        /// What a person reads; may be empty.
        text: String,
        /// Its particulars, by kind.
        fields: Vec<Field>,
        /// The activity that it is part of, 0 for none.
        parent: u64,
    },
    /// An activity has ended.
    Stop {
        /// Its number.
        id: u64,
    },
    /// News of an activity.
    Result {
        /// Its number.
        id: u64,
        /// What the fields say.
        kind: ResultKind,
        /// The news.
        fields: Vec<Field>,
    },
}

/// Takes what happens while a daemon works.
pub type Events<'a> = &'a mut dyn FnMut(Event);

/// Called a few times a second while nothing comes.
pub(crate) type Idle<'a> = &'a dyn Fn(Events<'_>);

/// A particular of an activity or a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A number.
    Number(u64),
    /// A text, without terminal escapes.
    Text(String),
}

impl Field {
    /// The number, if it is one.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Number(_) => None,
            Self::Text(text) => Some(text),
        }
    }
}

/// Kinds of activity (`logging.hh`); fields as seen with Nix 2.8 to 2.34.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activity {
    /// 100: one path comes from a substituter; fields path, from, to.
    CopyPath,
    /// 101: a download; field URL.
    FileTransfer,
    /// 102: all that realising needs.
    Realise,
    /// 103: all paths that are copied.
    CopyPaths,
    /// 104: all builds.
    Builds,
    /// 105: one build; fields derivation, machine, round, rounds.
    Build,
    /// 108: one substitution; fields path, URL of the store.
    Substitute,
    /// Any other.
    Other(u64),
}

/// Kinds of results (`logging.hh`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResultKind {
    /// 101: a line of a build's log.
    BuildLogLine,
    /// 104: name of the phase that begins.
    SetPhase,
    /// 105: done, expected, running, failed.
    Progress,
    /// 106: kind of activity and how much of it is expected.
    SetExpected,
    /// Any other.
    Other(u64),
}

impl From<u64> for Activity {
    fn from(number: u64) -> Self {
        match number {
            100 => Self::CopyPath,
            101 => Self::FileTransfer,
            102 => Self::Realise,
            103 => Self::CopyPaths,
            104 => Self::Builds,
            105 => Self::Build,
            108 => Self::Substitute,
            other => Self::Other(other),
        }
    }
}

impl From<u64> for ResultKind {
    fn from(number: u64) -> Self {
        match number {
            101 => Self::BuildLogLine,
            104 => Self::SetPhase,
            105 => Self::Progress,
            106 => Self::SetExpected,
            other => Self::Other(other),
        }
    }
}

/// Removes terminal escapes (CSI and OSC sequences) and control characters other than tab and newline.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']') => loop {
                    match chars.next() {
                        None | Some('\u{7}') => break,
                        Some('\u{1b}') => {
                            chars.next_if_eq(&'\\');
                            break;
                        }
                        Some(_) => {}
                    }
                },
                _ => {}
            },
            '\t' | '\n' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

fn fields<I: Input>(reader: &mut Reader<I>) -> Result<Vec<Field>, WireError> {
    reader.list(|reader| match reader.number()? {
        0 => Ok(Field::Number(reader.number()?)),
        1 => Ok(Field::Text(plain(&reader.text()?))),
        other => Err(reader.invalid("kind of field", other)),
    })
}

/// An error as daemons since 1.26 send it.
fn remote_error<I: Input>(reader: &mut Reader<I>) -> Result<RemoteError, WireError> {
    let position = |reader: &mut Reader<I>| match reader.number()? {
        0 => Ok(()),
        other => Err(reader.invalid("position of an error", other)),
    };
    let _kind = reader.bytes()?;
    let _level = reader.number()?;
    let _name = reader.bytes()?;
    let message = plain(reader.text()?.trim());
    position(reader)?;
    let traces = reader.list(|reader| {
        position(reader)?;
        Ok(plain(reader.text()?.trim()))
    })?;
    let message = message.strip_prefix("error: ").map_or(message.clone(), str::to_owned);
    Ok(RemoteError { message, traces })
}

/// Reads events until the daemon says that a reply follows, or an error. `idle` is called where nothing comes.
pub(crate) fn drain<I: Input>(reader: &mut Reader<I>, events: Events<'_>, idle: Idle<'_>) -> Result<(), DaemonError> {
    loop {
        while !reader.wait()? {
            idle(events);
        }
        reader.begin();
        match reader.number()? {
            LAST => {
                reader.begin();
                return Ok(());
            }
            NEXT => {
                let text = plain(&reader.text()?);
                text.lines().for_each(|line| events(Event::Line(line.to_owned())));
            }
            ERROR => return Err(DaemonError::Remote(remote_error(reader)?)),
            START => {
                let id = reader.number()?;
                let level = reader.number()?;
                let kind = reader.number()?.into();
                let text = plain(&reader.text()?);
                let fields = fields(reader)?;
                let parent = reader.number()?;
                events(Event::Start { id, level, kind, text, fields, parent });
            }
            STOP => events(Event::Stop { id: reader.number()? }),
            RESULT => {
                let id = reader.number()?;
                let kind = reader.number()?.into();
                events(Event::Result { id, kind, fields: fields(reader)? });
            }
            // Data for the client: no operation that we use sends it.
            WRITE => return Err(reader.invalid("message that was asked for", WRITE).into()),
            other => return Err(reader.invalid("message", other).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::wire::{write_number, write_text},
        *,
    };

    fn events_of(bytes: &[u8]) -> (Result<(), DaemonError>, Vec<Event>) {
        let mut events = Vec::new();
        let result = drain(&mut Reader::new(bytes), &mut |event| events.push(event), &|_| {});
        (result, events)
    }

    #[test]
    fn escapes_are_removed_and_text_stays() {
        assert_eq!(plain("\x1b[31;1merror:\x1b[0m a\tb\r\n"), "error: a\tb\n");
        assert_eq!(plain("\x1b]0;title\x07x\x1b]8;;u\x1b\\y\x1b[K"), "xy");
        assert_eq!(plain("\x1b[\x1b"), "");
    }

    #[test]
    fn messages_become_events_up_to_the_reply() {
        let mut bytes = Vec::new();
        for number in [START, 7, 3, 105] {
            write_number(&mut bytes, number).unwrap();
        }
        write_text(&mut bytes, "building").unwrap();
        write_number(&mut bytes, 2).unwrap();
        write_number(&mut bytes, 1).unwrap();
        write_text(&mut bytes, "/nix/store/x.drv").unwrap();
        for number in [0, 1, 6, RESULT, 7, 101, 1, 1] {
            write_number(&mut bytes, number).unwrap();
        }
        write_text(&mut bytes, "hello").unwrap();
        for number in [STOP, 7, NEXT] {
            write_number(&mut bytes, number).unwrap();
        }
        write_text(&mut bytes, "two\nlines\n").unwrap();
        write_number(&mut bytes, LAST).unwrap();
        let (result, events) = events_of(&bytes);
        result.unwrap();
        let text = |text: &str| Field::Text(text.to_owned());
        assert_eq!(
            events,
            [
                Event::Start {
                    id: 7,
                    level: 3,
                    kind: Activity::Build,
                    text: "building".to_owned(),
                    fields: vec![text("/nix/store/x.drv"), Field::Number(1)],
                    parent: 6,
                },
                Event::Result { id: 7, kind: ResultKind::BuildLogLine, fields: vec![text("hello")] },
                Event::Stop { id: 7 },
                Event::Line("two".to_owned()),
                Event::Line("lines".to_owned()),
            ]
        );
    }

    #[test]
    fn an_error_comes_with_its_traces_and_without_colour() {
        let mut bytes = Vec::new();
        write_number(&mut bytes, ERROR).unwrap();
        write_text(&mut bytes, "Error").unwrap();
        write_number(&mut bytes, 0).unwrap();
        write_text(&mut bytes, "Error").unwrap();
        write_text(&mut bytes, "\x1b[31;1merror:\x1b[0m no").unwrap();
        for number in [0, 1, 0] {
            write_number(&mut bytes, number).unwrap();
        }
        write_text(&mut bytes, "while trying").unwrap();
        match events_of(&bytes).0 {
            Err(DaemonError::Remote(error)) => {
                assert_eq!(error.message, "no");
                assert_eq!(error.traces, ["while trying"]);
            }
            other => panic!("{other:?}"),
        }
        for cut in 0..bytes.len() {
            assert!(matches!(events_of(&bytes[..cut]).0, Err(DaemonError::Wire(_))), "cut at {cut}");
        }
    }
}
