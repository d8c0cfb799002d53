//! Lengths of diagnostic events, without decoding them.
//!
//! The network limits no diagnostic event: a contract may be called with megabytes of arguments, and its metadata then
//! holds them as values, which take up to 45 times their bytes once decoded. The types are those of
//! `Stellar-contract.x`.

use crate::walk::Walk;

/// Bytes of a hash, a key or an id.
const HASH: usize = 32;

/// Number of bytes of the `DiagnosticEvent` at the beginning of `bytes`. `None` for one that this version does not
/// know, or that is not whole: then it must be decoded.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let mut walk = Walk(bytes);
    walk.pass(4)?; // whether the call succeeded
    walk.is(0)?; // extension
    match walk.number()? {
        0 => {}
        1 => walk.pass(HASH)?, // contract
        _ => return None,
    }
    walk.pass(4)?; // type
    walk.is(0)?; // version of the body
    let topics = walk.number()?;
    walk.values(u64::from(topics).checked_add(1)?)?; // and the data
    bytes.len().checked_sub(walk.0.len())
}

impl Walk<'_> {
    fn is(&mut self, expected: u32) -> Option<()> {
        (self.number()? == expected).then_some(())
    }

    /// Passes this many `ScVal`s, and those within them. All stand in one row, so nesting costs nothing.
    fn values(&mut self, count: u64) -> Option<()> {
        let mut left = count;
        while left > 0 {
            left = left.checked_sub(1)?.checked_add(self.value()?)?;
        }
        Some(())
    }

    /// Passes an `ScVal`, and returns the number of values within it, which come next.
    fn value(&mut self) -> Option<u64> {
        match self.number()? {
            1 | 20 => {}                     // nothing more than the type
            0 | 3 | 4 => self.pass(4)?,      // a truth value, or 32 bits
            2 | 5..=8 | 21 => self.pass(8)?, // an error, or 64 bits
            9 | 10 => self.pass(16)?,
            11 | 12 => self.pass(32)?,
            13..=15 => self.opaque()?,
            16 => return self.optional_list(1), // a list
            17 => return self.optional_list(2), // a map of keys and values
            18 => self.address()?,
            19 => {
                self.executable()?;
                return self.optional_list(2); // what the instance stores
            }
            _ => return None,
        }
        Some(0)
    }

    /// Passes the length of a list that may be absent, and returns the number of values in it.
    fn optional_list(&mut self, values_each: u64) -> Option<u64> {
        match self.number()? {
            0 => Some(0),
            1 => u64::from(self.number()?).checked_mul(values_each),
            _ => None,
        }
    }

    fn address(&mut self) -> Option<()> {
        match self.number()? {
            0 | 3 => self.pass(4 + HASH), // an account or a claimable balance, with the type of its key
            1 | 4 => self.pass(HASH),     // a contract or a pool
            2 => self.pass(8 + HASH),     // a muxed account
            _ => None,
        }
    }

    fn executable(&mut self) -> Option<()> {
        match self.number()? {
            0 => self.pass(HASH), // code
            1 => Some(()),        // an asset
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use stellar_xdr::{self as xdr, Limits, ScVal, WriteXdr};

    use super::*;

    fn event(topics: Vec<ScVal>, data: ScVal, contract_id: Option<xdr::ContractId>) -> Vec<u8> {
        let body = xdr::ContractEventV0 { topics: topics.try_into().unwrap(), data };
        let event = xdr::ContractEvent {
            ext: xdr::ExtensionPoint::V0,
            contract_id,
            type_: xdr::ContractEventType::Diagnostic,
            body: xdr::ContractEventBody::V0(body),
        };
        let event = xdr::DiagnosticEvent { in_successful_contract_call: false, event };
        event.to_xdr(Limits::none()).unwrap()
    }

    fn addresses() -> [ScVal; 5] {
        let (hash, key) = (xdr::Hash([7; 32]), xdr::Uint256([8; 32]));
        let muxed = xdr::MuxedEd25519Account { id: 9, ed25519: key.clone() };
        let account = xdr::AccountId(xdr::PublicKey::PublicKeyTypeEd25519(key));
        [
            xdr::ScAddress::Account(account),
            xdr::ScAddress::Contract(xdr::ContractId(hash.clone())),
            xdr::ScAddress::MuxedAccount(muxed),
            xdr::ScAddress::ClaimableBalance(xdr::ClaimableBalanceId::ClaimableBalanceIdTypeV0(hash.clone())),
            xdr::ScAddress::LiquidityPool(xdr::PoolId(hash)),
        ]
        .map(ScVal::Address)
    }

    /// A value of each kind, and lists and maps of them.
    fn values() -> Vec<ScVal> {
        let parts = xdr::UInt128Parts { hi: 1, lo: 2 };
        let wide = xdr::UInt256Parts { hi_hi: 1, hi_lo: 2, lo_hi: 3, lo_lo: 4 };
        let mut values = vec![
            ScVal::Bool(true),
            ScVal::Void,
            ScVal::Error(xdr::ScError::Contract(5)),
            ScVal::Error(xdr::ScError::Budget(xdr::ScErrorCode::ExceededLimit)),
            ScVal::U32(1),
            ScVal::I32(-1),
            ScVal::U64(1),
            ScVal::I64(-1),
            ScVal::Timepoint(xdr::TimePoint(1)),
            ScVal::Duration(xdr::Duration(1)),
            ScVal::U128(parts),
            ScVal::U256(wide),
            ScVal::Bytes(vec![1; 5].try_into().unwrap()),
            ScVal::String(xdr::ScString("texts".try_into().unwrap())),
            ScVal::Symbol(xdr::ScSymbol("transfer".try_into().unwrap())),
            ScVal::Vec(None),
            ScVal::Map(None),
            ScVal::LedgerKeyContractInstance,
            ScVal::LedgerKeyNonce(xdr::ScNonceKey { nonce: 3 }),
        ];
        values.extend(addresses());
        let entries = values.iter().map(|value| xdr::ScMapEntry { key: value.clone(), val: value.clone() });
        let map = xdr::ScMap(entries.collect::<Vec<_>>().try_into().unwrap());
        let code = xdr::ContractExecutable::Wasm(xdr::Hash([7; 32]));
        for executable in [code, xdr::ContractExecutable::StellarAsset] {
            for storage in [None, Some(map.clone())] {
                let executable = executable.clone();
                values.push(ScVal::ContractInstance(xdr::ScContractInstance { executable, storage }));
            }
        }
        values.push(ScVal::Map(Some(map)));
        let list = xdr::ScVec(values.clone().try_into().unwrap());
        values.push(ScVal::Vec(Some(list)));
        values
    }

    #[test]
    fn the_length_is_that_of_the_encoding() {
        let contract = xdr::ContractId(xdr::Hash([1; 32]));
        for value in values() {
            for (topics, contract) in [(vec![], None), (values(), Some(contract.clone()))] {
                let mut bytes = event(topics, value.clone(), contract);
                let whole = bytes.len();
                bytes.extend([0, 0, 0, 1]);
                assert_eq!(length(&bytes), Some(whole), "{value:?}");
                assert_eq!(length(bytes.get(..whole - 1).unwrap()), None, "cut: {value:?}");
            }
        }
    }

    #[test]
    fn a_huge_or_deep_value_is_passed_and_a_lie_is_not() {
        let huge = ScVal::Bytes(vec![1; 3 << 20].try_into().unwrap());
        let bytes = event(vec![], huge, None);
        assert_eq!(length(&bytes), Some(bytes.len()));
        let mut lie = event(vec![], ScVal::Void, None);
        let data = lie.len() - 4;
        lie.truncate(data);
        // A list of 2^32 - 1 values, of which none is there.
        lie.extend([0, 0, 0, 16, 0, 0, 0, 1, 255, 255, 255, 255]);
        assert_eq!(length(&lie), None);
        lie.truncate(data);
        // Lists in lists, deeper than any stack.
        lie.extend([0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 1].repeat(100_000));
        lie.extend([0, 0, 0, 1]);
        assert_eq!(length(&lie), Some(lie.len()));
    }
}
