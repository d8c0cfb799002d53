//! The composition root: puts pool, actors, HTTP servers and signals together.

use std::process::ExitCode;

use crate::cli::Command;

/// Exit code of a fault inside the program (`EX_SOFTWARE`).
const EXIT_ESCALATED: u8 = 70;

/// Runs a command to its end and gives the program's exit code.
#[must_use]
pub fn run(command: Command) -> ExitCode {
    drop(command);
    ExitCode::from(EXIT_ESCALATED)
}
