//! Template of a row: the constant text between its values, and the printer of each value.

use super::{fields::Printer, market_data::SECOND_TOKEN, plan::ChosenField};
use crate::domain::json_text::push_string;

/// Text of a row without its values.
pub(super) struct Template<P> {
    /// Texts, each with the printer of the value that follows it.
    parts: Vec<(String, P)>,
    /// Text after the last value.
    tail: String,
}

impl<P: Copy> Template<P> {
    /// Returns the template for rows of this type with these fields. `printer` returns the printer of a field.
    pub(super) fn new(type_name: &str, fields: &[ChosenField], printer: Printer<P>) -> Self {
        let mut template = Self { parts: Vec::new(), tail: String::new() };
        template.push_object(type_name, fields, printer);
        template
    }

    fn push_object(&mut self, type_name: &str, fields: &[ChosenField], printer: Printer<P>) {
        self.tail.push('{');
        for (place, field) in fields.iter().enumerate() {
            if place > 0 {
                self.tail.push(',');
            }
            push_string(&mut self.tail, &field.key);
            self.tail.push(':');
            match field.name.as_str() {
                "__typename" => {
                    push_string(&mut self.tail, if type_name == SECOND_TOKEN { "Token" } else { type_name });
                }
                "orderbookStats" => self.push_object("OrderbookStats", &field.children, printer),
                "pair" => self.push_object("TradedPair", &field.children, printer),
                "token0" => self.push_object("Token", &field.children, printer),
                "token1" => self.push_object(SECOND_TOKEN, &field.children, printer),
                name => match printer(type_name, name) {
                    Some(print) => self.parts.push((std::mem::take(&mut self.tail), print)),
                    None => self.tail.push_str("null"), // The validator refuses unknown fields.
                },
            }
        }
        self.tail.push('}');
    }

    /// Appends a row. `print` appends one of its values.
    pub(super) fn push(&self, out: &mut String, print: impl Fn(P, &mut String)) {
        for (text, value) in &self.parts {
            out.push_str(text);
            print(*value, out);
        }
        out.push_str(&self.tail);
    }
}
