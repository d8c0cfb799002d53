//! Lengths of common entry changes, without decoding them.
//!
//! Most bytes of a ledger are entry changes of operations that do not trade. Decoding them only to find their end takes
//! half of the time for a ledger. Entries of accounts, trust lines, offers, pools and their like have few variable
//! parts. The types are those of `Stellar-ledger-entries.x`.

use crate::walk::Walk;

/// Bytes of an account, a signer's key or an issuer: its type and 32 bytes.
const KEY: usize = 36;
/// Most signers of an account.
const SIGNERS_MAX: u32 = 20;

/// Number of bytes of the `LedgerEntryChange` at the beginning of `bytes`. `None` for one that is not common, or that
/// may not be whole: then it must be decoded.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let mut walk = Walk(bytes);
    match walk.number()? {
        2 => walk.key()?,
        0 | 1 | 3 | 4 => walk.entry()?,
        _ => return None,
    }
    bytes.len().checked_sub(walk.0.len())
}

impl Walk<'_> {
    fn optional(&mut self, length: usize) -> Option<()> {
        match self.number()? {
            0 => Some(()),
            1 => self.pass(length),
            _ => None,
        }
    }

    /// Extension: 0 for none, or this version of it.
    fn extension(&mut self, version: u32, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        match self.number()? {
            0 => Some(()),
            found if found == version => read(self),
            _ => None,
        }
    }

    fn none(&mut self) -> Option<()> {
        (self.number()? == 0).then_some(())
    }

    fn asset(&mut self) -> Option<()> {
        match self.number()? {
            0 => Some(()),
            1 => self.pass(4 + KEY),
            2 => self.pass(12 + KEY),
            _ => None,
        }
    }

    /// Asset of a trust line, which may be the share of a pool.
    fn trusted_asset(&mut self) -> Option<()> {
        match self.0.first_chunk()? {
            [0, 0, 0, 3] => self.pass(4 + 32),
            _ => self.asset(),
        }
    }

    fn entry(&mut self) -> Option<()> {
        self.pass(4)?; // ledger of the last change
        match self.number()? {
            0 => self.account()?,
            1 => self.trust_line()?,
            2 => self.offer()?,
            5 => self.pool()?,
            9 => self.pass(32 + 4)?, // time to live
            _ => return None,
        }
        self.extension(1, |walk| {
            walk.optional(KEY)?; // sponsor
            walk.none()
        })
    }

    fn key(&mut self) -> Option<()> {
        match self.number()? {
            0 => self.pass(KEY),
            1 => {
                self.pass(KEY)?;
                self.trusted_asset()
            }
            2 => self.pass(KEY + 8),
            4 => self.pass(4 + 32), // claimable balance
            5 | 9 => self.pass(32), // pool, time to live
            _ => None,
        }
    }

    fn account(&mut self) -> Option<()> {
        self.pass(KEY + 8 + 8 + 4)?; // id, balance, sequence number, number of entries
        self.optional(KEY)?; // destination of inflation
        self.pass(4)?; // flags
        self.opaque()?; // home domain
        self.pass(4)?; // thresholds
        let signers = self.number().filter(|signers| *signers <= SIGNERS_MAX)?;
        for _ in 0..signers {
            match self.number()? {
                0..=2 => self.pass(32)?,
                3 => {
                    self.pass(32)?;
                    self.opaque()?;
                }
                _ => return None,
            }
            self.pass(4)?; // weight
        }
        self.extension(1, |walk| {
            walk.pass(16)?; // liabilities
            walk.extension(2, |walk| {
                walk.pass(8)?; // numbers of sponsored and sponsoring entries
                let sponsors = walk.number().filter(|sponsors| *sponsors <= SIGNERS_MAX)?;
                (0..sponsors).try_for_each(|_| walk.optional(KEY))?;
                walk.extension(3, |walk| {
                    walk.none()?;
                    walk.pass(4 + 8) // ledger and time of the sequence number
                })
            })
        })
    }

    fn trust_line(&mut self) -> Option<()> {
        self.pass(KEY)?;
        self.trusted_asset()?;
        self.pass(8 + 8 + 4)?; // balance, limit, flags
        self.extension(1, |walk| {
            walk.pass(16)?; // liabilities
            walk.extension(2, |walk| {
                walk.pass(4)?; // uses by pools
                walk.none()
            })
        })
    }

    fn offer(&mut self) -> Option<()> {
        self.pass(KEY + 8)?; // seller, id
        self.asset()?;
        self.asset()?;
        self.pass(8 + 8 + 4)?; // amount, price, flags
        self.none()
    }

    fn pool(&mut self) -> Option<()> {
        self.pass(32)?;
        self.none()?; // type: constant product
        self.asset()?;
        self.asset()?;
        self.pass(4 + 4 * 8) // fee, reserves, shares, their holders
    }
}

