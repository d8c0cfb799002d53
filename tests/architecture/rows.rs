//! Rows of `trades` are read by the names of their columns, so that a column can be added anywhere in a statement. The
//! rule sees reads in the function that includes the statement, not those in a helper that gets the rows.

use syn::visit::{self, Visit};

use super::modules::Files;

/// Columns of `trades`. A statement that selects [`COLUMNS_MIN`] of them or more unchanged returns rows of `trades`.
const COLUMNS: [&str; 7] =
    ["toid", "trade_order", "ledger_close_time", "base_amount", "counter_amount", "price_n", "price_d"];
/// Fewest of these columns that make a row. One of them alone is a value.
const COLUMNS_MIN: usize = 2;

/// Functions that include a statement on `trades` and read a column by its position. `sql` returns the text of a
/// statement by its path below `src/db`.
pub(crate) fn read_by_position(files: &Files, sql: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, text) in files {
        let mut functions = Functions::default();
        functions.visit_file(&syn::parse_file(text).expect("the file parses"));
        for function in functions.found {
            let mut statements = function.statements.iter().filter_map(|path| sql(path));
            if let Some(line) = function.position
                && statements.any(|statement| selects_trades(&statement))
            {
                faults.push(format!("{file}:{line}"));
            }
        }
    }
    faults
}

/// Returns true if the outermost columns of a statement are those of `trades`. `COPY` sends no names, so its rows are
/// read by position, which a test of `trades/columns.rs` guards.
fn selects_trades(statement: &str) -> bool {
    let code: Vec<&str> = statement.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let code = code.join("\n");
    let outermost = outermost(&code);
    let is_read = ["SELECT", "WITH"].iter().any(|word| outermost.trim_start().starts_with(word));
    let columns = outermost.split_once("SELECT").and_then(|(_, rest)| rest.split_once("FROM"));
    let Some((columns, _)) = columns else { return false };
    let names = columns.split(',').map(|column| column.trim().trim_start_matches("t."));
    let is_of_trades = code.contains("trades");
    is_read && is_of_trades && names.filter(|name| COLUMNS.contains(name)).count() >= COLUMNS_MIN
}

/// Statement without the text in its parentheses.
fn outermost(code: &str) -> String {
    let mut depth = 0_usize;
    let mut kept = String::new();
    for character in code.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(character),
            _ => {}
        }
    }
    kept
}

/// One function: the statements that it includes, and the first line that reads a column by its position.
#[derive(Default)]
struct Function {
    statements: Vec<String>,
    position: Option<usize>,
}

/// The functions of a file. The last one is being read.
#[derive(Default)]
struct Functions {
    found: Vec<Function>,
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.found.push(Function::default());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.found.push(Function::default());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if call.path.is_ident("include_str")
            && let (Some(function), Ok(path)) = (self.found.last_mut(), call.parse_body::<syn::LitStr>())
        {
            function.statements.push(path.value().trim_start_matches("../").to_owned());
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let is_read = call.method == "get" || call.method == "try_get";
        let is_number =
            matches!(call.args.first(), Some(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(_), .. })));
        if is_read
            && is_number
            && let Some(function) = self.found.last_mut()
        {
            function.position.get_or_insert(call.method.span().start().line);
        }
        visit::visit_expr_method_call(self, call);
    }
}
