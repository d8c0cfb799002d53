//! Faults in the bytes of a reply.

use crate::faults::Fault;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::io::{self, Write};
use std::time::Duration;

/// Wait before a cut. If a body fails, the server drops what it has not written yet, so that must be sent first.
const BEFORE_CUT: Duration = Duration::from_millis(50);

/// Faults that apply to bytes, whatever they mean.
#[derive(Debug, Clone, Copy)]
pub(super) enum ByteFault {
    Cut(usize),
    CutLater(Duration),
    Stall(usize),
    Truncate(usize),
    Drip(usize, Duration),
}

impl ByteFault {
    pub(super) fn of(fault: Option<&Fault>) -> Option<Self> {
        match fault? {
            Fault::Cut { after_bytes } => Some(Self::Cut(*after_bytes)),
            Fault::CutLater { after } => Some(Self::CutLater(*after)),
            Fault::Stall { after_bytes } => Some(Self::Stall(*after_bytes)),
            Fault::TruncatedJson { after_bytes } => Some(Self::Truncate(*after_bytes)),
            Fault::Drip { bytes } => Some(Self::Drip((*bytes).max(1), Duration::ZERO)),
            Fault::SlowDrip { bytes, pause } => Some(Self::Drip((*bytes).max(1), *pause)),
            _ => None,
        }
    }
}

/// Applies a fault to a stream of bytes.
pub(super) fn faulty(
    inner: impl Stream<Item = Bytes> + 'static,
    fault: ByteFault,
) -> impl Stream<Item = io::Result<Bytes>> + 'static {
    match fault {
        ByteFault::Drip(size, pause) => {
            let pieces = inner.flat_map(move |bytes| stream::iter(pieces(bytes, size)));
            let paced = move |piece| async move {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                piece
            };
            pieces.then(paced).boxed_local()
        }
        ByteFault::Cut(limit) => head(inner, limit).chain(reset()).boxed_local(),
        ByteFault::CutLater(after) => {
            let sent = inner.map(Ok).take_until(Box::pin(tokio::time::sleep(after)));
            sent.chain(reset()).boxed_local()
        }
        ByteFault::Stall(limit) => head(inner, limit).chain(stream::pending()).boxed_local(),
        ByteFault::Truncate(limit) => head(inner, limit).boxed_local(),
    }
}

/// Break of the connection.
fn reset() -> impl Stream<Item = io::Result<Bytes>> + 'static {
    stream::once(async {
        tokio::time::sleep(BEFORE_CUT).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    })
}

/// Gzip of a body.
pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing into a Vec never fails.
    let _ = gzip.write_all(body);
    gzip.finish().unwrap_or_default()
}

/// First `limit` bytes. Ends right after the last of them, without waiting for more.
fn head(
    inner: impl Stream<Item = Bytes> + 'static,
    limit: usize,
) -> impl Stream<Item = io::Result<Bytes>> + 'static {
    stream::unfold((Box::pin(inner), limit), |(mut inner, left)| async move {
        if left == 0 {
            return None;
        }
        let mut bytes = inner.next().await?;
        bytes.truncate(left);
        let left = left - bytes.len();
        Some((Ok(bytes), (inner, left)))
    })
}

fn pieces(mut bytes: Bytes, size: usize) -> Vec<io::Result<Bytes>> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        pieces.push(Ok(bytes.split_to(size.min(bytes.len()))));
    }
    pieces
}
