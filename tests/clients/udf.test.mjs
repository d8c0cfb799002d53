// A chart by TradingView's protocol: it searches a market, follows `nextTime` over a gap and pages back to the first bar.
import assert from "node:assert/strict";
import { before, test } from "node:test";

import { TICKER } from "./ticker.mjs";

// Length of a bar in seconds, and its name in the protocol and in the API.
const SECONDS = 60;
const RESOLUTION = "1";
const INTERVAL = "1m";
// Bars of a page.
const COUNT = 7;

async function json(path, parameters = {}) {
  const address = `${TICKER}${path}?${new URLSearchParams(parameters)}`;
  const answer = await fetch(address);
  assert.equal(answer.status, 200, address);
  return answer.json();
}

let symbol;

const history = (parameters) => json("/udf/history", { symbol, resolution: RESOLUTION, ...parameters });

// Bars of an answer as rows: time, open, high, low, close, volume.
function rows({ s, t, o, h, l, c, v }) {
  assert.equal(s, "ok");
  for (const column of [o, h, l, c, v]) assert.equal(column.length, t.length);
  return t.map((time, at) => [time, o[at], h[at], l[at], c[at], v[at]]);
}

before(async () => {
  const found = await json("/udf/search", { query: "xlm/usdc", limit: 30, type: "", exchange: "" });
  symbol = found.find((market) => market.symbol === "XLM/USDC").ticker;
});

test("the server and the market have the resolution of the chart", async () => {
  const config = await json("/udf/config");
  assert.ok(config.supports_search && config.supports_time);
  assert.ok(config.supported_resolutions.includes(RESOLUTION));
  const market = await json("/udf/symbols", { symbol });
  assert.equal(market.ticker, symbol);
  assert.ok(market.has_intraday && market.supported_resolutions.includes(RESOLUTION));
  assert.ok(market.pricescale >= 100 && market.minmov === 1);
});

test("the bars of all pages are the candles, each once", async () => {
  const { candles } = await json(`/api/v1/markets/${symbol}/candles`, { interval: INTERVAL, limit: 1000 });
  const seconds = ({ time }) => Date.parse(time) / 1000;
  // No later trade changes a complete candle.
  const end = seconds(candles.findLast(({ complete }) => complete)) + SECONDS;
  const expected = candles
    .filter((candle) => seconds(candle) < end && candle.close !== null)
    .map((candle) => [
      seconds(candle),
      ...[candle.open, candle.high, candle.low, candle.close, candle.base_volume].map(Number),
    ]);
  assert.ok(expected.length > COUNT, `${expected.length} candles`);

  const later = end + 24 * 3600;
  const gap = await history({ from: later, to: later + SECONDS });
  assert.equal(gap.s, "no_data");
  assert.ok(gap.nextTime >= expected.at(-1)[0], `${gap.nextTime}`);
  let to = gap.nextTime + SECONDS;
  let bars = [];
  for (;;) {
    const page = await history({ from: to - COUNT * SECONDS, to, countback: COUNT });
    if (page.s === "no_data") break;
    const older = rows(page);
    if (bars.length === 0) assert.equal(older.at(-1)[0], gap.nextTime);
    assert.ok(older.length <= COUNT && older.at(-1)[0] < to);
    bars = [...older, ...bars];
    to = older[0][0];
  }
  const times = bars.map(([time]) => time);
  assert.deepEqual(times, [...new Set(times)].sort((one, other) => one - other));
  assert.deepEqual(bars.filter(([time]) => time < end), expected);
});

test("before the first bar there is none, and no later one is named", async () => {
  const [first] = rows(await history({ from: 0, to: 9999999999 }));
  assert.deepEqual(await history({ from: 0, to: first[0] }), { s: "no_data" });
});

test("a wrong question gets the protocol's error", async () => {
  for (const wrong of [{ symbol: "XLM_NONE" }, { resolution: "7" }, { to: "now" }]) {
    const answer = await history({ from: 0, to: 9999999999, ...wrong });
    assert.equal(answer.s, "error", JSON.stringify(wrong));
    assert.ok(answer.errmsg.length > 0);
  }
});
