//! Simulated stellar.toml files of the issuers (SEP-1).

use super::super::model::TomlReply;
use super::Asset;
use super::entries::File;
use std::collections::HashMap;
use std::fmt::Write;

/// Creates one file per domain. Assets of a domain share it, and the first asset's kind determines its form.
pub(super) fn all(assets: &[Asset], files: &[File]) -> HashMap<String, TomlReply> {
    let mut domains: HashMap<&str, Vec<(&Asset, File)>> = HashMap::new();
    for (asset, file) in assets.iter().zip(files) {
        if *file != File::None && asset.kind != "native" && !asset.home_domain.is_empty() {
            domains.entry(&asset.home_domain).or_default().push((asset, *file));
        }
    }
    domains.into_iter().map(|(domain, members)| (domain.to_owned(), reply(domain, &members))).collect()
}

fn reply(domain: &str, members: &[(&Asset, File)]) -> TomlReply {
    let first = members.first().map_or(File::None, |member| member.1);
    let mut body = head(domain, first);
    for (asset, file) in members {
        currency(&mut body, domain, asset, *file);
    }
    match first {
        File::TooLarge => {
            while body.len() <= 150 * 1024 {
                body.push_str("# a file longer than any reader should take\n");
            }
        }
        File::NotToml => body.push_str("\nname = \"closed\" s\n<html>not found</html>\n"),
        _ => {}
    }
    TomlReply { status: if first == File::Missing { 404 } else { 200 }, body: body.into_bytes() }
}

fn head(domain: &str, file: File) -> String {
    let org_host = if file == File::ForeignOrg { "dollar.example" } else { domain };
    let name = if file == File::HostileText {
        r#""<script>alert('org')</script>\u2028\u2029 \"quoted\" & \u0000 end""#.to_owned()
    } else {
        format!("\"The issuer of {domain}\"")
    };
    let version = if file == File::WrongTypes { "2" } else { "\"2.7.0\"" };
    format!(
        "VERSION = {version}\n\
         FEDERATION_SERVER = \"https://{domain}/federation\"\n\
         AUTH_SERVER = \"https://{domain}/compliance\"\n\
         TRANSFER_SERVER = \"https://{domain}/sep6\"\n\
         WEB_AUTH_ENDPOINT = \"https://{domain}/auth\"\n\n\
         [DOCUMENTATION]\n\
         ORG_NAME = {name}\n\
         ORG_URL = \"https://{org_host}\"\n\
         ORG_TWITTER = \"{handle}\"\n",
        handle = domain.split('.').next().unwrap_or(domain),
    )
}

fn currency(out: &mut String, domain: &str, asset: &Asset, file: File) {
    let (code, issuer) = (&asset.code, &asset.issuer);
    // Writing to a String never fails.
    let _ = match file {
        File::Unlisted => writeln!(out, "\n[[CURRENCIES]]\ncode = \"OTHER\"\nissuer = \"{issuer}\""),
        File::Linked => {
            writeln!(out, "\n[[CURRENCIES]]\ntoml = \"https://{domain}/.well-known/{code}.toml\"")
        }
        File::WrongTypes => writeln!(
            out,
            "\n[[CURRENCIES]]\ncode = \"{code}\"\nissuer = \"{issuer}\"\nname = 17\ndisplay_decimals = \"two\"\n\
             is_unlimited = \"yes\"\nfixed_number = 1.5\ndesc = \"the other fields are wrong\""
        ),
        File::HostileText => writeln!(
            out,
            "\n[[CURRENCIES]]\ncode = \"{code}\"\nissuer = \"{issuer}\"\n\
             name = \"<script>alert(1)</script>\"\n\
             desc = \"\\\"quoted\\\" \\u2028 line \\u0000 nul \\u202E reversed </pre><img src=x onerror=alert(2)>\"\n\
             conditions = '''{{{{7*7}}}} ${{7*7}} ' OR 1=1 --'''\n\
             image = \"javascript:alert(3)\""
        ),
        _ => plain(out, asset, file),
    };
}

fn plain(out: &mut String, asset: &Asset, file: File) -> std::fmt::Result {
    let (code, issuer) = (&asset.code, &asset.issuer);
    writeln!(
        out,
        "\n[[CURRENCIES]]\ncode = \"{code}\"\nissuer = \"{issuer}\"\nstatus = \"live\"\n\
         display_decimals = 7\nname = \"{code} token\"\ndesc = \"A simulated asset.\""
    )?;
    match file {
        File::Anchored(anchor) => {
            let kind = if anchor == "BTC" { "crypto" } else { "fiat" };
            writeln!(
                out,
                "is_unlimited = true\nis_asset_anchored = true\nanchor_asset_type = \"{kind}\"\n\
                 anchor_asset = \"{anchor}\"\nredemption_instructions = \"Ask at the counter.\""
            )
        }
        _ => writeln!(out, "is_asset_anchored = false\nmax_number = {}", asset.supply / 10_000_000),
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::Catalog;

    fn text(catalog: &Catalog, domain: &str) -> String {
        String::from_utf8(catalog.tomls[domain].body.clone()).unwrap()
    }

    #[test]
    fn valid_files_parse_and_list_their_assets_and_broken_ones_do_not_parse() {
        let catalog = Catalog::new(1, 8);
        for (domain, file) in &catalog.tomls {
            let parsed = str::from_utf8(&file.body).unwrap().parse::<toml::Table>();
            assert_eq!(parsed.is_err(), domain == "nottoml.example", "{domain}: {parsed:?}");
        }
        let wrapped: toml::Table = text(&catalog, "wrapped.example").parse().unwrap();
        assert_eq!(wrapped["CURRENCIES"].as_array().unwrap().len(), 4);
        let hostile: toml::Table = text(&catalog, "xss.example").parse().unwrap();
        let desc = hostile["CURRENCIES"][0]["desc"].as_str().unwrap();
        assert!(desc.contains('\u{2028}') && desc.contains('\0') && desc.contains('"'));
        assert!(text(&catalog, "toolarge.example").len() > 100 * 1024);
        assert_eq!(catalog.tomls["gone.example"].status, 404);
    }

    #[test]
    fn every_issuer_has_a_valid_checksum() {
        for asset in &Catalog::new(9, 50).assets[1..] {
            assert!(asset.issuer.parse::<stellar_strkey::ed25519::PublicKey>().is_ok(), "{}", asset.code);
            assert!((1..=12).contains(&asset.code.len()));
        }
    }
}
