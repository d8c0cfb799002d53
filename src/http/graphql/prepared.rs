//! A document that was validated and resolved: all of its answer but the rows of its lists.

use std::{collections::BTreeMap, sync::Arc};

use async_graphql::{Response, ServerError};
use async_graphql_actix_web::GraphQLRequest;

use super::{
    answers::CachedAnswer,
    output::{Interest, Output, Stop},
    plan::{Conflict, List, Plan},
    render,
    schema::Legacy,
};
use crate::{domain::market_snapshot::MarketSnapshot, http::negotiation::Coding};

/// See the module.
pub(super) struct Prepared {
    response: Response,
    /// By their names in the answer.
    lists: BTreeMap<String, List>,
}

impl Prepared {
    /// Validates and resolves a document.
    pub(super) async fn of(schema: &Legacy, request: GraphQLRequest) -> Self {
        let plan = Arc::new(Plan::default());
        let response = schema.execute(request.into_inner().data(Arc::clone(&plan))).await;
        match plan.take_lists(&response.data) {
            Ok(lists) => Self { response, lists },
            Err(Conflict) => Self::from(ServerError::new(
                "One name in the answer is asked for with differing fields or arguments. Use different aliases.",
                None,
            )),
        }
    }

    /// The lists that are printed row by row.
    pub(super) fn lists(&self) -> impl Iterator<Item = &List> {
        self.lists.values()
    }

    /// Prints all of it.
    ///
    /// # Errors
    ///
    /// Why it was not finished.
    pub(super) fn print(&self, snapshot: &MarketSnapshot, output: &mut Output) -> Result<(), Stop> {
        render::print(&self.response, &self.lists, snapshot, output)
    }

    /// A short answer, made on the spot and not compressed.
    ///
    /// # Errors
    ///
    /// Why it was not finished.
    pub(super) fn short(&self, snapshot: &MarketSnapshot, interest: Interest) -> Result<CachedAnswer, Stop> {
        let mut output = Output::new(Coding::Identity, None, interest);
        self.print(snapshot, &mut output)?;
        output.finish()
    }
}

impl From<ServerError> for Prepared {
    fn from(error: ServerError) -> Self {
        Self { response: Response::from_errors(vec![error]), lists: BTreeMap::new() }
    }
}
