//! Checks of documents by their schemas.

use std::collections::BTreeMap;

use jsonschema::Registry;
use serde_json::Value;
use ticker_domain::plain_text::shown;

use crate::{SCHEMAS, exponent};

/// Base of the schemas' addresses. Nothing is fetched: all schemas are in the program.
const BASE: &str = "https://schemas.invalid/";
/// Most violations that a check of one document returns. The rest would say the same again.
pub(crate) const VIOLATIONS_MAX: usize = 20;
/// Most characters of a violation's text.
const TEXT_MAX: usize = 300;

/// Error of the schemas themselves.
#[derive(Debug, thiserror::Error)]
#[error("schema {name}: {reason}")]
pub struct SchemaError {
    name: String,
    reason: String,
}

impl SchemaError {
    pub(crate) fn of(name: &str, reason: &dyn std::fmt::Display) -> Self {
        Self { name: name.to_owned(), reason: reason.to_string() }
    }
}

/// Place of a document that its schema does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer of the value, empty for the whole document.
    pub pointer: String,
    /// Description of the fault, short and without hidden characters.
    pub problem: String,
}

impl Violation {
    /// The pointer, or words for the whole document.
    #[must_use]
    pub fn place(&self) -> &str {
        if self.pointer.is_empty() { "the document" } else { &self.pointer }
    }
}

/// All schemas, compiled.
#[derive(Debug)]
pub struct Validator(BTreeMap<&'static str, jsonschema::Validator>);

impl Validator {
    /// Compiles the schemas.
    ///
    /// # Errors
    ///
    /// A schema that is not valid, or that refers to one that does not exist.
    pub fn new() -> Result<Self, SchemaError> {
        let failed = SchemaError::of;
        let mut parsed: Vec<(&'static str, Value)> = Vec::new();
        for schema in SCHEMAS {
            let value = serde_json::from_str(schema.text).map_err(|error| failed(schema.name, &error))?;
            parsed.push((schema.name, value));
        }
        let mut registry = Registry::new();
        for (name, value) in &parsed {
            registry = registry.add(address(name), value).map_err(|error| failed(name, &error))?;
        }
        let registry = registry.prepare().map_err(|error| failed("registry", &error))?;
        let mut compiled = BTreeMap::new();
        for (name, value) in &parsed {
            let options = jsonschema::options().with_base_uri(address(name)).with_registry(&registry);
            compiled.insert(*name, options.build(value).map_err(|error| failed(name, &error))?);
        }
        Ok(Self(compiled))
    }

    /// Checks a document by the schema with this name. No number may have an exponent. Returns the first violations.
    #[must_use]
    pub fn check(&self, schema: &str, document: &[u8]) -> Vec<Violation> {
        let at_root = |problem: String| vec![Violation { pointer: String::new(), problem }];
        let Some(validator) = self.0.get(schema) else {
            return at_root(format!("there is no schema {schema}"));
        };
        let Ok(text) = std::str::from_utf8(document) else { return at_root("it is not UTF-8".to_owned()) };
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return at_root(format!("it is not JSON: {error}")),
        };
        let with_exponent = exponent::first(text).map(|number| Violation {
            pointer: String::new(),
            problem: format!("the number {number} has an exponent"),
        });
        let violations = validator.iter_errors(&value).map(|error| Violation {
            pointer: short(&error.instance_path().to_string()),
            problem: short(&error.masked().to_string()),
        });
        violations.chain(with_exponent).take(VIOLATIONS_MAX).collect()
    }
}

fn address(name: &str) -> String {
    format!("{BASE}{name}.json")
}

/// Text of a stranger, short and without hidden characters.
fn short(text: &str) -> String {
    shown(text).chars().take(TEXT_MAX).collect()
}
