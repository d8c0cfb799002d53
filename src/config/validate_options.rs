//! Argument of the command `validate`.

use super::fault::ConfigError;
use super::parse;
use super::setting::Setting;
use super::settings::Resolved;
use super::source::Source;

static URL: Setting = Setting {
    name: "url",
    value_name: "URL",
    allowed: "an http or https base URL without user, query or fragment",
    is_in_file: false,
    ..Setting::PLAIN
};

/// Parses the base URL of the server, and removes its trailing slash.
///
/// # Errors
///
/// Anything but an http or https URL without user, query and fragment.
pub fn validated_url(text: &str) -> Result<String, ConfigError> {
    parse::http_base(text).map_err(|error| {
        let source = Source::Argument { name: URL.value_name };
        let given = Resolved { setting: &URL, text: Some(text.to_owned()), source };
        ConfigError::new(vec![given.fault(error.kind, error.detail)])
    })
}
