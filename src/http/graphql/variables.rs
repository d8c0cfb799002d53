//! Values of a document's variables, as the old endpoint read them. Pure.

use async_graphql::{
    ServerError, Value, Variables,
    parser::types::{BaseType, DocumentOperations, ExecutableDocument, OperationDefinition, Type},
};

/// Returns the variables with the defaults of those that are absent, since the directives of async-graphql do not know
/// defaults. A number such as `24.0` becomes an integer for a variable of the type `Int`.
pub(super) fn completed(
    mut variables: Variables,
    document: &ExecutableDocument,
    operation_name: Option<&str>,
) -> Variables {
    let Some(operation) = operation(document, operation_name) else { return variables };
    for variable in &operation.variable_definitions {
        let variable = &variable.node;
        let name = &variable.name.node;
        match (variables.get_mut(name), &variable.default_value) {
            (Some(value), _) if is_int(&variable.var_type.node) => make_int(value),
            (Some(_), _) | (None, None) => {}
            (None, Some(default)) => {
                variables.insert(name.clone(), default.node.clone());
            }
        }
    }
    variables
}

/// Checks that each variable of a type that is not nullable has a value. async-graphql takes its absence for an
/// absent argument if the argument is nullable.
///
/// # Errors
///
/// The answer to a request without such a value.
pub(super) fn check_required(
    variables: &Variables,
    document: &ExecutableDocument,
    operation_name: Option<&str>,
) -> Result<(), ServerError> {
    let Some(operation) = operation(document, operation_name) else { return Ok(()) };
    for variable in &operation.variable_definitions {
        let (name, declared) = (&variable.node.name.node, &variable.node.var_type.node);
        if !declared.nullable && variables.get(name).is_none_or(|value| *value == Value::Null) {
            let message = format!("Variable \"${name}\" of type \"{declared}\" must have a value");
            return Err(ServerError::new(message, Some(variable.pos)));
        }
    }
    Ok(())
}

/// Returns the operation that will run; none if async-graphql will refuse the name or its absence.
fn operation<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Option<&'a OperationDefinition> {
    let operation = match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Single(_), Some(_)) => None,
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        // The parser puts a single operation here too, if it has a name.
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
            operations.values().next()
        }
        (DocumentOperations::Multiple(_), None) => None,
    };
    operation.map(|operation| &operation.node)
}

fn is_int(declared: &Type) -> bool {
    matches!(&declared.base, BaseType::Named(name) if name == "Int")
}

fn make_int(value: &mut Value) {
    let Value::Number(number) = value else { return };
    // A whole double is printed without a point.
    let whole =
        number.as_f64().filter(|_| number.is_f64()).and_then(|float| float.to_string().parse::<i32>().ok());
    if let Some(whole) = whole {
        *value = Value::Number(whole.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;
    use serde_json::json;

    fn complete(query: &str, name: Option<&str>, variables: serde_json::Value) -> serde_json::Value {
        let document = parse_query(query).unwrap();
        let completed = completed(Variables::from_json(variables), &document, name);
        serde_json::to_value(&*completed).unwrap()
    }

    #[test]
    fn an_absent_variable_has_the_default_of_the_operation_that_runs() {
        let one = "query($s: Boolean = true, $n: Int = 7, $m: Int) { a }";
        assert_eq!(complete(one, None, json!({})), json!({"s": true, "n": 7}));
        assert_eq!(complete(one, None, json!({"s": null, "n": 8})), json!({"s": null, "n": 8}));
        let two = "query A($s: Boolean = true) { a } query B($s: Boolean = false) { a }";
        assert_eq!(complete(two, Some("A"), json!({})), json!({"s": true}));
        assert_eq!(complete(two, Some("B"), json!({})), json!({"s": false}));
        assert_eq!(complete(two, None, json!({})), json!({}));
    }

    #[test]
    fn the_only_operation_runs_without_its_name_if_it_has_one() {
        let named = "query A($s: Boolean = true, $h: Int) { a }";
        let expected = json!({"s": true, "h": 24});
        assert_eq!(complete(named, None, json!({"h": 24.0})), expected);
        assert_eq!(complete(named, Some("A"), json!({"h": 24.0})), expected);
        assert_eq!(complete(named, Some("B"), json!({})), json!({}), "no operation runs");
        assert_eq!(
            complete("query($s: Boolean = true) { a }", Some("A"), json!({})),
            json!({}),
            "none either"
        );
    }

    #[test]
    fn a_variable_that_is_not_nullable_must_have_a_value() {
        let checked = |query: &str, name: Option<&str>, variables: serde_json::Value| {
            let document = parse_query(query).unwrap();
            let variables = completed(Variables::from_json(variables), &document, name);
            check_required(&variables, &document, name).map_err(|error| error.message)
        };
        let required = "query A($h: Int!) { a } query B { a }";
        let refused = Err("Variable \"$h\" of type \"Int!\" must have a value".to_owned());
        assert_eq!(checked(required, Some("A"), json!({})), refused);
        assert_eq!(checked(required, Some("A"), json!({"h": null})), refused);
        for (query, name, variables) in [
            (required, Some("A"), json!({"h": 0})),
            (required, Some("B"), json!({})),
            (required, None, json!({})),
            ("query($h: Int) { a }", None, json!({"h": null})),
            ("query($h: Int! = 5) { a }", None, json!({})),
        ] {
            assert_eq!(checked(query, name, variables), Ok(()), "{query} {name:?}");
        }
    }

    #[test]
    fn a_whole_number_is_an_integer_for_a_variable_of_integers_only() {
        let query = "query($h: Int!, $t: Float) { a }";
        let given = |h: serde_json::Value| complete(query, None, json!({"h": h, "t": 24.0}));
        assert_eq!(given(json!(24.0)), json!({"h": 24, "t": 24.0}));
        assert_eq!(given(json!(-2_147_483_648.0)), json!({"h": i32::MIN, "t": 24.0}));
        for refused in [json!(24.5), json!(2_147_483_648.0), json!("24"), json!(null)] {
            assert_eq!(given(refused.clone())["h"], refused);
        }
    }
}
