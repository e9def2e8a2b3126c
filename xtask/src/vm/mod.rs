//! Virtual machines with a kernel and a disk of their own. Killing one loses what no sync has brought to its disk, as a
//! power cut does: its page cache is memory of the emulator, and so is what its disk was told and not told to keep.

pub mod parts;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::bed::{Ended, Shell, tail, until};
use crate::process;
use parts::Kernel;

/// Longest time until a machine says something: it is emulated, and this machine may be busy.
const PATIENCE: Duration = Duration::from_secs(900);

/// Units of Debian that only take time here.
const MASKED: &[&str] = &[
    "kmod-static-nodes.service",
    "ldconfig.service",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "run-lock.mount",
    "sys-fs-fuse-connections.mount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-binfmt.service",
    "systemd-bsod.service",
    "systemd-firstboot.service",
    "systemd-hibernate-clear.service",
    "systemd-journal-catalog-update.service",
    "systemd-journal-flush.service",
    "systemd-machine-id-commit.service",
    "systemd-network-generator.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-remount-fs.service",
    "systemd-sysusers.service",
    "systemd-tmpfiles-setup-dev-early.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-tmpfiles-setup.service",
    "systemd-tpm2-setup-early.service",
    "systemd-tpm2-setup.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-update-done.service",
    "systemd-update-utmp.service",
    "systemd-user-sessions.service",
    "tmp.mount",
];

/// A state of firn's journal, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The journal says it, to those who read it now.
    Written(String),
    /// It is on the disk.
    Synced(String),
}

/// What a machine says.
enum Message {
    Ready,
    State(Said),
    End(u32, End),
}

/// How a script ended.
struct End {
    code: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// A machine that runs; killed when dropped.
pub struct Machine {
    child: Child,
    port: RefCell<UnixStream>,
    messages: Receiver<Message>,
    ended: RefCell<HashMap<u32, End>>,
    next: Cell<u32>,
    name: String,
    files: PathBuf,
}

/// A machine as it was at a moment: its memory, and its disks, which are not to be written to any more.
pub struct Snapshot {
    memory: PathBuf,
    disks: Vec<PathBuf>,
}

impl Machine {
    /// Boots from its disks, and waits until it answers. `folder` is where its console goes.
    pub fn boot(kernel: &Kernel, folder: &Path, name: &str, disks: &[PathBuf]) -> Result<Self> {
        let machine = Self::start(kernel, folder, name, disks, None)?;
        match machine.next().context("it boots")? {
            Message::Ready => Ok(machine),
            _ => bail!("{name}: it was to say that it is ready"),
        }
    }

    /// Goes on from a snapshot, with disks of its own.
    pub fn go_on(kernel: &Kernel, folder: &Path, name: &str, snapshot: &Snapshot) -> Result<(Self, Vec<PathBuf>)> {
        let disks = parts::disks_like(&snapshot.disks, "qcow2", folder, name)?;
        Ok((Self::start(kernel, folder, name, &disks, Some(&snapshot.memory))?, disks))
    }

    fn start(kernel: &Kernel, folder: &Path, name: &str, disks: &[PathBuf], memory: Option<&Path>) -> Result<Self> {
        let files = folder.join(name);
        let port = files.with_extension("port");
        let _ = fs::remove_file(&port);
        let listener = UnixListener::bind(&port)?;
        listener.set_nonblocking(true)?;
        let masked: String = MASKED.iter().map(|unit| format!(" systemd.mask={unit}")).collect();
        let mut qemu = Command::new("qemu-system-x86_64");
        // No KVM: where there is one inside of another machine, guests may hang in it. The guest's clock counts its
        // instructions, 4 ns each, so that no limit of time in it depends on what else this machine does.
        qemu.args(["-accel", "tcg,tb-size=256", "-icount", "shift=2", "-cpu", "max", "-m", "512M", "-smp", "1"]);
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot"]).arg("-kernel").arg(&kernel.image);
        qemu.arg("-initrd").arg(&kernel.initrd).arg("-append").arg(format!(
            "console=ttyS0 quiet panic=-1 mitigations=off apparmor=0 audit=0 lsm= systemd.show_status=0 \
             systemd.log_color=0{masked}"
        ));
        qemu.arg("-serial").arg(format!("file:{}", files.with_extension("console").display()));
        qemu.arg("-monitor").arg(format!("unix:{},server=on,wait=off", files.with_extension("monitor").display()));
        // What the guest has not asked to be kept may be lost: in the emulator's memory are also the tables of the disk.
        for disk in disks {
            qemu.arg("-drive").arg(format!("file={},if=virtio,format=qcow2,cache=writeback", disk.display()));
        }
        qemu.args(["-device", "virtio-serial-pci"]);
        qemu.arg("-chardev").arg(format!("socket,id=agent,path={}", port.display()));
        qemu.args(["-device", "virtserialport,chardev=agent,name=agent"]);
        if let Some(memory) = memory {
            qemu.arg("-incoming").arg(format!("exec:cat {}", memory.display()));
        }
        let errors = fs::File::create(files.with_extension("errors"))?;
        qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.into_parts().0);
        let mut child = qemu.spawn().with_context(|| format!("start {}", process::shown(&qemu)))?;
        let mut accepted = None;
        let connected = until("the emulator starts", PATIENCE, || {
            accepted = listener.accept().ok();
            Ok(accepted.is_some() || child.try_wait()?.is_some())
        });
        let Some((stream, _)) = accepted else {
            connected?;
            bail!("{name}: {}", fs::read_to_string(files.with_extension("errors"))?.trim());
        };
        stream.set_nonblocking(false)?;
        let (sender, messages) = mpsc::channel();
        let mut reader = BufReader::new(stream.try_clone()?);
        // Its end, or words that make no sense, end the channel.
        thread::spawn(move || while listen(&mut reader, &sender).is_ok() {});
        Ok(Self {
            child,
            port: RefCell::new(stream),
            messages,
            ended: RefCell::default(),
            next: Cell::new(1),
            name: name.to_owned(),
            files,
        })
    }

