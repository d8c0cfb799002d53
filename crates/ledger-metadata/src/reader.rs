//! XDR, read value by value. A ledger is never decoded as a whole: that would take ten times its bytes in memory.

use stellar_xdr::{self as xdr, Limited, Limits, ReadXdr};

use crate::common_changes;

/// Deepest nesting that stellar-core itself accepts.
const MAX_DEPTH: u32 = 1500;

/// Position in bytes of XDR.
pub(crate) struct Reader<'a>(Limited<&'a [u8]>);

impl<'a> Reader<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(Limited::new(bytes, Limits { depth: MAX_DEPTH, len: bytes.len() }))
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.0.inner.is_empty()
    }

    /// Reads a value.
    pub(crate) fn read<T: ReadXdr>(&mut self) -> Result<T, xdr::Error> {
        T::read_xdr(&mut self.0)
    }

    /// Reads something, and returns its bytes too.
    pub(crate) fn with_bytes<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, xdr::Error>,
    ) -> Result<(T, &'a [u8]), xdr::Error> {
        let before = self.0.inner;
        let value = read(self)?;
        let length = before.len().saturating_sub(self.0.inner.len());
        Ok((value, before.get(..length).unwrap_or_default()))
    }

    /// Reads a value and forgets it.
    pub(crate) fn skip<T: ReadXdr>(&mut self) -> Result<(), xdr::Error> {
        self.read::<T>().map(drop)
    }

    /// Reads a list one value at a time, and forgets them.
    pub(crate) fn skip_list<T: ReadXdr>(&mut self) -> Result<(), xdr::Error> {
        self.each(Self::skip::<T>)
    }

    /// Reads a list of entry changes, and forgets them.
    pub(crate) fn skip_changes(&mut self) -> Result<(), xdr::Error> {
        self.each(|reader| match common_changes::length(reader.0.inner) {
            Some(length) => {
                reader.0.inner = reader.0.inner.get(length..).unwrap_or_default();
                Ok(())
            }
            None => reader.skip::<xdr::LedgerEntryChange>(),
        })
    }

    /// Reads a list: its length, and then each value by a function.
    pub(crate) fn each(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<(), xdr::Error>,
    ) -> Result<(), xdr::Error> {
        for _ in 0..self.read::<u32>()? {
            read(self)?;
        }
        Ok(())
    }
}
