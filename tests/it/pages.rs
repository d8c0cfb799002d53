//! Pages for people: who gets them, and that they show the figures of the API.

mod against_api;
mod links;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    listings::{USDC, daemon, horizon, of_one_view, ok, text},
    support::{
        daemon::{Answer, Daemon},
        network::block_on,
        wait_until,
    },
};

/// Header of a browser in which a person opens an address.
const BROWSER: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

fn page(daemon: &Daemon, path: &str) -> String {
    let answer = daemon.get_with("GET", path, BROWSER);
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(answer.status, 200, "{path}: {text}");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
    text
}

/// Texts between two marks.
fn between<'a>(html: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    html.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

/// Text without elements.
fn plain(html: &str) -> String {
    let mut text = String::new();
    for part in html.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    text.trim().to_owned()
}

/// Cells of a list: each row is the name of the market and the texts of its cells by class. A small text of a cell
/// has its place behind the class, as in `range 0`, and so have tags.
fn rows(html: &str) -> Vec<(String, Vec<(String, String)>)> {
    let rows = between(html, "<tr role=\"row\"", "</tr>");
    let rows = rows.into_iter().filter(|row| row.contains("data-number"));
    rows.map(|row| {
        let name = between(row, "<a href=\"/m/", "\"")[0].to_owned();
        let cells = between(row, "<td role=\"cell\" class=\"", "</td>").into_iter().flat_map(|cell| {
            let (class, content) = cell.split_once("\">").unwrap();
            let small = between(content, "<small>", "</small>").into_iter().map(plain).enumerate();
            let small = small.map(move |(place, text)| (format!("{class} {place}"), text));
            let text = plain(content.split("<small>").next().unwrap());
            std::iter::once((class.to_owned(), text)).chain(small)
        });
        let tags = between(row, "<span class=\"tag\">", "</span>").into_iter().map(plain).enumerate();
        let tags = tags.map(|(place, text)| (format!("tag {place}"), text));
        (name, cells.chain(tags).collect())
    })
    .collect()
}

fn cell<'a>(cells: &'a [(String, String)], class: &str) -> &'a str {
    &cells.iter().find(|(other, _)| other == class).unwrap_or_else(|| panic!("no {class}: {cells:?}")).1
}

/// Number that a cell shows, and half of its last decimal.
fn number(shown: &str) -> Option<(f64, f64)> {
    let (digits, scale) = match shown.split_once(' ') {
        Some((digits, "k")) => (digits, 1e3),
        Some((digits, "M")) => (digits, 1e6),
        Some((digits, "G")) => (digits, 1e9),
        _ => (shown, 1.0),
    };
    let digits = digits.replace(',', "").replace('−', "-");
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let places = mantissa.split_once('.').map_or(0, |(_, places)| places.len());
    let scale = scale * 10_f64.powi(exponent.parse().ok()?);
    let half = 0.5 * 10_f64.powi(-i32::try_from(places).unwrap());
    Some((mantissa.parse::<f64>().ok()? * scale, half * scale))
}

/// Asserts that a cell shows a figure of the API, rounded. An unknown figure is a dash.
fn assert_shows(shown: &str, figure: &Value, what: &str) {
    let Some(exact) = figure.as_str().map(|text| text.parse::<f64>().unwrap()) else {
        assert_eq!(shown, "–", "{what}");
        return;
    };
    let (value, half) = number(shown).unwrap_or_else(|| panic!("{what}: {shown} for {exact}"));
    // Four digits of an amount may end in zeros left of the point.
    let tolerance = half.max(exact.abs() * 5e-4).min(half * 1_000.0) * 1.000_001;
    assert!((value - exact).abs() <= tolerance, "{what}: {shown} for {exact}");
}

