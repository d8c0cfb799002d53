//! The command `doctor`: checks of everything around the daemon, each with what to do.
//!
//! A check that depends on a failed one is skipped. Nothing is changed, except for files with a name of their own that
//! are removed at once.

mod database;
mod finding;
mod lake;
mod listeners;
mod local;
mod nginx;
mod running;
mod upstream;

use std::io::{self, Write};

use actix_rt::System;

use super::{CommandError, output};
use crate::{blocking, config::Config};
use finding::{Finding, Report};

/// Checks everything, prints the findings, and returns 0, or 1 for warnings, or 2 for failures.
pub(super) fn doctor(
    config: Result<&Config, &String>,
    surroundings: &Result<Vec<String>, String>,
    prints_json: bool,
) -> Result<u8, CommandError> {
    let mut findings = vec![configuration(config.err(), surroundings)];
    if let Ok(config) = config {
        findings.extend(match blocking::prepare() {
            Ok(()) => System::new().block_on(all(config)),
            Err(error) => without_threads(config, &error),
        });
    }
    let report = Report::of(findings);
    let text = if prints_json { format!("{:#}\n", report.json()) } else { report.text() };
    if let Err(error) = output::print(&text) {
        // This command has no log.
        let _ = writeln!(io::stderr(), "error: {error}");
        return Err(error);
    }
    Ok(report.exit_code())
}

/// Runs all checks. Those that wait for others run at the same time.
async fn all(config: &Config) -> Vec<Finding> {
    let (upstream, lake, databases, nginx) = tokio::join!(
        upstream::check(config),
        lake::check(config),
        database::check(config),
        nginx::check(config)
    );
    let running = running::check(config, databases.lease.as_ref());
    [local::check(config), listeners::check(config), upstream, lake, databases.findings, nginx, running]
        .concat()
}

/// Checks what needs no further threads.
fn without_threads(config: &Config, error: &io::Error) -> Vec<Finding> {
    const NAME: &str = "threads";
    let mut findings = local::check(config);
    findings.retain(|finding| finding.check != NAME);
    findings.push(Finding::failure(
        NAME,
        format!(
            "this process cannot start the threads it needs ({error}), so all other checks were left out"
        ),
        "raise the limit to 256 or more: ulimit -u, TasksMax= of systemd, --pids-limit of a container",
    ));
    findings
}

fn configuration(faults: Option<&String>, surroundings: &Result<Vec<String>, String>) -> Finding {
    const NAME: &str = "configuration";
    match (faults, surroundings) {
        (Some(faults), _) | (None, Err(faults)) => Finding::failure(
            NAME,
            faults.trim(),
            "correct it; `stellar-ticker config show` shows the source of each value",
        ),
        (None, Ok(_)) => Finding::ok(NAME, "valid, and the files that it names can be read"),
    }
}
