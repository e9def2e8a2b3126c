//! Prints, as a JSON object of path and text, every page that is made from the command line: docs/cli.md, man pages
//! and completions. `cargo xtask generate` writes them.

use clap::Command;
use clap_complete::{Shell, generate};
use clap_mangen::{Man, roff};
use firn::{ExitCode, cli::command_line};
use std::{
    collections::BTreeMap,
    io::{self, Write},
};

fn main() -> io::Result<()> {
    let mut pages = BTreeMap::from([("docs/cli.md".to_owned(), markdown())]);
    let mut firn = command_line();
    firn.build();
    pages.insert("docs/man/firn.1".into(), man(&firn)?);
    for command in firn.get_subcommands() {
        pages.insert(format!("docs/man/firn-{}.1", command.get_name()), man(command)?);
    }
    for (shell, path) in [(Shell::Bash, "firn.bash"), (Shell::Zsh, "_firn"), (Shell::Fish, "firn.fish")] {
        let mut text = Vec::new();
        generate(shell, &mut command_line(), "firn", &mut text);
        pages.insert(format!("docs/completions/{path}"), String::from_utf8_lossy(&text).into_owned());
    }
    serde_json::to_writer(io::stdout().lock(), &pages)?;
    io::stdout().flush()
}

fn man(command: &Command) -> io::Result<String> {
    let mut page = Vec::new();
    // A version or a date would make the page stale by itself.
    Man::new(command.clone().version(None::<&str>))
        .title(command.get_display_name().unwrap_or("firn").to_uppercase())
        .source("firn")
        .manual("firn")
        .render(&mut page)?;
    if command.get_name() == "firn" {
        let mut more = roff::Roff::default();
        more.control("SH", ["EXIT STATUS"]);
        for code in ExitCode::ALL {
            more.control("TP", []).text([roff::bold(code.number().to_string())]).text([roff::roman(code.meaning())]);
        }
        more.control("SH", ["SEE ALSO"]);
        more.text([roff::roman("firn(5), nix-store(1)")]);
        more.to_writer(&mut page)?;
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn markdown() -> String {
    let mut page = String::from(
        "# The command line\n\nWritten by `cargo xtask generate`. Names, flags and exit codes are a contract: they change with a release note only.\n",
    );
    let mut firn = command_line().term_width(100);
    firn.build();
    section(&mut page, "firn", &mut firn);
    let names: Vec<_> = firn.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        if let Some(command) = firn.find_subcommand_mut(&name) {
            section(&mut page, &format!("firn {name}"), command);
        }
    }
    page.push_str("\n## Exit codes\n\n");
    page.push_str(&ExitCode::markdown());
    page
}

fn section(page: &mut String, title: &str, command: &mut Command) {
    let help = command.clone().term_width(100).render_long_help().to_string();
    let lines: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
    page.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", lines.join("\n")));
}
