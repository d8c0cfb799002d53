//! nginx in front: the repository's nginx.conf in a real nginx.

mod conf;
mod limits;
mod serving;
mod streaming;
