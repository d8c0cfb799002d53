//! Numbers as the pages show them: rounded once, here. The pages' script prints the same texts from the same values,
//! and `tests/golden/numbers.json` holds both to it.
//!
//! Prices of one market share their decimals: five digits of the last price, or four below 0.001. Amounts have four
//! digits. A value that is not known is [`NONE`], never 0.

use ticker_domain::{
    amount::STROOPS_PER_UNIT,
    conversions::SaturatingFrom,
    instant::{DAY, HOUR, MINUTE},
};

/// Text of a value that is not known.
pub const NONE: &str = "–";

/// Digits of a last price from 0.001 upward.
const DIGITS: i32 = 5;
/// Digits of a smaller last price.
const DIGITS_SMALL: i32 = 4;
/// Exponent of the smallest price that is shown with five digits.
const SMALL: i32 = -3;
/// Exponents outside of this range are printed: below 0.000001, and from a thousand million on.
const PLAIN: std::ops::Range<i32> = -6..9;
/// Most units that a script counts exactly: 2^53 - 1.
const UNITS_MAX: i128 = (1 << 53) - 1;
/// Digits of an amount.
const AMOUNT_DIGITS: u32 = 4;

/// Decimals that all prices of a market have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceScale {
    /// Decimal places of a unit. Negative for a unit of ten, a hundred and so on.
    places: i32,
    /// Printed exponent, or `None` for plain digits.
    exponent: Option<i32>,
}

impl PriceScale {
    /// Scale of a market with this last price, a ratio. `None` if it is not positive.
    #[must_use]
    pub(crate) fn of((n, d): (i128, i128)) -> Option<Self> {
        if n <= 0 || d <= 0 {
            return None;
        }
        let mut exponent = floor_log10(n, d);
        // 0.099999999 rounds to 0.10000, which has an exponent of its own.
        if scaled(n, d, places_of(exponent))?
            >= 10_i128.checked_pow(u32::saturating_from(digits_of(exponent)))?
        {
            exponent += 1;
        }
        let is_plain = PLAIN.contains(&exponent);
        let places = if is_plain { places_of(exponent).max(0) } else { places_of(exponent) };
        Some(Self { places, exponent: (!is_plain).then_some(exponent) })
    }

    /// Price in units of the last decimal, rounded half up. `None` beyond 2^53 units: such a price is so far from the
    /// last one that it cannot be shown beside it.
    #[must_use]
    pub(crate) fn units(self, (n, d): (i128, i128)) -> Option<i64> {
        let units = scaled(n, d, self.places).filter(|units| units.abs() <= UNITS_MAX)?;
        i64::try_from(units).ok()
    }

    /// Text of a price in units: `0.10630`, `3,204.0`, `1.584e-7`. No price is 0, so one that rounds to 0 units is too
    /// small to be shown beside the last one: [`NONE`].
    #[must_use]
    pub(crate) fn print(self, units: i64) -> String {
        match self.exponent {
            _ if units == 0 => NONE.to_owned(),
            None => point(units, self.places, true),
            Some(exponent) => format!("{}e{exponent}", point(units, self.places + exponent, true)),
        }
    }

    /// The same without thousands separators, for the feed.
    #[must_use]
    pub(crate) fn plain(self, units: i64) -> String {
        self.print(units).replace(',', "")
    }
}

const fn digits_of(exponent: i32) -> i32 {
    if exponent >= SMALL { DIGITS } else { DIGITS_SMALL }
}

const fn places_of(exponent: i32) -> i32 {
    digits_of(exponent) - 1 - exponent
}

/// Exponent of the first digit of a positive ratio.
fn floor_log10(n: i128, d: i128) -> i32 {
    let guess = i32::saturating_from(n.ilog10()) - i32::saturating_from(d.ilog10());
    // The logarithm of the quotient is the difference, or one less.
    let is_at_least = match u32::try_from(guess) {
        Ok(power) => 10_i128.checked_pow(power).and_then(|ten| ten.checked_mul(d)).is_some_and(|d| n >= d),
        Err(_) => {
            let power = 10_i128.checked_pow(guess.unsigned_abs());
            power.and_then(|ten| ten.checked_mul(n)).is_none_or(|n| n >= d)
        }
    };
    if is_at_least { guess } else { guess - 1 }
}