    fn next(&self) -> Result<Message> {
        self.messages.recv_timeout(PATIENCE).map_err(|_| {
            let console = fs::read(self.files.with_extension("console")).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            anyhow::anyhow!("{} says nothing; its console: {}", self.name, tail(&console))
        })
    }

    /// Begins a shell script as root; gives its number.
    pub fn begin(&self, script: &str) -> Result<u32> {
        let id = self.next.replace(self.next.get() + 1);
        let mut port = self.port.borrow_mut();
        port.write_all(format!("run {id} {}\n{script}", script.len()).as_bytes())?;
        Ok(id)
    }

    /// Waits for the end of a script, or for a state of the journal that `wanted` says it waits for.
    pub fn wait(&self, id: u32, wanted: impl Fn(&Said) -> bool) -> Result<Option<Said>> {
        while !self.ended.borrow().contains_key(&id) {
            match self.next()? {
                Message::State(said) if wanted(&said) => return Ok(Some(said)),
                Message::State(_) | Message::Ready => {}
                Message::End(id, end) => drop(self.ended.borrow_mut().insert(id, end)),
            }
        }
        Ok(None)
    }

    /// How a script ended that is known to have.
    pub fn ended(&self, id: u32) -> Result<Ended> {
        let ended = self.ended.borrow_mut().remove(&id);
        let End { code, stdout, stderr } = ended.context("it has not ended")?;
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Ok(Ended { code, stdout, stderr, command: format!("{}: script {id}", self.name) })
    }

    /// The machine and all that is only in its memory are gone.
    pub fn cut_power(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Writes the machine's memory into a file and ends it.
    pub fn snapshot(mut self, disks: Vec<PathBuf>) -> Result<Snapshot> {
        let memory = self.files.with_extension("memory");
        let mut monitor = UnixStream::connect(self.files.with_extension("monitor"))?;
        write!(monitor, "migrate \"exec:cat >{}\"\nquit\n", memory.display())?;
        let mut answer = String::new();
        monitor.read_to_string(&mut answer)?;
        let ended = self.child.wait()?;
        if !ended.success() || answer.contains("rror") {
            bail!("{}: {ended}: {answer}", self.name);
        }
        Ok(Snapshot { memory, disks })
    }
}

impl Shell for Machine {
    fn root(&self, script: &str) -> Result<Ended> {
        let id = self.begin(script)?;
        self.wait(id, |_| false)?;
        Ok(Ended { command: format!("{}: {script}", self.name), ..self.ended(id)? })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads one message of a machine.
fn listen(reader: &mut BufReader<UnixStream>, sender: &Sender<Message>) -> Result<()> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let message = match words.as_slice() {
        ["ready"] => Message::Ready,
        ["written", state] => Message::State(Said::Written((*state).to_owned())),
        ["synced", state] => Message::State(Said::Synced((*state).to_owned())),
        ["end", id, code, out, err] => {
            let (mut stdout, mut stderr) = (vec![0; out.parse()?], vec![0; err.parse()?]);
            reader.read_exact(&mut stdout)?;
            reader.read_exact(&mut stderr)?;
            Message::End(id.parse()?, End { code: code.parse()?, stdout, stderr })
        }
        _ => bail!("{line:?}"),
    };
    Ok(sender.send(message)?)
}