#[cfg(test)]
mod tests {
    use stellar_xdr::{self as xdr, Limits, ReadXdr as _, WriteXdr as _};

    use super::*;

    fn account_id(byte: u8) -> xdr::AccountId {
        xdr::AccountId(xdr::PublicKey::PublicKeyTypeEd25519(xdr::Uint256([byte; 32])))
    }

    fn assets() -> [xdr::Asset; 3] {
        let issuer = account_id(3);
        [
            xdr::Asset::Native,
            xdr::Asset::CreditAlphanum4(xdr::AlphaNum4 {
                asset_code: xdr::AssetCode4(*b"USD\0"),
                issuer: issuer.clone(),
            }),
            xdr::Asset::CreditAlphanum12(xdr::AlphaNum12 { asset_code: xdr::AssetCode12([7; 12]), issuer }),
        ]
    }

    fn accounts() -> Vec<xdr::LedgerEntryData> {
        let liabilities = xdr::Liabilities { buying: 1, selling: 2 };
        let third = xdr::AccountEntryExtensionV3 {
            ext: xdr::ExtensionPoint::V0,
            seq_ledger: 5,
            seq_time: xdr::TimePoint(6),
        };
        let second = |ext| xdr::AccountEntryExtensionV2 {
            num_sponsored: 1,
            num_sponsoring: 2,
            signer_sponsoring_i_ds: vec![
                xdr::SponsorshipDescriptor(None),
                xdr::SponsorshipDescriptor(Some(account_id(4))),
            ]
            .try_into()
            .unwrap(),
            ext,
        };
        let first = |ext| {
            xdr::AccountEntryExt::V1(xdr::AccountEntryExtensionV1 { liabilities: liabilities.clone(), ext })
        };
        let exts = [
            xdr::AccountEntryExt::V0,
            first(xdr::AccountEntryExtensionV1Ext::V0),
            first(xdr::AccountEntryExtensionV1Ext::V2(second(xdr::AccountEntryExtensionV2Ext::V0))),
            first(xdr::AccountEntryExtensionV1Ext::V2(second(xdr::AccountEntryExtensionV2Ext::V3(third)))),
        ];
        let payload = xdr::SignerKeyEd25519SignedPayload {
            ed25519: xdr::Uint256([1; 32]),
            payload: vec![9; 5].try_into().unwrap(),
        };
        let keys = [
            xdr::SignerKey::Ed25519(xdr::Uint256([1; 32])),
            xdr::SignerKey::PreAuthTx(xdr::Uint256([2; 32])),
            xdr::SignerKey::HashX(xdr::Uint256([3; 32])),
            xdr::SignerKey::Ed25519SignedPayload(payload),
        ];
        let with = |ext| {
            let signers: Vec<_> =
                keys.iter().map(|key| xdr::Signer { key: key.clone(), weight: 1 }).collect();
            xdr::LedgerEntryData::Account(xdr::AccountEntry {
                account_id: account_id(1),
                balance: 1,
                seq_num: xdr::SequenceNumber(2),
                num_sub_entries: 3,
                inflation_dest: Some(account_id(2)),
                flags: 0,
                home_domain: xdr::String32("a.org".try_into().unwrap()),
                thresholds: xdr::Thresholds([1; 4]),
                signers: signers.try_into().unwrap(),
                ext,
            })
        };
        exts.into_iter().map(with).collect()
    }

    fn trust_lines() -> Vec<xdr::LedgerEntryData> {
        let [_, four, twelve] = assets();
        let (xdr::Asset::CreditAlphanum4(four), xdr::Asset::CreditAlphanum12(twelve)) = (four, twelve) else {
            panic!()
        };
        let liabilities = xdr::Liabilities { buying: 1, selling: 2 };
        let second = xdr::TrustLineEntryExtensionV2 {
            liquidity_pool_use_count: 1,
            ext: xdr::TrustLineEntryExtensionV2Ext::V0,
        };
        let first =
            |ext| xdr::TrustLineEntryExt::V1(xdr::TrustLineEntryV1 { liabilities: liabilities.clone(), ext });
        let exts = [
            xdr::TrustLineEntryExt::V0,
            first(xdr::TrustLineEntryV1Ext::V0),
            first(xdr::TrustLineEntryV1Ext::V2(second)),
        ];
        let assets = [
            xdr::TrustLineAsset::CreditAlphanum4(four),
            xdr::TrustLineAsset::CreditAlphanum12(twelve),
            xdr::TrustLineAsset::PoolShare(xdr::PoolId(xdr::Hash([5; 32]))),
        ];
        let with = |(ext, asset)| {
            xdr::LedgerEntryData::Trustline(xdr::TrustLineEntry {
                account_id: account_id(1),
                asset,
                balance: 1,
                limit: 2,
                flags: 1,
                ext,
            })
        };
        exts.into_iter().zip(assets).map(with).collect()
    }

