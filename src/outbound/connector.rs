//! The service through which awc's clients connect.

use std::io;

use actix_rt::net::TcpStream;
use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::Uri;
use futures_util::future::{FutureExt, LocalBoxFuture};

use super::{Names, dial};

/// Resolves and dials for awc, whose own connector gives all patience to a name's first address and resolves names on
/// threads that outlive the request.
#[derive(Clone)]
pub struct TcpDialler {
    names: Names,
}

impl TcpDialler {
    /// A dialler of names as operators write them.
    #[must_use]
    pub const fn new(names: Names) -> Self {
        Self { names }
    }
}

impl Service<ConnectInfo<Uri>> for TcpDialler {
    type Response = Connection<Uri, TcpStream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    actix_service::always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let names = self.names.clone();
        async move {
            let (uri, port) = (info.request().clone(), info.port());
            let host = uri.host().ok_or(ConnectError::Unresolved)?;
            let addresses =
                names.addresses(host, port).await.map_err(|error| ConnectError::Resolver(error.into()))?;
            let stream = dial(addresses).await.map_err(ConnectError::Io)?;
            // Requests are small and answers are waited for: nothing gains by waiting to fill a packet.
            stream.set_nodelay(true).map_err(|error: io::Error| ConnectError::Io(error))?;
            Ok(Connection::new(uri, stream))
        }
        .boxed_local()
    }
}
