//! Connections whose sockets and drivers live on the shared runtime, whoever asks for them.

use std::{future::Future, pin::Pin, time::Duration};

use deadpool_postgres::Connect;
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::debug;

/// Until a connection stands, TLS and log-in included. `connect_timeout` of the connection string may only shorten it: a
/// longer wait would outlast the lease.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// deadpool's own connector drives a connection on whichever thread asked first: block or stop that thread, and
/// everybody else's queries on the connection hang or fail.
pub(super) struct SharedRuntimeConnect {
    pub(super) runtime: Handle,
    pub(super) tls: MakeRustlsConnect,
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl Connect for SharedRuntimeConnect {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let (tls, runtime) = (self.tls.clone(), self.runtime.clone());
        let mut config = config.clone();
        let asked = config.get_connect_timeout().copied();
        config.connect_timeout(asked.map_or(CONNECT_TIMEOUT, |asked| asked.min(CONNECT_TIMEOUT)));
        let connecting = self.runtime.spawn(async move {
            let (client, connection) = config.connect(tls).await?;
            let driver = runtime.spawn(async move {
                if let Err(error) = connection.await {
                    debug!(%error, "a database connection ended");
                }
            });
            Ok((client, driver))
        });
        Box::pin(async move { connecting.await.unwrap_or_else(|_| Err(Error::__private_api_timeout())) })
    }
}
