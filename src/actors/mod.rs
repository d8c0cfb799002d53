//! The actors: everything that runs on and on, each supervised, each with a mailbox.
