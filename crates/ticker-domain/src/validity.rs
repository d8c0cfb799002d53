//! Validity rules of the old ticker (`legacy-ticker.md`), as far as `/assets` alone decides them.

/// Minimum number of authorised accounts of a valid asset.
const MIN_ACCOUNTS: u64 = 10;
/// Number of authorised accounts from which an asset needs no https stellar.toml.
const ACCOUNTS_WITHOUT_LINK: u64 = 100;
/// Code that issuers give to assets they retire.
const REMOVED_CODE: &str = "REMOVE";

/// Fields of an `/assets` record that validity depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Asset code.
    pub code: &'a str,
    /// Number of authorised accounts (`accounts.authorized`).
    pub accounts: u64,
    /// Supply of authorised accounts (`balances.authorized`), in stroops.
    pub supply: i128,
    /// URL of the stellar.toml. Empty if the issuer names none.
    pub toml_url: &'a str,
}

/// Returns true if the asset may be valid. `requires_toml` is false on testnet, where no stellar.toml is fetched.
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
    fn the_limits_match_the_old_program() {
        assert!(may_be_valid(&GOOD, true));
        assert!(!may_be_valid(&Standing { accounts: 9, ..GOOD }, true));
        assert!(!may_be_valid(&Standing { supply: 0, ..GOOD }, true));
        assert!(!may_be_valid(&Standing { code: "REMOVE", ..GOOD }, true));
        assert!(!may_be_valid(&Standing { accounts: 99, toml_url: "http://tea.example", ..GOOD }, true));
        assert!(!may_be_valid(&Standing { accounts: 99, toml_url: "", ..GOOD }, true));
        assert!(may_be_valid(&Standing { accounts: 100, toml_url: "", ..GOOD }, true));
        assert!(may_be_valid(&Standing { accounts: 100, toml_url: "http://tea.example", ..GOOD }, true));
        assert!(may_be_valid(&Standing { code: "remove", ..GOOD }, true));
        assert!(!may_be_valid(&Standing { supply: -1, ..GOOD }, true));
        assert!(may_be_valid(&Standing { toml_url: "", ..GOOD }, false));
        for poor in [
            Standing { accounts: 9, ..GOOD },
            Standing { supply: 0, ..GOOD },
            Standing { code: "REMOVE", ..GOOD },
        ] {
            assert!(!may_be_valid(&poor, false), "testnet only spares the stellar.toml: {poor:?}");
        }
    }
}
