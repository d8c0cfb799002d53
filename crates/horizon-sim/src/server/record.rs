//! Records of trades in a reply.

use crate::faults::Item;
use crate::simulation::Batch;

/// Record that is JSON with fields of the wrong types. It keeps its own token, so that the reader can continue after
/// it.
pub(super) fn malformed(token: &str) -> String {
    format!(
        r#"{{"id":"{token}","paging_token":"{token}","ledger_close_time":"yesterday","base_amount":-1,"price":"cheap"}}"#
    )
}

/// Appends a record of the batch, or a malformed one in its place.
pub(super) fn push_record(out: &mut Vec<u8>, batch: &Batch, item: Item) {
    if let Some((id, bytes)) = batch.get(item.index) {
        if item.is_malformed {
            out.extend_from_slice(malformed(&id.to_string()).as_bytes());
        } else {
            out.extend_from_slice(bytes);
        }
    }
}