#[test]
fn the_root_is_a_page_for_clients_that_prefer_html_and_json_for_all_others() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let ask = |method: &str, headers: &str| daemon.get_with(method, "/", headers);
        let kind = |answer: &Answer| answer.header("content-type").unwrap().to_owned();
        for accept in
            ["", "Accept: */*\r\n", "Accept: application/json\r\n", "Accept: text/html;q=0.5, */*\r\n"]
        {
            let answer = ask("GET", accept);
            assert_eq!((answer.status, kind(&answer).as_str()), (200, "application/json"), "{accept}");
            assert!(answer.json()["pairs"].is_array());
            assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
        }
        for (coding, sent) in [("br", Some("br")), ("gzip", Some("gzip")), ("identity", None)] {
            let headers = format!("{BROWSER}Accept-Encoding: {coding}\r\n");
            let answer = ask("GET", &headers);
            assert_eq!((answer.status, kind(&answer).as_str()), (200, "text/html; charset=utf-8"));
            assert_eq!(answer.header("content-encoding"), sent);
            assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
            let policy = answer.header("content-security-policy").unwrap();
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
                "{policy}"
            );
            wait_until("HEAD and a condition meet the same view", || {
                let answer = ask("GET", &headers);
                let head = ask("HEAD", &headers);
                let tag = answer.header("etag").unwrap();
                let unchanged = ask("GET", &format!("{headers}If-None-Match: {tag}\r\n"));
                if head.header("etag") != Some(tag) || unchanged.status == 200 {
                    return false;
                }
                assert_eq!((head.status, head.body.len()), (200, 0));
                assert_eq!(head.header("content-length"), answer.header("content-length"));
                assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
                assert_eq!(unchanged.header("vary"), Some("Accept, Accept-Encoding"));
                true
            });
        }
        assert_eq!(ask("POST", &format!("{BROWSER}Content-Length: 0\r\n")).status, 405);
    });
}

/// Share of the spread in the middle of the best prices, in percent.
fn spread_percent(market: &Value) -> Value {
    let [spread, mid] =
        ["spread", "mid"].map(|field| market[field].as_str().map(|text| text.parse::<f64>().unwrap()));
    spread.zip(mid).map(|(spread, mid)| (spread / mid * 100.0).to_string()).into()
}

/// Tags of a row.
fn tags(cells: &[(String, String)]) -> BTreeSet<&str> {
    let tags = cells.iter().filter(|(class, _)| class.starts_with("tag "));
    tags.map(|(_, text)| text.as_str()).collect()
}

/// Tags for the flags of a market of the API.
fn warned(market: &Value) -> BTreeSet<&'static str> {
    let tag = |flag: &Value| match text(flag, "flag") {
        "stale" => "no trade in 24 h",
        "thin" => "thin",
        "concentrated" => "concentrated",
        "invalid_asset" => "not valid",
        "lookalike_of" => "look-alike",
        "unverified_anchor" => "unverified anchor",
        "depeg" => "lost the dollar",
        other => panic!("{other}"),
    };
    market["flags"].as_array().unwrap().iter().map(tag).collect()
}

#[test]
fn the_list_shows_the_figures_of_the_api_in_every_order() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        wait_until("page and API are of one view", || {
            let html = page(&daemon, "/");
            let api = ok(&daemon, "/api/v1/markets?sort=volume&limit=1000").json();
            if !html.contains(&format!("data-seq=\"{}\"", api["seq"])) {
                return false;
            }
            let markets = api["markets"].as_array().unwrap();
            let rows = rows(&html);
            assert_eq!(rows.len(), markets.len().min(50));
            for (name, cells) in &rows {
                let market = markets.iter().find(|market| market["id"] == **name).unwrap();
                let (day, what) = (&market["windows"]["24h"], |field: &str| format!("{name} {field}"));
                assert_shows(cell(cells, "price"), &market["last"], &what("price"));
                assert_shows(cell(cells, "h1"), &market["windows"]["1h"]["change_percent"], &what("1h"));
                assert_shows(cell(cells, "h24"), &day["change_percent"], &what("24h"));
                assert_shows(cell(cells, "d7"), &market["windows"]["7d"]["change_percent"], &what("7d"));
                assert_shows(cell(cells, "volume"), &market["usd"]["volume_24h"], &what("volume"));
                assert_shows(cell(cells, "best"), &market["bid"], &what("bid"));
                assert_shows(cell(cells, "best 0"), &market["ask"], &what("ask"));
                assert_shows(cell(cells, "range 0"), &day["low"], &what("low"));
                assert_shows(cell(cells, "range 1"), &day["high"], &what("high"));
                let (volume, _code) = cell(cells, "volume 0").rsplit_once(' ').unwrap();
                assert_shows(volume, &day["quote_volume"], &what("quote volume"));
                assert_shows(cell(cells, "spread"), &spread_percent(market), &what("spread"));
                assert_eq!(tags(cells), warned(market), "{name}");
                let trades = cell(cells, "trades").replace(',', "");
                assert_eq!(trades, day["trade_count"].to_string(), "{name}");
            }
            true
        });
        let key = |row: &(String, Vec<(String, String)>), class: &str| {
            number(cell(&row.1, class)).map(|found| found.0)
        };
        for (sort, class) in [("price", "price"), ("24h", "h24"), ("trades", "trades"), ("spread", "spread")]
        {
            for order in ["asc", "desc"] {
                let rows = rows(&page(&daemon, &format!("/?sort={sort}&order={order}")));
                let keys: Vec<Option<f64>> = rows.iter().map(|row| key(row, class)).collect();
                let known: Vec<f64> = keys.iter().flatten().copied().collect();
                assert!(known.len() > 10, "{sort}");
                let is_sorted =
                    known.is_sorted_by(|one, next| if order == "asc" { one <= next } else { one >= next });
                assert!(is_sorted, "{sort} {order}: {known:?}");
                assert!(keys.iter().skip(known.len()).all(Option::is_none), "unknown is last: {keys:?}");
            }
        }
    });
}

