//! Hosts with real Nix to test in: a typed face on tests/testbed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;

use crate::install::{Missing, Need, is_root, provide};
use crate::{process, workspace};

/// A release of Debian, that is: a version of Nix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Nix 2.8.0, protocol 1.34.
    Bookworm,
    /// Nix 2.26, protocol 1.38.
    Trixie,
    /// The newest Nix of Debian, 2.34 at the time of writing.
    Sid,
}

impl Release {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::Bookworm, Self::Trixie, Self::Sid];

    /// Debian's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }

    /// The release with Debian's name for it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|release| release.name() == name)
    }
}

/// Longest time in seconds that one command in a host may take.
const PATIENCE: &str = "600";

/// A private network with hosts; gone when dropped.
pub struct Bed {
    work: PathBuf,
}

/// One host of a bed.
pub struct Host<'bed> {
    bed: &'bed Bed,
    name: String,
}

/// A host or machine that scripts can be run on, whatever it is made of.
pub trait Shell {
    /// Runs a shell script as root, not over the network.
    fn root(&self, script: &str) -> Result<Ended>;
}

impl Shell for Host<'_> {
    fn root(&self, script: &str) -> Result<Ended> {
        Host::root(self, script)
    }
}

/// A command that has ended.
pub struct Ended {
    /// Exit code; 128 and more for signals, 124 for a command that took too long.
    pub code: i32,
    /// Its standard output, as it is.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
    /// What was run, as shown to a person.
    pub command: String,
}

impl Ended {
    /// Standard output as text without the newline at its end; an error unless the command ended with 0.
    pub fn ok(self) -> Result<String> {
        if self.code != 0 {
            // What differs, cmp and diff say there.
            let said = if self.stderr.is_empty() { String::from_utf8_lossy(&self.stdout) } else { self.stderr.into() };
            bail!("{}: exit code {}: {}", self.command, self.code, tail(&said));
        }
        Ok(String::from_utf8(self.stdout).context(self.command)?.trim_end().to_owned())
    }

    /// Standard error of a command that had to end with `code`; an error if it did not.
    pub fn fails_with(self, code: i32) -> Result<String> {
        if self.code != code {
            bail!("{}: exit code {} instead of {code}: {}", self.command, self.code, tail(&self.stderr));
        }
        Ok(self.stderr)
    }
}

/// The last lines of what a program said.
pub fn tail(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n      ")
}

fn kit(work: &Path) -> Command {
    let mut kit = Command::new(workspace::file("tests/testbed/testbed"));
    kit.env("TESTBED_WORK", work).env("TESTBED_IMAGES", workspace::cache().join("images"));
    kit
}

/// Checks that this machine can be a test bed, installing what is missing.
pub fn prepare() -> Result<()> {
    if !is_root() {
        return Err(Missing("hosts of the test bed need root".into()).into());
    }
    provide(&[
        Need { program: "mmdebstrap", package: "mmdebstrap", why: "makes the images of the test hosts" },
        Need { program: "ip", package: "iproute2", why: "private network of the test hosts" },
        Need { program: "unshare", package: "util-linux", why: "namespaces of the test hosts" },
        Need { program: "ssh", package: "openssh-client", why: "logs in to the test hosts" },
        Need { program: "ssh-keygen", package: "openssh-client", why: "keys of the test hosts" },
        Need { program: "python3", package: "python3", why: "slowpipe, the bad line of the tests" },
    ])?;
    let probe = process::quiet(Command::new("unshare").args(["-mpnuiC", "-f", "true"]));
    probe.map_err(|_| Missing("this machine forbids namespaces".into()).into())
}

/// Makes the image of a release, or finds it in the cache.
pub fn image(release: Release) -> Result<PathBuf> {
    let made = process::output(kit(&workspace::cache().join("bed")).args(["image", release.name()]));
    made.map(PathBuf::from).map_err(|error| Missing(format!("no image of {}: {error:#}", release.name())).into())
}

#[allow(dead_code, reason = "suites that need all of it come with the commands they test")]
impl Bed {
    /// An empty bed. `name` tells it from others of this process.
    pub fn new(name: &str) -> Result<Self> {
        remove_dead_beds()?;
        let work = workspace::cache().join(format!("bed-{}-{name}", std::process::id()));
        fs::create_dir_all(&work)?;
        Ok(Self { work })
    }