/// `n / d * 10^places`, rounded half away from zero. `None` if it exceeds 128 bits.
pub(crate) fn scaled(n: i128, d: i128, places: i32) -> Option<i128> {
    let power = 10_i128.checked_pow(places.unsigned_abs())?;
    if places < 0 {
        return rounded_quotient(n, d.checked_mul(power)?);
    }
    let (whole, mut rest, mut d) = (n.checked_div(d)?, n.checked_rem(d)?, d);
    while rest.checked_mul(power).is_none() {
        (rest, d) = (rest / 2, d / 2);
    }
    whole.checked_mul(power)?.checked_add(rounded_quotient(rest * power, d)?)
}

/// `n / d`, rounded half away from zero. `None` if the divisor is not positive.
fn rounded_quotient(n: i128, d: i128) -> Option<i128> {
    if d <= 0 {
        return None;
    }
    let (whole, rest) = (n.checked_div(d)?, n.checked_rem(d)?);
    Some(if rest.abs() >= d - rest.abs() { whole + n.signum() } else { whole })
}

/// Whole number with a point before its last `places` digits.
fn point(units: i64, places: i32, is_grouped: bool) -> String {
    let digits = units.unsigned_abs().to_string();
    let places = usize::saturating_from(places);
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let sign = if units < 0 { "−" } else { "" };
    let whole = if is_grouped { grouped(whole) } else { whole.to_owned() };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Digits with a comma between thousands.
fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Decimal text such as `0.10623` as a ratio. `None` for anything else, and for more digits than 128 bits hold.
#[must_use]
pub fn ratio_of(decimal: &str) -> Option<(i128, i128)> {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let n = format!("{whole}{fraction}").parse().ok()?;
    Some((n, 10_i128.checked_pow(u32::saturating_from(fraction.len()))?))
}

/// Change of a price in hundredths of a percent: `n / d` is the change in percent.
#[must_use]
pub(crate) fn hundredths((n, d): (i128, i128)) -> Option<i64> {
    let value = scaled(n, d, 2).filter(|value| value.abs() <= UNITS_MAX)?;
    i64::try_from(value).ok()
}

/// Text of a change in hundredths of a percent: `+0.31`, `−15.02`, `0.00`.
#[must_use]
pub fn change(hundredths: i64) -> String {
    let plus = if hundredths > 0 { "+" } else { "" };
    format!("{plus}{}", point(hundredths, 2, true))
}

/// Text of hundredths of a percent without a plus sign: `0.13`.
#[must_use]
pub fn percent(hundredths: i64) -> String {
    point(hundredths, 2, true)
}

/// Amount in stroops with four digits, the others 0. Rounded half up. Expects no negative amount.
#[must_use]
pub(crate) fn rounded_amount(stroops: i128) -> i128 {
    if stroops <= 0 {
        return 0;
    }
    let surplus = (stroops.ilog10() + 1).saturating_sub(AMOUNT_DIGITS);
    let unit = 10_i128.checked_pow(surplus).unwrap_or(1);
    rounded_quotient(stroops, unit).and_then(|digits| digits.checked_mul(unit)).unwrap_or(stroops)
}

/// Text of an amount in stroops, with four digits: `10.30 M`, `839.1 k`, `2,578`, `54.94`, `0.0000031`.
#[must_use]
pub fn amount(stroops: i128) -> String {
    let stroops = rounded_amount(stroops);
    let unit = i128::from(STROOPS_PER_UNIT);
    let whole = stroops / unit;
    let (divisor, suffix) = match whole {
        ..10_000 => (unit, ""),
        10_000..1_000_000 => (unit * 1_000, " k"),
        1_000_000..1_000_000_000 => (unit * 1_000_000, " M"),
        _ => (unit * 1_000_000_000, " G"),
    };
    let whole = stroops / divisor;
    let whole_digits = if whole > 0 { i32::saturating_from(whole.ilog10() + 1) } else { 0 };
    let places = match whole_digits {
        0 => small_places(stroops),
        digits => (4 - digits).max(0),
    };
    let units = scaled(stroops, divisor, places).and_then(|units| i64::try_from(units).ok());
    units.map_or_else(|| NONE.to_owned(), |units| format!("{}{suffix}", point(units, places, true)))
}

/// Text of an amount of dollars in stroops: `$10.30 M`.
pub(crate) fn usd_amount(stroops: i128) -> String {
    format!("${}", amount(stroops))
}

/// Decimal places of an amount below 1: four digits, but no more than stroops have.
fn small_places(stroops: i128) -> i32 {
    if stroops <= 0 {
        return 0;
    }
    let exponent = i32::saturating_from(stroops.ilog10()) - 7;
    (3 - exponent).min(7)
}

/// Amount of the feed: stroops with four digits, as a JSON number in units.
#[must_use]
pub(crate) fn feed_amount(stroops: i128) -> String {
    let text = ticker_domain::decimal::amount(rounded_amount(stroops));
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// Text of a count: `67,870`.
#[must_use]
pub fn count(count: u64) -> String {
    grouped(&count.to_string())
}

/// Text of an age: `2 s`, `14 min`, `3 h`, `2 d`.
#[must_use]
pub fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        ..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / DAY),
    }
}

