// A real browser at the page of a market: candles, their choices, updates.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DEADLINE_MS, aged, cached, eventually, foreign, launch, open } from "./chromium.mjs";
import { TICKER } from "./ticker.mjs";

let browser;
let market;
before(async () => {
  browser = await launch();
  const { markets } = await (await fetch(`${TICKER}/api/v1/markets?sort=volume&limit=1000`)).json();
  market = markets.find(({ bid, ask }) => bid && ask);
});
after(() => browser?.close());

const CHART = "#chart[data-ready]";
const path = () => `/m/${market.id}`;
const table = (page) => page.$$eval("#last-candles tbody tr", (rows) => rows.map((row) => row.cells[0].textContent));

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

test("the page of a market from a cache is read again at once, with its title", async () => {
  const old = (html) =>
    aged(html, 1_200).replace(/<title>[^<]*/, "<title>old").replace(/<strong>[^<]*<\/strong> (?=[^<]* for 1 )/, "<strong>old</strong> ");
  const { page, close } = await cached(browser, path(), old, async (page) => {
    await page.clock.install();
    await page.route("**/api/v1/stream*", (route) => route.abort());
  });
  // Time stands still, so that no interval but the first can have passed.
  await page.clock.pauseAt(Date.now() + 20_000);
  await eventually(page, () => document.getElementById("age").textContent === "20 min" ||
    document.querySelector(".price strong").textContent !== "old");
  await page.clock.runFor(2_000);
  await eventually(page, () => /\d/.test(document.querySelector(".price strong").textContent) && document.title !== "old");
  await close();
});

test("candles that cannot be read leave the form to the server until they can", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  let isBlocked = true;
  await page.route(/\/candles\?/, (route) => (isBlocked ? route.fulfill({ status: 503, body: "{}" }) : route.continue()));
  const refused = page.waitForResponse(/\/candles\?/);
  await page.goto(TICKER + path());
  await refused;
  assert(await page.isVisible("#choices button"));
  assert(await page.isVisible("#drawing"));
  assert(await page.isHidden("#slider"));
  isBlocked = false;
  await page.waitForSelector(CHART);
  assert(await page.isHidden("#choices button"));
  assert(await page.isHidden("#drawing"));
  await page.click('label:has(input[value="5m"])');
  await page.waitForURL(/interval=5m/);
  await context.close();
});

test("the table has the chosen candles, in UTC", async () => {
  const { page, faults, close } = await open(browser, path());
  await page.waitForSelector(CHART);
  await page.click('label:has(input[value="15m"])');
  await page.click('label:has(input[value="raw"])');
  await page.waitForURL(/interval=15m&trades=raw/);
  await page.click('label:has(input[value="local"])');
  await eventually(page, async () => {
    const html = await (await fetch(location.href, { headers: { Accept: "text/html" } })).text();
    const server = new DOMParser().parseFromString(html, "text/html");
    const rows = (root) => [...root.querySelectorAll("#last-candles tr")].map((row) => [...row.cells].map((cell) => cell.textContent));
    const summary = (root) => root.querySelector("#last-candles summary").textContent;
    return rows(server).length > 2 && JSON.stringify([rows(server), summary(server)]) === JSON.stringify([rows(document), summary(document)]);
  });
  assert.deepEqual(faults, []);
  await close();
});

test("a slow answer does not replace candles that were chosen after it, and a refused choice is taken back", async () => {
  const { page, close } = await open(browser, path());
  await page.waitForSelector(CHART);
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await page.route(/candles\?interval=1m&/, async (route) => {
    await held;
    await route.continue();
  });
  const late = page.waitForResponse(/candles\?interval=1m&/);
  await page.click('label:has(input[value="1m"])');
  await page.click('label:has(input[value="1d"])');
  const isDaily = (times) => times.length > 0 && times.every((time) => time.endsWith(" 00:00"));
  await page.waitForFunction(() =>
    [...document.querySelectorAll("#last-candles tbody tr")].every((row) => row.cells[0].textContent.endsWith(" 00:00")));
  release();
  await (await late).finished();
  await page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); }));
  assert(isDaily(await table(page)), `${await table(page)}`);
  await page.route(/candles\?interval=4h&/, (route) => route.fulfill({ status: 503, body: "{}" }));
  await page.click('label:has(input[value="4h"])');
  await page.waitForFunction(() => document.getElementById("trouble").textContent.includes("The chosen candles"));
  assert(await page.isChecked('input[value="1d"]'));
  await page.waitForURL(/interval=1d/);
  assert(isDaily(await table(page)));
  await close();
});

