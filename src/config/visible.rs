//! What somebody typed, fit for being shown: whole where it is harmless, told by its number where it is not.

use std::path::Path;

/// Characters of a text that a message quotes.
const QUOTED_CHARS_MAX: usize = 200;

/// The text on one line, without anything that steers a terminal, turns a line round or hides.
pub(super) fn on_one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => out.push(character),
            // `escape_debug` leaves what is printable.
            other => out.extend(other.escape_debug()),
        }
    }
    out
}

/// The same on as many lines as it has.
pub(super) fn on_lines(text: &str) -> String {
    text.split('\n').map(on_one_line).collect::<Vec<_>>().join("\n")
}

/// A path on one line.
pub(super) fn path(path: &Path) -> String {
    on_one_line(&path.to_string_lossy())
}

/// The beginning of a text that is too long to be quoted.
pub(super) fn shortened(text: String) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_harmless_stays_and_the_rest_is_told_by_its_number() {
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
