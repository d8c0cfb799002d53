//! Parser of stellar.toml, field by field. Pure.

use toml::{Table, Value};

use crate::domain::issuer_file::{Currency, IssuerFile, Organisation};

/// Maximum number of currencies to read. A file of 100 KiB holds about 2,000.
const CURRENCIES_MAX: usize = 5_000;

/// Maximum length of an anchor code, which becomes part of pair names. A longer one is ignored.
const ANCHOR_BYTES_MAX: usize = 256;

/// Error for a file that is not TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a TOML file")]
pub struct InvalidTomlError;

/// Parses a file. A field of the wrong type counts as missing, and affects no other field. Keys may be in any case, as
/// for the old ticker. Texts and lists that no honest file has are cut.
///
/// # Errors
///
/// [`InvalidTomlError`] if the file is not UTF-8 or not TOML.
pub fn parse(bytes: &[u8]) -> Result<IssuerFile, InvalidTomlError> {
    let text = std::str::from_utf8(bytes).map_err(|_| InvalidTomlError)?;
    // Some editors write a byte order mark.
    let file: Table = text.trim_start_matches('\u{feff}').parse().map_err(|_| InvalidTomlError)?;
    let none = Table::new();
    let documentation = value_of(&file, "DOCUMENTATION").and_then(Value::as_table).unwrap_or(&none);
    let org = Organisation {
        name: text_of(documentation, "ORG_NAME"),
        url: text_of(documentation, "ORG_URL"),
        twitter: text_of(documentation, "ORG_TWITTER"),
        federation_server: text_of(&file, "FEDERATION_SERVER"),
        auth_server: text_of(&file, "AUTH_SERVER"),
        transfer_server: text_of(&file, "TRANSFER_SERVER"),
        web_auth_endpoint: text_of(&file, "WEB_AUTH_ENDPOINT"),
        deposit_server: text_of(&file, "DEPOSIT_SERVER"),
    }
    .shortened();
    let entries =
        value_of(&file, "CURRENCIES").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let currencies = entries.iter().filter_map(Value::as_table).take(CURRENCIES_MAX).map(currency).collect();
    Ok(IssuerFile { org, currencies })
}

fn currency(entry: &Table) -> Currency {
    let number = |name| value_of(entry, name).and_then(Value::as_integer).unwrap_or_default();
    let flag = |name| value_of(entry, name).and_then(Value::as_bool).unwrap_or_default();
    Currency {
        code: text_of(entry, "code"),
        issuer: text_of(entry, "issuer"),
        anchor_asset: Some(text_of(entry, "anchor_asset"))
            .filter(|code| code.len() <= ANCHOR_BYTES_MAX)
            .unwrap_or_default(),
        anchor_asset_type: text_of(entry, "anchor_asset_type").to_lowercase(),
        name: text_of(entry, "name"),
        desc: text_of(entry, "desc"),
        conditions: text_of(entry, "conditions"),
        redemption_instructions: text_of(entry, "redemption_instructions"),
        status: text_of(entry, "status"),
        display_decimals: number("display_decimals"),
        fixed_number: number("fixed_number"),
        max_number: number("max_number"),
        is_asset_anchored: flag("is_asset_anchored"),
        is_unlimited: flag("is_unlimited"),
        collateral_addresses: texts_of(entry, "collateral_addresses"),
        collateral_address_signatures: texts_of(entry, "collateral_address_signatures"),
    }
    .shortened()
}

/// Value of a key: of the exact key, else of one that differs in case only.
fn value_of<'a>(table: &'a Table, name: &str) -> Option<&'a Value> {
    let in_other_case =
        || table.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    table.get(name).or_else(in_other_case)
}

/// Removes NUL, which PostgreSQL's text cannot store.
fn clean(text: &str) -> String {
    text.replace('\0', "")
}

fn text_of(table: &Table, name: &str) -> String {
    value_of(table, name).and_then(Value::as_str).map(clean).unwrap_or_default()
}

