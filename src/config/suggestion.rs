//! Suggestions for unknown names.

/// A suggestion must share most of its letters with what was written.
const SIMILARITY_MIN: f64 = 0.7;
/// Longest name to suggest for. All real names are shorter, so a longer one is no typing mistake.
const CHARS_MAX: usize = 64;

/// The known name that is nearest to what was written, if any is near.
pub(super) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    if written.len() > CHARS_MAX {
        return None;
    }
    let similarity = |candidate: &str| strsim::normalized_damerau_levenshtein(written, candidate);
    let best = known.max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(best) >= SIMILARITY_MIN).then(|| best.to_owned())
}
