//! The `firn` program: reads the command line, shows events, ends with a documented code.

mod allocator;
#[cfg(all(target_arch = "x86_64", any(test, all(target_env = "musl", not(debug_assertions)))))]
mod memcpy;
mod report;

use clap::Parser;
use firn::{
    CommandError, ExitCode, Session,
    cli::{Cli, Globals},
};
use report::Report;
use std::io;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            if !error.use_stderr() {
                // Help and version are results: they go to standard output.
                let _ = error.print();
                return ExitCode::Success.into();
            }
            // What was read before the mistake is lost, so the flag is looked for by itself.
            if std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json") {
                Report::new(&Globals { json: true, ..Globals::default() }).error(&usage(&error));
            } else {
                let _ = error.print();
            }
            return ExitCode::Usage.into();
        }
    };
    let report = Report::new(&cli.globals);
    let session = Session::new(cli.globals, &report, io::stdout());
    let done = cli.command.run(&session);
    report.finish();
    done.unwrap_or_else(|error| end(&report, &error)).into()
}

fn end(report: &Report, error: &CommandError) -> ExitCode {
    if !error.is_closed_pipe() {
        report.error(error);
    }
    error.code()
}

/// A mistake in the command line: its first lines are the error, tips and usage are hints.
fn usage(error: &clap::Error) -> CommandError {
    let text = error.render().to_string();
    let mut parts = text.split("\n\n").map(|part| part.trim().trim_start_matches("error: "));
    let first = parts.next().unwrap_or_default().to_owned();
    parts.filter(|part| !part.is_empty()).fold(CommandError::new(ExitCode::Usage, first), CommandError::hint)
}