fn texts_of(table: &Table, name: &str) -> Vec<String> {
    let list = value_of(table, name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_fields_that_the_ticker_uses() {
        let file = parse(
            br#"
            FEDERATION_SERVER = "https://tea.example/federation"
            WEB_AUTH_ENDPOINT = "https://tea.example/auth"
            [DOCUMENTATION]
            ORG_NAME = "Tea House"
            ORG_TWITTER = "@tea"
            [[CURRENCIES]]
            code = "TEA"
            issuer = "G1"
            anchor_asset = "USD"
            anchor_asset_type = "FIAT"
            display_decimals = 2
            fixed_number = 9007199254740993
            is_asset_anchored = true
            collateral_addresses = ["1A", 7, "1B"]
            "#,
        )
        .unwrap();
        assert_eq!((file.org.name.as_str(), file.org.twitter.as_str()), ("Tea House", "@tea"));
        assert_eq!(file.org.federation_server, "https://tea.example/federation");
        let tea = file.currency("TEA", "G1").unwrap();
        assert_eq!((tea.anchor_asset.as_str(), tea.anchor_asset_type.as_str()), ("USD", "fiat"));
        assert_eq!(
            (tea.display_decimals, tea.fixed_number, tea.is_unlimited),
            (2, 9_007_199_254_740_993, false)
        );
        assert_eq!(tea.collateral_addresses, ["1A", "1B"]);
    }

    #[test]
    fn every_key_fills_its_own_field() {
        let servers =
            ["FEDERATION_SERVER", "AUTH_SERVER", "TRANSFER_SERVER", "WEB_AUTH_ENDPOINT", "DEPOSIT_SERVER"];
        let names = ["ORG_NAME", "ORG_URL", "ORG_TWITTER"];
        let texts = [
            "code",
            "issuer",
            "anchor_asset",
            "name",
            "desc",
            "conditions",
            "redemption_instructions",
            "status",
        ];
        let lines = |keys: &[&str]| keys.iter().map(|key| format!("{key} = \"{key}\"\n")).collect::<String>();
        let text = format!(
            "{}[DOCUMENTATION]\n{}[[CURRENCIES]]\n{}display_decimals = 1\nfixed_number = 2\nmax_number = 3\n\
             collateral_address_signatures = [\"s\"]\n[[CURRENCIES]]\nmax_number = 3.0\nis_unlimited = \"true\"\n",
            lines(&servers),
            lines(&names),
            lines(&texts)
        );
        let file = parse(text.as_bytes()).unwrap();
        let org = &file.org;
        let read = [
            &org.federation_server,
            &org.auth_server,
            &org.transfer_server,
            &org.web_auth_endpoint,
            &org.deposit_server,
        ];
        assert_eq!(read, servers);
        assert_eq!([&org.name, &org.url, &org.twitter], names);
        let Currency {
            code,
            issuer,
            anchor_asset,
            name,
            desc,
            conditions,
            redemption_instructions,
            status,
            ..
        } = &file.currencies[0];
        assert_eq!(
            [code, issuer, anchor_asset, name, desc, conditions, redemption_instructions, status],
            texts
        );
        let first = &file.currencies[0];
        assert_eq!((first.display_decimals, first.fixed_number, first.max_number), (1, 2, 3));
        assert_eq!(first.collateral_address_signatures, ["s"]);
        assert_eq!(
            file.currencies[1],
            Currency::default(),
            "a number with a point and a quoted flag are none"
        );
    }

    #[test]
    fn a_bad_field_or_entry_affects_no_other() {
        let file = parse(
            br#"
            CURRENCIES = [1, "x", {code = "TEA", issuer = "G1", display_decimals = "two", fixed_number = 1.5, name = "Tea", desc = "a\u0000b"}]
            DOCUMENTATION = {ORG_NAME = 5, ORG_URL = "https://tea.example"}
            AUTH_SERVER = ["x"]
            "#,
        )
        .unwrap();
        assert_eq!((file.org.name.as_str(), file.org.url.as_str()), ("", "https://tea.example"));
        let tea = file.currency("TEA", "G1").unwrap();
        assert_eq!((tea.name.as_str(), tea.desc.as_str()), ("Tea", "ab"));
        assert_eq!((tea.display_decimals, tea.fixed_number), (0, 0));
    }

    #[test]
    fn keys_may_be_in_any_case_and_the_exact_one_counts() {
        let file = parse(
            br#"
            federation_server = "https://tea.example/federation"
            [documentation]
            org_name = "Tea House"
            Org_Url = "https://other.example"
            ORG_URL = "https://tea.example"
            [[currencies]]
            Code = "TEA"
            ISSUER = "G1"
            Display_Decimals = 2
            IS_UNLIMITED = true
            Collateral_Addresses = ["1A"]
            "#,
        )
        .unwrap();
        assert_eq!((file.org.name.as_str(), file.org.url.as_str()), ("Tea House", "https://tea.example"));
        assert_eq!(file.org.federation_server, "https://tea.example/federation");
        let tea = file.currency("TEA", "G1").unwrap();
        assert_eq!((tea.display_decimals, tea.is_unlimited), (2, true));
        assert_eq!(tea.collateral_addresses, ["1A"]);
    }

    #[test]
    fn no_text_or_list_is_longer_than_its_limit() {
        let long = "\u{fc}".repeat(10_000);
        let quoted =
            |keys: &[&str]| keys.iter().map(|key| format!("{key} = \"{long}\"\n")).collect::<String>();
        let list = format!("[{}]", format!("\"{}\",", "x".repeat(2_000)).repeat(101));
        let text = [
            quoted(&["FEDERATION_SERVER", "AUTH_SERVER", "TRANSFER_SERVER"]),
            quoted(&["WEB_AUTH_ENDPOINT", "DEPOSIT_SERVER"]),
            format!("[DOCUMENTATION]\n{}", quoted(&["ORG_NAME", "ORG_URL", "ORG_TWITTER"])),
            format!("[[CURRENCIES]]\n{}", quoted(&["code", "issuer", "anchor_asset", "anchor_asset_type"])),
            quoted(&["name", "desc", "conditions", "redemption_instructions", "status"]),
            format!("collateral_addresses = {list}\ncollateral_address_signatures = {list}\n"),
        ];
        let file = parse(text.concat().as_bytes()).unwrap();
        let org = &file.org;
        for text in [&org.name, &org.url, &org.twitter, &org.federation_server, &org.auth_server] {
            assert_eq!(text.len(), 1_024);
        }
        for text in [&org.transfer_server, &org.web_auth_endpoint, &org.deposit_server] {
            assert_eq!(text.len(), 1_024);
        }
        let [currency] = file.currencies.as_slice() else { panic!("{} currencies", file.currencies.len()) };
        assert!(currency.anchor_asset.is_empty(), "a longer one is ignored");
        for (text, bytes_max) in [
            (&currency.code, 1_024),
            (&currency.issuer, 1_024),
            (&currency.anchor_asset_type, 1_024),
            (&currency.name, 4_096),
            (&currency.status, 4_096),
            (&currency.desc, 8_192),
            (&currency.conditions, 8_192),
            (&currency.redemption_instructions, 8_192),
        ] {
            assert_eq!(text.len(), bytes_max);
        }
        for list in [&currency.collateral_addresses, &currency.collateral_address_signatures] {
            assert_eq!((list.len(), list.iter().map(String::len).max()), (100, Some(1_024)));
        }
    }

    #[test]
    fn rejects_what_is_not_toml() {
        for text in ["<html></html>", "code = \"TEA\" s", "a = 1\na = 2", "\u{0}"] {
            assert_eq!(parse(text.as_bytes()), Err(InvalidTomlError), "{text:?}");
        }
        assert_eq!(parse(&[0xff, 0xfe]), Err(InvalidTomlError));
        assert_eq!(parse(b""), Ok(IssuerFile::default()));
        assert_eq!(parse("\u{feff}VERSION = \"2\"".as_bytes()), Ok(IssuerFile::default()));
        assert!(parse("CURRENCIES = \"none\"".as_bytes()).unwrap().currencies.is_empty());
    }

    #[test]
    fn deep_nesting_never_overflows_the_stack() {
        let _ = parse(format!("a = {}{}", "[".repeat(50_000), "]".repeat(50_000)).as_bytes());
        let _ = parse(format!("a{} = 1", ".a".repeat(50_000)).as_bytes());
    }

    proptest! {
        #[test]
        fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn never_panics_on_any_text_in_a_field(text in "\\PC*") {
            let _ = parse(format!("[[CURRENCIES]]\ncode = {text}\nissuer = '''{text}'''").as_bytes());
        }
    }
}
