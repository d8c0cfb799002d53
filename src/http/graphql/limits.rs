//! What a document may hold, decided before it is executed: nesting, fields, aliases, directives, whole lists, and the
//! markets that are looked at for it. Pure.

use std::collections::HashMap;

use async_graphql::{
    Name, Value, Variables,
    parser::types::{ExecutableDocument, Field, Selection, SelectionSet},
};

use super::{output::ANSWER_BYTES_MAX, plan::List};
use crate::domain::market_snapshot::{MarketSnapshot, PairCodes};

/// Brackets of any kind within each other, seen before the parser is let at the text. GraphiQL's introspection has 14.
const NESTING_MAX: usize = 40;
/// Fields within each other, fragments written out.
const DEPTH_MAX: u32 = 20;
/// Fragments in all.
const FRAGMENTS_MAX: usize = 50;
/// Fields in all, fragments written out. Each pair of a long list asked for by its own alias with all fields has 22.
const FIELDS_MAX: u32 = 2_500;
/// Fields of a document that asks for little.
const LITTLE_FIELDS: u32 = 60;
/// Markets that are looked at for a document that asks for little, all its fields together: some 100 ns each, and a
/// microsecond or two for each that is in the answer.
const LITTLE_MARKETS: u32 = 1_000;
/// Fields under another name.
const ALIASES_MAX: u32 = 100;
/// Directives in all.
const DIRECTIVES_MAX: u32 = 50;
/// Lists of everything, or nearly: assets, issuers, introspection, tickers without a pair's name, and markets without
/// the codes of both sides.
const WHOLE_LISTS_MAX: u32 = 8;
/// Values in all lists of rows: rows times fields. Everything that the endpoint knows of 30,000 markets and 40,000 assets,
/// asked for once, is 2.7 million. Printing so many takes two seconds.
const VALUES_MAX: u64 = 4_000_000;
/// Lists of introspection within each other: each multiplies the answer. `types { fields { args } }` has 3.
const INTROSPECTION_LISTS_MAX: u32 = 3;
const INTROSPECTION_LISTS: [&str; 8] =
    ["types", "fields", "args", "inputFields", "interfaces", "enumValues", "possibleTypes", "directives"];

/// Which bound a document breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMuch {
    #[error("brackets are nested deeper than {NESTING_MAX}")]
    Nesting,
    #[error("fields are nested deeper than {DEPTH_MAX}")]
    Depth,
    #[error("more than {FRAGMENTS_MAX} fragments")]
    Fragments,
    #[error("more than {FIELDS_MAX} fields")]
    Fields,
    #[error("more than {ALIASES_MAX} aliases")]
    Aliases,
    #[error("more than {DIRECTIVES_MAX} directives")]
    Directives,
    #[error("more than {WHOLE_LISTS_MAX} whole lists")]
    WholeLists,
    #[error("lists of introspection are nested deeper than {INTROSPECTION_LISTS_MAX}")]
    Introspection,
    #[error(
        "{0} values (rows times fields), and {VALUES_MAX} are the most: ask for fewer fields or lists at once"
    )]
    Values(u64),
    #[error("an answer of more than {} MiB: ask for fewer fields or lists at once, or accept gzip", ANSWER_BYTES_MAX >> 20)]
    Bytes,
}

/// What a document, or a part of it, comes to with its fragments written out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    depth: u32,
    fields: u32,
    aliases: u32,
    directives: u32,
    /// Lists of everything at the root.
    whole_lists: u32,
    /// Markets that are looked at for all other fields at the root.
    markets: u32,
    /// Whether a pair's books are asked for.
    asks_for_pairs: bool,
    introspection_lists: u32,
}

/// Refuses a text whose brackets are nested too deep for a parser that calls itself.
pub(super) fn check_nesting(text: &str) -> Result<(), TooMuch> {
    let (mut depth, mut rest) = (0_usize, text);
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '#' => rest.trim_start_matches(|character| character != '\n' && character != '\r'),
            '"' => behind_string(rest),
            _ => rest.get(first.len_utf8()..).unwrap_or_default(),
        };
        match first {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(TooMuch::Nesting);
        }
    }
    Ok(())
}

