//! HTML pages. The server renders them, so they work without script.

pub(super) mod responses;
mod static_files;
mod ticker_state;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use ticker_formats::{
    board::{BoardQuery, SORTS},
    listings::explain::{FIELDS, Field},
    pages::{self, MarketRequest, TickerState},
};

use super::{
    Asked, Form, ViewKind, answer,
    document::{self, redirect},
    error::ApiError,
    look::{Look, made_already},
    moment_view::MomentView,
    parameters::Parameters,
};
use crate::{
    db::origin::query_of_window,
    domain::{conversions::SaturatingFrom, identity::SpelledAsset, plain_text::stripped, span::Span},
    http::{methods, origin::origin, requests, state::PublicState},
};
use responses::send;
use ticker_state::ticker_state;

/// Levels of the order book that a page reads on each side.
const LEVELS: usize = 200;
/// Most characters of a search.
const WORDS_MAX: usize = 200;
/// Highest page number. No list has as many pages.
const PAGES_MAX: i64 = 1_000_000;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, "/m/{name}", market);
    requests::route(config, "/a/{name}", asset);
    requests::route(config, "/status", status);
    requests::route(config, "/licences", licences);
    static_files::routes(config);
}

/// The list of all markets, of the pinned view: a reader who turns pages stays within one.
pub(in crate::http) async fn list(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    let ticker = ticker_state(&state);
    answer(
        Form::Page(&ticker),
        &request,
        &state,
        ViewKind::Pinned,
        async |Asked { request, view, .. }| {
            // Numbers beyond the last page have its key, or a reader could fill the cache with it.
            let query = board_query(request).within(view.listing());
            let (now, ticker) = (ticker.now, ticker.clone());
            let look = if query == BoardQuery::default() { Look::List { now } } else { Look::Page { now } };
            // The search as it is spelled: the page shows it in its field.
            let key = format!("list{}", query.address());
            send(request, view, look, key, move |moment| {
                pages::list(moment.view(), moment.board(), &query, &ticker)
            })
            .await
        },
    )
    .await
}

/// Selection that an address names. A value that is not known counts as none: the page shows what it selected.
fn board_query(request: &HttpRequest) -> BoardQuery {
    let names = ["q", "quote", "volume", "verified", "clean", "sort", "order", "page"];
    let parameters = Parameters::relaxed(request, &names);
    let text = |name: &str| parameters.text(name).unwrap_or_default();
    let default = BoardQuery::default();
    let sort = SORTS.into_iter().find(|sort| sort.name() == text("sort")).unwrap_or(default.sort);
    let quote = match text("quote").parse() {
        Ok(SpelledAsset::Classic(asset)) => Some(asset.name()),
        _ => None,
    };
    let page = parameters.number("page", 1, PAGES_MAX).ok().flatten();
    BoardQuery {
        words: stripped(text("q")).trim().chars().take(WORDS_MAX).collect(),
        quote: BoardQuery::quotes()
            .into_iter()
            .map(|(name, _)| name)
            .find(|name| quote.as_ref() == Some(name))
            .unwrap_or_default(),
        volume: text("volume").parse().unwrap_or(default.volume),
        is_verified: text("verified") == "1",
        is_clean: text("clean") == "1",
        sort,
        is_ascending: match text("order") {
            "asc" => true,
            "desc" => false,
            _ => sort.is_ascending_first(),
        },
        page: page.map_or(default.page, usize::saturating_from),
    }
}

async fn market(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
) -> HttpResponse {
    let ticker = ticker_state(&state);
    answer(Form::Page(&ticker), &request, &state, ViewKind::Live, async |Asked { request, view, state }| {
        let canonical = document::market(view.listing(), &name).map_err(no_page)?.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        let parameters = Parameters::relaxed(request, &["explain", "window", "interval", "trades"]);
        if let Some(field) = parameters.text("explain") {
            let window = parameters.text("window");
            return explained(request, view, canonical, field, window, ticker.clone()).await;
        }
        let interval = pages::page_interval(parameters.text("interval").unwrap_or_default());
        let is_raw = parameters.text("trades") == Some("raw");
        let origin = origin(request);
        let key = format!("page/{canonical}?{}&{is_raw}&{origin}", interval.name());
        // The page shows the rest without a book that is not read yet, or cannot be read now.
        let look = Look::Page { now: ticker.now };
        if let Some(made) = made_already(request, view, &key, look) {
            return Ok(made);
        }
        let levels = state.books.read(view, &canonical, LEVELS).await.ok();
        let wanted = MarketRequest { interval, is_raw, origin, levels };
        let ticker = ticker.clone();
        send(request, view, look, key, move |moment| {
            document::market(moment.view(), &canonical)
                .map(|market| pages::market(&market, &wanted, &ticker))
                .unwrap_or_default()
        })
        .await
    })
    .await
}

