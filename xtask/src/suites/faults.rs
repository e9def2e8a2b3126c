//! Wrong input and faults: every one by root and by alice, through the daemon, over ssh and into a folder. What
//! was seen is docs/faults.md; a row that is missing there, or differs, is a failure.

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use super::{Checks, Scene};
use crate::bed::{Ended, Host};
use crate::workspace;

const PAGE: &str = "docs/faults.md";
const HEAD: &str = "# Faults

What `firn import` says and leaves behind when its input is wrong or the machine fails. Seen by `cargo xtask e2e faults`
on Nix 2.26, which fails when this page differs; `FIRN_BLESS=1` writes it anew. The second run is the same command with
the whole file on the mended machine. Where the message depends on the moment, there is none here.

| fault | who | into | exit code | message | store | second run |
|---|---|---|---|---|---|---|
";

/// Input that is wrong; the files are made by tests/faults/injuries.sh.
const INJURIES: &[&str] = &[
    "plain-nar",
    "lone-derivation",
    "derivation-json",
    "tar-of-a-path",
    "gzip-of-a-text",
    "empty",
    "text",
    "cut-stream",
    "cut-gzip",
    "cut-file",
    "cut-header",
    "trailing-byte",
    "split-export",
    "missing-reference",
    "twice",
    "flipped-header",
    "flipped-middle",
    "flipped-end",
    "flipped-stream",
];

/// Where a file is imported into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Into {
    Daemon,
    Ssh,
    Folder,
}

impl Into {
    const ALL: [Self; 3] = [Self::Daemon, Self::Ssh, Self::Folder];

    fn name(self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::Ssh => "ssh-ng",
            Self::Folder => "--root",
        }
    }
}

/// Everybody, and one user for what is refused before the store is asked.
const ALL: &[&str] = &["root", "alice"];
const ALICE: &[&str] = &["alice"];

/// A fault of the machine: what is run around the import, as root.
struct Fault {
    name: &'static str,
    who: &'static [&'static str],
    into: &'static [Into],
    /// Before it, on the host of the store. `$disk` is the folder of `--root`, `$who` the user.
    before: &'static str,
    /// The import; `$import` is the command without the file.
    run: &'static str,
    /// After it, on the host of the store.
    after: &'static str,
}

