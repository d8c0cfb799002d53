//! A file that is compressed while it is written: its plain bytes are never in memory as a whole.

use std::io::{self, BufWriter, Write};

use brotli::CompressorWriter;
use flate2::write::GzEncoder;

use super::settings::{GZIP_LEVEL, brotli_encoder, gzip_encoder};

/// Bytes that a renderer writes before they are compressed at once.
const WRITE_BUFFER: usize = 64 * 1024;

/// Compressed forms of a file.
#[derive(Debug)]
pub struct Twins {
    /// Bytes compressed by gzip.
    pub gzip: Vec<u8>,
    /// Bytes compressed by brotli.
    pub brotli: Vec<u8>,
}

/// Writes what `render` writes to `plain`, and compresses it meanwhile.
///
/// # Errors
///
/// Errors of `render`, of `plain` and of the compressors.
pub fn write_with_twins(
    plain: &mut dyn Write,
    render: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<Twins> {
    let all = All { plain, gzip: gzip_encoder(GZIP_LEVEL), brotli: brotli_encoder() };
    let mut all = buffered(all, render)?;
    all.brotli.flush()?; // `into_inner` reports no error
    Ok(Twins { gzip: all.gzip.finish()?, brotli: all.brotli.into_inner() })
}

/// Passes what `render` writes to `sink`, in large pieces.
///
/// # Errors
///
/// Errors of `render` and of `sink`.
fn buffered<S: Write>(sink: S, render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<S> {
    let mut out = BufWriter::with_capacity(WRITE_BUFFER, sink);
    render(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

struct All<'a> {
    plain: &'a mut dyn Write,
    gzip: GzEncoder<Vec<u8>>,
    brotli: CompressorWriter<Vec<u8>>,
}

impl Write for All<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.plain.write_all(bytes)?;
        self.gzip.write_all(bytes)?;
        self.brotli.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.plain.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn all_three_forms_hold_the_same_bytes() {
        for count in [0, 1, 50_000] {
            let expected: Vec<u8> =
                (0..count).flat_map(|n| format!("{{\"pair\": {n}}},").into_bytes()).collect();
            let mut plain = Vec::new();
            let twins = write_with_twins(&mut plain, |out| {
                (0..count).try_for_each(|n| write!(out, "{{\"pair\": {n}}},"))
            })
            .unwrap();
            let (mut unzipped, mut unbrotlied) = (Vec::new(), Vec::new());
            flate2::read::GzDecoder::new(&twins.gzip[..]).read_to_end(&mut unzipped).unwrap();
            brotli::Decompressor::new(&twins.brotli[..], 4_096).read_to_end(&mut unbrotlied).unwrap();
            assert!(plain == expected && unzipped == expected && unbrotlied == expected, "{count}");
            assert!(count < 2 || twins.gzip.len() < plain.len() / 4 && twins.brotli.len() < plain.len() / 4);
        }
    }

    #[test]
    fn a_full_disk_and_a_failed_renderer_are_errors() {
        let mut full = [0_u8; 100];
        let written = write_with_twins(&mut full.as_mut_slice(), |out| out.write_all(&[b'x'; 200_000]));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::WriteZero);
        let failed = write_with_twins(&mut Vec::new(), |_| Err(io::Error::other("no view")));
        assert_eq!(failed.unwrap_err().to_string(), "no view");
    }
}
