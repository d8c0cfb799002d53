//! Files that pages load: the style sheet, scripts, the icon. Embedded from `web/` without a build step.

use std::{io, sync::LazyLock};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use ticker_formats::Document;

use crate::http::{
    files::{FileHeaders, send_on},
    methods,
    problem::problem,
};

const STYLE: &str = "/page.css";
const FILE: &str = "/web/{name}";
const VENDORED: &str = "/web/vendor/{name}";
/// Files keep their names from release to release, so a cache must revalidate them for each use.
const CACHE_CONTROL: &str = "no-cache";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Embedded file: its path, its type, its bytes.
type Source = (&'static str, &'static str, &'static [u8]);

/// Script of `web/`.
macro_rules! script {
    ($name:literal) => {
        (concat!("/web/", $name), SCRIPT, include_bytes!(concat!("../../../../web/", $name)))
    };
}

const SOURCES: [Source; 15] = [
    (STYLE, CSS, include_bytes!("../../../../web/page.css")),
    ("/web/favicon.svg", SVG, include_bytes!("../../../../web/favicon.svg")),
    script!("board.js"),
    script!("frame.js"),
    script!("chart.js"),
    script!("list.js"),
    script!("live.js"),
    script!("market.js"),
    script!("numbers.js"),
    script!("row.js"),
    script!("stream.js"),
    script!("table.js"),
    script!("updates.js"),
    script!("vendor/lightweight-charts.js"),
    (
        "/web/vendor/lightweight-charts.LICENSE.txt",
        TEXT,
        include_bytes!("../../../../web/vendor/lightweight-charts.LICENSE.txt"),
    ),
];

/// The files in all codings, encoded at the first request.
static FILES: LazyLock<io::Result<Vec<(Source, Document)>>> = LazyLock::new(|| {
    SOURCES.into_iter().map(|source| Ok((source, Document::with_brotli(source.2)?))).collect()
});

pub(super) fn routes(config: &mut web::ServiceConfig) {
    [STYLE, FILE, VENDORED].into_iter().for_each(|path| methods::route(config, path, respond));
}

fn respond(request: &HttpRequest) -> HttpResponse {
    let Ok(files) = &*FILES else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the files of the pages could not be compressed");
    };
    // Decoded, unlike the path of the request.
    let asked = request.match_info().as_str();
    let Some(((_, content_type, _), file)) = files.iter().find(|((path, ..), _)| *path == asked) else {
        return problem(StatusCode::NOT_FOUND, "the pages have no such file");
    };
    let headers = FileHeaders::unlabelled(content_type, CACHE_CONTROL);
    send_on(request, file, &headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most compressed bytes of the scripts that `/` loads.
    const LIST_MAX: usize = 20_000;

    /// Scripts that a module loads, itself included.
    fn loaded(name: &str) -> Vec<&'static str> {
        let mut found: Vec<&'static str> = Vec::new();
        let mut open = vec![format!("/web/{name}")];
        while let Some(path) = open.pop() {
            let (path, _, bytes) = *SOURCES.iter().find(|(other, ..)| *other == path).unwrap();
            if found.contains(&path) {
                continue;
            }
            found.push(path);
            let text = std::str::from_utf8(bytes).unwrap();
            let imports = text.lines().filter(|line| line.starts_with("import ") && !path.contains("vendor"));
            open.extend(
                imports.map(|line| {
                    format!("/web/{}", line.split("\"./").nth(1).unwrap().trim_end_matches("\";"))
                }),
            );
        }
        found
    }

    #[test]
    fn the_list_loads_little_script_and_only_a_market_loads_the_chart_library() {
        let list = loaded("list.js");
        assert_eq!(list.len(), 8, "{list:?}");
        let files = FILES.as_ref().unwrap();
        let size = |path: &&str| {
            let (_, file) = files.iter().find(|((other, ..), _)| other == path).unwrap();
            file.brotli.as_ref().unwrap().len()
        };
        let sum: usize = list.iter().map(size).sum();
        assert!(sum < LIST_MAX, "{sum} bytes");
        assert!(!list.iter().any(|path| path.contains("vendor")));
        assert!(loaded("market.js").contains(&"/web/vendor/lightweight-charts.js"));
    }
}
