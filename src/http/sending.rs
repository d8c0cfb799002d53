//! Accounts of the bodies that are being sent, and of their memory.
//!
//! A publication is made each second, and each client holds the bytes that it receives. Slow clients of a 25 MB file
//! would hold dozens of old ones. So the bytes in use are limited. If a new buffer does not fit, the clients of the
//! oldest buffer are cut off. The newest clients win, since they get the newest data.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix_web::{HttpRequest, web};
use bytes::Bytes;

use super::{
    connection::{CloseReason, Connection},
    connection_watch::Body,
    negotiation::Coding,
};

/// Size of a piece of a body, which is passed to the server at once.
pub(super) const PIECE_BYTES: usize = 64 * 1024;
/// Limit for uncompressed files that are being sent: three files of 30,000 markets.
const PLAIN_BYTES_MAX: usize = 80 * 1024 * 1024;
/// Limit for compressed files that are being sent: a dozen files of 30,000 markets.
const CODED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Limit for answers of GraphQL that are being sent. It is half of their memory, so that others can be made meanwhile.
const ANSWERS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bodies that all threads of a listener are sending. Each kind has a limit of its own, so that clients of one kind do
/// not cut off those of another.
#[derive(Debug, Default)]
pub(super) struct Sending {
    plain: InUse<PLAIN_BYTES_MAX>,
    coded: InUse<CODED_BYTES_MAX>,
    answers: InUse<ANSWERS_BYTES_MAX>,
}

/// Guard of a body that is being sent: its pace is measured, and its bytes are accounted for.
#[derive(Debug)]
pub(super) struct Ticket {
    body: Body,
    _use: Option<BufferUse>,
}

/// Buffers of one kind, with a limit on their bytes.
#[derive(Debug, Default)]
struct InUse<const BYTES_MAX: usize>(Arc<Mutex<Buffers>>);

#[derive(Debug, Default)]
struct Buffers {
    bytes: usize,
    next: u64,
    /// By number, from old to new.
    all: BTreeMap<u64, Buffer>,
}

#[derive(Debug)]
struct Buffer {
    /// Address of the buffer in memory, unique as long as a client reads it.
    at: usize,
    bytes: usize,
    /// Connections that read the buffer, by number.
    readers: BTreeMap<u64, Arc<Connection>>,
}

/// Guard of a connection's use of a buffer.
#[derive(Debug)]
struct BufferUse {
    buffers: Arc<Mutex<Buffers>>,
    buffer: u64,
    reader: u64,
}

impl Ticket {
    /// Begins sending a file as the answer to a request; none in a test without a listener.
    pub(super) fn file(request: &HttpRequest, bytes: &Bytes, coding: Coding) -> Option<Self> {
        // A body of one piece is copied into the buffer of its connection at once, so it holds no memory here.
        // Accounting for it would make all threads compete for one lock at each request.
        if bytes.len() <= PIECE_BYTES {
            return Body::of(request).map(|body| Self { body, _use: None });
        }
        Self::of(request, |sending, connection| match coding {
            Coding::Identity => sending.plain.begin(connection, bytes.as_ptr().addr(), bytes.len()),
            Coding::Gzip | Coding::Brotli => {
                sending.coded.begin(connection, bytes.as_ptr().addr(), bytes.len())
            }
        })
    }

    /// Begins sending an answer of GraphQL with this number of bytes.
    pub(super) fn answer<T>(request: &HttpRequest, answer: &Arc<T>, bytes: usize) -> Option<Self> {
        Self::of(request, |sending, connection| {
            sending.answers.begin(connection, Arc::as_ptr(answer).addr(), bytes)
        })
    }

    fn of(
        request: &HttpRequest,
        begin: impl FnOnce(&Sending, &Arc<Connection>) -> BufferUse,
    ) -> Option<Self> {
        let body = Body::of(request)?;
        let sending = request.app_data::<web::Data<Sending>>();
        let buffer_use = sending.map(|sending| begin(sending, body.connection()));
        Some(Self { body, _use: buffer_use })
    }

    /// Counts bytes that were passed to the server. Returns false if the client was cut off.
    pub(super) fn count(&self, bytes: usize) -> bool {
        self.body.count(bytes);
        !self.body.connection().was_cut()
    }
}

impl<const BYTES_MAX: usize> InUse<BYTES_MAX> {
    /// Begins the use of the buffer at an address. If the buffer is new and does not fit the limit, cuts off the
    /// clients of the oldest buffers.
    fn begin(&self, connection: &Arc<Connection>, at: usize, bytes: usize) -> BufferUse {
        let mut buffers = lock(&self.0);
        let known = buffers.all.iter().rev().find(|(_, buffer)| buffer.at == at && buffer.bytes == bytes);
        let number = if let Some((number, _)) = known {
            *number
        } else {
            buffers.make_room(bytes, BYTES_MAX);
            let number = buffers.number();
            buffers.bytes += bytes;
            buffers.all.insert(number, Buffer { at, bytes, readers: BTreeMap::new() });
            number
        };
        let reader = buffers.number();
        if let Some(buffer) = buffers.all.get_mut(&number) {
            buffer.readers.insert(reader, Arc::clone(connection));
        }
        BufferUse { buffers: Arc::clone(&self.0), buffer: number, reader }
    }
}

impl Buffers {
    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn make_room(&mut self, bytes: usize, most: usize) {
        while self.bytes + bytes > most {
            let Some((_, oldest)) = self.all.pop_first() else { return };
            self.bytes -= oldest.bytes;
            for connection in oldest.readers.values() {
                connection.cut(CloseReason::Old);
            }
        }
    }
}

impl Drop for BufferUse {
    fn drop(&mut self) {
        let mut buffers = lock(&self.buffers);
        // The buffer was removed if its clients were cut off.
        let Some(buffer) = buffers.all.get_mut(&self.buffer) else { return };
        buffer.readers.remove(&self.reader);
        if buffer.readers.is_empty() {
            let bytes = buffer.bytes;
            buffers.all.remove(&self.buffer);
            buffers.bytes -= bytes;
        }
    }
}

fn lock(buffers: &Mutex<Buffers>) -> MutexGuard<'_, Buffers> {
    buffers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_clients_of_the_oldest_buffer_are_cut_off_when_a_new_one_does_not_fit() {
        let in_use = InUse::<100>::default();
        let readers: Vec<_> = (0..6).map(|_| Connection::idle(Duration::ZERO)).collect();
        let begin = |reader: usize, at: usize, bytes: usize| in_use.begin(&readers[reader], at, bytes);
        let first = [begin(0, 1_000, 40), begin(1, 1_000, 40)];
        let second = begin(2, 2_000, 60);
        assert!(readers.iter().all(|reader| !reader.was_cut()));
        assert_eq!(lock(&in_use.0).bytes, 100, "a buffer counts once for all its clients");
        let third = begin(3, 3_000, 10);
        let cut: Vec<_> = readers.iter().map(|reader| reader.was_cut()).collect();
        assert_eq!(cut, [true, true, false, false, false, false]);
        assert_eq!(lock(&in_use.0).bytes, 70);
        drop(first);
        assert_eq!(lock(&in_use.0).bytes, 70, "the buffer was already removed");
        drop((second, third));
        let large = begin(4, 4_000, 500);
        assert!(!readers[4].was_cut(), "a single buffer may exceed the limit");
        let small = begin(5, 5_000, 1);
        assert!(readers[4].was_cut() && !readers[5].was_cut());
        drop((large, small));
        let left = lock(&in_use.0);
        assert_eq!((left.bytes, left.all.len()), (0, 0));
    }
}
