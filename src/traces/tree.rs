//! Records as a tree of causes.

use std::collections::{HashMap, HashSet};

use actor_tree::trace::view::RecordView;

use crate::steps;

/// A record and its depth below the root of its trace.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Number of causes above it that are among the records.
    pub depth: usize,
    /// The record.
    pub record: &'a RecordView,
}

/// Orders records so that each follows its cause, siblings and roots by time. Of several causes, the first one
/// counts that is among the records: a publication of several batches hangs below the one that was asked for. A
/// record without a cause among them is a root.
#[must_use]
pub fn tree(records: &[RecordView]) -> Vec<Node<'_>> {
    let spans: HashSet<&str> = records.iter().map(|record| record.span.as_str()).collect();
    let mut children: HashMap<Option<&str>, Vec<&RecordView>> = HashMap::new();
    for record in records {
        let causes = record.parent.iter().chain(record.links.iter().map(|link| &link.span));
        let known = |cause: &&str| spans.contains(*cause) && *cause != record.span;
        let cause = causes.map(String::as_str).find(known).or_else(|| answered(records, record));
        children.entry(cause).or_default().push(record);
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

/// Publication below which the first answer of a later one hangs: that one also contains what nobody had read before.
fn answered<'a>(records: &'a [RecordView], record: &RecordView) -> Option<&'a str> {
    if record.name() != steps::FIRST_ANSWER.0 {
        return None;
    }
    let holds = |publish: &&RecordView| {
        publish.name() == steps::PUBLISH.0
            && publish.number_of("seq") <= record.number_of("seq")
            && publish.begin() <= record.ended
    };
    let newest = records.iter().filter(holds).max_by_key(|publish| publish.begin());
    newest.map(|publish| publish.span.as_str())
}

/// Nodes in reverse, so that the first one is popped first.
fn nodes(records: Option<Vec<&RecordView>>, depth: usize) -> Vec<Node<'_>> {
    records.unwrap_or_default().into_iter().rev().map(|record| Node { depth, record }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actor_tree::{
        clock::SystemClock,
        trace::{
            record::{Links, Record},
            recorder::Recorder,
            step::Step,
        },
    };

    use super::*;

    #[test]
    fn a_publication_of_two_batches_hangs_below_the_one_that_was_asked_for() {
        let recorder = Recorder::on(SystemClock::shared());
        let begin = |name, cause: Option<&_>| Step::begin(&recorder, "one", name, cause);
        let batches =
            [0, 1].map(|_| begin(steps::TRANSACTION, Some(&begin(steps::COLLECT, None).done())).done());
        let mut links = Links::default();
        links.add(batches[1]);
        let rendered = begin(steps::RENDER, Some(&batches[0])).with_links(links).done();
        begin(steps::COMPRESS, Some(&rendered)).done();
        let (records, _) = recorder.records();
        let moment = recorder.moment();
        for batch in batches {
            let asked_for = |record: &&Arc<Record>| {
                record.trace.trace_id() == batch.trace_id()
                    || [steps::RENDER.0, steps::COMPRESS.0].contains(&record.view(&moment).name())
            };
            let views: Vec<_> = records.iter().filter(asked_for).map(|record| record.view(&moment)).collect();
            let shown = tree(&views);
            let order: Vec<_> = shown.iter().map(|node| (node.depth, node.record.name())).collect();
            let expected = ["collect", "transaction", "render", "compress"];
            assert_eq!(order, expected.into_iter().enumerate().collect::<Vec<_>>());
        }
    }

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
