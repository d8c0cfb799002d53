//! Name resolution that gives nothing but public addresses. What it gives is what is dialled, so that no second answer
//! can differ from the one that was checked.

use std::{error::Error, io, net::IpAddr, net::SocketAddr, rc::Rc};

use actix_tls::connect::Resolve;
use futures_util::future::{FutureExt, LocalBoxFuture};

/// Asks for the addresses of a name.
pub(super) type Lookup = Rc<dyn Fn(String, u16) -> LocalBoxFuture<'static, io::Result<Vec<SocketAddr>>>>;

/// The system's own resolver.
pub(super) fn system_lookup() -> Lookup {
    Rc::new(|host, port| {
        async move { Ok(tokio::net::lookup_host((host, port)).await?.collect::<Vec<_>>()) }.boxed_local()
    })
}

/// Gives the addresses of a name, or nothing if any of them is not allowed: a name that leads inwards now and then is
/// not to be trusted at other times either.
pub(super) struct Guarded {
    pub(super) lookup: Lookup,
    pub(super) is_allowed: fn(IpAddr) -> bool,
}

impl Resolve for Guarded {
    fn lookup<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> LocalBoxFuture<'a, Result<Vec<SocketAddr>, Box<dyn Error>>> {
        async move {
            let addresses = (self.lookup)(host.to_owned(), port).await?;
            if addresses.iter().all(|address| (self.is_allowed)(address.ip())) {
                Ok(addresses)
            } else {
                Err("the name leads to an address that is not public".into())
            }
        }
        .boxed_local()
    }
}