test("choices that the browser restores are those of the chart", async () => {
  const restored = (html) => html.replace('value="utc" checked', 'value="utc"').replace('value="local"', 'value="local" checked');
  const { page, close } = await cached(browser, path(), restored);
  await page.waitForSelector(CHART);
  assert.match(await page.textContent("#readout"), /^\d{4}-\d\d-\d\d \d\d:\d\d open/);
  await close();
});

test("new candles leave the readout at the pointer and the slider at its candle", async () => {
  const { page, faults, close } = await open(browser, `${path()}?interval=1m`);
  await page.waitForSelector(CHART);
  const time = async () => (await page.textContent("#readout")).slice(0, 16);
  const last = await time();
  const { x, y, width } = await page.locator("#chart").boundingBox();
  await page.mouse.move(x + width * 0.3, y + 100);
  await page.waitForFunction((last) => !document.getElementById("readout").textContent.startsWith(last), last);
  // The second one is asked for after the first was shown.
  for (let time = 0; time < 2; time += 1) await page.waitForResponse(/\/candles\?/);
  assert.notEqual(await time(), (await table(page))[0]);
  await page.mouse.move(x, y - 50);
  await page.waitForFunction(() => document.getElementById("readout").textContent
    .startsWith(document.querySelector("#last-candles tbody td").textContent));
  await page.focus("#slider");
  for (let step = 0; step < 3; step += 1) await page.keyboard.press("ArrowLeft");
  const read = await time();
  const text = await page.getAttribute("#slider", "aria-valuetext");
  assert(text.startsWith(read));
  for (let time = 0; time < 2; time += 1) await page.waitForResponse(/\/candles\?/);
  assert.equal(await time(), read);
  assert.equal(await page.getAttribute("#slider", "aria-valuetext"), text);
  assert.deepEqual(faults, []);
  await close();
});

// The page of the market with old figures.
const OLD = "an old figure";
const oldFigures = (html) => html.replace(/(<strong>)[^<]*(<\/strong> [^<]* for 1 )/, `$1${OLD}$2`)
  .replace(/(<dd data-live>)[\s\S]*?(<small>)/g, `$1${OLD}$2`);
const figures = (page) => page.$$eval(".figures dd", (all) => all.map((one) => one.textContent));

test("the figures change while one of their links has the focus", async () => {
  const { page, close } = await cached(browser, path(), oldFigures);
  assert.equal((await figures(page)).length, 9);
  await page.focus(".figures a >> text=24 h high");
  await eventually(page, () => ![...document.querySelectorAll(".figures dd")].some((one) => one.textContent.includes("an old figure")));
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "24 h high");
  await close();
});

test("the order book changes in a box that has the focus", async () => {
  const older = (html) => html.replace(/mid price [^<]*/, "mid price of long ago");
  const { page, close } = await cached(browser, path(), older);
  const box = page.getByRole("region", { name: "Table of orders" });
  await box.focus();
  await eventually(page, () => !document.querySelector(".levels").textContent.includes("mid price of long ago"));
  assert(await box.evaluate((box) => box === document.activeElement));
  await close();
});

test("selected text stays selected, and the rest changes", async () => {
  const { page, close } = await cached(browser, path(), (html) =>
    oldFigures(html).replace('<script type="module" src="/web/market.js">', (own) => `<script type="module" src="/selects"></script>${own}`), (page) =>
    page.route("**/selects", (route) => route.fulfill({
      contentType: "text/javascript", body: `getSelection().selectAllChildren(document.querySelector(".price strong"));`,
    })));
  await eventually(page, () => ![...document.querySelectorAll(".figures dd")].some((one) => one.textContent.includes("an old figure")));
  assert.equal(await page.evaluate(() => getSelection().toString()), OLD);
  await page.evaluate(() => getSelection().removeAllRanges());
  await page.waitForFunction((old) => document.querySelector(".price strong").textContent !== old, OLD);
  await close();
});

