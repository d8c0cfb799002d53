//! What readers reach over HTTP: the public listener and the admin listener.
//!
//! Nothing in here waits for an actor: answers come from the published state, the database, or a port given by the
//! composition root.

pub mod admin;
mod body;
mod books;
mod connection;
mod cors;
mod crowd;
#[cfg(test)]
mod documented;
mod expect;
mod files;
mod graphiql;
mod graphql;
mod labels;
mod negotiation;
pub mod probe;
mod problem;
mod public;
pub mod reader;
mod readiness;
mod requests;
mod sending;
pub mod server;
mod status;
mod unread;

pub use public::PublicState;

/// Answers a body of `/graphql`, or a query string, without any data; none where it is refused. For `fuzz/` alone.
#[cfg(fuzzing)]
#[must_use]
pub fn answer_without_data(asked: &[u8]) -> Option<String> {
    graphql::answer_without_data(asked)
}
