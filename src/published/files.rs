//! The files of a publication, by their names.

use std::io;

use super::EncodedFile;
use crate::domain::{assets_json, board::Board, markets_json};

/// All files, each in the forms that readers take it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The legacy `markets.json`.
    pub markets: EncodedFile,
    /// The legacy `assets.json`.
    pub assets: EncodedFile,
}

impl Files {
    /// Renders and compresses all of them.
    ///
    /// # Errors
    ///
    /// What a compressor said.
    pub fn render(board: &Board) -> io::Result<Self> {
        let as_of = board.as_of();
        Ok(Self {
            markets: EncodedFile::encode(markets_json::render(as_of, &board.pairs()).into_bytes())?,
            assets: EncodedFile::encode(assets_json::render(as_of, board.assets()).into_bytes())?,
        })
    }

    /// Each with its name in the output directory.
    #[must_use]
    pub const fn all(&self) -> [(&'static str, &EncodedFile); 2] {
        [("markets.json", &self.markets), ("assets.json", &self.assets)]
    }

    /// How large they are in all forms together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let size = |file: &EncodedFile| file.raw.len() + file.gzip.len() + file.brotli.len();
        self.all().iter().map(|(_, file)| size(file)).sum()
    }
}
