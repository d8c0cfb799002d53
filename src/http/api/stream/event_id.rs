//! Ids of events, and the reasons for which a reader cannot continue after one.

use crate::{domain::instant::UnixSeconds, published::Publication};

/// Publication that a reader has seen to its end. Its text is `<seq>.<as_of>`, and means the same on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventId {
    /// Last batch of the publication.
    pub(super) seq: i64,
    /// Time of the publication.
    pub(super) as_of: UnixSeconds,
}

/// Reason for which a reader must read the documents again. The text goes to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResumeError {
    /// No id of this stream.
    #[error("Last-Event-ID is not an id of this stream")]
    Malformed,
    /// An id of a batch that the database does not hold yet.
    #[error("Last-Event-ID is in the future")]
    Future,
    /// More time passed than is read from the database.
    #[error("Last-Event-ID is more than an hour old")]
    TooOld,
    /// More trades were written than are read from the database.
    #[error("too many trades since Last-Event-ID")]
    TooMany,
    /// The batch is not held any more, or its number was assigned again after a loss.
    #[error("the database no longer has the batch of Last-Event-ID")]
    Gone,
    /// The database did not answer, or too many other readers asked.
    #[error("the missed trades cannot be read now")]
    Unreadable,
    /// A publication changed too much to be listed.
    #[error("too much changed at once")]
    Whole,
    /// Events of the board, which each replica keeps for two minutes.
    #[error("the events since Last-Event-ID are no longer kept")]
    NotKept,
}

impl EventId {
    /// Id of a publication.
    pub(super) fn of(publication: &Publication) -> Self {
        Self { seq: publication.seq, as_of: publication.as_of }
    }

    /// Reads an id; none if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (seq, as_of) = text.split_once('.')?;
        let number = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| text.parse::<i64>().ok()).flatten()
        };
        Some(Self { seq: number(seq)?, as_of: UnixSeconds(number(as_of)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_plain_numbers_are_an_id() {
        assert_eq!(
            EventId::parse("12.1700000000"),
            Some(EventId { seq: 12, as_of: UnixSeconds(1_700_000_000) })
        );
        for text in
            ["", "12", "12.", ".5", "-1.5", "+1.5", "1.5.6", "1. 5", "a.b", "99999999999999999999.1", "é.1"]
        {
            assert_eq!(EventId::parse(text), None, "{text:?}");
        }
    }
}
