//! Each rule is broken here in every form that the language has for it, and must find it.

use super::{
    modules::{self, Files, Modules},
    rows,
    rules::{self, Edges, Layers},
};

const LAYERS: Layers<'static> = Layers(&[
    ("actors", "src/actors"),
    ("db", "src/db"),
    ("domain", "src/domain"),
    ("http", "src/http"),
    ("sim", "crates/horizon-sim/src"),
]);

/// A small workspace without a fault: `http` and `actors` import `db`, `db` and the crate `sim` import `domain`.
const CLEAN: [(&str, &str); 14] = [
    ("src/lib.rs", "pub mod actors; pub mod db; pub mod domain; pub mod http;"),
    ("src/actors/mod.rs", "pub mod aggregator; pub mod auditor; pub mod port;"),
    ("src/actors/aggregator.rs", "pub mod pace; pub struct Aggregator; impl Actor for Aggregator {}"),
    ("src/actors/aggregator/pace.rs", "pub struct Pace; use crate::db::Database;"),
    ("src/actors/auditor.rs", "use super::port::Port; pub struct Audit; impl Work for Audit {}"),
    ("src/actors/port.rs", "pub struct Port; impl<W: Work> Actor for Port<W> {}"),
    ("src/db/mod.rs", "pub mod pool; pub use self::pool::Database;"),
    (
        "src/db/pool.rs",
        "use crate::domain::amount::Amount; pub struct Database; const Q: &str = \"SELECT 1\";",
    ),
    ("src/domain/mod.rs", "pub mod amount; pub mod price;"),
    ("src/domain/amount.rs", "pub struct Amount;"),
    ("src/domain/price.rs", "use super::amount::Amount; pub struct Price;"),
    ("src/http/mod.rs", "pub mod server;"),
    ("src/http/server.rs", "use crate::db::Database;"),
    ("crates/horizon-sim/src/lib.rs", "use stellar_ticker::domain::amount::Amount;"),
];

/// The clean workspace with more text at the end of some files.
fn planted(more: &[(&str, &str)]) -> Modules {
    let mut files: Files =
        CLEAN.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    for (file, text) in more {
        files.get_mut(*file).expect("a file of the small workspace").push_str(&format!("\n{text}"));
    }
    let crate_at = |name: &str, root: &str| (name.to_owned(), root.to_owned());
    let crates =
        [crate_at("stellar_ticker", "src/lib.rs"), crate_at("horizon_sim", "crates/horizon-sim/src/lib.rs")];
    modules::read(&files, &crates)
}

fn listed() -> Edges {
    rules::listed_edges(
        "# A\n\n## Allowed imports\n\n```\ndomain <-\nsim <- domain\ndb <- domain\nactors <- db\nhttp <- db\n```\n",
    )
}

fn wrong_edges(more: &[(&str, &str)]) -> Vec<String> {
    rules::wrong_edges(&planted(more), &LAYERS, &listed())
}

/// Each text alone in `file` must break the rule, once at least.
fn each_breaks(file: &str, forms: &[&str], rule: impl Fn(&Modules) -> Vec<String>) {
    for form in forms {
        assert!(!rule(&planted(&[(file, form)])).is_empty(), "not found in {file}: {form}");
    }
}

#[test]
fn the_small_workspace_breaks_no_rule() {
    let modules = planted(&[]);
    assert_eq!(rules::wrong_edges(&modules, &LAYERS, &listed()), Vec::<String>::new());
    assert_eq!(
        rules::actors(&modules, "src/actors").into_iter().collect::<Vec<_>>(),
        ["aggregator", "auditor"]
    );
    assert_eq!(rules::actors_that_import_actors(&modules, "src/actors"), Vec::<String>::new());
    assert_eq!(rules::stray_sql(&modules, &LAYERS, &["db"]), Vec::<String>::new());
    assert_eq!(rules::circles_of_files(&modules), Vec::<Vec<String>>::new());
    assert_eq!(rules::circles_of_layers(&listed()), Vec::<Vec<String>>::new());
    assert_eq!(rules::forbidden_names(&modules, &LAYERS, super::forbidden_in), Vec::<String>::new());
    assert_eq!(rules::misnamed_errors(&modules), Vec::<String>::new());
}

