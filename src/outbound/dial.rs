//! Connection to the first address that answers (RFC 8305, "happy eyeballs").

use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::net::TcpStream;

use super::PassedOver;

/// Time before the next address is tried in parallel to the newest attempt (RFC 8305, section 8).
const HEAD_START: Duration = Duration::from_millis(250);
/// Maximum number of addresses of one name to try. With more, a hostile name could make this program scan many hosts.
const ADDRESSES_MAX: usize = 8;

/// Returns the addresses of a name in the order in which to dial them. The families alternate, and addresses that
/// were silent lately come last.
#[must_use]
pub fn dialling_order<K: PartialEq>(
    addresses: Vec<SocketAddr>,
    passed_over: &PassedOver<K>,
    key: impl Fn(&SocketAddr) -> K,
) -> Vec<SocketAddr> {
    passed_over.ordered(interleaved(addresses), key)
}

/// Connects to the first address that answers. Tries them in the given order: the next attempt starts when the one
/// before it fails, or after 250 ms. The caller sets the overall timeout.
///
/// # Errors
///
/// Last failure, with its address, if every attempt failed.
pub async fn dial(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    race(addresses, TcpStream::connect).await
}

async fn race<T, F>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let attempt = |address: SocketAddr| {
        let connecting = connect(address);
        async move {
            connecting.await.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
        }
    };
    let mut waiting = VecDeque::from(addresses);
    waiting.truncate(ADDRESSES_MAX);
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let (has_waiting, is_first) = (!waiting.is_empty(), attempts.is_empty());
        tokio::select! {
            biased;
            Some(outcome) = attempts.next() => match outcome {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    // Start the next attempt at once: a refused connection needs no head start.
                    failure = error;
                    attempts.extend(waiting.pop_front().map(attempt));
                }
            },
            () = head_start(is_first), if has_waiting => {
                attempts.extend(waiting.pop_front().map(attempt));
            }
            else => return Err(failure),
        }
    }
}

/// Delays every attempt but the first.
async fn head_start(is_first: bool) {
    if !is_first {
        tokio::time::sleep(HEAD_START).await;
    }
}

/// Alternates the address families, starting with the family of the first address.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let begins_with_six = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == begins_with_six);
    let mut all = Vec::new();
    while !one.is_empty() || !other.is_empty() {
        all.extend(one.pop_front());
        all.extend(other.pop_front());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn alternates_the_address_families() {
        let given = addresses(&["[2600::1]:1", "[2600::2]:1", "[2600::3]:1", "1.1.1.1:1", "1.1.1.2:1"]);
        let order = addresses(&["[2600::1]:1", "1.1.1.1:1", "[2600::2]:1", "1.1.1.2:1", "[2600::3]:1"]);
        assert_eq!(interleaved(given), order);
        assert!(interleaved(Vec::new()).is_empty());
    }

    #[test]
    fn a_silent_address_comes_last_whatever_its_family_is() {
        let passed_over = PassedOver::default();
        let [six, others] = [addresses(&["[2600::1]:1"]), addresses(&["1.1.1.1:1", "1.1.1.2:1"])];
        let given = || [six.clone(), others.clone()].concat();
        let order =
            |passed_over: &PassedOver<SocketAddr>| dialling_order(given(), passed_over, |address| *address);
        assert_eq!(order(&passed_over), given());
        passed_over.was_silent(six[0]);
        assert_eq!(order(&passed_over), [others.clone(), six.clone()].concat());
    }

    #[tokio::test]
    async fn addresses_are_tried_in_the_given_order() {
        let given = addresses(&["1.1.1.1:1", "1.1.1.2:1", "[2600::1]:1"]);
        let tried = std::cell::RefCell::new(Vec::new());
        let failed = race(given.clone(), |address| {
            tried.borrow_mut().push(address);
            async { Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused)) }
        });
        assert!(failed.await.is_err());
        assert_eq!(tried.into_inner(), given);
    }

    #[tokio::test(start_paused = true)]
    async fn reaches_a_working_address_after_silent_ones() {
        let living: SocketAddr = "1.1.1.3:1".parse().unwrap();
        let given = addresses(&["[2600::1]:1", "[2600::2]:1", "1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1"]);
        let begun = tokio::time::Instant::now();
        let connected = race(given, |address| async move {
            if address != living {
                std::future::pending::<()>().await;
            }
            Ok(address)
        });
        assert_eq!(connected.await.unwrap(), living);
        assert_eq!(
            begun.elapsed().as_millis(),
            4 * HEAD_START.as_millis(),
            "each attempt had its head start only"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_connection_costs_no_time_and_a_slow_one_may_win() {
        let given = addresses(&["1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1"]);
        let begun = tokio::time::Instant::now();
        let connected = race(given, |address| async move {
            match address.ip().to_string().as_str() {
                "1.1.1.1" => return Err(io::ErrorKind::ConnectionRefused.into()),
                "1.1.1.2" => tokio::time::sleep(2 * HEAD_START).await,
                _ => std::future::pending().await,
            }
            Ok(address)
        });
        assert_eq!(connected.await.unwrap(), "1.1.1.2:1".parse().unwrap());
        assert_eq!(begun.elapsed(), 2 * HEAD_START);
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_names_the_last_address_and_attempts_are_limited() {
        let given = (0..100).map(|last| SocketAddr::from(([1, 1, 1, last], 1))).collect();
        let tried = std::cell::Cell::new(0);
        let failed = race(given, |_| {
            tried.set(tried.get() + 1);
            async { Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused)) }
        });
        let error = failed.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(error.to_string().starts_with("1.1.1.7:1: "), "{error}");
        assert_eq!(tried.get(), ADDRESSES_MAX);
        assert!(race(Vec::new(), |_| async { Ok(()) }).await.is_err(), "a name without addresses");
    }
}
