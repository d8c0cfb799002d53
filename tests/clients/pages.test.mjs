// A real browser at the pages of an asset, the explanation, the status and the licences, and at what all pages share.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DEADLINE_MS, aged, cached, isSound, launch, open } from "./chromium.mjs";
import { TICKER } from "./ticker.mjs";

let browser;
let market;
let markets;
before(async () => {
  browser = await launch();
  ({ markets } = await (await fetch(`${TICKER}/api/v1/markets?sort=volume&limit=1000`)).json());
  market = markets.find(({ bid, ask }) => bid && ask);
});
after(() => browser?.close());

const CHART = "#chart[data-ready]";
const LIST = "#board[data-ready]";
const path = () => `/m/${market.id}`;
const UNKNOWN = "/m/XLM_NONE-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";

test("a page from a cache tells its true age", async () => {
  const { page, close } = await cached(browser, `/a/${market.quote.id}`, (html) => aged(html, 3 * 86_400 + 60));
  await page.waitForFunction(() => document.getElementById("age").textContent === "3 d");
  await close();
});

test("the progress before the first publication keeps the focus, and ends with any other page", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  let percent = 0;
  const starting = () => `<!doctype html><script type="module" src="/web/frame.js"></script><main id="content">
    <p data-live id="share">${percent} %</p><progress></progress><a id="again" href="">Look again</a></main>`;
  await page.route((url) => url.pathname === UNKNOWN, (route) =>
    (percent < 100 ? route.fulfill({ status: 503, contentType: "text/html", body: starting() }) : route.continue()));
  await page.clock.install();
  await page.goto(TICKER + UNKNOWN);
  await page.focus("#again");
  percent = 50;
  await page.clock.fastForward(6_000);
  await page.waitForFunction(() => document.getElementById("share").textContent === "50 %");
  assert.equal(await page.evaluate(() => document.activeElement.id), "again");
  percent = 100;
  await page.clock.fastForward(6_000);
  await page.waitForSelector("main #q");
  await page.fill("main #q", "xlm");
  await page.clock.fastForward(20_000);
  assert.equal(await page.inputValue("main #q"), "xlm");
  assert.equal(await page.locator("#share").count(), 0);
  await context.close();
});

test("a click after a search leads to the price of the asset of this key", async () => {
  const { page, faults, close } = await open(browser, "/");
  await page.waitForSelector(LIST);
  const key = market.quote.issuer;
  await page.fill("#q", `${market.quote.code} ${key.slice(0, 8)}`);
  await page.click(`#rows a[href="${path()}"]`);
  await page.waitForURL(TICKER + path());
  assert.match(await page.textContent(".price strong"), /^[\d,.]+$/);
  assert.deepEqual(await page.$$eval(".issuers code", (keys) => keys.map((one) => one.textContent)), [`${key.slice(0, 4)}…${key.slice(-4)}`]);
  assert.equal(await page.getAttribute(".issuers a >> nth=-1", "href"), `/a/${market.quote.id}`);
  assert(await page.isVisible(`text=curl -s '${TICKER}/api/v1/markets/${market.id}'`));
  assert.deepEqual(faults, []);
  await close();
});

test("two clicks lead to candles of five minutes from the start of the history on, or of a day", async () => {
  const { page, faults, close } = await open(browser, "/");
  await page.click(`#rows a[href="${path()}"]`);
  await page.waitForSelector(CHART);
  await page.click('label:has(input[value="5m"])');
  await page.waitForURL(/interval=5m/);
  const { coverage } = await (await fetch(`${TICKER}/api/v1/status`)).json();
  const start = Math.max(Date.parse(coverage.at(-1).from_time), Date.now() - 86_400_000);
  // The market trades many times in ten minutes.
  const latest = new Date(start + 600_000).toISOString().slice(0, 16).replace("T", " ");
  await page.focus("#slider");
  await page.keyboard.press("Home");
  const first = (await page.textContent("#readout")).slice(0, 16);
  assert(first <= latest, `${first}, and the history begins before ${latest}`);
  assert.deepEqual(faults, []);
  await close();
});

test("two clicks lead to the reason of a figure", async () => {
  const { page, faults, close } = await open(browser, "/");
  await page.click(`#rows a[href="${path()}"]`);
  await page.click(".figures a >> text=24 h high");
  assert.match(await page.textContent("h1"), /^Why is the 24 h high [\d.,]+(e-\d+)?\?$/);
  assert.match(await page.textContent('[aria-labelledby="right"]'), /the same figure/);
  assert.deepEqual(faults, []);
  await close();
});

