//! Brackets and directives of a document, counted before a parser reads it. Pure.

/// Counts of a document. What stands in its texts and comments does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Punctuation {
    /// Largest depth of brackets of any kind.
    pub depth: usize,
    /// Number of directives.
    pub directives: usize,
}

/// Counts brackets and directives.
pub(super) fn count(text: &str) -> Punctuation {
    let (mut depth, mut counted, mut rest) = (0_usize, Punctuation::default(), text);
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '#' => rest.trim_start_matches(|character| character != '\n' && character != '\r'),
            '"' => after_string(rest),
            _ => rest.get(first.len_utf8()..).unwrap_or_default(),
        };
        match first {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            '@' => counted.directives += 1,
            _ => {}
        }
        counted.depth = counted.depth.max(depth);
    }
    counted
}

/// Returns the text after the string at the beginning of `text`; empty if the string does not end.
fn after_string(text: &str) -> &str {
    if let Some(block) = text.strip_prefix("\"\"\"") {
        let mut from = 0;
        while let Some(at) = block.get(from..).and_then(|rest| rest.find("\"\"\"")).map(|at| at + from) {
            if block.get(..at).is_some_and(|before| !before.ends_with('\\')) {
                return block.get(at + 3..).unwrap_or_default();
            }
            from = at + 3;
        }
        return "";
    }
    let mut is_escaped = true; // So that the opening quote does not end the string.
    for (at, character) in text.char_indices() {
        match character {
            '"' | '\n' | '\r' if !is_escaped => return text.get(at + 1..).unwrap_or_default(),
            _ => is_escaped = character == '\\' && !is_escaped,
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_texts_and_comments_does_not_count() {
        let brackets = "{[(@".repeat(50);
        for query in [
            format!("{{ a(b: \"{brackets}\") }}"),
            format!("{{ a(b: \"\\\"{brackets}\") }}"),
            format!("{{ a(b: \"\"\"\\\"\"\"{brackets}\"\"\") }}"),
            format!("{{ a # {brackets}\n }}"),
        ] {
            let counted = count(&query);
            assert!(counted.depth <= 3 && counted.directives == 0, "{query}");
        }
        assert_eq!(count(&format!("\"\" {brackets}")), Punctuation { depth: 150, directives: 50 });
    }
}
