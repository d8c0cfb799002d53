//! Limits of a document, checked before it is executed: nesting, fields, aliases, directives, whole lists, and the
//! markets that must be scanned for it. Pure.

mod cost;

use std::collections::HashMap;

use async_graphql::{
    Name, Value, Variables,
    parser::types::{ExecutableDocument, Field, Selection, SelectionSet},
};

use super::{market_data::FIRST_DEFAULT, plan::List, punctuation};
use crate::domain::{
    conversions::SaturatingFrom,
    market_snapshot::{MarketSnapshot, PairCodes},
};

pub(super) use cost::{Cost, LimitError};
use cost::{DIRECTIVES_MAX, FRAGMENTS_MAX, NESTING_MAX, VALUES_MAX, add};

/// Fields at the root that are made of trades.
const HISTORY_FIELDS: [&str; 2] = ["trades", "candles"];
const INTROSPECTION_LISTS: [&str; 8] =
    ["types", "fields", "args", "inputFields", "interfaces", "enumValues", "possibleTypes", "directives"];

/// Checks a document before it is parsed. The parser is recursive, so deep nesting would overflow its stack, and it
/// takes up to 1 KiB for each directive.
pub(super) fn check_text(text: &str) -> Result<(), LimitError> {
    let counted = punctuation::count(text);
    if counted.depth > NESTING_MAX {
        Err(LimitError::Nesting)
    } else if u32::saturating_from(counted.directives) > DIRECTIVES_MAX {
        Err(LimitError::Directives)
    } else {
        Ok(())
    }
}

/// Counts the cost of a document on this snapshot.
///
/// # Errors
///
/// The first limit that the document exceeds.
pub(super) fn check(
    document: &ExecutableDocument,
    variables: &Variables,
    snapshot: &MarketSnapshot,
) -> Result<Cost, LimitError> {
    if document.fragments.len() > FRAGMENTS_MAX {
        return Err(LimitError::Fragments); // Counting recurses from fragment to fragment.
    }
    let defaults = defaults_of(document);
    let mut counter = Counter { document, variables, defaults, snapshot, fragments: HashMap::new() };
    let mut all = Cost::default();
    for (_, operation) in document.operations.iter() {
        let operation = &operation.node;
        let variables = operation.variable_definitions.iter().map(|variable| variable.node.directives.len());
        all.add(&counter.selection(&operation.selection_set.node, true));
        all.directives = add(all.directives, operation.directives.len() + variables.sum::<usize>());
    }
    for (name, fragment) in &document.fragments {
        // Unused fragments count as well, because the validator visits them.
        counter.fragment(name);
        all.directives = add(all.directives, fragment.node.directives.len());
    }
    all.within_limits()
}

/// Defaults of the variables of all operations. If two variables share a name, the costlier
/// default counts, since only one operation runs.
fn defaults_of(document: &ExecutableDocument) -> HashMap<Name, Value> {
    let mut defaults: HashMap<Name, Value> = HashMap::new();
    let operations = document.operations.iter();
    for variable in operations.flat_map(|(_, operation)| &operation.node.variable_definitions) {
        let Some(default) = variable.node.default_value.as_ref().map(|default| default.node.clone()) else {
            continue;
        };
        let merged = match defaults.remove(&variable.node.name.node) {
            None => default,
            Some(known) if known == default => default,
            Some(Value::Number(known)) if matches!(&default, Value::Number(other) if other.as_f64() < known.as_f64()) => {
                Value::Number(known)
            }
            Some(Value::Number(_)) if matches!(default, Value::Number(_)) => default,
            Some(_) => Value::Null, // no filter
        };
        defaults.insert(variable.node.name.node.clone(), merged);
    }
    defaults
}

/// Returns an upper bound of the values in these lists on a snapshot.
///
/// # Errors
///
/// [`LimitError::Values`] if there are too many.
pub(super) fn weigh<'a>(
    lists: impl IntoIterator<Item = &'a List>,
    snapshot: &MarketSnapshot,
) -> Result<u64, LimitError> {
    let values = lists.into_iter().fold(0_u64, |sum, list| sum.saturating_add(list.count_max(snapshot)));
    if values > VALUES_MAX { Err(LimitError::Values(values)) } else { Ok(values) }
}

struct Counter<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    /// Defaults of the variables that no request gives.
    defaults: HashMap<Name, Value>,
    snapshot: &'a MarketSnapshot,
    /// Cost of each fragment. None while it is being counted, so that a cycle ends; the validator refuses it later.
    fragments: HashMap<Name, Option<Cost>>,
}

