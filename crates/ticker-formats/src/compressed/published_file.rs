//! Published file in all its encodings, made once per publication.

pub mod pieces;
pub(crate) mod rows;

use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use pieces::{Brotli, Piece, join_gzip};

/// Bytes of one file, plain and compressed.
#[derive(Clone, Debug)]
pub struct EncodedFile {
    /// Plain bytes.
    pub raw: Bytes,
    /// Bytes compressed by gzip.
    pub gzip: Bytes,
    /// Bytes compressed by brotli, made on demand.
    pub brotli: Arc<Brotli>,
    /// Hash of the plain bytes in hex, without quotes.
    pub etag: String,
    /// Entity tags of the encodings.
    pub tags: Tags,
}

/// Entity tags as HTTP sends them, in quotes. Each encoding has its own, because its bytes differ.
#[derive(Clone, Debug)]
pub struct Tags {
    /// Tag of the plain bytes.
    pub raw: Bytes,
    /// Tag of the gzip bytes.
    pub gzip: Bytes,
    /// Tag of the brotli bytes.
    pub brotli: Bytes,
}

impl Tags {
    /// Tags of a file with this hash.
    #[must_use]
    pub fn of(hash: &str) -> Self {
        let tag = |suffix: &str| Bytes::from(format!("\"{hash}{suffix}\""));
        Self { raw: tag(""), gzip: tag("-gz"), brotli: tag("-br") }
    }

    /// All tags.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> + Clone {
        [&self.raw, &self.gzip, &self.brotli].into_iter().map(|tag| tag.as_ref())
    }
}

impl EncodedFile {
    /// Joins pieces into the file with these plain bytes, which must be those of all pieces in
    /// order. Its brotli form is made on demand.
    #[must_use]
    pub fn join(raw: Vec<u8>, pieces: Vec<Piece>) -> Self {
        let gzip = join_gzip(&raw, &pieces).into();
        let etag = format!("{:032x}", xxh3_128(&raw));
        let raw = Bytes::from(raw);
        let brotli = Arc::new(Brotli::new(raw.clone(), pieces));
        let tags = Tags::of(&etag);
        Self { raw, gzip, brotli, etag, tags }
    }
}

#[cfg(test)]
mod tests {
    use super::pieces::PieceMaker;
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    fn file(parts: &[Vec<u8>]) -> EncodedFile {
        let mut maker = PieceMaker::default();
        EncodedFile::join(parts.concat(), parts.iter().map(|part| maker.make(part).unwrap()).collect())
    }

    fn decoded(file: &EncodedFile) -> [Vec<u8>; 2] {
        let (mut unzipped, mut unbrotlied) = (Vec::new(), Vec::new());
        flate2::read::GzDecoder::new(&file.gzip[..]).read_to_end(&mut unzipped).unwrap();
        brotli::Decompressor::new(&file.brotli.make()[..], 4_096).read_to_end(&mut unbrotlied).unwrap();
        [unzipped, unbrotlied]
    }

    #[test]
    fn all_encodings_hold_the_same_bytes() {
        for count in [0, 1, 2, 300] {
            let parts: Vec<_> =
                (0..count).map(|n| format!("{{\"pair\": {n}}},").repeat(50).into_bytes()).collect();
            let file = file(&parts);
            assert_eq!(
                (file.raw.to_vec(), decoded(&file)),
                (parts.concat(), [parts.concat(), parts.concat()])
            );
            assert!(
                count < 2
                    || file.gzip.len() < file.raw.len() / 5 && file.brotli.make().len() < file.raw.len() / 5
            );
        }
    }

    #[test]
    fn brotli_is_made_on_demand_and_pieces_are_shared() {
        let piece = PieceMaker::default().make(b"same").unwrap();
        let one = EncodedFile::join(b"samesame".to_vec(), vec![piece.clone(), piece.clone()]);
        let other = EncodedFile::join(b"same".to_vec(), vec![piece.clone()]);
        assert!(one.brotli.made().is_none());
        one.brotli.make();
        assert!(one.brotli.made().is_some() && other.brotli.made().is_none() && piece.has_brotli());
        assert_ne!(one.etag, other.etag);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_pieces_read_back_unchanged(
            parts in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..70_000),
                prop::collection::vec(0..3_u8, 0..5_000),
            ], 0..6),
        ) {
            let file = file(&parts);
            prop_assert_eq!(decoded(&file), [parts.concat(), parts.concat()]);
        }
    }
}