test("a click on a market with a tag leads to its warning in words", async () => {
  const { page, faults, close } = await open(browser, "/");
  await page.waitForSelector(LIST);
  const row = page.locator("#rows tr", { has: page.locator(".tag", { hasText: "look-alike" }) }).first();
  await row.locator("a").click();
  await page.waitForURL(/\/m\//);
  assert(await page.isVisible("section.warning"));
  assert.match(await page.textContent("section.warning"), /Look-alike\. \S+ .*has the code of/);
  assert.deepEqual(faults, []);
  await close();
});

test("a click at the foot leads to the API", async () => {
  const { page, faults, close } = await open(browser, "/");
  await page.click("footer a[href='/docs']");
  await page.waitForURL(`${TICKER}/docs`);
  assert.match(await page.textContent("main"), /\/api\/v1\/markets/);
  assert.deepEqual(faults, []);
  await close();
});

test("every asset and market shows its texts as text", async () => {
  const { assets } = await (await fetch(`${TICKER}/api/v1/assets`)).json();
  const context = await browser.newContext();
  const page = await context.newPage();
  const faults = [];
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("request", (request) => request.url().startsWith(TICKER) || request.url().startsWith("data:") || faults.push(request.url()));
  for (const { id } of assets) {
    await page.goto(`${TICKER}/a/${id}`);
    const data = JSON.parse(await page.textContent('script[type="application/ld+json"]'));
    assert.equal(data.currency, id.split("-")[0]);
    assert.equal(await page.locator("main img, main script, main iframe").count(), 0, id);
  }
  for (const { id } of markets.slice(0, 20)) {
    await page.goto(`${TICKER}/m/${id}`);
    const data = JSON.parse(await page.textContent('script[type="application/ld+json"]'));
    const address = await page.getAttribute('link[rel="canonical"]', "href");
    assert.deepEqual([address, data.url], [`${TICKER}/m/${id}`, `${TICKER}/m/${id}`]);
    assert.deepEqual([data.currency, data.currentExchangeRate.priceCurrency], id.split("_").map((asset) => asset.split("-")[0]));
    assert.match(`${data.currentExchangeRate.price}`, /^\d|^null$/, id);
  }
  assert.deepEqual(faults, []);
  await context.close();
});

test("the foot leads to the API, the explorer and the listing", async () => {
  const { page, faults, close } = await open(browser, "/");
  const links = await page.$$eval("footer a", (all) => all.map((link) => link.getAttribute("href")));
  assert.deepEqual(links, ["/status", "/docs", "/graphiql", "/docs#list", "/licences"]);
  await page.click("footer >> text=List this ticker");
  await page.waitForURL(/docs#list$/);
  assert(await page.isVisible("#list"));
  for (const path of await page.$$eval("#list a[href^='/api']", (all) => all.map((link) => link.getAttribute("href")))) {
    assert.equal((await fetch(TICKER + path)).status, 200, path);
  }
  assert.deepEqual(faults, []);
  await close();
});

test("what is not there is a page with a search", async () => {
  const { page, response, faults, close } = await open(browser, UNKNOWN, { status: 404 });
  assert.equal(response.status(), 404);
  await page.fill("main #q", "xlm");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\?q=xlm/);
  assert.deepEqual(faults, []);
  await close();
});

for (const [name, address, options] of [
  ["for an unknown market", UNKNOWN, { status: 404 }],
  ["of a search without a match", "/?q=zzzz", { ready: ".js #empty:not([hidden])" }],
]) {
  test(`axe finds nothing on the page ${name}, at all widths and in both schemes`, () => isSound(browser, address, options));
}

for (const name of ["market", "flagged", "explain", "asset", "status", "licences", "docs"]) {
  test(`axe finds nothing on the page ${name}, at all widths and in both schemes`, async () => {
    const flagged = markets.find(({ flags }) => flags.length > 0);
    const paths = {
      market: path(), flagged: `/m/${flagged.id}`, explain: `${path()}?explain=vwap`, asset: `/a/${market.quote.id}`,
    };
    await isSound(browser, paths[name] ?? `/${name}`, { ready: name === "market" ? CHART : undefined });
  });
}
