//! Writer of events that escapes hidden characters. So each event is one line and cannot control a terminal, whatever
//! text from outside it contains. Call sites of the log need not escape anything.

use std::io::{self, Stderr, Write};

use tracing_subscriber::fmt::MakeWriter;

use crate::domain::plain_text::is_hidden;

/// Format of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object per line.
    Json,
    /// Text without colours.
    Text,
    /// Text in which the sequences `ESC [ numbers m` set colours. All other hidden characters are escaped.
    Coloured,
}

/// Sequence that clears the line of the cursor. A progress bar leaves the cursor at its end, and draws itself again
/// soon.
const CLEAR_LINE: &[u8] = b"\r\x1b[2K";

/// Standard error, with a writer for each event.
pub(super) struct PlainStderr {
    pub(super) form: Form,
    /// True if stderr is a terminal, where a progress bar may be.
    pub(super) is_over_bar: bool,
}

impl<'a> MakeWriter<'a> for PlainStderr {
    type Writer = Plain<Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Plain { out: io::stderr(), form: self.form, is_over_bar: self.is_over_bar }
    }
}

/// Writer of one event. The formatter writes each event in one piece.
pub(super) struct Plain<W> {
    out: W,
    form: Form,
    is_over_bar: bool,
}

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = plain(&String::from_utf8_lossy(event), self.form);
        let lead = if self.is_over_bar { CLEAR_LINE } else { b"" };
        self.out.write_all(&[lead, text.as_bytes()].concat())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn plain(event: &str, form: Form) -> String {
    let (line, end) = event.strip_suffix('\n').map_or((event, ""), |line| (line, "\n"));
    let mut out = String::with_capacity(event.len());
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        let seen = match form {
            Form::Coloured => colour(rest),
            Form::Json | Form::Text => None,
        };
        if let Some(seen) = seen {
            out.push_str(seen);
            rest = rest.get(seen.len()..).unwrap_or_default();
            continue;
        }
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
        match form {
            _ if !is_hidden(character) => out.push(character),
            Form::Json => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            Form::Text | Form::Coloured => out.extend(character.escape_default()),
        }
    }
    out + end
}

/// Returns the sequence that sets a colour at the beginning of `text`, if there is one.
fn colour(text: &str) -> Option<&str> {
    let behind = text.strip_prefix("\u{1b}[")?;
    let numbers = behind.find(|character: char| !character.is_ascii_digit() && character != ';')?;
    let length = text.len() - behind.len() + numbers + 1;
    text.get(..length).filter(|sequence| sequence.ends_with('m'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_event_is_one_line_without_anything_hidden() {
        let nasty = "a\u{202e}b\u{1b}[2J\nc\u{200b}\u{e0041}\n";
        assert_eq!(plain(nasty, Form::Text), "a\\u{202e}b\\u{1b}[2J\\nc\\u{200b}\\u{e0041}\n");
        assert_eq!(plain(nasty, Form::Json), "a\\u202eb\\u001b[2J\\u000ac\\u200b\\udb40\\udc41\n");
        let coloured =
            "\u{1b}[32m INFO\u{1b}[0m \u{1b}[1;3mx\u{1b}[0m \u{1b}[2J \u{1b}]0;title\u{7} \u{1b}[m\n";
        let expected =
            "\u{1b}[32m INFO\u{1b}[0m \u{1b}[1;3mx\u{1b}[0m \\u{1b}[2J \\u{1b}]0;title\\u{7} \u{1b}[m\n";
        assert_eq!(plain(coloured, Form::Coloured), expected);
    }

    #[test]
    fn an_event_replaces_a_progress_bar_only_on_a_terminal() {
        for (is_over_bar, written) in [(true, "\r\u{1b}[2Kevent\n"), (false, "event\n")] {
            let mut writer = Plain { out: Vec::new(), form: Form::Text, is_over_bar };
            writer.write_all(b"event\n").unwrap();
            assert_eq!(String::from_utf8(writer.out).unwrap(), written);
        }
    }

    proptest! {
        #[test]
        fn json_stays_json_with_the_same_content(text in any::<String>()) {
            let event = serde_json::json!({"message": text}).to_string();
            let written = plain(&event, Form::Json);
            prop_assert!(!written.contains(is_hidden));
            let read: serde_json::Value = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(read["message"].as_str(), Some(text.as_str()));
        }

        #[test]
        fn no_hidden_character_is_written(text in any::<String>()) {
            prop_assert!(!plain(&text, Form::Text).trim_end_matches('\n').contains(is_hidden));
            let coloured = plain(&text, Form::Coloured);
            let mut hidden = coloured.trim_end_matches('\n').chars().filter(|character| is_hidden(*character));
            prop_assert!(hidden.all(|character| character == '\x1b'));
        }
    }
}
