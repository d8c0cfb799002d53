use std::sync::Arc;

use actor_tree::{
    clock::{Clock, ManualClock, SharedClock},
    trace::{
        recorder::Recorder,
        step::{Step, StepName},
        subject::Subject,
    },
};
use std::time::Duration;

use super::*;
use crate::traces::tree::tree;

/// Records of one batch and the publication that contains it; each stage lasts 10 ms.
fn records(toid: i64, source: StepName) -> (Vec<RecordView>, DateTime<Utc>) {
    let clock = Arc::new(ManualClock::new(DateTime::from_timestamp(1_000, 0).unwrap()));
    let shared: SharedClock = clock.clone();
    let recorder = Recorder::on(shared);
    let closed_at = clock.now();
    record_batch(&recorder, &clock, (toid, toid + 5), source);
    let moment = recorder.moment();
    (recorder.records().0.iter().map(|record| record.view(&moment)).collect(), closed_at)
}

/// Records a batch with trades of the market 3 and its publication.
fn record_batch(recorder: &Arc<Recorder>, clock: &ManualClock, toids: (i64, i64), source: StepName) {
    let stage = |name, cause: Option<&_>, subject: Subject| {
        let mut step = Step::begin(recorder, "one", name, cause);
        step.set_subject(subject);
        clock.advance(Duration::from_millis(10));
        step.done()
    };
    let batch = Subject::none().with("trade_from", toids.0).with("trade_to", toids.1);
    let name = Subject::none().with("seq", 8).with("as_of", 1_001);
    clock.advance(Duration::from_millis(10));
    let collected = stage(source, None, batch.clone());
    let committed = batch.with("seq", 7).with_members("markets", [3]);
    stage(steps::TRANSACTION, Some(&collected), committed);
    let rendered = stage(steps::RENDER, None, name.clone());
    let compressed = stage(steps::COMPRESS, Some(&rendered), name.clone());
    let published = stage(steps::PUBLISH, Some(&compressed), name.clone());
    stage(steps::WRITE_FILES, Some(&published), name.clone());
    stage(steps::FIRST_ANSWER, Some(&published), name);
}

/// Records a publication, and its first answer if it has a reader. Each stage lasts 10 ms.
fn record_publication(recorder: &Arc<Recorder>, clock: &ManualClock, seq: i64, is_read: bool) {
    let mut cause = None;
    for name in [steps::RENDER, steps::COMPRESS, steps::PUBLISH] {
        let mut step = Step::begin(recorder, "one", name, cause.as_ref());
        step.set_subject(Subject::none().with("seq", seq).with("as_of", clock.now().timestamp()));
        clock.advance(Duration::from_millis(10));
        cause = Some(step.done());
    }
    let mut step = Step::begin(recorder, "http", steps::FIRST_ANSWER, cause.as_ref());
    step.set_subject(Subject::none().with("seq", seq).with("as_of", clock.now().timestamp()));
    clock.advance(Duration::from_millis(10));
    if is_read {
        step.done();
    } else {
        step.discard();
    }
}

fn row(market: i64, closed_at: DateTime<Utc>) -> Option<StoredRow> {
    Some(StoredRow { market, closed_at })
}

#[test]
fn the_parts_of_the_way_add_up_to_the_age_at_the_first_reader_from_every_source() {
    for source in [steps::COLLECT, steps::READ_HISTORY, steps::READ_LEDGERS, steps::READ_AGAIN] {
        adds_up(source);
    }
}

fn adds_up(source: StepName) {
    let (records, closed_at) = records(100, source);
    let token = PagingToken::new(103, 0).unwrap();
    let journey = Journey::find(&records, token, row(3, closed_at));
    let names: Vec<&str> = journey.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "horizon",
            "collect",
            "check_network",
            "transaction",
            "wait_for_publication",
            "render",
            "compress",
            "publish",
            "first_answer"
        ]
    );
    let age = records.last().unwrap().ended - closed_at;
    let total = journey.total_ms().unwrap();
    assert!((total - 80.0).abs() < 0.001 && age.num_milliseconds() == 80, "{total}");
    assert_eq!(journey.records.len(), 7);
}

#[test]
fn an_unknown_trade_has_no_way() {
    let (records, closed_at) = records(100, steps::COLLECT);
    let token = PagingToken::new(99, 0).unwrap();
    assert_eq!(Journey::find(&records, token, row(3, closed_at)), Journey::default());
}

