//! Start and stop of the listeners.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, Protocol, error::DispatchError};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App,
    dev::{AppConfig, Extensions, Server, ServerHandle},
    middleware::{Condition, from_fn},
    rt::net::TcpStream,
    web,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{
    admin::{self, AdminState},
    connection,
    connection_limiter::{ConnectionLimiter, ConnectionLimits},
    connection_watch, cors, expect,
    gated_stream::GatedStream,
    graphql::GraphQl,
    head_limit::LargeHeads,
    public, request_in_progress, requests,
    sending::Sending,
    state::PublicState,
};
use crate::domain::conversions::SaturatingFrom;

/// Threads of the public listener. Two suffice, since they only copy bytes.
const PUBLIC_WORKERS: usize = 2;
/// Threads of the admin listener.
const ADMIN_WORKERS: usize = 1;
/// Largest number of connections to the public listener, if the system allows enough descriptors. Each takes about 33
/// KB, or 50 KB if its client has sent more than its turn. Those with large heads have a limit of their own. The
/// kernel's send buffers of clients that read nothing take 350 MiB at most.
const CONNECTIONS_MAX: usize = 5_000;
/// Smallest limit, however few descriptors the system allows.
const CONNECTIONS_MIN: usize = 4;
/// Extra connections that a thread accepts before the connections that were cut for them have ended. Never more than
/// the limit itself, since a process with few descriptors has none to spare.
const CONNECTIONS_SPARE: usize = 64;
/// Largest number of connections to the admin listener.
const ADMIN_CONNECTIONS_MAX: usize = 100;
/// Descriptors that are kept for the database, Horizon, files and libraries.
const DESCRIPTORS_KEPT: u64 = 400;
/// Time limit for the head of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Time after which an idle connection is closed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Longest time that closing a connection may take.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time that requests in progress get when the listener stops.
const SHUTDOWN_SECONDS: u64 = 1;

/// Limits on connections to the public listener.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionPolicy {
    /// Largest number of connections of one address; `None` for no limit.
    pub connections_per_address: Option<usize>,
    /// True if clients connect through an nginx on this machine. Loopback addresses then have no limit.
    pub is_behind_nginx: bool,
}

/// A listener that runs on threads of its own.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    handle: ServerHandle,
}

impl Listener {
    /// Returns the address, with the actual port if 0 was configured.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting connections, and gives requests in progress about a second to finish.
    pub async fn stop(self) {
        self.handle.stop(true).await;
    }
}

/// Starts the public listener on an open socket.
///
/// # Errors
///
/// The error of the operating system if the socket cannot be used.
pub fn start_public(
    socket: TcpListener,
    state: PublicState,
    policy: ConnectionPolicy,
) -> io::Result<Listener> {
    let limits = ConnectionLimits {
        all: public_connections(descriptors()),
        per_address: policy.connections_per_address,
        limits_loopback: !policy.is_behind_nginx,
    };
    let (state, graphql) = (web::Data::new(state), web::Data::new(GraphQl::default()));
    let sending = web::Data::new(Sending::default());
    run(socket, PUBLIC_WORKERS, limits, true, move |config| {
        let config = config.app_data(state.clone()).app_data(graphql.clone()).app_data(sending.clone());
        config.configure(public::routes);
    })
}

/// Starts the admin listener on an open socket.
///
/// # Errors
///
/// The error of the operating system if the socket cannot be used.
pub fn start_admin(socket: TcpListener, state: AdminState) -> io::Result<Listener> {
    let state = web::Data::new(state);
    let limits = ConnectionLimits { all: ADMIN_CONNECTIONS_MAX, per_address: None, limits_loopback: true };
    run(socket, ADMIN_WORKERS, limits, false, move |config| {
        config.app_data(state.clone()).configure(admin::routes);
    })
}

/// Raises the limit on open files and sockets as far as the system allows, and returns it. A process without a free
/// descriptor can neither write a file nor reach its database.
#[must_use]
pub fn descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// Returns the limit of the public listener for a number of descriptors.
fn public_connections(descriptors: u64) -> usize {
    let rest = usize::saturating_from(descriptors.saturating_sub(DESCRIPTORS_KEPT));
    (rest / connection::DESCRIPTORS).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
}

/// Runs a listener. `is_measured`: its requests appear in the metrics.
fn run(
    socket: TcpListener,
    workers: usize,
    limits: ConnectionLimits,
    is_measured: bool,
    configure: impl Fn(&mut web::ServiceConfig) + Send + Clone + 'static,
) -> io::Result<Listener> {
    let address = socket.local_addr()?;
    let (limiter, large_heads) = (ConnectionLimiter::new(limits), LargeHeads::default());
    let builder = Server::build();
    let stops = builder.graceful_shutdown_signal();
    // The same steps as in actix's HttpServer, which does not let us set `expect`.
    let service = move || {
        let (limiter, stops, configure) = (Arc::clone(&limiter), stops.clone(), configure.clone());
        // The outermost one, so that it counts the status that is sent.
        let measured = Condition::new(is_measured, from_fn(requests::measured));
        let app = App::new()
            .wrap(from_fn(cors::exposed))
            .wrap(from_fn(request_in_progress::watched))
            .wrap(measured)
            .configure(configure);
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stops = stops.clone();
                async move { stops.notified().await }
            })
            .on_connect_ext(move |io: &GatedStream<TcpStream>, data: &mut Extensions| {
                data.insert(Rc::clone(io.gate()));
                connection_watch::watch(&limiter, io.socket(), data);
            })
            // As in nginx, a client that closes its side of the connection is gone, and the work for it ends.
            .h1_allow_half_closed(false)
            .client_request_timeout(REQUEST_TIMEOUT)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .keep_alive(KEEP_ALIVE)
            .local_addr(address)
            .expect(fn_service(expect::small_bodies))
            .finish(map_config(app.into_factory(), |()| AppConfig::default()));
        gated(large_heads.clone()).and_then(http)
    };
    let running = builder
        .workers(workers)
        .disable_signals()
        .max_concurrent_connections(limits.all + CONNECTIONS_SPARE.min(limits.all))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .listen("ticker", socket, service)?
        .run();
    let handle = running.handle();
    // The future of the acceptor. It ends with `stop`.
    actix_web::rt::spawn(running);
    Ok(Listener { address, handle })
}

/// Accepted connections, each behind its gate.
fn gated(
    large_heads: LargeHeads,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = (GatedStream<TcpStream>, Protocol, Option<SocketAddr>),
    Error = DispatchError,
    InitError = (),
> {
    fn_service(move |io: TcpStream| {
        let large_heads = large_heads.clone();
        async move {
            // Without this the end of an answer may wait 40 ms for an acknowledgement that the client delays. If it
            // fails, the connection has just ended.
            let _set = io.set_nodelay(true);
            let address = io.peer_addr().ok();
            Ok((GatedStream::new(io, large_heads), Protocol::Http1, address))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_leaves_descriptors_for_the_database_and_files() {
        for (descriptors, connections) in
            [(0, 4), (256, 4), (1_024, 312), (4_096, 1_848), (20_000, 5_000), (u64::MAX, 5_000)]
        {
            assert_eq!(public_connections(descriptors), connections, "{descriptors}");
        }
    }
}
