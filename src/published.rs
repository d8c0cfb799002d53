//! The published state, which actors write and HTTP reads.
