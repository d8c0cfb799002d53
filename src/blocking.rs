//! The thread pool for long computations and disk access, one for the whole process.
//!
//! Every tokio runtime has its own blocking pool, but that one makes threads on demand, ends idle ones, and panics if
//! the system refuses its first thread. This pool makes all its threads at start and keeps them. Later work may wait
//! for a thread but always gets one.

use std::{
    io,
    sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

/// Threads of the pool: one for each job that may run at the same time (GraphQL executions, rendering, loading of
/// windows, file writes, the audit), and a few spare ones in case a hanging disk blocks some.
const THREADS: usize = 16;
/// Threads that the process needs beside the pool: those of actors, the runtime, the listeners and the lake's decoders.
/// Their libraries panic if the system refuses one, so as many are tried at start.
const OTHER_THREADS: usize = 32;
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

/// Starts a thread and ends it. The pool panics if its first thread cannot be made; a plain thread returns an error.
///
/// # Errors
///
/// The system gives no thread: a limit on processes or on memory.
pub fn probe() -> io::Result<()> {
    let probe = std::thread::Builder::new().name("probe".into()).spawn(|| ())?;
    probe.join().map_err(|_| io::ErrorKind::Other.into())
}

/// Starts all threads of the pool and waits until they run. Meanwhile it holds as many threads as the rest
/// of the process will need, and ends those.
///
/// # Errors
///
/// The system gives fewer threads: a limit on processes or on memory.
pub fn prepare() -> io::Result<()> {
    probe()?;
    let meeting = Arc::new(Meeting::default());
    let mut others = Vec::new();
    let enough = meeting.gather(THREADS).and_then(|()| {
        for _ in 0..OTHER_THREADS {
            others.push(meeting.other_thread()?);
        }
        Ok(())
    });
    meeting.end();
    for other in others {
        // It only waits, so it cannot have panicked.
        let _ = other.join();
    }
    enough
}

/// Rendezvous of the threads at start.
#[derive(Default)]
struct Meeting {
    state: Mutex<MeetingState>,
    changed: Condvar,
}

#[derive(Default)]
struct MeetingState {
    /// Threads of the pool that have come.
    threads: usize,
    is_over: bool,
}

impl Meeting {
    /// Starts a thread outside the pool, which stays until the meeting is over.
    fn other_thread(self: &Arc<Self>) -> io::Result<std::thread::JoinHandle<()>> {
        let meeting = Arc::clone(self);
        std::thread::Builder::new().name("probe".into()).spawn(move || meeting.wait_for_end(meeting.lock()))
    }

    /// Occupies `wanted` threads of the pool, and waits until all have come.
    fn gather(self: &Arc<Self>, wanted: usize) -> io::Result<()> {
        for _ in 0..wanted {
            let meeting = Arc::clone(self);
            run(move || {
                let mut state = meeting.lock();
                state.threads += 1;
                meeting.changed.notify_all();
                // No job returns before the end, so each occupies a thread of its own.
                meeting.wait_for_end(state);
            });
        }
        let waited =
            self.changed.wait_timeout_while(self.lock(), START_PATIENCE, |state| state.threads < wanted);
        let threads = waited.unwrap_or_else(PoisonError::into_inner).0.threads;
        if threads < wanted {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, format!("{threads} of {wanted} threads")));
        }
        Ok(())
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    fn wait_for_end(&self, state: MutexGuard<'_, MeetingState>) {
        drop(self.changed.wait_while(state, |state| !state.is_over));
    }

    fn lock(&self) -> MutexGuard<'_, MeetingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
