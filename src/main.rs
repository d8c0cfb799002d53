//! The program: reads the command line, starts the log, runs the command, ends with its exit code.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use stellar_ticker::cli::{self, CliError, Command};
use stellar_ticker::config::{EXIT_CONFIG, Environment};
use stellar_ticker::{app, init, process, telemetry};

/// Publishing makes and frees many large buffers from several threads, where the system's allocator fragments.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    process::disable_huge_pages(); // first of all: what was touched before may have them
    if let Some(code) = init::run_as_first_process() {
        return code;
    }
    // Before any TLS is set up. It fails only if a provider is there already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let text = |value: OsString| value.to_string_lossy().into_owned();
    let environment: Environment =
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    match cli::parse(std::env::args_os(), &environment) {
        Ok(command) => run(command),
        Err(error) => fail(&error),
    }
}

fn run(command: Command) -> ExitCode {
    if let Some(answer) = command.answer() {
        // Nobody reading is no fault of the configuration.
        let _ = std::io::stdout().write_all(answer.as_bytes());
        return ExitCode::SUCCESS;
    }
    if let Some((format, filter)) = command.log()
        && let Err(error) = telemetry::init(format, filter)
    {
        let _ = writeln!(std::io::stderr(), "error: {error}");
        return ExitCode::from(EXIT_CONFIG);
    }
    app::run(command)
}

fn fail(error: &CliError) -> ExitCode {
    error.print();
    ExitCode::from(error.exit_code())
}