test("ages of the last trade and of the order book count on", async () => {
  let count = 0;
  const older = (html) => html.replace(/data-at="\d+">[^<]*/g, () => {
    count += 1;
    return `data-at="${Math.floor(Date.now() / 1000) - 2 * 3_600 - 60}">no age`;
  });
  // The page cannot be read again.
  let isFirst = true;
  const { page, close } = await cached(browser, path(), older, (page) =>
    page.route((url) => url.pathname === path(), (route) => {
      if (!isFirst) return route.abort();
      isFirst = false;
      return route.fallback();
    }));
  assert.equal(count, 3, "of the trade, and of the book in the figures and above it");
  await page.waitForFunction(() => [...document.querySelectorAll("[data-at]")].every((one) => one.textContent === "2 h"));
  await close();
});

test("an update reads the candles from the last one on, and a choice reads all", async () => {
  const { page, requests, faults, close } = await open(browser, `${path()}?interval=1m`);
  await page.waitForSelector(CHART);
  const asked = () => requests.filter((url) => url.includes("/candles?")).map((url) => new URL(url).searchParams);
  assert.equal(asked()[0].get("from"), null);
  const times = await table(page);
  for (let time = 0; time < 2; time += 1) await page.waitForResponse(/candles\?.*from=/);
  const from = Number(asked().at(-1).get("from"));
  assert(from * 1000 >= Date.parse(`${times[0].replace(" ", "T")}:00Z`), `${from} ${times[0]}`);
  // The rows are those of the server, old and new ones.
  await eventually(page, async () => {
    const html = await (await fetch(location.href, { headers: { Accept: "text/html" } })).text();
    const server = new DOMParser().parseFromString(html, "text/html");
    const rows = (root) => [...root.querySelectorAll("#last-candles tr")].map((row) => [...row.cells].map((cell) => cell.textContent));
    return rows(server).length > 20 && JSON.stringify(rows(server)) === JSON.stringify(rows(document));
  });
  const whole = page.waitForRequest((request) => /candles\?interval=5m/.test(request.url()) && !request.url().includes("from="));
  await page.click('label:has(input[value="5m"])');
  await whole;
  assert.deepEqual(faults, []);
  await close();
});

test("an update that failed is followed by one that reads all candles", async () => {
  const { page, close } = await open(browser, path());
  await page.waitForSelector(CHART);
  let isBlocked = true;
  await page.route(/\/candles\?/, (route) => (isBlocked ? route.fulfill({ status: 503, body: "{}" }) : route.fallback()));
  await page.waitForFunction(() => document.getElementById("trouble").textContent.includes("could not be read"));
  const whole = page.waitForRequest((request) => request.url().includes("/candles?") && !request.url().includes("from="));
  isBlocked = false;
  await whole;
  await page.waitForFunction(() => document.getElementById("trouble").textContent === "");
  await close();
});

test("local times ascend when the clocks go back, and the texts name the true ones", async () => {
  const { page, faults, close } = await open(browser, path(), { timezoneId: "Europe/Berlin" });
  await page.waitForSelector(CHART);
  const { times, texts } = await page.evaluate(async () => {
    const { Chart } = await import("/web/chart.js");
    const chart = new Chart(document.body.appendChild(document.createElement("div")), "1.0000", () => {});
    const start = Date.parse("2026-10-24T23:00:00Z");
    chart.setLocal(true);
    chart.show(Array.from({ length: 16 }, (_, place) => ({
      time: new Date(start + place * 900_000).toISOString(), open: "1", high: "2", low: "1", close: "2", base_volume: "1", trade_count: 1,
    })), false);
    return { times: chart.times, texts: chart.candles.map((_, place) => chart.describe(place).time) };
  });
  assert(times.every((time, place) => place === 0 || time > times[place - 1]), `${times}`);
  const hours = texts.map((text) => text.slice(11, 13));
  assert.deepEqual(hours, ["01", "02", "02", "03"].flatMap((hour) => Array(4).fill(hour)));
  // Before and after the hour that comes twice they are the texts.
  const at = (place) => new Date(times[place] * 1000).toISOString().slice(0, 16).replace("T", " ");
  for (const place of [0, 7, 12, 15]) assert.equal(at(place), texts[place]);
  assert.deepEqual(faults, []);
  await close();
});

