//! Writing beside the thread that renders. A large document takes as long as the slower of rendering and compressing,
//! not as long as both together.

use std::{
    io::{self, Write},
    mem,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Builder, Scope, ScopedJoinHandle, scope},
};

/// Bytes that the sink gets at once.
const PIECE: usize = 64 * 1024;
/// Pieces that may wait for the sink. While there are as many, the renderer waits too.
const WAITING_MAX: usize = 4;

/// Passes what `render` writes to `sink`, in large pieces. A thread of their own writes those after the first. Most
/// documents have one piece only. Compressing a piece takes some ten times as long as the start of a thread.
///
/// # Errors
///
/// Errors of `render` and of `sink`.
pub(super) fn piped<S: Write + Send>(
    sink: S,
    render: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<S> {
    scope(|scope| {
        let mut pipe = Pipe::new(scope, sink);
        let rendered = render(&mut pipe);
        // A renderer that could not write knows less of the reason than the sink.
        let sink = pipe.finish()?;
        rendered.map(|()| sink)
    })
}

/// Writer that gathers pieces.
struct Pipe<'scope, 'env, S> {
    scope: &'scope Scope<'scope, 'env>,
    piece: Vec<u8>,
    state: SinkState<'scope, S>,
}

/// Where the sink is.
enum SinkState<'scope, S> {
    /// On the renderer's thread.
    Here(S),
    /// On a thread of its own.
    There(Thread<'scope, S>),
    /// Nowhere, since it refused a piece.
    Failed(io::Error),
}

struct Thread<'scope, S> {
    pieces: SyncSender<Vec<u8>>,
    handle: ScopedJoinHandle<'scope, io::Result<S>>,
}

impl<'scope, 'env, S: Write + Send + 'scope> Pipe<'scope, 'env, S> {
    fn new(scope: &'scope Scope<'scope, 'env>, sink: S) -> Self {
        Self { scope, piece: Vec::with_capacity(PIECE), state: SinkState::Here(sink) }
    }

    /// Passes the gathered piece on. It is not the last one.
    fn pass(&mut self) -> io::Result<()> {
        match mem::replace(&mut self.state, SinkState::Failed(broken())) {
            SinkState::Here(mut sink) => {
                if let Err(error) = sink.write_all(&self.piece) {
                    self.state = SinkState::Failed(error);
                    return Err(broken());
                }
                self.piece.clear();
                self.state = self.moved(sink);
                Ok(())
            }
            SinkState::There(thread) => {
                let piece = mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
                let sent = thread.pieces.send(piece);
                self.state = SinkState::There(thread);
                sent.map_err(|_| broken())
            }
            SinkState::Failed(error) => {
                self.state = SinkState::Failed(error);
                Err(broken())
            }
        }
    }

    /// Gives the sink a thread of its own. If the system has none to give, the sink stays here for the next piece.
    fn moved(&self, sink: S) -> SinkState<'scope, S> {
        let (sinks, own) = sync_channel(1);
        let (pieces, waiting) = sync_channel(WAITING_MAX);
        let spawned = Builder::new()
            .name("compress".to_owned())
            .spawn_scoped(self.scope, move || write_all(own.recv().map_err(|_| broken())?, &waiting));
        match spawned {
            Ok(handle) => match sinks.send(sink) {
                Ok(()) => SinkState::There(Thread { pieces, handle }),
                Err(unsent) => SinkState::Here(unsent.0),
            },
            Err(_) => SinkState::Here(sink),
        }
    }

    /// Passes the last piece on, and returns the sink. No thread starts for it.
    fn finish(self) -> io::Result<S> {
        match self.state {
            SinkState::Here(mut sink) => {
                sink.write_all(&self.piece)?;
                Ok(sink)
            }
            SinkState::There(Thread { pieces, handle }) => {
                // If the thread has ended early, its result says why.
                let _ = pieces.send(self.piece);
                drop(pieces);
                handle.join().unwrap_or_else(|_| Err(broken()))
            }
            SinkState::Failed(error) => Err(error),
        }
    }
}

impl<'scope, S: Write + Send + 'scope> Write for Pipe<'scope, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE {
            self.pass()?;
        }
        let (taken, _) = bytes.split_at(bytes.len().min(PIECE - self.piece.len()));
        self.piece.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all<S: Write>(mut sink: S, pieces: &Receiver<Vec<u8>>) -> io::Result<S> {
    pieces.iter().try_for_each(|piece| sink.write_all(&piece))?;
    Ok(sink)
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the compressor ended early")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sink that takes this many bytes.
    struct Short(usize);

    impl Write for Short {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.checked_sub(bytes.len()) {
                Some(left) => self.0 = left,
                None => return Err(io::Error::other("full")),
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_bytes_arrive_in_order_whatever_their_number() {
        let all: Vec<u8> = (0..20 * PIECE).map(|place| place.to_le_bytes()[place % 3]).collect();
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1, all.len()] {
            for at_once in [1_000, 3 * PIECE] {
                let written = piped(Vec::new(), |out| {
                    all[..len].chunks(at_once).try_for_each(|bytes| out.write_all(bytes))
                });
                assert!(written.unwrap() == all[..len], "{len} bytes, {at_once} at once");
            }
        }
    }

    #[test]
    fn a_document_of_one_piece_starts_no_thread() {
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1] {
            scope(|scope| {
                let mut pipe = Pipe::new(scope, Vec::<u8>::new());
                pipe.write_all(&vec![7; len]).unwrap();
                assert_eq!(matches!(pipe.state, SinkState::Here(_)), len <= PIECE, "{len} bytes");
                assert_eq!(pipe.finish().unwrap().len(), len);
            });
        }
    }

    #[test]
    fn an_error_of_the_sink_ends_the_renderer_and_is_returned() {
        for room in [0, PIECE, 2 * PIECE, 1_000 * PIECE - 1] {
            let error = piped(Short(room), |out| (0..1_000).try_for_each(|_| out.write_all(&[7; PIECE])));
            assert_eq!(error.err().unwrap().to_string(), "full", "room for {room} bytes");
        }
    }

    #[test]
    fn an_error_of_the_renderer_is_returned() {
        for pieces in [0, 1, 10] {
            let result = piped(Vec::new(), |out| {
                (0..pieces).try_for_each(|_| out.write_all(&[7; PIECE]))?;
                Err(io::Error::other("no figure"))
            });
            assert_eq!(result.unwrap_err().to_string(), "no figure");
        }
    }
}
