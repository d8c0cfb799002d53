//! JSON strings with the escapes of Go's encoder, which the old ticker used.

/// Appends a JSON string. Escapes `&`, `<`, `>`, U+2028 and U+2029 beyond what JSON requires, as Go does.
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '&' | '<' | '>' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_as_the_old_encoder_did() {
        let mut out = String::new();
        push_string(&mut out, "a\"\\\n\r\t\u{1}\u{7f}&<>\u{2028}\u{2029}\u{1f600}");
        assert_eq!(out, "\"a\\\"\\\\\\n\\r\\t\\u0001\u{7f}\\u0026\\u003c\\u003e\\u2028\\u2029\u{1f600}\"");
    }

    proptest! {
        #[test]
        fn any_text_reads_back_unchanged(text in "\\PC*") {
            let mut out = String::new();
            push_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
