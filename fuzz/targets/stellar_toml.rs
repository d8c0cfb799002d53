//! stellar.toml files are parsed or refused, and the result never contains NUL, which PostgreSQL cannot store.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stellar_ticker::horizon::stellar_toml::parse;

fuzz_target!(|data: &[u8]| {
    let Ok(file) = parse(data) else { return };
    assert!(!file.org.name.contains('\0') && !file.org.url.contains('\0'));
    for currency in &file.currencies {
        for text in [&currency.code, &currency.issuer, &currency.name, &currency.desc, &currency.conditions] {
            assert!(!text.contains('\0'));
        }
        let _ =
            file.controls("https://tea.example/.well-known/stellar.toml", &currency.code, &currency.issuer);
    }
});
