// A real browser: what stands for an issuer. Any issuer may name any home domain, so only one that confirms the asset does.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { feed, serve } from "./feed.mjs";
import { DEADLINE_MS, eventually, launch, open } from "./chromium.mjs";
import { TICKER } from "./ticker.mjs";

const READY = "#board[data-ready]";
const BASE_VERIFIED = 32;
const QUOTE_VERIFIED = 64;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

test("a row shows a domain only if it confirms the asset", async () => {
  const documents = feed(4);
  documents.names.assets.domain = [0, 0, -1, -1];
  documents.names.assets.domains = ["circle.com"];
  documents.figures.flags = [BASE_VERIFIED, QUOTE_VERIFIED, 0, 0];
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  await serve(page, documents);
  await page.goto(TICKER);
  await page.waitForSelector(READY);
  const parties = (number) => page.textContent(`#rows tr[data-number="${number}"] .parties`);
  const [first, second, third] = documents.names.assets.keys.match(/.{56}/g).map((key) => `${key.slice(0, 4)}…${key.slice(-4)}`);
  assert.equal(await parties(0), `circle.com ${first} ✓ / ${second}`);
  assert.equal(await parties(1), `${second} / ${third} ✓`);
  await context.close();
});

test("the script and the server name an unconfirmed issuer by its key", async () => {
  // The organisation of this file is of another domain, so that the file does not confirm its assets.
  const { page, faults, close } = await open(browser, "/?q=notdollar.example");
  await page.waitForSelector(READY);
  const { labels, others } = await eventually(page, async () => {
    const parties = (root) => Object.fromEntries([...root.querySelectorAll("#rows tr")].map((row) =>
      [row.dataset.number, row.querySelector(".parties").textContent]));
    const html = await (await fetch(location.href, { headers: { Accept: "text/html" } })).text();
    const [labels, others] = [document, new DOMParser().parseFromString(html, "text/html")].map(parties);
    return Object.keys(labels).length > 0 && Object.keys(labels).length === Object.keys(others).length && { labels, others };
  });
  assert.deepEqual(labels, others);
  for (const label of Object.values(labels)) assert(/G\w{3}…\w{4}/.test(label) && !label.includes("notdollar"), label);
  const [market] = await page.$$eval("#rows a", (links) => links.map((link) => link.getAttribute("href")));
  const asset = market.match(/USDC-G\w{55}/g).pop();
  await page.goto(TICKER + market);
  assert.match(await page.title(), / (of|by) /);
  assert(!(await page.title()).includes("notdollar"));
  await page.goto(`${TICKER}/a/${asset}`);
  assert(!(await page.title()).includes("notdollar"));
  await page.getByText("The issuer claims notdollar.example as its home domain.").waitFor();
  assert.deepEqual(faults, []);
  await close();
});

test("a clean chart has no candle of dust, unless there is nothing else", async () => {
  const { markets } = await (await fetch(`${TICKER}/api/v1/markets?sort=volume&limit=1000`)).json();
  const market = markets.find(({ bid, ask }) => bid && ask);
  const start = Date.parse(new Date().toISOString().slice(0, 13) + ":00:00Z") - 3_600_000 * 3;
  const candle = (hour, price, isClean) => ({
    time: new Date(start + 3_600_000 * hour).toISOString(), vwap: isClean ? price : null, base_volume: "1.0000000", trade_count: 1,
    ...Object.fromEntries(["open", "high", "low", "close"].flatMap((name) => [[name, price], [`${name}_raw`, price]])),
  });
  const { last } = market;
  for (const [areClean, trades, expected] of [
    [[true, false, true], "clean", 2], [[true, false, true], "raw", 3], [[false, false, false], "clean", 3],
  ]) {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.setDefaultTimeout(DEADLINE_MS);
    const candles = areClean.map((isClean, hour) => candle(hour, last, isClean));
    await page.route(/\/candles\?/, (route) => route.fulfill({ json: { candles } }));
    await page.goto(`${TICKER}/m/${market.id}?trades=${trades}`);
    await page.waitForSelector("#chart[data-ready]");
    assert.equal(await page.locator("#last-candles tbody tr").count(), expected, `${areClean} ${trades}`);
    await context.close();
  }
});
