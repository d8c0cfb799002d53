//! Warnings about a market in words, with assets named as in the head of the page.

use ticker_domain::asset::Asset;

use crate::{
    board::Flag,
    listings::{Finding, ListingView, MarketView, findings},
    pages::{
        market::{Named, named},
        row::ends,
    },
};

/// Warning as the page shows it: `Look-alike. USDC GDPI…E65I has the code of USDC of circle.com GA5Z…KZVN.`
pub(in crate::pages) struct Caution {
    pub(in crate::pages) head: String,
    /// Asset that it is about, or `None` if it is about the market.
    pub(in crate::pages) asset: Option<Named>,
    pub(in crate::pages) reason: String,
    /// Asset that it resembles.
    pub(in crate::pages) original: Option<Named>,
    /// True if the original has a page.
    pub(in crate::pages) is_known: bool,
}

impl Caution {
    pub(super) fn all(market: &MarketView<'_>) -> Vec<Self> {
        findings(market).into_iter().map(|finding| Self::of(&finding, market.view())).collect()
    }

    fn of(finding: &Finding<'_>, view: &ListingView) -> Self {
        let original = finding.original.map(|asset| original(&asset, view));
        Self {
            head: capitalised(Flag::from(finding.warning).tag()),
            asset: finding.asset.as_ref().map(named),
            // A reason follows the name of the asset, or it is a sentence of its own.
            reason: if finding.asset.is_some() {
                finding.reason.clone()
            } else {
                capitalised(&finding.reason)
            },
            is_known: original.as_ref().is_some_and(|(_, is_known)| *is_known),
            original: original.map(|(named, _)| named),
        }
    }
}

/// Name of the asset that another resembles, and true if it has a page. It may never have traded here.
fn original(asset: &Asset, view: &ListingView) -> (Named, bool) {
    let names = view.snapshot().directory().names();
    if let Some(known) = names.id_of(asset).and_then(|id| view.asset(id)) {
        return (named(&known), true);
    }
    let issuer = asset.issuer();
    let named = Named {
        id: asset.name(),
        code: asset.code().to_owned(),
        domain: None,
        key: (issuer != "native").then(|| ends(issuer)),
        is_verified: false,
    };
    (named, false)
}

/// Text with a capital letter at its start.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ticker_domain::candles::Interval;

    use super::*;
    use crate::{
        pages::{MarketRequest, TickerState, market::market},
        test_view::view,
    };

    #[test]
    fn warnings_are_in_words_and_link_to_the_asset_that_one_resembles() {
        let view = view(&[("USDC".to_owned(), 3)]);
        let its = view.market(2).unwrap();
        let request =
            MarketRequest { interval: Interval::Hour, is_raw: false, origin: String::new(), levels: None };
        let html = String::from_utf8(market(&its, &request, &TickerState::default())).unwrap();
        let (_, section) = html.split_once("aria-label=\"Warnings\"").unwrap();
        let (section, _) = section.split_once("</section>").unwrap();
        for words in [
            "<strong>Look-alike.</strong>",
            "<strong>Not valid.</strong>",
            "<strong>Thin.</strong> 3 trades above dust in 24 hours, fewer than 10.",
        ] {
            assert!(section.contains(words), "{words}: {section}");
        }
        for name in ["lookalike_of", "invalid_asset", "thin</strong> 3"] {
            assert!(!section.contains(name), "{section}");
        }
        let original = "USDC-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";
        assert!(
            section.contains(&format!("<a href=\"/a/{original}\">USDC <code>GA5Z…KZVN</code></a>.")),
            "{section}"
        );
        assert_eq!(section.matches(original).count(), 1, "{section}");
        // The market API keeps its strings.
        let found =
            findings(&its).into_iter().find(|finding| finding.warning.name() == "lookalike_of").unwrap();
        let reason = found.text();
        let base = its.base().name();
        assert_eq!(reason, format!("{base} has the code of {original}"));
    }
}