    fn others() -> Vec<xdr::LedgerEntryData> {
        let [native, four, twelve] = assets();
        let offer = xdr::LedgerEntryData::Offer(xdr::OfferEntry {
            seller_id: account_id(1),
            offer_id: 5,
            selling: native.clone(),
            buying: twelve.clone(),
            amount: 1,
            price: xdr::Price { n: 1, d: 2 },
            flags: 0,
            ext: xdr::OfferEntryExt::V0,
        });
        let pool = xdr::LiquidityPoolEntryConstantProduct {
            params: xdr::LiquidityPoolConstantProductParameters { asset_a: native, asset_b: four, fee: 30 },
            reserve_a: 1,
            reserve_b: 2,
            total_pool_shares: 3,
            pool_shares_trust_line_count: 4,
        };
        let pool = xdr::LedgerEntryData::LiquidityPool(xdr::LiquidityPoolEntry {
            liquidity_pool_id: xdr::PoolId(xdr::Hash([5; 32])),
            body: xdr::LiquidityPoolEntryBody::LiquidityPoolConstantProduct(pool),
        });
        let ttl = xdr::LedgerEntryData::Ttl(xdr::TtlEntry {
            key_hash: xdr::Hash([1; 32]),
            live_until_ledger_seq: 9,
        });
        vec![offer, pool, ttl]
    }

    /// Changes of all kinds of common entries, with and without a sponsor.
    fn changes() -> Vec<xdr::LedgerEntryChange> {
        let sponsored = xdr::LedgerEntryExt::V1(xdr::LedgerEntryExtensionV1 {
            sponsoring_id: xdr::SponsorshipDescriptor(Some(account_id(8))),
            ext: xdr::LedgerEntryExtensionV1Ext::V0,
        });
        let exts = [xdr::LedgerEntryExt::V0, sponsored];
        let data = [accounts(), trust_lines(), others()].concat();
        let mut changes = Vec::new();
        for (data, ext) in data.iter().flat_map(|data| exts.iter().map(move |ext| (data, ext))) {
            let entry =
                xdr::LedgerEntry { last_modified_ledger_seq: 7, data: data.clone(), ext: ext.clone() };
            changes.extend([
                xdr::LedgerEntryChange::Created(entry.clone()),
                xdr::LedgerEntryChange::Updated(entry.clone()),
                xdr::LedgerEntryChange::State(entry.clone()),
                xdr::LedgerEntryChange::Restored(entry.clone()),
                xdr::LedgerEntryChange::Removed(entry.to_key()),
            ]);
        }
        changes
    }

    #[test]
    fn a_common_change_is_as_long_as_its_encoding_and_a_cut_one_is_not_judged() {
        let changes = changes();
        assert!(changes.len() >= 100);
        for change in changes {
            let mut bytes = change.to_xdr(Limits::none()).unwrap();
            let whole = bytes.len();
            for cut in 0..whole {
                assert_eq!(length(&bytes[..cut]), None, "{change:?}");
            }
            bytes.extend([0xff; 9]);
            assert_eq!(length(&bytes), Some(whole), "{change:?}");
        }
    }

    #[test]
    fn a_changed_byte_never_leads_beyond_what_decoding_accepts() {
        for change in changes() {
            let bytes = change.to_xdr(Limits::none()).unwrap();
            for place in 0..bytes.len() {
                let mut bytes = bytes.clone();
                bytes[place] ^= 0x41;
                let decoded = xdr::LedgerEntryChange::from_xdr(&bytes, Limits::none());
                if let (Some(length), Ok(decoded)) = (length(&bytes), decoded) {
                    assert_eq!(length, decoded.to_xdr(Limits::none()).unwrap().len());
                }
            }
        }
    }

    #[test]
    fn other_entries_are_decoded() {
        let data = xdr::LedgerEntryData::Data(xdr::DataEntry {
            account_id: account_id(1),
            data_name: xdr::String64("a".try_into().unwrap()),
            data_value: xdr::DataValue(vec![1].try_into().unwrap()),
            ext: xdr::DataEntryExt::V0,
        });
        let entry = xdr::LedgerEntry { last_modified_ledger_seq: 7, data, ext: xdr::LedgerEntryExt::V0 };
        let bytes = xdr::LedgerEntryChange::State(entry).to_xdr(Limits::none()).unwrap();
        assert_eq!(length(&bytes), None);
    }
}
