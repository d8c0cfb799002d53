//! Files joined from pieces that are each compressed once. An unchanged piece costs only a copy.
//!
//! A deflate stream may be cut after a flush, and a brotli stream if its encoder was set up for it. Such pieces,
//! compressed independently of each other, form one valid stream when concatenated.

use std::{
    io::{self, Write},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use ticker_domain::conversions::SaturatingFrom;

use super::super::settings::{BROTLI_BUFFER, GZIP_LEVEL, brotli_params};

/// ID, method deflate, no flags, no time, no extra flags, unknown system (RFC 1952).
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Empty last block (RFC 1951).
const DEFLATE_END: [u8; 2] = [0x03, 0x00];
/// Empty last meta-block (RFC 7932).
const BROTLI_END: u8 = 0x03;

/// Compressed part of a file. The file itself holds the plain bytes. Clones share the data.
#[derive(Clone, Debug)]
pub struct Piece(Arc<Coded>);

#[derive(Debug)]
struct Coded {
    /// Number of plain bytes.
    len: usize,
    deflated: Vec<u8>,
    /// Brotli form, made on first use: it costs more than everything else, and large files rarely need it.
    brotli: OnceLock<Vec<u8>>,
}

/// Compressor of pieces. Keeps the encoder's buffers.
pub(crate) struct PieceMaker {
    deflate: Compress,
}

impl Default for PieceMaker {
    fn default() -> Self {
        Self { deflate: Compress::new(Compression::new(GZIP_LEVEL), false) }
    }
}

impl PieceMaker {
    /// Compresses these bytes into a piece.
    ///
    /// # Errors
    ///
    /// Errors of the compressor.
    pub(crate) fn make(&mut self, raw: &[u8]) -> io::Result<Piece> {
        self.deflate.reset();
        // Incompressible bytes grow by 5 in 16 KB, and the flush adds 5.
        let mut deflated = Vec::with_capacity(raw.len() / 4 + 64);
        let mut taken = 0;
        loop {
            let rest = raw.get(taken..).unwrap_or_default();
            let status = self
                .deflate
                .compress_vec(rest, &mut deflated, FlushCompress::Sync)
                .map_err(io::Error::other)?;
            taken = usize::saturating_from(self.deflate.total_in());
            // Only free room proves that the flush is complete: a full buffer may hide pending output.
            let has_room = deflated.len() < deflated.capacity();
            match status {
                Status::Ok | Status::BufError if taken >= raw.len() && has_room => break,
                Status::StreamEnd => return Err(io::Error::other("a piece must not end the stream")),
                _ => deflated.reserve(raw.len() / 2 + 64),
            }
        }
        deflated.shrink_to_fit();
        Ok(Piece(Arc::new(Coded { len: raw.len(), deflated, brotli: OnceLock::new() })))
    }
}

impl Piece {
    /// Brotli form of the piece. `raw` must be the bytes that it was made of.
    fn brotli(&self, raw: &[u8]) -> &[u8] {
        // Writing to a Vec never fails. If it did, an empty piece would break the stream, and readers would notice.
        self.0.brotli.get_or_init(|| compress_brotli(raw, false).unwrap_or_default())
    }

    /// Returns true if its brotli form is made.
    #[cfg(test)]
    pub(super) fn has_brotli(&self) -> bool {
        self.0.brotli.get().is_some()
    }

    #[cfg(test)]
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Compresses the start or the continuation of a brotli stream, without an end.
fn compress_brotli(raw: &[u8], is_first: bool) -> io::Result<Vec<u8>> {
    let params = brotli::enc::BrotliEncoderParams {
        appendable: true,
        catable: !is_first,
        bare_stream: true,
        byte_align: true,
        use_dictionary: false,
        ..brotli_params()
    };
    let mut encoder = brotli::CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER, &params);
    encoder.write_all(raw)?;
    Ok(encoder.into_inner())
}

/// Joins the pieces of these plain bytes into their gzip form.
pub(super) fn join_gzip(raw: &[u8], pieces: &[Piece]) -> Vec<u8> {
    let deflated_bytes: usize = pieces.iter().map(|piece| piece.0.deflated.len()).sum();
    let mut gzip = Vec::with_capacity(deflated_bytes + GZIP_HEAD.len() + DEFLATE_END.len() + 8);
    gzip.extend_from_slice(&GZIP_HEAD);
    for piece in pieces {
        gzip.extend_from_slice(&piece.0.deflated);
    }
    let mut crc = Crc::new();
    crc.update(raw);
    gzip.extend_from_slice(&DEFLATE_END);
    gzip.extend_from_slice(&crc.sum().to_le_bytes());
    gzip.extend_from_slice(&crc.amount().to_le_bytes());
    gzip
}

/// Brotli form of a file, made on demand.
#[derive(Debug)]
pub struct Brotli {
    raw: Bytes,
    pieces: Vec<Piece>,
    joined: OnceLock<Bytes>,
}

impl Brotli {
    pub(super) const fn new(raw: Bytes, pieces: Vec<Piece>) -> Self {
        Self { raw, pieces, joined: OnceLock::new() }
    }

    /// Bytes, if [`Self::make`] has made them.
    #[must_use]
    pub fn made(&self) -> Option<&Bytes> {
        self.joined.get()
    }

    /// Makes and returns the bytes. Takes milliseconds for each new piece: do not call it on a thread that answers
    /// readers.
    pub fn make(&self) -> &Bytes {
        self.joined.get_or_init(|| {
            let (mut joined, mut from) = (Vec::new(), 0);
            for (place, piece) in self.pieces.iter().enumerate() {
                let raw = self.raw.get(from..from + piece.0.len).unwrap_or_default();
                from += piece.0.len;
                // The first piece starts the stream. Its cached form would only continue one.
                if place == 0 {
                    joined = compress_brotli(raw, true).unwrap_or_default();
                } else {
                    joined.extend_from_slice(piece.brotli(raw));
                }
            }
            if self.pieces.is_empty() {
                joined = compress_brotli(&[], true).unwrap_or_default();
            }
            joined.push(BROTLI_END);
            joined.into()
        })
    }
}
