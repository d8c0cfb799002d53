//! Files of the market API. They are written beside the legacy files, which never wait for them.

use std::{io, path::Path, time::Duration};

use ticker_formats::{listings::IdStyle, output::Output};

use super::{FilePace, file_set::FileKind, replace_rendered};
use crate::published::{ListingSource, Publication};

/// Shortest time between two writes, also of small files: HTTP pins the same documents for as long.
const INTERVAL: Duration = Duration::from_secs(10);
/// With [`FilePace::Auto`] and [`MANY_MARKETS`], the time between two writes. At 30,000 markets a document has tens of
/// megabytes, and takes seconds of a core to render and compress.
const LARGE_INTERVAL: Duration = Duration::from_secs(60);
/// Number of markets from which on the documents are large.
const MANY_MARKETS: usize = 2_000;

/// The files of the market API.
pub(super) const KIND: FileKind = FileKind {
    part: "files of the market API",
    noun: "files of the market API",
    label: "files of the market API: ",
    retry_pause: INTERVAL,
    // They may take a minute on a busy machine.
    hanging_after: Duration::from_secs(300),
};

/// Time between two writes.
pub(super) fn interval(pace: FilePace, publication: &Publication) -> Duration {
    match pace {
        FilePace::Every(interval) => interval.max(INTERVAL),
        FilePace::Auto if publication.snapshot.directory().market_count() < MANY_MARKETS => INTERVAL,
        FilePace::Auto => LARGE_INTERVAL,
    }
}

/// Renders all documents with a file and replaces the files. Takes milliseconds to seconds.
pub(super) fn write(directory: &Path, publication: &Publication, source: &ListingSource) -> io::Result<()> {
    let moment = publication.listing.moment(source);
    Output::files().try_for_each(|(name, output)| {
        replace_rendered(directory, name, |out| (output.render)(moment.view(), IdStyle::Classic, out))
    })
}
