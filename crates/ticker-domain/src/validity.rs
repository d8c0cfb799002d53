//! Which assets count: the legacy rules (`legacy-ticker.md`), as far as `/assets` alone tells.

/// An asset counts from this many authorised accounts on.
const MIN_ACCOUNTS: u64 = 10;
/// From this many authorised accounts on it need not name an https stellar.toml.
const ACCOUNTS_WITHOUT_LINK: u64 = 100;
/// The code that issuers give to what shall vanish.
const REMOVED_CODE: &str = "REMOVE";

/// What `/assets` says of an asset, as far as validity depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Its code.
    pub code: &'a str,
    /// `accounts.authorized`.
    pub accounts: u64,
    /// `balances.authorized`, in stroops.
    pub supply: i128,
    /// Where its stellar.toml lies; empty where the issuer names none.
    pub toml_url: &'a str,
}

/// Whether the asset may be valid. `requires_toml` is false on testnet, where no stellar.toml is asked for.
#[must_use]
pub fn may_be_valid(standing: &Standing<'_>, requires_toml: bool) -> bool {
    let supplied = standing.supply > 0;
    let held = standing.accounts >= MIN_ACCOUNTS;
    let linked = standing.toml_url.starts_with("https://") || standing.accounts >= ACCOUNTS_WITHOUT_LINK;
    supplied && held && standing.code != REMOVED_CODE && (linked || !requires_toml)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Standing<'_> = Standing {
        code: "TEA",
        accounts: 10,
        supply: 1,
        toml_url: "https://tea.example/.well-known/stellar.toml",
    };

    #[test]
    fn the_edges_are_those_of_the_old_program() {
        assert!(may_be_valid(&GOOD, true));
        assert!(!may_be_valid(&Standing { accounts: 9, ..GOOD }, true));
        assert!(!may_be_valid(&Standing { supply: 0, ..GOOD }, true));
        assert!(!may_be_valid(&Standing { code: "REMOVE", ..GOOD }, true));
        assert!(!may_be_valid(&Standing { accounts: 99, toml_url: "http://tea.example", ..GOOD }, true));
        assert!(!may_be_valid(&Standing { accounts: 99, toml_url: "", ..GOOD }, true));
        assert!(may_be_valid(&Standing { accounts: 100, toml_url: "", ..GOOD }, true));
        assert!(may_be_valid(&Standing { toml_url: "", ..GOOD }, false));
    }
}
