//! Assets, accounts and pools of the simulated network.

pub(crate) mod entries;
mod toml_files;

use super::model::TomlReply;
use super::num::{hash3, high, low, mix, noise, unit};
use entries::{ENTRIES, Entry, File};
use std::collections::HashMap;
use stellar_strkey::{Contract, ed25519::PublicKey};

/// Number of trading accounts.
const ACCOUNTS: u64 = 500;

/// Asset, with everything that the endpoints report of it.
#[derive(Debug, Clone)]
pub(crate) struct Asset {
    pub(crate) code: String,
    /// Address of the issuer, or `native` for XLM.
    pub(crate) issuer: String,
    /// Horizon's `asset_type`.
    pub(crate) kind: &'static str,
    /// Middle of the price, in dollars.
    usd: f64,
    /// Seed of the price's noise.
    seed: u64,
    /// Relative size of the price's long waves.
    swing: f64,
    /// Home domain: free text, as the issuer set it.
    pub(crate) home_domain: String,
    pub(crate) holders: u32,
    /// Supply of authorised accounts, in stroops.
    pub(crate) supply: i64,
    pub(crate) contract: String,
    /// Flags, bit 0 to 3: required, revocable, immutable, clawback.
    pub(crate) flags: u32,
}

impl Asset {
    /// Key, `native` or `CODE:ISSUER`.
    pub(crate) fn key(&self) -> String {
        if self.kind == "native" { "native".to_owned() } else { format!("{}:{}", self.code, self.issuer) }
    }

    /// Price in dollars at a ledger. Every market uses the same price of an asset, so triangles of markets are
    /// consistent.
    pub(crate) fn usd_at(&self, ledger: u32) -> f64 {
        let long = self.swing * noise(self.seed, ledger, 40_000);
        let middle = self.swing * 0.3 * noise(self.seed, ledger, 3_000);
        let short = self.swing * 0.05 * noise(self.seed, ledger, 150);
        self.usd * (1.0 + long + middle + short)
    }
}

/// All assets: XLM first, then by weight in trading.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) assets: Vec<Asset>,
    /// Indices of issued assets, in the order of `/assets`.
    pub(crate) listed: Vec<usize>,
    pub(crate) tomls: HashMap<String, TomlReply>,
    pub(crate) accounts: Vec<String>,
}

impl Catalog {
    /// Creates the named assets and `extra` generated ones.
    pub(crate) fn new(seed: u64, extra: usize) -> Self {
        let mut assets: Vec<Asset> = ENTRIES.iter().map(|entry| named(seed, entry)).collect();
        let mut files: Vec<File> = ENTRIES.iter().map(|entry| entry.file).collect();
        for number in (0u64..).take(extra) {
            assets.push(made_up(seed, number));
            files.push(File::Plain);
        }
        let mut listed: Vec<usize> = (1..assets.len()).collect();
        let key = |i: &usize| assets.get(*i).map(|a| (a.code.clone(), a.issuer.clone(), a.kind));
        listed.sort_by_key(key);
        let tomls = toml_files::all(&assets, &files);
        let accounts = (0..ACCOUNTS).map(|n| address(seed, 0x6163_6374, n)).collect();
        Self { assets, listed, tomls, accounts }
    }
}

/// Pseudorandom 32 bytes, determined by the three numbers.
fn bytes(seed: u64, tag: u64, number: u64) -> [u8; 32] {
    let mut out = [0; 32];
    for (lane, chunk) in (0u64..).zip(out.chunks_exact_mut(8)) {
        chunk.copy_from_slice(&hash3(seed ^ mix(lane), tag, number).to_le_bytes());
    }
    out
}

/// Account address with a valid checksum.
fn address(seed: u64, tag: u64, number: u64) -> String {
    PublicKey(bytes(seed, tag, number)).to_string().as_str().to_owned()
}

fn asset_kind(code: &str) -> &'static str {
    if code.len() <= 4 { "credit_alphanum4" } else { "credit_alphanum12" }
}

fn named(seed: u64, entry: &Entry) -> Asset {
    let (code, number) = (entry.code, u64::from(entry.variant));
    let tag = code.bytes().fold(0x6e61_6d65, |sum: u64, byte| mix(sum ^ u64::from(byte)));
    let native = entry.issuer == Some("native");
    Asset {
        code: code.to_owned(),
        issuer: entry.issuer.map_or_else(|| address(seed, tag, number), str::to_owned),
        kind: if native { "native" } else { asset_kind(code) },
        usd: entry.usd,
        seed: hash3(seed, tag, number),
        swing: entry.swing,
        home_domain: entry.domain.to_owned(),
        holders: entry.holders,
        supply: entry.supply,
        contract: Contract(bytes(seed, tag ^ 1, number)).to_string().as_str().to_owned(),
        flags: low(hash3(seed, tag, number ^ 7)) & 3,
    }
}

fn made_up(seed: u64, number: u64) -> Asset {
    let tag = 0x6d61_6465;
    let hash = hash3(seed, tag, number);
    // Codes of 1 to 12 characters, unique by number: a number in base 16, padded to a random length.
    let mut code = format!("{number:X}");
    let wanted = 1 + usize::try_from(high(hash) % 12).unwrap_or(0);
    while code.len() < wanted {
        code.push('Z');
    }
    code.truncate(12);
    Asset {
        kind: asset_kind(&code),
        issuer: address(seed, tag, number),
        code,
        // Dollar prices of 1e-5 to 1e3, uniform by magnitude.
        usd: 10f64.powi(i32::try_from(low(hash) % 9).unwrap_or(0) - 5) * (1.0 + unit(mix(hash))),
        seed: hash,
        swing: 0.4,
        // Four issuers share a domain, as in families of tokens.
        home_domain: format!("family{}.example", number / 4),
        holders: 10 + low(mix(hash ^ 3)) % 3000,
        supply: 1_000_000_000_000 + i64::from(low(mix(hash ^ 4))) * 10_000,
        contract: Contract(bytes(seed, tag ^ 1, number)).to_string().as_str().to_owned(),
        flags: low(mix(hash ^ 5)) & 3,
    }
}
