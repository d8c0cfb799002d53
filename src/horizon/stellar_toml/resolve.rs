//! Name resolution that returns only public addresses. The caller dials these addresses, so a second DNS answer cannot
//! replace the checked one.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use futures_util::future::{FutureExt, LocalBoxFuture};

use crate::outbound::Resolver;

/// Resolver: host name and port to addresses.
pub(super) type Lookup = Rc<dyn Fn(String, u16) -> LocalBoxFuture<'static, io::Result<Vec<SocketAddr>>>>;

/// System resolver for host names from issuers. Applies no search list.
pub(super) fn system_lookup() -> Lookup {
    let resolver = Resolver::system();
    Rc::new(move |host, port| {
        let resolver = resolver.clone();
        async move { resolver.addresses_of_domain(&host, port).await }.boxed_local()
    })
}

/// System resolver for the gateway, whose name the operator wrote.
pub(super) fn gateway_lookup() -> Lookup {
    let resolver = Resolver::system();
    Rc::new(move |host, port| {
        let resolver = resolver.clone();
        async move { resolver.addresses(&host, port).await }.boxed_local()
    })
}

/// Resolver that fails if any address of a name is not allowed. A name that sometimes has an internal address is not
/// trusted at other times either.
#[derive(Clone)]
pub(super) struct GuardedLookup {
    pub(super) lookup: Lookup,
    pub(super) is_allowed: fn(IpAddr) -> bool,
}

impl GuardedLookup {
    pub(super) async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses = (self.lookup)(host.to_owned(), port).await?;
        if addresses.iter().all(|address| (self.is_allowed)(address.ip())) {
            return Ok(addresses);
        }
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "the name has an address that is not public"))
    }
}
