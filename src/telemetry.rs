//! Logs and the panic hook.
//!
//! Everything goes to stderr: text on a terminal, else one JSON object an event. Text from outside neither breaks a line
//! nor steers a terminal, however it is logged: `plain` sees to it when the event is written.

mod plain;

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use self::plain::{Form, PlainStderr};
use crate::config::LogFormat;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("log filter does not parse: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else in this process has set up logging before.
    #[error("logging is set up already: {0}")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
}

/// Parses a log filter such as `info` or `info,stellar_ticker::horizon=debug`.
///
/// # Errors
///
/// A directive that is none.
pub fn parse_filter(filter: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().parse(filter)
}

/// Starts the log of this process and hands its panics to it.
///
/// # Errors
///
/// [`TelemetryError`]: the filter does not parse, or a log was set up before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let terminal = std::io::stderr().is_terminal();
    let text = match format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    // A log that cannot be written must not be reported on the same stderr: that would panic, and within
    // the panic hook abort.
    let colours = text && terminal && std::env::var_os("NO_COLOR").is_none();
    let form = match (text, colours) {
        (false, _) => Form::Json,
        (true, false) => Form::Text,
        (true, true) => Form::Coloured,
    };
    let layer =
        fmt::layer().with_writer(PlainStderr { form, is_over_bar: terminal }).log_internal_errors(false);
    let layer = if text { layer.with_ansi(colours).boxed() } else { layer.json().with_ansi(false).boxed() };
    // The workers of each listener say at length that they start and stop; who wants that names them.
    let filter = parse_filter(filter).and_then(|_| parse_filter(&format!("actix_server=warn,{filter}")))?;
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init()?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Logs a panic and nothing else: who catches it decides what becomes of it.
///
/// A panic in here would abort the process. So the event has no parent span, whose fields might be the very
/// ones whose formatting panicked, and nothing of it is formatted by code outside the standard library.
fn log_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let (file, line) = info.location().map_or(("unknown", 0), |place| (place.file(), place.line()));
    let current = std::thread::current();
    let thread = current.name().unwrap_or("unnamed");
    tracing::error!(target: "panic", parent: None, thread, file, line, payload = text.unwrap_or("no text"), "panicked");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// This test binary again, running only the ignored test of that name.
    fn child(test: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("telemetry::tests::{test}"), "--ignored", "--nocapture"]);
        command
    }

    #[test]
    #[ignore = "the child of the tests below: it takes over the process's log and panic hook"]
    fn child_panics_in_a_named_thread() {
        init(LogFormat::Json, "info").unwrap();
        let worker = std::thread::Builder::new().name("worker-1".to_owned());
        let outcome = worker.spawn(|| panic!("first line\nsecond line")).unwrap().join();
        assert!(outcome.is_err());
    }

    #[test]
    fn logs_a_panic_as_one_event_and_nothing_else() {
        let output = child("child_panics_in_a_named_thread").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = stderr.lines().collect();
        let [line] = lines.as_slice() else { panic!("not one line: {stderr}") };
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["target"], "panic");
        assert_eq!(event["level"], "ERROR");
        assert_eq!(event["fields"]["thread"], "worker-1");
        assert_eq!(event["fields"]["payload"], "first line\nsecond line");
        assert!(event["fields"]["file"].as_str().unwrap().ends_with("telemetry.rs"), "{event}");
    }

    #[test]
    fn a_panic_with_nobody_reading_the_log_does_not_abort() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = child("child_panics_in_a_named_thread");
        let status = command.stdout(Stdio::null()).stderr(writer).status().unwrap();
        assert!(status.success(), "{status:?}");
    }

    #[test]
    fn a_filter_that_is_none_is_an_error() {
        assert!(parse_filter("info,stellar_ticker::horizon=debug").is_ok());
        assert!(parse_filter("stellar_ticker=loudly").is_err());
    }
}
