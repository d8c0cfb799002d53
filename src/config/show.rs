//! Output of `config check` and `config show`.

use super::settings::Settings;
use super::source::Source;

impl Settings {
    /// Returns the output of `config check` for a valid configuration: one line, and one for each note.
    #[must_use]
    pub fn check_report(&self, notes: &[String]) -> String {
        let given = self.entries().iter().filter(|entry| entry.source != Source::Default).count();
        let valid =
            format!("configuration is valid: {} settings, {given} of them given\n", self.entries().len());
        let notes: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
        valid + &notes
    }

    /// Returns a table of names, values and sources, without secrets.
    #[must_use]
    pub fn table(&self) -> String {
        let heading = ["NAME".to_owned(), "VALUE".to_owned(), "SOURCE".to_owned()];
        let rows = self
            .entries()
            .iter()
            .map(|entry| [entry.setting.name.to_owned(), entry.shown(), entry.source.to_string()]);
        let rows: Vec<[String; 3]> = std::iter::once(heading).chain(rows).collect();
        let width_of = |text: &String| text.chars().count();
        let name_width = rows.iter().map(|[name, _, _]| width_of(name)).max().unwrap_or_default();
        let value_width = rows.iter().map(|[_, value, _]| width_of(value)).max().unwrap_or_default();
        rows.iter()
            .map(|[name, value, source]| format!("{name:name_width$}  {value:value_width$}  {source}\n"))
            .collect()
    }
}