/// A script exchanges them for those of a newer page, whatever the book and the warnings are then.
#[test]
fn every_market_has_the_same_live_parts() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let markets =
            ok(&daemon, "/api/v1/markets?limit=1000&fields=id,bid,ask,flags").json()["markets"].clone();
        let parts = |market: &Value| {
            let html = page(&daemon, &format!("/m/{}", market["id"].as_str().unwrap()));
            html.matches("data-live").count()
        };
        let markets = markets.as_array().unwrap();
        let has = |market: &&Value| market["bid"].is_string() && market["ask"].is_string();
        assert!((1..markets.len()).contains(&markets.iter().filter(has).count()), "some have a depth");
        let is_flagged = |market: &&Value| market["flags"].as_array().is_some_and(|flags| !flags.is_empty());
        assert!(
            (1..markets.len()).contains(&markets.iter().filter(is_flagged).count()),
            "some have warnings"
        );
        let counts: Vec<usize> = markets.iter().map(parts).collect();
        assert!(markets.len() > 20 && counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    });
}

#[test]
fn searches_select_and_pages_turn() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let issuer = USDC.split_once('-').unwrap().1;
        let found = rows(&page(&daemon, &format!("/?q=xlm+{}", issuer.to_lowercase())));
        assert!(!found.is_empty() && found.iter().all(|(name, _)| name.contains(USDC)), "{found:?}");
        let quoted = rows(&page(&daemon, &format!("/?quote={USDC}&utm_source=x&sort=no")));
        assert!(!quoted.is_empty() && quoted.iter().all(|(name, _)| name.ends_with(USDC)), "{quoted:?}");
        let empty = page(&daemon, "/?q=%3Cscript%3Ealert(1)%3C/script%3E");
        assert!(rows(&empty).is_empty() && empty.contains("No market matches"));
        assert!(!empty.contains("<script>alert"), "{empty}");
        let clean = rows(&page(&daemon, "/?clean=1&verified=1"));
        assert!(!clean.is_empty() && clean.len() < rows(&page(&daemon, "/")).len());

        let all = ok(&daemon, "/api/v1/markets?limit=1000").json();
        let all: BTreeSet<String> =
            all["markets"].as_array().unwrap().iter().map(|market| text(market, "id").to_owned()).collect();
        let [first, second] = ["/?sort=name", "/?sort=name&page=2"].map(|path| rows(&page(&daemon, path)));
        let names: Vec<String> = first.iter().chain(&second).map(|(name, _)| name.clone()).collect();
        assert!(first.len() == 50 && names.is_sorted() && names.len() == all.len(), "{names:?}");
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), all);
    });
}

#[test]
fn errors_are_pages_for_browsers_and_problems_for_programs() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        for (path, status) in [
            ("/m/XLM_NONE-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN", 404),
            ("/a/%3Cb%3E", 404),
            ("/m/XLM", 404),
            ("/m/XLM_USDC-G", 404),
        ] {
            // No condition and no coding makes another answer of an error.
            let asked = format!("{BROWSER}If-None-Match: *\r\nAccept-Encoding: identity;q=0\r\n");
            let shown = daemon.get_with("GET", path, &asked);
            let html = String::from_utf8(shown.body.clone()).unwrap();
            assert_eq!(
                (shown.status, shown.header("vary")),
                (status, Some("Accept, Accept-Encoding")),
                "{path}"
            );
            assert!(html.contains("name=\"q\"") && !html.contains("<b>"), "{html}");
            let problem = daemon.get(path);
            assert_eq!(
                (problem.status, problem.header("content-type")),
                (status, Some("application/problem+json"))
            );
        }
    });
}

