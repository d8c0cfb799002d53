//! The rows of a file that is a sorted list: rendered when they change, and compressed in pieces of a few.
//!
//! Where a piece ends depends on the keys alone, so a row that comes or goes changes one piece, or two.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Bound,
};

use xxhash_rust::xxh3::xxh3_64;

use super::pieces::{Piece, PieceMaker};

/// Rows in a piece, on average. Larger pieces compress better, and cost more when one of their rows changes.
const PIECE_ROWS: u64 = 8;

/// What rows are sorted by.
pub(super) trait Key: Ord + Clone {
    /// Bytes that tell it from other keys.
    fn bytes(&self) -> Vec<u8>;
}

/// All rows, and the pieces that they are in.
pub(super) struct Rows<K> {
    rows: BTreeMap<K, String>,
    /// By the key of the first row of each.
    pieces: BTreeMap<K, Piece>,
    /// First rows of pieces that are to be made anew; those that are first no more are passed over.
    dirty: BTreeSet<K>,
    maker: PieceMaker,
}

impl<K> Default for Rows<K> {
    fn default() -> Self {
        let maker = PieceMaker::default();
        Self { rows: BTreeMap::new(), pieces: BTreeMap::new(), dirty: BTreeSet::new(), maker }
    }
}

impl<K: Key> Rows<K> {
    /// Puts a row in place of what was there; none takes it away.
    pub(super) fn set(&mut self, key: &K, row: Option<String>) {
        let first_before = self.rows.first_key_value().map(|(key, _)| key.clone());
        let is_there = row.is_some();
        let was_there = match row {
            Some(row) => self.rows.insert(key.clone(), row).is_some(),
            None => self.rows.remove(key).is_some(),
        };
        self.dirty.extend(self.piece_of(Bound::Included(key)));
        if is_there != was_there {
            // It may cut the piece before it in two, or no longer do so.
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

    /// Makes the pieces that changed, and gives all of them in order.
    ///
    /// # Errors
    ///
    /// What the compressor said.
    pub(super) fn pieces(&mut self) -> io::Result<Vec<Piece>> {
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
            let piece = self.maker.make(text.as_bytes()).inspect_err(|_| {
                self.dirty.insert(start.clone());
            })?;
            self.pieces.insert(start, piece);
        }
        Ok(self.pieces.values().cloned().collect())
    }

    /// Appends all rows, a comma between two.
    pub(super) fn push_all(&self, out: &mut Vec<u8>) {
        for (place, row) in self.rows.values().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(row.as_bytes());
        }
    }

    /// Bytes of all rows, commas included.
    pub(super) fn bytes(&self) -> usize {
        self.rows.values().map(|row| row.len() + 1).sum()
    }

    /// A piece of bytes that stand beside the rows.
    pub(super) fn extra(&mut self, text: &str) -> io::Result<Piece> {
        self.maker.make(text.as_bytes())
    }

    /// Pieces that are to be made anew.
    #[cfg(test)]
    pub(super) fn dirty(&self) -> usize {
        self.dirty.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The first row of the piece in which the last row up to a key lies.
    fn piece_of(&self, upto: Bound<&K>) -> Option<K> {
        let mut before = self.rows.range((Bound::Unbounded, upto)).rev().map(|(key, _)| key).peekable();
        before.peek()?;
        let first = self.rows.first_key_value().map(|(key, _)| key);
        before.find(|key| begins(*key)).or(first).cloned()
    }
}

fn begins<K: Key>(key: &K) -> bool {
    xxh3_64(&key.bytes()).is_multiple_of(PIECE_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Key for u16 {
        fn bytes(&self) -> Vec<u8> {
            self.to_le_bytes().to_vec()
        }
    }

    /// The plain text, and what the pieces unpack to.
    fn texts<K: Key>(rows: &mut Rows<K>) -> [String; 2] {
        let mut raw = Vec::new();
        rows.push_all(&mut raw);
        let file = crate::pieces::join(raw, rows.pieces().unwrap());
        let unzipped = io::read_to_string(flate2::read::GzDecoder::new(&file.gzip[..])).unwrap();
        [String::from_utf8(file.raw.to_vec()).unwrap(), unzipped]
    }

    #[test]
    fn a_row_that_changes_costs_one_piece() {
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
        fn pieces_are_all_rows_joined_by_commas_whatever_came_and_went(
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
