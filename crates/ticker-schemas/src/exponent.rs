//! Numbers with exponents. A schema cannot refuse them, because it sees values and not their digits.

/// Returns the first number of a JSON text that has an exponent, such as `1e-7`.
pub(crate) fn first(json: &str) -> Option<&str> {
    let is_of_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'"' {
            at = end_of_string(bytes, at);
        } else if byte.is_ascii_digit() || *byte == b'-' {
            let length = bytes.iter().skip(at).take_while(|byte| is_of_number(**byte)).count();
            let number = json.get(at..at + length).unwrap_or_default();
            if number.contains(['e', 'E']) {
                return Some(number);
            }
            at += length;
        } else {
            at += 1;
        }
    }
    None
}

/// Returns the index after the string that begins at `at`.
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            // The escaped character may be a quotation mark.
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exponent_is_found_in_numbers_only() {
        for (json, found) in [
            (r#"{"1e5": "2E7", "a": [1.5, -2, true, false, null]}"#, None),
            (r#"{"a\"": 1, "b": 1e-7}"#, Some("1e-7")),
            ("[0.1,-3E+2]", Some("-3E+2")),
            (r#""\\" "#, None),
            ("", None),
        ] {
            assert_eq!(first(json), found, "{json}");
        }
    }
}
