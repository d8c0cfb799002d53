//! The files of a publication, by their names, and who makes them.

use std::{io, sync::Arc};

use super::{
    EncodedFile,
    pieces::{Piece, join},
    rows::{Key, Rows},
};
use crate::domain::{
    assets_json, board::Board, instant::Second, listed_asset::ListedAsset, markets_json,
    pair_index::PairIndex,
};

/// Files whose plain bytes are fewer are compressed by brotli with each publication; of others the writer does it.
const SMALL_BYTES: usize = 1_000_000;

/// All files, each in the forms that readers take it in.
#[derive(Clone, Debug)]
pub struct Files {
    /// The legacy `markets.json`.
    pub markets: EncodedFile,
    /// The legacy `assets.json`.
    pub assets: EncodedFile,
}

impl Files {
    /// Each with its name in the output directory.
    #[must_use]
    pub const fn all(&self) -> [(&'static str, &EncodedFile); 2] {
        [("markets.json", &self.markets), ("assets.json", &self.assets)]
    }

    /// How large they are, plain and by gzip together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.all().iter().map(|(_, file)| file.raw.len() + file.gzip.len()).sum()
    }
}

/// Makes the files of one publication after the other; what did not change in between is not made again.
#[derive(Default)]
pub struct FileMaker {
    pairs: PairIndex,
    markets: Rows<Arc<str>>,
    /// The assets that the rows below are of.
    listing: Arc<Vec<Arc<ListedAsset>>>,
    assets: Rows<AssetKey>,
}

/// Code and issuer.
type AssetKey = (String, String);

impl Key for Arc<str> {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Key for AssetKey {
    fn bytes(&self) -> Vec<u8> {
        format!("{}:{}", self.0, self.1).into_bytes()
    }
}

impl FileMaker {
    /// The files of a board.
    ///
    /// # Errors
    ///
    /// What a compressor said; the next board mends it.
    pub fn make(&mut self, board: &Board) -> io::Result<Files> {
        self.update(board);
        let files = self.encode(board.as_of())?;
        for (_, file) in files.all() {
            if file.raw.len() < SMALL_BYTES {
                file.brotli.make();
            }
        }
        Ok(files)
    }

    /// Compresses what changed and joins it with all else.
    ///
    /// # Errors
    ///
    /// What a compressor said.
    pub fn encode(&mut self, as_of: Second) -> io::Result<Files> {
        let markets_foot = markets_json::foot(self.markets.is_empty());
        let markets = file(&mut self.markets, &markets_json::head(as_of), markets_foot)?;
        let assets_foot = assets_json::foot(self.assets.is_empty());
        let assets = file(&mut self.assets, &assets_json::head(as_of), assets_foot)?;
        Ok(Files { markets, assets })
    }

    /// Renders the rows that are other than those of the board before.
    pub fn update(&mut self, board: &Board) {
        for name in self.pairs.advance(board.clone()) {
            self.markets.set(&name, self.pairs.pair(&name).as_ref().map(markets_json::row));
        }
        let before = std::mem::replace(&mut self.listing, Arc::clone(board.assets()));
        if Arc::ptr_eq(&before, &self.listing) {
            return;
        }
        let key = |asset: &ListedAsset| (asset.code().to_owned(), asset.issuer().to_owned());
        let place = |assets: &[Arc<ListedAsset>], asset: &ListedAsset| {
            let wanted = (asset.code(), asset.issuer());
            assets.binary_search_by(|other| (other.code(), other.issuer()).cmp(&wanted)).ok()
        };
        for gone in before.iter().filter(|asset| place(&self.listing, asset).is_none()) {
            self.assets.set(&key(gone), None);
        }
        for asset in self.listing.iter() {
            let was = place(&before, asset).and_then(|place| before.get(place));
            if was.is_none_or(|was| !Arc::ptr_eq(was, asset)) {
                self.assets.set(&key(asset), Some(assets_json::row(asset)));
            }
        }
    }
}

fn file<K: Key>(rows: &mut Rows<K>, head: &str, foot: &str) -> io::Result<EncodedFile> {
    let mut pieces: Vec<Piece> = vec![rows.extra(head)?];
    pieces.extend(rows.pieces()?);
    pieces.push(rows.extra(foot)?);
    Ok(join(pieces))
}