/// Error for an address without a page. A name that cannot be read has none either.
fn no_page(error: ApiError) -> ApiError {
    match error {
        ApiError::BadParameter(reason) => ApiError::NotFound(reason),
        other => other,
    }
}

/// Page that explains a figure.
async fn explained(
    request: &HttpRequest,
    view: &MomentView,
    canonical: String,
    field: &str,
    window: Option<&str>,
    ticker: TickerState,
) -> Result<HttpResponse, ApiError> {
    let unknown = || {
        let names = FIELDS.map(|field| field.name).join(", ");
        ApiError::NotFound(format!("there is no such figure; the figures are: {names}"))
    };
    let field = Field::named(field).ok_or_else(unknown)?;
    let span = window.and_then(Span::named).unwrap_or(Span::Day);
    let key = format!("explain_page/{canonical}/{}/{}", field.name, span.name());
    let look = Look::Page { now: ticker.now };
    send(request, view, look, key, move |moment| {
        let page = document::market(moment.view(), &canonical)
            .map(|market| pages::explain(&market, field.explain(&market, span, query_of_window), &ticker));
        page.unwrap_or_default()
    })
    .await
}

async fn asset(request: HttpRequest, state: web::Data<PublicState>, name: web::Path<String>) -> HttpResponse {
    let ticker = ticker_state(&state);
    answer(Form::Page(&ticker), &request, &state, ViewKind::Live, async |Asked { request, view, .. }| {
        let canonical = document::asset(view.listing(), &name).map_err(no_page)?.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        let (origin, ticker) = (origin(request), ticker.clone());
        let (look, key) = (Look::Page { now: ticker.now }, format!("asset_page/{canonical}?{origin}"));
        send(request, view, look, key, move |moment| {
            document::asset(moment.view(), &canonical)
                .map(|asset| pages::asset(&asset, moment.view(), &origin, &ticker))
                .unwrap_or_default()
        })
        .await
    })
    .await
}

async fn status(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    methods::answer(&request, || {
        responses::fresh(&request, StatusCode::OK, &pages::status(&ticker_state(&state)))
    })
}

