// A real browser at the pages of the admin listener.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isSound, launch, open } from "./chromium.mjs";
import { TICKER } from "./ticker.mjs";

const ADMIN = process.env.TICKER_ADMIN_URL;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

test("the picture has every actor and every message of the last minute, and links into the trace", async () => {
  const { page, faults, requests, close } = await open(browser, `${ADMIN}/actors`, { javaScriptEnabled: false });
  const { actors } = await (await fetch(`${ADMIN}/actors.json`)).json();
  const drawn = await page.$$eval(".graph a .title", (all) => all.map((title) => title.textContent));
  assert.deepEqual(drawn.toSorted(), actors.map(({ name }) => name).toSorted());
  const rates = await page.$$eval(".graph .label", (all) => all.map((label) => label.textContent));
  const rows = await page.$$eval('[aria-labelledby="flow"] tbody tr', (all) =>
    all.map((row) => [...row.cells].map((cell) => cell.textContent)).filter(([, , , , rate]) => Number(rate) > 0)
      .map(([, , message, , rate]) => `${message} ${rate}/s`));
  assert(rows.length > 3);
  for (const row of rows) assert(rates.includes(row), `${row} in ${rates}`);
  // Boxes do not cover each other.
  const boxes = await page.$$eval(".graph .node, .graph .part", (all) => all.map((box) => box.getBoundingClientRect().toJSON()));
  for (const [place, one] of boxes.entries()) {
    for (const other of boxes.slice(place + 1)) {
      assert(one.right <= other.left || other.right <= one.left || one.bottom <= other.top || other.bottom <= one.top);
    }
  }
  await page.click('.graph a[href="/trace?actor=aggregator"]');
  assert((await page.locator("table.records tbody tr").count()) > 3);
  assert(requests.every((url) => url.startsWith(ADMIN)));
  assert.deepEqual(faults, []);
  await close();
});

test("both pages have the icon of the ticker", async () => {
  const { page, close } = await open(browser, `${ADMIN}/actors`);
  for (const path of ["/actors", "/trace"]) {
    await page.goto(ADMIN + path);
    const [icon, own] = await Promise.all([
      page.$eval('link[rel="icon"]', (link) => link.href), `${TICKER}/web/favicon.svg`,
    ].map(async (address) => {
      const answer = await fetch(await address);
      return [answer.status, answer.headers.get("content-type"), await answer.text()];
    }));
    assert.deepEqual(icon, own);
    assert.deepEqual(icon.slice(0, 2), [200, "image/svg+xml"]);
  }
  await close();
});

test("the page follows the daemon", async () => {
  const { page, faults, close } = await open(browser, `${ADMIN}/actors`);
  const count = () => page.textContent('tr:has-text("PublicationReady") td:nth-child(4)');
  const before = await count();
  await page.waitForFunction((before) =>
    [...document.querySelectorAll("tr")].find((row) => row.textContent.includes("PublicationReady")).cells[3].textContent !== before, before);
  assert.deepEqual(faults, []);
  await close();
});

test("the page can be paused, and regions that scroll stay where they are", async () => {
  const { page, faults, close } = await open(browser, `${ADMIN}/actors`, { viewport: { width: 600, height: 900 } });
  const region = '[aria-label="Picture of the actors"]';
  // An exchange of the content removes the mark.
  const mark = () => page.evaluate(() => { document.querySelector("#content h1").dataset.old = ""; });
  const isExchanged = () => page.waitForFunction(() => !("old" in document.querySelector("#content h1").dataset));
  await page.$eval(region, (one) => { one.scrollLeft = 120; });
  await mark();
  await isExchanged();
  assert.equal(await page.$eval(region, (one) => one.scrollLeft), 120);
  await page.click("#pause");
  assert.equal(await page.textContent("#stillness"), "paused");
  assert.equal(await page.getAttribute("#pause", "aria-pressed"), "true");
  await mark();
  await page.click("#pause");
  assert.equal(await page.textContent("#stillness"), "");
  await isExchanged();
  assert.deepEqual(faults, []);
  await close();
});

test("waiting is hatched", async () => {
  const { page, close } = await open(browser, `${ADMIN}/trace?type=PublicationReady&limit=30`);
  assert.equal(await page.locator("pattern#hatch").count(), 1);
  const fills = await page.$$eval("rect.wait", (all) => all.map((one) => getComputedStyle(one).fill));
  assert(fills.length > 0 && fills.every((fill) => fill.includes("#hatch")), `${fills}`);
  await close();
});

for (const path of ["/actors", "/trace?type=PublicationReady&limit=30"]) {
  test(`axe finds nothing on ${path}, at all widths and in both schemes`, async () => {
    // A page that exchanges its content is not what axe began with. It keeps what has the focus.
    const still = () => document.getElementById("content").querySelector("a, input").focus();
    await isSound(browser, ADMIN + path, { still });
  });
}

test("the way of a trade is split into what is not ours, queueing and handling, and is sound at all widths", async () => {
  const { markets } = await (await fetch(`${TICKER}/api/v1/markets?sort=trades&limit=1`)).json();
  const { trades } = await (await fetch(`${TICKER}/api/v1/markets/${markets[0].id}/trades`)).json();
  const path = `${ADMIN}/trace?trade=${trades[0].paging_token}`;
  const { page, faults, close } = await open(browser, path);
  const said = await page.textContent('[aria-labelledby="way"] > p');
  const [, ...parts] = said.match(/^Outside the ticker \(thin, not to scale\): ([\d.]+) ms. Queueing \(hatched\): ([\d.]+) ms. Handling \(solid\): ([\d.]+) ms.$/);
  const total = Number((await page.textContent("#way")).split(" ")[0]);
  assert(Math.abs(parts.reduce((sum, part) => sum + Number(part), 0) - total) < 2, `${parts} of ${total}`);
  assert.deepEqual(faults, []);
  await close();
  await isSound(browser, path, { ready: "#way" });
});
