//! Starting and stopping the listeners.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_http::HttpService;
use actix_service::{IntoServiceFactory, fn_service, map_config};
use actix_web::{
    App,
    dev::{AppConfig, Extensions, Server, ServerHandle},
    middleware::from_fn,
    rt::net::TcpStream,
    web,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{
    admin::{self, AdminState},
    connection, cors,
    crowd::{Crowd, Places},
    expect,
    graphql::GraphQl,
    public::{self, PublicState},
    sending::Sending,
    unread,
};

/// Threads of the public listener; all they do is copy bytes.
const PUBLIC_WORKERS: usize = 2;
/// Threads of the admin listener.
const ADMIN_WORKERS: usize = 1;
/// Connections of the public listener at a time, if the system gives enough descriptors. Each takes some 33 KB.
const CONNECTIONS_MAX: usize = 5_000;
/// The fewest, whatever the system gives.
const CONNECTIONS_MIN: usize = 4;
/// Extra connections that a thread accepts before the ones cut for them have ended. Never more than there are places: a
/// process with few descriptors has none to spare.
const CONNECTIONS_SPARE: usize = 64;
/// Of the admin listener.
const ADMIN_CONNECTIONS_MAX: usize = 100;
/// Descriptors that are not for readers: the database, Horizon, files, and whatever a library holds.
const DESCRIPTORS_KEPT: u64 = 400;
/// A request's head must be there within this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// An idle connection is closed after this time.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Longest time that closing a connection may take.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long requests under way may take when the listener stops.
const SHUTDOWN_SECONDS: u64 = 1;

/// Kind of clients that connect to the public listener.
#[derive(Clone, Copy, Debug)]
pub struct Visitors {
    /// Connections that one address may hold at a time; `None`: as many as there are.
    pub connections_per_address: Option<usize>,
    /// Readers come by an nginx on this machine, whose connections count for none of them.
    pub is_behind_nginx: bool,
}

/// A listener that runs on threads of its own.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    handle: ServerHandle,
}

impl Listener {
    /// Where it listens; tells the port where 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets requests under way end, within a second or so.
    pub async fn stop(self) {
        self.handle.stop(true).await;
    }
}

/// Starts the public listener on a socket that is open already.
///
/// # Errors
///
/// The socket cannot be used.
pub fn start_public(socket: TcpListener, state: PublicState, visitors: Visitors) -> io::Result<Listener> {
    let places = Places {
        all: public_connections(descriptors()),
        of_address: visitors.connections_per_address,
        loopback_counts: !visitors.is_behind_nginx,
    };
    let (state, graphql) = (web::Data::new(state), web::Data::new(GraphQl::default()));
    let sending = web::Data::new(Sending::default());
    run(socket, PUBLIC_WORKERS, places, move |config| {
        let config = config.app_data(state.clone()).app_data(graphql.clone()).app_data(sending.clone());
        config.configure(public::routes);
    })
}

/// Starts the admin listener on a socket that is open already.
///
/// # Errors
///
/// The socket cannot be used.
pub fn start_admin(socket: TcpListener, state: AdminState) -> io::Result<Listener> {
    let state = web::Data::new(state);
    let places = Places { all: ADMIN_CONNECTIONS_MAX, of_address: None, loopback_counts: true };
    run(socket, ADMIN_WORKERS, places, move |config| {
        config.app_data(state.clone()).configure(admin::routes);
    })
}

/// Files and sockets that this process may have open: as many as the system lets it ask for. Each reader is one, and a
/// process with none left can neither write a file nor reach its database.
#[must_use]
pub fn descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// Connections of the public listener.
fn public_connections(descriptors: u64) -> usize {
    let rest = usize::try_from(descriptors.saturating_sub(DESCRIPTORS_KEPT)).unwrap_or(usize::MAX);
    (rest / connection::DESCRIPTORS).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
}

fn run(
    socket: TcpListener,
    workers: usize,
    places: Places,
    configure: impl Fn(&mut web::ServiceConfig) + Send + Clone + 'static,
) -> io::Result<Listener> {
    let address = socket.local_addr()?;
    let crowd = Crowd::new(places);
    let builder = Server::build();
    let stops = builder.graceful_shutdown_signal();
    // As actix's own HttpServer does it, which takes no `expect`.
    let service = move || {
        let (crowd, stops, configure) = (Arc::clone(&crowd), stops.clone(), configure.clone());
        let app = App::new().wrap(from_fn(cors::exposed)).wrap(from_fn(unread::closed)).configure(configure);
        HttpService::build()
            .graceful_shutdown_signal(move || {
                let stops = stops.clone();
                async move { stops.notified().await }
            })
            .tcp_nodelay(true) // else the end of an answer may wait 40 ms for an acknowledgement that the reader delays
            .on_connect_ext(move |io: &TcpStream, data: &mut Extensions| connection::watch(&crowd, io, data))
            // A client that closes its side is gone, as for nginx: the work for it ends.
            .h1_allow_half_closed(false)
            .client_request_timeout(REQUEST_TIMEOUT)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .keep_alive(KEEP_ALIVE)
            .local_addr(address)
            .expect(fn_service(expect::small_bodies))
            .finish(map_config(app.into_factory(), |()| AppConfig::default()))
            .tcp()
    };
    let running = builder
        .workers(workers)
        .disable_signals()
        .max_concurrent_connections(places.all + CONNECTIONS_SPARE.min(places.all))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .listen("ticker", socket, service)?
        .run();
    let handle = running.handle();
    // The acceptor's own future; it ends with `stop`.
    actix_web::rt::spawn(running);
    Ok(Listener { address, handle })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_leave_descriptors_for_the_rest() {
        for (descriptors, connections) in
            [(0, 4), (256, 4), (1_024, 312), (4_096, 1_848), (20_000, 5_000), (u64::MAX, 5_000)]
        {
            assert_eq!(public_connections(descriptors), connections, "{descriptors}");
        }
    }
}
