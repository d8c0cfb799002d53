//! Limits of the system on this process: open files, threads and address space. Libraries panic or abort where one of
//! them runs out, so a limit that is too low is refused at start.

use std::io;

use nix::sys::resource::{Resource, getrlimit};
use tracing::warn;

use super::CommandError;
use crate::{blocking, http::server};

/// Fewest file descriptors to start with. A daemon on the real Horizon without readers has some 110 open at most; with
/// less room than this, some part would fail now and then.
const DESCRIPTORS_MIN: u64 = 200;
/// Below this number of descriptors the daemon starts with a warning: it serves only a handful of readers at a time.
const DESCRIPTORS_FEW: u64 = 1_024;
/// Below this number of descriptors, nginx with its 2,048 connections for each worker can run out of them. It then
/// answers nobody, and the daemon kills it.
const DESCRIPTORS_OF_NGINX: u64 = 2_304;
/// Smallest address space in bytes to start with. The allocator reserves 1 GiB at a time and each thread 2 MiB or more,
/// of which little becomes memory.
const ADDRESS_SPACE_MIN: u64 = 3 << 30;

/// Checks every limit, and starts the threads for long work.
pub(super) fn check(has_nginx: bool) -> Result<(), CommandError> {
    check_descriptors(server::descriptors(), has_nginx)?;
    // If the system does not say, it has no such limit.
    check_address_space(getrlimit(Resource::RLIMIT_AS).map_or(u64::MAX, |(soft, _)| soft))?;
    prepare_threads()
}

/// Checks the limit on file descriptors. Without room for sockets the process would run but neither answer nor ingest.
fn check_descriptors(descriptors: u64, has_nginx: bool) -> Result<(), CommandError> {
    if descriptors < DESCRIPTORS_MIN {
        return Err(CommandError::Unavailable(format!(
            "this process may open {descriptors} files but needs at least {DESCRIPTORS_MIN}: raise the limit (ulimit -n, \
             LimitNOFILE= of systemd, nofile of a container), to 16384 for 5,000 readers at a time"
        )));
    }
    if has_nginx && descriptors < DESCRIPTORS_OF_NGINX {
        warn!(
            descriptors,
            "low limit on open files (ulimit -n): nginx may run out of them while many readers are connected. Set 16384"
        );
    } else if descriptors < DESCRIPTORS_FEW {
        warn!(descriptors, "low limit on open files (ulimit -n): only a few readers can be served at a time");
    }
    Ok(())
}

/// Checks the limit on address space.
fn check_address_space(bytes: u64) -> Result<(), CommandError> {
    if bytes < ADDRESS_SPACE_MIN {
        return Err(CommandError::Unavailable(format!(
            "this process may use {} MiB of address space but needs at least {}: remove the limit (ulimit -v, LimitAS= of \
             systemd). To limit memory, use MemoryMax= of systemd or --memory of a container",
            bytes >> 20,
            ADDRESS_SPACE_MIN >> 20,
        )));
    }
    Ok(())
}

/// Starts the threads for long work. Returns an error now rather than running out of threads later.
fn prepare_threads() -> Result<(), CommandError> {
    blocking::prepare().map_err(too_few_threads)
}

/// Checks that the system gives any thread, for commands that need only a few.
pub(super) fn check_thread() -> Result<(), CommandError> {
    blocking::probe().map_err(too_few_threads)
}

fn too_few_threads(error: io::Error) -> CommandError {
    CommandError::Unavailable(format!(
        "this process cannot start the threads it needs ({error}): raise the limit on threads (ulimit -u, TasksMax= of \
         systemd, --pids-limit of a container), to 256 for the daemon with nginx and a private PostgreSQL"
    ))
}
