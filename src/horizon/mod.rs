//! Upstream: everything that knows how Horizon speaks.
