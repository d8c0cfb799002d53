//! Files of the market API. They are written beside the legacy files, which never wait for them.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use ticker_formats::{listings::IdStyle, output::Output};

use super::{FilePace, replace_rendered};
use crate::published::{ListingSource, Publication};

/// Shortest time between two writes, also of small files: HTTP pins the same documents for as long.
const INTERVAL: Duration = Duration::from_secs(10);
/// With [`FilePace::Auto`] and [`MANY_MARKETS`], the time between two writes. At 30,000 markets a document has tens of
/// megabytes, and takes seconds of a core to render and compress.
const LARGE_INTERVAL: Duration = Duration::from_secs(60);
/// Number of markets from which on the documents are large.
const MANY_MARKETS: usize = 2_000;

/// Returns true if it is time to write again. `begun_at` is the start of the last write, and
/// `has_failed` is true if that failed.
pub(super) fn is_due(
    pace: FilePace,
    begun_at: Option<Instant>,
    publication: &Publication,
    has_failed: bool,
) -> bool {
    let interval = match pace {
        _ if has_failed => INTERVAL,
        FilePace::Every(interval) => interval.max(INTERVAL),
        FilePace::Auto if publication.snapshot.directory().market_count() < MANY_MARKETS => INTERVAL,
        FilePace::Auto => LARGE_INTERVAL,
    };
    begun_at.is_none_or(|begun_at| begun_at.elapsed() >= interval)
}

/// Renders all documents with a file and replaces the files. Takes milliseconds to seconds.
pub(super) fn write(directory: &Path, publication: &Publication, source: &ListingSource) -> io::Result<()> {
    let view = publication.listing.view(source);
    Output::files().try_for_each(|(name, output)| {
        replace_rendered(directory, name, |out| (output.render)(&view, IdStyle::Classic, out))
    })
}
