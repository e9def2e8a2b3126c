//! An update as a delta, on the hosts of `carry`: A came as a file, B comes as what it changes. No host is started for it.

use anyhow::{Result, ensure};

use super::Checks;
use crate::bed::Host;

const COUNT: &str = "sqlite3 /nix/var/nix/db/db.sqlite 'select count(*) from ValidPaths'";
/// Only what has a root of somebody else stays.
const FORGET: &str = "rm -rf /home/alice/.local/state/firn /root/.local/state/firn /nix/var/nix/gcroots/firn; \
                      rm -f /home/alice/result*; nix-store --gc >/dev/null 2>&1";

/// Packs B on `desk` against the A of `web.firn`, whose root is `a` and which alice imported on `web`; `far` has A by ssh.
pub(super) fn run(desk: &Host<'_>, web: &Host<'_>, far: &Host<'_>, a: &str, checks: &mut Checks) -> Result<()> {
    let (b, output) = checks.step("B is packed against A's file, in a tenth of its bytes", || {
        let b = desk.root("cd; nix-instantiate nix -A B --arg tools ./tools")?.ok()?;
        desk.root(
            "cd; set -e; pack() { firn pack --file nix --arg tools ./tools \"$@\"; }
             pack --attr B -o B.firn; pack --attr B --base web.firn -o update.firn; pack --attr A --base web.firn -o same.firn
             test $(($(stat -c %s update.firn) * 10)) -lt $(stat -c %s B.firn); test $(stat -c %s same.firn) -lt 400
             tar -cf updates.tar update.firn same.firn",
        )?
        .ok()?;
        let output = desk.root(&format!("nix-store -q --outputs {b}"))?.ok()?;
        Ok((b, output))
    })?;
    desk.carry("/root/updates.tar", web, "/home/alice/updates.tar")?;
    web.alice("tar -xf updates.tar")?.ok()?;
    checks.check("packed against the .drv in the store, or with its base from standard input, it is the same file", || {
        desk.root(&format!(
            "cd; set -e; firn pack {b} --base {a} -o - | cmp update.firn -; firn convert --base web.firn B.firn - | cmp update.firn -
             firn convert --base web.firn - - <update.firn | cmp B.firn -"
        ))?
        .ok()
        .map(drop)
    });
    checks.check("an empty difference: nothing comes, in one round trip", || {
        let said = web.alice("firn import --quiet --json same.firn")?.ok()?;
        let json: serde_json::Value = serde_json::from_str(&said)?;
        ensure!(json["added"] == 0 && json["round_trips"] == 1, "{said}");
        Ok(())
    });
    checks.check("alice realises B from its delta and the A in the store", || {
        let built = web.alice("firn realise update.firn")?.ok()?;
        ensure!(built == output, "{built} instead of {output}");
        Ok(())
    });
    checks.check(
        "its base collected, the delta is refused, and names it; with the file of its base it is whole",
        || {
            web.root(FORGET)?.ok()?;
            web.root(&format!("! test -e {a}"))?.ok()?;
            let before = web.root(COUNT)?.ok()?;
            let said = web.alice("firn import update.firn")?.fails_with(8)?;
            ensure!(said.contains(&format!("its base {a} is missing")) && said.contains("--base FILE"), "{said}");
            ensure!(web.root(COUNT)?.ok()? == before, "something came");
            web.alice("firn import --base web.firn - <update.firn")?.ok()?;
            web.root(&format!("nix-store --gc >/dev/null 2>&1; nix-store -qR {b} >/dev/null"))?.ok().map(drop)
        },
    );
    checks.check("a damaged path of the base in the store is found before anything is written", || {
        web.root(FORGET)?.ok()?;
        web.alice("firn import web.firn")?.ok()?;
        let source =
            web.root(&format!("for p in $(nix-store -qR {a}); do test ! -f $p || echo $p; done | head -n 1"))?;
        let source = source.ok()?;
        let before = web.root(COUNT)?.ok()?;
        web.root(&format!("cp -p {source} /root/kept; chmod u+w {source}; echo >>{source}"))?.ok()?;
        let ended = web.alice("firn import update.firn")?;
        web.root(&format!("cat /root/kept >{source}; chmod u-w {source}"))?.ok()?;
        ensure!(ended.code != 0 && ended.stderr.contains(source.trim_start_matches("/nix/store/")), "{}", ended.stderr);
        ensure!(web.root(COUNT)?.ok()? == before, "something came");
        web.alice("firn import update.firn")?.ok()?;
        web.root("nix-store --verify --check-contents")?.ok().map(drop)
    });
    checks.check("over ssh, into a host with stock Nix alone, with the base as a file", || {
        desk.root("cd; firn import --store ssh-ng://root@far --base web.firn update.firn")?.ok()?;
        far.root(&format!("nix-store --gc >/dev/null 2>&1; nix-store -qR {b} >/dev/null"))?.ok().map(drop)
    });
    Ok(())
}
