//! The lists that a document asks for, noted while it is executed and printed afterwards, row by row.
//!
//! async-graphql would build a value for every field of every row: a gigabyte for a document within the limits.
//! So the resolvers of lists only note what is asked, and put a mark into the answer where the list belongs.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Mutex, PoisonError},
};

use async_graphql::{
    Context, ContextSelectionSet, Name, OutputType, Positioned, SelectionField, ServerResult, Value,
    indexmap::IndexMap, parser::types::Field, registry::Registry,
};

use crate::domain::market_snapshot::{MarketFilter, MarketSnapshot, PairCodes};

/// The first character of a mark. No name in GraphQL can begin with it.
const MARK: char = '#';

/// The rows of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Every valid asset.
    Assets,
    /// Every issuer of a valid asset.
    Issuers,
    /// Markets that match a filter, over a number of hours.
    Markets(MarketFilter, i64),
    /// Pairs, all or those of two codes, over so many hours.
    Pairs(Option<PairCodes>, i64),
}

impl Rows {
    /// The most rows that the list can have on this snapshot.
    pub(super) fn count_max(&self, snapshot: &MarketSnapshot) -> usize {
        match self {
            Self::Assets | Self::Issuers => snapshot.assets().len(),
            Self::Markets(filter, _) => snapshot.count_markets(filter),
            Self::Pairs(Some(codes), _) => snapshot.count_candidates(codes.both()),
            Self::Pairs(None, _) => snapshot.windows().market_count(),
        }
    }

    /// The type of a row, as `__typename` gives it.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Assets => "Asset",
            Self::Issuers => "Issuer",
            Self::Markets(..) => "Market",
            Self::Pairs(..) => "AggregatedMarket",
        }
    }
}

/// A field of a row, as the document asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The name in the answer: the alias, if there is one.
    pub(super) key: String,
    /// The name in the schema.
    pub(super) name: String,
    /// Fields within it; none if it is no object.
    pub(super) children: Vec<Chosen>,
}

impl Chosen {
    fn all<'a>(fields: impl Iterator<Item = SelectionField<'a>>) -> Vec<Self> {
        let mut all = Vec::new();
        for field in fields {
            let chosen = Self {
                key: field.alias().unwrap_or(field.name()).to_owned(),
                name: field.name().to_owned(),
                children: Self::all(field.selection_set()),
            };
            chosen.merge_into(&mut all);
        }
        all
    }

    /// Equal names in the answer are one field, at the place of the first.
    fn merge_into(self, all: &mut Vec<Self>) {
        match all.iter_mut().find(|other| other.key == self.key) {
            None => all.push(self),
            Some(first) if first.name == self.name => {
                for child in self.children {
                    child.merge_into(&mut first.children);
                }
            }
            Some(_) => {} // the validator refuses it where it can; else the first stays
        }
    }

    /// Values that are printed for one row.
    fn count(all: &[Self]) -> usize {
        all.iter().map(|chosen| Self::count(&chosen.children).max(1)).sum()
    }
}

/// A list of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub(super) rows: Rows,
    pub(super) fields: Vec<Chosen>,
}

impl List {
    /// The most values that it can have on this snapshot: rows times fields.
    pub(super) fn count_max(&self, snapshot: &MarketSnapshot) -> u64 {
        let rows = u64::try_from(self.rows.count_max(snapshot)).unwrap_or(u64::MAX);
        let fields = u64::try_from(Chosen::count(&self.fields).max(1)).unwrap_or(u64::MAX);
        rows.saturating_mul(fields)
    }
}

/// One name in the answer stands for two lists. The validator of async-graphql overlooks it where one of them is in a
/// fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conflict;

/// The lists of one document, in the order in which they were resolved. Given to the schema as data of the request.
#[derive(Debug, Default)]
pub(super) struct Plan(Mutex<Vec<List>>);

impl Plan {
    /// Notes a list that is being resolved.
    pub(super) fn note<T>(&self, ctx: &Context<'_>, rows: Rows) -> Listed<T> {
        let fields = Chosen::all(ctx.field().selection_set());
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.push(List { rows, fields });
        Listed { number: lists.len() - 1, _rows: PhantomData }
    }

    /// The lists by the names under which they stand in the answer; equal names are one list.
    ///
    /// # Errors
    ///
    /// One name stands for two lists.
    pub(super) fn take_lists(&self, data: &Value) -> Result<BTreeMap<String, List>, Conflict> {
        let lists = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let Value::Object(answers) = data else { return Ok(BTreeMap::new()) };
        let mut named: BTreeMap<String, List> = BTreeMap::new();
        for (key, value) in answers {
            for list in marks(value).filter_map(|number| lists.get(number)) {
                let Some(first) = named.get_mut(key.as_str()) else {
                    named.insert(key.to_string(), list.clone());
                    continue;
                };
                if first.rows != list.rows {
                    return Err(Conflict);
                }
                for field in &list.fields {
                    field.clone().merge_into(&mut first.fields);
                }
            }
        }
        Ok(named)
    }
}

/// The numbers of the lists that a value stands for; none if it is no mark.
fn marks(value: &Value) -> impl Iterator<Item = usize> {
    let object = if let Value::Object(fields) = value { Some(fields) } else { None };
    object.into_iter().flatten().filter_map(|(name, _)| name.strip_prefix(MARK)?.parse().ok())
}

/// A list that was noted; of the type `[T]!`.
pub(super) struct Listed<T> {
    number: usize,
    _rows: PhantomData<fn() -> T>,
}

impl<T: OutputType> OutputType for Listed<T> {
    fn type_name() -> std::borrow::Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    /// An object whose only field is the mark: where a document asks twice, async-graphql merges the two.
    async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        let mark = Name::new(format!("{MARK}{}", self.number));
        Ok(Value::Object(IndexMap::from_iter([(mark, Value::Null)])))
    }
}
