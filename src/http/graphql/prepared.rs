//! A validated and resolved document: its whole response, except for the rows of its lists.

use std::{collections::BTreeMap, sync::Arc};

use async_graphql::{Response, ServerError, Value};
use async_graphql_actix_web::GraphQLRequest;

use super::{
    output::{AnswerOutput, CachedAnswer, CancelToken, OutputError},
    plan::{List, Plan},
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
        let lists = plan.take_lists(&response.data);
        Self { response, lists }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::graphql::{
        output::CancelGuard, plan::ChosenField, request::DocumentRequest, schema::legacy,
    };
    use serde_json::json;

    async fn prepared(query: &str) -> Prepared {
        prepared_of(&json!({ "query": query })).await
    }

    async fn prepared_of(body: &serde_json::Value) -> Prepared {
        let request = DocumentRequest::from_body(body.to_string().as_bytes()).unwrap();
        match request.parse(&MarketSnapshot::default()).unwrap() {
            Ok((request, _)) => Prepared::of(&legacy(), request).await,
            Err(invalid) => Prepared::from(invalid),
        }
    }

    async fn answer(query: &str) -> String {
        let guard = CancelGuard::default();
        let answer = prepared(query).await.short(&MarketSnapshot::default(), guard.token()).unwrap();
        String::from_utf8(answer.pieces.concat()).unwrap()
    }

    async fn assert_conflict(query: &str) {
        let answer = answer(query).await;
        assert!(answer.contains("One name in the answer stands for different"), "{query}: {answer}");
        assert!(!answer.contains("\"data\""), "{query}: {answer}");
    }

    #[tokio::test]
    async fn one_name_for_two_fields_of_a_row_is_an_error() {
        assert_conflict("{ markets { p: open ...F } } fragment F on Market { p: close }").await;
        assert_conflict("{ markets { p: open ... on Market { p: close } } }").await;
        assert_conflict("{ ticker { open ... on AggregatedMarket { open: __typename } } }").await;
        assert_conflict("{ assets { code ... on Asset { code: name } } }").await;
    }

    #[tokio::test]
    async fn one_name_for_two_figures_of_a_book_is_an_error() {
        assert_conflict("{ ticker { orderbookStats { p: bidMax ... on OrderbookStats { p: askMin } } } }")
            .await;
        assert_conflict("{ markets { orderbookStats { p: bidMax } orderbookStats { p: askMin } } }").await;
        assert_conflict("{ markets { b: orderbookStats { bidMax } ... on Market { b: open } } }").await;
    }

    #[tokio::test]
    async fn one_name_in_two_selections_of_one_list_is_an_error() {
        assert_conflict("{ markets { p: open } markets { p: close } }").await;
        assert_conflict("{ markets { p: open } ... on Query { markets { p: close } } }").await;
        assert_conflict("{ a: markets { open } ... on Query { a: markets(numHoursAgo: 1) { open } } }").await;
    }

    #[tokio::test]
    async fn one_name_for_a_list_and_another_field_of_the_root_is_an_error() {
        for other in ["ticker { open }", "__typename", "__schema { queryType { name } }"] {
            assert_conflict(&format!("{{ a: markets {{ open }} ... on Query {{ a: {other} }} }}")).await;
            assert_conflict(&format!(
                "{{ a: {other} ...F }} fragment F on Query {{ a: markets {{ open }} }}"
            ))
            .await;
        }
        let types =
            "{ a: __type(name: \"Asset\") { name } ... on Query { a: __type(name: \"Market\") { kind } } }";
        assert_conflict(types).await;
    }

    #[tokio::test]
    async fn only_an_executed_document_has_data() {
        for (query, has_data) in [
            ("{ markets { close } }", true),
            ("{ __typename @skip(if: true) }", true),
            ("{ ticker(numHoursAgo: 169) { close } }", true),
            ("{ nope }", false),
            ("{", false),
            ("", false),
            ("{ a: markets { close } ... { a: __typename } }", false),
            ("{ __typename(a: 1) }", false),
            ("{ __typename { nope } }", false),
            ("{ markets { ... { __typename(a: $b) } close } }", false),
            ("{ markets { close } ...f } fragment f on Query { __typename { a } }", false),
        ] {
            let guard = CancelGuard::default();
            let answer = prepared(query).await.short(&MarketSnapshot::default(), guard.token()).unwrap();
            assert_eq!(answer.has_data, has_data, "{query}");
        }
    }

    #[tokio::test]
    async fn variables_and_operations_are_chosen_as_graphql_says() {
        let optional = "query A($h: Int) { ticker(numHoursAgo: $h) { close } }";
        let required = "query A($h: Int!) { ticker(numHoursAgo: $h) { close } }";
        let two = "query A { ticker { close } } query B { markets { close } }";
        for (has_data, query, name, variables) in [
            (true, optional, json!(null), json!(null)),
            (true, optional, json!(""), json!({"h": null})),
            (true, optional, json!("A"), json!({"h": 24.0, "unknown": [1]})),
            (false, optional, json!("A"), json!({"h": "24"})),
            (false, optional, json!("A"), json!({"h": 24.5})),
            (false, optional, json!("A"), json!({"h": true})),
            (false, optional, json!("B"), json!({})),
            (true, required, json!("A"), json!({"h": 1})),
            (false, required, json!("A"), json!({})),
            (false, required, json!("A"), json!({"h": null})),
            (true, two, json!("A"), json!({})),
            (true, two, json!("B"), json!({})),
            (false, two, json!(null), json!({})),
            (false, two, json!("C"), json!({})),
        ] {
            let body = json!({"query": query, "operationName": name, "variables": variables});
            let guard = CancelGuard::default();
            let prepared = prepared_of(&body).await;
            let answer = prepared.short(&MarketSnapshot::default(), guard.token()).unwrap();
            assert_eq!(answer.has_data, has_data, "{body}");
        }
    }

    #[tokio::test]
    async fn equal_fields_and_lists_are_merged() {
        let query = "{
                markets { p: open ...F orderbookStats { bidMax } }
                markets { p: open orderbookStats { askMin } }
            }
            fragment F on Market { p: open close orderbookStats { bidMax } }";
        assert_eq!(answer(query).await, "{\"data\":{\"markets\":[]}}");
        let prepared = prepared(query).await;
        let lists: Vec<_> = prepared.lists().collect();
        let [list] = lists.as_slice() else { panic!("{} lists", lists.len()) };
        let names = |fields: &[ChosenField]| {
            fields.iter().map(|field| (field.key.clone(), field.name.clone())).collect::<Vec<_>>()
        };
        let same = |key: &str, name: &str| (key.to_owned(), name.to_owned());
        let expected = [same("p", "open"), same("close", "close"), same("orderbookStats", "orderbookStats")];
        assert_eq!(names(&list.fields), expected);
        let book = list.fields.last().map(|field| names(&field.children)).unwrap();
        assert_eq!(book, [same("bidMax", "bidMax"), same("askMin", "askMin")]);
    }
}