// Answers later requests for the page of the market by `change` of it, once `isDue` resolves.
const laterPages = (change, isDue) => async (page) => {
  let isFirst = true;
  await page.route((url) => url.pathname === path(), async (route) => {
    if (isFirst) {
      isFirst = false;
      return route.fallback();
    }
    await isDue;
    const html = await (await fetch(TICKER + path(), { headers: { Accept: "text/html" } })).text();
    return route.fulfill({ contentType: "text/html; charset=utf-8", body: change(html) });
  });
};

test("no row with another link comes under the pointer", async () => {
  const issuers = (...names) => (html) => html.replace(/(aria-labelledby="issuers"[\s\S]*?<tbody[^>]*>)[\s\S]*?<\/tbody>/,
    `$1${names.map((name) => `<tr><td class="left"><a href="/m/${name}">${name}</a></td><td>1</td><td>1 %</td></tr>`).join("")}</tbody>`);
  let release;
  const isDue = new Promise((resolve) => { release = resolve; });
  const { page, close } = await cached(browser, path(), (html) => oldFigures(issuers("ONE", "OTHER")(html)),
    laterPages(issuers("OTHER", "ONE"), isDue));
  const names = () => page.$$eval('[aria-labelledby="issuers"] tbody a', (links) => links.map((link) => link.textContent));
  await page.hover('[aria-labelledby="issuers"] tbody a >> nth=0');
  release();
  await page.waitForFunction((old) => document.querySelector(".price strong").textContent !== old, OLD);
  assert.deepEqual(await names(), ["ONE", "OTHER"]);
  await page.mouse.move(2, 2);
  await eventually(page, () => document.querySelector('[aria-labelledby="issuers"] tbody a').textContent === "OTHER");
  await close();
});

test("the decimals follow the last price", async () => {
  let release;
  const isDue = new Promise((resolve) => { release = resolve; });
  const { page, close } = await cached(browser, path(), (html) => html.replace(/data-price="[^"]*"/, 'data-price="1.234e-9"'),
    laterPages((html) => html, isDue));
  await page.waitForSelector(CHART);
  await page.waitForFunction(() => document.querySelector("#last-candles tbody td:nth-child(5)").textContent.endsWith("e-9"));
  release();
  await eventually(page, async () => {
    const html = await (await fetch(location.href, { headers: { Accept: "text/html" } })).text();
    const server = new DOMParser().parseFromString(html, "text/html");
    const rows = (root) => [...root.querySelectorAll("#last-candles tr")].map((row) => [...row.cells].map((cell) => cell.textContent));
    return JSON.stringify(rows(server)) === JSON.stringify(rows(document));
  });
  assert.doesNotMatch(await page.textContent("#readout"), /e-9/);
  await close();
});

const otherPages = {
  version: (html) => html.replace(/data-edition="[^"]*"/, 'data-edition="0.0.1 x"'),
  parts: (html) => html.replace("<dd data-live>", "<dd>"),
};
for (const [name, change] of Object.entries(otherPages)) {
  test(`an open page with the ${name} of before an upgrade is loaded again when nobody is in it`, async () => {
    const { page, close } = await cached(browser, path(), (html) => oldFigures(change(html)), (page) => page.clock.install());
    await page.evaluate(() => getSelection().selectAllChildren(document.querySelector("h1")));
    const reads = (time) => page.waitForResponse((response) => new URL(response.url()).pathname === path())
      .then(() => time > 1 && reads(time - 1));
    const read = reads(2);
    await page.clock.fastForward(60_000);
    await read;
    assert.equal(await page.textContent(".price strong"), OLD, "text is selected");
    const loaded = page.waitForEvent("load");
    await page.evaluate(() => getSelection().removeAllRanges());
    await page.clock.fastForward(2_000);
    await loaded;
    assert.notEqual(await page.textContent(".price strong"), OLD);
    await close();
  });
}

