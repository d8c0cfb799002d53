//! Published files by name, and their renderer.

use std::{io, sync::Arc};

use super::{
    compressed::{EncodedFile, Piece, RowKey, Rows},
    legacy::{assets_json, markets_json},
};
use ticker_domain::{
    instant::UnixSeconds, listed_asset::ListedAsset, market_snapshot::MarketSnapshot, pair_index::PairIndex,
};

/// Size in bytes below which a file's brotli form is made with each publication. The JSON writer makes it for larger
/// files.
const SMALL_BYTES: usize = 1_000_000;

/// All published files, each in all encodings.
#[derive(Clone, Debug)]
pub struct Files {
    /// Legacy `markets.json`.
    pub markets: EncodedFile,
    /// Legacy `assets.json`.
    pub assets: EncodedFile,
}

impl Files {
    /// Names in the output directory.
    pub const NAMES: [&'static str; 2] = ["markets.json", "assets.json"];

    /// All files with their names.
    #[must_use]
    pub const fn all(&self) -> [(&'static str, &EncodedFile); 2] {
        let [markets, assets] = Self::NAMES;
        [(markets, &self.markets), (assets, &self.assets)]
    }

    /// Total size of the plain and gzip bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.all().iter().map(|(_, file)| file.raw.len() + file.gzip.len()).sum()
    }
}

/// Renderer of consecutive publications. It reuses what did not change since the last one.
#[derive(Default)]
pub struct FileMaker {
    pairs: PairIndex,
    markets: Rows<Arc<str>>,
    /// Assets whose rows are in `assets`.
    listing: Arc<Vec<Arc<ListedAsset>>>,
    assets: Rows<AssetKey>,
}

/// Code and issuer.
type AssetKey = (String, String);

impl RowKey for Arc<str> {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl RowKey for AssetKey {
    fn bytes(&self) -> Vec<u8> {
        format!("{}:{}", self.0, self.1).into_bytes()
    }
}

impl FileMaker {
    /// Renders the files of a snapshot.
    ///
    /// # Errors
    ///
    /// Errors of a compressor. The next snapshot retries.
    pub fn make(&mut self, snapshot: &MarketSnapshot) -> io::Result<Files> {
        self.update(snapshot);
        self.compress(snapshot.as_of())
    }

    /// Compresses the files after [`Self::update`]; the brotli form only of small ones.
    ///
    /// # Errors
    ///
    /// Errors of a compressor. The next snapshot retries.
    pub fn compress(&mut self, as_of: UnixSeconds) -> io::Result<Files> {
        let files = self.encode(as_of)?;
        for (_, file) in files.all() {
            if file.raw.len() < SMALL_BYTES {
                file.brotli.make();
            }
        }
        Ok(files)
    }

    /// Compresses the changed rows and joins them with the others.
    ///
    /// # Errors
    ///
    /// Errors of a compressor.
    pub fn encode(&mut self, as_of: UnixSeconds) -> io::Result<Files> {
        let markets_foot = markets_json::foot(self.markets.is_empty());
        let markets = file(&mut self.markets, &markets_json::head(as_of), markets_foot)?;
        let assets_foot = assets_json::foot(self.assets.is_empty());
        let assets = file(&mut self.assets, &assets_json::head(as_of), assets_foot)?;
        Ok(Files { markets, assets })
    }

