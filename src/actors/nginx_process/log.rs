//! nginx's error log on its way to the daemon's standard error, with a limit on what strangers can make nginx write.

use std::{
    io::{self, BufRead, BufReader, PipeReader, Read, Write},
    process::Stdio,
    time::{Duration, Instant},
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tracing::warn;

use crate::trouble::LineLimit;

/// Lines per [`LINES_WITHIN`] that are passed on. nginx writes one for each connection that it refuses.
const LINES_MAX: u32 = 60;
const LINES_WITHIN: Duration = Duration::from_secs(60);
/// Longest line in bytes. nginx itself cuts its lines at 2 KiB.
const LINE_BYTES_MAX: u64 = 4_096;

/// Returns a standard error for nginx, and passes its lines on until nginx and all its workers have ended.
pub(super) fn pass_on() -> io::Result<Stdio> {
    let (reader, writer) = io::pipe()?;
    // When nobody reads, nginx drops its lines and goes on serving. Otherwise a stopped daemon would block nginx.
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // A thread of its own: standard error may block.
    std::thread::Builder::new().name("nginx-log".into()).spawn(move || copy(reader))?;
    Ok(writer.into())
}

fn copy(pipe: PipeReader) {
    let (mut pipe, mut line) = (BufReader::new(pipe), Vec::new());
    let mut limit = LineLimit::new(LINES_MAX, LINES_WITHIN);
    loop {
        line.clear();
        if pipe.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            pass(&line, &mut limit);
        } else {
            return;
        }
    }
}

fn pass(line: &[u8], limit: &mut LineLimit) {
    if is_limited(line) {
        match limit.allow(Instant::now()) {
            None => return,
            Some(0) => {}
            Some(lines) => warn!(lines, "log lines of nginx were suppressed"),
        }
    }
    let _ = io::stderr().lock().write_all(line); // no other place is left to report a failure
}

/// Returns false for a line about the configuration or nginx itself, which is never left out. A line is
/// `2026/11/30 12:00:00 [alert] 12#12: text`, or `nginx: [emerg] text` before nginx has opened its log.
fn is_limited(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ').skip(1).take(2);
    !words.any(|word| [&b"[emerg]"[..], b"[notice]"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_strangers_can_cause_are_limited() {
        for (line, limited) in [
            ("2026/11/30 12:00:00 [alert] 12#12: 2048 worker_connections are not enough\n", true),
            ("2026/11/30 12:00:00 [error] 12#12: *1 a request of \"GET / [emerg] HTTP/1.1\"\n", true),
            ("2026/11/30 12:00:00 [emerg] 12#12: unknown directive \"x\"\n", false),
            ("nginx: [emerg] unknown directive \"x\"\n", false),
            ("\n", true),
        ] {
            assert_eq!(is_limited(line.as_bytes()), limited, "{line}");
        }
    }

    #[test]
    fn nginx_is_not_blocked_when_nobody_reads() {
        let (reader, mut writer) = io::pipe().unwrap();
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let line = [b'x'; 2_048];
        let full = (0..10_000).find_map(|_| writer.write(&line).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(reader);
    }
}