#[test]
fn an_actor_that_is_not_in_the_list_is_found_in_every_form() {
    let list = "use crate::actors::{aggregator::Aggregator, auditor::Audit};\n\
                macro_rules! actors { ($($slot:ident: $actor:ty,)*) => {}; }\n\
                actors! { aggregator: Aggregator, checker: Audit, }";
    let listed = rules::listed_actors(list);
    assert_eq!(rules::actors(&planted(&[]), "src/actors"), listed);
    for form in [
        "struct Cleaner; impl Work for Cleaner {}",
        "struct Cleaner; impl super::Actor for Cleaner {}",
        "struct Cleaner<T>(T); impl<T> Work for Cleaner<T> {}",
        "struct Cleaner<T>(T); impl<T: Clone> Actor for Cleaner<T> {}",
        "struct Cleaner<const N: usize>; impl<const N: usize> Work for Cleaner<N> {}",
    ] {
        let found = rules::actors(&planted(&[("src/actors/port.rs", form)]), "src/actors");
        assert_eq!(found.difference(&listed).collect::<Vec<_>>(), ["port"], "{form}");
    }
}

#[test]
fn an_error_with_another_name_is_found_in_every_form() {
    let forms = [
        "#[derive(Debug, thiserror::Error)] enum Refusal {}",
        "use thiserror::Error; #[derive(Error)] struct Refusal;",
        "#[derive(Debug)] #[derive(Error)] struct Refusal;",
        "impl std::error::Error for Refusal {}",
        "impl<T> Error for Refusal<T> {}",
        "fn f() { #[derive(Error)] enum Refusal {} }",
    ];
    each_breaks("src/http/server.rs", &forms, rules::misnamed_errors);
    let fine = "#[derive(Debug, thiserror::Error)] enum ReadError {} impl std::error::Error for OtherError {} \
                #[derive(Debug)] enum Outcome {}";
    assert_eq!(rules::misnamed_errors(&planted(&[("src/http/server.rs", fine)])), Vec::<String>::new());
}

