//! Work that computes for long or waits for a disk, on the threads of one pool for the whole process.
//!
//! Every tokio runtime has such a pool of its own. It makes threads on demand, ends them when they are idle, and panics
//! if it has none while the system gives none. This pool makes all of its threads at start and keeps them, so later
//! work may wait for a thread but always gets one.

use std::{
    io,
    sync::{Arc, Condvar, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

/// Threads of the pool: one for each job that may run at a time (GraphQL's bounded executions, rendering, the fold of
/// history, the writer of files, the auditor), and a few spare ones in case a hanging disk holds some.
const THREADS: usize = 16;
/// Idle threads end after this time: not within the life of a process.
const KEPT_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
/// Longest time that the system may take to make all threads at start.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Only its pool is used; nothing ever runs on the runtime itself.
static POOL: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_current_thread()
        .thread_name("blocking")
        .max_blocking_threads(THREADS)
        .thread_keep_alive(KEPT_FOR)
        .build()
});

/// Runs work on a thread of the pool, or as soon as one is free. Dropping the handle does not stop the work.
pub fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match &*POOL {
        Ok(pool) => pool.spawn_blocking(work),
        Err(_) => of_the_caller(work),
    }
}

/// The system gave no descriptor for a runtime, before [`prepare`] could say so. The caller's own has a pool as well.
#[expect(clippy::disallowed_methods, reason = "the only place that may")]
fn of_the_caller<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// Makes all threads of the pool. Blocks until they run.
///
/// # Errors
///
/// The system gives fewer: a limit of processes or of memory.
pub fn prepare() -> io::Result<()> {
    // The pool panics if it cannot make its first thread; this one shows whether it could.
    std::thread::Builder::new()
        .name("probe".into())
        .spawn(|| ())?
        .join()
        .map_err(|_| io::ErrorKind::Other)?;
    let meeting = Arc::new((Mutex::new(Meeting::default()), Condvar::new()));
    for _ in 0..THREADS {
        let meeting = Arc::clone(&meeting);
        run(move || {
            let (meeting, changed) = &*meeting;
            let mut here = meeting.lock().unwrap_or_else(PoisonError::into_inner);
            here.threads += 1;
            changed.notify_all();
            // No job ends before all have started, so each has a thread of its own.
            drop(changed.wait_while(here, |here| !here.is_over));
        });
    }
    let (meeting, changed) = &*meeting;
    let here = meeting.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = changed.wait_timeout_while(here, START_PATIENCE, |here| here.threads < THREADS);
    let (mut here, _) = waited.unwrap_or_else(PoisonError::into_inner);
    here.is_over = true;
    changed.notify_all();
    if here.threads < THREADS {
        return Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            format!("{} of {THREADS} threads", here.threads),
        ));
    }
    Ok(())
}

/// Threads of the pool as they begin.
#[derive(Default)]
struct Meeting {
    threads: usize,
    is_over: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_are_there_after_the_start_and_no_more_are_made() {
        let threads = || {
            let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
            let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
            names.filter(|name| name.trim_end() == "blocking").count()
        };
        prepare().unwrap();
        assert_eq!(threads(), THREADS);
        let runtime = Builder::new_current_thread().build().unwrap();
        let handles: Vec<_> = (0..100).map(|number| run(move || number * 2)).collect();
        let sum: usize = runtime
            .block_on(async { futures_util::future::join_all(handles).await.into_iter().flatten().sum() });
        assert_eq!(sum, 9_900);
        assert_eq!(threads(), THREADS);
    }
}