/// A delta, or what is wrong with one. `$named` is `$import` with the file of the base.
const fn delta(name: &'static str, who: &'static [&'static str], run: &'static str) -> Fault {
    Fault { name, who, into: &Into::ALL, before: "", run, after: "" }
}

/// What the store has before the import: the base of a delta, and a way to mend what is damaged in it.
const HAS_BASE: &str = "$place base.firn >/dev/null 2>&1";
const HAS_DAMAGED_BASE: &str = "$place base.firn >/dev/null 2>&1; \
    setup=$(ls -d $store/nix/store/*-setup.sh); cp -p $setup kept; chmod u+w $setup; echo >>$setup";
const MEND_BASE: &str = "setup=$(ls -d $store/nix/store/*-setup.sh); cat kept >$setup; chmod u-w $setup; \
    touch -d @1 $setup; chown --reference=kept $setup";

/// Deltas. Those that are refused before the store is asked are told once for both users.
const DELTAS: &[Fault] = &[
    delta("a delta", ALL, "$named base.firn delta.firn"),
    delta("a delta that says nothing new", ALL, "$named good.firn delta-same.firn"),
    delta("a delta whose base is larger", ALL, "$named larger.firn delta-larger.firn"),
    delta("a delta whose base is of another system type", ALL, "$named arm.firn delta-arm.firn"),
    delta(
        "ten deltas in a chain",
        ALL,
        "$named base.firn $(printf -- '--base link-%s.firn ' 1 2 3 4 5 6 7 8 9) link-10.firn",
    ),
    Fault {
        name: "a delta whose base is in the store",
        who: ALL,
        into: &[Into::Daemon, Into::Folder],
        before: HAS_BASE,
        run: "$import delta.firn",
        after: "",
    },
    Fault {
        name: "a delta whose base is damaged in the store",
        who: ALL,
        into: &[Into::Daemon, Into::Folder],
        before: HAS_DAMAGED_BASE,
        run: "$import delta.firn",
        after: MEND_BASE,
    },
    delta("a delta without its base", ALL, "$import delta.firn"),
    delta("a delta as its own base", ALICE, "$named delta.firn delta.firn"),
    delta("a delta and another closure", ALICE, "$named arm.firn delta.firn"),
    delta("a delta and a later version of its base", ALICE, "$named later.firn delta.firn"),
    delta("a delta and its base, damaged", ALICE, "$named base-flipped.firn delta.firn"),
    delta("a delta that is cut", ALICE, "$named base.firn delta-cut.firn"),
    delta("a delta with a flip in its header", ALICE, "$named base.firn delta-flipped-header.firn"),
    delta("a delta with a flip at its end", ALICE, "$named base.firn delta-flipped-end.firn"),
];

/// Faults whose message, and what is in the store by then, depend on the moment.
const VARYING: &[&str] = &[
    "two at once",
    "a collector at the same time",
    "killed after 10 ms",
    "killed after 50 ms",
    "the daemon dies",
    "the line is cut",
];

/// A stream of stock Nix has no digest: what was changed in a source and is imported all the same stays in a folder
/// until it is deleted there.
const UNMENDED: &str = "flipped-stream";

const FAULTS: &[Fault] = &[
    Fault { name: "none", who: ALL, into: &Into::ALL, before: "", run: "$import good.firn", after: "" },
    Fault {
        name: "another root is expected",
        who: ALL,
        into: &Into::ALL,
        before: "",
        run: "$import --expect /nix/store/00000000000000000000000000000000-other.drv good.firn",
        after: "",
    },
    Fault {
        name: "two at once",
        who: ALL,
        into: &Into::ALL,
        before: "",
        run: "$import good.firn & $import good.firn; code=$?; wait $! && exit $code",
        after: "",
    },
    Fault {
        name: "a collector at the same time",
        who: ALL,
        into: &[Into::Daemon],
        before: "",
        run: "for i in 1 2 3 4; do nix-store --gc >/dev/null 2>&1; done & $import good.firn; code=$?; wait; exit $code",
        after: "",
    },
    Fault {
        name: "killed after 10 ms",
        who: ALL,
        into: &Into::ALL,
        before: "",
        run: "timeout -s KILL 0.01 $import good.firn; exit 137",
        after: "",
    },
    Fault {
        name: "killed after 50 ms",
        who: ALL,
        into: &Into::ALL,
        before: "",
        run: "timeout -s KILL 0.05 $import good.firn; exit 137",
        after: "",
    },
    Fault {
        name: "no daemon",
        who: ALL,
        into: &[Into::Daemon],
        before: "",
        run: "$import --store unix:///nowhere/socket good.firn",
        after: "",
    },
    Fault {
        name: "the daemon dies",
        who: ALL,
        into: &[Into::Daemon],
        before: "setsid /srv/relay.pl /srv/relay /nix/var/nix/daemon-socket/socket 40000 >/dev/null 2>&1 & until test -S /srv/relay; do :; done",
        run: "$import --store unix:///srv/relay good.firn",
        after: "rm /srv/relay",
    },
    Fault {
        name: "no such host",
        who: ALL,
        into: &[Into::Ssh],
        before: "",
        run: "firn import --store ssh-ng://nohost good.firn",
        after: "",
    },
    Fault {
        name: "the line is cut",
        who: ALL,
        into: &[Into::Ssh],
        before: "",
        run: "NIX_SSHOPTS=\"-o ProxyCommand='/srv/cut %h'\" $import good.firn",
        after: "",
    },
    Fault {
        name: "the disk is full",
        who: ALL,
        into: &[Into::Folder],
        before: "mount -t tmpfs -o size=100k,mode=777 tmpfs $disk",
        run: "$import good.firn",
        after: "umount $disk",
    },
    Fault {
        name: "the disk is read-only",
        who: ALL,
        into: &[Into::Folder],
        before: "mount -t tmpfs -o ro tmpfs $disk",
        run: "$import good.firn",
        after: "umount $disk",
    },
    Fault {
        name: "no right to write",
        who: ALL,
        into: &[Into::Folder],
        before: "chown nobody: $disk; chmod 755 $disk",
        run: "$import good.firn",
        after: "chown $who: $disk",
    },
    Fault {
        name: "a link in place of the store",
        who: ALL,
        into: &[Into::Folder],
        before: "mkdir -p $disk/nix; ln -s /etc $disk/nix/store; chown -R -h $who: $disk",
        run: "$import good.firn",
        after: "rm -rf $disk/nix",
    },
    Fault {
        name: "a lock that nobody holds",
        who: ALL,
        into: &[Into::Folder],
        before: "mkdir -p $disk/nix/var/nix/db; touch $disk/nix/var/nix/db/big-lock $disk/nix/var/nix/gc.lock; chown -R $who: $disk",
        run: "$import good.firn",
        after: "",
    },
    Fault {
        name: "a live store",
        who: ALL,
        into: &[Into::Folder],
        before: "",
        run: "firn import --root / good.firn",
        after: "",
    },
];

/// All rows.
pub(super) fn run(scene: &Scene, checks: &mut Checks) -> Result<()> {
    let (near, far) = (scene.host("near")?, scene.bed.host(scene.release, "far")?);
    lay(&near)?;
    // Cut lines are many here, and OpenSSH 9.8 shuts out who has them.
    far.root("echo PerSourcePenalties no >>/etc/ssh/sshd_config; systemctl restart sshd")?.ok()?;
    far.fate("wait")?;
    let mut rows = Vec::new();
    let mut tell = |fault: &Fault, run: &str| {
        for who in fault.who {
            for into in fault.into {
                let place = Place { near: &near, far: &far, who, into: *into };
                rows.extend(place.row(fault, run, checks));
            }
        }
    };
    for fault in FAULTS.iter().chain(DELTAS) {
        tell(fault, fault.run);
    }
    for injury in INJURIES {
        let fault = Fault { name: injury, who: ALL, into: &Into::ALL, before: "", run: "", after: "" };
        tell(&fault, &format!("$import {injury}"));
    }
    let page = rows.iter().fold(HEAD.to_owned(), |page, row| page + row + "\n");
    checks.check("the store that went through all of it is whole", || {
        near.root("nix-store --verify --check-contents")?.ok()?;
        far.root("nix-store --verify --check-contents")?.ok().map(drop)
    });
    checks.check("docs/faults.md has these rows and no others", || {
        let path = workspace::file(PAGE);
        if std::env::var_os("FIRN_BLESS").is_some() {
            return Ok(fs::write(path, page)?);
        }
        let written = fs::read_to_string(path)?;
        let differing = page.lines().find(|line| !written.lines().any(|other| other == *line));
        ensure!(differing.is_none(), "not there: {}", differing.unwrap_or_default());
        ensure!(written.len() == page.len(), "it has rows that were not seen");
        Ok(())
    });
    Ok(())
}

/// Lays the closure, its injuries and the means of the faults into a host, and users' keys.
fn lay(host: &Host<'_>) -> Result<()> {
    host.push(&workspace::file("tests/faults"), "/srv")?;
    host.root(
        "cd /srv; zstd -dq zlib.export.zst -o good.export; nix-store --import <good.export | tail -1 >root; \
         firn convert good.export good.firn; ./injuries.sh /srv; nix-store --gc >/dev/null 2>&1; \
         printf '#!/bin/bash\\nexec 3<>/dev/tcp/$1/22; head -c 30000 >&3 & cat <&3 & wait %%1; exit\\n' >cut; chmod +x cut; \
         mkdir -p /home/alice/.ssh; cp /run/testbed/id /run/testbed/known_hosts /home/alice/.ssh/; \
         sed 's,/run/testbed,/home/alice/.ssh,; s/User root/User alice/' /run/testbed/ssh_config >/home/alice/.ssh/config; \
         chown -R alice: /home/alice/.ssh; chmod -R go= /home/alice/.ssh; mkdir -p /srv/disk-root /srv/disk-alice",
    )?
    .ok()
    .map(drop)
}

/// One way of importing, by one user.
struct Place<'a> {
    near: &'a Host<'a>,
    far: &'a Host<'a>,
    who: &'static str,
    into: Into,
}