#[test]
fn the_batch_that_brought_a_late_trade_is_found_and_not_the_one_around_it() {
    let clock = Arc::new(ManualClock::new(DateTime::from_timestamp(1_000, 0).unwrap()));
    let shared: SharedClock = clock.clone();
    let (recorder, closed_at) = (Recorder::on(shared), clock.now());
    record_batch(&recorder, &clock, (100, 105), steps::COLLECT);
    record_batch(&recorder, &clock, (103, 103), steps::READ_HISTORY);
    let moment = recorder.moment();
    let records: Vec<RecordView> = recorder.records().0.iter().map(|record| record.view(&moment)).collect();
    let collected = |toid| {
        let way = Journey::find(&records, PagingToken::new(toid, 0).unwrap(), row(3, closed_at));
        way.records.iter().find(|record| COLLECTED.contains(&record.name())).unwrap().name().to_owned()
    };
    assert_eq!(collected(103), steps::READ_HISTORY.0);
    assert_eq!(collected(104), steps::COLLECT.0);
}

#[test]
fn a_trade_of_no_market_of_the_batch_and_one_that_is_not_stored_have_no_parts() {
    let (records, closed_at) = records(100, steps::COLLECT);
    let token = PagingToken::new(103, 0).unwrap();
    let ways = [Journey::find(&records, token, row(4, closed_at)), Journey::of_unstored(&records, token)];
    for way in ways {
        let names: Vec<&str> = way.records.iter().map(RecordView::name).collect();
        assert_eq!((way.parts, names), (Vec::new(), vec![steps::COLLECT.0]));
    }
}

fn views(recorder: &Recorder) -> Vec<RecordView> {
    let moment = recorder.moment();
    recorder.records().0.iter().map(|record| record.view(&moment)).collect()
}

#[test]
fn the_first_answer_may_be_of_a_later_publication_and_the_way_is_one_tree_with_it() {
    let clock = Arc::new(ManualClock::new(DateTime::from_timestamp(1_000, 0).unwrap()));
    let shared: SharedClock = clock.clone();
    let (recorder, closed_at) = (Recorder::on(shared), clock.now());
    // A reader of the past, which has nothing to do with the trade.
    record_publication(&recorder, &clock, 6, true);
    let batch = Subject::none().with("trade_from", 100).with("trade_to", 105);
    let mut collect = Step::begin(&recorder, "one", steps::COLLECT, None);
    collect.set_subject(batch.clone());
    let mut transaction = Step::begin(&recorder, "one", steps::TRANSACTION, Some(&collect.done()));
    transaction.set_subject(batch.with("seq", 7).with_members("markets", [3]));
    let cause = transaction.done();
    let mut render = Step::begin(&recorder, "one", steps::RENDER, Some(&cause));
    render.set_subject(Subject::none().with("seq", 7).with("as_of", 1_000));
    let mut compress = Step::begin(&recorder, "one", steps::COMPRESS, Some(&render.done()));
    compress.set_subject(Subject::none().with("seq", 7).with("as_of", 1_000));
    let mut publish = Step::begin(&recorder, "one", steps::PUBLISH, Some(&compress.done()));
    publish.set_subject(Subject::none().with("seq", 7).with("as_of", 1_000));
    publish.done();
    for (seq, is_read) in [(7, false), (8, false), (8, true), (9, true)] {
        clock.advance(Duration::from_secs(1));
        record_publication(&recorder, &clock, seq, is_read);
    }
    let records = views(&recorder);
    let journey = Journey::find(&records, PagingToken::new(103, 0).unwrap(), row(3, closed_at));
    let last = journey.parts.last().unwrap();
    // Two later publications are replaced unread too. The reader gets the third.
    assert_eq!((last.name.as_str(), journey.total_ms().unwrap().round()), ("first_answer", 3_160.0));
    let shown = tree(&journey.records);
    let order: Vec<_> = shown.iter().map(|node| (node.depth, node.record.name())).collect();
    let stages = ["collect", "transaction", "render", "compress", "publish", "first_answer"];
    assert_eq!(order, stages.into_iter().enumerate().collect::<Vec<_>>());
}

#[test]
fn an_answer_that_is_ready_before_the_step_of_its_publication_ends_counts() {
    let clock = Arc::new(ManualClock::new(DateTime::from_timestamp(1_000, 0).unwrap()));
    let shared: SharedClock = clock.clone();
    let (recorder, closed_at) = (Recorder::on(shared), clock.now());
    record_batch(&recorder, &clock, (100, 105), steps::COLLECT);
    let mut records = views(&recorder);
    let published = records.iter().find(|record| record.name() == steps::PUBLISH.0).unwrap().ended;
    let answer = records.iter_mut().find(|record| record.name() == steps::FIRST_ANSWER.0).unwrap();
    answer.ended = published - chrono::TimeDelta::milliseconds(1);
    let journey = Journey::find(&records, PagingToken::new(103, 0).unwrap(), row(3, closed_at));
    let last = journey.parts.last().unwrap();
    assert_eq!((last.name.as_str(), last.ms), ("first_answer", 0.0));
}
