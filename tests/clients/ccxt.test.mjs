// The real ccxt package reads the ticker as an exchange, and gets the figures of the API.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { before, test } from "node:test";

import ccxt from "ccxt";
import "stellar-ticker-ccxt";

const base = process.env.TICKER_URL;
const exchange = new ccxt.stellarticker({ urls: { api: { public: `${base}/api/v1/ccxt` } } });

async function api(path) {
  const answer = await fetch(`${base}/api/v1/${path}`);
  assert.equal(answer.status, 200, path);
  return answer.json();
}

function close(one, other) {
  assert.ok(Math.abs(one / other - 1) < 1e-9, `${one} is not ${other}`);
}

// A market of TEA as the server describes it.
const teaMarket = (id, symbol) => ({ id, symbol, base: "TEA", quote: "XLM", active: true, type: "spot", spot: true,
  precision: { amount: "0.0000001", price: "0.0000001" } });

// A server that gives these answers by their paths, and a bot that reads it.
async function served(answers) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answers[pathname]));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${server.address().port}`;
  return { bot: new ccxt.stellarticker({ urls: { api: { public: url } }, enableRateLimit: false }), server };
}

let symbol;

before(async () => {
  const markets = await exchange.loadMarkets();
  const busiest = (await api("markets?sort=trades&limit=1")).markets[0].id;
  symbol = Object.values(markets).find((market) => market.id === busiest).symbol;
});

test("it is registered, and every market has a symbol of its own", async () => {
  assert.ok(ccxt.exchanges.includes("stellarticker"));
  const listed = await exchange.fetchMarkets();
  assert.ok(listed.length > 1);
  assert.equal(new Set(listed.map((market) => market.symbol)).size, listed.length);
  assert.ok(symbol.startsWith("XLM/"), symbol);
});

test("tickers have the figures of the API, and null for unknown ones", async () => {
  const tickers = await exchange.fetchTickers();
  const ticker = tickers[symbol];
  const market = await api(`markets/${exchange.market(symbol).id}`);
  const one = await exchange.fetchTicker(symbol);
  assert.equal(one.symbol, symbol);
  close(one.high, market.windows["24h"].high);
  close(one.low, market.windows["24h"].low);
  assert.ok(ticker.last > 0 && ticker.baseVolume > 0);
  for (const each of Object.values(tickers)) {
    for (const figure of ["bid", "ask", "high", "low", "last"]) assert.notEqual(each[figure], 0, each.symbol);
  }
  assert.deepEqual(Object.keys(await exchange.fetchTickers([symbol])), [symbol]);
});

test("rounding by CCXT leaves every price and amount what it is", async () => {
  const tickers = await exchange.fetchTickers();
  for (const { symbol: of, last } of Object.values(tickers)) {
    const { amount, price } = exchange.market(of).precision;
    assert.ok(amount === 1e-7 && price > 0 && price <= 1e-7, `${of}: ${amount} ${price}`);
    const rounded = Number(exchange.priceToPrecision(of, last));
    assert.ok(Math.abs(rounded / last - 1) < 1e-4, `${of}: ${rounded} is not ${last}`);
    assert.equal(exchange.amountToPrecision(of, 0.0000123), "0.0000123");
  }
  // A market as the server describes one whose last price is 0.00000000031415.
  const id = Object.keys(tickers)[0];
  exchange.markets[id].precision.price = 1e-15;
  assert.equal(exchange.priceToPrecision(id, 3.14159265e-10), "0.000000000314159");
  await exchange.loadMarkets(true);
});

test("an order book is sorted and not crossed", async () => {
  const book = await exchange.fetchOrderBook(symbol, 5);
  assert.ok(book.bids.length <= 5 && book.asks.length <= 5 && book.timestamp > 0);
  const prices = (levels) => levels.map(([price]) => price);
  assert.deepEqual(prices(book.bids), [...prices(book.bids)].sort((one, other) => other - one));
  assert.deepEqual(prices(book.asks), [...prices(book.asks)].sort((one, other) => one - other));
  if (book.bids.length && book.asks.length) assert.ok(book.bids[0][0] < book.asks[0][0]);
});

test("trades come the oldest first, by since and limit", async () => {
  const newest = await exchange.fetchTrades(symbol, undefined, 10);
  assert.equal(newest.length, 10);
  assert.ok(newest.every((trade) => trade.price > 0 && trade.amount > 0 && ["buy", "sell"].includes(trade.side)));
  const since = newest[3].timestamp;
  const later = await exchange.fetchTrades(symbol, since, 2);
  assert.equal(later[0].timestamp, since);
  assert.ok(later.length >= 2);
  // A page never ends within a second, nor goes on for more seconds than it must.
  const all = await exchange.fetchTrades(symbol, since, 1000);
  assert.deepEqual(later.map(({ id }) => id), all.slice(0, later.length).map(({ id }) => id));
  assert.notEqual(all[later.length]?.timestamp, later.at(-1).timestamp);
  assert.ok(new Set(later.map(({ timestamp }) => timestamp)).size <= 2);
});

test("an old time begins with the oldest, and a large limit is cut to the most", async () => {
  const first = (await exchange.fetchOHLCV(symbol, "1h", undefined, 5000))[0];
  const [oldest] = await exchange.fetchOHLCV(symbol, "1h", 0, 1);
  assert.deepEqual(oldest, first);
  assert.ok((await exchange.fetchTrades(symbol, 0, 5000)).length >= 1000);
  await exchange.fetchOrderBook(symbol, 5000);
});

test("candles equal those of the API", async () => {
  const candles = await exchange.fetchOHLCV(symbol, "1h");
  const { candles: own } = await api(`markets/${exchange.market(symbol).id}/candles?interval=1h`);
  const [time, open, high, low] = candles[0];
  const same = own.find((candle) => Date.parse(candle.time) === time);
  close(open, same.open);
  close(high, same.high);
  close(low, same.low);
});

test("a fault that passes is one that bots try again", async () => {
  const answers = [];
  const server = createServer((_, response) => {
    const [status, body] = answers.shift();
    response.writeHead(status, { "content-type": "application/json" }).end(body);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${server.address().port}`;
  const failing = new ccxt.stellarticker({ urls: { api: { public: url } }, enableRateLimit: false });
  const problem = '{"detail":"why"}';
  for (const [status, body, error] of [
    [400, problem, ccxt.BadRequest],
    [404, problem, ccxt.BadSymbol],
    [410, problem, ccxt.BadRequest],
    [404, "<html></html>", ccxt.NetworkError], // of a proxy
    [408, "", ccxt.NetworkError],
    [413, "<html></html>", ccxt.BadRequest],
    [429, "", ccxt.NetworkError],
    [500, problem, ccxt.NetworkError],
    [502, "<html></html>", ccxt.NetworkError],
    [503, problem, ccxt.NetworkError],
    [504, "", ccxt.NetworkError],
    [524, "<html></html>", ccxt.NetworkError], // of a proxy in front
  ]) {
    answers.push([status, body]);
    await assert.rejects(failing.publicGetTicker({ symbol: "A" }), error, `${status} ${body}`);
  }
  server.close();
});

