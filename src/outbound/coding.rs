//! Decompression of responses within a size limit. A few hundred kilobytes may decode to hundreds of megabytes.

use std::io::Read;

use bytes::Bytes;

/// Reason why a response cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// `Content-Encoding` that the request did not accept.
    #[error("the answer has a content encoding that the request did not accept")]
    Unknown,
    /// Compressed bytes that are corrupt or end too early.
    #[error("the compressed answer is corrupt or incomplete")]
    Broken,
    /// Decoded size beyond the limit. Holds the limit in bytes.
    #[error("the answer decodes to more than {0} bytes")]
    TooLarge(usize),
}

/// Decompresses a body. Stops decoding as soon as the result exceeds `bytes_max`.
///
/// # Errors
///
/// [`CodingError`] with the reason.
pub fn decoded(content_encoding: Option<&str>, raw: Bytes, bytes_max: usize) -> Result<Bytes, CodingError> {
    match content_encoding.map(|name| name.trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "identity") if raw.len() > bytes_max => Err(CodingError::TooLarge(bytes_max)),
        None | Some("" | "identity") => Ok(raw),
        Some("gzip" | "x-gzip") => bounded(flate2::read::MultiGzDecoder::new(raw.as_ref()), bytes_max),
        Some("deflate") => bounded(flate2::read::ZlibDecoder::new(raw.as_ref()), bytes_max),
        Some(_) => Err(CodingError::Unknown),
    }
}

fn bounded(decoder: impl Read, bytes_max: usize) -> Result<Bytes, CodingError> {
    // One byte more than allowed shows that the body is too large.
    let one_more = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut body = Vec::new();
    decoder.take(one_more).read_to_end(&mut body).map_err(|_| CodingError::Broken)?;
    if body.len() > bytes_max { Err(CodingError::TooLarge(bytes_max)) } else { Ok(body.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap().into()
    }

    /// Endless source of bytes that counts the bytes read.
    struct Endless(u64);

    impl Read for &mut Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += u64::try_from(buffer.len()).unwrap();
            Ok(buffer.len())
        }
    }

    #[test]
    fn stops_decoding_at_the_limit() {
        let mut endless = Endless(0);
        assert_eq!(bounded(&mut endless, 1_000), Err(CodingError::TooLarge(1_000)));
        assert!(endless.0 <= 1_001, "{} bytes were decoded", endless.0);
        let bomb = gzip(&vec![0; 10_000_000]);
        assert!(bomb.len() < 20_000);
        assert_eq!(decoded(Some("gzip"), bomb, 1_000_000), Err(CodingError::TooLarge(1_000_000)));
        assert_eq!(decoded(None, vec![0; 11].into(), 10), Err(CodingError::TooLarge(10)));
    }

    #[test]
    fn decodes_gzip_and_deflate_and_nothing_else() {
        let text = Bytes::from_static(b"VERSION = 2");
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(&text).unwrap();
        let zlib = Bytes::from(zlib.finish().unwrap());
        let twice = [gzip(&text), gzip(&text)].concat();
        let all = text.len();
        for (name, raw) in [
            (None, text.clone()),
            (Some("identity"), text.clone()),
            (Some(" GZIP"), gzip(&text)),
            (Some("deflate"), zlib),
        ] {
            assert_eq!(decoded(name, raw, all), Ok(text.clone()), "{name:?}");
        }
        assert_eq!(
            decoded(Some("gzip"), twice.into(), 2 * all).unwrap().len(),
            2 * all,
            "several gzip members form one body"
        );
        assert_eq!(decoded(Some("br"), text.clone(), all), Err(CodingError::Unknown));
        assert_eq!(decoded(Some("gzip"), text.clone(), all), Err(CodingError::Broken));
        let half = gzip(&text).slice(..12);
        assert_eq!(
            decoded(Some("gzip"), half, all),
            Err(CodingError::Broken),
            "a truncated body is an error"
        );
    }
}