/// Text of what `print` makes of a value, or [`NONE`].
pub(crate) fn or_none<T>(value: Option<T>, print: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), print)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn golden() -> Value {
        serde_json::from_str(include_str!("../../../tests/golden/numbers.json")).unwrap()
    }

    fn rows(name: &str) -> Vec<Value> {
        let rows = golden()[name].as_array().unwrap().clone();
        assert!(rows.len() > 5, "{name}");
        rows
    }

    fn ratio(text: &str) -> (i128, i128) {
        let (n, d) = text.split_once('/').unwrap();
        (n.parse().unwrap(), d.parse().unwrap())
    }

    #[test]
    fn prices_print_as_in_the_golden_file() {
        for row in rows("prices") {
            let scale = PriceScale::of(ratio(row["last"].as_str().unwrap())).unwrap();
            let last = scale.units(ratio(row["last"].as_str().unwrap())).unwrap();
            assert_eq!(scale.plain(last), row["feed"], "{row}");
            assert_eq!(scale.print(last), row["text"], "{row}");
            for other in row["others"].as_array().unwrap() {
                let units = scale.units(ratio(other["price"].as_str().unwrap()));
                assert_eq!(units.map(|units| units - last), other["from_last"].as_i64(), "{row} {other}");
                assert_eq!(or_none(units, |units| scale.print(units)), other["text"], "{row} {other}");
            }
        }
    }

    #[test]
    fn amounts_print_as_in_the_golden_file() {
        for row in rows("amounts") {
            let stroops: i128 = row["stroops"].as_str().unwrap().parse().unwrap();
            assert_eq!(feed_amount(stroops), row["feed"], "{row}");
            assert_eq!(amount(stroops), row["text"], "{row}");
        }
    }

    #[test]
    fn decimals_of_the_api_round_as_in_the_golden_file() {
        for row in rows("decimals") {
            let places = i32::try_from(row["places"].as_i64().unwrap()).unwrap();
            let scale = PriceScale { places, exponent: None };
            let ratio = ratio_of(row["text"].as_str().unwrap()).unwrap();
            assert_eq!(scale.units(ratio), row["units"].as_i64(), "{row}");
        }
    }

    #[test]
    fn whole_numbers_print_as_in_the_golden_file() {
        type Print = fn(i64) -> String;
        let kinds: [(&str, Print); 4] = [
            ("changes", change),
            ("percents", percent),
            ("counts", |value| count(value.unsigned_abs())),
            ("ages", age),
        ];
        for (name, print) in kinds {
            for row in rows(name) {
                assert_eq!(print(row["value"].as_i64().unwrap()), row["text"], "{name} {row}");
            }
        }
    }

    #[test]
    fn texts_that_are_no_decimals_are_no_ratios() {
        assert_eq!(ratio_of("0.10623"), Some((10_623, 100_000)));
        assert_eq!(ratio_of("12"), Some((12, 1)));
        for text in ["", ".", "1e5", "a", "0.00000000000000000000000000000000000000001"] {
            assert_eq!(ratio_of(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_last_price_has_the_digits_of_its_size(n in 1..=i64::MAX, d in 1..=i64::MAX) {
            let price = (i128::from(n), i128::from(d));
            let scale = PriceScale::of(price).unwrap();
            let units = scale.units(price).unwrap();
            let digits = units.to_string().len();
            prop_assert!((4..=9).contains(&digits), "{n}/{d}: {units}");
            let text = scale.plain(units);
            let (shown, exact) = (text.parse::<f64>().unwrap(), ticker_domain::number::ratio_to_f64(n.into(), d));
            prop_assert!((shown - exact).abs() <= exact * 5.1e-4, "{text} {exact}");
        }

        #[test]
        fn an_amount_is_right_to_its_fourth_digit(stroops in 1..=i64::MAX) {
            let rounded = rounded_amount(stroops.into());
            prop_assert!((rounded - i128::from(stroops)).abs() * 2_000 <= i128::from(stroops));
            prop_assert_eq!(amount(rounded), amount(stroops.into()));
            prop_assert!(amount(stroops.into()).len() <= 12);
        }
    }
}
