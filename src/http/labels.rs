//! Labels: the headers that name the publication of an answer.

use std::cell::RefCell;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::instant::UnixSeconds;

/// Header with the last batch in the publication.
pub(super) const SEQ_HEADER: &str = "x-ticker-seq";
/// Header with the end of its windows.
pub(super) const AS_OF_HEADER: &str = "x-ticker-as-of";

thread_local! {
    /// Labels of this thread's last answer. All answers within a second are from the same publication, and formatting
    /// two dates costs more than everything else that the handler does for a small file.
    static LAST: RefCell<Option<Labels>> = const { RefCell::new(None) };
}

/// Header values of one publication.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    of: (i64, UnixSeconds),
    seq: HeaderValue,
    as_of: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

impl Labels {
    /// Returns the labels of the publication with this `seq` and `as_of`. Formats them only if the thread's last answer
    /// was from another publication.
    pub(super) fn of(seq: i64, as_of: UnixSeconds) -> Self {
        LAST.with_borrow_mut(|last| match last {
            Some(labels) if labels.of == (seq, as_of) => labels.clone(),
            _ => last.insert(Self::format(seq, as_of)).clone(),
        })
    }

    fn format(seq: i64, as_of: UnixSeconds) -> Self {
        let last_modified = as_of.to_utc().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        Self {
            of: (seq, as_of),
            seq: HeaderValue::from(seq),
            as_of: HeaderValue::try_from(as_of.to_rfc3339()).ok(),
            last_modified: HeaderValue::try_from(last_modified).ok(),
        }
    }

    /// Returns the `as_of` of the publication.
    pub(super) const fn as_of(&self) -> UnixSeconds {
        self.of.1
    }

    /// Returns the `as_of` as an HTTP date.
    pub(super) const fn last_modified(&self) -> Option<&HeaderValue> {
        self.last_modified.as_ref()
    }

    /// Adds [`SEQ_HEADER`] and [`AS_OF_HEADER`].
    pub(super) fn add_to(self, headers: &mut HeaderMap) {
        headers.insert(HeaderName::from_static(SEQ_HEADER), self.seq);
        if let Some(as_of) = self.as_of {
            headers.insert(HeaderName::from_static(AS_OF_HEADER), as_of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_change_with_either_part_of_the_publications_name() {
        // The same batch at another second, and another batch at the same second, are other publications.
        for (seq, as_of, date) in [
            (7, 1_000_000_000, "Sun, 09 Sep 2001 01:46:40 GMT"),
            (7, 1_000_000_001, "Sun, 09 Sep 2001 01:46:41 GMT"),
            (8, 1_000_000_001, "Sun, 09 Sep 2001 01:46:41 GMT"),
            (8, 1_000_000_001, "Sun, 09 Sep 2001 01:46:41 GMT"),
        ] {
            let labels = Labels::of(seq, UnixSeconds(as_of));
            assert_eq!(labels.last_modified().unwrap(), date);
            let mut headers = HeaderMap::new();
            labels.add_to(&mut headers);
            assert_eq!(headers.get(SEQ_HEADER).unwrap(), &seq.to_string());
            assert_eq!(headers.get(AS_OF_HEADER).unwrap(), &UnixSeconds(as_of).to_rfc3339());
        }
    }
}
