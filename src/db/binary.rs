//! Rows in the binary form of `COPY`: the fastest way in, without a value of its own for each field.

use bytes::{BufMut, Bytes, BytesMut};
use chrono::{DateTime, Utc};

use super::DbError;

/// What the stream of rows begins with: the signature, no flags, no extension.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// In place of a row's number of fields: no row follows.
const END: i16 = -1;
/// In place of a field's length: NULL.
const NULL: i32 = -1;
/// Between 1970 and 2000, from when PostgreSQL counts.
const EPOCH_2000_SECONDS: i64 = 946_684_800;
const MICROS: i64 = 1_000_000;
/// Rows are sent when they fill so many bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Writes rows, field by field.
#[derive(Debug)]
pub(super) struct Encoder(BytesMut);

impl Encoder {
    pub(super) fn new() -> Self {
        Self(BytesMut::from(HEAD))
    }

    /// Begins a row of so many fields.
    pub(super) fn row(&mut self, fields: i16) {
        self.0.put_i16(fields);
    }

    pub(super) fn int8(&mut self, number: i64) {
        self.0.put_i32(8);
        self.0.put_i64(number);
    }

    pub(super) fn int4(&mut self, number: i32) {
        self.0.put_i32(4);
        self.0.put_i32(number);
    }

    pub(super) fn bool(&mut self, is_so: bool) {
        self.0.put_i32(1);
        self.0.put_u8(is_so.into());
    }

    pub(super) fn timestamptz(&mut self, time: DateTime<Utc>) {
        self.int8(time.timestamp_micros().saturating_sub(EPOCH_2000_SECONDS * MICROS));
    }

    /// # Errors
    ///
    /// [`DbError::TooLarge`] for a text of gigabytes.
    pub(super) fn text(&mut self, text: Option<&str>) -> Result<(), DbError> {
        let Some(text) = text else {
            self.0.put_i32(NULL);
            return Ok(());
        };
        let length = i32::try_from(text.len()).map_err(|_| DbError::TooLarge("a text".into()))?;
        self.0.put_i32(length);
        self.0.put_slice(text.as_bytes());
        Ok(())
    }

    /// What is worth sending by now.
    pub(super) fn full_chunk(&mut self) -> Option<Bytes> {
        (self.0.len() >= CHUNK_BYTES).then(|| self.0.split().freeze())
    }

    /// The rest.
    pub(super) fn finish(mut self) -> Bytes {
        self.0.put_i16(END);
        self.0.freeze()
    }
}
