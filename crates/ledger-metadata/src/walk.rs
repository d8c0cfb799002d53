//! A walk through bytes of XDR that passes values without decoding them.

use ticker_domain::conversions::SaturatingFrom;

/// Rest of the bytes. Each step returns `None` if it would go beyond their end.
pub(crate) struct Walk<'a>(pub(crate) &'a [u8]);

impl Walk<'_> {
    /// Passes a number of 32 bits, and returns it.
    pub(crate) fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    /// Passes this many bytes.
    pub(crate) fn pass(&mut self, length: usize) -> Option<()> {
        self.0 = self.0.get(length..)?;
        Some(())
    }

    /// Passes text or bytes: a length, and as many bytes, up to the next multiple of four.
    pub(crate) fn opaque(&mut self) -> Option<()> {
        let length = usize::saturating_from(self.number()?);
        self.pass(length.checked_next_multiple_of(4)?)
    }
}
