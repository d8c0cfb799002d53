//! Entry point: parses the command line, starts logging, runs the command and exits with its code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use stellar_ticker::app::{self, Signals};
use stellar_ticker::cli::{self, CliError, Command};
use stellar_ticker::config::{EXIT_CONFIG, Environment};
use stellar_ticker::{init, process, telemetry};

/// Allocator of the program. Publishing allocates and frees many large buffers on several threads, and the system's
/// allocator fragments under that load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    process::disable_huge_pages(); // before anything else: memory that is already touched keeps its huge pages
    if let Some(code) = init::run_as_first_process() {
        return code;
    }
    // Before anything that takes time, so that a daemon which is stopped meanwhile drains too.
    let signals = Signals::early(std::env::args_os().nth(1).as_deref());
    // Set before the first TLS connection. It fails only if a provider is installed already, and that one serves too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let text = |value: OsString| value.to_string_lossy().into_owned();
    let environment: Environment =
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    let parse = || cli::parse(std::env::args_os(), &environment);
    // Settings may come from a pipe or a mount that never answers.
    let parsed = if signals.is_some() { Signals::or_exit(parse) } else { parse() };
    match parsed {
        Ok(command) => run(command, signals),
        Err(error) => fail(&error),
    }
}

fn run(command: Command, signals: Option<Signals>) -> ExitCode {
    if let Some(answer) = command.answer() {
        return printed(io::stdout().write_all(answer.as_bytes()), 0);
    }
    if let Some((format, filter)) = command.log()
        && let Err(error) = telemetry::init(format, filter)
    {
        let _ = writeln!(io::stderr(), "error: {error}");
        return ExitCode::from(EXIT_CONFIG);
    }
    app::run(command, signals)
}

fn fail(error: &CliError) -> ExitCode {
    printed(error.print(), error.exit_code())
}

/// Exit code of a command that printed its answer. A reader that has seen enough is no error.
fn printed(result: io::Result<()>, code: u8) -> ExitCode {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "error: standard output cannot be written: {error}");
            ExitCode::from(app::EXIT_UNAVAILABLE)
        }
        _ => ExitCode::from(code),
    }
}
