// The ticker under test, and what its answers must look like.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { buildSchema, isListType, isNonNullType, isObjectType } from "graphql";

// Where the ticker is, without a slash at the end.
export const TICKER = process.env.TICKER_URL;
export const ENDPOINT = `${TICKER}/graphql`;

// Tries to find a moment without a new trade between two answers.
const ATTEMPTS_MAX = 50;

const file = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
export const document = (name) => file(`documents/${name}.graphql`);
export const legacySchema = buildSchema(file("legacy.graphql"));

const json = async (path) => {
  const response = await fetch(TICKER + path);
  assert.equal(response.status, 200, path);
  return response.json();
};
export const assetsJson = async () => (await json("/assets.json")).assets;
export const pairs = async () => (await json("/markets.json")).pairs;

// Asks while what is published stays the same, so that all of it tells of the same trades: [published, what `ask` gave].
export async function atOneMoment(ask, read = pairs) {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const before = await read();
    const answer = await ask();
    if (JSON.stringify(before) === JSON.stringify(await read())) return [before, answer];
  }
  assert.fail("something changed between any two answers");
}

// The first of these markets whose codes spell the name of a published pair: not one that shows its anchor's code.
export function spelledPair(markets, published) {
  const names = markets.map((row) => `${row.baseAssetCode}_${row.counterAssetCode}`);
  return names.find((name) => name.startsWith("XLM_") && published.some((pair) => pair.name === name));
}

// Whether a value is what JSON has for a type.
const SCALARS = {
  Int: Number.isInteger,
  BigInt: Number.isInteger,
  Float: Number.isFinite,
  String: (value) => typeof value === "string",
  Boolean: (value) => typeof value === "boolean",
  Time: (value) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(value),
};

// Asserts that a value has a type of the old schema, with all its fields and no others. No list holds a null.
export function assertType(value, type, where) {
  if (isNonNullType(type)) return assertType(value, type.ofType, where);
  if (isListType(type)) {
    assert(Array.isArray(value), `${where} is no list`);
    return value.forEach((item, at) => assertType(item, type.ofType, `${where}[${at}]`));
  }
  if (!isObjectType(type)) return assert(SCALARS[type.name](value), `${where}: ${value} is no ${type.name}`);
  const fields = type.getFields();
  assert.deepEqual(Object.keys(value).sort(), Object.keys(fields).sort(), where);
  for (const [name, field] of Object.entries(fields)) assertType(value[name], field.type, `${where}.${name}`);
}

// Asserts the type of each root in an answer, and that none is empty.
export function assertRoots(data, roots) {
  assert.deepEqual(Object.keys(data).sort(), [...roots].sort());
  for (const root of roots) {
    assert(data[root].length > 0, `${root} is empty`);
    assertType(data[root], legacySchema.getQueryType().getFields()[root].type, root);
  }
}

// What `ticker` must say of the pairs of markets.json, by the names of the one or the other window.
export function expectedTicker(published, week) {
  const own = (pair, name) => pair[week ? `${name}_7d` : name];
  return published
    .filter((pair) => own(pair, "trade_count") > 0)
    .map((pair) => ({
      tradePair: pair.name,
      baseVolume: own(pair, "base_volume"),
      counterVolume: own(pair, "counter_volume"),
      tradeCount: own(pair, "trade_count"),
      open: own(pair, "open"),
      low: own(pair, "low"),
      high: own(pair, "high"),
      change: own(pair, "change"),
      close: pair.close,
      lastLedgerCloseTime: pair.close_time,
      orderbookStats: {
        bidCount: pair.bid_count,
        bidVolume: pair.bid_volume,
        bidMax: pair.bid_max,
        askCount: pair.ask_count,
        askVolume: pair.ask_volume,
        askMin: pair.ask_min,
        spread: pair.spread,
        spreadMidPoint: pair.spread_mid_point,
      },
    }));
}

// Asserts that rows of `ticker` (24 hours, or a week) are the pairs of markets.json.
export function assertTicker(rows, published, week) {
  const shown = rows.map(({ intervalStart, firstLedgerCloseTime, ...row }) => {
    assert(intervalStart < firstLedgerCloseTime && firstLedgerCloseTime <= row.lastLedgerCloseTime, row.tradePair);
    return row;
  });
  assert.deepEqual(shown, expectedTicker(published, week));
}
