//! Supervised actors with bounded mailboxes, on actix. Nothing here knows what the actors do.
//!
//! To follow a message: [`port`] sends it, [`envelope`] carries it, [`supervision::status`] counts and times its
//! handling, and [`trace`] records it. [`supervisor`] restarts what fails.

pub mod clock;
pub mod envelope;
pub mod health;
pub mod port;
pub mod supervision;
pub mod supervisor;
pub mod test_hooks;
pub mod trace;
