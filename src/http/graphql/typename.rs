//! Directives of `__typename`. Pure.

use async_graphql::{
    Positioned,
    parser::types::{DocumentOperations, ExecutableDocument, InlineFragment, Selection, SelectionSet},
};

/// Replaces `__typename @skip(if: $v)` by `... @skip(if: $v) { __typename }` everywhere, which means the same. The
/// validator of async-graphql does not visit `__typename`, so it would take `$v` for an unused variable.
pub(super) fn move_directives(document: &mut ExecutableDocument) {
    match &mut document.operations {
        DocumentOperations::Single(operation) => move_in(&mut operation.node.selection_set.node),
        DocumentOperations::Multiple(operations) => {
            for operation in operations.values_mut() {
                move_in(&mut operation.node.selection_set.node);
            }
        }
    }
    for fragment in document.fragments.values_mut() {
        move_in(&mut fragment.node.selection_set.node);
    }
}

/// Recurses as deep as the brackets of the document are nested, which has a limit.
fn move_in(set: &mut SelectionSet) {
    for item in &mut set.items {
        match &mut item.node {
            Selection::Field(field)
                if field.node.name.node == "__typename" && !field.node.directives.is_empty() =>
            {
                let (pos, directives) = (field.pos, std::mem::take(&mut field.node.directives));
                let alone = Positioned::new(Selection::Field(field.clone()), pos);
                let selection_set = Positioned::new(SelectionSet { items: vec![alone] }, pos);
                let inline = InlineFragment { type_condition: None, directives, selection_set };
                item.node = Selection::InlineFragment(Positioned::new(inline, pos));
            }
            Selection::Field(field) => move_in(&mut field.node.selection_set.node),
            Selection::InlineFragment(inline) => move_in(&mut inline.node.selection_set.node),
            Selection::FragmentSpread(_) => {}
        }
    }
}
