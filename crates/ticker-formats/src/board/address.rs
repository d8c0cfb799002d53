//! Addresses of the list.

use ticker_domain::percent::encoded;

use super::BoardQuery;

impl BoardQuery {
    /// Address of the list with this selection: `/`, and a query string, without the values that are the default.
    #[must_use]
    pub fn address(&self) -> String {
        let default = BoardQuery::default();
        let mut pairs = Vec::new();
        let mut add = |name: &str, value: String, is_default: bool| {
            if !is_default {
                pairs.push(format!("{name}={}", encoded(&value)));
            }
        };
        add("q", self.words.clone(), self.words.is_empty());
        add("quote", self.quote.clone(), self.quote.is_empty());
        add("volume", self.volume.to_string(), self.volume == 0);
        add("verified", "1".to_owned(), !self.is_verified);
        add("clean", "1".to_owned(), !self.is_clean);
        add("sort", self.sort.name().to_owned(), self.sort == default.sort);
        let order = if self.is_ascending { "asc" } else { "desc" };
        add("order", order.to_owned(), self.is_ascending == self.sort.is_ascending_first());
        add("page", self.page.to_string(), self.page == default.page);
        if pairs.is_empty() { "/".to_owned() } else { format!("/?{}", pairs.join("&")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Sort;

    #[test]
    fn an_address_names_only_what_differs_from_the_default() {
        assert_eq!(BoardQuery::default().address(), "/");
        let query = BoardQuery {
            words: "a&b\"<é".into(),
            sort: Sort::Name,
            is_ascending: false,
            page: 2,
            ..BoardQuery::default()
        };
        assert_eq!(query.address(), "/?q=a%26b%22%3C%C3%A9&sort=name&order=desc&page=2");
    }
}
