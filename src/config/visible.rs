//! Texts of an operator in messages: hidden characters escaped, long texts shortened.

use std::path::Path;

use crate::domain::plain_text::{excerpt, shown};

/// Characters of a text that a message quotes.
const QUOTED_CHARS_MAX: usize = 200;

/// Returns the text on one line, with hidden characters escaped.
pub(super) fn on_one_line(text: &str) -> String {
    shown(text).into_owned()
}

/// Returns the text with its line breaks, and all other hidden characters escaped.
pub(super) fn on_lines(text: &str) -> String {
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n")
}

/// Returns a path on one line, with hidden characters escaped.
pub(super) fn path(path: &Path) -> String {
    on_one_line(&path.to_string_lossy())
}

/// Cuts a text that is too long for a message.
pub(super) fn shortened(text: String) -> String {
    excerpt(&text, QUOTED_CHARS_MAX).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn visible_characters_stay_and_hidden_ones_are_escaped() {
        assert_eq!(on_one_line("C:\\a 'b' \"ü茶\""), "C:\\a 'b' \"ü茶\"");
        assert_eq!(on_one_line("\x1b[2J\u{202e}\u{200b}\t\n"), "\\u{1b}[2J\\u{202e}\\u{200b}\\t\\n");
        assert_eq!(on_lines("a\nb\r\n"), "a\nb\\r\n");
    }

    proptest! {
        #[test]
        fn no_text_leaves_a_control_character_and_none_is_too_long(text in any::<String>()) {
            let shown = shortened(on_one_line(&text));
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(shown.chars().count() <= QUOTED_CHARS_MAX + 1);
        }
    }
}