test("volumes have a pane and an axis of their own, and the times of the first and the last candle have room", async () => {
  const { page, faults, close } = await open(browser, path());
  await page.waitForSelector(CHART);
  const drawn = await page.evaluate(async () => {
    const { Chart } = await import("/web/chart.js");
    const box = document.body.appendChild(document.createElement("div"));
    box.style.height = "400px";
    const chart = new Chart(box, "1.000e-15", () => {});
    const frame = () => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); });
    await frame();
    const result = [];
    for (const count of [0, 1, 30, 600]) {
      chart.show(Array.from({ length: count }, (_, place) => ({
        time: new Date(Date.UTC(2026, 10, 30) + place * 900_000).toISOString(), base_volume: "2000000.0000000", trade_count: 1,
        open: "0.000000000000001", high: "0.000000000000003", low: "0.000000000000001", close: "0.000000000000002",
      })), false);
      chart.fit();
      await frame();
      const scale = chart.chart.timeScale();
      const [first, last] = count === 0 ? [] : [0, count - 1].map((place) => scale.timeToCoordinate(chart.times[place]));
      result.push({ count, first, last, width: scale.width() });
    }
    const axes = [0, 1].map((pane) => chart.chart.priceScale("right", pane).width());
    return { result, axes, panes: chart.chart.panes().map((pane) => pane.getHeight()), low: chart.texts(1)[0][3] };
  });
  assert.equal(drawn.panes.length, 2);
  assert(drawn.panes[0] > 2 * drawn.panes[1] && drawn.panes[1] > 50, `${drawn.panes}`);
  assert(drawn.axes.every((width) => width > 20), `${drawn.axes}`);
  for (const { count, first, last, width } of drawn.result.filter(({ count }) => count > 0)) {
    assert(first >= 15 && last <= width - 15, `${count}: ${first} and ${last} of ${width}`);
  }
  assert.equal(drawn.low, "1.000e-15");
  assert.deepEqual(faults, []);
  await close();
});

test("candles of every size of price are drawn, and printed as on the server", async () => {
  const { page, faults, close } = await open(browser, path());
  await page.waitForSelector(CHART);
  const drawn = await page.evaluate(async () => {
    const { Chart } = await import("/web/chart.js");
    const box = document.body.appendChild(document.createElement("div"));
    box.style.height = "200px";
    const texts = [];
    for (let exponent = -19; exponent <= 18; exponent += 1) {
      const digits = exponent < -3 ? 3 : 4;
      const isPlain = exponent >= -6 && exponent < 9;
      const plain = exponent < 0 ? `0.${"0".repeat(-exponent - 1)}12345` : "12345".padEnd(exponent + 1, "0").replace(/^(.{1,19})$/, (all) => {
        const whole = all.slice(0, exponent + 1);
        return all.length > exponent + 1 ? `${whole}.${all.slice(exponent + 1)}` : whole;
      });
      const last = isPlain ? Number(plain).toFixed(Math.max(0, digits - exponent)) : `${(1.2345).toFixed(digits)}e${exponent}`;
      const chart = new Chart(box, last, () => {});
      chart.show([0, 1, 2].map((hour) => ({
        time: `2026-11-30T0${hour}:00:00Z`, open: plain, high: plain, low: plain, close: plain, base_volume: "1.0005000", trade_count: 1,
      })), false);
      chart.setLog(exponent % 2 === 0);
      chart.fit();
      await new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); });
      texts.push(chart.texts(1)[0].slice(1, 6));
      chart.chart.remove();
    }
    return texts;
  });
  assert.equal(drawn.length, 38);
  for (const [open, , , , volume] of drawn) {
    assert.match(open.replaceAll(/[,.]/g, ""), /^0*123(45|4|5)?0*(e-?\d+)?$/);
    assert.equal(volume, "1.001");
  }
  assert.deepEqual(faults, []);
  await close();
});

test("a candle whose price is too far from the last one is left out, and ties are rounded up", async () => {
  const { page, faults, close } = await open(browser, path());
  await page.waitForSelector(CHART);
  const texts = await page.evaluate(async () => {
    const { Chart } = await import("/web/chart.js");
    const candle = (time, price) =>
      ({ time, open_raw: price, high_raw: price, low_raw: price, close_raw: price, base_volume: "1.0000000", trade_count: 1 });
    const chart = new Chart(document.body.appendChild(document.createElement("div")), "1.000e-9", () => {});
    chart.show([candle("2026-11-30T00:00:00Z", "1000000000000"), candle("2026-11-30T01:00:00Z", "0.0000000010005")], true);
    return chart.texts(9);
  });
  assert.deepEqual(texts.map(([time, open]) => [time, open]), [["2026-11-30 01:00", "1.001e-9"]]);
  assert.deepEqual(faults, []);
  await close();
});

test("a length of candles that the page does not offer is an hour", async () => {
  const { page, faults, close } = await open(browser, `${path()}?interval=1w`);
  assert(await page.isChecked('input[value="1h"]'));
  await page.waitForSelector(CHART);
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
