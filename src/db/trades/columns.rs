//! Rows of `trades`, read by the names of their columns. Apart from the SQL, only this file knows these names.
//!
//! [`TradeReader`] looks each name up once per statement, because `try_get("name")` would compare strings for every
//! row. The functions beside it do that, for statements of few rows or few columns.

use chrono::{DateTime, Utc};
use tokio_postgres::{Column, Row};

use crate::{
    db::{DbError, binary::Fields},
    domain::{cursor::PagingToken, instant::UnixSeconds, trade::Trade, windows::MarketId},
};

/// Identity, close time and figures of a row, exactly as stored. Nothing is validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::db) struct StoredFigures {
    pub(in crate::db) token: PagingToken,
    pub(in crate::db) closed_at: UnixSeconds,
    /// In stroops.
    pub(in crate::db) base_amount: i64,
    /// In stroops.
    pub(in crate::db) counter_amount: i64,
    pub(in crate::db) price_n: i64,
    pub(in crate::db) price_d: i64,
    /// The taker bought the base.
    pub(in crate::db) base_is_seller: bool,
    /// A liquidity pool is on one of the sides.
    pub(in crate::db) is_pool: bool,
}

impl From<&Trade> for StoredFigures {
    fn from(trade: &Trade) -> Self {
        Self {
            token: trade.token,
            closed_at: trade.closed_at,
            base_amount: trade.base_amount.stroops(),
            counter_amount: trade.counter_amount.stroops(),
            price_n: trade.price_n,
            price_d: trade.price_d,
            base_is_seller: trade.base_is_seller,
            is_pool: trade.liquidity_pool.is_some(),
        }
    }
}

/// The sides and parties of a row, exactly as stored. Nothing is validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::db) struct StoredParties {
    base_is_seller: bool,
    base_account: Option<String>,
    counter_account: Option<String>,
    liquidity_pool_id: Option<String>,
}

impl StoredParties {
    /// Returns true if `trade` has the same seller and parties.
    pub(in crate::db) fn match_trade(&self, trade: &Trade) -> bool {
        let stored = [&self.base_account, &self.counter_account, &self.liquidity_pool_id];
        self.base_is_seller == trade.base_is_seller && stored.map(Option::as_deref) == parties(trade)
    }
}

#[cfg(test)]
impl From<&Trade> for StoredParties {
    fn from(trade: &Trade) -> Self {
        let [base_account, counter_account, liquidity_pool_id] =
            parties(trade).map(|party| party.map(str::to_owned));
        Self { base_is_seller: trade.base_is_seller, base_account, counter_account, liquidity_pool_id }
    }
}

/// Base account, counter account and liquidity pool of a trade, as their columns hold them.
pub(super) fn parties(trade: &Trade) -> [Option<&str>; 3] {
    [
        trade.base_account.as_ref().map(|account| account.as_str()),
        trade.counter_account.as_ref().map(|account| account.as_str()),
        trade.liquidity_pool.as_ref().map(|pool| pool.as_str()),
    ]
}

/// Reads the rows of one statement. The first row sets the positions of the columns.
#[derive(Debug, Default)]
pub(in crate::db) struct TradeReader(Option<Positions>);

/// Positions of columns in the rows of one statement.
#[derive(Clone, Copy, Debug)]
struct Positions {
    toid: usize,
    trade_order: usize,
    ledger_close_time: usize,
    base_amount: usize,
    counter_amount: usize,
    price_n: usize,
    price_d: usize,
    base_is_seller: usize,
    is_pool: usize,
    /// None if the statement does not select the column.
    market_id: Option<usize>,
}

impl Positions {
    fn of(columns: &[Column]) -> Result<Self, DbError> {
        let find = |name: &str| columns.iter().position(|column| column.name() == name);
        let position =
            |name: &str| find(name).ok_or_else(|| DbError::Corrupt(format!("trades: no column {name}")));
        Ok(Self {
            toid: position("toid")?,
            trade_order: position("trade_order")?,
            ledger_close_time: position("ledger_close_time")?,
            base_amount: position("base_amount")?,
            counter_amount: position("counter_amount")?,
            price_n: position("price_n")?,
            price_d: position("price_d")?,
            base_is_seller: position("base_is_seller")?,
            is_pool: position("is_pool")?,
            market_id: find("market_id"),
        })
    }
}

impl TradeReader {
    fn positions(&mut self, row: &Row) -> Result<Positions, DbError> {
        match self.0 {
            Some(positions) => Ok(positions),
            None => Ok(*self.0.insert(Positions::of(row.columns())?)),
        }
    }

    /// Returns the identity, close time and figures of a row.
    ///
    /// # Errors
    ///
    /// [`DbError::Corrupt`] if the statement lacks a column, [`DbError::Postgres`] if a column has another type.
    pub(in crate::db) fn figures(&mut self, row: &Row) -> Result<StoredFigures, DbError> {
        let positions = self.positions(row)?;
        let closed_at: DateTime<Utc> = row.try_get(positions.ledger_close_time)?;
        Ok(StoredFigures {
            token: PagingToken {
                toid: row.try_get(positions.toid)?,
                order: row.try_get(positions.trade_order)?,
            },
            closed_at: closed_at.into(),
            base_amount: row.try_get(positions.base_amount)?,
            counter_amount: row.try_get(positions.counter_amount)?,
            price_n: row.try_get(positions.price_n)?,
            price_d: row.try_get(positions.price_d)?,
            base_is_seller: row.try_get(positions.base_is_seller)?,
            is_pool: row.try_get(positions.is_pool)?,
        })
    }

