//! Lists of whole documents, printed one item at a time. At 30,000 markets the items of a list
//! are larger than its text.

use serde::{Serialize, Serializer};

/// List whose items are made while it is printed, so that no two of them are in memory at a time.
pub(super) struct OneByOne<'a, T, F> {
    sources: &'a [T],
    item: F,
}

impl<'a, T, I, F: Fn(&'a T) -> Option<I>> OneByOne<'a, T, F> {
    /// List of what `item` makes of each source. A source for which it makes nothing is left out.
    pub(super) const fn new(sources: &'a [T], item: F) -> Self {
        Self { sources, item }
    }
}

impl<'a, T, I: Serialize, F: Fn(&'a T) -> Option<I>> Serialize for OneByOne<'a, T, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.sources.iter().filter_map(&self.item))
    }
}

/// The same, of the items of an iterator that the closure begins.
pub(super) struct Each<F>(pub(super) F);

impl<I: Iterator<Item: Serialize>, F: Fn() -> I> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_printed_in_order_and_those_that_are_none_are_left_out() {
        let list = OneByOne::new(&[3, 1, 2], |number| (*number != 1).then(|| vec![*number]));
        assert_eq!(serde_json::to_string(&list).unwrap(), "[[3],[2]]");
        let none = OneByOne::new(&[], |number: &u8| Some(*number));
        assert_eq!(serde_json::to_string(&none).unwrap(), "[]");
        assert_eq!(serde_json::to_string(&Each(|| (1..4).rev())).unwrap(), "[3,2,1]");
    }
}
