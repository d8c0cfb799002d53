//! Rows of a file that is a sorted list. They are rendered when they change, and compressed in pieces of a few rows.
//!
//! Only the keys decide where a piece ends, so adding or removing a row changes one or two pieces.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Bound,
};

use xxhash_rust::xxh3::xxh3_64;

use super::pieces::{Piece, PieceMaker};

/// Average number of rows per piece. Larger pieces compress better, but cost more when one of their rows changes.
const PIECE_ROWS: u64 = 8;

/// Sort key of rows.
pub(crate) trait RowKey: Ord + Clone {
    /// Bytes that identify the key.
    fn bytes(&self) -> Vec<u8>;
}

/// All rows, and their pieces.
pub(crate) struct Rows<K> {
    rows: BTreeMap<K, String>,
    /// Pieces by the key of their first row.
    pieces: BTreeMap<K, Piece>,
    /// First rows of pieces to compress again. An entry that no longer begins a piece is skipped.
    dirty: BTreeSet<K>,
    maker: PieceMaker,
}

impl<K> Default for Rows<K> {
    fn default() -> Self {
        let maker = PieceMaker::default();
        Self { rows: BTreeMap::new(), pieces: BTreeMap::new(), dirty: BTreeSet::new(), maker }
    }
}

impl<K: RowKey> Rows<K> {
    /// Sets or replaces a row. `None` removes it.
    pub(crate) fn set(&mut self, key: &K, row: Option<String>) {
        let first_before = self.rows.first_key_value().map(|(key, _)| key.clone());
        let is_there = row.is_some();
        let was_there = match row {
            Some(row) => self.rows.insert(key.clone(), row).is_some(),
            None => self.rows.remove(key).is_some(),
        };
        // The piece that contains the row must be compressed again.
        self.dirty.extend(self.piece_of(Bound::Included(key)));
        if is_there != was_there {
            // A new or removed key may split or join the pieces around it.
            self.pieces.remove(key);
            self.dirty.extend(self.piece_of(Bound::Excluded(key)));
            let first = self.rows.first_key_value().map(|(key, _)| key.clone());
            if first != first_before {
                // The first row of all begins a piece whatever its key, and has no comma before it.
                for key in first_before.into_iter().chain(first) {
                    self.pieces.remove(&key);
                    self.dirty.extend(self.piece_of(Bound::Included(&key)));
                }
            }
        }
    }

    /// Compresses the changed pieces, and returns all pieces in order.
    ///
    /// # Errors
    ///
    /// Errors of the compressor. The piece stays marked as changed.
    pub(crate) fn pieces(&mut self) -> io::Result<Vec<Piece>> {
        let first = self.rows.first_key_value().map(|(key, _)| key.clone());
        while let Some(start) = self.dirty.pop_first() {
            let is_first = first.as_ref() == Some(&start);
            if !self.rows.contains_key(&start) || !is_first && !begins(&start) {
                continue;
            }
            let mut text = String::new();
            for (key, row) in self.rows.range(&start..).take_while(|(key, _)| **key == start || !begins(*key))
            {
                if first.as_ref() != Some(key) {
                    text.push(',');
                }
                text.push_str(row);
            }
            // Keep the piece marked if compression fails, so that the next call retries.
            let piece = self.maker.make(text.as_bytes()).inspect_err(|_| {
                self.dirty.insert(start.clone());
            })?;
            self.pieces.insert(start, piece);
        }
        Ok(self.pieces.values().cloned().collect())
    }

    /// Appends all rows, separated by commas.
    pub(crate) fn push_all(&self, out: &mut Vec<u8>) {
        for (place, row) in self.rows.values().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(row.as_bytes());
        }
    }

    /// Size of all rows in bytes, with commas.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.values().map(|row| row.len() + 1).sum()
    }

    /// Compresses bytes that stand outside the rows.
    pub(crate) fn extra(&mut self, text: &str) -> io::Result<Piece> {
        self.maker.make(text.as_bytes())
    }

    /// Number of pieces to compress again.
    #[cfg(test)]
    pub(crate) fn dirty(&self) -> usize {
        self.dirty.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// First row of the piece that contains the last row up to `upto`.
    fn piece_of(&self, upto: Bound<&K>) -> Option<K> {
        let mut before = self.rows.range((Bound::Unbounded, upto)).rev().map(|(key, _)| key).peekable();
        before.peek()?;
        let first = self.rows.first_key_value().map(|(key, _)| key);
        before.find(|key| begins(*key)).or(first).cloned()
    }
}

/// Returns true if a row with this key begins a piece.
fn begins<K: RowKey>(key: &K) -> bool {
    xxh3_64(&key.bytes()).is_multiple_of(PIECE_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl RowKey for u16 {
        fn bytes(&self) -> Vec<u8> {
            self.to_le_bytes().to_vec()
        }
    }

    /// Plain text, and the text that the pieces decompress to.
    fn texts<K: RowKey>(rows: &mut Rows<K>) -> [String; 2] {
        let mut raw = Vec::new();
        rows.push_all(&mut raw);
        let file = super::super::EncodedFile::join(raw, rows.pieces().unwrap());
        let unzipped = io::read_to_string(flate2::read::GzDecoder::new(&file.gzip[..])).unwrap();
        [String::from_utf8(file.raw.to_vec()).unwrap(), unzipped]
    }

    #[test]
    fn a_changed_row_costs_one_piece() {
        let mut rows = Rows::default();
        for key in 0..1_000_u16 {
            rows.set(&key, Some(format!("{key};")));
        }
        let before = rows.pieces().unwrap();
        assert!((60..250).contains(&before.len()), "{}", before.len());
        rows.set(&500, Some("new".into()));
        assert_eq!(rows.dirty.len(), 1);
        let after = rows.pieces().unwrap();
        let same = before.iter().filter(|piece| after.iter().any(|other| other.is(piece)));
        assert_eq!(same.count(), before.len() - 1);
    }

    proptest! {
        #[test]
        fn pieces_equal_all_rows_joined_by_commas_after_any_changes(
            steps in prop::collection::vec(prop::collection::vec((0..60_u16, prop::option::of(0..1_000_u32)), 0..30), 1..12),
        ) {
            let (mut rows, mut plain) = (Rows::default(), BTreeMap::new());
            for step in steps {
                for (key, row) in step {
                    let row = row.map(|row| format!("{key}:{row}"));
                    rows.set(&key, row.clone());
                    match row {
                        Some(row) => plain.insert(key, row),
                        None => plain.remove(&key),
                    };
                }
                let right = plain.values().cloned().collect::<Vec<_>>().join(",");
                prop_assert_eq!(texts(&mut rows), [right.clone(), right]);
            }
        }
    }
}
