//! HTTP: the public listener and the admin listener.
//!
//! No handler waits for an actor. Answers come from the published state, from the database, or through a port of the
//! composition root.

mod accept;
pub mod admin;
mod answer_cache;
mod api;
mod board_feed;
mod body;
mod connection;
mod connection_limiter;
mod connection_watch;
mod cors;
#[cfg(test)]
mod documented;
mod embedded;
mod event_stream;
mod expect;
mod files;
mod framing;
mod gated_stream;
mod graphiql;
mod graphql;
mod head_limit;
mod inflated;
mod labels;
mod methods;
mod negotiation;
mod openapi;
mod origin;
mod page_guard;
pub mod probe;
mod problem;
mod public;
mod readiness;
mod request_gate;
mod request_in_progress;
mod requests;
mod sending;
pub mod served_client;
pub mod server;
mod state;
mod status;
mod stream_slots;

pub use api::{
    book_reader::{BookReader, CONNECTIONS as BOOK_CONNECTIONS, FetchFresh},
    candle_reader::{CONNECTIONS as CANDLE_CONNECTIONS, CandleReader},
    stream::backlog::BacklogReader,
    views::Views,
};
#[cfg(test)]
pub(crate) use graphql::schema_fields;
pub use readiness::Readiness;
pub use state::PublicState;
pub use stream_slots::StreamSlots;

/// Returns the answer of `/graphql` to a body or a query string, without any data. None if it is refused. Only for
/// `fuzz/`.
#[cfg(fuzzing)]
#[must_use]
pub fn answer_without_data(request: &[u8]) -> Option<String> {
    graphql::answer_without_data(request)
}
