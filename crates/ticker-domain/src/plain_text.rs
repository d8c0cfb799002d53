//! Sanitising of text of unknown origin for display. The result cannot control a terminal, change the text direction,
//! hide text or break a row.

use std::borrow::Cow;

/// Returns true for invisible characters with an effect: controls, line breaks, direction marks, zero width, tags.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}'                       // soft hyphen
            | '\u{34f}'                    // grapheme joiner
            | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}' // Arabic and Syriac marks
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers
            | '\u{17b4}' | '\u{17b5}'      // Khmer vowels that are not written
            | '\u{180b}'..='\u{180f}'      // Mongolian selectors and separator
            | '\u{200b}'..='\u{200f}'      // zero width, marks of direction
            | '\u{2028}'..='\u{202e}'      // line and paragraph, embedding and override of direction
            | '\u{2060}'..='\u{206f}'      // joiners, invisible operators, isolates
            | '\u{2800}'                   // a Braille cell without dots
            | '\u{fe00}'..='\u{fe0f}'      // variation selectors
            | '\u{feff}'                   // byte order mark
            | '\u{fff0}'..='\u{fffb}'      // annotations
            | '\u{110bd}' | '\u{110cd}'    // Kaithi number signs
            | '\u{1bca0}'..='\u{1bca3}'    // shorthand controls
            | '\u{1d173}'..='\u{1d17a}'    // musical controls
            | '\u{e0000}'..='\u{e0fff}') // tags, more selectors
}

/// Removes hidden characters. Line breaks and tabs become spaces.
#[must_use]
pub fn stripped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let kept = |character| match character {
        '\n' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
        hidden if is_hidden(hidden) => None,
        seen => Some(seen),
    };
    Cow::Owned(text.chars().filter_map(kept).collect())
}

/// Removes emoji, and the blanks that they leave.
#[must_use]
pub fn without_emoji(text: &str) -> Cow<'_, str> {
    if !text.contains(is_emoji) {
        return Cow::Borrowed(text);
    }
    let kept = text.replace(is_emoji, " ");
    Cow::Owned(kept.split_whitespace().collect::<Vec<_>>().join(" "))
}

const fn is_emoji(character: char) -> bool {
    matches!(character,
        '\u{20e3}'                                    // keycap
        | '\u{231a}' | '\u{231b}' | '\u{23e9}'..='\u{23fa}' // clocks and buttons
        | '\u{2600}'..='\u{27bf}'                     // symbols and dingbats
        | '\u{2b00}'..='\u{2bff}'                     // arrows and stars
        | '\u{1f000}'..='\u{1faff}') // pictographs, flags and skin tones
}

/// Escapes hidden characters as `\u{202e}`, for an operator who needs to see the received text.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// First characters of a text, and an ellipsis if there are more.
#[must_use]
pub fn excerpt(text: &str, characters_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// Entries that a log line names.
const LISTED_MAX: usize = 5;

/// First few entries of a list for one log line, and the number of further ones.
#[must_use]
pub fn listed(entries: &[String]) -> String {
    let named: Vec<&str> = entries.iter().take(LISTED_MAX).map(String::as_str).collect();
    match entries.len().saturating_sub(LISTED_MAX) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_visible_text_and_removes_the_rest() {
        assert_eq!(stripped("Tea & Co. 茶 e\u{301} \u{1f375}"), "Tea & Co. 茶 e\u{301} \u{1f375}");
        assert_eq!(stripped("a\u{202e}b\u{200b}c\u{1b}[2Jd\r\ne\u{9b}f\u{0}"), "abc[2Jd ef");
        assert_eq!(shown("a\u{202e}b\n\u{1b}"), "a\\u{202e}b\\n\\u{1b}");
    }

    #[test]
    fn emoji_go_and_letters_of_all_scripts_stay() {
        for (text, plain) in [
            ("\u{1f680} Moon", "Moon"),
            ("To the\u{1f680}\u{1f680}moon \u{2b50}", "To the moon"),
            ("\u{1f1e8}\u{1f1ed}", ""),
            ("茶  & Caf\u{e9} ™", "茶  & Caf\u{e9} ™"),
        ] {
            assert_eq!(without_emoji(text), plain);
        }
    }

    #[test]
    fn recognises_every_kind_of_hidden_character() {
        for hidden in "\u{0}\u{7}\u{8}\u{1b}\u{7f}\u{80}\u{9b}\u{9d}\u{ad}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\
                       \u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2063}\u{2066}\u{2067}\u{2068}\u{2069}\u{3164}\
                       \u{fe0f}\u{feff}\u{fff9}\u{e0001}\u{e0041}\u{e0100}"
            .chars()
        {
            assert!(is_hidden(hidden), "{hidden:?}");
        }
    }

    #[test]
    fn cuts_a_long_list_and_counts_the_rest() {
        let entries: Vec<String> = (1..=7).map(|number| number.to_string()).collect();
        assert_eq!(listed(&entries[..5]), "1, 2, 3, 4, 5");
        assert_eq!(listed(&entries), "1, 2, 3, 4, 5 and 2 more");
        assert_eq!(listed(&[]), "");
    }

    proptest! {
        #[test]
        fn leaves_nothing_hidden_and_is_idempotent(text in any::<String>()) {
            let once = stripped(&text).into_owned();
            prop_assert!(!once.contains(is_hidden));
            prop_assert_eq!(stripped(&once).into_owned(), once.as_str());
            prop_assert!(!shown(&text).contains(is_hidden));
        }
    }
}
