//! Self-audit of the data outside the windows. It compares assets, markets and books in memory, and `assets.json`, with
//! their rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use super::{
    Comparison, UnreadableError,
    assets::{self, ExpectedAsset},
};
use crate::domain::{
    directory::AssetId, listed_asset::ListedAsset, market_snapshot::MarketSnapshot, orderbook::PolledBook,
    windows::MarketId,
};

/// Expected assets, markets and books, read from their rows.
#[derive(Clone, Debug, Default)]
pub struct ExpectedLists {
    /// Valid assets as `assets.json` should list them.
    pub file: Vec<ExpectedAsset>,
    /// Valid assets as the directory should hold them.
    pub assets: BTreeMap<AssetId, ListedAsset>,
    /// Base and counter of every market.
    pub markets: BTreeMap<MarketId, (AssetId, AssetId)>,
    /// Order books, by market.
    pub books: BTreeMap<MarketId, PolledBook>,
    /// Markets whose books changed after the publication. Their earlier figures are lost, so they are not compared.
    pub changed_books: BTreeSet<MarketId>,
}

/// Compares a snapshot, and the `assets.json` rendered from it, with the rows.
///
/// # Errors
///
/// [`UnreadableError`] if the file or an expected object is not valid JSON.
pub fn compare(
    snapshot: &MarketSnapshot,
    assets_file: &[u8],
    rows: &ExpectedLists,
) -> Result<Comparison, UnreadableError> {
    let mut comparison = assets::compare(assets_file, snapshot.as_of(), &rows.file)?;
    let directory = snapshot.directory();
    let held: BTreeMap<AssetId, &ListedAsset> = directory.assets().collect();
    let expected = rows.assets.iter().map(|(id, asset)| (*id, asset)).collect();
    let named = |id: &AssetId| {
        let asset = held.get(id).copied().or_else(|| rows.assets.get(id));
        asset.map_or_else(String::new, |asset| format!("{}:{}", asset.code(), asset.issuer()))
    };
    compare_maps(&mut comparison, &held, &expected, named);
    let is_known = |(market, _): &(MarketId, &PolledBook)| !rows.changed_books.contains(market);
    let held: BTreeMap<MarketId, &PolledBook> = directory.books().filter(is_known).collect();
    let expected = rows.books.iter().map(|(market, book)| (*market, book)).filter(is_known).collect();
    let named = |market: &MarketId| format!("book of market {market}");
    compare_maps(&mut comparison, &held, &expected, named);
    let traded: BTreeSet<MarketId> = snapshot.windows().figures().map(|(market, _)| market).collect();
    for market in traded.iter().chain(rows.markets.keys().filter(|market| !traded.contains(*market))) {
        let (held, row) = (directory.sides(*market), rows.markets.get(market).copied());
        // A market without trades in any window may be missing in memory.
        if held.is_some() || traded.contains(market) {
            let entry = format!("market {market}");
            comparison.record(held == row, &entry, "", &format!("{held:?}"), &format!("{row:?}"));
        }
    }
    Ok(comparison)
}

fn compare_maps<K: Ord, V: PartialEq + Debug>(
    comparison: &mut Comparison,
    held: &BTreeMap<K, &V>,
    rows: &BTreeMap<K, &V>,
    named: impl Fn(&K) -> String,
) {
    let keys: BTreeSet<&K> = held.keys().chain(rows.keys()).collect();
    for key in keys {
        let (held, row) = (held.get(key), rows.get(key));
        if held == row {
            comparison.figures = comparison.figures.saturating_add(1);
        } else {
            let shown =
                |value: Option<&&V>| value.map_or_else(|| "nothing".into(), |value| format!("{value:?}"));
            comparison.record(false, &named(key), "", &shown(held), &shown(row));
        }
    }
}

#[cfg(test)]
mod tests {
    use ticker_formats::legacy::assets_json;

    use super::*;
    use crate::domain::{
        instant::UnixSeconds,
        test_support::{book, directory, listed, trade},
        windows::Windows,
    };

