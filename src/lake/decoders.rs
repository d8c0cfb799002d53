//! Threads that decode objects.
//!
//! They are few, and no others decode. The allocator keeps freed memory for each thread, so on the common pool, whose
//! threads take turns, the memory of a decoded ledger would be kept sixteen times.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use bytes::Bytes;
use ledger_metadata::{Network, Verification};
use tokio::sync::oneshot;

use super::ledgers::{self, Decoded};
use crate::blocking;

/// Number of threads. A bomb fills hundreds of megabytes before it is refused, so no more objects are decoded at once.
const DECODERS: usize = 2;
/// Objects that may wait for a thread. With more, the caller uses the common pool.
const WAITING_MAX: usize = 512;

/// The threads, from the first object on. An error if the system gives none.
static THREADS: LazyLock<io::Result<SyncSender<Job>>> = LazyLock::new(start);

/// Object to decode.
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) network: Network,
    pub(super) verification: Verification,
}

struct Job {
    object: Object,
    reply: oneshot::Sender<Decoded>,
}

/// Decodes an object on one of the threads. `None` if the decoding panicked.
pub(super) async fn decode(object: Object) -> Option<Decoded> {
    let (reply, decoded) = oneshot::channel();
    let mut job = Job { object, reply };
    if let Ok(threads) = &*THREADS {
        match threads.try_send(job) {
            Ok(()) => return decoded.await.ok(),
            Err(TrySendError::Full(refused) | TrySendError::Disconnected(refused)) => job = refused,
        }
    }
    blocking::run(move || job.object.decoded()).await.ok()
}

impl Object {
    fn decoded(&self) -> Decoded {
        ledgers::decode(&self.bytes, self.first, self.last, self.network, self.verification)
    }
}

fn start() -> io::Result<SyncSender<Job>> {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..DECODERS {
        let receiver = Arc::clone(&receiver);
        thread::Builder::new().name("lake decoder".to_owned()).spawn(move || work(&receiver))?;
    }
    Ok(sender)
}

/// Decodes one object after the other. The sender lives as long as the process.
fn work(receiver: &Mutex<Receiver<Job>>) {
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { object, reply }) = next else { return };
        if reply.is_closed() {
            continue; // the caller was stopped while this waited
        }
        // Without a reply the caller knows that this failed. The thread goes on.
        if let Ok(decoded) = catch_unwind(AssertUnwindSafe(|| object.decoded())) {
            let _ = reply.send(decoded); // fails if the caller was stopped
        }
    }
}
