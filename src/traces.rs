//! Reading of recorded messages: which records a question selects, the way of one trade, and the tree of causes.

pub mod journey;
pub mod query;
pub mod tree;
