//! Pages that say why there is no other page.

use askama::Template;

use super::{Frame, TickerState, rendered};

#[derive(Template)]
#[template(path = "starting.html")]
struct StartingPage {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "missing.html")]
struct MissingPage {
    frame: Frame,
    title: String,
    detail: String,
}

/// Page before the first publication: the progress, and no figures.
#[must_use]
pub fn starting(state: &TickerState) -> Vec<u8> {
    rendered(&StartingPage { frame: Frame::of(state, "") })
}

/// Page for an address without a page, with a search box. `detail` is for people.
#[must_use]
pub fn missing(title: &str, detail: &str, state: &TickerState) -> Vec<u8> {
    rendered(&MissingPage {
        frame: Frame::of(state, ""),
        title: title.to_owned(),
        detail: ticker_domain::plain_text::stripped(detail).into_owned(),
    })
}
