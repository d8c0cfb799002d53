//! What a document may hold, decided before it is executed: nesting, fields, aliases, directives, whole lists. Pure.

use std::collections::HashMap;

use async_graphql::{
    Name, Value, Variables,
    parser::types::{ExecutableDocument, Field, Selection, SelectionSet},
};

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
/// Fields under another name.
const ALIASES_MAX: u32 = 100;
/// Directives in all.
const DIRECTIVES_MAX: u32 = 50;
/// Lists of everything, or nearly: assets, issuers, introspection, tickers without a pair's name, and markets without
/// the codes of both sides.
const WHOLE_LISTS_MAX: u32 = 8;
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
}

/// What a document, or a part of it, comes to with its fragments written out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    depth: u32,
    fields: u32,
    aliases: u32,
    directives: u32,
    /// Lists of everything at the root.
    pub(super) whole_lists: u32,
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

/// Counts a document.
///
/// # Errors
///
/// The first bound that it breaks.
pub(super) fn check(document: &ExecutableDocument, variables: &Variables) -> Result<Cost, TooMuch> {
    if document.fragments.len() > FRAGMENTS_MAX {
        return Err(TooMuch::Fragments); // each can lead to the next, and counting goes along
    }
    let mut counter = Counter { document, variables, fragments: HashMap::new() };
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

struct Counter<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
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
            cost.whole_lists = u32::from(!self.asks_for_few(field));
        }
        cost
    }

    /// One pair, or markets of two codes. What is null filters nothing.
    fn asks_for_few(&self, field: &Field) -> bool {
        let names: Vec<&str> = field
            .arguments
            .iter()
            .filter(|(_, value)| {
                let variable = |name: Name| self.variables.get(&name).cloned().ok_or(());
                value.node.clone().into_const_with(variable).is_ok_and(|value| value != Value::Null)
            })
            .map(|(name, _)| name.node.as_str())
            .collect();
        let has = |name: &str| names.contains(&name);
        has("pairName") || has("baseAssetCode") && has("counterAssetCode")
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
    /// Whether an answer takes microseconds.
    pub(super) const fn asks_for_little(&self) -> bool {
        self.whole_lists == 0 && self.fields <= LITTLE_FIELDS
    }

    /// Beside each other: depths do not add up.
    fn add(&mut self, other: &Self) {
        self.depth = self.depth.max(other.depth);
        self.fields = self.fields.saturating_add(other.fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.whole_lists = self.whole_lists.saturating_add(other.whole_lists);
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
    use async_graphql::parser::parse_query;
    use proptest::prelude::*;
    use serde_json::json;

    fn cost_with(query: &str, variables: serde_json::Value) -> Result<Cost, TooMuch> {
        check_nesting(query)?;
        check(&parse_query(query).unwrap(), &Variables::from_json(variables))
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
                let _ = check(&document, &Variables::default());
            }
        }
    }
}
