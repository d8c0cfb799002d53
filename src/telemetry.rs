//! The log and the panic hook.
//!
//! Events go to stderr: as text on a terminal, else as one JSON object each. Text from outside can neither break a line
//! nor control a terminal, because `plain` escapes hidden characters when an event is written.

mod plain;

use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use self::plain::{Form, PlainStderr};

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text if stderr is a terminal, else JSON.
    Auto,
    /// One line of text per event.
    Text,
    /// One JSON object per event.
    Json,
}

/// Error of setting up the log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("log filter does not parse: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// This process has no log whose filter can be replaced.
    #[error("this process has no log to change")]
    NotSet,
    /// The log of this process was set up before.
    #[error("logging is set up already: {0}")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
}

/// Targets of libraries that say nothing new. A filter that names them enables them. The workers of each listener log
/// their start and stop. The dispatchers log an error for each reader that the daemon cuts off, which a metric counts.
/// The pool logs each connection that an outage of the database closed.
const QUIET: &str = "actix_server=warn,actix_http::h1::dispatcher=off,actix_http::h2::dispatcher=off,deadpool=error,\
                     deadpool.postgres=error";

/// Parses a log filter such as `info` or `info,stellar_ticker::horizon=debug`.
///
/// # Errors
///
/// The error of the first invalid directive.
pub fn parse_filter(filter: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().parse(filter)
}

/// The filter of an operator behind [`QUIET`]. Of two directives for the same target the later one wins.
fn quiet_filter(filter: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    parse_filter(filter).and_then(|_| parse_filter(&format!("{QUIET},{filter}")))
}

/// Sets up the log of this process, and logs its panics.
///
/// # Errors
///
/// [`TelemetryError`] if the filter does not parse, or if a log was set up before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let terminal = std::io::stderr().is_terminal();
    let text = match format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let colours = text && terminal && std::env::var_os("NO_COLOR").is_none();
    let form = match (text, colours) {
        (false, _) => Form::Json,
        (true, false) => Form::Text,
        (true, true) => Form::Coloured,
    };
    // tracing-subscriber would report an error of writing to stderr on stderr. That would panic, and abort the process
    // if it happened in the panic hook. So it must not report such errors.
    let layer =
        fmt::layer().with_writer(PlainStderr { form, is_over_bar: terminal }).log_internal_errors(false);
    let layer = if text { layer.with_ansi(colours).boxed() } else { layer.json().with_ansi(false).boxed() };
    let (filter, handle) = reload::Layer::new(quiet_filter(filter)?);
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init()?;
    let _ = FILTER.set(handle); // nothing was set before, or `try_init` would have failed
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Filter of the log of this process.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Replaces the filter of the log at run time, until the next start.
///
/// # Errors
///
/// [`TelemetryError::Filter`] if the filter does not parse; the old one stays. [`TelemetryError::NotSet`] without a
/// log.
pub fn set_filter(filter: &str) -> Result<(), TelemetryError> {
    let new = quiet_filter(filter)?;
    FILTER.get().and_then(|handle| handle.reload(new).ok()).ok_or(TelemetryError::NotSet)
}

/// Logs a panic and does nothing else. The code that catches the panic decides what happens next.
///
/// A panic in here would abort the process. So the event has no parent span, because formatting its fields may have
/// caused the panic, and only code of the standard library formats the event's own fields.
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

    /// Returns a command that runs this test binary with only the ignored test of this name.
    fn child(test: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("telemetry::tests::{test}"), "--ignored", "--nocapture"]);
        command
    }

    #[test]
    #[ignore = "runs as a child process of the tests below, because it replaces the log and the panic hook"]
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
    fn a_panic_does_not_abort_if_stderr_is_closed() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = child("child_panics_in_a_named_thread");
        let status = command.stdout(Stdio::null()).stderr(writer).status().unwrap();
        assert!(status.success(), "{status:?}");
    }

    #[test]
    fn an_invalid_filter_is_an_error() {
        assert!(parse_filter("info,stellar_ticker::horizon=debug").is_ok());
        assert!(parse_filter("stellar_ticker=loudly").is_err());
    }

    #[test]
    fn a_reader_that_is_cut_off_logs_nothing_unless_the_filter_names_the_dispatcher() {
        let logs_it = |filter: &str| {
            let subscriber = tracing_subscriber::registry().with(quiet_filter(filter).unwrap());
            tracing::subscriber::with_default(
                subscriber,
                || tracing::enabled!(target: "actix_http::h1::dispatcher", tracing::Level::ERROR),
            )
        };
        assert!(!logs_it("info"));
        assert!(!logs_it("debug,stellar_ticker=trace"));
        assert!(logs_it("info,actix_http::h1::dispatcher=error"));
    }
}
