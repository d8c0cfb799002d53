//! Supervised actors with bounded mailboxes, on actix. Nothing here knows what the actors do.
//!
//! To follow a message: [`port`] sends it, [`envelope`] carries it, and [`supervision::status`] counts and times its
//! handling. [`supervisor`] restarts what fails.

pub mod clock;
pub mod envelope;
pub mod port;
pub mod supervision;
pub mod supervisor;
pub mod test_hooks;