impl Place<'_> {
    fn store(&self) -> &Host<'_> {
        if self.into == Into::Ssh { self.far } else { self.near }
    }

    fn variables(&self) -> String {
        let who = self.who;
        let (target, store) = match self.into {
            Into::Daemon => ("", ""),
            Into::Ssh => ("--store ssh-ng://far", ""),
            Into::Folder => ("--root $disk", "$disk"),
        };
        format!(
            "cd /srv; who={who}; disk=/srv/disk-{who}; store={store}; import=\"firn import {target}\"; \
             named=\"$import --base\"; place=\"runuser -u $who -- env HOME=$(getent passwd $who | cut -d: -f6) $import\"; "
        )
    }

    fn import(&self, run: &str) -> Result<Ended> {
        let script = format!("{}{run}", self.variables());
        if self.who == "root" { self.near.root(&script) } else { self.near.user(self.who, &script) }
    }

    /// Valid paths, and names in the store folder.
    fn state(&self) -> Result<String> {
        let root = if self.into == Into::Folder { "$disk" } else { "" };
        let script = format!(
            "{}db={root}/nix/var/nix/db/db.sqlite; test ! -e $db || sqlite3 $db 'select count(*) from ValidPaths'; \
             ls -A {root}/nix/store 2>/dev/null | grep -v '^.links$' | wc -l",
            self.variables()
        );
        Ok(self.store().root(&script)?.ok()?.replace('\n', "/"))
    }

    /// Lets a collector run over a host's own store; a folder has none of its own.
    fn collect(&self) -> Result<()> {
        if self.into == Into::Folder {
            return Ok(());
        }
        self.store().root("nix-store --gc >/dev/null 2>&1")?.ok().map(drop)
    }

    fn clean(&self) -> Result<()> {
        let script = "rm -rf /home/alice/.local/state/firn /root/.local/state/firn /nix/var/nix/gcroots/firn; \
                      nix-store --gc >/dev/null 2>&1; rm -rf $disk; mkdir -p $disk; chown $who: $disk";
        self.store().root(&format!("{}{script}", self.variables()))?.ok().map(drop)
    }

    /// Makes the fault, imports, mends it, imports again; gives the row of the table.
    fn row(&self, fault: &Fault, run: &str, checks: &mut Checks) -> Option<String> {
        let mut row = None;
        checks.check(&format!("{}, {}, {}", fault.name, self.who, self.into.name()), || {
            self.clean()?;
            let empty = self.state()?;
            let variables = self.variables();
            self.store().root(&format!("{variables}{}", fault.before))?.ok().context("make the fault")?;
            let before = if fault.before.contains("$place") { self.state()? } else { empty };
            let ended = self.import(run);
            self.store().root(&format!("{variables}{}", fault.after))?.ok().context("mend it")?;
            let ended = ended?;
            let after = self.state()?;
            ensure!(ended.code < 100 || ended.code == 137, "exit code {}: {}", ended.code, ended.stderr);
            if ended.code == 0 {
                self.collect()?;
                ensure!(self.state()? == after, "not all of it is rooted: {}", ended.stderr);
            }
            let again = self.import("$import good.firn")?;
            if again.code != 0 && fault.name == UNMENDED {
                let (first, second) = (message(&ended.stderr), message(&again.stderr));
                row = Some(format!(
                    "| {} | {} | {} | {} | {first} | all of it | {}: {second} |",
                    fault.name,
                    self.who,
                    self.into.name(),
                    ended.code,
                    again.code
                ));
                return Ok(());
            }
            ensure!(again.code == 0, "{}; second run: exit code {}: {}", ended.stderr, again.code, again.stderr);
            let last = self.state()?;
            self.collect()?;
            ensure!(self.state()? == last, "second run: not all of it is rooted");
            let interrupted = VARYING.contains(&fault.name);
            let unchanged = after == before || after == "0";
            ensure!(ended.code == 0 || unchanged || interrupted, "store is {after}, was {before}");
            let message = if interrupted { String::new() } else { message(&ended.stderr) };
            let store = match () {
                () if ended.code == 0 => "all of it",
                () if interrupted => "what was whole by then",
                () => "unchanged",
            };
            row = Some(format!(
                "| {} | {} | {} | {} | {message} | {store} | all of it |",
                fault.name,
                self.who,
                self.into.name(),
                ended.code
            ));
            Ok(())
        });
        row
    }
}

/// What a person sees, on one line.
fn message(stderr: &str) -> String {
    stderr.trim().replace('|', "\\|").lines().map(str::trim_end).collect::<Vec<_>>().join("<br>")
}
