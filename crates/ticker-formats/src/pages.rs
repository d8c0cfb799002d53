//! Pages for people: the list of markets, a market, an asset, the ticker's own state. Made on the server: they work
//! without script.
//!
//! The templates escape all texts. `AssetView` strips hidden characters of the texts of strangers.

mod asset;
mod explain;
mod frame;
mod gaps;
mod list;
mod market;
mod message;
mod row;
mod state;
mod status;

use askama::Template;

pub use asset::asset;
pub use explain::explain;
pub use list::list;
pub use market::{MarketRequest, market, page_interval};
pub use message::{missing, starting};
pub use state::{
    AuditState, BackfillState, BudgetState, LakeFigures, LakeReport, TickerState, UnreadLedgers,
};
pub use status::{licences, status};

use frame::Frame;

fn rendered(page: &impl Template) -> Vec<u8> {
    // Rendering plain fields into memory does not fail.
    page.render().unwrap_or_default().into_bytes()
}

/// JSON-LD for a page. It stands in a `script` element, which no text in it may end.
fn linked_data(document: &serde_json::Value) -> String {
    document.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_the_element_of_linked_data() {
        let data = linked_data(&serde_json::json!({"a": "</script><script>alert(1)</script>"}));
        assert!(!data.contains('<'), "{data}");
        let read: serde_json::Value = serde_json::from_str(&data).unwrap();
        assert_eq!(read["a"], "</script><script>alert(1)</script>");
    }
}
