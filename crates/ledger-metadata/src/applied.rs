//! Transactions as a ledger applied them: results, and the entry changes that show prices. All versions of
//! `TransactionMeta` look alike.

use stellar_xdr::{self as xdr, Error::Invalid, Error::LengthExceedsMax, TransactionResultCode as Code};

use crate::{
    claims,
    limits::{OPERATIONS_MAX, RESULT_MAX},
    maker_price::OfferChange,
    reader::Reader,
};

/// Transaction that a ledger applied.
pub(crate) struct Applied {
    /// Hash of the transaction.
    pub(crate) hash: xdr::Hash,
    /// Results of the operations, or `None` if the transaction failed.
    results: Option<Vec<xdr::OperationResult>>,
    /// Changes of offers by each operation. Empty for an operation without claims, and for metadata of version 0, which
    /// no ledger served today has and Horizon refuses.
    changes: Vec<Vec<OfferChange>>,
}

impl Applied {
    /// Reads a `TransactionResultMeta`, or a `TransactionResultMetaV1` if `is_second`. Returns
    /// also the bytes of the pair.
    pub(crate) fn read<'a>(reader: &mut Reader<'a>, is_second: bool) -> Result<(Self, &'a [u8]), xdr::Error> {
        if is_second {
            reader.skip::<xdr::ExtensionPoint>()?;
        }
        let ((hash, results), bytes) = reader.with_bytes(result_pair)?;
        reader.skip_changes()?; // fees
        let has_claims = |index: usize| {
            let result = results.as_deref().and_then(|results| results.get(index));
            result.is_some_and(|result| !claims::of_operation(result).is_empty())
        };
        let changes = operation_changes(reader, has_claims)?;
        if is_second {
            reader.skip_changes()?; // fees after the transaction
        }
        Ok((Self { hash, results, changes }, bytes))
    }

    /// Results of the operations, or `None` if the transaction failed.
    pub(crate) fn results(&self) -> Option<&[xdr::OperationResult]> {
        self.results.as_deref()
    }

    /// Changes of offers by an operation that has claims.
    pub(crate) fn changes_of(&self, operation: usize) -> &[OfferChange] {
        self.changes.get(operation).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Reads a `TransactionResultPair`: its hash, and the results of its operations if it succeeded.
fn result_pair(
    reader: &mut Reader<'_>,
) -> Result<(xdr::Hash, Option<Vec<xdr::OperationResult>>), xdr::Error> {
    let hash = reader.read()?;
    let results = result(reader, |reader, code| match code {
        Code::TxFeeBumpInnerSuccess | Code::TxFeeBumpInnerFailed => {
            reader.skip::<xdr::Hash>()?; // that of the inner transaction
            result(reader, operation_results)
        }
        code => operation_results(reader, code),
    })?;
    Ok((hash, results))
}

/// Reads a `TransactionResult` or an `InnerTransactionResult`: what follows the code is read by a function.
fn result<T>(
    reader: &mut Reader<'_>,
    read: impl FnOnce(&mut Reader<'_>, Code) -> Result<T, xdr::Error>,
) -> Result<T, xdr::Error> {
    reader.skip::<i64>()?; // charged fee
    let code = reader.read()?;
    let read = read(reader, code)?;
    reader.skip::<xdr::ExtensionPoint>()?;
    Ok(read)
}

/// Reads the results of operations, which follow the codes of a success and a failure.
fn operation_results(
    reader: &mut Reader<'_>,
    code: Code,
) -> Result<Option<Vec<xdr::OperationResult>>, xdr::Error> {
    if !matches!(code, Code::TxSuccess | Code::TxFailed) {
        return Ok(None);
    }
    let mut results = Vec::new();
    let mut count = 0;
    reader.each(|reader| {
        count += 1;
        if count > OPERATIONS_MAX {
            return Err(LengthExceedsMax);
        }
        let result = reader.read_within(RESULT_MAX)?;
        if code == Code::TxSuccess {
            results.push(result);
        }
        Ok(())
    })?;
    Ok((code == Code::TxSuccess).then_some(results))
}

/// Reads a `TransactionMeta`, and returns the changes of offers by the wanted operations.
fn operation_changes(
    reader: &mut Reader<'_>,
    is_wanted: impl Fn(usize) -> bool,
) -> Result<Vec<Vec<OfferChange>>, xdr::Error> {
    let version = reader.read::<u32>()?;
    if version == 0 {
        return reader.each(Reader::skip_changes).map(|()| Vec::new());
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
        if all.len() == OPERATIONS_MAX {
            return Err(LengthExceedsMax);
        }
        if version == 4 {
            reader.skip::<xdr::ExtensionPoint>()?;
        }
        let mut changes = Vec::new();
        if is_wanted(all.len()) {
            reader.each(|reader| {
                let change = reader.read()?;
                changes.extend(OfferChange::of(&change));
                Ok(())
            })?;
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
        3 => reader.skip_optional(|reader| {
            reader.skip::<xdr::SorobanTransactionMetaExt>()?;
            reader.skip_list::<xdr::ContractEvent>()?;
            reader.skip::<xdr::ScVal>()?; // returned value
            reader.skip_diagnostics()
        })?,
        4 => {
            reader.skip::<Option<xdr::SorobanTransactionMetaV2>>()?;
            reader.skip_list::<xdr::TransactionEvent>()?;
            reader.skip_diagnostics()?;
        }
        _ => {}
    }
    Ok(all)
}