/// What follows the string that `text` begins with; nothing where it does not end.
fn behind_string(text: &str) -> &str {
    if let Some(block) = text.strip_prefix("\"\"\"") {
        let mut from = 0;
        while let Some(at) = block.get(from..).and_then(|rest| rest.find("\"\"\"")).map(|at| at + from) {
            if block.get(..at).is_some_and(|before| !before.ends_with('\\')) {
                return block.get(at + 3..).unwrap_or_default();
            }
            from = at + 3;
        }
        return "";
    }
    let mut is_escaped = true; // the opening quote
    for (at, character) in text.char_indices() {
        match character {
            '"' | '\n' | '\r' if !is_escaped => return text.get(at + 1..).unwrap_or_default(),
            _ => is_escaped = character == '\\' && !is_escaped,
        }
    }
    ""
}

/// Counts a document, and what is looked at on this snapshot to answer it.
///
/// # Errors
///
/// The first bound that it breaks.
pub(super) fn check(
    document: &ExecutableDocument,
    variables: &Variables,
    snapshot: &MarketSnapshot,
) -> Result<Cost, TooMuch> {
    if document.fragments.len() > FRAGMENTS_MAX {
        return Err(TooMuch::Fragments); // each can lead to the next, and counting goes along
    }
    let mut counter = Counter { document, variables, snapshot, fragments: HashMap::new() };
    let mut all = Cost::default();
    for (_, operation) in document.operations.iter() {
        let operation = &operation.node;
        let variables = operation.variable_definitions.iter().map(|variable| variable.node.directives.len());
        all.add(&counter.selection(&operation.selection_set.node, true));
        all.directives = add(all.directives, operation.directives.len() + variables.sum::<usize>());
    }
    for (name, fragment) in &document.fragments {
        // Also one that nothing uses: a validator looks at it.
        counter.fragment(name);
        all.directives = add(all.directives, fragment.node.directives.len());
    }
    all.within_bounds()
}

/// The values of these lists on a snapshot, at most.
///
/// # Errors
///
/// They are too many.
pub(super) fn weigh<'a>(
    lists: impl IntoIterator<Item = &'a List>,
    snapshot: &MarketSnapshot,
) -> Result<u64, TooMuch> {
    let values = lists.into_iter().fold(0_u64, |sum, list| sum.saturating_add(list.count_max(snapshot)));
    if values > VALUES_MAX { Err(TooMuch::Values(values)) } else { Ok(values) }
}

struct Counter<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    snapshot: &'a MarketSnapshot,
    /// What each fragment comes to; none while it is being counted, for a circle is the validator's to refuse.
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
            cost.asks_for_pairs = name == "ticker";
        }
        cost
    }

    /// How many markets are looked at for one pair, or for markets of two codes; none: it is a whole list. What is null
    /// filters nothing, and what is no text is an error before anything is looked at.
    fn markets(&self, field: &Field) -> Option<usize> {
        let argument = |name: &str| {
            let variable = |name: Name| self.variables.get(&name).cloned().ok_or(());
            let value = field.get_argument(name)?.node.clone().into_const_with(variable).ok()?;
            (value != Value::Null).then_some(value)
        };
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
        // Only a fragment on Query stands at the root; elsewhere its type condition is wrong there.
        let is_root = fragment.node.type_condition.node.on.node == "Query";
        let cost = self.selection(&fragment.node.selection_set.node, is_root);
        self.fragments.insert(name.clone(), Some(cost));
        cost
    }
}

fn add(count: u32, more: usize) -> u32 {
    count.saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
}

impl Cost {
    /// Whether it waits for a place among those that take long.
    pub(super) const fn asks_for_much(&self) -> bool {
        self.whole_lists > 0 || self.markets > LITTLE_MARKETS
    }

    /// Whether an answer takes well below a millisecond on this snapshot.
    pub(super) fn asks_for_little(&self, snapshot: &MarketSnapshot) -> bool {
        let has_books = !self.asks_for_pairs || snapshot.has_book_sums();
        !self.asks_for_much() && self.fields <= LITTLE_FIELDS && has_books
    }

