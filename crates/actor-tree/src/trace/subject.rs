//! Numbers by which a person finds a message again.

use std::sync::Arc;

use serde_json::{Map, Value};

/// Most members of a subject. More are only counted.
pub(crate) const MEMBERS_MAX: usize = 64;

/// Numbers that say what a message is about, by name, such as `seq` and `trades`. Never a text: a stranger may have
/// written it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject(
    /// Shared, since the sender, the envelope and the record hold the same numbers. Most subjects have none.
    Option<Arc<Numbers>>,
);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Numbers {
    named: Vec<(&'static str, i64)>,
    members: Option<Members>,
}

/// Ids of things of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Members {
    /// Name of the kind, such as `markets`.
    name: &'static str,
    /// Ids, at most `MEMBERS_MAX`.
    ids: Vec<i64>,
    /// Number of the ids that are left out.
    left_out: usize,
}

/// A message that says what it is about.
pub trait Traced {
    /// Returns the numbers by which a person finds this message again. Called once for each message, by its sender.
    fn subject(&self) -> Subject;
}

impl Subject {
    /// A subject without any number.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Adds a number.
    #[must_use]
    pub fn with(mut self, name: &'static str, number: impl TryInto<i64>) -> Self {
        let named = &mut self.numbers_mut().named;
        if named.len() == named.capacity() {
            // Most subjects have two, and many are kept.
            named.reserve_exact(2);
        }
        named.push((name, number.try_into().unwrap_or(i64::MAX)));
        self
    }

    /// Adds a number, if there is one.
    #[must_use]
    pub fn with_some(self, name: &'static str, number: Option<i64>) -> Self {
        match number {
            Some(number) => self.with(name, number),
            None => self,
        }
    }

    /// Adds ids of the kind `name`, each once. At most `MEMBERS_MAX` are kept.
    #[must_use]
    pub fn with_members(mut self, name: &'static str, ids: impl IntoIterator<Item = i64>) -> Self {
        let mut ids: Vec<i64> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let left_out = ids.len().saturating_sub(MEMBERS_MAX);
        ids.truncate(MEMBERS_MAX);
        ids.shrink_to_fit();
        self.numbers_mut().members = Some(Members { name, ids, left_out });
        self
    }

    fn numbers_mut(&mut self) -> &mut Numbers {
        Arc::make_mut(self.0.get_or_insert_default())
    }

    /// Returns the number of the name `name`.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.named().iter().find(|(other, _)| *other == name).map(|(_, number)| *number)
    }

    /// Returns true if `id` is among the members of the kind `name`, or if so many were left out that it may be.
    #[must_use]
    pub fn may_have_member(&self, name: &str, id: i64) -> bool {
        let members = self.members().filter(|members| members.name == name);
        members.is_some_and(|members| members.left_out > 0 || members.ids.contains(&id))
    }

    /// Returns it as JSON: each number by its name, the ids as an array, and their count as
    /// `<name>_left_out` if some are left out.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        let mut map: Map<String, Value> =
            self.named().iter().map(|(name, number)| ((*name).to_owned(), (*number).into())).collect();
        if let Some(members) = self.members() {
            map.insert(members.name.to_owned(), members.ids.clone().into());
            if members.left_out > 0 {
                map.insert(left_out(members.name), members.left_out.into());
            }
        }
        map
    }

    /// Returns the bytes that it takes outside of itself, if nothing else holds the same numbers.
    pub(super) fn heap_bytes(&self) -> usize {
        /// The numbers and the two counts of an `Arc`.
        const SHARED: usize = size_of::<Numbers>() + 2 * size_of::<usize>();
        self.0.as_ref().map_or(0, |numbers| {
            let named = numbers.named.capacity().saturating_mul(size_of::<(&'static str, i64)>());
            let ids = numbers.members.as_ref().map_or(0, |members| members.ids.capacity());
            SHARED.saturating_add(named).saturating_add(ids.saturating_mul(size_of::<i64>()))
        })
    }

    fn named(&self) -> &[(&'static str, i64)] {
        self.0.as_ref().map_or(&[], |numbers| &numbers.named)
    }

    fn members(&self) -> Option<&Members> {
        self.0.as_ref()?.members.as_ref()
    }
}

/// Name under which a view counts the members that are left out.
pub(super) fn left_out(name: &str) -> String {
    format!("{name}_left_out")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_the_first_members_are_shown_and_the_others_counted() {
        let subject =
            Subject::none().with("seq", 7).with_some("ledger", None).with_members("markets", 0..100);
        let ids: Vec<i64> = (0..64).collect();
        assert_eq!(Value::from(subject.to_map()), json!({"seq": 7, "markets": ids, "markets_left_out": 36}));
        assert_eq!((subject.number("seq"), subject.number("ledger")), (Some(7), None));
    }

    #[test]
    fn a_member_is_ruled_out_only_if_all_are_known() {
        let few = Subject::none().with_members("markets", [3, 1, 3]);
        assert!(few.may_have_member("markets", 3) && !few.may_have_member("markets", 2));
        assert!(!few.may_have_member("assets", 3));
        assert!(Subject::none().with_members("markets", 0..100).may_have_member("markets", 99));
    }
}
