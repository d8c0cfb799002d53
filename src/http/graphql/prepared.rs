//! A validated and resolved document: its whole response, except for the rows of its lists.

use std::{collections::BTreeMap, sync::Arc};

use async_graphql::{Response, ServerError, Value};
use async_graphql_actix_web::GraphQLRequest;

use super::{
    output::{AnswerOutput, CachedAnswer, CancelToken, OutputError},
    plan::{ConflictError, List, Plan},
    render,
    schema::Legacy,
};
use crate::{domain::market_snapshot::MarketSnapshot, http::negotiation::Coding};

/// A document that is ready to be printed.
pub(super) struct Prepared {
    response: Response,
    /// Lists by their names in the answer.
    lists: BTreeMap<String, List>,
}

impl Prepared {
    /// Validates and resolves a document.
    pub(super) async fn of(schema: &Legacy, request: GraphQLRequest) -> Self {
        let plan = Arc::new(Plan::default());
        let mut response = schema.execute(request.into_inner().data(Arc::clone(&plan))).await;
        if !response.errors.is_empty() {
            // No field of the root may be null. async-graphql leaves out those that fail.
            response.data = Value::Null;
        }
        match plan.take_lists(&response.data) {
            Ok(lists) => Self { response, lists },
            Err(ConflictError) => Self::from(ServerError::new(
                "One name in the answer stands for different fields or arguments. Use different aliases.",
                None,
            )),
        }
    }

    /// Returns the lists, which are printed row by row.
    pub(super) fn lists(&self) -> impl Iterator<Item = &List> {
        self.lists.values()
    }

    /// Prints the whole answer.
    ///
    /// # Errors
    ///
    /// The reason for which it was not finished.
    pub(super) fn print(
        &self,
        snapshot: &MarketSnapshot,
        output: &mut AnswerOutput,
    ) -> Result<(), OutputError> {
        render::print(&self.response, &self.lists, snapshot, output)
    }

    /// Returns a short answer, not compressed. Does not wait for memory.
    ///
    /// # Errors
    ///
    /// The reason for which it was not finished.
    pub(super) fn short(
        &self,
        snapshot: &MarketSnapshot,
        token: CancelToken,
    ) -> Result<CachedAnswer, OutputError> {
        let mut output = AnswerOutput::new(Coding::Identity, None, token);
        self.print(snapshot, &mut output)?;
        output.finish()
    }
}

impl From<ServerError> for Prepared {
    fn from(error: ServerError) -> Self {
        Self { response: Response::from_errors(vec![error]), lists: BTreeMap::new() }
    }
}