    /// Renders the rows that changed since the last snapshot.
    pub fn update(&mut self, snapshot: &MarketSnapshot) {
        for name in self.pairs.advance(snapshot.clone()) {
            self.markets.set(&name, self.pairs.pair(&name).as_ref().map(markets_json::row));
        }
        let before = std::mem::replace(&mut self.listing, Arc::clone(snapshot.assets()));
        // The same list means that no asset changed.
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
            // Unchanged assets are shared between snapshots, so a pointer comparison finds the changed ones.
            let was = place(&before, asset).and_then(|place| before.get(place));
            if was.is_none_or(|was| !Arc::ptr_eq(was, asset)) {
                self.assets.set(&key(asset), Some(assets_json::row(asset)));
            }
        }
    }
}

fn file<K: RowKey>(rows: &mut Rows<K>, head: &str, foot: &str) -> io::Result<EncodedFile> {
    let mut pieces: Vec<Piece> = vec![rows.extra(head)?];
    pieces.extend(rows.pieces()?);
    pieces.push(rows.extra(foot)?);
    let mut raw = Vec::with_capacity(head.len() + rows.bytes() + foot.len());
    raw.extend_from_slice(head.as_bytes());
    rows.push_all(&mut raw);
    raw.extend_from_slice(foot.as_bytes());
    Ok(EncodedFile::join(raw, pieces))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticker_domain::{
        instant::{HOUR, UnixSeconds},
        test_support::{MERGES, directory, trade},
        windows::Windows,
    };

    const MARKETS: i32 = 50;

    fn many(count: i64) -> (Windows, UnixSeconds) {
        let (mut windows, now) = (Windows::default(), UnixSeconds(1_000_000_000));
        windows.advance(now.minus(168 * HOUR));
        for number in 0..count {
            let closed_at = now.0 - 167 * HOUR + number * 166 * HOUR / count;
            // Every second trade belongs to the busiest market, so that one market is large.
            let market =
                if number % 2 == 0 { 0 } else { i32::try_from(number % i64::from(MARKETS)).unwrap() };
            windows.add(market, trade(number, 0, closed_at, (10, 20), (2, 1)));
        }
        windows.advance(now);
        (windows, now)
    }

    /// Merges for a publication after a ledger of 40 trades in 40 markets, and the pieces compressed for it.
    fn cost_of_a_publication(trades: i64) -> (u64, usize) {
        let names: Vec<String> = (0..MARKETS).map(|market| format!("T{market}")).collect();
        let assets: Vec<_> = [("XLM", "native", "")]
            .into_iter()
            .chain(names.iter().map(|name| (name.as_str(), "G", "")))
            .collect();
        let markets: Vec<_> = (0..MARKETS).map(|market| (market, 1, market + 2)).collect();
        let directory = directory(&assets, &markets, &[]);
        let (mut windows, now) = many(trades);
        let mut maker = FileMaker::default();
        let before = maker.make(&MarketSnapshot::new(windows.view(), directory.clone())).unwrap();
        let began = MERGES.get();
        for market in 0..40 {
            windows.add(market, trade(trades + i64::from(market), 1, now.0, (10, 20), (3, 1)));
        }
        windows.advance(now.plus(1));
        maker.update(&MarketSnapshot::new(windows.view(), directory));
        let merges = MERGES.get() - began;
        let made = maker.markets.dirty();
        assert_ne!(maker.encode(now.plus(1)).unwrap().markets.raw, before.markets.raw);
        (merges, made)
    }

    #[test]
    fn the_cost_of_a_publication_does_not_grow_with_the_number_of_trades() {
        let (few, some_pieces) = cost_of_a_publication(150_000);
        let (more, pieces) = cost_of_a_publication(1_500_000);
        println!(
            "{few} merges with 150 thousand trades, {more} with 1.5 million; {some_pieces} and {pieces} pieces"
        );
        assert!(more <= 2 * few, "{few} merges became {more} with ten times the trades");
        assert!(pieces <= 40 && pieces == some_pieces, "{pieces} pieces for 40 markets");
    }

    #[test]
    fn incremental_files_equal_those_rendered_as_a_whole() {
        let assets = [("XLM", "native", ""), ("A", "G1", ""), ("B", "G2", "A"), ("C", "G3", "")];
        let mut directory = directory(&assets, &[(1, 1, 2), (2, 1, 3), (3, 1, 4)], &[(1, 3), (2, 5)]);
        let (mut windows, mut maker, now) =
            (Windows::default(), FileMaker::default(), UnixSeconds(1_000_000_000));
        let mut check = |windows: &Windows, directory: &mut ticker_domain::directory::Directory| {
            directory.listing();
            let snapshot = MarketSnapshot::new(windows.view(), directory.clone());
            let files = maker.make(&snapshot).unwrap();
            let markets = markets_json::render(snapshot.as_of(), &snapshot.pairs());
            assert_eq!(String::from_utf8_lossy(&files.markets.raw), markets);
            assert_eq!(
                String::from_utf8_lossy(&files.assets.raw),
                assets_json::render(snapshot.as_of(), snapshot.assets())
            );
        };
        windows.advance(now);
        check(&windows, &mut directory);
        for (step, market) in [1, 2, 3, 1].into_iter().enumerate() {
            windows.add(market, trade(i64::try_from(step).unwrap(), 0, now.0 - 60, (10, 20), (3, 1)));
            windows.advance(now.plus(1));
            check(&windows, &mut directory);
        }
        // Remove an anchor, make an asset invalid, change and remove books, and let trades expire.
        directory.update_assets([(3, Some(ticker_domain::test_support::listed("B", "G2", "")))]);
        check(&windows, &mut directory);
        directory.update_assets([(4, None)]);
        check(&windows, &mut directory);
        directory.update_books(vec![(1, ticker_domain::test_support::book(9))], false);
        check(&windows, &mut directory);
        directory.update_books(Vec::new(), true);
        check(&windows, &mut directory);
        windows.advance(now.plus(24 * HOUR));
        check(&windows, &mut directory);
        windows.advance(now.plus(168 * HOUR));
        check(&windows, &mut directory);
    }
}
