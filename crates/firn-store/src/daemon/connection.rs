//! A line to a daemon: a socket, or the standard input and output of a program. Requests are written by a thread while
//! their replies are read, so that neither side ever waits for the other to read.

use super::{
    error::DaemonError,
    handshake::{Greeting, read_greeting, write_greeting},
    log::{Event, Events, Idle},
    operation::{Replies, Requests},
    ssh,
    wire::{Input, Reader, WireError},
};
use firn_core::StoreDir;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// How often a wait looks whether it shall stop, and progress is told.
const TICK: Duration = Duration::from_millis(100);
/// How long the last words of a program are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Lines that a login shell may say before our script does.
const PREAMBLE_LINES: usize = 1000;
/// Lines kept of what a program says on its standard error, and bytes of each.
const WORDS: usize = 20;
const WORD_BYTES: u64 = 2000;

/// The readable end of a line.
pub(crate) struct Incoming {
    file: File,
    stop: Arc<AtomicBool>,
}

impl Incoming {
    fn poll(&self) -> io::Result<bool> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Input for Incoming {
    fn wait(&mut self) -> io::Result<bool> {
        self.poll()
    }
}

impl Read for Incoming {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !self.poll()? {}
        self.file.read(buf)
    }
}

/// What the line leads to, kept to end it.
enum Peer {
    Socket(UnixStream),
    Program { child: Mutex<Child>, words: Arc<Mutex<VecDeque<String>>>, silent: Mutex<mpsc::Receiver<()>> },
}

impl Peer {
    /// Ends the line at once, so that nobody waits on it any longer.
    fn abort(&self) {
        match self {
            // The other side may be gone already.
            Self::Socket(socket) => drop(socket.shutdown(Shutdown::Both)),
            Self::Program { child, .. } => {
                let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
                drop(child.kill());
            }
        }
    }

    /// Waits for the last words of a program, which come with its end.
    fn hear_out(&self) {
        if let Self::Program { silent, .. } = self {
            // A shared ssh master may hold the stream open for ever.
            let silent = silent.lock().unwrap_or_else(PoisonError::into_inner);
            let _ended_or_not = silent.recv_timeout(LAST_WORDS);
        }
    }

    fn take_words(&self) -> Vec<String> {
        match self {
            Self::Socket(_) => Vec::new(),
            Self::Program { words, .. } => words.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect(),
        }
    }
}

/// A line to a daemon. The greeting goes out with the first requests.
pub(crate) struct Connection {
    name: String,
    reader: Reader<Incoming>,
    output: Option<File>,
    peer: Peer,
    preamble: bool,
    links: Vec<(String, String)>,
    greeting: Option<Greeting>,
    answered: bool,
    round_trips: u32,
    stop: Arc<AtomicBool>,
}

impl Connection {
    /// Over a socket; `name` is what errors call it.
    pub(crate) fn socket(name: String, socket: UnixStream, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let input = OwnedFd::from(socket.try_clone()?);
        let output = OwnedFd::from(socket.try_clone()?);
        Ok(Self::new(name, input, output, Peer::Socket(socket), stop))
    }

