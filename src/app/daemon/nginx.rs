//! nginx in front of the public listener: prepared before anything else starts, started when the daemon listens.

use std::{convert::Infallible, net::SocketAddr, net::TcpListener, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tracing::warn;

use super::address::BIND_POLL;
use crate::{
    actors::{
        messages::ReloadNginx,
        nginx_process::place::{NginxError, NginxPlace, NginxSettings, PreparedNginx},
        port::Port,
    },
    app::CommandError,
    config::Config,
};

/// Time limit for the actor to acknowledge a reload.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The prepared nginx, and the switch that starts it.
pub(super) struct Nginx {
    pub(super) prepared: PreparedNginx,
    /// Set to true once, by [`Self::open`].
    open: watch::Sender<bool>,
}

impl Nginx {
    /// Prepares nginx's files and lets nginx test its configuration. Returns none without `--nginx`.
    pub(super) async fn prepare(config: &Config) -> Result<Option<Self>, CommandError> {
        let Some(file) = config.nginx.clone() else { return Ok(None) };
        let settings = NginxSettings {
            file,
            listen: config.nginx_bind,
            output_dir: config.output_dir.clone(),
            data_dir: config.data_dir.clone(),
        };
        let place = in_time(config.startup_timeout, async || NginxPlace::prepare(settings.clone())).await?;
        // With port 0 the real port is not known yet. The test only needs any valid one.
        place.set_upstream(with_some_port(config.bind)).map_err(CommandError::from)?;
        in_time(config.startup_timeout, async || place.test().await).await?;
        in_time(config.startup_timeout, async || may_listen(config.nginx_bind)).await?;
        let (open, is_open) = watch::channel(false);
        Ok(Some(Self { prepared: PreparedNginx { place, is_open }, open }))
    }

    /// Writes the daemon's address into nginx's configuration and lets the actor start nginx.
    pub(super) fn open(&self, daemon: SocketAddr) -> Result<(), CommandError> {
        self.prepared.place.set_upstream(daemon)?;
        self.open.send_replace(true);
        Ok(())
    }
}

/// Checks that nginx's address is free. Otherwise nginx itself would retry, and repeat its own message.
fn may_listen(listen: SocketAddr) -> Result<(), NginxError> {
    match TcpListener::bind(listen) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(NginxError::PortTaken(listen)),
        _ => Ok(()),
    }
}

/// Asks the actor, at each notification, to make nginx read its configuration again. Logs failures. Never ends.
pub(super) async fn reloads(nginx: Option<Port<ReloadNginx>>, wanted: &Notify) -> Infallible {
    loop {
        wanted.notified().await;
        let Some(nginx) = &nginx else { continue };
        if let Err(error) = nginx.call(None, ReloadNginx, RELOAD_TIMEOUT).await {
            warn!(%error, "nginx reload failed");
        }
    }
}

/// Retries transient failures for `patience`. Logs the first one.
async fn in_time<T>(
    patience: Duration,
    attempt: impl AsyncFn() -> Result<T, NginxError>,
) -> Result<T, CommandError> {
    let until = Instant::now() + patience;
    let mut is_logged = false;
    loop {
        match attempt().await {
            Err(error) if error.is_transient() && Instant::now() < until => {
                if !std::mem::replace(&mut is_logged, true) {
                    warn!(patience_s = patience.as_secs(), "{error}; retrying until the startup timeout");
                }
                tokio::time::sleep(BIND_POLL).await;
            }
            ended => return ended.map_err(CommandError::from),
        }
    }
}

impl From<NginxError> for CommandError {
    fn from(error: NginxError) -> Self {
        if error.is_transient() {
            Self::Unavailable(error.to_string())
        } else {
            Self::Configuration(error.to_string())
        }
    }
}

/// Replaces port 0, which nginx refuses, by port 1.
fn with_some_port(bind: SocketAddr) -> SocketAddr {
    SocketAddr::new(bind.ip(), bind.port().max(1))
}
