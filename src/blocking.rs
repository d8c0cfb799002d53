//! The thread pool for long computations and disk access, one for the whole process.
//!
//! Every tokio runtime has its own blocking pool, but that one makes threads on demand, ends idle ones, and panics if
//! the system refuses its first thread. This pool makes all its threads at start and keeps them. Later work may wait
//! for a thread but always gets one.

use std::{
    io,
    sync::{Arc, Condvar, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

/// Threads of the pool: one for each job that may run at the same time (GraphQL executions, rendering, loading of
/// windows, file writes, the audit), and a few spare ones in case a hanging disk blocks some.
const THREADS: usize = 16;
/// Idle time after which a thread ends: ten years, so never.
const KEPT_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
/// Time limit for starting all threads.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// The runtime that owns the pool. No task ever runs on the runtime itself.
static POOL: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_current_thread()
        .thread_name("blocking")
        .max_blocking_threads(THREADS)
        .thread_keep_alive(KEPT_FOR)
        .build()
});

/// Runs `work` on a thread of the pool, once one is free. Dropping the handle does not stop the work.
pub fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match &*POOL {
        Ok(pool) => pool.spawn_blocking(work),
        Err(_) => of_the_caller(work),
    }
}

/// Runs `work` on the pool of the caller's runtime. Used only if the system refused the descriptors of the pool's own.
#[expect(clippy::disallowed_methods, reason = "the only place that may")]
fn of_the_caller<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// Starts all threads of the pool and waits until they run.
///
/// # Errors
///
/// The system gives fewer threads: a limit on processes or on memory.
pub fn prepare() -> io::Result<()> {
    // The pool panics if its first thread cannot be made. Try with a plain thread first, which returns an error.
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
            // No job returns before all have started, so each occupies a thread of its own.
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

/// Rendezvous of the threads at start.
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
