//! The command `validate`: checks what a running server serves by its schemas, and all formats against each other.
//!
//! It asks like any reader, over the public listener, and changes nothing.

mod market;
mod report;
mod whole;

use actix_rt::System;
use ticker_schemas::{
    Validator,
    agreement::{Compared, UnreadableError},
};

use self::report::Report;
use super::{CommandError, output};
use crate::{
    cli::Validation,
    config::Config,
    http::served_client::{Document, ReadError, Reader},
    outbound::tls,
};

/// Checks the server at a base URL. Prints one line for each check, and returns exit code 1 if one failed.
pub(super) fn validate(config: &Config, validation: &Validation) -> Result<u8, CommandError> {
    let tls = tls::client_config(config.ca_file.as_deref())
        .map_err(|error| CommandError::Configuration(error.to_string()))?;
    let validator = Validator::new().map_err(|error| CommandError::Software(error.to_string()))?;
    let checker = Checker {
        reader: Reader::new(validation.url.clone(), tls),
        validator,
        format: validation.format.clone(),
        report: Report::new(&validation.url),
    };
    let report = System::new().block_on(checker.run())?;
    let text = if validation.prints_json { format!("{:#}\n", report.json()) } else { report.text() };
    output::print(&text)?;
    Ok(report.exit_code())
}

/// A server, and the findings about it so far.
struct Checker {
    reader: Reader,
    validator: Validator,
    /// Family of formats that is checked, or all.
    format: Option<String>,
    report: Report,
}

impl Checker {
    async fn run(mut self) -> Result<Report, CommandError> {
        let reference = whole::check(&mut self).await?;
        if let Some(reference) = reference {
            market::check(&mut self, &reference).await?;
        }
        Ok(self.report)
    }

    /// Returns true if the reader wants this family of formats.
    fn wants(&self, family: &str) -> bool {
        self.format.as_deref().is_none_or(|wanted| wanted == family)
    }

    async fn read(&self, path: &str) -> Result<Document, CommandError> {
        self.reader.document(path).await.map_err(unavailable)
    }

    /// Reads a document and checks it by its schema. Returns its body if that is as it should be.
    async fn checked(&mut self, schema: &str, path: &str) -> Result<Option<Document>, CommandError> {
        let document = self.read(path).await?;
        Ok(self.by_schema(schema, path, &document).then_some(document))
    }

    /// Checks a document by its schema. Returns true if it is as it should be.
    fn by_schema(&mut self, schema: &str, path: &str, document: &Document) -> bool {
        let problems = if document.status == 200 {
            let violations = self.validator.check(schema, &document.body);
            violations.into_iter().map(|found| format!("{}: {}", found.place(), found.problem)).collect()
        } else {
            vec![format!("answers {}, expected 200", document.status)]
        };
        self.report.add("schema", path, problems)
    }

    /// Adds the result of a comparison.
    fn compared(&mut self, name: &str, compared: Result<Compared, UnreadableError>) {
        match compared {
            Ok(compared) if compared.is_empty() => {
                self.report.skip("agreement", name, "nothing in common to compare");
            }
            Ok(compared) => drop(self.report.add("agreement", name, compared.differences)),
            Err(error) => drop(self.report.add("agreement", name, vec![error.to_string()])),
        }
    }
}

fn unavailable(error: ReadError) -> CommandError {
    CommandError::Unavailable(error.to_string())
}
