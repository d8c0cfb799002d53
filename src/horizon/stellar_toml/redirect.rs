//! Targets of redirects. Pure.

use super::guard::TomlUrl;

/// Resolves a `Location`, absolute or relative (RFC 3986, section 4.2). `None` unless the target passes the guard's
/// rules.
pub(super) fn redirected(from: &TomlUrl, location: &str) -> Option<TomlUrl> {
    let location = location.trim();
    let host = &from.host;
    let url = if has_scheme(location) {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("https:{location}")
    } else if location.starts_with('/') {
        format!("https://{host}{location}")
    } else {
        let path = from.path.split('?').next().unwrap_or_default();
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("https://{host}{directory}/{location}")
    };
    let target = TomlUrl::parse(&url).ok()?;
    // Refuse dot segments instead of resolving them. No server needs them to name a single file.
    let path = target.path.split('?').next().unwrap_or_default();
    let has_dots = path.split('/').any(|segment| segment == "." || segment == "..");
    (!has_dots).then_some(target)
}

fn has_scheme(location: &str) -> bool {
    let end =
        location.find(|character: char| !character.is_ascii_alphanumeric() && !"+-.".contains(character));
    end.is_some_and(|end| end > 0 && location.get(end..).is_some_and(|rest| rest.starts_with(':')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(location: &str) -> Option<(String, String)> {
        let target = TomlUrl::parse("https://tea.com/.well-known/stellar.toml?a=/b").unwrap();
        redirected(&target, location).map(|target| (target.host, target.path))
    }

    #[test]
    fn resolves_all_forms_of_locations() {
        for (location, host, path) in [
            ("https://www.tea.com/.well-known/stellar.toml", "www.tea.com", "/.well-known/stellar.toml"),
            ("HTTPS://WWW.Tea.com:443/x", "www.tea.com", "/x"),
            ("https://new.net", "new.net", "/"),
            ("//www.tea.com/x", "www.tea.com", "/x"),
            ("/x?y", "tea.com", "/x?y"),
            ("x.toml", "tea.com", "/.well-known/x.toml"),
            ("?v=2", "tea.com", "/.well-known/?v=2"),
            (" /x ", "tea.com", "/x"),
        ] {
            assert_eq!(from(location), Some((host.into(), path.into())), "{location}");
        }
    }

    #[test]
    fn refuses_forbidden_targets_in_any_form() {
        for location in [
            "http://tea.com/x",
            "http:x",
            "ftp://tea.com/x",
            "data:text/plain,x",
            "file:///etc/passwd",
            "https://tea.com:8443/x",
            "https://user@tea.com/x",
            "https://127.0.0.1/x",
            "https://[::1]/x",
            "//127.0.0.1/x",
            "//2130706433/x",
            "//localhost/x",
            "https://tea.com\\@evil.net/",
            "../x",
            "/a/../x",
            "/a b",
            "/\r\nHost: x",
        ] {
            assert_eq!(from(location), None, "{location:?}");
        }
    }
}
