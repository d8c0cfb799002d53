//! Starting and stopping the listeners.

use std::{io, net::SocketAddr, time::Duration};

use actix_web::{App, HttpServer, dev::ServerHandle, middleware::from_fn, web};

use super::{
    admin::{self, AdminState},
    graphql::GraphQl,
    public::{self, PublicState},
    unread,
};

/// Threads of the public listener; all they do is copy bytes.
const PUBLIC_WORKERS: usize = 2;
/// Threads of the admin listener.
const ADMIN_WORKERS: usize = 1;
/// Connections at a time, a thread.
const CONNECTIONS_MAX: usize = 5_000;
/// A request's head must be there within this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// An idle connection is closed after this time.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long requests under way may take when the listener stops.
const SHUTDOWN_SECONDS: u64 = 1;

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

/// Starts the public listener.
///
/// # Errors
///
/// The address is not to be had.
pub fn start_public(address: SocketAddr, state: PublicState) -> io::Result<Listener> {
    let (state, graphql) = (web::Data::new(state), web::Data::new(GraphQl::default()));
    run(address, PUBLIC_WORKERS, move |config| {
        config.app_data(state.clone()).app_data(graphql.clone()).configure(public::routes);
    })
}

/// Starts the admin listener.
///
/// # Errors
///
/// The address is not to be had.
pub fn start_admin(address: SocketAddr, state: AdminState) -> io::Result<Listener> {
    let state = web::Data::new(state);
    run(address, ADMIN_WORKERS, move |config| {
        config.app_data(state.clone()).configure(admin::routes);
    })
}

fn run(
    address: SocketAddr,
    workers: usize,
    configure: impl Fn(&mut web::ServiceConfig) + Send + Clone + 'static,
) -> io::Result<Listener> {
    let server = HttpServer::new(move || App::new().wrap(from_fn(unread::closed)).configure(&configure))
        .workers(workers)
        .disable_signals()
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(REQUEST_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .bind(address)?;
    let address = server.addrs().first().copied().unwrap_or(address);
    let running = server.run();
    let handle = running.handle();
    // The acceptor's own future; it ends with `stop`.
    actix_web::rt::spawn(running);
    Ok(Listener { address, handle })
}