#[test]
fn the_feed_has_all_markets_in_columns_of_one_length() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let [names, figures, sparks, api] = of_one_view(
            &daemon,
            [
                "/api/v1/board/names",
                "/api/v1/board/figures",
                "/api/v1/board/sparks",
                "/api/v1/markets?limit=1000",
            ],
        );
        let markets = api["markets"].as_array().unwrap();
        let list = |value: &Value| value.as_array().unwrap().clone();
        let numbers = list(&figures["number"]);
        assert_eq!((numbers.len(), &names["markets"]["number"]), (markets.len(), &figures["number"]));
        assert_eq!(sparks["number"], figures["number"]);
        assert_eq!(text(&sparks, "lines").len(), numbers.len() * 28);
        for column in list(&figures["columns"]) {
            assert_eq!(list(&figures[column.as_str().unwrap()]).len(), numbers.len(), "{column}");
        }
        let (codes, keys) = (list(&names["assets"]["code"]), text(&names["assets"], "keys"));
        assert_eq!(keys.len(), codes.len() * 56);
        let asset = |place: &Value| {
            let place = usize::try_from(place.as_u64().unwrap()).unwrap();
            let (code, key) = (codes[place].as_str().unwrap(), &keys[place * 56..(place + 1) * 56]);
            if key.starts_with('-') { code.to_owned() } else { format!("{code}-{key}") }
        };
        let sides = list(&names["markets"]["base"]).into_iter().zip(list(&names["markets"]["quote"]));
        let found: BTreeSet<String> =
            sides.map(|(base, quote)| format!("{}_{}", asset(&base), asset(&quote))).collect();
        assert_eq!(found, markets.iter().map(|market| text(market, "id").to_owned()).collect());

        let half = numbers[numbers.len() / 2].as_i64().unwrap();
        let rest = ok(&daemon, &format!("/api/v1/board/names?from={half}")).json();
        assert_eq!(list(&rest["markets"]["number"]), numbers[numbers.len() / 2..]);
        assert!(list(&rest["assets"]["code"]).len() < codes.len());
        let coding = |path: &str| {
            let answer = daemon.get_with("GET", path, "Accept-Encoding: gzip, br\r\n");
            answer.header("content-encoding").map(ToOwned::to_owned)
        };
        let part = format!("/api/v1/board/names?from={half}");
        assert_eq!(coding(&part).as_deref(), Some("gzip"), "few pages ask for the same part");
        for all in ["/api/v1/board/names", "/api/v1/board/names?from=1"] {
            assert_eq!(coding(all).as_deref(), Some("br"), "{all}");
        }
        for (query, status) in
            [("?from=-1", 400), ("?from=x", 400), ("?until=1", 400), ("?from=2147483647", 200)]
        {
            assert_eq!(daemon.get(&format!("/api/v1/board/names{query}")).status, status, "{query}");
        }
        let small = daemon.get_with("GET", "/api/v1/board/figures", "Accept-Encoding: gzip, br\r\n");
        assert_eq!(small.header("content-encoding"), Some("br"));
    });
}

/// Values of a row of figures by their labels.
fn figures(html: &str) -> BTreeMap<String, String> {
    let list = between(html, "<dl class=\"figures\"", "</dl>")[0];
    let figures = between(list, "<dt>", "</dd>").into_iter().map(|figure| {
        let (label, value) = figure.split_once("</dt>").unwrap();
        (plain(label), plain(value.split("<small>").next().unwrap()))
    });
    figures.collect()
}

