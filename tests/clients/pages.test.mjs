// A real browser at the pages of a market and an asset, at the explanation, the status and the licences.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DEADLINE_MS, aged, cached, eventually, findings, foreign, isSound, launch, open } from "./chromium.mjs";
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
const path = () => `/m/${market.id}`;

test("a market has candles, a reader of candles, a table, depth and trades", async () => {
  const { page, requests, faults, close } = await open(browser, `${path()}?interval=5m`);
  await page.waitForSelector(CHART);
  assert(await page.isHidden("#drawing"));
  assert((await page.locator("#chart canvas").count()) > 0);
  const readout = () => page.textContent("#readout");
  const last = await readout();
  assert.match(last, /^\d{4}-\d\d-\d\d \d\d:\d\d UTC open [\d,.]+ high [\d,.]+ low [\d,.]+ close [\d,.]+ volume /);
  await page.focus("#slider");
  await page.keyboard.press("ArrowLeft");
  assert.notEqual(await readout(), last);
  assert.equal(await page.getAttribute("#slider", "aria-valuetext"), await readout());
  await page.click("summary >> text=as a table");
  assert((await page.locator("details[open] table tbody tr").count()) > 1);
  assert(await page.isVisible("svg.depth"));
  assert((await page.locator('[aria-labelledby="trades"] tbody tr').count()) > 3);
  assert((await page.locator(".levels tbody tr").count()) > 4);
  await page.click('label:has(input[value="15m"])');
  await page.waitForURL(/interval=15m/);
  await page.click('label:has(input[value="raw"])');
  await page.waitForURL(/trades=raw/);
  await page.click('label:has(input[value="log"])');
  await page.click('label:has(input[value="local"])');
  assert.doesNotMatch(await readout(), /UTC/);
  assert.deepEqual([foreign(requests), faults], [[], []]);
  await close();
});

test("the candles of the script are those of the API and of the server", async () => {
  const { page, close } = await open(browser, path());
  await page.waitForSelector(CHART);
  // Both are of one moment unless a new candle or trade came between them.
  await eventually(page, async () => {
    const html = await (await fetch(location.href, { headers: { Accept: "text/html" } })).text();
    const row = new DOMParser().parseFromString(html, "text/html").querySelector("details table tbody tr");
    const [time, ...figures] = [...row.cells].map((cell) => cell.textContent);
    const read = document.getElementById("readout").textContent.match(/^(.{16}) UTC open (\S+) high (\S+) low (\S+) close (\S+) volume (\S+(?: [kMG])?) trades (\S+)$/);
    return read && read[1] === time && figures.every((figure, place) => figure === read[place + 2]);
  });
  await close();
});

test("a market updates without a reload", async () => {
  const { page, faults, close } = await open(browser, path());
  await page.waitForSelector(CHART);
  const trades = () => page.textContent('[aria-labelledby="trades"] tbody');
  const before = await trades();
  await page.waitForFunction(
    (before) => document.querySelector('[aria-labelledby="trades"] tbody').textContent !== before, before);
  assert.equal((await page.textContent("#updates")).trim(), "live");
  assert.deepEqual(faults, []);
  await close();
});

test("a page from a cache tells its true age", async () => {
  const { page, close } = await cached(browser, `/a/${market.quote.id}`, (html) => aged(html, 3 * 86_400 + 60));
  await page.waitForFunction(() => document.getElementById("age").textContent === "3 d");
  await close();
});

test("the progress before the first publication keeps the focus, and ends with any other page", async () => {
  const unknown = "/m/XLM_NONE-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  let percent = 0;
  const starting = () => `<!doctype html><script type="module" src="/web/frame.js"></script><main id="content">
    <p data-live id="share">${percent} %</p><progress></progress><a id="again" href="">Look again</a></main>`;
  await page.route((url) => url.pathname === unknown, (route) =>
    (percent < 100 ? route.fulfill({ status: 503, contentType: "text/html", body: starting() }) : route.continue()));
  await page.clock.install();
  await page.goto(TICKER + unknown);
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

test("three clicks lead to the price, the reason of a figure and the API", async () => {
  const { page, faults, close } = await open(browser, "/");
  await page.click(`#rows a[href="${path()}"]`);
  assert.match(await page.textContent(".price strong"), /^[\d,.]+$/);
  assert(await page.isVisible(`text=curl -s '${TICKER}/api/v1/markets/${market.id}'`));
  await page.click(".figures a >> text=24 h high");
  assert.match(await page.textContent("h1"), /^Why is the 24 h high [\d.,]+(e-\d+)?\?$/);
  assert.match(await page.textContent('[aria-labelledby="right"]'), /the same figure/);
  assert.deepEqual(faults, []);
  await close();
});

test("without script the server draws the candles, and the form chooses them", async () => {
  const { page, faults, close } = await open(browser, path(), { javaScriptEnabled: false });
  assert(await page.isVisible("svg.candles"));
  const bodies = await page.$$eval("svg.candles .body", (paths) => paths.map((path) => path.getAttribute("d")).join(""));
  assert.match(bodies, /^M/);
  await page.click('label:has(input[value="15m"])');
  await page.click("#choices button");
  await page.waitForURL(/interval=15m/); // and for its style
  assert(await page.isChecked('input[value="15m"]'));
  assert(await page.isHidden("#slider"));
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
  for (const { id } of markets.slice(0, 20)) await page.goto(`${TICKER}/m/${id}`);
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
  const unknown = "/m/XLM_NONE-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";
  const { page, response, faults, close } = await open(browser, unknown, { status: 404 });
  assert.equal(response.status(), 404);
  assert.deepEqual(await findings(page), []);
  await page.fill("main #q", "xlm");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\?q=xlm/);
  assert.deepEqual(faults, []);
  await close();
});

for (const name of ["market", "flagged", "explain", "asset", "status", "licences", "docs"]) {
  test(`axe finds nothing on the page ${name}, at all widths and in both schemes`, async () => {
    const flagged = markets.find(({ flags }) => flags.length > 0);
    const paths = {
      market: path(), flagged: `/m/${flagged.id}`, explain: `${path()}?explain=vwap`, asset: `/a/${market.quote.id}`,
    };
    await isSound(browser, paths[name] ?? `/${name}`, { ready: name === "market" ? CHART : undefined });
  });
}
