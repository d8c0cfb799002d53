//! Look into ledger metadata: what the decoder sees in a file.

use std::{
    fs::File,
    io::{self, BufWriter, Read as _, Write},
    path::Path,
};

use ledger_metadata::{Ledger, LedgerError, MAX_DECOMPRESSED, Network, Verification, read_object};

use super::{CommandError, output};
use crate::domain::conversions::SaturatingFrom;

/// Prints the trades of a file as NDJSON. A ledger that fails its hashes prints nothing and is named in the error.
pub(super) fn trades(file: &Path, passphrase: &str) -> Result<u8, CommandError> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let bytes = read(file).map_err(|error| CommandError::Configuration(named(&error)))?;
    let ledgers = read_object(&bytes, Network::of(passphrase), Verification::Full)
        .map_err(|error| CommandError::Found(named(&error)))?;
    let mut refused = Vec::new();
    output::printed(
        print(&ledgers, BufWriter::new(io::stdout().lock())).map(|of_ledgers| refused = of_ledgers),
    )?;
    if refused.is_empty() { Ok(0) } else { Err(CommandError::Found(named(&refused.join("; ")))) }
}

/// Reads a file that is not larger than its ledgers may be.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::saturating_from(MAX_DECOMPRESSED);
    let mut bytes = Vec::new();
    File::open(file)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_DECOMPRESSED {
        return Err(io::Error::other(format!("it is larger than {MAX_DECOMPRESSED} bytes")));
    }
    Ok(bytes)
}

/// Prints the trades of all ledgers that can be believed, and returns what is wrong with the others.
fn print(ledgers: &[Result<Ledger, LedgerError>], mut out: impl Write) -> io::Result<Vec<String>> {
    let mut refused = Vec::new();
    for ledger in ledgers {
        match ledger {
            Ok(ledger) => {
                for trade in &ledger.trades {
                    serde_json::to_writer(&mut out, trade)?;
                    out.write_all(b"\n")?;
                }
            }
            Err(error) => refused.push(error.to_string()),
        }
    }
    out.flush()?;
    Ok(refused)
}
