//! Promises of supervision, with actors that fail in every way.

mod actor;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use actix_rt::System;
use stellar_ticker::{
    actors::{
        port::{CallError, Port},
        supervision::{
            policy::{Limit, Policy},
            tree::{ChildSpec, RunningTree, Tree},
            tree_status::TreeStatus,
        },
        supervisor::Outcome,
        trace::{record::Kind, recorder::Recorder},
    },
    clock::SystemClock,
};

use crate::support::{DEADLINE, reached};
use actor::{Behaviour, Perform, Script, Subject};

const PATIENCE: Duration = Duration::from_secs(20);

/// Short times. A panic prints its backtrace on the actor's own thread, which takes a busy machine seconds, so only
/// longer silence means a blocked thread.
fn quick() -> Policy {
    Policy {
        hung_after_missed: 200,
        healthy_after: Duration::from_millis(400),
        backoff_base: Duration::from_millis(10),
        probe_every: Duration::from_millis(PROBE_MS),
        child_limit: Limit { restarts: 5, within: Duration::from_secs(120) },
        ..Policy::default()
    }
}

const fn spec(name: &'static str) -> ChildSpec {
    ChildSpec { name, capacity: 8, stale_after: Duration::from_secs(60), drain_phase: 0, is_essential: true }
}

/// A subject and a bystander under one supervisor.
struct Scene {
    tree: RunningTree,
    status: Arc<TreeStatus>,
    subject: Port<Perform>,
    bystander: Port<Perform>,
    script: Script,
}

impl Scene {
    fn new(policy: Policy, subject_spec: ChildSpec) -> Self {
        let mut tree = Tree::new(policy, SystemClock::shared(), Recorder::on(SystemClock::shared())).unwrap();
        let script = Script::default();
        let (subject, bystander) =
            (tree.mailbox::<Subject>(subject_spec), tree.mailbox::<Subject>(spec("bystander")));
        let (port, other) = (subject.port("test"), bystander.port("test"));
        let (status, plays) = (subject.status(), script.clone());
        tree.place(subject, move || Subject::new(status, plays));
        let status = bystander.status();
        tree.place(bystander, move || Subject::new(status, Script::default()));
        let tree = tree.start();
        Self { status: tree.status(), tree, subject: port, bystander: other, script }
    }

    async fn ask(&self, behaviour: Behaviour) -> Result<u64, CallError> {
        self.subject.call(None, Perform(behaviour), PATIENCE).await
    }

