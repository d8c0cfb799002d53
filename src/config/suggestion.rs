//! Suggestions for unknown names.

/// Least similarity of a suggestion, from 0 to 1.
const SIMILARITY_MIN: f64 = 0.7;
/// Longest name that gets a suggestion. All real names are shorter, so a longer one is no typing error.
const CHARS_MAX: usize = 64;

/// Returns the most similar known name, if one is similar enough.
pub(super) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    if written.len() > CHARS_MAX {
        return None;
    }
    let similarity = |candidate: &str| strsim::normalized_damerau_levenshtein(written, candidate);
    let best = known.max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(best) >= SIMILARITY_MIN).then(|| best.to_owned())
}
