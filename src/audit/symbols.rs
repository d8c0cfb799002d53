//! Self-audit of the assets that stand for codes: those that a publication shows, compared with the stored choices.

use super::Comparison;
use crate::domain::{
    asset::Asset, market::QUOTE_ASSETS, market_snapshot::MarketSnapshot, symbol_choice::Choices,
    symbols::Symbols,
};

/// Compares the symbols of a snapshot with the choices as they are stored.
///
/// A code of the fixed list stands for the asset of that list. Any other code with a stored choice stands for that
/// asset, if the asset is known here. Codes without a stored choice are not compared.
#[must_use]
pub fn compare(snapshot: &MarketSnapshot, symbols: &Symbols, stored: &Choices) -> Comparison {
    let mut comparison = Comparison::default();
    let names = snapshot.directory().names();
    let mut record = |code: &str, expected: &Asset| {
        if names.id_of(expected).is_none() {
            return;
        }
        let shown = symbols.of_code(code).and_then(|symbol| names.asset(symbol.asset));
        let text = |asset: Option<&Asset>| asset.map_or_else(|| "none".to_owned(), Asset::to_string);
        let is_equal = shown == Some(expected);
        comparison.record(is_equal, code, "symbol", &text(shown), &text(Some(expected)));
    };
    let fixed: Vec<Asset> = QUOTE_ASSETS.iter().filter_map(|name| name.parse().ok()).collect();
    for asset in &fixed {
        record(asset.code(), asset);
    }
    for (code, choice) in stored {
        let is_fixed = fixed.iter().any(|asset| asset.code() == code);
        if let Some(asset) = choice.at(snapshot.as_of()).0.filter(|_| !is_fixed) {
            record(code, &asset);
        }
    }
    comparison
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        directory::Directory,
        instant::UnixSeconds,
        symbol_choice::Choice,
        test_support::{address, trade},
        windows::Windows,
    };

    fn tea(byte: u8) -> Asset {
        Asset::issued("TEA", &address(byte)).unwrap()
    }

    fn chosen(asset: Asset) -> Choices {
        let at = UnixSeconds(1_000);
        let choice = Choice { asset, since: at, previous: None, challenger: None, checked_at: at };
        Choices::from([("TEA".to_owned(), choice)])
    }

    #[test]
    fn a_symbol_that_is_not_the_stored_choice_is_found() {
        let (mut directory, mut windows) = (Directory::default(), Windows::default());
        directory.add_names([(1, Asset::Native), (2, tea(1)), (3, tea(2))]);
        directory.add_markets([(1, 1, 2)]);
        windows.add(1, trade(1, 0, 1_500, (10, 10), (1, 1)));
        windows.advance(UnixSeconds(2_000));
        let snapshot = MarketSnapshot::new(windows.view(), directory);
        let found = |held: &Choices, stored: &Choices| {
            let comparison = compare(&snapshot, &Symbols::of(&snapshot, &[], held), stored);
            let text = |asset: Asset| asset.to_string();
            let differences = comparison.differences.iter();
            let expected: Vec<String> = differences.map(|found| found.expected.clone()).collect();
            assert!(expected.iter().all(|expected| *expected == text(tea(1))));
            expected.len()
        };
        assert_eq!(found(&chosen(tea(1)), &chosen(tea(1))), 0);
        assert_eq!(found(&chosen(tea(2)), &chosen(tea(1))), 1);
        assert_eq!(found(&Choices::new(), &chosen(tea(1))), 1, "no symbol at all");
        assert_eq!(found(&chosen(tea(1)), &chosen(tea(9))), 0, "an asset without trades has no symbol");
    }
}
