//! nginx in front of the public listener: seen to before anything else starts, opened when the daemon listens.

use std::{net::SocketAddr, net::TcpListener, time::Duration};

use tokio::{sync::watch, time::Instant};
use tracing::warn;

use super::address::BIND_POLL;
use crate::{
    actors::{
        envelope::TraceContext,
        messages::ReloadNginx,
        nginx_process::{NginxError, NginxPlace, NginxSettings},
        port::Port,
    },
    app::Failure,
    config::Config,
};

/// How long the actor may take to hear of a reload.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The nginx that was asked for.
pub(super) struct Nginx {
    pub(super) place: NginxPlace,
    open: watch::Sender<bool>,
    pub(super) is_open: watch::Receiver<bool>,
}

impl Nginx {
    /// Makes everything ready and lets nginx look at it; none where none is asked for.
    pub(super) async fn prepare(config: &Config) -> Result<Option<Self>, Failure> {
        let Some(file) = config.nginx.clone() else { return Ok(None) };
        let settings = NginxSettings {
            file,
            listen: config.nginx_bind,
            output_dir: config.output_dir.clone(),
            data_dir: config.data_dir.clone(),
        };
        let place = in_time(config.startup_timeout, || NginxPlace::prepare(settings.clone())).await?;
        // Where the system chooses the port, nginx is told of it later.
        place.set_upstream(with_some_port(config.bind)).map_err(Failure::from)?;
        place.test().await?;
        in_time(config.startup_timeout, || may_listen(config.nginx_bind)).await?;
        let (open, is_open) = watch::channel(false);
        Ok(Some(Self { place, open, is_open }))
    }

    /// The daemon listens: nginx may come.
    pub(super) fn open(&self, daemon: SocketAddr) -> Result<(), Failure> {
        self.place.set_upstream(daemon)?;
        self.open.send_replace(true);
        Ok(())
    }
}

/// Checks that nginx's address is free. nginx itself would retry and repeat its own message.
fn may_listen(listen: SocketAddr) -> Result<(), NginxError> {
    match TcpListener::bind(listen) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(NginxError::PortTaken(listen)),
        _ => Ok(()),
    }
}

/// Tells nginx to read its configuration again.
pub(super) async fn reload(nginx: &Port<ReloadNginx>) {
    if let Err(error) = nginx.call(&TraceContext::root(), ReloadNginx, RELOAD_TIMEOUT).await {
        warn!(%error, "nginx was not reloaded");
    }
}

/// Retries while that may help and `patience` lasts. Logs the reason of the wait once.
async fn in_time<T>(patience: Duration, attempt: impl Fn() -> Result<T, NginxError>) -> Result<T, Failure> {
    let until = Instant::now() + patience;
    let mut told = false;
    loop {
        match attempt() {
            Err(error) if error.is_transient() && Instant::now() < until => {
                if !std::mem::replace(&mut told, true) {
                    warn!(patience_s = patience.as_secs(), "{error}; trying until the startup timeout");
                }
                tokio::time::sleep(BIND_POLL).await;
            }
            ended => return ended.map_err(Failure::from),
        }
    }
}

impl From<NginxError> for Failure {
    fn from(error: NginxError) -> Self {
        if error.is_transient() {
            Self::Unavailable(error.to_string())
        } else {
            Self::Configuration(error.to_string())
        }
    }
}

/// nginx takes no port 0.
fn with_some_port(bind: SocketAddr) -> SocketAddr {
    SocketAddr::new(bind.ip(), bind.port().max(1))
}
