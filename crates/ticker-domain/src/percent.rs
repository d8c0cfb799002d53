//! Percent-encoding of values in addresses (RFC 3986).

use std::fmt::Write as _;

/// Value of a query or a part of a path: everything but letters, digits and `-_.~` is encoded.
#[must_use]
pub fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String never fails.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(encoded("AZaz09-_.~"), "AZaz09-_.~");
        assert_eq!(encoded("a b&c=é/%"), "a%20b%26c%3D%C3%A9%2F%25");
    }
}
