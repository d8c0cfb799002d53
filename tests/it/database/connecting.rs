//! Connection strings of several hosts, and hosts that do not answer.

use std::{io::ErrorKind, net::TcpListener};

use stellar_ticker::db::DbError;

use super::*;
use crate::support::{
    network::block_on,
    postgres::{over_tcp, socket_of},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A host that accepts connections and never answers.
struct SilentHost(TcpListener);

impl SilentHost {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// Connections since it was last asked.
    fn connections(&self) -> usize {
        let mut count = 0;
        loop {
            match self.0.accept() {
                Ok(_) => count += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return count,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_silent_host_hides_no_living_one_and_comes_last_for_a_while() {
    block_on(async {
        let (directory, port, rest) = socket_of(&fresh_database().await);
        let silent = SilentHost::start();
        let hosts = format!("host=127.0.0.1,{} port={},{port}", directory.display(), silent.port());
        let database = open(&format!("{hosts} {rest} connect_timeout=5"));
        database.wait_until_ready(PATIENCE).await.unwrap();
        assert_eq!(silent.connections(), 1, "it is the first of the connection string");
        let others = (0..8).map(|_| database.wait_until_ready(PATIENCE));
        for other in futures_util::future::join_all(others).await {
            other.unwrap();
        }
        assert_eq!(silent.connections(), 0, "it is known to be silent");
    });
}

#[test]
fn a_search_path_without_a_schema_is_refused_by_its_name() {
    block_on(async {
        let url = fresh_database().await;
        let client = connect(&url).await;
        let wrong = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = nowhere', current_database()); END $$";
        client.batch_execute(wrong).await.unwrap();
        let refused = open(&url).check_server().await.unwrap_err();
        assert!(matches!(refused, DbError::Unsuitable(_)), "{refused}");
        let text = refused.to_string();
        assert!(
            text.contains("search_path of this role is \"nowhere\"") && text.contains("ALTER ROLE"),
            "{text}"
        );
    });
}

#[test]
fn a_step_of_the_start_that_fails_for_a_moment_runs_again_and_one_that_is_refused_does_not() {
    block_on(async {
        let database = open(&fresh_database().await);
        let tries = std::cell::Cell::new(0);
        let failing = async |error: fn() -> DbError| {
            let step = async |_: &Database| {
                tries.set(tries.get() + 1);
                if tries.get() < 3 { Err(error()) } else { Ok(tries.get()) }
            };
            database.patiently(PATIENCE, step).await
        };
        assert_eq!(failing(|| DbError::Silent(Duration::from_secs(5))).await.unwrap(), 3);
        tries.set(0);
        failing(|| DbError::Corrupt("odd".into())).await.unwrap_err();
        assert_eq!(tries.get(), 1);
        tries.set(0);
        let step = async |_: &Database| Err::<(), _>(DbError::Silent(PATIENCE));
        database.patiently(Duration::ZERO, step).await.unwrap_err();
    });
}

#[test]
fn connect_timeout_limits_the_wait_and_the_error_names_the_host() {
    block_on(async {
        let (_, _, rest) = socket_of(&fresh_database().await);
        let silent = SilentHost::start();
        let database = open(&format!("host=127.0.0.1 port={} {rest} connect_timeout=1", silent.port()));
        let error = database.wait_until_ready(Duration::ZERO).await.unwrap_err();
        let expected = format!("no connection to PostgreSQL at 127.0.0.1:{} within 1 s", silent.port());
        assert!(error.to_string().contains(&expected) && error.is_transient(), "{error}");
        let refusing = SilentHost::start().port();
        let database = open(&format!("host=127.0.0.1 port={refusing} {rest}"));
        let error = database.wait_until_ready(Duration::ZERO).await.unwrap_err();
        let expected = format!(
            "no connection to PostgreSQL at 127.0.0.1:{refusing}: Connection refused (start it, or correct \
             --database-url; in a container this address is the container itself)"
        );
        assert_eq!(error.to_string(), expected);
    });
}

#[test]
fn an_address_in_the_connection_string_is_dialled_and_the_name_is_not_looked_up() {
    block_on(async {
        let (directory, port, rest) = socket_of(&fresh_database().await);
        let address = over_tcp(directory.clone(), port).await;
        let hosts = format!("host=no.such.name.invalid hostaddr=127.0.0.1 port={}", address.port());
        open(&format!("{hosts} {rest}")).wait_until_ready(PATIENCE).await.unwrap();
        open(&format!("postgres://{address}/?{}", rest.replace(' ', "&")))
            .wait_until_ready(PATIENCE)
            .await
            .unwrap();
    });
}

#[test]
fn a_host_that_does_not_fit_the_wanted_session_is_skipped() {
    block_on(async {
        let (directory, port, rest) = socket_of(&fresh_database().await);
        let host = format!("host={} port={port} {rest}", directory.display());
        open(&format!("{host} target_session_attrs=read-write")).wait_until_ready(PATIENCE).await.unwrap();
        let error = open(&format!("{host} target_session_attrs=read-only"));
        let error = error.wait_until_ready(Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("the server is read-write"), "{error}");
    });
}
