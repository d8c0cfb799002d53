//! The description as a page, without script.

use askama::Template;

use super::{Answer, OPERATIONS, Operation, Parameter, Values};

#[derive(Template)]
#[template(path = "docs.html")]
struct Page<'a> {
    version: &'a str,
    sections: Vec<Section>,
}

struct Section {
    title: &'static str,
    operations: Vec<&'static Operation>,
}

impl Parameter {
    /// Values in words.
    fn shown(&self) -> String {
        match self.values {
            Values::Text(_) => "text".to_owned(),
            Values::Number(least, i64::MAX) => format!("whole number from {least}"),
            Values::Number(least, most) => format!("whole number from {least} to {most}"),
            Values::Words(words) => words.join(", "),
        }
    }
}

impl Operation {
    /// Kind of the answer in words.
    fn shown_answer(&self) -> String {
        match self.answer {
            Answer::OfView(schema) | Answer::Json(schema) => format!("JSON, schema {schema}"),
            Answer::Object => "JSON".to_owned(),
            Answer::Events => "server-sent events".to_owned(),
            Answer::Text => "plain text".to_owned(),
            Answer::Html => "a page".to_owned(),
        }
    }

    /// Other statuses, separated by commas.
    fn shown_statuses(&self) -> String {
        self.statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// The page. `version` is that of the program. It loads one style sheet, `/page.css`.
#[must_use]
pub fn page(version: &str) -> String {
    let mut sections: Vec<Section> = Vec::new();
    for operation in OPERATIONS {
        match sections.iter_mut().find(|section| section.title == operation.tag) {
            Some(section) => section.operations.push(operation),
            None => sections.push(Section { title: operation.tag, operations: vec![operation] }),
        }
    }
    // Rendering into memory does not fail.
    Page { version, sections }.render().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_path_and_parameter_and_asks_no_other_host() {
        let page = page("1.2.3");
        for operation in OPERATIONS {
            assert!(page.contains(&format!("<code>{}</code>", operation.path)), "{}", operation.path);
            for parameter in operation.parameters {
                assert!(page.contains(&format!("<code>{}</code>", parameter.name)), "{}", parameter.name);
            }
        }
        assert!(!page.contains("://") && !page.contains("<script") && !page.contains("style="), "{page}");
    }
}