    /// Returns the market's id of a row.
    ///
    /// # Errors
    ///
    /// As for [`TradeReader::figures`].
    pub(in crate::db) fn market(&mut self, row: &Row) -> Result<MarketId, DbError> {
        let position = self.positions(row)?.market_id;
        let position = position.ok_or_else(|| DbError::Corrupt("trades: no column market_id".into()))?;
        Ok(row.try_get(position)?)
    }
}

/// Returns the sides and parties of a row. Looks the names up for each row: only statements of few rows select them.
pub(in crate::db) fn stored_parties(row: &Row) -> Result<StoredParties, DbError> {
    Ok(StoredParties {
        base_is_seller: row.try_get("base_is_seller")?,
        base_account: row.try_get("base_account")?,
        counter_account: row.try_get("counter_account")?,
        liquidity_pool_id: row.try_get("liquidity_pool_id")?,
    })
}

/// Returns the identity and close time of a row.
pub(in crate::db) fn identity(row: &Row) -> Result<(PagingToken, UnixSeconds), DbError> {
    let closed_at: DateTime<Utc> = row.try_get("ledger_close_time")?;
    let token = PagingToken { toid: row.try_get("toid")?, order: row.try_get("trade_order")? };
    Ok((token, closed_at.into()))
}

/// Returns the market, identity and close time of a row.
pub(in crate::db) fn place(row: &Row) -> Result<(MarketId, PagingToken, UnixSeconds), DbError> {
    let (token, closed_at) = identity(row)?;
    Ok((row.try_get("market_id")?, token, closed_at))
}

/// Returns a row of `since.sql`. Binary `COPY` sends no names, so a test compares the order of the fields with the
/// statement.
pub(super) fn copied_figures(mut fields: Fields<'_>) -> Result<(MarketId, StoredFigures), DbError> {
    let market = fields.int4()?;
    let figures = StoredFigures {
        token: PagingToken { toid: fields.int8()?, order: fields.int4()? },
        closed_at: fields.timestamptz()?,
        base_amount: fields.int8()?,
        counter_amount: fields.int8()?,
        price_n: fields.int8()?,
        price_d: fields.int8()?,
        base_is_seller: fields.bool()?,
        is_pool: fields.bool()?,
    };
    Ok((market, figures))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        db::binary::Encoder,
        domain::{
            amount::Amount,
            asset::{AccountId, Asset},
            test_support::address,
            trade::{Side, TradeRecord},
        },
    };

    #[test]
    fn copied_fields_stand_in_the_order_of_the_statement() {
        let sql = include_str!("../sql/trades/since.sql");
        let columns = sql.split_once("SELECT ").unwrap().1.split_once("FROM").unwrap().0;
        // A computed column has its name at the end.
        let name = |column: &str| column.rsplit(' ').next().unwrap().to_owned();
        let names: Vec<String> = columns.split(',').map(|column| name(column.trim())).collect();
        let mut row = Encoder::new();
        row.row(10);
        for (place, name) in names.iter().enumerate() {
            let number = i32::try_from(place).unwrap();
            match name.as_str() {
                "market_id" | "trade_order" => row.int4(number),
                // The first flag is true, the second false.
                "base_is_seller" | "is_pool" => row.bool(place == 8),
                "ledger_close_time" => row.timestamptz(UnixSeconds(number.into()).to_utc()),
                _ => row.int8(number.into()),
            }
        }
        let bytes = row.finish();
        let (market, figures) = copied_figures(Fields::of(&bytes).unwrap().unwrap()).unwrap();
        let read = [
            ("market_id", i64::from(market)),
            ("toid", figures.token.toid),
            ("trade_order", figures.token.order.into()),
            ("ledger_close_time", figures.closed_at.0),
            ("base_amount", figures.base_amount),
            ("counter_amount", figures.counter_amount),
            ("price_n", figures.price_n),
            ("price_d", figures.price_d),
        ];
        for (name, value) in read {
            let place = i64::try_from(names.iter().position(|other| *other == name).unwrap()).unwrap();
            assert_eq!(value, place, "{name}");
        }
        assert_eq!([&names[8], &names[9]], ["base_is_seller", "is_pool"]);
        assert!(figures.base_is_seller && !figures.is_pool);
    }

    #[test]
    fn a_trade_matches_its_own_parties_and_no_others() {
        let side = |asset, stroops, party: u8| Side {
            asset,
            amount: Amount::from_stroops(stroops).unwrap(),
            account: Some(AccountId::parse(&address(party)).unwrap()),
            pool: None,
        };
        let record = TradeRecord {
            token: PagingToken::before_ledger(5),
            closed_at: UnixSeconds(1_795_457_237),
            base: side(Asset::Native, 10, 1),
            counter: side(Asset::issued("TEA", &address(2)).unwrap(), 20, 3),
            price_n: 2,
            price_d: 1,
            base_is_seller: true,
        };
        let trade = record.normalise().unwrap();
        let figures = StoredFigures::from(&trade);
        let stored = (figures.base_amount, figures.counter_amount, figures.price_n, figures.price_d);
        assert_eq!(stored, (10, 20, 2, 1));
        let own = StoredParties {
            base_is_seller: true,
            base_account: Some(address(1)),
            counter_account: Some(address(3)),
            liquidity_pool_id: None,
        };
        assert!(own.match_trade(&trade));
        let swapped = StoredParties {
            base_account: own.counter_account.clone(),
            counter_account: own.base_account.clone(),
            ..own.clone()
        };
        for other in [
            StoredParties { base_is_seller: false, ..own.clone() },
            StoredParties { liquidity_pool_id: Some("pool".into()), ..own },
            swapped,
        ] {
            assert!(!other.match_trade(&trade), "{other:?}");
        }
    }
}
