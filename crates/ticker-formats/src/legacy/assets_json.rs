//! Writer of the legacy `assets.json`. Keys, their order, numbers, times and escapes match the old ticker byte for
//! byte.

use std::borrow::Borrow;

use ticker_domain::{
    amount::STROOPS_PER_UNIT,
    instant::UnixSeconds,
    json_text::push_string,
    listed_asset::ListedAsset,
    number::{push_go_number, ratio_to_f64},
};

/// Renders the file for `as_of`. The caller passes `assets` sorted by code, then issuer.
#[must_use]
pub fn render<A: Borrow<ListedAsset>>(as_of: UnixSeconds, assets: &[A]) -> String {
    let rows: Vec<String> = assets.iter().map(|asset| row(asset.borrow())).collect();
    [head(as_of), rows.join(","), foot(assets.is_empty()).to_owned()].concat()
}

/// Renders the text before the first asset.
#[must_use]
pub fn head(as_of: UnixSeconds) -> String {
    let (millis, text) = (as_of.0.saturating_mul(1_000), as_of.to_rfc3339());
    format!("{{\n\t\"generated_at\": {millis},\n\t\"generated_at_rfc3339\": \"{text}\",\n\t\"assets\": [")
}

/// Renders one asset. The caller joins assets with commas.
#[must_use]
pub fn row(asset: &ListedAsset) -> String {
    let mut out = String::with_capacity(1_600);
    out.push_str("\n\t\t{");
    push_asset(&mut out, asset);
    out.push_str("\n\t\t}");
    out
}

/// Text after the last asset.
#[must_use]
pub(crate) const fn foot(is_empty: bool) -> &'static str {
    if is_empty { "]\n}" } else { "\n\t]\n}" }
}

fn push_asset(out: &mut String, asset: &ListedAsset) {
    let currency = &asset.currency;
    let mut fields = Fields { out, indent: "\t\t\t", is_first: true };
    fields.text("code", &currency.code);
    fields.text("issuer", &currency.issuer);
    fields.text("type", &asset.kind);
    fields.whole("num_accounts", asset.num_accounts);
    fields.flag("auth_required", asset.auth_required);
    fields.flag("auth_revocable", asset.auth_revocable);
    fields.number("amount", ratio_to_f64(asset.amount.stroops(), STROOPS_PER_UNIT));
    fields.flag("asset_controlled_by_domain", asset.is_controlled_by_domain);
    fields.text("anchor_asset", &currency.anchor_asset);
    fields.text("anchor_asset_type", &currency.anchor_asset_type);
    fields.whole("display_decimals", currency.display_decimals);
    fields.text("name", &currency.name);
    fields.text("desc", &currency.desc);
    fields.text("conditions", &currency.conditions);
    fields.flag("is_asset_anchored", currency.is_asset_anchored);
    fields.whole("fixed_number", currency.fixed_number);
    fields.whole("max_number", currency.max_number);
    fields.flag("is_unlimited", currency.is_unlimited);
    fields.text("redemption_instructions", &currency.redemption_instructions);
    fields.list("collateral_addresses", &currency.collateral_addresses);
    fields.list("collateral_address_signatures", &currency.collateral_address_signatures);
    fields.text("countries", ""); // always empty in the old ticker's file
    fields.text("status", &currency.status);
    fields.key("issuer_detail");
    push_issuer(fields.out, asset);
    fields.text("last_valid", &asset.last_valid.to_rfc3339());
}

fn push_issuer(out: &mut String, asset: &ListedAsset) {
    out.push('{');
    let org = &asset.issuer;
    let mut fields = Fields { out, indent: "\t\t\t\t", is_first: true };
    for (key, text) in [
        ("public_key", &asset.currency.issuer),
        ("name", &org.name),
        ("url", &org.url),
        ("toml_url", &asset.toml_url),
        ("federation_server", &org.federation_server),
        ("auth_server", &org.auth_server),
        ("transfer_server", &org.transfer_server),
        ("web_auth_endpoint", &org.web_auth_endpoint),
        ("deposit_server", &org.deposit_server),
        ("org_twitter", &org.twitter),
    ] {
        fields.text(key, text);
    }
    out.push_str("\n\t\t\t}");
}

/// Writer for the fields of one JSON object, one field per line.
struct Fields<'a> {
    out: &'a mut String,
    indent: &'static str,
    is_first: bool,
}

impl Fields<'_> {
    fn key(&mut self, key: &str) {
        self.out.push_str(if std::mem::take(&mut self.is_first) { "\n" } else { ",\n" });
        self.out.push_str(self.indent);
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\": ");
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        push_string(self.out, text);
    }

    fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        self.out.push_str(if flag { "true" } else { "false" });
    }

    fn whole(&mut self, key: &str, number: i64) {
        self.key(key);
        self.out.push_str(&number.to_string());
    }

    fn number(&mut self, key: &str, number: f64) {
        self.key(key);
        push_go_number(self.out, number);
    }

    fn list(&mut self, key: &str, texts: &[String]) {
        self.key(key);
        self.out.push('[');
        for (index, text) in texts.iter().enumerate() {
            self.out.push_str(if index == 0 { "\n" } else { ",\n" });
            self.out.push_str(self.indent);
            self.out.push('\t');
            push_string(self.out, text);
        }
        if !texts.is_empty() {
            self.out.push('\n');
            self.out.push_str(self.indent);
        }
        self.out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticker_domain::{amount::Total, issuer_file::Currency};

    #[test]
    fn renders_the_bytes_of_the_old_program() {
        let tea = ListedAsset {
            kind: "credit_alphanum4".into(),
            num_accounts: 12,
            amount: Total::from_stroops(1).unwrap(),
            currency: Currency {
                code: "TEA".into(),
                issuer: "G1".into(),
                desc: "a <b> & \"c\"".into(),
                fixed_number: 9_007_199_254_740_993,
                collateral_addresses: vec!["one".into(), "two".into()],
                ..Currency::default()
            },
            toml_url: "https://tea.example/.well-known/stellar.toml".into(),
            ..ListedAsset::default()
        };
        insta::assert_snapshot!(render(UnixSeconds(1_795_457_237), &[tea.clone(), tea]));
    }

    #[test]
    fn renders_an_empty_list_without_assets() {
        let none = render::<ListedAsset>(UnixSeconds(1), &[]);
        assert_eq!(
            none,
            "{\n\t\"generated_at\": 1000,\n\t\"generated_at_rfc3339\": \"1970-01-01T00:00:01Z\",\n\t\"assets\": []\n}"
        );
    }

    #[test]
    fn stays_valid_json_with_any_text() {
        let hostile: String =
            (0..0x300).filter_map(char::from_u32).chain(['\u{2028}', '\u{1f600}']).collect();
        let asset = ListedAsset {
            currency: Currency {
                name: hostile.clone(),
                collateral_addresses: vec![hostile.clone()],
                ..Currency::default()
            },
            ..ListedAsset::default()
        };
        let read: serde_json::Value = serde_json::from_str(&render(UnixSeconds(1), &[asset])).unwrap();
        assert_eq!(read["assets"][0]["name"], hostile);
        assert_eq!(read["assets"][0]["collateral_addresses"][0], hostile);
    }
}
