// Pages that stay open in a real browser: what a stream leaves out, a market that leaves, a clock that is set back, a finger.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DEADLINE_MS, aged, cached, eventually, launch } from "./chromium.mjs";
import { feed, later, serve, stream } from "./feed.mjs";
import { TICKER } from "./ticker.mjs";

let browser;
// Path of a market's page, and the number of the market.
let path;
let number;
before(async () => {
  browser = await launch();
  const { markets } = await (await fetch(`${TICKER}/api/v1/markets?sort=volume&limit=1`)).json();
  path = `/m/${markets[0].id}`;
  const html = await (await fetch(TICKER + path, { headers: { Accept: "text/html" } })).text();
  number = Number(html.match(/data-number="(\d+)"/)[1]);
});
after(() => browser?.close());

const READY = "#board[data-ready]";
const said = (page, text) =>
  page.waitForFunction((text) => document.getElementById("updates").textContent.trim() === text, text);

// Events of the board between two seconds, counted from a minute before the page is made.
function events() {
  const start = Date.now() - 60_000;
  const at = (second) => new Date(start + 1_000 * second).toISOString();
  return (after, asOf, more = {}) => ({
    seq: asOf, as_of: at(asOf), after: at(after), after_seq: after, ledger: null, ledger_close_time: null, totals: null, m: [], gone: [],
    ...more,
  });
}

test("a page whose updates passed through a cache counts their age in", async () => {
  const { page, close } = await cached(browser, "/status", (html) => aged(html, 7_300), (page) =>
    page.route("**/licences", async (route) => {
      const body = await (await route.fetch()).text();
      const date = new Date(Date.now() - 3_600_000).toUTCString();
      await route.fulfill({ contentType: "text/html; charset=utf-8", headers: { date, age: "3600" }, body });
    }));
  await page.waitForFunction(() => document.getElementById("age").textContent === "2 h");
  await close();
});

test("a market that leaves the list loses its price, and has one again after its next trade", async () => {
  const event = events();
  const missing = await (await fetch(`${TICKER}/m/XLM_XLM`, { headers: { Accept: "text/html" } })).text();
  let hasLeft = true;
  let second = 1;
  const { page, close } = await cached(browser, path, (html) => html, async (page) => {
    let isFirst = true;
    await page.route((url) => url.pathname === path, (route) => {
      if (isFirst || !hasLeft) {
        isFirst = false;
        return route.fallback();
      }
      return route.fulfill({ status: 404, contentType: "text/html; charset=utf-8", body: missing });
    });
    await stream(page, () => {
      second += 1;
      return [event(second - 1, second, hasLeft ? { gone: [number] } : { m: [[number]] })];
    });
  });
  await said(page, "no trade in 7 days");
  assert.equal(await page.textContent("#price strong"), "–");
  assert.equal(await page.textContent("#price .note"), "no trade in 7 days");
  assert.match(await page.title(), /^[^\s,]+\/[^\s,]+(, \S+ (of|by) [^\s,]+)+ · Stellar ticker$/);
  // Each reading says so: none is a failure.
  for (let time = 0; time < 3; time += 1) await page.waitForResponse((response) => response.status() === 404);
  await said(page, "no trade in 7 days");
  hasLeft = false;
  await said(page, "live");
  assert.match(await page.textContent("#price strong"), /\d/);
  assert.match(await page.textContent("#price .note"), /ago/);
  assert.match(await page.title(), /^\S+\/\S+ \S*\d\S*(, \S+ (of|by) [^\s,]+)+ · Stellar ticker$/);
  await close();
});

test("the page of a market is read at once if events are missing", async () => {
  const event = events();
  let goOn;
  const isDue = new Promise((resolve) => { goOn = resolve; });
  const start = Date.now();
  let connections = 0;
  let reads = 0;
  const { page, close } = await cached(browser, path, (html) => html, async (page) => {
    // Time stands still, so that no interval passes. No answer tells the page otherwise.
    await page.clock.setFixedTime(start);
    await page.route(/\/licences|\/candles/, (route) => route.abort());
    page.on("request", (request) => { reads += new URL(request.url()).pathname === path; });
    await stream(page, async () => {
      connections += 1;
      // A ledger that the page shows once it has the event.
      const shown = { ledger: 987_654_321, ledger_close_time: new Date(Date.now() + 1_000).toISOString() };
      if (connections === 1) return [event(0, 1), event(1, 4_000, shown)];
      await isDue;
      return [event(4_005, 4_006)];
    });
  });
  await eventually(page, () => document.getElementById("ledger").textContent === "ledger 987,654,321");
  // A page that has all events is not read again before 30 seconds have passed.
  await page.clock.setFixedTime(start + 5_000);
  assert.equal(reads, 1, "no event is missing");
  const read = page.waitForRequest((request) => new URL(request.url()).pathname === path);
  goOn();
  await read;
  await close();
});

