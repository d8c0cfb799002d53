//! Figures of this process, as the kernel keeps them under `/proc`. Elsewhere they stay 0.

use std::{fs, time::Duration};

use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage},
    time::TimeValLike,
};

/// Figures of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Time on a core.
    pub cpu: Duration,
    /// Bytes of resident memory.
    pub resident_bytes: u64,
    /// Bytes of virtual memory.
    pub virtual_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_files: u64,
    /// Limit on them.
    pub open_files_max: u64,
}

impl ProcessFigures {
    /// Reads the figures. Takes some ten microseconds, more with thousands of open files.
    #[must_use]
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let open_files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            cpu: cpu(),
            // The directory that is being read has a descriptor of its own.
            open_files: u64::try_from(open_files.saturating_sub(1)).unwrap_or(u64::MAX),
            open_files_max: getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft),
            ..parse(&status)
        }
    }
}

fn cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let micros = usage.user_time().num_microseconds().saturating_add(usage.system_time().num_microseconds());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Parses `/proc/self/status`, see proc(5). Memory is in units of 1,024 bytes there.
fn parse(status: &str) -> ProcessFigures {
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let bytes = |name| number(name).unwrap_or(0).saturating_mul(1_024);
    ProcessFigures {
        resident_bytes: bytes("VmRSS"),
        virtual_bytes: bytes("VmSize"),
        threads: number("Threads").unwrap_or(0),
        ..ProcessFigures::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_status_of_linux() {
        let parsed = parse("Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t    7 kB\nThreads:\t34\n");
        let expected = ProcessFigures {
            virtual_bytes: 2_097_152,
            resident_bytes: 7_168,
            threads: 34,
            ..Default::default()
        };
        assert_eq!(parsed, expected);
        assert_eq!(parse(""), ProcessFigures::default());
    }

    #[test]
    fn this_process_has_files_and_a_limit_on_them() {
        let figures = ProcessFigures::read();
        assert!(figures.open_files > 0 && figures.open_files <= figures.open_files_max, "{figures:?}");
    }
}
