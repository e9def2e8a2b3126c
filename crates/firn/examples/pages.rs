//! Man pages, completions and docs/cli.md, made from the command line itself: a JSON object of paths and texts on standard
//! output, which `cargo xtask generate` writes and compares.

use clap::Command;
use clap_complete::Shell;
use firn::{ExitCode, cli};
use std::{collections::BTreeMap, error::Error, io};

/// What the man page of firn says beside what clap knows. In roff.
const EXAMPLES: &str = r#".SH EXAMPLES
Press the system of a flake into a file, on any machine with Nix:
.PP
.RS
.EX
firn pack .#web \-o web.firn
.EE
.RE
.PP
Look at it, then import and build it on the host, as any user:
.PP
.RS
.EX
firn inspect web.firn
firn import web.firn
firn realise web.firn
.EE
.RE
.PP
Send later only what changes, against what the host runs, or an earlier file; see what that is, and switch to it:
.PP
.RS
.EX
firn pack .#web \-\-base\-host root@web \-o update.firn
firn pack .#web \-\-base web.firn \-o update.firn
firn diff web.firn update.firn
firn switch update.firn
.EE
.RE
.PP
Make an update whole, or a whole file an update, with what it is made against:
.PP
.RS
.EX
firn convert \-\-base web.firn update.firn whole.firn
firn convert \-\-base web.firn whole.firn update.firn
.EE
.RE
.PP
Turn a stream of stock Nix into a firn file, and back:
.PP
.RS
.EX
nix\-store \-\-export $(nix\-store \-qR SYSTEM.drv) | firn convert \- web.firn
firn convert web.firn web.export.gz
.EE
.RE
.PP
Fill the disk of a new host, without Nix:
.PP
.RS
.EX
firn import \-\-root /mnt web.firn
.EE
.RE
"#;

/// What clap_mangen puts before every section.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

const ENVIRONMENT: &[(&str, &str)] = &[
    ("FIRN_TMPDIR", "as --tmp-dir"),
    ("TMPDIR", "the first folder that is tried for contents that must be put aside, unless it is in memory"),
    ("NO_COLOR", "no colours, when it is not empty"),
    ("NIX_REMOTE", "the store to use, as for Nix, when --store and --root are not said"),
    ("NIX_SSHOPTS", "options for ssh, as for Nix"),
    ("XDG_STATE_HOME", "where ordinary users keep GC roots: below firn/roots in it"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut pages = BTreeMap::new();
    let mut firn = cli::command_line().term_width(100);
    firn.build();
    pages.insert("docs/cli.md".to_owned(), cli_page(&firn));
    pages.insert("docs/man/firn.1".to_owned(), man(&firn, true)?);
    for command in firn.get_subcommands() {
        let name = format!("firn-{}", command.get_name());
        pages.insert(format!("docs/man/{name}.1"), man(&command.clone().display_name(name), false)?);
    }
    for (shell, file) in [(Shell::Bash, "firn.bash"), (Shell::Zsh, "_firn"), (Shell::Fish, "firn.fish")] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut cli::command_line(), "firn", &mut text);
        pages.insert(format!("docs/completions/{file}"), String::from_utf8(text)?);
    }
    serde_json::to_writer_pretty(io::stdout().lock(), &pages)?;
    Ok(())
}

fn cli_page(firn: &Command) -> String {
    let mut page = String::from(
        "# The command line\n\nMade from the program by `cargo xtask generate`; names, flags and exit codes are public \
         contract.\n",
    );
    for command in std::iter::once(firn).chain(firn.get_subcommands()) {
        let help = command.clone().render_long_help().to_string();
        let lines: Vec<_> = help.lines().map(str::trim_end).collect();
        let name =
            if command.get_name() == "firn" { "firn".to_owned() } else { format!("firn {}", command.get_name()) };
        page.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
    }
    page.push_str("\n## Exit codes\n\n");
    page.push_str(&ExitCode::markdown());
    page.push_str("\nA signal ends firn as it ends any program: 130 in a shell for Ctrl-C. A panic is a defect.\n");
    page.push_str("\n## Environment\n\n| variable | meaning |\n|---|---|\n");
    for (name, meaning) in ENVIRONMENT {
        page.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    page
}

fn man(command: &Command, whole: bool) -> Result<String, Box<dyn Error>> {
    // No date: the page depends on the program alone.
    let man = clap_mangen::Man::new(command.clone()).manual("firn").source(concat!("firn ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if whole {
        man.render_subcommands_section(&mut text)?;
    }
    // Every section begins with the same definition of an apostrophe.
    let (first, rest) = std::str::from_utf8(&text)?.split_at(PREAMBLE.len());
    let mut text = first.to_owned() + &rest.replace(PREAMBLE, "");
    if whole {
        text.push_str(EXAMPLES);
    }
    text.push_str(".SH \"EXIT STATUS\"\n");
    for code in ExitCode::ALL {
        text.push_str(&format!(".TP 4\n{}\n{}\n", code.number(), roff(code.meaning())));
    }
    text.push_str(".SH ENVIRONMENT\n");
    for (name, meaning) in ENVIRONMENT {
        text.push_str(&format!(".TP\n{name}\n{}\n", roff(meaning)));
    }
    text.push_str(".SH \"SEE ALSO\"\n");
    let also = if whole { "nix\\-store(1)" } else { "firn(1), nix\\-store(1)" };
    text.push_str(&format!("{also}, firn(5)\n"));
    Ok(text)
}

fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
