//! `__typename`, which the validator of async-graphql does not visit. Pure.

use async_graphql::{
    Positioned, ServerError,
    parser::types::{DocumentOperations, ExecutableDocument, Field, InlineFragment, Selection, SelectionSet},
};

const NO_SUBFIELDS: &str =
    "Field \"__typename\" must not have a selection since type \"String\" has no subfields";

/// Replaces `__typename @skip(if: $v)` by `... @skip(if: $v) { __typename }` everywhere, which means the same. The
/// validator would take `$v` for an unused variable.
///
/// # Errors
///
/// The answer to a document in which `__typename` has arguments or a selection.
pub(super) fn move_directives(document: &mut ExecutableDocument) -> Result<(), ServerError> {
    match &mut document.operations {
        DocumentOperations::Single(operation) => move_in(&mut operation.node.selection_set.node)?,
        DocumentOperations::Multiple(operations) => {
            for operation in operations.values_mut() {
                move_in(&mut operation.node.selection_set.node)?;
            }
        }
    }
    for fragment in document.fragments.values_mut() {
        move_in(&mut fragment.node.selection_set.node)?;
    }
    Ok(())
}

fn check(field: &Field) -> Result<(), ServerError> {
    if let Some((name, _)) = field.arguments.first() {
        let text = format!("Unknown argument \"{}\" on field \"__typename\".", name.node);
        return Err(ServerError::new(text, Some(name.pos)));
    }
    let set = &field.selection_set;
    if set.node.items.is_empty() { Ok(()) } else { Err(ServerError::new(NO_SUBFIELDS, Some(set.pos))) }
}

/// Recurses as deep as the brackets of the document are nested, which has a limit.
fn move_in(set: &mut SelectionSet) -> Result<(), ServerError> {
    for item in &mut set.items {
        match &mut item.node {
            Selection::Field(field) if field.node.name.node == "__typename" => {
                check(&field.node)?;
                let (pos, directives) = (field.pos, std::mem::take(&mut field.node.directives));
                if !directives.is_empty() {
                    let alone = Positioned::new(Selection::Field(field.clone()), pos);
                    let selection_set = Positioned::new(SelectionSet { items: vec![alone] }, pos);
                    let inline = InlineFragment { type_condition: None, directives, selection_set };
                    item.node = Selection::InlineFragment(Positioned::new(inline, pos));
                }
            }
            Selection::Field(field) => move_in(&mut field.node.selection_set.node)?,
            Selection::InlineFragment(inline) => move_in(&mut inline.node.selection_set.node)?,
            Selection::FragmentSpread(_) => {}
        }
    }
    Ok(())
}
