// Numbers as the server prints them (crates/ticker-formats/src/shown.rs). tests/golden/numbers.json holds both to it.
// Code of our own, since toLocaleString with options is too slow for a list.

// Text of a value that is not known.
export const NONE = "–";

// Digits of an amount.
const AMOUNT_DIGITS = 4;

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");

// Whole number with a point before its last `places` digits.
function point(units, places) {
  const digits = String(Math.abs(units)).padStart(places + 1, "0");
  const whole = grouped(digits.slice(0, digits.length - places));
  return (units < 0 ? "−" : "") + whole + (places > 0 ? `.${digits.slice(-places)}` : "");
}

// Decimal text of the API in units of its decimal `places`, rounded half up as on the server. Null beyond 2^53 - 1 units.
// Rounding a double would go wrong: 1.0005 is one below a half.
export function units(text, places) {
  const [whole, fraction = ""] = text.split(".");
  const digits = whole + fraction;
  const end = whole.length + places;
  const kept = digits.slice(0, Math.max(0, end)).padEnd(end, "0");
  const rounded = BigInt(kept || "0") + (digits[end] >= "5" ? 1n : 0n);
  return rounded > BigInt(Number.MAX_SAFE_INTEGER) ? null : Number(rounded);
}

// Decimal text of an amount, as the feed would send it: with four digits.
export function rounded(text) {
  const [whole, fraction = ""] = text.split(".");
  const first = (whole + fraction).search(/[1-9]/);
  if (first < 0) return 0;
  const places = first + AMOUNT_DIGITS - whole.length;
  return Number(`${units(text, places)}e${-places}`);
}

// Decimals that all prices of a market have, from its last price as the feed sends it: "0.10630", "1.584e-7".
export function scale(price) {
  const [mantissa, exponent] = price.split("e");
  const dot = mantissa.indexOf(".");
  return {
    units: Number(mantissa.replace(".", "")),
    places: dot < 0 ? 0 : mantissa.length - dot - 1,
    suffix: exponent === undefined ? "" : `e${exponent}`,
  };
}

// Text of a price that is `difference` units of the last decimal above the last price. No price is 0: one that is less than
// half a unit cannot be shown beside the last one.
export const price = ({ units, places, suffix }, difference = 0) =>
  (units + difference === 0 ? NONE : point(units + difference, places) + suffix);

// Text of a change in hundredths of a percent.
export const change = (hundredths) => (hundredths > 0 ? "+" : "") + point(hundredths, 2);

// Text of hundredths of a percent without a plus sign.
export const percent = (hundredths) => point(hundredths, 2);

export const count = (value) => grouped(String(value));

const STEPS = [[1e9, " G"], [1e6, " M"], [1e4, " k"]];

// Text of an amount that the feed has rounded to four digits.
export function amount(value) {
  const [from, suffix] = STEPS.find(([from]) => value >= from) ?? [1, ""];
  const divisor = suffix === " k" ? 1e3 : from;
  // toExponential gives the four digits exactly, since the feed's number has no more.
  const [mantissa, exponent] = (value / divisor).toExponential(3).split("e");
  const digits = mantissa.replace(".", "");
  const places = value === 0 ? 0 : Math.min(3 - Number(exponent), 7);
  if (places < 0) return grouped(digits + "0".repeat(-places)) + suffix;
  const units = places < 3 - Number(exponent) ? Math.round(value * 1e7) : Number(digits);
  return point(units, value === 0 ? 0 : places) + suffix;
}

// Text of an age in seconds.
export function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} min`;
  return whole < 86_400 ? `${Math.floor(whole / 3_600)} h` : `${Math.floor(whole / 86_400)} d`;
}

// Text of what `print` makes of a value, or NONE.
export const orNone = (value, print) => (value === null || value === undefined ? NONE : print(value));