#[test]
fn a_market_shows_the_figures_of_the_api_and_loads_nothing_from_another_host() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let name = format!("XLM_{USDC}");
        wait_until("page and API are of one publication", || {
            let path = format!("/m/{name}");
            let (answer, api) = (ok(&daemon, &path), ok(&daemon, &format!("/api/v1/markets/{name}")));
            if answer.header("x-ticker-as-of") != api.header("x-ticker-as-of") {
                return false;
            }
            let (html, market) = (String::from_utf8(answer.body.clone()).unwrap(), api.json());
            let (day, shown) = (&market["windows"]["24h"], figures(&html));
            assert_eq!(shown.len(), 9, "{shown:?}");
            let price =
                between(between(&html, "<div class=\"price\"", "</div>")[0], "<strong>", "</strong>")[0];
            assert_shows(price, &market["last"], "price");
            for (label, figure) in [
                ("24 h high", &day["high"]),
                ("24 h low", &day["low"]),
                ("24 h average", &day["vwap"]),
                ("Bid", &market["bid"]),
            ] {
                assert_shows(&shown[label], figure, label);
            }
            assert_shows(shown["24 h change"].trim_end_matches(" %"), &day["change_percent"], "change");
            assert_shows(
                shown["24 h volume"].trim_start_matches('$'),
                &market["usd"]["volume_24h"],
                "volume",
            );
            assert_eq!(shown["24 h trades"].replace(',', ""), day["trade_count"].to_string());
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
            // Addresses of this host are shown as text. Nothing is loaded but by paths.
            assert!(
                !html.contains("src=\"http") && !html.contains("style=") && !html.contains("<style"),
                "{html}"
            );
            // An hour has one or two candles, which may all rise or all fall.
            let drawn =
                ["rise", "fall"].map(|way| html.contains(&format!("<path class=\"body {way}\" d=\"M")));
            assert!(html.contains("href=\"/a/") && drawn.contains(&true), "{html}");
            true
        });
        for (query, text) in
            [("?interval=1m&trades=raw", "value=\"1m\" checked"), ("?interval=no", "value=\"1h\" checked")]
        {
            assert!(page(&daemon, &format!("/m/{name}{query}")).contains(text), "{query}");
        }
        let (_, issuer) = USDC.split_once('-').unwrap();
        let moved = daemon.get(&format!("/m/USDC:{issuer}_native?interval=1d"));
        assert_eq!(moved.header("location"), Some(format!("/m/{name}?interval=1d").as_str()));
    });
}

#[test]
fn an_explanation_shows_the_figure_and_the_trades_of_the_api() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let name = format!("XLM_{USDC}");
        wait_until("page and API are of one publication", || {
            let (page, api) = (
                ok(&daemon, &format!("/m/{name}?explain=high&window=7d")),
                ok(&daemon, &format!("/api/v1/markets/{name}/explain?field=high&window=7d")),
            );
            if page.header("x-ticker-as-of") != api.header("x-ticker-as-of") {
                return false;
            }
            let (html, api) = (String::from_utf8(page.body).unwrap(), api.json());
            for shown in [text(&api, "value"), text(&api, "rule"), text(&api["deciding"][0], "paging_token")]
            {
                let shown = shown.replace('\'', "&#39;");
                assert!(html.contains(&shown), "{shown}: {html}");
            }
            assert!(html.contains("the same figure"));
            true
        });
        let unknown = daemon.get_with("GET", &format!("/m/{name}?explain=nonsense"), BROWSER);
        assert_eq!((unknown.status, daemon.get(&format!("/m/{name}?explain=nonsense")).status), (404, 404));
    });
}

#[test]
fn an_asset_shows_what_its_issuer_says_as_text_only() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let moved = daemon.get("/a/native");
        assert_eq!((moved.status, moved.header("location")), (301, Some("/a/XLM")));
        assert!(page(&daemon, "/a/XLM").contains(&format!("/m/XLM_{USDC}")));
        // The file of one simulated issuer has markup and hidden characters in its name.
        let mut is_escaped = false;
        for asset in ok(&daemon, "/api/v1/assets").json()["assets"].as_array().unwrap() {
            let html = page(&daemon, &format!("/a/{}", text(asset, "id")));
            assert!(
                !html.contains("<img") && !html.contains('\u{202e}') && !html.contains("<script>"),
                "{html}"
            );
            // The scripts of the frame, and linked data that no text ends.
            assert_eq!(html.matches("<script").count(), html.matches("</script>").count(), "{html}");
            assert!(html.matches("<script").count() <= 2, "{html}");
            is_escaped |= html.contains("script&") || html.contains("&#60;script");
            if text(asset, "id") != "XLM" {
                let (code, issuer) = text(asset, "id").split_once('-').unwrap();
                assert!(html.contains(&format!("{code}:{issuer}")), "the whole key: {html}");
            }
        }
        assert!(is_escaped, "no page has the hostile name");
    });
}