    /// Starts a host and waits until it answers.
    pub fn host(&self, release: Release, name: &str) -> Result<Host<'_>> {
        process::quiet(kit(&self.work).args(["up", "--suite", release.name(), name]))?;
        Ok(Host { bed: self, name: name.to_owned() })
    }

    /// Starts a host with a copy of the disk of one that is off, and waits until it answers. It calls itself what
    /// that one does.
    pub fn host_like(&self, other: &Host<'_>, name: &str) -> Result<Host<'_>> {
        process::quiet(kit(&self.work).args(["up", "--like", &other.name, name]))?;
        Ok(Host { bed: self, name: name.to_owned() })
    }

    /// Its hosts are to have these packages of Debian as well.
    pub fn add_packages(&self, packages: &str) -> Result<()> {
        Ok(fs::write(self.work.join("extra"), packages)?)
    }

    /// A folder of this machine that is gone when the bed is.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.work.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Runs a program of this machine in the hosts' network, where `ssh HOST` works by `NIX_SSHOPTS`.
    pub fn hub(&self, script: &str) -> Result<Ended> {
        end(kit(&self.work).args(["hub", "timeout", PATIENCE, "sh", "-c", script]), script)
    }

    /// Starts a program of this machine in the hosts' network.
    pub fn begin_hub(&self, script: &str) -> Result<Begun> {
        Begun::start(kit(&self.work).args(["hub", "timeout", PATIENCE, "sh", "-c", script]), script)
    }

    /// The bed's ssh_config, for `ssh -F` in the hub.
    pub fn ssh_config(&self) -> PathBuf {
        self.work.join("ssh/config")
    }

    /// The folder with the static shell and busybox that systems of the bed are built with.
    pub fn tools(&self, release: Release) -> Result<PathBuf> {
        process::output(kit(&self.work).args(["tools", release.name()])).map(PathBuf::from)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if process::quiet(kit(&self.work).arg("down")).is_ok() {
            let _ = fs::remove_dir_all(&self.work);
        }
    }
}

/// Takes down what a killed run left behind.
fn remove_dead_beds() -> Result<()> {
    fs::create_dir_all(workspace::cache())?;
    for entry in fs::read_dir(workspace::cache())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let owner = name.strip_prefix("bed-").and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner.to_string()).exists()) {
            drop(Bed { work: path });
        }
    }
    Ok(())
}

/// A command that has begun; killed when dropped.
pub struct Begun {
    child: Child,
    command: String,
}