    const ASSETS: [(&str, &str, &str); 2] = [("XLM", "native", ""), ("TEA", "G1", "")];

    fn snapshot() -> MarketSnapshot {
        let mut windows = Windows::default();
        windows.add(7, trade(1, 0, 999, (10, 20), (2, 1)));
        windows.advance(UnixSeconds(1_000));
        MarketSnapshot::new(windows.view(), directory(&ASSETS, &[(7, 1, 2)], &[(7, 3)]))
    }

    /// Rows equal to the snapshot, and a market without trades that the snapshot need not hold.
    fn rows(snapshot: &MarketSnapshot) -> ExpectedLists {
        let file = assets_json::render(snapshot.as_of(), snapshot.assets());
        let file: serde_json::Value = serde_json::from_str(&file).unwrap();
        let objects = file["assets"].as_array().unwrap().iter().map(|object| ExpectedAsset {
            code: object["code"].as_str().unwrap().to_owned(),
            issuer: object["issuer"].as_str().unwrap().to_owned(),
            object: object.to_string(),
            answer: String::new(),
        });
        let assets = ASSETS.iter().map(|(code, issuer, anchor)| listed(code, issuer, anchor));
        ExpectedLists {
            file: objects.collect(),
            assets: (1..).zip(assets).collect(),
            markets: [(7, (1, 2)), (8, (2, 3))].into(),
            books: [(7, book(3))].into(),
            changed_books: BTreeSet::new(),
        }
    }

    fn differing_entries(snapshot: &MarketSnapshot, rows: &ExpectedLists) -> Vec<String> {
        let file = assets_json::render(snapshot.as_of(), snapshot.assets());
        let comparison = compare(snapshot, file.as_bytes(), rows).unwrap();
        assert_eq!(comparison.difference_count, u64::try_from(comparison.differences.len()).unwrap());
        comparison.differences.into_iter().map(|found| found.entry).collect()
    }

    #[test]
    fn equal_rows_have_no_differences() {
        let snapshot = snapshot();
        assert_eq!(differing_entries(&snapshot, &rows(&snapshot)), Vec::<String>::new());
    }

    #[test]
    fn reports_every_difference_in_memory_and_in_the_file() {
        let snapshot = snapshot();
        let spoil = |spoil: &dyn Fn(&mut ExpectedLists)| {
            let mut rows = rows(&snapshot);
            spoil(&mut rows);
            differing_entries(&snapshot, &rows)
        };
        assert_eq!(
            spoil(&|rows| {
                rows.assets.remove(&2);
            }),
            ["TEA:G1"]
        );
        assert_eq!(
            spoil(&|rows| {
                rows.assets.insert(3, listed("NEW", "G2", ""));
            }),
            ["NEW:G2"]
        );
        assert_eq!(spoil(&|rows| rows.assets.get_mut(&2).unwrap().num_accounts = 7), ["TEA:G1"]);
        assert_eq!(
            spoil(&|rows| {
                rows.file.pop();
            }),
            ["XLM:native"]
        );
        assert_eq!(
            spoil(&|rows| {
                rows.books.insert(7, book(4));
            }),
            ["book of market 7"]
        );
        assert_eq!(
            spoil(&|rows| {
                rows.books.clear();
            }),
            ["book of market 7"]
        );
        assert_eq!(
            spoil(&|rows| {
                rows.books.insert(9, book(1));
            }),
            ["book of market 9"]
        );
        assert_eq!(
            spoil(&|rows| {
                rows.books.extend([(7, book(4)), (9, book(1)), (8, book(2))]);
                rows.changed_books.extend([7, 9]);
            }),
            ["book of market 8"],
            "the others changed later"
        );
        assert_eq!(
            spoil(&|rows| {
                rows.markets.insert(7, (2, 1));
            }),
            ["market 7"]
        );
        assert_eq!(
            spoil(&|rows| {
                rows.markets.remove(&7);
            }),
            ["market 7"]
        );
        assert_eq!(
            spoil(&|rows| {
                rows.markets.insert(9, (1, 2));
            }),
            Vec::<String>::new()
        );
    }
}
