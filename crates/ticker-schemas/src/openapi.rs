//! The OpenAPI 3.1 document, made of the operations and the schemas, and its page.

mod document;
mod operations;
mod page;
mod parameters;

pub use document::document;
pub use operations::OPERATIONS;
pub use page::page;

/// GET of one path.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Path, with its parameters in braces.
    pub path: &'static str,
    /// Heading below which the page lists it.
    pub tag: &'static str,
    /// Content of the answer, in one sentence.
    pub summary: &'static str,
    /// Parameters of the path and of the query.
    pub parameters: &'static [Parameter],
    /// Answer with status 200.
    pub answer: Answer,
    /// Further statuses.
    pub statuses: &'static [u16],
}

/// Parameter of a path or of a query.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Name.
    pub name: &'static str,
    /// True if it is a part of the path. Otherwise it is one of the query.
    pub is_in_path: bool,
    /// True if a request without it is refused.
    pub is_required: bool,
    /// Values.
    pub values: Values,
    /// Meaning, and the value of a request without it.
    pub description: &'static str,
}

/// Values of a parameter.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// Text that a schema cannot describe further. The name of its format is for programs that make requests.
    Text(&'static str),
    /// Whole number, both ends inclusive.
    Number(i64, i64),
    /// One of some words.
    Words(&'static [&'static str]),
}

/// Kind of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// JSON of a schema in `docs/schemas/`, from a view that the headers name.
    OfView(&'static str),
    /// JSON of a schema in `docs/schemas/`, from no view.
    Json(&'static str),
    /// JSON that docs/ describes.
    Object,
    /// Server-sent events.
    Events,
    /// Plain text.
    Text,
    /// A page for people.
    Html,
}