#[test]
fn a_read_by_position_is_found_in_the_function_that_includes_the_statement() {
    let sql = |path: &str| {
        let statement = match path {
            "sql/rows.sql" => "-- Rows.\nSELECT market_id, toid, trade_order FROM trades",
            "sql/with.sql" => {
                "WITH newest AS (SELECT * FROM trades WHERE toid > $1)\nSELECT toid, price_n FROM newest"
            }
            "sql/sums.sql" => {
                "WITH days AS (SELECT toid, price_n FROM trades) SELECT count(*), max(toid) FROM days"
            }
            "sql/joined.sql" => "SELECT t.price_n, t.price_d\nFROM unnest($1) AS a JOIN trades t ON true",
            "sql/times.sql" => {
                "SELECT (SELECT max(ledger_close_time) FROM trades), frozen_before FROM progress"
            }
            "sql/batches.sql" => "SELECT seq, kind FROM ingest_batches",
            _ => return None,
        };
        Some(statement.to_owned())
    };
    let found = |text: &str| {
        let files = Files::from([("src/db/a.rs".to_owned(), text.to_owned())]);
        rows::read_by_position(&files, sql)
    };
    for form in [
        "fn f() { query(include_str!(\"sql/rows.sql\")).get(0) }",
        "fn f() { let rows = query(include_str!(\"sql/joined.sql\")); rows.map(|row| row.try_get(1)) }",
        "impl X { async fn f() { query(include_str!(\"../sql/rows.sql\")).await?.try_get::<_, i64>(2)? } }",
        "fn f() { query(include_str!(\"sql/with.sql\")).try_get(1) }",
    ] {
        assert_eq!(found(form), ["src/db/a.rs:1"], "{form}");
    }
    for fine in [
        "fn f() { query(include_str!(\"sql/rows.sql\")).try_get(\"toid\") }",
        "fn f() { query(include_str!(\"sql/times.sql\")).try_get(0) }",
        "fn f() { query(include_str!(\"sql/sums.sql\")).try_get(0) }",
        "fn f() { query(include_str!(\"sql/batches.sql\")).try_get(0) }",
        "fn f() { include_str!(\"sql/rows.sql\"); } fn g() { row.try_get(0) }",
    ] {
        assert_eq!(found(fine), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn a_message_outside_of_its_file_is_found_in_every_form() {
    let rule = |modules: &Modules| rules::stray_messages(modules, "src/", "src/actors/port.rs");
    let forms = [
        "struct Ask; impl Message for Ask {}",
        "struct Ask; impl actix::Message for Ask {}",
        "mod inner { struct Ask; impl super::Message for Ask {} }",
    ];
    each_breaks("src/actors/auditor.rs", &forms, rule);
    each_breaks("src/http/server.rs", &forms, rule);
    for form in forms {
        assert_eq!(rule(&planted(&[("src/actors/port.rs", form)])), Vec::<String>::new(), "{form}");
    }
    let of_tests = "#[cfg(test)] mod tests { struct Ask; impl Message for Ask {} }";
    assert_eq!(rule(&planted(&[("src/actors/auditor.rs", of_tests)])), Vec::<String>::new());
}

#[test]
fn an_actor_that_imports_another_is_found_in_every_form() {
    let rule = |modules: &Modules| rules::actors_that_import_actors(modules, "src/actors");
    let forms = [
        "use super::{aggregator::Aggregator, port::Port};",
        "use super::aggregator;",
        "use super::aggregator as other;",
        "use super::aggregator::*;",
        "use super::{self as above, port::Port}; fn f(_: above::aggregator::Aggregator) {}",
        "use super::*; fn f(_: aggregator::Aggregator) {}",
        "use crate::actors::aggregator::pace::Pace;",
        "use crate::{actors::{aggregator::{pace::{Pace as P}}}};",
        "use crate as all; fn f(_: all::actors::aggregator::Aggregator) {}",
        "pub use super::aggregator::Aggregator;",
        "fn f() { use super::aggregator::Aggregator; }",
        "fn f(_: &[Option<super::aggregator::Aggregator>]) {}",
        "fn f() { crate::actors::aggregator::pace::go(1) }",
        "fn f() { println!(\"{}\", super::aggregator::NAME); }",
        "macro_rules! m { () => { $crate::actors::aggregator::NAME } }",
        "#[derive(super::aggregator::Derived)] struct X;",
        "impl super::aggregator::Trait for Audit {}",
        "mod inner { use super::super::aggregator::Aggregator; }",
        "mod inner { use super::*; mod deep { fn f(_: super::super::super::aggregator::Aggregator) {} } }",
        "#[cfg(test)] mod tests { use crate::actors::aggregator::Aggregator; }",
    ];
    each_breaks("src/actors/auditor.rs", &forms, rule);
    each_breaks("src/actors/aggregator/pace.rs", &["use super::super::auditor::Audit;"], rule);
    // Through a name that their parent passes on.
    let passed_on = [
        ("src/actors/mod.rs", "pub use aggregator::Aggregator;"),
        ("src/actors/auditor.rs", "use super::Aggregator;"),
    ];
    assert_eq!(rule(&planted(&passed_on)).len(), 1);
}

#[test]
fn an_actor_in_a_text_or_a_comment_is_no_import() {
    let fine =
        "// super::aggregator::Aggregator\n/// [`super::aggregator`]\nconst T: &str = \"super::aggregator\";";
    let modules = planted(&[("src/actors/auditor.rs", fine)]);
    assert_eq!(rules::actors_that_import_actors(&modules, "src/actors"), Vec::<String>::new());
}

#[test]
fn a_layer_that_reaches_another_is_found_in_every_form() {
    for (file, form, edge) in [
        ("src/domain/amount.rs", "use super::super::db;", "domain imports db"),
        ("src/domain/amount.rs", "use super::super::{db::pool::Database as D};", "domain imports db"),
        ("src/domain/amount.rs", "fn f(_: super::super::db::Database) {}", "domain imports db"),
        ("src/domain/amount.rs", "use super::super as all; use all::db::Database;", "domain imports db"),
        ("src/domain/mod.rs", "use super::db::Database;", "domain imports db"),
        ("src/domain/price.rs", "use crate::{domain::amount, http::server};", "domain imports http"),
        ("src/domain/price.rs", "mod tests { use crate::actors::port::Port; }", "domain imports actors"),
        ("src/http/server.rs", "use super::super::actors;", "http imports actors"),
        ("src/http/server.rs", "use super::super::actors::port::Port;", "http imports actors"),
        ("src/http/server.rs", "fn f() { vec![crate::actors::port::new()]; }", "http imports actors"),
        ("crates/horizon-sim/src/lib.rs", "use stellar_ticker::db::Database;", "sim imports db"),
        ("crates/horizon-sim/src/lib.rs", "use ::stellar_ticker::http;", "sim imports http"),
    ] {
        let faults = wrong_edges(&[(file, form)]);
        assert_eq!(faults.len(), 1, "{form}: {faults:?}");
        assert!(faults[0].starts_with(edge), "{form}: {faults:?}");
    }
}

#[test]
fn a_layer_that_is_reached_through_a_passed_on_name_is_found() {
    let faults = wrong_edges(&[
        ("src/db/mod.rs", "pub use crate::actors::port::Port;"),
        ("src/http/server.rs", "use crate::db::Port;"),
    ]);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[1].starts_with("http imports actors"), "{faults:?}");
    let through_a_crate = wrong_edges(&[
        ("src/lib.rs", "pub use horizon_sim as sim;"),
        ("src/http/server.rs", "use crate::sim::start;"),
    ]);
    assert_eq!(through_a_crate.len(), 1, "{through_a_crate:?}");
}

#[test]
fn an_edge_that_is_listed_and_does_not_exist_is_found() {
    let mut listed = listed();
    listed.insert(("http".to_owned(), "domain".to_owned()));
    let faults = rules::wrong_edges(&planted(&[]), &LAYERS, &listed);
    assert_eq!(faults, ["http does not import domain, which ARCHITECTURE.md lists"]);
}

#[test]
fn a_layer_or_a_file_that_nobody_listed_is_found() {
    let page = "\n## Allowed imports\n\n```\ndomain <-\ncellar <- domain\n```\n";
    assert_eq!(
        rules::unlisted_layers(page, &Layers(&[("domain", "src/domain"), ("db", "src/db")])),
        ["cellar", "db"]
    );
    let few = Layers(&[("domain", "src/domain"), ("http", "src/http")]);
    assert!(rules::without_layer(&planted(&[]), &few).contains("src/db/pool.rs"));
}

#[test]
fn a_circle_between_layers_is_found() {
    let mut listed = listed();
    listed.insert(("domain".to_owned(), "actors".to_owned()));
    assert_eq!(rules::circles_of_layers(&listed), [["actors", "db", "domain"]]);
}

#[test]
fn an_impure_name_in_a_pure_layer_is_found_in_every_form() {
    let rule = |modules: &Modules| rules::forbidden_names(modules, &LAYERS, super::forbidden_in);
    let forms = [
        "use std::{env, fs};",
        "use std::{fmt, fs::File};",
        "use std::fs as disk;",
        "use std::*;",
        "use std::net::*;",
        "use std::time::{Duration, Instant};",
        "use std; fn f() { std::env::var(\"A\") }",
        "use std::time; fn f() { time::SystemTime::now() }",
        "use ::std::process::Command;",
        "fn f() { core::net::TcpStream::connect(1) }",
        "fn f() { println!(\"{}\", std::env::args().count()); }",
        "use chrono::Utc; fn f() { Utc::now() }",
        "use chrono::{self as time}; fn f() { time::Utc::now() }",
        "fn f() { chrono::offset::Local::now() }",
        "use tokio::sync::mpsc;",
        "#[tokio::main] async fn f() {}",
        "use {actix::Addr};",
    ];
    each_breaks("src/domain/amount.rs", &forms, rule);
    let addresses = ["use actix::{Addr, Recipient};", "fn f(_: actix::Addr<X>) {}", "use actix::*;"];
    each_breaks("src/http/server.rs", &addresses, rule);
    let wall_clock = [
        "fn f() { chrono::Utc::now() }",
        "use chrono::Utc as Zone; fn f() { Zone::now() }",
        "use std::time; fn f() { time::SystemTime::now() }",
    ];
    each_breaks("src/http/server.rs", &wall_clock, rule);
    each_breaks("src/http/server.rs", &["use tokio_postgres::{Client, Row};"], rule);
    let fine = [
        (
            "src/domain/amount.rs",
            "use std::{fmt, net::IpAddr, time::Duration}; use chrono::Utc; struct tokio;",
        ),
        ("src/http/server.rs", "use actix_web::web; use std::env;"),
    ];
    assert_eq!(rule(&planted(&fine)), Vec::<String>::new());
}

#[test]
fn sql_outside_its_layers_is_found_in_every_form() {
    let rule = |modules: &Modules| rules::stray_sql(modules, &LAYERS, &["db"]);
    let forms = [
        "const Q: &str = \"SELECT code FROM assets\";",
        "const Q: &str = \"select code\\n  from assets\";",
        "const Q: &str = r#\"with a as (select 1) select * from a\"#;",
        "fn f() { query(\"insert into trades values ($1)\") }",
        "fn f() { format!(\"delete from {table}\"); }",
        "fn f() { query(\"update assets set is_valid = true\") }",
        "fn f() { query(\"select pg_advisory_lock(1)\") }",
        "fn f() { query(\"drop table trades\") }",
        "fn f() { query(\"begin; create schema x\") }",
        "fn f() { query(\"lock table trades in exclusive mode\") }",
        "fn f() { query(\"copy trades from stdin binary\") }",
        "fn f() { query(\"COPY (SELECT 1) TO STDOUT\") }",
        "fn f() { query(\"truncate trades, assets\") }",
        "fn f() { query(\"merge into trades using new on true\") }",
        "const Q: &str = \"-- The code.\\nSELECT code FROM assets\";",
        "const Q: &str = include_str!(\"../db/sql/trades/find.sql\");",
    ];
    each_breaks("src/http/server.rs", &forms, rule);
    let fine = [
        "const T: &str = \"select a market from the list\";",
        "const T: &str = \"update failed: the set is empty\";",
        "/// SELECT code FROM assets\nfn f() {}",
        "const T: &str = \"the table of trades is dropped\";",
        "const T: &str = \"copy the options from the service\";",
        "const T: &str = \"truncated body\";",
    ];
    for text in fine {
        assert_eq!(rule(&planted(&[("src/http/server.rs", text)])), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_circle_between_files_is_found() {
    let circle = |more: &[(&str, &str)]| rules::circles_of_files(&planted(more));
    for back in [
        "use super::price::Price;",
        "fn f() { super::price::go() }",
        "use super::*; fn f(_: price::Price) {}",
    ] {
        let found = circle(&[("src/domain/amount.rs", back)]);
        assert!(found.iter().flatten().any(|file| file == "src/domain/amount.rs"), "{back}: {found:?}");
    }
    // A module and its child are one concept.
    let family = [
        ("src/actors/aggregator.rs", "use pace::Pace;"),
        ("src/actors/aggregator/pace.rs", "use super::Aggregator;"),
    ];
    assert_eq!(circle(&family), Vec::<Vec<String>>::new());
    let of_three = [
        ("src/domain/amount.rs", "use crate::db::pool::Database;"),
        ("src/domain/mod.rs", "pub use amount::Amount;"),
    ];
    assert_eq!(circle(&of_three), [["src/db/pool.rs", "src/domain/amount.rs"]]);
}

#[test]
fn a_circle_that_only_tests_close_is_accepted() {
    let tests = "#[cfg(test)] mod tests { use super::super::price::Price; }";
    assert_eq!(
        rules::circles_of_files(&planted(&[("src/domain/amount.rs", tests)])),
        Vec::<Vec<String>>::new()
    );
}