    /// Over the standard input and output of a program, which is started here. What it says on its standard error goes
    /// to the events.
    pub(crate) fn program(name: String, mut command: Command, stop: Arc<AtomicBool>) -> Result<Self, DaemonError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let spawn = |source| DaemonError::Spawn { program: program.clone(), source };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(spawn)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(spawn(io::ErrorKind::BrokenPipe.into()));
        };
        let words = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&words);
        let (speaking, silent) = mpsc::channel();
        thread::spawn(move || {
            keep_words(stderr, &kept);
            drop(speaking);
        });
        let peer = Peer::Program { child: Mutex::new(child), words, silent: Mutex::new(silent) };
        Ok(Self::new(name, stdout.into(), stdin.into(), peer, stop))
    }

    fn new(name: String, input: OwnedFd, output: OwnedFd, peer: Peer, stop: Arc<AtomicBool>) -> Self {
        let reader = Reader::new(Incoming { file: input.into(), stop: Arc::clone(&stop) });
        Self {
            name,
            reader,
            output: Some(output.into()),
            peer,
            preamble: false,
            links: Vec::new(),
            greeting: None,
            answered: false,
            round_trips: 0,
            stop,
        }
    }

    /// What errors call the other side.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the daemon said about itself, once it has answered anything.
    pub(crate) fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    /// Times that an answer had to be waited for before something could be sent.
    pub(crate) fn round_trips(&self) -> u32 {
        self.round_trips
    }

    /// Before the greeting comes what [`super::ssh`]'s script says.
    pub(crate) fn expect_preamble(&mut self) {
        self.preamble = true;
    }

    /// The script's process and the links that it has made, once the daemon has answered anything.
    pub(crate) fn links(&self) -> &[(String, String)] {
        &self.links
    }

    /// Sends requests and reads their replies at the same time. After an error the line is closed: what may fail without
    /// ending it is handled by `read` (see [`settled`]). `idle` is called a few times a second while nothing comes.
    pub(crate) fn exchange<T>(
        &mut self,
        store_dir: &StoreDir,
        events: Events<'_>,
        idle: Idle<'_>,
        write: impl FnOnce(&mut Requests<'_>) -> io::Result<()> + Send,
        read: impl FnOnce(&mut Replies<'_, Incoming>) -> Result<T, DaemonError>,
    ) -> Result<T, DaemonError> {
        let Some(output) = self.output.take() else {
            return Err(self.broken(io::ErrorKind::NotConnected.into()));
        };
        let Self { peer, reader, name, preamble, links, answered, .. } = self;
        let (peer, name) = (&*peer, name.as_str());
        let mut known = self.greeting.take();
        let greeted = known.is_some();
        let (written, result) = thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let mut sink = Outgoing { file: output, broken: false };
                let mut out = BufWriter::with_capacity(1 << 16, &mut sink);
                let written = (|| {
                    if !greeted {
                        write_greeting(&mut out)?;
                    }
                    write(&mut Requests { out: &mut out, store_dir })?;
                    out.flush()
                })();
                if written.is_err() {
                    // Half a request is on the line: nothing may follow, and no answer will come.
                    peer.abort();
                }
                let _unsent = out.into_parts();
                (written, sink)
            });
            let result = (|| {
                if std::mem::take(preamble) {
                    *links = read_preamble(reader, events)?;
                }
                let greeting = match known.take() {
                    Some(greeting) => greeting,
                    None => read_greeting(reader, name, events)?,
                };
                *answered = true;
                let idle = |events: Events<'_>| {
                    peer.take_words().into_iter().for_each(|line| events(Event::Line(line)));
                    idle(events);
                };
                let mut replies = Replies { reader, events: &mut *events, idle: &idle, greeting: &greeting, store_dir };
                let result = read(&mut replies)?;
                Ok((result, greeting))
            })();
            if let Err(error) = &result {
                if matches!(error, DaemonError::Wire(WireError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof)
                {
                    peer.hear_out();
                }
                peer.abort();
            }
            (writer.join(), result)
        });
        self.round_trips += 1;
        let Ok((written, sink)) = written else {
            return Err(DaemonError::Contents(io::Error::other("the writing thread has failed")));
        };
        match (result, written) {
            (Ok((result, greeting)), Ok(())) => {
                (self.greeting, self.output) = (Some(greeting), Some(sink.file));
                Ok(result)
            }
            _ if self.stop.load(Ordering::Relaxed) => Err(DaemonError::Cancelled),
            // Not the line has failed but what was to be sent.
            (_, Err(error)) if !sink.broken => Err(DaemonError::Contents(error)),
            (Err(DaemonError::Wire(WireError::Io(error))), _) | (Ok(_), Err(error)) => Err(self.broken(error)),
            (Err(error), _) => Err(error),
        }
    }

    fn broken(&self, source: io::Error) -> DaemonError {
        let source = match source.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(source.kind(), "the other side has closed it"),
            _ => source,
        };
        let (peer, words) = (self.name.clone(), self.peer.take_words().join("; "));
        if self.answered {
            DaemonError::Broken { peer, words, source }
        } else {
            DaemonError::Unreachable { peer, words, source }
        }
    }

    /// Closes the line and waits for a program to end; `Ok(false)` where it says that it failed.
    pub(crate) fn close(mut self, events: Events<'_>) -> Result<bool, DaemonError> {
        self.output = None;
        let success = match &self.peer {
            Peer::Socket(_) => true,
            Peer::Program { child, .. } => {
                // Its output ends when it does; what comes until then is of no interest.
                if self.reader.skip_rest().is_err() {
                    self.peer.abort();
                }
                let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
                child.wait().map_err(WireError::Io)?.success()
            }
        };
        self.peer.take_words().into_iter().for_each(|line| events(Event::Line(line)));
        if self.stop.load(Ordering::Relaxed) { Err(DaemonError::Cancelled) } else { Ok(success) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.output = None;
        if let Peer::Program { child, .. } = &self.peer {
            let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The writable end; knows whether it was the line that failed.
struct Outgoing {
    file: File,
    broken: bool,
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).inspect_err(|error| self.broken |= error.kind() != io::ErrorKind::Interrupted)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the last lines that a program says.
fn keep_words(stderr: impl Read, words: &Mutex<VecDeque<String>>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while matches!((&mut stderr).take(WORD_BYTES).read_until(b'\n', &mut line), Ok(n) if n > 0) {
        let text = super::log::plain(&String::from_utf8_lossy(&line)).trim_end().to_owned();
        line.clear();
        if !text.is_empty() {
            let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
            if words.len() == WORDS {
                words.pop_front();
            }
            words.push_back(text);
        }
    }
}

/// Reads what the remote script says: lines of the login shell are passed on, those of the script give its
/// process and the links.
pub(crate) fn read_preamble<I: Input>(
    reader: &mut Reader<I>,
    events: Events<'_>,
) -> Result<Vec<(String, String)>, WireError> {
    let mut links = Vec::new();
    for _ in 0..PREAMBLE_LINES {
        let line = reader.line(WORD_BYTES)?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        if line == ssh::READY {
            return Ok(links);
        }
        match line.strip_prefix(ssh::LINK).and_then(|said| said.split_once(' ')) {
            Some((process, link)) => links.push((process.to_owned(), link.to_owned())),
            None => events(Event::Line(super::log::plain(&line))),
        }
    }
    Err(io::Error::from(io::ErrorKind::InvalidData).into())
}

/// Turns what the daemon says of one request into a value, so that the line stays open; other errors end it.
pub(crate) fn settled<T>(result: Result<T, DaemonError>) -> Result<Result<T, super::error::RemoteError>, DaemonError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(DaemonError::Remote(error)) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}
