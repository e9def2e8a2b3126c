//! The `firn` program: reads the command line, shows events, ends with a documented code.

mod report;

use clap::Parser;
use firn::{CommandError, ExitCode, Session, cli::Cli};
use report::Report;
use std::io;

/// The C library of the static binary gives memory slowly: a third of the time of `convert` went there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results: they go to standard output.
            let _ = error.print();
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Success };
            return code.into();
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
