//! Real replies of several servers and years, read by the readers that the program uses. The
//! folder lies beside the project; without it the tests say so. The same shapes, written for this
//! project, are in the tests next to the readers.

use std::path::Path;

use bytes::Bytes;
use stellar_ticker::horizon::{
    sse::{EventDecoder, StreamEvent},
    stellar_toml,
    wire::{self, AssetsPage},
};

use crate::support::fixtures;

/// Kind of a file, as far as the program reads it.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Kind {
    Trades,
    Assets,
    Book,
    Root,
    Stream,
    Toml,
    /// A response that this program never requests, or a single record.
    Other,
}

fn kind(path: &Path, text: &str) -> Kind {
    if path.extension().is_some_and(|ending| ending == "toml") {
        return Kind::Toml;
    }
    if path.to_string_lossy().ends_with(".sse.txt") {
        return Kind::Stream;
    }
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return Kind::Other };
    let first = &value["_embedded"]["records"][0];
    if first["base_is_seller"].is_boolean() {
        Kind::Trades
    } else if first["asset_issuer"].is_string() {
        Kind::Assets
    } else if value["bids"].is_array() && value["asks"].is_array() {
        Kind::Book
    } else if value["network_passphrase"].is_string() {
        Kind::Root
    } else {
        Kind::Other
    }
}

#[derive(Default, Debug)]
struct Counts {
    trades: usize,
    spoiled: usize,
    assets: usize,
    books: usize,
    roots: usize,
    events: usize,
    tomls: usize,
    no_tomls: Vec<String>,
}

/// Reads one file; nothing in it may make a reader panic, and what it is must be read.
fn read(path: &Path, text: &str, counts: &mut Counts) {
    let body = Bytes::from(text.to_owned());
    match kind(path, text) {
        Kind::Trades => {
            let records = wire::trades_page(&body).unwrap();
            assert!(!records.is_empty(), "{}", path.display());
            counts.trades += records.iter().filter(|record| record.is_ok()).count();
            counts.spoiled += records.iter().filter(|record| record.is_err()).count();
        }
        Kind::Assets => {
            let AssetsPage { records, count, next } = wire::assets_page(&body).unwrap();
            assert!(next.is_some() && count == records.len(), "{}", path.display());
            counts.assets += records.len();
        }
        Kind::Book => {
            // Samples of documents have levels that no server sends.
            counts.books += usize::from(wire::order_book(&body).is_ok());
        }
        Kind::Root => {
            assert!(!wire::root(&body).unwrap().network_passphrase.is_empty());
            counts.roots += 1;
        }
        Kind::Stream => {
            let mut decoder = EventDecoder::default();
            let mut chunk = body;
            while let Some(event) = decoder.next(&mut chunk) {
                counts.events += 1;
                if let StreamEvent::Record { id, data } = event {
                    let _ = wire::trade(data, Some(&id));
                }
            }
        }
        Kind::Toml => match stellar_toml::parse(text.as_bytes()) {
            Ok(_) => counts.tomls += 1,
            Err(_) => counts.no_tomls.push(path.file_name().unwrap().to_string_lossy().into_owned()),
        },
        Kind::Other => {
            let _ = (wire::trades_page(&body), wire::assets_page(&body), wire::order_book(&body));
            let _ = (wire::root(&body), wire::trade(body, None));
        }
    }
}

#[test]
fn every_real_reply_is_read_and_none_makes_a_reader_fall() {
    if !fixtures::are_there() {
        return;
    }
    let mut counts = Counts::default();
    let files = fixtures::files("");
    // Ledgers are binary: no reader of text is for them.
    for (path, text) in files.iter().filter_map(|path| Some((path, fixtures::read(path)?))) {
        read(path, &text, &mut counts);
    }
    println!("{} files: {counts:?}", files.len());
    assert!(counts.trades >= 100 && counts.assets >= 100 && counts.events >= 40, "{counts:?}");
    assert!(counts.books >= 2 && counts.roots >= 2 && counts.tomls >= 8, "{counts:?}");
    let malformed: Vec<&str> = counts.no_tomls.iter().map(String::as_str).collect();
    assert_eq!(malformed, ["kaputt.example.toml", "linkioafrica_ngnc-stellar-client.stellar.toml"]);
}