#[allow(dead_code, reason = "suites that need all of it come with the commands they test")]
impl Begun {
    fn start(command: &mut Command, script: &str) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().with_context(|| format!("start {}", process::shown(command)))?;
        Ok(Self { child, command: script.to_owned() })
    }

    /// Waits for its end.
    pub fn end(mut self) -> Result<Ended> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (out, err) = (self.child.stdout.take(), self.child.stderr.take());
        thread::scope(|scope| {
            scope.spawn(|| err.map(|mut err| err.read_to_end(&mut stderr)));
            out.map(|mut out| out.read_to_end(&mut stdout)).transpose()
        })?;
        let code = self.child.wait()?.code().unwrap_or(137);
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Ok(Ended { code, stdout, stderr, command: self.command.clone() })
    }

    /// Whether it goes on.
    pub fn goes_on(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Kills the program at this end: ssh, not what it runs.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something of this machine is so: looks again and again, without a pause worth the name.
pub fn until(what: &str, limit: Duration, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + limit;
    while !so()? {
        if Instant::now() > end {
            bail!("not within {} s: {what}", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn end(command: &mut Command, script: &str) -> Result<Ended> {
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("start {}", process::shown(command)))?;
    Ok(Ended {
        code: done.status.code().unwrap_or(137),
        stdout: done.stdout,
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
        command: script.to_owned(),
    })
}

#[allow(dead_code, reason = "suites that need all of it come with the commands they test")]
impl Host<'_> {
    /// Its name, which is its address for ssh.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a shell script as root, not over the network.
    pub fn root(&self, script: &str) -> Result<Ended> {
        self.exec(&["sh", "-c", script], script)
    }

    /// Runs a shell script as alice, whom Nix does not trust, in her home.
    pub fn alice(&self, script: &str) -> Result<Ended> {
        self.user("alice", script)
    }

    /// Runs a shell script as an ordinary user (`alice`, or `trent` whom Nix trusts), in the user's home.
    pub fn user(&self, user: &str, script: &str) -> Result<Ended> {
        let home = format!("HOME=/home/{user}");
        let name = format!("USER={user}");
        let there = format!("cd; {script}");
        self.exec(&["runuser", "-u", user, "--", "env", &home, &name, "sh", "-c", &there], script)
    }

    fn exec(&self, words: &[&str], script: &str) -> Result<Ended> {
        let mut command = kit(&self.bed.work);
        command.args(["exec", &self.name, "timeout", "--kill-after=5", PATIENCE]).args(words);
        end(&mut command, &format!("{}: {script}", self.name))
    }

    /// Runs a shell script over ssh, from the hub.
    pub fn ssh(&self, user: &str, script: &str) -> Result<Ended> {
        let destination = format!("{user}@{}", self.name);
        end(kit(&self.bed.work).args(["ssh", &destination, script]), &format!("ssh {destination}: {script}"))
    }

    /// Starts a shell script over ssh, from the hub.
    pub fn begin_ssh(&self, user: &str, script: &str) -> Result<Begun> {
        let destination = format!("{user}@{}", self.name);
        Begun::start(kit(&self.bed.work).args(["ssh", &destination, script]), &format!("ssh {destination}: {script}"))
    }

    /// Starts a shell script as root, not over the network.
    pub fn begin(&self, script: &str) -> Result<Begun> {
        let mut command = kit(&self.bed.work);
        command.args(["exec", &self.name, "timeout", "--kill-after=5", PATIENCE, "sh", "-c", script]);
        Begun::start(&mut command, &format!("{}: {script}", self.name))
    }

    /// Waits until a shell script, run in the host again and again, ends with 0.
    pub fn until(&self, script: &str, limit: Duration) -> Result<()> {
        let seconds = limit.as_secs().to_string();
        let waits = format!("until {{ {script}; }} >/dev/null 2>&1; do sleep 0.05; done");
        let ended = self.exec(&["timeout", &seconds, "bash", "-c", &waits], &waits)?;
        if ended.code == 124 {
            bail!("{}: not within {seconds} s: {script}", self.name);
        }
        ended.ok().map(drop)
    }

    /// Where a file of the host is on this machine once the host has written it: what its image has is elsewhere.
    pub fn written(&self, path: &str) -> PathBuf {
        self.bed.work.join("hosts").join(&self.name).join("upper").join(path.trim_start_matches('/'))
    }

    /// Everything in the host dies at once; its disk stays.
    pub fn cut_power(&self) -> Result<()> {
        self.fate("kill")
    }

    /// What is written down of the process that keeps it names another one, as when its number has come again since.
    pub fn mistake_for(&self, process: u32) -> Result<()> {
        let file = self.bed.work.join("hosts").join(&self.name).join("supervisor");
        Ok(fs::write(file, format!("{process} 1\n"))?)
    }

    /// Boots it from what its boot loader says, and waits until it answers.
    pub fn boot(&self) -> Result<()> {
        self.fate("boot")?;
        self.fate("wait")
    }

    /// Takes it away for good.
    pub fn remove(self) -> Result<()> {
        self.fate("down")
    }

    /// Copies a file or folder of this machine into the host, owned by root.
    pub fn push(&self, from: &Path, to: &str) -> Result<()> {
        process::quiet(kit(&self.bed.work).args(["push", &self.name]).arg(from).arg(to))
    }

    /// Copies a file of the host to this machine.
    pub fn pull(&self, from: &str, to: &Path) -> Result<()> {
        let ended = self.exec(&["cat", from], &format!("cat {from}"))?;
        if ended.code != 0 {
            return Err(anyhow!("{}", ended.stderr));
        }
        Ok(fs::write(to, ended.stdout)?)
    }

    /// Carries a file of the host to another one.
    pub fn carry(&self, from: &str, other: &Host<'_>, to: &str) -> Result<()> {
        let carried = self.bed.work.join(format!("carried-{}", other.name));
        self.pull(from, &carried)?;
        other.push(&carried, to)?;
        Ok(fs::remove_file(&carried)?)
    }

    /// `cut` the cable, `restore` it, `kill` (power cut) and `boot` the host, `wait` until it answers.
    pub fn fate(&self, verb: &str) -> Result<()> {
        process::quiet(kit(&self.bed.work).args([verb, &self.name]))
    }

    /// Limits the bandwidth both ways ("2mbit"), or "off".
    pub fn rate(&self, rate: &str) -> Result<()> {
        process::quiet(kit(&self.bed.work).args(["rate", &self.name, rate]))
    }
}
