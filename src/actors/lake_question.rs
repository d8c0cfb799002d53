//! Question for the hash of a ledger that does not hold up the reading of later ones.

use actix_rt::task::JoinHandle;

use crate::published::Anchor;

/// Question to Horizon, asked by a task of its own. Dropping it ends the task.
#[derive(Debug)]
pub(super) struct Question(JoinHandle<Anchor>);

impl Question {
    /// Begins to ask.
    pub(super) fn begin(ask: impl Future<Output = Anchor> + 'static) -> Self {
        Self(actix_rt::spawn(ask))
    }

    /// Answer, if there is one now. The question is then gone. The panic of a question continues here, in the loop of
    /// its owner, so that the supervisor sees it.
    pub(super) async fn answer(question: &mut Option<Self>) -> Option<Anchor> {
        let answered = question.as_mut().filter(|question| question.0.is_finished())?;
        let anchor = match (&mut answered.0).await {
            Ok(anchor) => anchor,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Anchor::Unchecked, // the runtime ends
            },
        };
        *question = None;
        Some(anchor)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

    #[actix_rt::test]
    async fn an_open_question_is_not_waited_for_and_ends_with_its_owner() {
        let held = Rc::new(());
        let holder = Rc::clone(&held);
        let mut question = Some(Question::begin(async move {
            let _holder = holder;
            std::future::pending().await
        }));
        tokio::task::yield_now().await;
        assert_eq!(Question::answer(&mut question).await, None);
        assert!(question.is_some());
        drop(question);
        let is_dropped = async {
            while Rc::strong_count(&held) > 1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, is_dropped).await.unwrap();
    }

    #[actix_rt::test]
    async fn an_answer_is_given_once() {
        let mut question = Some(Question::begin(async { Anchor::Unchecked }));
        let answered = async {
            loop {
                match Question::answer(&mut question).await {
                    Some(answer) => break answer,
                    None => tokio::task::yield_now().await,
                }
            }
        };
        let answer = tokio::time::timeout(PATIENCE, answered).await.unwrap();
        assert_eq!((answer, question.is_none()), (Anchor::Unchecked, true));
        assert_eq!(Question::answer(&mut question).await, None);
    }

    #[actix_rt::test]
    #[should_panic(expected = "the question failed")]
    async fn the_panic_of_a_question_reaches_its_owner() {
        let mut question = Some(Question::begin(async { panic!("the question failed") }));
        let answered = async {
            while Question::answer(&mut question).await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.unwrap();
    }
}
