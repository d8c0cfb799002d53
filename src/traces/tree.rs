//! Records as a tree of causes.

use std::collections::{HashMap, HashSet};

use actor_tree::trace::view::RecordView;

/// A record and its depth below the root of its trace.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Number of causes above it that are among the records.
    pub depth: usize,
    /// The record.
    pub record: &'a RecordView,
}

/// Orders records so that each follows its cause, siblings and roots by time. A record whose cause is not among them is
/// a root.
#[must_use]
pub fn tree(records: &[RecordView]) -> Vec<Node<'_>> {
    let spans: HashSet<&str> = records.iter().map(|record| record.span.as_str()).collect();
    let mut children: HashMap<Option<&str>, Vec<&RecordView>> = HashMap::new();
    for record in records {
        let parent =
            record.parent.as_deref().filter(|parent| spans.contains(parent) && *parent != record.span);
        children.entry(parent).or_default().push(record);
    }
    for siblings in children.values_mut() {
        siblings.sort_by_key(|record| (record.queued, record.number));
    }
    let mut waiting: Vec<Node<'_>> = nodes(children.remove(&None), 0);
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(node) = waiting.pop() {
        ordered.push(node);
        // A span that has two records, such as a timed-out call that was handled later, has its children once.
        let below = children.remove(&Some(node.record.span.as_str()));
        waiting.extend(nodes(below, node.depth.saturating_add(1)));
    }
    ordered
}

/// Nodes in reverse, so that the first one is popped first.
fn nodes(records: Option<Vec<&RecordView>>, depth: usize) -> Vec<Node<'_>> {
    records.unwrap_or_default().into_iter().rev().map(|record| Node { depth, record }).collect()
}

#[cfg(test)]
mod tests {
    use actor_tree::{
        clock::SystemClock,
        trace::{recorder::Recorder, step::Step},
    };

    use super::*;
    use crate::steps;

    #[test]
    fn each_record_follows_its_cause_and_orphans_are_roots() {
        let recorder = Recorder::on(SystemClock::shared());
        let begin = |name, cause: Option<&_>| Step::begin(&recorder, "one", name, cause);
        let root = begin(steps::COLLECT, None);
        let child = begin(steps::TRANSACTION, Some(&root.trace()));
        let grandchild = begin(steps::RENDER, Some(&child.trace()));
        let second = begin(steps::WRITE_FILES, Some(&root.trace()));
        let unrecorded = begin(steps::LOAD, None);
        let orphan = begin(steps::CATCH_UP, Some(&unrecorded.trace()));
        unrecorded.discard();
        // They end in the reverse order.
        let _ = [orphan, second, grandchild, child, root].map(Step::done);
        let (records, _) = recorder.records();
        let moment = recorder.moment();
        let views: Vec<_> = records.iter().map(|record| record.view(&moment)).collect();
        let order: Vec<_> =
            tree(&views).iter().map(|node| (node.depth, node.record.name().to_owned())).collect();
        let expected =
            [(0, "collect"), (1, "transaction"), (2, "render"), (1, "write_files"), (0, "catch_up")];
        assert_eq!(order, expected.map(|(depth, name)| (depth, name.to_owned())));
    }
}
