//! What strangers may send, and that nobody else notices. What each test prints goes into `docs/reliability.md`.

mod descriptors;
mod graphql;
mod http;
mod roles;
mod secrets;
mod smuggling;

mod text;
mod threads;
mod tls;
