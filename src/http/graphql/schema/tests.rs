//! Tests that the schema is that of the old ticker, and that everything in it has a description.

use async_graphql::Request;
use futures_util::FutureExt;
use serde_json::Value;

use super::legacy;

/// Returns the schema without its descriptions, which is what clients of the old ticker depend on.
fn without_descriptions(sdl: &str) -> String {
    let mut is_description = false;
    let kept = sdl.lines().filter(|line| {
        let is_mark = line.trim() == "\"\"\"";
        is_description ^= is_mark;
        !is_description && !is_mark
    });
    let text: String = kept.map(|line| format!("{line}\n")).collect();
    // Arguments with descriptions are on lines of their own.
    text.replace("(\n\t\t", "(").replace(",\n\t\t", ", ").replace("\n\t)", ")")
}

#[test]
fn the_names_and_types_are_the_old_tickers() {
    let sdl = without_descriptions(&legacy().sdl());
    assert!(!sdl.contains('"'), "{sdl}");
    insta::assert_snapshot!(sdl);
}

/// Returns the types of the schema from introspection, without those that every schema has.
fn types() -> Vec<Value> {
    const ALL: &str = "{__schema{types{name description fields{name description args{name description}}}}}";
    let answer = legacy().execute(Request::new(ALL)).now_or_never().unwrap();
    let answer = serde_json::to_value(answer.data).unwrap();
    let is_ours = |kind: &Value| {
        !name(kind).starts_with("__") && !["Int", "Float", "String", "Boolean", "ID"].contains(&name(kind))
    };
    items(&answer["__schema"]["types"]).iter().filter(|kind| is_ours(kind)).cloned().collect()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap()
}

/// Returns the fields of each type that has any, and their arguments as `field(argument)`.
pub(crate) fn schema_fields() -> Vec<(String, Vec<String>)> {
    let of_field = |field: &Value| {
        let arguments =
            items(&field["args"]).iter().map(|argument| format!("{}({})", name(field), name(argument)));
        std::iter::once(name(field).to_owned()).chain(arguments).collect::<Vec<_>>()
    };
    let all = types();
    let with_fields = all.iter().filter(|kind| kind["fields"].is_array());
    with_fields
        .map(|kind| (name(kind).to_owned(), items(&kind["fields"]).iter().flat_map(of_field).collect()))
        .collect()
}

/// Returns the types, fields and arguments without a description.
fn undescribed(types: &[Value]) -> Vec<String> {
    let is_bare = |value: &Value| value["description"].as_str().is_none_or(str::is_empty);
    let mut found = Vec::new();
    for kind in types {
        found.extend(is_bare(kind).then(|| name(kind).to_owned()));
        for field in items(&kind["fields"]) {
            let path = format!("{}.{}", name(kind), name(field));
            found.extend(is_bare(field).then(|| path.clone()));
            let bare = items(&field["args"]).iter().filter(|argument| is_bare(argument));
            found.extend(bare.map(|argument| format!("{path}({})", name(argument))));
        }
    }
    found
}

#[test]
fn every_type_field_and_argument_is_described() {
    let types = types();
    let mut names: Vec<&str> = types.iter().map(name).collect();
    names.sort_unstable();
    let expected = [
        "AggregatedMarket",
        "Asset",
        "BigInt",
        "Candle",
        "Issuer",
        "Market",
        "OrderbookStats",
        "Query",
        "Time",
        "Token",
        "Trade",
        "TradeOrder",
        "TradedPair",
    ];
    assert_eq!(names, expected);
    assert_eq!(undescribed(&types), Vec::<String>::new());
}

#[test]
fn missing_descriptions_are_found() {
    let types = [serde_json::json!({"name": "A", "description": "a", "fields": [
        {"name": "b", "description": null, "args": [{"name": "c", "description": ""}]}]})];
    assert_eq!(undescribed(&types), ["A.b", "A.b(c)"]);
}