    /// Outcomes of the messages so far, by the number of the message.
    fn outcomes(&self) -> BTreeMap<u64, Vec<&'static str>> {
        let mut outcomes = BTreeMap::<u64, Vec<_>>::new();
        for record in self.status.recorder().records().0 {
            if matches!(record.kind, Kind::Message(_)) {
                outcomes.entry(record.number).or_default().push(record.outcome.name());
            }
        }
        outcomes
    }

    fn restarts(&self) -> [u64; 2] {
        [0, 1].map(|place| self.status.children()[place].restarts())
    }

    async fn wait_for_restarts(&self, count: u64) {
        let begun = Instant::now();
        while self.restarts()[0] < count || !self.status.children()[0].is_running() {
            assert!(
                begun.elapsed() < DEADLINE,
                "timed out waiting for restart {count}: {:?}",
                self.status.view()
            );
            actix_rt::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The subject is back, as new, and the bystander never noticed.
    async fn is_mended(&self, restarts: u64) {
        self.wait_for_restarts(restarts).await;
        assert_eq!(self.ask(Behaviour::Count).await, Ok(1), "the state is that of a new incarnation");
        let other = self.bystander.call(None, Perform(Behaviour::Count), PATIENCE).await;
        assert!(other.is_ok());
        assert_eq!(self.restarts(), [restarts, 0], "the neighbour keeps running");
        assert_eq!(self.status.view().actors[0].mailbox.depth, 0);
    }
}

fn play<F: Future<Output = ()>>(scene: impl FnOnce() -> F) {
    System::new().block_on(scene());
}

#[test]
fn restarts_an_actor_that_panics_in_a_handler_and_keeps_its_mailbox() {
    play(|| async {
        let scene = Scene::new(quick(), spec("subject"));
        assert_eq!(scene.ask(Behaviour::Count).await, Ok(1));
        assert_eq!(scene.ask(Behaviour::Count).await, Ok(2));
        let begun = Instant::now();
        // Two are queued at once: the first one panics, the other must be answered by the next incarnation.
        let (fallen, behind) = tokio::join!(scene.ask(Behaviour::Panic), scene.ask(Behaviour::Count));
        println!("answered again {} ms after the panic was asked for", begun.elapsed().as_millis());
        assert_eq!(fallen, Err(CallError::Closed { actor: "subject" }));
        assert_eq!(behind, Ok(1));
        scene.wait_for_restarts(1).await;
        assert_eq!(scene.restarts(), [1, 0]);
        let exit = scene.status.view().actors[0].last_exit.clone().unwrap();
        assert_eq!((exit.generation, exit.reason.as_str()), (0, "panicked: as scripted"));
    });
}

#[test]
fn restarts_an_actor_that_panics_in_a_spawned_future_or_while_it_waits() {
    play(|| async {
        let scene = Scene::new(quick(), spec("subject"));
        let _ = scene.ask(Behaviour::PanicInSpawned).await;
        scene.is_mended(1).await;
        let _ = scene.ask(Behaviour::PanicInWait).await;
        scene.is_mended(2).await;
    });
}

#[test]
fn restarts_an_actor_that_panics_as_it_starts() {
    play(|| async {
        let scene = Scene::new(quick(), spec("subject"));
        scene.script.panics_at_start.store(2, Ordering::SeqCst);
        let _ = scene.ask(Behaviour::Panic).await;
        scene.is_mended(3).await;
    });
}

#[test]
fn restarts_an_actor_that_stops_by_itself_also_if_it_panics_doing_so() {
    play(|| async {
        let scene = Scene::new(quick(), spec("subject"));
        let _ = scene.ask(Behaviour::Stop).await;
        scene.is_mended(1).await;
        scene.script.panics_in_stopped.store(1, Ordering::SeqCst);
        let _ = scene.ask(Behaviour::Stop).await;
        scene.is_mended(2).await;
    });
}

#[test]
fn an_actor_that_waits_for_its_restart_holds_nothing_any_more() {
    play(|| async {
        let hour = Duration::from_secs(3_600);
        let limit = Limit { restarts: 3, within: 10 * hour };
        let delays = Policy { backoff_base: hour, backoff_max: hour, healthy_after: 9 * hour, ..quick() };
        let policy = Policy { child_limit: limit, tree_limit: limit, ..delays };
        let scene = Scene::new(policy, spec("subject"));
        let _ = scene.ask(Behaviour::Panic).await;
        scene.wait_for_restarts(1).await;
        assert_eq!(scene.ask(Behaviour::Hold).await, Ok(0));
        let holders = || Arc::strong_count(&scene.script.held);
        let before = holders();
        let _ = scene.ask(Behaviour::Panic).await;
        let begun = Instant::now();
        while holders() == before {
            assert!(begun.elapsed() < DEADLINE, "timed out: its future is alive");
            actix_rt::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!scene.status.children()[0].is_running());
    });
}

#[test]
fn kills_and_restarts_an_actor_that_hangs() {
    play(|| async {
        let scene = Scene::new(quick(), spec("subject"));
        let (hung, behind) = tokio::join!(scene.ask(Behaviour::Hang), scene.ask(Behaviour::Count));
        println!("the one that hangs: {hung:?}");
        assert_eq!(behind, Ok(1), "what was queued behind is answered by the next incarnation");
        assert_eq!(scene.restarts(), [1, 0]);
        let exit = scene.status.view().actors[0].last_exit.clone().unwrap();
        assert_eq!(exit.reason, "killed: did not answer its probes");
    });
}

#[test]
fn kills_and_restarts_an_actor_that_answers_but_gets_nothing_done() {
    play(|| async {
        let stale_after = Duration::from_millis(300);
        let scene = Scene::new(quick(), ChildSpec { stale_after, ..spec("subject") });
        scene.script.stalls.store(1, Ordering::SeqCst);
        scene.wait_for_restarts(1).await;
        scene.script.stalls.store(0, Ordering::SeqCst);
        let exit = scene.status.view().actors[0].last_exit.clone().unwrap();
        assert_eq!(exit.reason, "killed: made no progress");
    });
}

/// The period of `quick`, in milliseconds.
const PROBE_MS: u64 = 50;

/// Nothing that the supervisor saw made it restart anybody or give up.
async fn is_left_alone(mut scene: Scene) {
    assert_eq!(scene.restarts(), [0, 0]);
    assert_eq!(scene.status.view().actors[0].last_exit, None);
    let given_up = futures_util::FutureExt::now_or_never(scene.tree.given_up());
    assert_eq!(given_up, None);
}

#[test]
fn an_actor_whose_ping_waits_behind_much_work_is_left_alone() {
    play(|| async {
        let scene = Scene::new(quick(), spec("subject"));
        // Each message is shorter than a probe period; together they keep the ping waiting for twenty of them.
        let work = (0..40).map(|_| scene.ask(Behaviour::BlockSilently { ms: PROBE_MS / 2 }));
        let answers = futures_util::future::join_all(work).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        is_left_alone(scene).await;
    });
}

#[test]
fn an_actor_that_notes_its_steps_within_one_long_message_is_left_alone() {
    play(|| async {
        let policy = Policy { hung_after_missed: 20, ..quick() };
        let scene = Scene::new(policy, spec("subject"));
        // As long as forty missed answers: twenty of them mean a blocked thread.
        assert_eq!(scene.ask(Behaviour::BlockInSteps { steps: 80, step_ms: PROBE_MS / 2 }).await, Ok(0));
        is_left_alone(scene).await;
    });
}

#[test]
fn an_actor_that_ends_a_long_message_after_its_kill_was_ordered_is_left_alone() {
    play(|| async {
        let scene = Scene::new(quick(), spec("subject"));
        assert_eq!(scene.ask(Behaviour::BlockSilently { ms: 10 * PROBE_MS }).await, Ok(0));
        assert_eq!(scene.ask(Behaviour::Count).await, Ok(1));
        is_left_alone(scene).await;
    });
}

#[test]
fn an_actor_that_hangs_after_a_long_message_is_still_found() {
    play(|| async {
        let scene = Scene::new(quick(), spec("subject"));
        assert_eq!(scene.ask(Behaviour::BlockInSteps { steps: 20, step_ms: PROBE_MS / 2 }).await, Ok(0));
        let (_, behind) = tokio::join!(scene.ask(Behaviour::Hang), scene.ask(Behaviour::Count));
        assert_eq!(behind, Ok(1), "the next incarnation answers");
        assert_eq!(scene.restarts(), [1, 0]);
    });
}

#[test]
fn a_storm_of_restarts_escalates() {
    play(|| async {
        let mut scene = Scene::new(quick(), spec("subject"));
        scene.script.panics_at_start.store(1_000, Ordering::SeqCst);
        let _ = scene.ask(Behaviour::Panic).await;
        let outcome = scene.tree.given_up().await;
        assert_eq!((outcome, outcome.exit_code()), (Outcome::Escalated, 70));
        assert_eq!(scene.restarts(), [5, 0], "the sixth exit is one too many");
    });
}

#[test]
fn a_blocked_thread_is_reported_as_hung() {
    play(|| async {
        let policy = Policy { hung_after_missed: Policy::default().hung_after_missed, ..quick() };
        let mut scene = Scene::new(policy, spec("subject"));
        let (outcome, _) = tokio::join!(scene.tree.given_up(), async {
            let _ = scene.subject.call(None, Perform(Behaviour::Block), Duration::from_millis(10)).await;
        });
        assert_eq!((outcome, outcome.exit_code()), (Outcome::Hung("subject"), 71));
        let other = scene.bystander.call(None, Perform(Behaviour::Count), PATIENCE).await;
        assert_eq!(other, Ok(1), "the other's thread is another");
    });
}

#[test]
fn a_call_that_is_given_up_leaves_the_queue_and_handling_is_counted() {
    play(|| async {
        let scene = Scene::new(quick(), spec("subject"));
        assert!(scene.ask(Behaviour::Hang).await.is_ok(), "it answers, and then waits for ever");
        let given_up = scene.subject.call(None, Perform(Behaviour::Count), Duration::from_millis(20)).await;
        assert_eq!(given_up, Err(CallError::TimedOut { actor: "subject" }));
        assert_eq!(scene.status.view().actors[0].mailbox.depth, 0, "the call left the queue");
        scene.wait_for_restarts(1).await;
        assert_eq!(scene.ask(Behaviour::Count).await, Ok(1), "what was given up in the queue is passed over");
        let view = scene.status.view();
        assert!(
            view.actors[0].messages["Perform"].count >= 2 && view.actors[0].mailbox.high_water >= 1,
            "{view:?}"
        );
    });
}

#[test]
fn a_message_that_is_handled_after_its_sender_gave_up_is_recorded_twice() {
    play(|| async {
        let scene = Scene::new(quick(), spec("subject"));
        let timed_out = Err(CallError::TimedOut { actor: "subject" });
        // A message that no handler has begun by then is passed over. The next one may wait longer.
        let mut patience = Duration::from_millis(20);
        while scene.script.holds.load(Ordering::SeqCst) == 0 {
            let held = scene.subject.call(None, Perform(Behaviour::BlockUntilReleased), patience).await;
            assert_eq!(held, timed_out);
            patience *= 2;
        }
        let behind = scene.subject.call(None, Perform(Behaviour::Count), Duration::from_millis(20)).await;
        assert_eq!(behind, timed_out);
        scene.script.releases.store(1, Ordering::SeqCst);
        assert_eq!(scene.ask(Behaviour::Count).await, Ok(1), "the one before it is passed over");
        let outcomes: Vec<_> = scene.outcomes().into_values().collect();
        let is_late = |outcomes: &&Vec<&str>| **outcomes == ["timed_out", "done"];
        assert_eq!(outcomes.iter().filter(is_late).count(), 1, "{outcomes:?}");
        assert!(outcomes.ends_with(&[vec!["timed_out"], vec!["done"]]), "{outcomes:?}");
    });
}

#[test]
fn a_drain_reaches_its_phase_only_and_exits_are_not_mended_any_more() {
    play(|| async {
        let mut scene = Scene::new(quick(), ChildSpec { drain_phase: 1, ..spec("subject") });
        scene.tree.begin_drain().await;
        scene.tree.drain(0, PATIENCE).await;
        assert_eq!(scene.script.drained.load(Ordering::SeqCst), 0);
        scene.tree.drain(1, PATIENCE).await;
        assert_eq!(scene.script.drained.load(Ordering::SeqCst), 1);
        let fallen = scene.subject.call(None, Perform(Behaviour::Panic), PATIENCE).await;
        assert_eq!(fallen, Err(CallError::Closed { actor: "subject" }));
        let begun = Instant::now();
        while scene.status.children()[0].is_running() {
            assert!(begun.elapsed() < DEADLINE);
            actix_rt::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(scene.restarts(), [0, 0]);
        reached("a message to what has stopped for good is recorded as refused", async || {
            let refused = scene.subject.call(None, Perform(Behaviour::Count), PATIENCE).await;
            assert_eq!(refused, Err(CallError::Closed { actor: "subject" }));
            scene.outcomes().into_values().next_back() == Some(vec!["refused"])
        })
        .await;
        let still = tokio::time::timeout(Duration::from_millis(50), scene.tree.given_up()).await;
        assert!(still.is_err(), "the tree does not give up");
    });
}

#[test]
fn numbers_that_contradict_each_other_are_refused() {
    play(|| async {
        // Numbers that contradict each other are refused before anything runs.
        let unreachable = Policy { backoff_base: Duration::from_secs(60), ..Policy::default() };
        assert!(Tree::new(unreachable, SystemClock::shared(), Recorder::on(SystemClock::shared())).is_err());
        assert!(
            Tree::new(Policy::default(), SystemClock::shared(), Recorder::on(SystemClock::shared())).is_ok()
        );
    });
}
