//! Transactions as a ledger applied them: results, and the entry changes that tell prices. All versions of
//! `TransactionMeta` look alike.

use stellar_xdr::{self as xdr, Error::Invalid};

use crate::{claims, reader::Reader};

/// Transaction that a ledger applied.
pub(crate) struct Applied {
    /// Hash and result.
    pub(crate) pair: xdr::TransactionResultPair,
    /// Entry changes of each operation. Those of operations without claims are left out: nothing there, like in a
    /// version 0, which is older than any ledger that is served today and which Horizon refuses.
    changes: Vec<Vec<xdr::LedgerEntryChange>>,
}

impl Applied {
    /// Reads a `TransactionResultMeta`, or a `TransactionResultMetaV1` if `is_second`. Returns also the bytes of the pair.
    pub(crate) fn read<'a>(reader: &mut Reader<'a>, is_second: bool) -> Result<(Self, &'a [u8]), xdr::Error> {
        if is_second {
            reader.skip::<xdr::ExtensionPoint>()?;
        }
        let (pair, bytes) = reader.with_bytes(Reader::read::<xdr::TransactionResultPair>)?;
        reader.skip_changes()?; // fees
        let results = operation_results(&pair.result).unwrap_or_default();
        let has_claims =
            |index: usize| results.get(index).is_some_and(|result| !claims::of_operation(result).is_empty());
        let changes = operation_changes(reader, has_claims)?;
        if is_second {
            reader.skip_changes()?; // fees after the transaction
        }
        Ok((Self { pair, changes }, bytes))
    }

    /// Results of the operations, or `None` if the transaction failed.
    pub(crate) fn results(&self) -> Option<&[xdr::OperationResult]> {
        operation_results(&self.pair.result)
    }

    /// Entry changes of an operation that has claims.
    pub(crate) fn changes_of(&self, operation: usize) -> &[xdr::LedgerEntryChange] {
        self.changes.get(operation).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Reads a `TransactionMeta`, and returns the entry changes of the wanted operations.
fn operation_changes(
    reader: &mut Reader<'_>,
    is_wanted: impl Fn(usize) -> bool,
) -> Result<Vec<Vec<xdr::LedgerEntryChange>>, xdr::Error> {
    let version = reader.read::<u32>()?;
    if version == 0 {
        return reader.skip_list::<xdr::OperationMeta>().map(|()| Vec::new());
    }
    if version > 4 {
        return Err(Invalid);
    }
    if version >= 3 {
        reader.skip::<xdr::ExtensionPoint>()?;
    }
    reader.skip_changes()?; // before the operations
    let mut all = Vec::new();
    reader.each(|reader| {
        if version == 4 {
            reader.skip::<xdr::ExtensionPoint>()?;
        }
        let mut changes = Vec::new();
        if is_wanted(all.len()) {
            reader.each(|reader| reader.read().map(|change| changes.push(change)))?;
        } else {
            reader.skip_changes()?;
        }
        if version == 4 {
            reader.skip_list::<xdr::ContractEvent>()?;
        }
        all.push(changes);
        Ok(())
    })?;
    if version >= 2 {
        reader.skip_changes()?; // after the operations
    }
    match version {
        3 => reader.skip::<Option<xdr::SorobanTransactionMeta>>()?,
        4 => {
            reader.skip::<Option<xdr::SorobanTransactionMetaV2>>()?;
            reader.skip_list::<xdr::TransactionEvent>()?;
            reader.skip_list::<xdr::DiagnosticEvent>()?;
        }
        _ => {}
    }
    Ok(all)
}

fn operation_results(result: &xdr::TransactionResult) -> Option<&[xdr::OperationResult]> {
    match &result.result {
        xdr::TransactionResultResult::TxSuccess(results) => Some(results.as_slice()),
        xdr::TransactionResultResult::TxFeeBumpInnerSuccess(inner) => match &inner.result.result {
            xdr::InnerTransactionResultResult::TxSuccess(results) => Some(results.as_slice()),
            _ => None,
        },
        _ => None,
    }
}
