//! Files that pages load: the style sheet, scripts, the icon. Embedded from `web/` without a build step.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::http::{
    embedded::{CSS, EmbeddedFiles, SCRIPT, SVG, Source, TEXT, Texts},
    requests,
};

const STYLE: &str = "/page.css";
const ROBOTS: &str = "/robots.txt";
const FILE: &str = "/web/{name}";
const VENDORED: &str = "/web/vendor/{name}";

/// Own script of `web/`.
macro_rules! script {
    ($name:literal) => {
        Source {
            name: concat!("/web/", $name),
            content_type: SCRIPT,
            bytes: include_bytes!(concat!("../../../../web/", $name)),
            is_own_script: true,
        }
    };
}

/// Any other file of `web/`, at this path.
macro_rules! other {
    ($path:expr, $name:literal, $content_type:expr) => {
        Source {
            name: $path,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../../../../web/", $name)),
            is_own_script: false,
        }
    };
}

static SOURCES: [Source; 16] = [
    other!(STYLE, "page.css", CSS),
    other!("/web/favicon.svg", "favicon.svg", SVG),
    other!(ROBOTS, "robots.txt", TEXT),
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
    other!("/web/vendor/lightweight-charts.js", "vendor/lightweight-charts.js", SCRIPT),
    other!("/web/vendor/lightweight-charts.LICENSE.txt", "vendor/lightweight-charts.LICENSE.txt", TEXT),
];

static FILES: EmbeddedFiles = EmbeddedFiles::new(
    &SOURCES,
    None,
    Texts {
        unknown: "the pages have no such file",
        failed: "the files of the pages could not be compressed",
    },
);

pub(super) fn routes(config: &mut web::ServiceConfig) {
    [STYLE, ROBOTS, FILE, VENDORED].into_iter().for_each(|path| requests::route(config, path, respond));
}

async fn respond(request: HttpRequest) -> HttpResponse {
    // Decoded, unlike the path of the request.
    FILES.answer(&request, request.match_info().as_str()).await
}

#[cfg(test)]
mod tests {
    use actix_web::{App, http::StatusCode, test::TestRequest};
    use ticker_formats::Document;

    use super::*;

    /// Most compressed bytes of the scripts that `/` loads.
    const LIST_MAX: usize = 20_000;

    /// Scripts that a module loads, itself included.
    fn loaded(name: &str) -> Vec<&'static str> {
        let mut found: Vec<&'static str> = Vec::new();
        let mut open = vec![format!("/web/{name}")];
        while let Some(path) = open.pop() {
            let &Source { name: path, bytes, .. } =
                SOURCES.iter().find(|source| source.name == path).unwrap();
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

    /// Lines of a script that are not sent although they are text of a template literal.
    fn lost_lines(source: &Source) -> Vec<String> {
        let bytes = source.sent();
        let (sent, mut backticks, mut lost) = (std::str::from_utf8(&bytes).unwrap(), 0, Vec::new());
        for (line, sent) in std::str::from_utf8(source.bytes).unwrap().lines().zip(sent.lines()) {
            if line != sent && backticks % 2 == 1 {
                lost.push(line.to_owned());
            }
            backticks += sent.matches('`').count();
        }
        lost
    }

    #[test]
    fn no_script_loses_text_of_a_template_literal_with_its_comments() {
        let bytes = b"// of a `\nlet a = `\n// text\n`;\n// after\n";
        let planted = Source { name: "planted.js", content_type: SCRIPT, bytes, is_own_script: true };
        assert_eq!(lost_lines(&planted), ["// text"]);
        for source in SOURCES.iter().filter(|source| source.is_own_script) {
            assert_eq!(lost_lines(source), Vec::<String>::new(), "{}", source.name);
        }
    }

    #[actix_web::test]
    async fn crawlers_are_asked_to_leave_out_addresses_with_a_query() {
        let app = App::new().configure(routes);
        let app = actix_web::test::init_service(app).await;
        let request = TestRequest::with_uri("/robots.txt").to_request();
        let response = actix_web::test::call_service(&app, request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers().get("content-type").unwrap(), TEXT);
        let body = actix_web::test::read_body(response).await;
        assert!(String::from_utf8_lossy(&body).ends_with("User-agent: *\nDisallow: /*?\n"));
    }

    #[test]
    fn the_list_loads_little_script_and_only_a_market_loads_the_chart_library() {
        let list = loaded("list.js");
        assert_eq!(list.len(), 8, "{list:?}");
        let size = |path: &&str| {
            let source = SOURCES.iter().find(|source| source.name == *path).unwrap();
            Document::with_brotli(&source.sent()).unwrap().brotli.unwrap().len()
        };
        let sum: usize = list.iter().map(size).sum();
        assert!(sum < LIST_MAX, "{sum} bytes");
        assert!(!list.iter().any(|path| path.contains("vendor")));
        assert!(loaded("market.js").contains(&"/web/vendor/lightweight-charts.js"));
    }
}