// The list of a made-up board, with a clock that the test moves.
async function list(documents, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  await serve(page, documents);
  await page.clock.install();
  await page.goto(TICKER);
  await page.waitForSelector(READY);
  return { page, close: () => context.close() };
}

test("lines are read again although the clock was set back", async () => {
  const { page, close } = await list(feed(20));
  await page.waitForSelector("#board[data-sparks]");
  await page.clock.setSystemTime(Date.now() - 3_600_000);
  const read = page.waitForRequest("**/board/sparks");
  await page.clock.fastForward(31_000);
  await read;
  await close();
});

test("a tap into a row holds neither the order nor the markets of the list", async () => {
  const documents = feed(20);
  const { page, close } = await list(documents, { hasTouch: true, isMobile: true, viewport: { width: 390, height: 844 } });
  const first = () => page.getAttribute('#rows tr[aria-rowindex="2"]', "data-number");
  assert.equal(await first(), "19");
  await page.tap('#rows tr[data-number="17"] .price');
  assert(await page.evaluate(() => document.querySelector("#rows").matches(":hover")), "a tap looks like a pointer");
  documents.figures = later(documents.figures, (figures) => { figures.volume_usd[3] = 9_999; });
  await page.clock.fastForward(11_000);
  await page.waitForFunction(() => document.querySelector('#rows tr[aria-rowindex="2"]').dataset.number === "3");
  await close();
});

// Numbers of the markets from the top of the list to its end.
const order = (page) => page.$$eval("#rows tr", (rows) =>
  rows.map((row) => [row.getBoundingClientRect().top, row.dataset.number]).sort(([one], [other]) => one - other).map(([, number]) => number));

// Shows later figures, in which market 17 has this price, and waits for it. `look` has the page read them.
async function showLater(page, documents, price, change = () => {}, look = () => page.clock.fastForward(11_000)) {
  documents.figures = later(documents.figures, (figures) => {
    figures.price[17] = price;
    change(figures);
  });
  await look();
  await page.waitForSelector(`#rows tr[data-number="17"] .price >> text=${price}`);
}

for (const [use, enter, leave] of [
  ["pointer", (page) => page.hover('#rows tr[data-number="17"] .price'), (page) => page.mouse.move(700, 5)],
  ["focus", (page) => page.focus('#rows tr[data-number="17"] a'), (page) => page.focus("#q")],
]) {
  test(`no row moves under a ${use}, and the order follows once it has left`, async () => {
    const documents = feed(20);
    const { page, close } = await list(documents);
    const before = await order(page);
    assert.deepEqual(before.slice(0, 3), ["19", "18", "17"]);
    await enter(page);
    await showLater(page, documents, "0.77777", (figures) => { figures.volume_usd[3] = 9_999; });
    assert.deepEqual(await order(page), before);
    await leave(page);
    await showLater(page, documents, "0.88888");
    assert.deepEqual((await order(page)).slice(0, 4), ["3", "19", "18", "17"]);
    await close();
  });
}

test("two changes within five seconds give one new order", async () => {
  const documents = feed(20);
  const { page, close } = await list(documents);
  await page.clock.pauseAt(Date.now() + 60_000);
  await showLater(page, documents, "0.66666", (figures) => { figures.volume_usd[3] = 9_999; });
  const first = await order(page);
  assert.equal(first[0], "3");
  // A page that a reader comes back to reads the figures at once.
  const comeBack = () => page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await showLater(page, documents, "0.77777", (figures) => { figures.volume_usd[4] = 99_999; }, comeBack);
  assert.deepEqual(await order(page), first);
  await page.clock.runFor(5_000);
  await showLater(page, documents, "0.88888", () => {}, comeBack);
  assert.deepEqual(await order(page), ["4", ...first.filter((number) => number !== "4")]);
  await close();
});

for (const [reducedMotion, animation] of [["no-preference", "fade"], ["reduce", "none"]]) {
  test(`a new price has the animation "${animation}" with the setting "${reducedMotion}"`, async () => {
    const documents = feed(20);
    const { page, close } = await list(documents, { reducedMotion });
    await showLater(page, documents, "0.77777");
    const mark = await page.waitForSelector('#rows tr[data-number="17"] .changed');
    assert.equal(await mark.evaluate((one) => getComputedStyle(one).animationName), animation);
    await close();
  });
}

test("a page from before the first trade is loaded again after it", async () => {
  const before = (html) => html.replace(/(<dd id="ledger">)[^<]*/, "$1no trade yet").replace(/<div><dt>Age<\/dt>.*<\/div>/, "");
  const { page, close } = await cached(browser, "/status", before);
  assert.equal(await page.textContent("#ledger"), "no trade yet");
  assert.equal(await page.locator("#age").count(), 0);
  await page.waitForFunction(() => /^ledger \d/.test(document.getElementById("ledger").textContent));
  assert.equal(await page.locator("#age").count(), 1);
  await close();
});
