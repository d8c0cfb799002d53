//! XDR, read value by value. A ledger is never decoded as a whole: that would take ten times its bytes in memory.

use stellar_xdr::{self as xdr, Limited, Limits, ReadXdr};

use crate::{common_changes, diagnostics, limits::VALUE_MAX};

/// Deepest nesting that stellar-core itself accepts.
const MAX_DEPTH: u32 = 1500;

/// Position in bytes of XDR.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a value of at most [`VALUE_MAX`] bytes.
    pub(crate) fn read<T: ReadXdr>(&mut self) -> Result<T, xdr::Error> {
        self.read_within(VALUE_MAX)
    }

    /// Reads a value of at most `bytes_max` bytes.
    pub(crate) fn read_within<T: ReadXdr>(&mut self, bytes_max: usize) -> Result<T, xdr::Error> {
        let mut limited = Limited::new(self.0, Limits { depth: MAX_DEPTH, len: bytes_max });
        let value = T::read_xdr(&mut limited)?;
        self.0 = limited.inner;
        Ok(value)
    }

    /// Reads something, and returns its bytes too.
    pub(crate) fn with_bytes<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, xdr::Error>,
    ) -> Result<(T, &'a [u8]), xdr::Error> {
        let before = self.0;
        let value = read(self)?;
        let length = before.len().saturating_sub(self.0.len());
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

    /// Passes a list of entry changes.
    pub(crate) fn skip_changes(&mut self) -> Result<(), xdr::Error> {
        self.each(|reader| reader.pass::<xdr::LedgerEntryChange>(common_changes::length(reader.0)))
    }

    /// Passes a list of diagnostic events.
    pub(crate) fn skip_diagnostics(&mut self) -> Result<(), xdr::Error> {
        self.each(|reader| reader.pass::<xdr::DiagnosticEvent>(diagnostics::length(reader.0)))
    }

    /// Passes a value of this length. Decodes it if the length is not known.
    fn pass<T: ReadXdr>(&mut self, length: Option<usize>) -> Result<(), xdr::Error> {
        let Some(length) = length else { return self.skip::<T>() };
        self.0 = self.0.get(length..).unwrap_or_default();
        Ok(())
    }

    /// Reads an optional value by a function, and forgets it.
    pub(crate) fn skip_optional(
        &mut self,
        skip: impl FnOnce(&mut Self) -> Result<(), xdr::Error>,
    ) -> Result<(), xdr::Error> {
        if self.read::<bool>()? { skip(self) } else { Ok(()) }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a value that is nested far deeper than is allowed, on a thread with the usual stack.
    fn read_nested<T: ReadXdr>(level: &[u32]) -> Result<(), xdr::Error> {
        let numbers = level.iter().copied().cycle().take(level.len() * 5_000);
        let bytes: Vec<u8> = numbers.flat_map(u32::to_be_bytes).collect();
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        thread.spawn(move || Reader::of(&bytes).skip::<T>()).unwrap().join().unwrap()
    }

    #[test]
    fn deep_nesting_is_refused_before_the_stack_is_used_up() {
        // A contract, a function without a name or arguments, and one invocation within.
        let invocation: Vec<u32> = [0, 1].into_iter().chain([7; 8]).chain([0, 0, 1]).collect();
        for read in [
            read_nested::<xdr::ScVal>(&[16, 1, 1]),    // a list of one value
            read_nested::<xdr::ScVal>(&[17, 1, 1, 1]), // a map with a key of no value
            read_nested::<xdr::SorobanAuthorizedInvocation>(&invocation),
            read_nested::<xdr::ClaimPredicate>(&[1, 1]), // and
            read_nested::<xdr::ClaimPredicate>(&[3, 1]), // not
            read_nested::<xdr::ScpQuorumSet>(&[1, 0, 1]),
        ] {
            assert_eq!(read, Err(xdr::Error::DepthLimitExceeded));
        }
    }
}
