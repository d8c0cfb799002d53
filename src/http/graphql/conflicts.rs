//! Names in the answer that stand for two different fields. Pure.

use std::collections::{BTreeMap, HashSet};

use async_graphql::{
    Positioned, ServerError,
    parser::types::{ExecutableDocument, Field, Selection, SelectionSet},
};

/// Selections that are checked, with fragments expanded. A document within the limits has fewer. If fragments contain
/// themselves, there is no end.
const SELECTIONS_MAX: usize = 50_000;
const CONFLICT: &str =
    "One name in the answer stands for different fields or arguments. Use different aliases.";
const ENDLESS: &str = "Fragments contain themselves, or repeat too many selections.";

/// Checks that each name in the answer stands for one field with the same arguments wherever the document selects it.
/// The validator of async-graphql overlooks a second field in a fragment, or in another selection of the same object,
/// and its answer has only the first.
///
/// # Errors
///
/// The answer to a document with such a name.
pub(super) fn check(document: &ExecutableDocument) -> Result<(), ServerError> {
    let mut left = SELECTIONS_MAX;
    let operations = document.operations.iter();
    // Each element holds all selections of one object.
    let mut objects: Vec<Vec<&SelectionSet>> =
        operations.map(|(_, operation)| vec![&operation.node.selection_set.node]).collect();
    while let Some(sets) = objects.pop() {
        let mut named: BTreeMap<&str, (&Field, Vec<&SelectionSet>)> = BTreeMap::new();
        for field in fields(sets, document, &mut left)? {
            let node = &field.node;
            let name = node.response_key().node.as_str();
            let (first, children) = named.entry(name).or_insert_with(|| (node, Vec::new()));
            if !is_same(first, node) {
                return Err(ServerError::new(CONFLICT, Some(field.pos)));
            }
            children.push(&node.selection_set.node);
        }
        objects.extend(named.into_values().map(|(_, children)| children));
    }
    Ok(())
}

/// Returns the fields of these selections, those of their fragments included.
fn fields<'a>(
    sets: Vec<&'a SelectionSet>,
    document: &'a ExecutableDocument,
    left: &mut usize,
) -> Result<Vec<&'a Positioned<Field>>, ServerError> {
    let (mut fields, mut seen, mut open) = (Vec::new(), HashSet::new(), sets);
    while let Some(set) = open.pop() {
        *left = left.checked_sub(set.items.len()).ok_or_else(|| ServerError::new(ENDLESS, None))?;
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => fields.push(field),
                Selection::InlineFragment(inline) => open.push(&inline.node.selection_set.node),
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let fragment = document.fragments.get(name).filter(|_| seen.insert(name));
                    open.extend(fragment.map(|fragment| &fragment.node.selection_set.node));
                }
            }
        }
    }
    Ok(fields)
}

fn is_same(one: &Field, other: &Field) -> bool {
    one.name.node == other.name.node
        && one.arguments.len() == other.arguments.len()
        && one.arguments.iter().all(|(name, value)| other.get_argument(&name.node) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;

    fn checked(query: &str) -> Result<(), String> {
        check(&parse_query(query).unwrap()).map_err(|error| error.message)
    }

    #[test]
    fn one_name_for_two_fields_is_found_wherever_the_second_is() {
        for query in [
            "{ a: b a: c }",
            "{ a: b ... { a: c } }",
            "{ a: b ... on Query { ... { a: __typename } } }",
            "{ ...f a: b } fragment f on Query { ...g } fragment g on Query { a: __typename }",
            "{ a { b } ... on Query { a { b: c } } }",
            "{ a { d { b } } ...f } fragment f on Query { a { ... on X { d { b: c } } } }",
            "{ a(x: 1) ...f } fragment f on Query { a(x: 2) }",
            "{ a(x: 1) ... { a } }",
            "query($x: Int) { a(x: $x) ... { a(x: 1) } }",
            "query A { a } query B { a: b ... { a: c } }",
        ] {
            assert_eq!(checked(query), Err(CONFLICT.to_owned()), "{query}");
        }
    }

    #[test]
    fn equal_fields_and_names_of_different_objects_are_no_conflict() {
        for query in [
            "{ a a ... { a } ...f } fragment f on Query { a }",
            "{ a(x: 1, y: 2) ... { a(y: 2, x: 1) } }",
            "{ a { b } c { b: d } }",
            "query A { a: b } query B { a: c }",
            "{ a { __typename } __typename ... { __typename } }",
            "{ ...none }",
        ] {
            assert_eq!(checked(query), Ok(()), "{query}");
        }
    }

    #[test]
    fn fragments_that_contain_themselves_end() {
        assert_eq!(checked("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }"), Ok(()));
        let endless = "{ ...a } fragment a on Query { b { ...a } c { ...a } }";
        assert_eq!(checked(endless), Err(ENDLESS.to_owned()));
    }
}
