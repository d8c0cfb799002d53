//! Plan of a document: its lists, recorded during execution and printed afterwards, row by row.
//!
//! async-graphql would build a value for every field of every row, which is a gigabyte for a document within the
//! limits. So the resolvers of lists only record the requested list, and put a mark into the response where it belongs.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Mutex, PoisonError},
};

use async_graphql::{
    Context, ContextSelectionSet, Name, OutputType, Positioned, SelectionField, ServerResult, Value,
    indexmap::IndexMap, parser::types::Field, registry::Registry,
};

use crate::domain::{
    candles::Interval,
    conversions::SaturatingFrom,
    market::Market,
    market_snapshot::{MarketFilter, MarketSnapshot, PairCodes},
};

/// First character of a mark. No name in GraphQL begins with it.
const MARK: char = '#';

/// Rows of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Every valid asset.
    Assets,
    /// Every issuer of a valid asset.
    Issuers,
    /// Markets that match a filter, in a window of this number of hours.
    Markets(MarketFilter, i64),
    /// All pairs or those of two codes, in a window of this number of hours.
    Pairs(Option<PairCodes>, i64),
    /// This number of the newest trades, of a market or of all.
    Trades(Option<Market>, usize),
    /// This number of the newest candles of a market.
    Candles(Market, Interval, usize),
}

impl Rows {
    /// Returns an upper bound of the rows on this snapshot.
    pub(super) fn count_max(&self, snapshot: &MarketSnapshot) -> usize {
        match self {
            Self::Assets | Self::Issuers => snapshot.assets().len(),
            Self::Markets(filter, _) => snapshot.count_markets(filter),
            Self::Pairs(Some(codes), _) => snapshot.count_candidates(codes.both()),
            Self::Pairs(None, _) => snapshot.windows().market_count(),
            Self::Trades(_, first) | Self::Candles(_, _, first) => *first,
        }
    }

    /// Returns the type of a row, as in `__typename`.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Assets => "Asset",
            Self::Issuers => "Issuer",
            Self::Markets(..) => "Market",
            Self::Pairs(..) => "AggregatedMarket",
            Self::Trades(..) => "Trade",
            Self::Candles(..) => "Candle",
        }
    }
}

/// A requested field of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChosenField {
    /// Name in the answer: the alias, if there is one.
    pub(super) key: String,
    /// Name in the schema.
    pub(super) name: String,
    /// Requested fields of an object; empty for a scalar.
    pub(super) children: Vec<ChosenField>,
}

impl ChosenField {
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

    /// Adds the field, or merges it into the one that has the same name in the answer. Both are the same field of the
    /// schema, which [`super::conflicts`] has checked.
    fn merge_into(self, all: &mut Vec<Self>) {
        match all.iter_mut().find(|other| other.key == self.key) {
            None => all.push(self),
            Some(first) => {
                for child in self.children {
                    child.merge_into(&mut first.children);
                }
            }
        }
    }

    /// Returns the number of values in one row.
    fn count(all: &[Self]) -> usize {
        all.iter().map(|chosen| Self::count(&chosen.children).max(1)).sum()
    }
}

/// A list of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub(super) rows: Rows,
    pub(super) fields: Vec<ChosenField>,
}

impl List {
    /// Returns an upper bound of the values on this snapshot: rows times fields.
    pub(super) fn count_max(&self, snapshot: &MarketSnapshot) -> u64 {
        let rows = u64::saturating_from(self.rows.count_max(snapshot));
        let fields = u64::saturating_from(ChosenField::count(&self.fields).max(1));
        rows.saturating_mul(fields)
    }
}

/// Lists of one document, in the order in which they were resolved. Passed to the resolvers as data of the request.
#[derive(Debug, Default)]
pub(super) struct Plan(Mutex<Vec<List>>);

impl Plan {
    /// Records a list that is being resolved.
    pub(super) fn record<T>(&self, ctx: &Context<'_>, rows: Rows) -> ListMark<T> {
        let fields = ChosenField::all(ctx.field().selection_set());
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.push(List { rows, fields });
        ListMark { number: lists.len() - 1, _rows: PhantomData }
    }

    /// Returns the lists by their names in the answer. Lists with the same name are merged: they have the same rows.
    pub(super) fn take_lists(&self, data: &Value) -> BTreeMap<String, List> {
        let lists = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let Value::Object(answers) = data else { return BTreeMap::new() };
        let mut named: BTreeMap<String, List> = BTreeMap::new();
        for (key, value) in answers {
            for list in marks(value).filter_map(|number| lists.get(number)) {
                let Some(first) = named.get_mut(key.as_str()) else {
                    named.insert(key.to_string(), list.clone());
                    continue;
                };
                for field in &list.fields {
                    field.clone().merge_into(&mut first.fields);
                }
            }
        }
        named
    }
}

/// Returns the numbers of the lists that a value marks; none if it is no mark.
fn marks(value: &Value) -> impl Iterator<Item = usize> {
    let object = if let Value::Object(fields) = value { Some(fields) } else { None };
    object.into_iter().flatten().filter_map(|(name, _)| name.strip_prefix(MARK)?.parse().ok())
}

/// Mark of a recorded list. Its GraphQL type is `[T]!`.
pub(super) struct ListMark<T> {
    number: usize,
    _rows: PhantomData<fn() -> T>,
}

impl<T: OutputType> OutputType for ListMark<T> {
    fn type_name() -> std::borrow::Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    /// Returns an object whose only field is the mark. If a document requests a list twice, async-graphql merges the
    /// objects, so that the result has both marks.
    async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        let mark = Name::new(format!("{MARK}{}", self.number));
        Ok(Value::Object(IndexMap::from_iter([(mark, Value::Null)])))
    }
}
