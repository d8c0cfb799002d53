//! Checks of this machine: directories, disks, limits of the process.

use std::{fs, path::Path};

use nix::sys::resource::{Resource, getrlimit};

use super::Finding;
use crate::{
    app::daemon::disk::{FREE_BYTES_MIN, Room},
    config::Config,
    http::server::descriptors,
};

/// Fewest descriptors to start with, and to serve many readers.
const DESCRIPTORS: (u64, u64) = (200, 1_024);
/// The same with nginx: its workers need one for each of their 2,048 connections.
const DESCRIPTORS_OF_NGINX: u64 = 2_304;
/// Free bytes below which space is low. The alert `TickerDiskLow` has the same limit. The documented tmpfs has more.
const FREE_BYTES_LOW: u64 = FREE_BYTES_MIN / 2 * 3;
/// Threads of a daemon with nginx and a private PostgreSQL.
const THREADS_MIN: u64 = 256;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    vec![
        directory("data_directory", &config.data_dir, "--data-dir"),
        directory("output_directory", &config.output_dir, "--output-dir"),
        disk("data_disk", &config.data_dir),
        disk("output_disk", &config.output_dir),
        open_files(descriptors(), config.nginx.is_some()),
        threads(getrlimit(Resource::RLIMIT_NPROC).map_or(u64::MAX, |(soft, _)| soft)),
    ]
}

/// Checks that files can be created, by creating one.
fn directory(check: &'static str, directory: &Path, flag: &str) -> Finding {
    let shown = directory.display();
    let Some(existing) = directory.ancestors().find(|path| path.exists()) else {
        return Finding::ok(check, format!("{shown} does not exist yet and will be created"));
    };
    let probe = existing.join(format!(".stellar-ticker-doctor-{}", std::process::id()));
    let tried = fs::write(&probe, b"x").and_then(|()| fs::remove_file(&probe));
    match tried {
        Ok(()) => Finding::ok(check, format!("{shown} can be written")),
        Err(error) => Finding::failure(
            check,
            format!("no file can be created in {}: {error}", existing.display()),
            format!(
                "give the daemon's user the right to write there, or choose another directory with {flag}"
            ),
        ),
    }
}

fn disk(check: &'static str, directory: &Path) -> Finding {
    let shown = directory.display();
    match Room::at(directory) {
        Err(error) => Finding::failure(check, format!("{shown}: {error}"), "check the file system"),
        Ok(room) => room_left(check, &shown.to_string(), room),
    }
}

fn room_left(check: &'static str, directory: &str, room: Room) -> Finding {
    match room.shortage() {
        Some(shortage) => Finding::failure(
            check,
            format!("{directory}: {shortage}"),
            "free some space, or move the directory to a larger file system",
        ),
        None if room.bytes < FREE_BYTES_LOW => Finding::warning(
            check,
            format!("{directory}: {} MiB free", room.bytes >> 20),
            "plan for more space: docs/size.md says how much the trades need",
        ),
        None => Finding::ok(check, format!("{directory}: {} MiB free", room.bytes >> 20)),
    }
}

fn open_files(limit: u64, has_nginx: bool) -> Finding {
    const NAME: &str = "descriptors";
    const REMEDY: &str =
        "raise the limit to 16384: ulimit -n, LimitNOFILE= of systemd, nofile of a container";
    let detail = format!("this process may open {limit} files");
    match limit {
        limit if limit < DESCRIPTORS.0 => Finding::failure(NAME, detail, REMEDY),
        limit if limit < DESCRIPTORS.1 => {
            Finding::warning(NAME, format!("{detail}, which serves a handful of readers"), REMEDY)
        }
        limit if has_nginx && limit < DESCRIPTORS_OF_NGINX => {
            Finding::warning(NAME, format!("{detail}, and nginx can run out of them"), REMEDY)
        }
        _ => Finding::ok(NAME, detail),
    }
}

fn threads(limit: u64) -> Finding {
    const NAME: &str = "threads";
    if limit < THREADS_MIN {
        let remedy =
            "raise the limit to 256 or more: ulimit -u, TasksMax= of systemd, --pids-limit of a container";
        return Finding::failure(NAME, format!("this user may have {limit} threads"), remedy);
    }
    let limit = if limit == u64::MAX { "any number of".to_owned() } else { limit.to_string() };
    Finding::ok(NAME, format!("this user may run {limit} threads"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::doctor::finding::Verdict;

    #[test]
    fn few_descriptors_or_threads_are_found() {
        for (limit, verdict) in [(199, Verdict::Failure), (200, Verdict::Warning), (1_024, Verdict::Ok)] {
            assert_eq!(open_files(limit, false).verdict, verdict, "{limit}");
        }
        for (limit, verdict) in [(1_024, Verdict::Warning), (2_304, Verdict::Ok)] {
            let found = open_files(limit, true);
            assert_eq!((found.verdict, found.detail.contains("nginx")), (verdict, limit < 2_304), "{limit}");
        }
        for (limit, verdict) in [(255, Verdict::Failure), (256, Verdict::Ok), (u64::MAX, Verdict::Ok)] {
            assert_eq!(threads(limit).verdict, verdict, "{limit}");
        }
    }

    #[test]
    fn a_disk_that_is_full_or_almost_full_is_found() {
        let verdict = |mib: u64| room_left("data_disk", "/d", Room { bytes: mib << 20, files: None }).verdict;
        assert_eq!(verdict(255), Verdict::Failure);
        assert_eq!(verdict(256), Verdict::Warning);
        assert_eq!(verdict(383), Verdict::Warning);
        assert_eq!(verdict(384), Verdict::Ok);
    }

    #[test]
    fn the_alert_has_the_same_limit() {
        let alerts = include_str!("../../../deploy/prometheus/alerts.yml");
        assert!(alerts.contains(&format!("ticker_disk_free_bytes < {FREE_BYTES_LOW}\n")));
    }
}
