//! Name resolution that gives nothing but public addresses. What it gives is what is dialled, so that no second answer
//! can differ from the one that was checked.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use futures_util::future::{FutureExt, LocalBoxFuture};

use crate::outbound::Names;

/// Asks for the addresses of a name.
pub(super) type Lookup = Rc<dyn Fn(String, u16) -> LocalBoxFuture<'static, io::Result<Vec<SocketAddr>>>>;

/// The system's resolver, for names that strangers wrote: no search list applies.
pub(super) fn system_lookup() -> Lookup {
    let names = Names::system();
    Rc::new(move |host, port| {
        let names = names.clone();
        async move { names.addresses_of_domain(&host, port).await }.boxed_local()
    })
}

/// The system's resolver, for the gateway that the operator wrote.
pub(super) fn gateway_lookup() -> Lookup {
    let names = Names::system();
    Rc::new(move |host, port| {
        let names = names.clone();
        async move { names.addresses(&host, port).await }.boxed_local()
    })
}

/// Gives the addresses of a name, or nothing if any of them is not allowed: a name that leads inwards now and then is
/// not to be trusted at other times either.
#[derive(Clone)]
pub(super) struct Guarded {
    pub(super) lookup: Lookup,
    pub(super) is_allowed: fn(IpAddr) -> bool,
}

impl Guarded {
    pub(super) async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses = (self.lookup)(host.to_owned(), port).await?;
        if addresses.iter().all(|address| (self.is_allowed)(address.ip())) {
            return Ok(addresses);
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the name leads to an address that is not public",
        ))
    }
}
