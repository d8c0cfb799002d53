//! Choices of the assets that stand for codes.

use chrono::{DateTime, Utc};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    Database, DbError,
    fenced::{self, ChangedRows},
};
use crate::domain::{
    asset::Asset,
    symbol_choice::{Choice, Choices},
};

impl Database {
    /// Returns all stored choices. A row that this program cannot read is left out: its code then has the choice of the
    /// figures.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn symbol_choices(&self) -> Result<Choices, DbError> {
        self.bounded(async {
            let rows = self.client().await?.query_typed(include_str!("sql/symbols/all.sql"), &[]).await?;
            let mut choices = Choices::new();
            for row in rows {
                choices.extend(choice(&row)?);
            }
            Ok(choices)
        })
        .await
    }

    /// Stores choices, those of other codes stay.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection.
    pub async fn record_symbol_choices(&self, epoch: i64, choices: &Choices) -> Result<(), DbError> {
        let issuer = |asset: Option<Asset>| asset.map(|asset| asset.issuer().to_owned());
        let all = || choices.values();
        let codes: Vec<&String> = choices.keys().collect();
        let issuers: Vec<String> = all().map(|choice| choice.asset.issuer().to_owned()).collect();
        let since: Vec<DateTime<Utc>> = all().map(|choice| choice.since.to_utc()).collect();
        let previous: Vec<Option<String>> = all().map(|choice| issuer(choice.previous)).collect();
        let challengers: Vec<Option<String>> =
            all().map(|choice| issuer(choice.challenger.map(|(asset, _)| asset))).collect();
        let leading: Vec<Option<DateTime<Utc>>> =
            all().map(|choice| choice.challenger.map(|(_, since)| since.to_utc())).collect();
        let checked: Vec<DateTime<Utc>> = all().map(|choice| choice.checked_at.to_utc()).collect();
        let params: [(&(dyn ToSql + Sync), Type); 7] = [
            (&codes, Type::TEXT_ARRAY),
            (&issuers, Type::TEXT_ARRAY),
            (&since, Type::TIMESTAMPTZ_ARRAY),
            (&previous, Type::TEXT_ARRAY),
            (&challengers, Type::TEXT_ARRAY),
            (&leading, Type::TIMESTAMPTZ_ARRAY),
            (&checked, Type::TIMESTAMPTZ_ARRAY),
        ];
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        transaction.execute_typed(include_str!("sql/symbols/record.sql"), &params).await?;
        fenced::commit(transaction, epoch, "clean", &ChangedRows::default()).await?;
        Ok(())
    }

    /// Deletes the choices of these codes.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection.
    pub async fn forget_symbol_choices(&self, epoch: i64, codes: &[&str]) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&codes, Type::TEXT_ARRAY)];
        transaction.execute_typed(include_str!("sql/symbols/forget.sql"), &params).await?;
        fenced::commit(transaction, epoch, "clean", &ChangedRows::default()).await?;
        Ok(())
    }
}

fn choice(row: &Row) -> Result<Option<(String, Choice)>, DbError> {
    let code: String = row.try_get(0)?;
    let asset = |issuer: Option<String>| issuer.and_then(|issuer| Asset::issued(&code, &issuer).ok());
    let Some(chosen) = asset(row.try_get(1)?) else { return Ok(None) };
    let since: DateTime<Utc> = row.try_get(2)?;
    let leading: Option<DateTime<Utc>> = row.try_get(5)?;
    let checked_at: DateTime<Utc> = row.try_get(6)?;
    let choice = Choice {
        asset: chosen,
        since: since.into(),
        previous: asset(row.try_get(3)?),
        challenger: asset(row.try_get(4)?).zip(leading.map(Into::into)),
        checked_at: checked_at.into(),
    };
    Ok(Some((code, choice)))
}
