//! Comparison of a hash with Horizon's beside the reading of later ledgers, because Horizon may take 10 seconds.

use actix_rt::task::JoinHandle;

use crate::published::HashCheck;

/// Request to Horizon for the hash of one ledger, in a task of its own. Dropping it ends the task.
#[derive(Debug)]
pub(super) struct HashRequest(JoinHandle<HashCheck>);

impl HashRequest {
    /// Starts the task.
    pub(super) fn begin(check: impl Future<Output = HashCheck> + 'static) -> Self {
        Self(actix_rt::spawn(check))
    }

    /// Returns the result once the task has ended, and removes the request. A panic of the task continues here, in the
    /// loop of its owner, so that the supervisor sees it.
    pub(super) async fn answer(request: &mut Option<Self>) -> Option<HashCheck> {
        let answered = request.as_mut().filter(|request| request.0.is_finished())?;
        let check = match (&mut answered.0).await {
            Ok(check) => check,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => HashCheck::Unchecked, // the runtime ends
            },
        };
        *request = None;
        Some(check)
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

    const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

    #[actix_rt::test]
    async fn an_open_request_is_not_waited_for_and_ends_with_its_owner() {
        let held = Rc::new(());
        let holder = Rc::clone(&held);
        let mut request = Some(HashRequest::begin(async move {
            let _holder = holder;
            std::future::pending().await
        }));
        tokio::task::yield_now().await;
        assert_eq!(HashRequest::answer(&mut request).await, None);
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
                match HashRequest::answer(&mut request).await {
                    Some(answer) => break answer,
                    None => tokio::task::yield_now().await,
                }
            }
        };
        let answer = tokio::time::timeout(TIMEOUT, answered).await.unwrap();
        assert_eq!((answer, request.is_none()), (HashCheck::Unchecked, true));
        assert_eq!(HashRequest::answer(&mut request).await, None);
    }

    #[actix_rt::test]
    #[should_panic(expected = "the request failed")]
    async fn the_panic_of_a_request_reaches_its_owner() {
        let mut request = Some(HashRequest::begin(async { panic!("the request failed") }));
        let answered = async {
            while HashRequest::answer(&mut request).await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TIMEOUT, answered).await.unwrap();
    }
}
