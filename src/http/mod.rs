//! What readers reach over HTTP.
