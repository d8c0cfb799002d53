//! Rows in the binary format of `COPY`. It is the fastest way to write and to read many rows, because it allocates
//! nothing per field.

use bytes::{BufMut, Bytes, BytesMut};
use chrono::{DateTime, Utc};

use super::{DbError, numeric::Whole};
use crate::domain::{conversions::SaturatingFrom, instant::UnixSeconds};

/// Head of the stream: the signature, no flags, no extension.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Mark of the end, in place of a row's number of fields.
const END: i16 = -1;
/// Mark of NULL, in place of a field's length.
const NULL: i32 = -1;
/// Seconds from 1970 to 2000, where the timestamps of PostgreSQL begin.
const EPOCH_2000_SECONDS: i64 = 946_684_800;
const MICROS: i64 = 1_000_000;
/// Size at which encoded rows are sent.
const CHUNK_BYTES: usize = 64 * 1024;

/// Encodes rows, field by field.
#[derive(Debug)]
pub(super) struct Encoder(BytesMut);

impl Encoder {
    pub(super) fn new() -> Self {
        Self(BytesMut::from(HEAD))
    }

    /// Begins a row with this number of fields.
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

    /// Adds a text or NULL.
    ///
    /// # Errors
    ///
    /// [`DbError::TooLarge`] for a text of 2 GiB or more.
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

    /// Adds a number that `numeric` holds.
    pub(super) fn numeric(&mut self, number: i128) {
        let bytes = Whole(number).to_bytes();
        self.0.put_i32(i32::saturating_from(bytes.len()));
        self.0.put_slice(&bytes);
    }

    /// Adds NULL.
    pub(super) fn null(&mut self) {
        self.0.put_i32(NULL);
    }

    /// Returns the encoded rows once they fill a chunk.
    pub(super) fn full_chunk(&mut self) -> Option<Bytes> {
        (self.0.len() >= CHUNK_BYTES).then(|| self.0.split().freeze())
    }

    /// Returns the rest, with the mark of the end.
    pub(super) fn finish(mut self) -> Bytes {
        self.0.put_i16(END);
        self.0.freeze()
    }
}

/// Decodes the fields of one row, in order. None of them may be NULL.
#[derive(Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Returns the fields of a row as `COPY` sends it, or none at the end. Skips the head before the first row.
    pub(super) fn of(row: &'a [u8]) -> Result<Option<Self>, DbError> {
        let mut fields = Self(row.strip_prefix(HEAD).unwrap_or(row));
        let count = i16::from_be_bytes(fields.take()?);
        Ok((count != END).then_some(fields))
    }

    pub(super) fn int8(&mut self) -> Result<i64, DbError> {
        self.length(8)?;
        Ok(i64::from_be_bytes(self.take()?))
    }

    pub(super) fn bool(&mut self) -> Result<bool, DbError> {
        self.length(1)?;
        Ok(u8::from_be_bytes(self.take()?) != 0)
    }

    pub(super) fn int4(&mut self) -> Result<i32, DbError> {
        self.length(4)?;
        Ok(i32::from_be_bytes(self.take()?))
    }

    pub(super) fn timestamptz(&mut self) -> Result<UnixSeconds, DbError> {
        Ok(UnixSeconds(self.int8()?.div_euclid(MICROS).saturating_add(EPOCH_2000_SECONDS)))
    }

    fn length(&mut self, wanted: i32) -> Result<(), DbError> {
        match i32::from_be_bytes(self.take()?) {
            length if length == wanted => Ok(()),
            length => Err(DbError::Corrupt(format!("a field of {length} bytes instead of {wanted}"))),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DbError> {
        let (taken, rest) =
            self.0.split_first_chunk().ok_or_else(|| DbError::Corrupt("a row that ends too early".into()))?;
        self.0 = rest;
        Ok(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_rows_decode_to_the_same_values() {
        let mut rows = Encoder::new();
        rows.row(3);
        rows.int8(i64::MIN);
        rows.int4(-7);
        rows.timestamptz(UnixSeconds(-1).to_utc());
        let bytes = rows.finish();
        let (row, end) = bytes.split_at(bytes.len() - 2);
        let mut fields = Fields::of(row).unwrap().unwrap();
        assert_eq!((fields.int8().unwrap(), fields.int4().unwrap()), (i64::MIN, -7));
        assert_eq!(fields.timestamptz().unwrap(), UnixSeconds(-1));
        assert!(fields.int4().is_err(), "nothing is left");
        assert!(Fields::of(end).unwrap().is_none());
    }

    #[test]
    fn a_field_of_another_type_is_an_error() {
        let mut rows = Encoder::new();
        rows.row(2);
        rows.int4(1);
        rows.text(None).unwrap();
        let bytes = rows.finish();
        assert!(Fields::of(&bytes).unwrap().unwrap().int8().is_err());
        let mut fields = Fields::of(&bytes).unwrap().unwrap();
        assert!(fields.int4().is_ok() && fields.int4().is_err(), "NULL");
    }
}
