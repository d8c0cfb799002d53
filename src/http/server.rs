//! Starting and stopping the listeners.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_web::{App, HttpServer, dev::ServerHandle, middleware::from_fn, web};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{
    admin::{self, AdminState},
    connection, cors,
    graphql::GraphQl,
    public::{self, PublicState},
    unread,
};

/// Threads of the public listener; all they do is copy bytes.
const PUBLIC_WORKERS: usize = 2;
/// Threads of the admin listener.
const ADMIN_WORKERS: usize = 1;
/// Connections of the public listener at a time, a thread, where the system gives as many descriptors.
const CONNECTIONS_MAX: usize = 5_000;
/// Of the admin listener.
const ADMIN_CONNECTIONS_MAX: usize = 100;
/// Descriptors that are not for readers: the database, Horizon, files, and whatever a library holds.
const DESCRIPTORS_KEPT: u64 = 400;
/// A request's head must be there within this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// An idle connection is closed after this time.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
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

/// Starts the public listener on a socket that is open already.
///
/// # Errors
///
/// The socket cannot be used.
pub fn start_public(socket: TcpListener, state: PublicState) -> io::Result<Listener> {
    let (state, graphql) = (web::Data::new(state), web::Data::new(GraphQl::default()));
    run(socket, PUBLIC_WORKERS, public_connections(descriptors()), move |config| {
        config.app_data(state.clone()).app_data(graphql.clone()).configure(public::routes);
    })
}

/// Starts the admin listener on a socket that is open already.
///
/// # Errors
///
/// The socket cannot be used.
pub fn start_admin(socket: TcpListener, state: AdminState) -> io::Result<Listener> {
    let state = web::Data::new(state);
    run(socket, ADMIN_WORKERS, ADMIN_CONNECTIONS_MAX, move |config| {
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

/// Connections of a thread of the public listener.
fn public_connections(descriptors: u64) -> usize {
    let rest = usize::try_from(descriptors.saturating_sub(DESCRIPTORS_KEPT)).unwrap_or(usize::MAX);
    (rest / connection::DESCRIPTORS / PUBLIC_WORKERS).clamp(PUBLIC_WORKERS, CONNECTIONS_MAX)
}

fn run(
    socket: TcpListener,
    workers: usize,
    connections: usize,
    configure: impl Fn(&mut web::ServiceConfig) + Send + Clone + 'static,
) -> io::Result<Listener> {
    let address = socket.local_addr()?;
    let app =
        move || App::new().wrap(from_fn(cors::exposed)).wrap(from_fn(unread::closed)).configure(&configure);
    let server = HttpServer::new(app)
        .workers(workers)
        .disable_signals()
        .max_connections(connections)
        .tcp_nodelay(true) // else the end of an answer may wait 40 ms for an acknowledgement that the reader delays
        .on_connect(connection::watch)
        // A client that closes its side is gone, as for nginx: the work for it ends.
        .h1_allow_half_closed(false)
        .client_request_timeout(REQUEST_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .listen(socket)?;
    let running = server.run();
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
            [(0, 2), (256, 2), (1_024, 156), (4_096, 924), (20_000, 4_900), (u64::MAX, 5_000)]
        {
            assert_eq!(public_connections(descriptors), connections, "{descriptors}");
        }
    }
}
