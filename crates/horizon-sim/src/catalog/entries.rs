//! Named assets of the simulation: valid, anchored, invalid and hostile ones.

/// Content of an asset's `stellar.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    /// Well-formed file that lists the asset.
    Plain,
    /// Well-formed file that lists the asset as anchored to this currency.
    Anchored(&'static str),
    /// Well-formed file that does not list the asset.
    Unlisted,
    /// File whose ORG_URL is on another host.
    ForeignOrg,
    /// File with fields of the wrong type.
    WrongTypes,
    /// File with a link to another file instead of the entry.
    Linked,
    /// File with hostile text in every field.
    HostileText,
    /// File larger than SEP-1 allows.
    TooLarge,
    /// Content that is not TOML.
    NotToml,
    /// Status 404 with a body that would parse.
    Missing,
    /// No file: the asset has no domain, or one that must not be contacted.
    None,
}

/// Named asset.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) code: &'static str,
    /// Number that distinguishes issuers of the same code.
    pub(crate) variant: u8,
    /// Fixed issuer, or `None` to derive one from the seed.
    pub(crate) issuer: Option<&'static str>,
    /// Middle of the price, in dollars.
    pub(crate) usd: f64,
    /// Relative size of the price's long waves.
    pub(crate) swing: f64,
    /// Home domain, as the issuer set it.
    pub(crate) domain: &'static str,
    /// Number of authorised accounts.
    pub(crate) holders: u32,
    /// Supply of those accounts, in stroops.
    pub(crate) supply: i64,
    pub(crate) file: File,
}

const SUPPLY: i64 = 4_200_000_000_000_000;

const fn fixed(
    code: &'static str,
    issuer: &'static str,
    usd: f64,
    swing: f64,
    domain: &'static str,
) -> Entry {
    let file = File::Plain;
    Entry {
        code,
        variant: 0,
        issuer: Some(issuer),
        usd,
        swing,
        domain,
        holders: 50_000,
        supply: SUPPLY,
        file,
    }
}

const fn sound(code: &'static str, usd: f64, domain: &'static str, file: File) -> Entry {
    let (swing, holders) = (0.25, 1_200);
    Entry { code, variant: 0, issuer: None, usd, swing, domain, holders, supply: SUPPLY, file }
}

const fn anchored(code: &'static str, usd: f64, domain: &'static str, anchor: &'static str) -> Entry {
    let entry = sound(code, usd, domain, File::Anchored(anchor));
    Entry { swing: 0.01, ..entry }
}

const fn second(entry: Entry, variant: u8) -> Entry {
    Entry { variant, ..entry }
}

const fn sized(entry: Entry, holders: u32, supply: i64) -> Entry {
    Entry { holders, supply, ..entry }
}

/// XLM, the quote assets in their binding order, then the rest by weight.
pub(crate) const ENTRIES: &[Entry] = &[
    fixed("XLM", "native", 0.12, 0.2, ""),
    fixed("USDC", "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN", 1.0, 0.001, "dollar.example"),
    fixed("yUSDC", "GDGTVWSM4MGS4T7Z6W4RPWOCHE2I6RDFCIFZGS3DOA63LWQTRNZNTTFF", 1.0, 0.004, "wrapped.example"),
    fixed("EURC", "GDHU6WRG4IEQXM5NZ4BMPKOXHW76MZM4Y2IEMFDVXBSDP6SJY4ITNPP2", 1.08, 0.02, "euro.example"),
    fixed(
        "BTC",
        "GDPJALI4AZKUU2W426U5WKMAT6CN3AJRPIIRYR2YM54TL2GDWO5O2MZM",
        64_000.0,
        0.15,
        "wrapped.example",
    ),
    fixed(
        "ETH",
        "GBFXOHVAS43OIWNIO7XLRJAHT3BICFEIKOJLZVXNT572MISM4CMGSOCC",
        3_100.0,
        0.18,
        "wrapped.example",
    ),
    sound("AQUA", 0.0008, "lagoon.example", File::Plain),
    anchored("BRL", 0.18, "real.example", "BRL"),
    anchored("USDX", 1.0, "anchors.example", "USD"),
    anchored("EURX", 1.08, "anchors.example", "EUR"),
    sound("SHELL", 0.01, "shell.example", File::Plain),
    second(anchored("BTC", 64_000.0, "vault.example", "BTC"), 1),
    second(sound("USDC", 0.4, "notdollar.example", File::ForeignOrg), 1),
    second(sound("USDC", 0.000_1, "", File::None), 2),
    sound("A", 2.0, "letters.example", File::Plain),
    sound("AB", 0.3, "letters.example", File::Plain),
    sound("ABC", 0.05, "letters.example", File::Plain),
    sound("TWELVECHARS1", 11.0, "letters.example", File::Plain),
    sound("yXLM", 0.12, "wrapped.example", File::Plain),
    sound("RIVER", 0.000_004, "river.example", File::Plain),
    sound("GOLD", 75.0, "metals.example", File::Plain),
    sound("SILVER", 0.9, "metals.example", File::Plain),
    anchored("NGN", 0.000_65, "naira.example", "NGN"),
    anchored("ARS", 0.001, "peso.example", "ARS"),
    anchored("EUR", 1.08, "oldbank.example", "EUR"),
    second(anchored("EUR", 1.07, "newbank.example", "EUR"), 1),
    sound("UNLISTED", 0.02, "unlisted.example", File::Unlisted),
    sound("WRONGTYPES", 0.03, "wrongtypes.example", File::WrongTypes),
    sound("LINKED", 0.04, "linked.example", File::Linked),
    // Valid with so few holders only because it has a link.
    sized(sound("SMALL", 0.5, "small.example", File::Plain), 12, 90_000_000_000),
    // Invalid assets, each for one reason.
    sized(sound("FEW", 0.5, "few.example", File::Plain), 9, SUPPLY),
    sized(sound("NOSUPPLY", 0.5, "nosupply.example", File::Plain), 900, 0),
    sound("REMOVE", 0.001, "remove.example", File::Plain),
    sized(sound("NOLINK", 0.2, "", File::None), 50, SUPPLY),
    sound("NOLINKBIG", 0.2, "", File::None),
    sound("NOTTOML", 0.2, "nottoml.example", File::NotToml),
    sound("GONE", 0.2, "gone.example", File::Missing),
    sound("TOOLARGE", 0.2, "toolarge.example", File::TooLarge),
    // Hostile assets.
    sound("SPACES", 0.1, "my own site.example", File::None),
    sound("PORT", 0.1, "port.example:8443", File::None),
    sound("LOOPBACK", 0.1, "127.0.0.1", File::None),
    sound("METADATA", 0.1, "169.254.169.254/latest", File::None),
    sound("SIX", 0.1, "[::1]", File::None),
    sound("USERINFO", 0.1, "dollar.example@evil.example", File::None),
    sound("XSS", 0.1, "xss.example", File::HostileText),
    sound("QUOTES", 0.1, "quote\"<b>.example", File::None),
];
