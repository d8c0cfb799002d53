//! The metrics of requests.

use crate::support::daemon::Daemon;

pub(super) fn requests_with_contract_ids_count_under_their_own_paths(daemon: &Daemon) {
    for path in [
        "/api/v1/contract/coingecko/historical_trades",
        "/api/v1/contract/coinmarketcap/trades/{name}",
        "/api/v1/contract/coinmarketcap/orderbook/{name}",
    ] {
        let refused = daemon.get(&path.replace("{name}", "none")).status;
        assert!((400..500).contains(&refused), "{path}: {refused}");
        let series = format!("ticker_http_requests_total{{path=\"{path}\",status=\"{refused}\"}} 1");
        let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
        assert!(metrics.lines().any(|line| line == series), "no {series}");
    }
}
