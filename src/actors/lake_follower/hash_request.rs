//! Comparison of a hash with Horizon's beside the reading of later ledgers, because Horizon may take 10 seconds.

use std::time::Duration;

use actix_rt::task::{JoinError, JoinHandle};
use futures_util::FutureExt as _;
use tokio::task::coop;

use crate::published::HashCheck;

/// Request to Horizon for the hash of one ledger, in a task of its own. Dropping it ends the task.
#[derive(Debug)]
pub(super) struct HashRequest(JoinHandle<HashCheck>);

impl HashRequest {
    /// Starts the task.
    pub(super) fn begin(check: impl Future<Output = HashCheck> + 'static) -> Self {
        Self(actix_rt::spawn(check))
    }

    /// Returns the result if the task has ended, and then removes the request. Does not wait. A panic of the task
    /// continues here, in the loop of its owner, so that the supervisor sees it.
    pub(super) fn answer(request: &mut Option<Self>) -> Option<HashCheck> {
        let task = &mut request.as_mut()?.0;
        // Otherwise a caller that has used up its turn would not see a task that has ended.
        let ended = coop::unconstrained(task).now_or_never()?;
        *request = None;
        Some(result_of(ended))
    }

    /// The same, but waits for the end of the task for up to `patience`.
    pub(super) async fn answer_within(request: &mut Option<Self>, patience: Duration) -> Option<HashCheck> {
        let task = &mut request.as_mut()?.0;
        let ended = tokio::time::timeout(patience, task).await.ok()?;
        *request = None;
        Some(result_of(ended))
    }
}

/// Result of a task that has ended.
fn result_of(ended: Result<HashCheck, JoinError>) -> HashCheck {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(check) => check,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => HashCheck::Unchecked, // the runtime ends
    }
}

impl Drop for HashRequest {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    const TIMEOUT: Duration = Duration::from_secs(60);

    #[actix_rt::test]
    async fn an_open_request_is_not_waited_for_and_ends_with_its_owner() {
        let held = Rc::new(());
        let holder = Rc::clone(&held);
        let mut request = Some(HashRequest::begin(async move {
            let _holder = holder;
            std::future::pending().await
        }));
        tokio::task::yield_now().await;
        assert_eq!(HashRequest::answer(&mut request), None);
        assert_eq!(HashRequest::answer_within(&mut request, Duration::ZERO).await, None);
        assert!(request.is_some());
        drop(request);
        let is_dropped = async {
            while Rc::strong_count(&held) > 1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TIMEOUT, is_dropped).await.unwrap();
    }

    #[actix_rt::test]
    async fn an_answer_is_given_once() {
        let mut request = Some(HashRequest::begin(async { HashCheck::Unchecked }));
        let answered = async {
            loop {
                match HashRequest::answer(&mut request) {
                    Some(answer) => break answer,
                    None => tokio::task::yield_now().await,
                }
            }
        };
        let answer = tokio::time::timeout(TIMEOUT, answered).await.unwrap();
        assert_eq!((answer, request.is_none()), (HashCheck::Unchecked, true));
        assert_eq!(HashRequest::answer(&mut request), None);
    }

    #[actix_rt::test]
    async fn an_answer_that_comes_in_time_is_waited_for() {
        let mut request = Some(HashRequest::begin(async {
            tokio::task::yield_now().await;
            HashCheck::Unchecked
        }));
        assert_eq!(HashRequest::answer_within(&mut request, TIMEOUT).await, Some(HashCheck::Unchecked));
        assert!(request.is_none());
    }

    #[actix_rt::test]
    #[should_panic(expected = "the request failed")]
    async fn the_panic_of_a_request_reaches_its_owner() {
        let mut request = Some(HashRequest::begin(async { panic!("the request failed") }));
        let answered = async {
            while HashRequest::answer(&mut request).is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TIMEOUT, answered).await.unwrap();
    }
}