test("a symbol means the market that was loaded, although its code has another owner now", async () => {
  const ticker = (id, symbol, last) => ({ id, symbol, timestamp: 1, last });
  const answers = {
    "/markets": [teaMarket("TEA-OLD_XLM", "TEA/XLM")],
    "/tickers": [ticker("TEA-OLD_XLM", "TEA-OLD/XLM", "100"), ticker("TEA-NEW_XLM", "TEA/XLM", "0.001")],
    "/ticker": ticker("TEA-OLD_XLM", "TEA-OLD/XLM", "100"),
  };
  const { bot, server } = await served(answers);
  const tickers = await bot.fetchTickers(["TEA/XLM"]);
  assert.deepEqual(Object.keys(tickers), ["TEA/XLM"]);
  for (const found of [tickers["TEA/XLM"], await bot.fetchTicker("TEA/XLM")]) {
    assert.deepEqual([found.symbol, found.last, found.info.id], ["TEA/XLM", 100, "TEA-OLD_XLM"]);
  }
  const all = await bot.fetchTickers();
  assert.deepEqual(Object.keys(all).sort(), ["TEA-NEW_XLM", "TEA/XLM"]);
  server.close();
});

test("a figure that the server does not know is undefined, not 0", async () => {
  const figures = ["bid", "ask", "high", "low", "open", "close", "last", "vwap", "change", "percentage", "average"];
  const ticker = { id: "TEA_XLM", symbol: "TEA/XLM", timestamp: 1, baseVolume: 5, quoteVolume: 0.5,
    ...Object.fromEntries(figures.map((figure) => [figure, null])) };
  const answers = { "/markets": [teaMarket("TEA_XLM", "TEA/XLM")], "/tickers": [ticker], "/ticker": ticker };
  const { bot, server } = await served(answers);
  for (const found of [await bot.fetchTicker("TEA/XLM"), (await bot.fetchTickers())["TEA/XLM"]]) {
    for (const figure of figures) assert.equal(found[figure], undefined, figure);
    assert.equal(found.baseVolume, 5);
  }
  server.close();
});

test("an unknown symbol is a BadSymbol, here and at the server", async () => {
  await assert.rejects(exchange.fetchTicker("NONE/XLM"), ccxt.BadSymbol);
  await assert.rejects(exchange.publicGetTicker({ symbol: "NONE/XLM" }), ccxt.BadSymbol);
});
