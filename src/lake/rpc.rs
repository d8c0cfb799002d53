//! Ledgers from Stellar RPC: `getLedgers` gives the metadata of one ledger as base64 of its XDR.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{LakeError, error::shortened, http::HttpLake};

/// Errors of JSON-RPC for a ledger that the server does not have: an invalid request, or invalid parameters.
const OUT_OF_RANGE: [i64; 2] = [-32_600, -32_602];

/// Client of a Stellar RPC.
pub(super) struct RpcClient(HttpLake);

/// Ledgers that a server has.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Health {
    pub(super) latest_ledger: u32,
    pub(super) oldest_ledger: u32,
}

#[derive(Deserialize)]
struct Network {
    passphrase: String,
}

#[derive(Deserialize)]
struct Ledgers {
    ledgers: Vec<LedgerInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LedgerInfo {
    sequence: u32,
    metadata_xdr: String,
}

#[derive(Deserialize)]
struct Reply<T> {
    result: Option<T>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    code: i64,
    #[serde(default)]
    message: String,
}

impl RpcClient {
    pub(super) const fn new(http: HttpLake) -> Self {
        Self(http)
    }

    pub(super) fn shown(&self) -> &str {
        self.0.shown()
    }

    /// Passphrase of the network that the server follows.
    pub(super) async fn passphrase(&self) -> Result<String, LakeError> {
        let network: Network = self.call("getNetwork", Value::Null).await?.map_err(LakeError::from)?;
        Ok(network.passphrase)
    }

    /// Ledgers that the server has.
    pub(super) async fn health(&self) -> Result<Health, LakeError> {
        self.call("getHealth", Value::Null).await?.map_err(LakeError::from)
    }

    /// XDR of the metadata of a ledger. `None` if the server does not have it.
    pub(super) async fn ledger(&self, sequence: u32) -> Result<Option<Bytes>, LakeError> {
        let ledgers = self.ledgers(sequence, sequence).await?;
        Ok(ledgers.into_iter().find(|(found, _)| *found == sequence).map(|(_, bytes)| bytes))
    }

    /// XDR of the metadata of these ledgers, by their numbers. The server may send fewer, and
    /// none if it lacks the first.
    pub(super) async fn ledgers(&self, from: u32, to: u32) -> Result<Vec<(u32, Bytes)>, LakeError> {
        let limit = to.saturating_sub(from).saturating_add(1);
        let params = json!({"startLedger": from, "pagination": {"limit": limit}});
        let ledgers: Ledgers = match self.call("getLedgers", params).await? {
            Ok(ledgers) => ledgers,
            Err(failure) if OUT_OF_RANGE.contains(&failure.code) => return Ok(Vec::new()),
            Err(failure) => return Err(failure.into()),
        };
        let wanted = ledgers.ledgers.into_iter().filter(|ledger| (from..=to).contains(&ledger.sequence));
        Ok(wanted.map(|ledger| (ledger.sequence, ledger.metadata())).collect())
    }

    /// Calls a method. The inner error is one that the server reports.
    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<Result<T, Failure>, LakeError> {
        let mut request = json!({"jsonrpc": "2.0", "id": 1, "method": method});
        if let (false, Some(request)) = (params.is_null(), request.as_object_mut()) {
            request.insert("params".to_owned(), params);
        }
        let answer = self.0.post(&request).await?;
        let reply: Reply<T> = serde_json::from_slice(&answer)
            .map_err(|error| LakeError::Rpc { code: 0, message: shortened(&error.to_string()) })?;
        match (reply.result, reply.error) {
            (Some(result), _) => Ok(Ok(result)),
            (None, Some(failure)) => Ok(Err(failure)),
            (None, None) => {
                Err(LakeError::Rpc { code: 0, message: "neither a result nor an error".to_owned() })
            }
        }
    }
}

impl LedgerInfo {
    /// The metadata. Text that is no base64 is refused later, like an object that cannot be read.
    fn metadata(self) -> Bytes {
        STANDARD.decode(&self.metadata_xdr).unwrap_or_else(|_| self.metadata_xdr.into_bytes()).into()
    }
}

impl From<Failure> for LakeError {
    fn from(failure: Failure) -> Self {
        Self::Rpc { code: failure.code, message: shortened(&failure.message) }
    }
}
