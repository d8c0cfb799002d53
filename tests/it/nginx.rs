//! nginx in front: the repository's nginx.conf in a real nginx, alone and as the daemon's child.

mod asking;
mod balancing;
mod conf;
mod limits;
pub(crate) mod process;
mod serving;
mod steady;
mod streaming;
mod tls;
mod updating;