    /// Beside each other: depths do not add up.
    fn add(&mut self, other: &Self) {
        self.depth = self.depth.max(other.depth);
        self.fields = self.fields.saturating_add(other.fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.whole_lists = self.whole_lists.saturating_add(other.whole_lists);
        self.markets = self.markets.saturating_add(other.markets);
        self.asks_for_pairs |= other.asks_for_pairs;
        self.introspection_lists = self.introspection_lists.max(other.introspection_lists);
    }

    const fn within_bounds(self) -> Result<Self, TooMuch> {
        match self {
            Self { depth, .. } if depth > DEPTH_MAX => Err(TooMuch::Depth),
            Self { fields, .. } if fields > FIELDS_MAX => Err(TooMuch::Fields),
            Self { aliases, .. } if aliases > ALIASES_MAX => Err(TooMuch::Aliases),
            Self { directives, .. } if directives > DIRECTIVES_MAX => Err(TooMuch::Directives),
            Self { whole_lists, .. } if whole_lists > WHOLE_LISTS_MAX => Err(TooMuch::WholeLists),
            Self { introspection_lists, .. } if introspection_lists > INTROSPECTION_LISTS_MAX => {
                Err(TooMuch::Introspection)
            }
            within => Ok(within),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{test_support::directory, windows::Windows};
    use async_graphql::parser::parse_query;
    use proptest::prelude::*;
    use serde_json::json;

    fn cost_with(query: &str, variables: serde_json::Value) -> Result<Cost, TooMuch> {
        check_nesting(query)?;
        check(&parse_query(query).unwrap(), &Variables::from_json(variables), &MarketSnapshot::default())
    }

    fn cost(query: &str) -> Result<Cost, TooMuch> {
        cost_with(query, json!({}))
    }

    fn nested(depth: usize) -> String {
        format!("{}a{}", "{a".repeat(depth), "}".repeat(depth))
    }

    #[test]
    fn what_clients_send_is_let_through() {
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
    fn each_bound_holds() {
        let many = |count: usize, part: &str| format!("{{{}}}", part.repeat(count));
        let aliases: String = (0..101).map(|n| format!("a{n}:__typename ")).collect();
        let fragments: String =
            (0..51).map(|n| format!("fragment f{n} on Query {{ ...f{} }} ", n + 1)).collect();
        for (query, refusal) in [
            (nested(41), TooMuch::Nesting),
            (nested(2_000), TooMuch::Nesting),
            ("[".repeat(60_000), TooMuch::Nesting),
            (nested(21), TooMuch::Depth),
            (many(2_501, "a "), TooMuch::Fields),
            (format!("{{{aliases}}}"), TooMuch::Aliases),
            (many(51, "a @b "), TooMuch::Directives),
            (format!("{{ a {} }}", "@b".repeat(51)), TooMuch::Directives),
            (many(9, "markets { close } "), TooMuch::WholeLists),
            (many(9, "__schema { description } "), TooMuch::WholeLists),
            (format!("{{ ...f0 }} {fragments}"), TooMuch::Fragments),
            (
                "{__schema{types{fields{type{fields{type{fields{name}}}}}}}}".to_owned(),
                TooMuch::Introspection,
            ),
        ] {
            assert_eq!(cost(&query), Err(refusal), "{query:.60}");
        }
    }

    #[test]
    fn fragments_count_as_often_as_they_are_used_and_circles_end() {
        let mut bomb = "{ ...f0 }".to_owned();
        for n in 0..40 {
            bomb.push_str(&format!(" fragment f{n} on Query {{ ...f{0} ...f{0} }}", n + 1));
        }
        bomb.push_str(" fragment f40 on Query { a }");
        assert_eq!(cost(&bomb), Err(TooMuch::Fields));
        assert!(cost("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }").is_ok());
        let whole =
            "{ ...a ...a ...a } fragment a on Query { assets { code } issuers { url } ticker { close } }";
        assert_eq!(cost(whole), Err(TooMuch::WholeLists));
    }

    #[test]
    fn a_filter_that_is_null_is_none() {
        let markets =
            "query($b: String, $c: String) { markets(baseAssetCode: $b, counterAssetCode: $c) { close } }";
        let lists = |variables| cost_with(markets, variables).unwrap().whole_lists;
        assert_eq!(lists(json!({"b": "XLM", "c": "BTC"})), 0);
        assert_eq!(lists(json!({"b": "XLM", "c": null})), 1);
        assert_eq!(lists(json!({"b": "XLM"})), 1);
        assert_eq!(cost("{ ticker(pairName: null) { close } }").unwrap().whole_lists, 1);
    }

    /// XLM against so many others; A0 to A9 are the codes of ten of them each.
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
    fn what_many_markets_are_looked_at_for_is_not_little_whatever_its_arguments_are_called() {
        let snapshot = snapshot(1_001);
        let _ = snapshot.book_of_pair("XLM_A0"); // sums the books
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
            assert!(cost.asks_for_much() && !cost.asks_for_little(&snapshot), "{query}");
        }
        let few = "ticker(pairName: \"A1_XLM\") { open }";
        let cost = count(&format!("{{ {few} b: {few} ...c }} fragment c on Query {{ d: {few} }}"));
        assert_eq!(cost.markets, 30, "all fields together");
        assert!(cost.asks_for_little(&snapshot));
        for none in ["pairName: \"XLM\"", "pairName: 5", "pairName: \"XLM_NONE\""] {
            assert_eq!(count(&format!("{{ ticker({none}) {{ open }} }}")).markets, 0, "{none}");
        }
    }

    #[test]
    fn a_pair_waits_elsewhere_for_the_sums_of_all_books() {
        let snapshot = snapshot(10);
        let cost =
            |query: &str| check(&parse_query(query).unwrap(), &Variables::default(), &snapshot).unwrap();
        let pair = cost("{ ticker(pairName: \"XLM_A0\") { open } }");
        assert!(!pair.asks_for_little(&snapshot) && !pair.asks_for_much());
        let market = cost("{ markets(baseAssetCode: \"XLM\", counterAssetCode: \"A0\") { open } }");
        assert!(market.asks_for_little(&snapshot), "a market's book is its own");
        let _ = snapshot.book_of_pair("XLM_A0");
        assert!(pair.asks_for_little(&snapshot));
    }

    #[tokio::test]
    async fn rows_times_fields_are_weighed_before_a_row_is_printed() {
        use super::super::{prepared::Prepared, request::Asked, schema::legacy};
        let snapshot = snapshot(1_001); // 1,002 assets, and no market that traded
        let weighed = async |query: &str| {
            let body = json!({ "query": query }).to_string();
            let request = Asked::from_body(body.as_bytes()).unwrap().parse(&snapshot).unwrap().unwrap().0;
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
        // Such a document has too many aliases as well; it is not checked here.
        assert_eq!(weigh_unchecked(&lists, &snapshot).await, Err(TooMuch::Values(4 * 1_000 * 1_002)));
    }

    async fn weigh_unchecked(lists: &str, snapshot: &MarketSnapshot) -> Result<u64, TooMuch> {
        use super::super::{prepared::Prepared, schema::legacy};
        let request = async_graphql_actix_web::GraphQLRequest(format!("{{ {lists} }}").into());
        weigh(Prepared::of(&legacy(), request).await.lists(), snapshot)
    }

    #[test]
    fn brackets_in_texts_and_comments_do_not_nest() {
        let brackets = "{[(".repeat(50);
        for query in [
            format!("{{ a(b: \"{brackets}\") }}"),
            format!("{{ a(b: \"\\\"{brackets}\") }}"),
            format!("{{ a(b: \"\"\"\\\"\"\"{brackets}\"\"\") }}"),
            format!("{{ a # {brackets}\n }}"),
        ] {
            assert_eq!(check_nesting(&query), Ok(()), "{query}");
        }
        assert_eq!(check_nesting(&format!("\"\" {brackets}")), Err(TooMuch::Nesting));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\PC\\n\"#{}()\\[\\]\\\\]{0,200}") {
            if check_nesting(&text).is_ok() && let Ok(document) = parse_query(&text) {
                let _ = check(&document, &Variables::default(), &MarketSnapshot::default());
            }
        }
    }
}