async fn licences(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    methods::answer(&request, || {
        responses::fresh(&request, StatusCode::OK, &pages::licences(&ticker_state(&state)))
    })
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::Arc, time::Duration};

    use actix_web::{
        body::to_bytes,
        http::{StatusCode, header::HeaderValue},
        test::TestRequest,
        web,
    };
    use serde_json::Value;

    use crate::{
        clock::{ManualClock, SharedClock},
        domain::{
            directory::Directory, instant::UnixSeconds, market_snapshot::MarketSnapshot, windows::Windows,
        },
        http::{PublicState, api::moment_view::Cache, server},
        published::{Backfilled, FileMaker, Publication, Published, UnreadHistory},
    };

    #[actix_web::test]
    async fn before_the_first_publication_browsers_get_the_progress_and_programs_a_problem() {
        let published = Published::default();
        published.vitals.backfill.store(Some(Arc::new(Backfilled {
            done_ratio: 0.62,
            eta_s: Some(240.0),
            trades: 901_442,
            trades_per_second: 4_480,
            whole_back_to: None,
        })));
        let state = PublicState::unreachable(published);
        let policy = server::ConnectionPolicy { connections_per_address: None, is_behind_nginx: false };
        let listener =
            server::start_public(TcpListener::bind("127.0.0.1:0").unwrap(), state, policy).unwrap();
        // awc's own limit of five seconds is too short for a busy machine.
        let client = awc::Client::builder().timeout(Duration::from_secs(60)).finish();
        for path in ["/", "/m/XLM_A", "/a/XLM"] {
            let address = format!("http://{}{path}", listener.address());
            let ask =
                |accept: &'static str| client.get(address.as_str()).insert_header(("Accept", accept)).send();
            let mut page = ask("text/html").await.unwrap();
            assert_eq!(page.status(), 503);
            assert_eq!(page.headers().get("retry-after").unwrap(), "5");
            assert_eq!(page.headers().get("vary").unwrap(), "Accept, Accept-Encoding");
            let policy = page.headers().get("content-security-policy").unwrap().to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'"));
            let html = String::from_utf8(page.body().await.unwrap().to_vec()).unwrap();
            assert!(
                html.contains("62 %") && html.contains("901,442 trades read") && html.contains("about 4 min")
            );
            assert!(!html.contains("<table"), "no figures");
            let problem = ask("*/*").await.unwrap();
            assert_eq!(problem.status(), 503);
            assert_eq!(problem.headers().get("content-type").unwrap(), "application/problem+json");
        }
        let address = format!("http://{}/openapi.json", listener.address());
        let described: Value = client.get(address).send().await.unwrap().json().limit(1 << 20).await.unwrap();
        for path in
            ["symbols?symbol=XLM_A", "search?query=x", "history?symbol=XLM_A&resolution=1&from=0&to=9"]
        {
            let address = format!("http://{}/udf/{path}", listener.address());
            let mut answer = client.get(address).send().await.unwrap();
            let pattern = format!("/udf/{}", path.split('?').next().unwrap());
            let response = described["paths"][pattern]["get"]["responses"]["503"]["$ref"].as_str().unwrap();
            let response = described.pointer(response.trim_start_matches('#')).unwrap();
            let content_type = answer.headers().get("content-type").unwrap().to_str().unwrap();
            assert!(response["content"][content_type].is_object(), "{content_type} in {response}");
            assert_eq!(
                (answer.status(), answer.headers().contains_key("retry-after")),
                (503.try_into().unwrap(), true)
            );
            let body: Value = answer.json().await.unwrap();
            assert!(
                body["s"] == "error" && body["errmsg"].is_string(),
                "the library takes it for a symbol: {body}"
            );
        }
        listener.stop().await;
    }

    #[actix_web::test]
    async fn the_search_takes_any_spelling_of_a_quote_and_no_hidden_characters() {
        let query = |address: &str| {
            let request = TestRequest::with_uri(address).to_http_request();
            super::board_query(&request)
        };
        for spelling in ["XLM", "native"] {
            assert_eq!(query(&format!("/?quote={spelling}")).quote, "XLM");
        }
        let usdc = "USDC-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";
        for spelling in [usdc.to_owned(), usdc.replacen('-', ":", 1), format!("{usdc}-1")] {
            assert_eq!(query(&format!("/?quote={spelling}")).quote, usdc);
        }
        assert_eq!(query("/?quote=TEA").quote, "");
        assert_eq!(query("/?q=%00te%00a%20").words, "tea");
    }

    /// Ticker whose only publication is of this time, while Horizon's stream goes on.
    fn standing_still(as_of: UnixSeconds, clock: &Arc<ManualClock>) -> PublicState {
        let mut windows = Windows::default();
        windows.advance(as_of);
        let snapshot = MarketSnapshot::new(windows.view(), Directory::default());
        let (latest, mut maker) = (Some((7, as_of.minus(9))), FileMaker::default());
        let published = Published::default();
        let publication = Publication::render(1, latest, snapshot, None, &mut maker).unwrap();
        published.publish(Arc::new(publication));
        published.vitals.stream.succeeds("", as_of.plus(1_000).to_utc());
        let clock: SharedClock = Arc::<ManualClock>::clone(clock);
        PublicState { clock, ..PublicState::unreachable(published) }
    }

    async fn list_of(state: &PublicState) -> String {
        let response =
            super::list(TestRequest::default().to_http_request(), web::Data::new(state.clone())).await;
        assert_eq!(response.status(), 200);
        String::from_utf8(to_bytes(response.into_body()).await.unwrap().to_vec()).unwrap()
    }

    #[actix_web::test]
    async fn while_publications_stand_still_pages_count_ages_on_and_in_the_end_say_so() {
        let as_of = UnixSeconds(1_800_000_000);
        let clock = Arc::new(ManualClock::new(as_of.to_utc()));
        let state = standing_still(as_of, &clock);
        let mut elapsed = 0;
        for (age, shown) in [(1, 1), (5, 1), (14, 1), (20, 20), (29, 20), (30, 30), (601, 601), (612, 612)] {
            clock.advance(Duration::from_secs(age - elapsed));
            elapsed = age;
            let page = list_of(&state).await;
            let now = format!("data-now=\"{}\"", as_of.plus(shown.into()).0);
            assert!(page.contains(&now), "after {age} s: {page}");
            let is_said = page.contains("This ticker has published nothing since 08:00 UTC.");
            assert_eq!(is_said, age > 601, "after {age} s: {page}");
            assert_eq!(page.contains("id=\"stale-age\""), is_said);
            assert!(!page.contains("Nothing has arrived"), "{page}");
        }
        let slow = PublicState { publish_interval: Duration::from_secs(900), ..state };
        clock.advance(Duration::from_secs(10));
        assert!(!list_of(&slow).await.contains("stale-age"), "publications may be this far apart");
    }

    #[actix_web::test]
    async fn a_date_alone_does_not_hide_that_publications_stand_still() {
        let as_of = UnixSeconds(1_800_000_000);
        let clock = Arc::new(ManualClock::new(as_of.to_utc()));
        let state = standing_still(as_of, &clock);
        let ask = async |name: &'static str, value: HeaderValue| {
            let request = TestRequest::default().insert_header((name, value)).to_http_request();
            super::list(request, web::Data::new(state.clone())).await
        };
        let date =
            HeaderValue::try_from(as_of.to_utc().format("%a, %d %b %Y %H:%M:%S GMT").to_string()).unwrap();
        let fresh = ask("if-modified-since", date.clone()).await;
        assert_eq!((fresh.status(), fresh.headers().get("last-modified")), (StatusCode::OK, None));
        let tag = fresh.headers().get("etag").unwrap().clone();
        assert_eq!(ask("if-none-match", tag.clone()).await.status(), StatusCode::NOT_MODIFIED);
        // The figures are of the same second, and the page says that none follow.
        clock.advance(Duration::from_secs(700));
        for (name, value) in [("if-modified-since", date), ("if-none-match", tag)] {
            let later = ask(name, value).await;
            assert_eq!(later.status(), StatusCode::OK, "{name}");
            let page = to_bytes(later.into_body()).await.unwrap();
            assert!(String::from_utf8_lossy(&page).contains("This ticker has published nothing since"));
        }
    }

    #[actix_web::test]
    async fn search_engines_get_the_list_of_all_markets_only() {
        let as_of = UnixSeconds(1_800_000_000);
        let state = standing_still(as_of, &Arc::new(ManualClock::new(as_of.to_utc())));
        let head = async |address: &str| {
            let request = TestRequest::with_uri(address).insert_header(("host", "ticker.example"));
            let response = super::list(request.to_http_request(), web::Data::new(state.clone())).await;
            let page = to_bytes(response.into_body()).await.unwrap();
            let page = String::from_utf8(page.to_vec()).unwrap();
            page.split_once("</head>").unwrap().0.to_owned()
        };
        let (canonical, hidden) =
            ("<link rel=\"canonical\" href=\"/\">", "<meta name=\"robots\" content=\"noindex\">");
        for address in ["/", "/?utm_source=x", "/?sort=volume", "/?page=9"] {
            let head = head(address).await;
            assert!(head.contains(canonical) && !head.contains(hidden), "{address}: {head}");
            let (_, data) = head.split_once("<script type=\"application/ld+json\">").unwrap();
            let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
            assert_eq!(data["@type"], "Dataset");
            assert_eq!(data["url"], "/", "relative to the address that the reader asked for");
        }
        for address in ["/?sort=age&page=2", "/?q=x", "/?clean=1"] {
            let head = head(address).await;
            assert!(
                head.contains(hidden) && !head.contains("canonical") && !head.contains("ld+json"),
                "{head}"
            );
        }
    }

    /// A stranger must not multiply the pages that a view holds.
    #[actix_web::test]
    async fn no_page_beyond_the_last_one_and_no_host_makes_another_list() {
        let as_of = UnixSeconds(1_800_000_000);
        let state = standing_still(as_of, &Arc::new(ManualClock::new(as_of.to_utc())));
        let newest = state.published.newest().unwrap();
        let mut lists = Vec::new();
        for (address, host) in [
            ("/", "a.example"),
            ("/", "b.example"),
            ("/?page=2", "a.example"),
            ("/?page=999999", "c.example"),
        ] {
            let request = TestRequest::with_uri(address).insert_header(("host", host)).to_http_request();
            assert_eq!(super::list(request, web::Data::new(state.clone())).await.status(), StatusCode::OK);
            let view = state.views.pinned(&newest).await.unwrap();
            lists.push(view.made_already(Cache::List(as_of), "list/").unwrap());
            assert!(view.made_already(Cache::Pages(as_of), "list/?page=2").is_none());
        }
        assert!(lists.iter().all(|list| Arc::ptr_eq(list, &lists[0])));
    }

    #[actix_web::test]
    async fn pages_and_the_api_report_the_same_unread_history() {
        let as_of = UnixSeconds(1_800_000_000);
        let state = standing_still(as_of, &Arc::new(ManualClock::new(as_of.to_utc())));
        assert!(super::ticker_state(&state).unread.is_none());
        state.published.vitals.unread_history.store(Some(Arc::new(UnreadHistory {
            from: None,
            to: 99,
            from_time: as_of.minus(604_800),
            to_time: as_of.minus(3_600),
        })));
        let unread = super::ticker_state(&state).unread.unwrap();
        assert_eq!((unread.from, unread.to, unread.to_time), (None, 99, as_of.minus(3_600)));
    }
}
