//! Bodies of responses, read whole within limits of size and time.

use std::time::Duration;

use awc::error::PayloadError;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};

/// Limits of one body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Largest body as it is sent, in bytes.
    pub bytes_max: usize,
    /// Longest wait for the next bytes.
    pub silence_max: Duration,
    /// Timeout for the whole body. A server that drips bytes is never silent.
    pub timeout: Duration,
}

/// Reason why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Connection that broke, or framing that is not valid.
    #[error("{}", payload_text(.0))]
    Payload(PayloadError),
    /// No bytes for too long, or a whole body that took too long. Holds the limit that was exceeded.
    #[error("the body did not arrive within {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// Body beyond the limit. Holds the limit in bytes.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
}

/// Text of an error of awc. awc's own text contains Rust debug output.
#[must_use]
pub fn payload_text(error: &PayloadError) -> String {
    match error {
        PayloadError::Incomplete(None) => "the connection ended before the body did".to_owned(),
        PayloadError::Incomplete(Some(cause)) => format!("the body is cut or malformed: {cause}"),
        other => other.to_string(),
    }
}

/// Reads a body to its end, as it was sent. Holds no more than `bytes_max` bytes of it and the chunk that arrived last.
///
/// # Errors
///
/// [`BodyError`] with the reason.
pub async fn read_body<S>(chunks: &mut S, limits: BodyLimits) -> Result<Bytes, BodyError>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let BodyLimits { bytes_max, silence_max, timeout } = limits;
    let read = async {
        let mut body = BytesMut::new();
        loop {
            let chunk = actix_rt::time::timeout(silence_max, chunks.next()).await;
            match chunk.map_err(|_| BodyError::Silent(silence_max))? {
                None => return Ok(body.freeze()),
                Some(Err(error)) => return Err(BodyError::Payload(error)),
                Some(Ok(chunk)) if body.len().saturating_add(chunk.len()) > bytes_max => {
                    return Err(BodyError::TooLarge(bytes_max));
                }
                Some(Ok(chunk)) => body.extend_from_slice(&chunk),
            }
        }
    };
    actix_rt::time::timeout(timeout, read).await.unwrap_or(Err(BodyError::Silent(timeout)))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const LIMITS: BodyLimits =
        BodyLimits { bytes_max: 6, silence_max: Duration::from_secs(3), timeout: Duration::from_secs(10) };

    fn chunk(text: &'static str) -> Result<Bytes, PayloadError> {
        Ok(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test(start_paused = true)]
    async fn reads_all_chunks_up_to_the_limit() {
        let mut whole = stream::iter([chunk("abc"), chunk(""), chunk("def")]);
        assert_eq!(read_body(&mut whole, LIMITS).await.unwrap(), "abcdef");
        let mut one_more = stream::iter([chunk("abc"), chunk("defg")]);
        assert!(matches!(read_body(&mut one_more, LIMITS).await, Err(BodyError::TooLarge(6))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_connection_is_an_error_and_not_the_end() {
        let mut cut = stream::iter([chunk("abc"), Err(PayloadError::Incomplete(None))]);
        assert!(matches!(read_body(&mut cut, LIMITS).await, Err(BodyError::Payload(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_endless_dripping_end_at_their_limits() {
        let begun = tokio::time::Instant::now();
        let mut silent = stream::iter([chunk("abc")]).chain(stream::pending());
        let silence = read_body(&mut silent, LIMITS).await;
        assert!(
            matches!(silence, Err(BodyError::Silent(limit)) if limit == LIMITS.silence_max),
            "{silence:?}"
        );
        assert_eq!(begun.elapsed(), LIMITS.silence_max);

        let begun = tokio::time::Instant::now();
        let drips = stream::repeat_with(|| chunk("")).then(|drip| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drip
        });
        let dripped = read_body(&mut Box::pin(drips), LIMITS).await;
        assert!(matches!(dripped, Err(BodyError::Silent(limit)) if limit == LIMITS.timeout), "{dripped:?}");
        assert_eq!(begun.elapsed(), LIMITS.timeout);
    }
}
