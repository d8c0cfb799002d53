//! Printing of the rows of a list.

use std::collections::BTreeMap;

use super::{
    fields::{Traded, of_asset, of_traded},
    market_data,
    output::{AnswerOutput, OutputError},
    plan::{List, Rows},
    template::Template,
};
use crate::domain::{listed_asset::ListedAsset, market_snapshot::MarketSnapshot};

/// Appends a list as JSON.
pub(super) fn print(
    list: &List,
    snapshot: &MarketSnapshot,
    out: &mut AnswerOutput,
) -> Result<(), OutputError> {
    let token = out.token().clone();
    let is_wanted = || !token.is_cancelled();
    match &list.rows {
        Rows::Assets => print_assets(list, snapshot.assets().iter().map(AsRef::as_ref), out),
        Rows::Issuers => {
            let assets = snapshot.assets().iter().map(|asset| (asset.issuer(), asset.as_ref()));
            let by_key: BTreeMap<&str, &ListedAsset> = assets.collect();
            print_assets(list, by_key.into_values(), out)
        }
        Rows::Markets(filter, hours) => {
            let since = snapshot.since(*hours);
            let rows = snapshot.markets_while(filter, *hours, &is_wanted);
            print_traded(list, rows.iter().map(|row| Traded::market(row, since)), out)
        }
        Rows::Pairs(codes, hours) => {
            let since = snapshot.since(*hours);
            let rows = match codes {
                None => snapshot.tickers_while(*hours, &is_wanted),
                Some(codes) => snapshot.tickers_of(codes, *hours),
            };
            print_traded(list, rows.into_iter().map(|row| Traded::pair(row, since)), out)
        }
        Rows::Trades(market, first) => {
            let rows = market_data::newest(snapshot, market.as_ref(), *first, &is_wanted);
            let template = Template::new(list.rows.type_name(), &list.fields, market_data::of_swap);
            print_rows(rows.into_iter(), out, |row, text| {
                template.push(text, |print, text| print(text, &row));
            })
        }
        Rows::Candles(market, interval, first) => {
            let rows = market_data::candles(snapshot, market, *interval, *first);
            let template = Template::new(list.rows.type_name(), &list.fields, market_data::of_candle);
            print_rows(rows.into_iter(), out, |row, text| {
                template.push(text, |print, text| print(text, &row));
            })
        }
    }
}

fn print_assets<'a>(
    list: &List,
    rows: impl Iterator<Item = &'a ListedAsset>,
    out: &mut AnswerOutput,
) -> Result<(), OutputError> {
    let template = Template::new(list.rows.type_name(), &list.fields, of_asset);
    print_rows(rows, out, |row, text| template.push(text, |print, text| print(text, row)))
}

fn print_traded<'a>(
    list: &List,
    rows: impl Iterator<Item = Traded<'a>>,
    out: &mut AnswerOutput,
) -> Result<(), OutputError> {
    let template = Template::new(list.rows.type_name(), &list.fields, of_traded);
    print_rows(rows, out, |row, text| template.push(text, |print, text| print(text, &row)))
}

fn print_rows<R>(
    rows: impl Iterator<Item = R>,
    out: &mut AnswerOutput,
    push: impl Fn(R, &mut String),
) -> Result<(), OutputError> {
    out.text.push('[');
    for (place, row) in rows.enumerate() {
        if place > 0 {
            out.text.push(',');
        }
        push(row, &mut out.text);
        out.settle()?;
    }
    out.text.push(']');
    Ok(())
}
