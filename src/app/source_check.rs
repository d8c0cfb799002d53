//! The check at start that Horizon, the lake and RPC have the configured network.

use std::time::Duration;

use tracing::warn;

use super::CommandError;
use crate::{
    actors::services::{
        Services, history_address, horizon_settings, lake_settings, live_address, reread_address,
    },
    domain::shown_url::shown_url,
    horizon::HorizonClient,
    lake::{Lake, LakeAddress, LakeError},
};

/// Time limit for Horizon's root at start. An unreachable Horizon must not delay the start for long.
const NETWORK_CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers in a row that refuse a lake. A proxy may give a page of its own for a moment.
const REFUSALS: u32 = 3;
/// Pause between them.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

/// Checks that Horizon serves the configured network. An unreachable Horizon passes: the network is checked again
/// before each stream.
pub(super) async fn check_network(services: &Services) -> Result<(), CommandError> {
    let config = &services.config;
    let client = HorizonClient::new(horizon_settings(config), services.limiter.clone())
        .map_err(|error| CommandError::Configuration(error.to_string()))?;
    match tokio::time::timeout(NETWORK_CHECK_TIMEOUT, client.root()).await {
        Ok(Ok(root)) if root.network_passphrase != config.network_passphrase => {
            Err(CommandError::Configuration(format!(
                "{} serves the network {:?}, not {:?}",
                shown_url(&config.horizon_url),
                root.shown_passphrase(),
                config.network_passphrase
            )))
        }
        Ok(Ok(_)) => Ok(()),
        // The client has logged the error.
        Ok(Err(_)) => Ok(()),
        Err(_) => {
            let url = shown_url(&config.horizon_url);
            warn!(
                url,
                waited_s = NETWORK_CHECK_TIMEOUT.as_secs(),
                "Horizon did not report its network in time, it is checked again before trades are stored"
            );
            Ok(())
        }
    }
}

/// Checks that the lake and RPC can be read and have the configured network. One that does not answer passes: its
/// manifest, or its network, is read before anything else of it.
pub(super) async fn check_lake(services: &Services) -> Result<(), CommandError> {
    let config = &services.config;
    let mut addresses: Vec<LakeAddress> = Vec::new();
    for address in
        [history_address(config), reread_address(config), live_address(config)].into_iter().flatten()
    {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    for address in addresses {
        let flag = match &address {
            LakeAddress::Lake(_) => "--lake-url",
            LakeAddress::Rpc(_) => "--rpc-url",
        };
        let refused = |error: &LakeError| CommandError::Configuration(format!("{flag}: {error}"));
        let lake = Lake::new(&lake_settings(config, address)).map_err(|error| refused(&error))?;
        match tokio::time::timeout(NETWORK_CHECK_TIMEOUT, confirmed_manifest(&lake)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is_of_configuration() => return Err(refused(&error)),
            Ok(Err(error)) => {
                warn!(url = lake.shown(), %error, "lake cannot be read, starting without it and retrying");
            }
            Err(_) => {
                let waited_s = NETWORK_CHECK_TIMEOUT.as_secs();
                warn!(
                    url = lake.shown(),
                    waited_s, "lake did not answer in time, it is read again when it answers"
                );
            }
        }
    }
    Ok(())
}

/// Reads the manifest. A reason to refuse the lake counts only if it is there again.
async fn confirmed_manifest(lake: &Lake) -> Result<(), LakeError> {
    for _ in 1..REFUSALS {
        match lake.manifest().await {
            Err(error) if error.is_of_configuration() => tokio::time::sleep(REFUSAL_PAUSE).await,
            answer => return answer.map(drop),
        }
    }
    lake.manifest().await.map(drop)
}
