//! The text of a row: what stands between its values, and how each value is printed.

use super::{fields::Printer, plan::Chosen};
use crate::domain::json_text::push_string;

/// A row's text with its values left out.
pub(super) struct Template<P> {
    /// A text, and the value that follows it.
    parts: Vec<(String, P)>,
    /// Text after the last value.
    tail: String,
}

impl<P: Copy> Template<P> {
    /// The text of a row of this type with these fields; `printer` knows the type's values by their paths.
    pub(super) fn new(type_name: &str, fields: &[Chosen], printer: Printer<P>) -> Self {
        let mut template = Self { parts: Vec::new(), tail: String::new() };
        template.push_object(type_name, fields, printer);
        template
    }

    fn push_object(&mut self, type_name: &str, fields: &[Chosen], printer: Printer<P>) {
        if fields.is_empty() {
            // Everything was skipped by directives.
            self.tail.push_str("null");
            return;
        }
        for (place, field) in fields.iter().enumerate() {
            self.tail.push(if place == 0 { '{' } else { ',' });
            push_string(&mut self.tail, &field.key);
            self.tail.push(':');
            match field.name.as_str() {
                "__typename" => push_string(&mut self.tail, type_name),
                "orderbookStats" => self.push_object("OrderbookStats", &field.children, printer),
                name => match printer(type_name, name) {
                    Some(print) => self.parts.push((std::mem::take(&mut self.tail), print)),
                    None => self.tail.push_str("null"), // the validator lets no such field through
                },
            }
        }
        self.tail.push('}');
    }

    /// Appends a row; `print` appends one of its values.
    pub(super) fn push(&self, out: &mut String, print: impl Fn(P, &mut String)) {
        for (text, value) in &self.parts {
            out.push_str(text);
            print(*value, out);
        }
        out.push_str(&self.tail);
    }
}