impl Counter<'_> {
    fn selection(&mut self, set: &SelectionSet, is_root: bool) -> Cost {
        let mut cost = Cost::default();
        for item in &set.items {
            cost.directives = add(cost.directives, item.node.directives().len());
            let part = match &item.node {
                Selection::Field(field) => self.field(&field.node, is_root),
                Selection::InlineFragment(inline) => self.selection(&inline.node.selection_set.node, is_root),
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node),
            };
            cost.add(&part);
        }
        cost
    }

    fn field(&mut self, field: &Field, is_root: bool) -> Cost {
        let mut cost = self.selection(&field.selection_set.node, false);
        let name = field.name.node.as_str();
        cost.depth = add(cost.depth, 1);
        cost.fields = add(cost.fields, 1);
        cost.aliases = add(cost.aliases, usize::from(field.alias.is_some()));
        if INTROSPECTION_LISTS.contains(&name) {
            cost.introspection_lists = add(cost.introspection_lists, 1);
        }
        if is_root && name != "__typename" {
            let markets = self.markets(field);
            cost.whole_lists = u32::from(markets.is_none());
            cost.markets = add(0, markets.unwrap_or_default());
            cost.has_pairs = name == "ticker";
            cost.has_history = HISTORY_FIELDS.contains(&name);
        }
        cost
    }

    /// Returns the number of markets that must be scanned for one pair or for two codes, or none for a whole list. A
    /// trade or a candle counts as much as a market.
    ///
    /// A null argument does not filter. One of another type counts as empty, because the validator refuses it.
    fn markets(&self, field: &Field) -> Option<usize> {
        let argument = |name: &str| {
            let variable = |name: Name| {
                let value = self.variables.get(&name).or_else(|| self.defaults.get(&name));
                value.cloned().ok_or(())
            };
            let value = field.get_argument(name)?.node.clone().into_const_with(variable).ok()?;
            (value != Value::Null).then_some(value)
        };
        if HISTORY_FIELDS.contains(&field.name.node.as_str()) {
            let first = argument("first").and_then(|first| match first {
                Value::Number(number) => usize::try_from(number.as_u64()?).ok(),
                _ => None,
            });
            return argument("market").map(|_| first.unwrap_or(FIRST_DEFAULT));
        }
        let text = |value: &Value| if let Value::String(text) = value { text.clone() } else { String::new() };
        if let Some(name) = argument("pairName") {
            return Some(
                PairCodes::parse(&text(&name))
                    .map_or(0, |codes| self.snapshot.count_candidates(codes.both())),
            );
        }
        let (base, counter) = (argument("baseAssetCode")?, argument("counterAssetCode")?);
        Some(self.snapshot.count_candidates([&text(&base), &text(&counter)]))
    }

    fn fragment(&mut self, name: &Name) -> Cost {
        if let Some(known) = self.fragments.get(name) {
            return known.unwrap_or_default();
        }
        let Some(fragment) = self.document.fragments.get(name) else { return Cost::default() };
        self.fragments.insert(name.clone(), None);
        // Only a fragment on Query can be at the root. The validator refuses any other one there.
        let is_root = fragment.node.type_condition.node.on.node == "Query";
        let cost = self.selection(&fragment.node.selection_set.node, is_root);
        self.fragments.insert(name.clone(), Some(cost));
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{test_support::directory, windows::Windows};
    use async_graphql::parser::parse_query;
    use proptest::prelude::*;
    use serde_json::json;

    fn cost_with(query: &str, variables: serde_json::Value) -> Result<Cost, LimitError> {
        check_text(query)?;
        check(&parse_query(query).unwrap(), &Variables::from_json(variables), &MarketSnapshot::default())
    }

    fn cost(query: &str) -> Result<Cost, LimitError> {
        cost_with(query, json!({}))
    }

    fn nested(depth: usize) -> String {
        format!("{}a{}", "{a".repeat(depth), "}".repeat(depth))
    }

    #[test]
    fn documents_of_real_clients_are_accepted() {
        let all = "markets(numHoursAgo:168){tradePair orderbookStats{bidCount}} ticker{close} assets{code} issuers{url}";
        let counted = cost(&format!("{{{all}}}")).unwrap();
        assert_eq!((counted.whole_lists, counted.depth, counted.fields), (4, 3, 10));
        let pairs: String =
            (0..50).map(|n| format!("a{n}: ticker(pairName: \"XLM_A{n}\") {{ tradePair close }} ")).collect();
        assert_eq!(cost(&format!("{{{pairs}}}")).unwrap().whole_lists, 0);
        let introspection = "query I { __schema { types { ...T } directives { args { name } } } }
            fragment T on __Type { fields { args { type { ...R } } type { ...R } } inputFields { type { ...R } } }
            fragment R on __Type { kind ofType { kind ofType { kind ofType { kind ofType { kind ofType { kind ofType
            { kind ofType { kind ofType { kind ofType { kind } } } } } } } } } }";
        assert_eq!(cost(introspection).unwrap().whole_lists, 1);
    }

    #[test]
    fn trades_and_candles_cost_what_their_first_says() {
        let two = "{trades(market: \"A\", first: 7) {id} candles(market: \"A\", first: $n) {time}}";
        let counted = cost_with(&format!("query($n: Int) {two}"), json!({"n": 900})).unwrap();
        assert_eq!((counted.markets, counted.whole_lists), (907, 0));
        assert!(!counted.is_small(&MarketSnapshot::default()), "trades are scanned");
        let default = cost(&format!("query($n: Int = 400) {two}")).unwrap();
        assert_eq!((default.markets, default.whole_lists), (407, 0));
        for (one, other) in [(900, 1), (1, 900)] {
            let both = format!("query A($n: Int = {one}) {two} query B($n: Int = {other}) {{__typename}}");
            assert_eq!(cost(&both).unwrap().markets, 907, "{both}");
        }
        assert_eq!(cost("{trades {id}}").unwrap().whole_lists, 1);
    }

    #[test]
    fn each_limit_holds() {
        let many = |count: usize, part: &str| format!("{{{}}}", part.repeat(count));
        let aliases: String = (0..101).map(|n| format!("a{n}:__typename ")).collect();
        let fragments: String =
            (0..51).map(|n| format!("fragment f{n} on Query {{ ...f{} }} ", n + 1)).collect();
        for (query, refusal) in [
            (nested(41), LimitError::Nesting),
            (nested(2_000), LimitError::Nesting),
            ("[".repeat(60_000), LimitError::Nesting),
            (nested(21), LimitError::Depth),
            (many(2_501, "a "), LimitError::Fields),
            (format!("{{{aliases}}}"), LimitError::Aliases),
            (many(51, "a @b "), LimitError::Directives),
            (format!("{{ a {} }}", "@b".repeat(51)), LimitError::Directives),
            (many(9, "markets { close } "), LimitError::WholeLists),
            (many(9, "__schema { description } "), LimitError::WholeLists),
            (format!("{{ ...f0 }} {fragments}"), LimitError::Fragments),
            (
                "{__schema{types{fields{type{fields{type{fields{name}}}}}}}}".to_owned(),
                LimitError::Introspection,
            ),
        ] {
            assert_eq!(cost(&query), Err(refusal), "{query:.60}");
        }
    }

    #[test]
    fn fragments_count_at_each_use_and_cycles_end() {
        let mut bomb = "{ ...f0 }".to_owned();
        for n in 0..40 {
            bomb.push_str(&format!(" fragment f{n} on Query {{ ...f{0} ...f{0} }}", n + 1));
        }
        bomb.push_str(" fragment f40 on Query { a }");
        assert_eq!(cost(&bomb), Err(LimitError::Fields));
        assert!(cost("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }").is_ok());
        let whole =
            "{ ...a ...a ...a } fragment a on Query { assets { code } issuers { url } ticker { close } }";
        assert_eq!(cost(whole), Err(LimitError::WholeLists));
    }

    #[test]
    fn a_null_argument_does_not_filter() {
        let markets =
            "query($b: String, $c: String) { markets(baseAssetCode: $b, counterAssetCode: $c) { close } }";
        let lists = |variables| cost_with(markets, variables).unwrap().whole_lists;
        assert_eq!(lists(json!({"b": "XLM", "c": "BTC"})), 0);
        assert_eq!(lists(json!({"b": "XLM", "c": null})), 1);
        assert_eq!(lists(json!({"b": "XLM"})), 1);
        assert_eq!(cost("{ ticker(pairName: null) { close } }").unwrap().whole_lists, 1);
    }

    /// Returns a snapshot with this number of markets of XLM. Each of the codes A0, A1 … belongs to ten of them.
    fn snapshot(markets: i32) -> MarketSnapshot {
        let codes: Vec<String> = (0..markets).map(|n| format!("A{}", n / 10)).collect();
        let assets: Vec<_> = [("XLM", "native", "")]
            .into_iter()
            .chain(codes.iter().map(|code| (code.as_str(), "G", "")))
            .collect();
        let markets: Vec<_> = (1..=markets).map(|n| (n, 1, n + 1)).collect();
        MarketSnapshot::new(Windows::default().view(), directory(&assets, &markets, &[]))
    }

    #[test]
    fn a_document_that_scans_many_markets_is_large_whatever_its_arguments() {
        let snapshot = snapshot(1_001);
        let _ = snapshot.book_of_pair("XLM_A0"); // Computes the sums of the books.
        let count = |query: &str| {
            check(&parse_query(query).unwrap(), &Variables::from_json(json!({"p": "XLM_XLM"})), &snapshot)
                .unwrap()
        };
        for query in [
            "{ ticker(pairName: \"XLM_XLM\") { open } }",
            "query($p: String) { ticker(pairName: $p) { open } }",
            "{ markets(baseAssetCode: \"XLM\", counterAssetCode: \"XLM\") { open } }",
        ] {
            let cost = count(query);
            assert_eq!((cost.markets, cost.whole_lists), (1_001, 0), "{query}");
            assert!(cost.is_large() && !cost.is_small(&snapshot), "{query}");
        }
        let few = "ticker(pairName: \"A1_XLM\") { open }";
        let cost = count(&format!("{{ {few} b: {few} ...c }} fragment c on Query {{ d: {few} }}"));
        assert_eq!(cost.markets, 30, "all fields together");
        assert!(cost.is_small(&snapshot));
        for none in ["pairName: \"XLM\"", "pairName: 5", "pairName: \"XLM_NONE\""] {
            assert_eq!(count(&format!("{{ ticker({none}) {{ open }} }}")).markets, 0, "{none}");
        }
    }

    #[test]
    fn a_pair_is_not_small_before_the_books_are_summed() {
        let snapshot = snapshot(10);
        let cost =
            |query: &str| check(&parse_query(query).unwrap(), &Variables::default(), &snapshot).unwrap();
        let pair = cost("{ ticker(pairName: \"XLM_A0\") { open } }");
        assert!(!pair.is_small(&snapshot) && !pair.is_large());
        let market = cost("{ markets(baseAssetCode: \"XLM\", counterAssetCode: \"A0\") { open } }");
        assert!(market.is_small(&snapshot), "a market's book is its own");
        let _ = snapshot.book_of_pair("XLM_A0");
        assert!(pair.is_small(&snapshot));
    }

    #[tokio::test]
    async fn values_are_counted_before_a_row_is_printed() {
        use super::super::{prepared::Prepared, request::DocumentRequest, schema::legacy};
        let snapshot = snapshot(1_001); // 1,002 assets, and no market that traded
        let weighed = async |query: &str| {
            let body = json!({ "query": query }).to_string();
            let request =
                DocumentRequest::from_body(body.as_bytes()).unwrap().parse(&snapshot).unwrap().unwrap().0;
            weigh(Prepared::of(&legacy(), request).await.lists(), &snapshot)
        };
        assert_eq!(weighed("{ assets { code issuerAccount } issuers { name } }").await, Ok(3 * 1_002));
        assert_eq!(
            weighed("{ assets { code ...a } assets { code } } fragment a on Asset { code }").await,
            Ok(1_002)
        );
        assert_eq!(weighed("{ markets { close } ticker { close } __typename }").await, Ok(0));
        let of_two = "(baseAssetCode: \"XLM\", counterAssetCode: \"A7\")";
        let fields = "open orderbookStats { bidMax askMin }";
        assert_eq!(weighed(&format!("{{ markets{of_two} {{ {fields} }} }}")).await, Ok(30));
        let aliases: String = (0..1_000).map(|n| format!("a{n}: code ")).collect();
        let lists: String = (0..4).map(|n| format!("l{n}: assets {{ {aliases} }} ")).collect();
        // This document has too many aliases as well, so the other limits are not checked here.
        assert_eq!(weigh_unchecked(&lists, &snapshot).await, Err(LimitError::Values(4 * 1_000 * 1_002)));
    }

    async fn weigh_unchecked(lists: &str, snapshot: &MarketSnapshot) -> Result<u64, LimitError> {
        use super::super::{prepared::Prepared, schema::legacy};
        let request = async_graphql_actix_web::GraphQLRequest(format!("{{ {lists} }}").into());
        weigh(Prepared::of(&legacy(), request).await.lists(), snapshot)
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "[\\PC\\n\"#{}()\\[\\]\\\\]{0,200}") {
            if check_text(&text).is_ok() && let Ok(document) = parse_query(&text) {
                let _ = check(&document, &Variables::default(), &MarketSnapshot::default());
            }
        }
    }
}
