// A real browser at `/`, at every width: no row is cut at its end, and warnings leave room for the issuer.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { feed, serve } from "./feed.mjs";
import { DEADLINE_MS, launch } from "./chromium.mjs";

const MARKETS = 20;
const READY = "#board[data-sparks]";
// Width of a scroll bar, which a window of this browser has none of.
const SCROLL_BAR = 15;
// Every eighth width, and those on either side of a change of columns.
const CHANGES = [359, 360, 559, 560, 767, 768, 1119, 1120, 1351, 1352];
const WIDTHS = [...Array.from({ length: 141 }, (_, place) => 320 + place * 8), ...CHANGES];
// Warnings as bits of the feed: an asset is not valid, and has the code of another.
const DOUBTFUL = 4 + 8;

let browser;
let page;
before(async () => {
  browser = await launch();
  const documents = feed(MARKETS);
  documents.names.assets.code = documents.names.assets.code.map((_, place) => (place % 2 ? "USDC" : "XLM"));
  documents.figures.flags = documents.figures.flags.map(() => DOUBTFUL);
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  await serve(page, documents);
  await page.goto(process.env.TICKER_URL);
  await page.waitForSelector(READY);
});
after(() => browser?.close());

// Sets the width, and waits until the page has been drawn with it: the script draws rows again after a change.
const resize = async (width) => {
  await page.setViewportSize({ width, height: 900 });
  await page.waitForFunction((width) => innerWidth === width, width);
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
};

// Pixels by which the last cell of the first row and that of the head pass the padding of their row.
const surplus = () => page.evaluate(() =>
  ["#board thead tr", "#rows tr"].map((selector) => {
    const row = document.querySelector(selector);
    const last = [...row.cells].filter((cell) => cell.offsetParent).at(-1);
    return last.getBoundingClientRect().right - (row.getBoundingClientRect().right - parseFloat(getComputedStyle(row).paddingRight));
  }));

test("the last column ends inside of its row at every width, with a scroll bar and without", async () => {
  for (const width of WIDTHS) {
    await resize(width);
    // Phones have no scroll bar that takes room.
    for (const bar of width < 480 ? [0] : [0, SCROLL_BAR]) {
      await page.evaluate((bar) => { document.documentElement.style.paddingRight = `${bar}px`; }, bar);
      for (const pixels of await surplus()) assert(pixels < 0.5, `${pixels} px at ${width} with ${bar}`);
    }
  }
  await page.evaluate(() => { document.documentElement.style.paddingRight = ""; });
});

test("two warnings leave room for the issuer, and end inside of their cell", async () => {
  for (const width of [320, 360, 390, 412, 480, 500, 560, 768, 1024, 1440]) {
    await resize(width);
    const rows = await page.$$eval("#rows tr .market", (cells) => cells.map((cell) => ({
      party: cell.querySelector(".parties").clientWidth,
      tags: [...cell.querySelectorAll(".tag")].map((tag) => tag.getBoundingClientRect()).map(({ width, right }) =>
        ({ width, surplus: right - cell.getBoundingClientRect().right })),
    })));
    assert(rows.length > 10);
    for (const { party, tags } of rows) {
      assert(party >= 30, `${party} px of the issuer at ${width}`);
      assert.equal(tags.length, 2);
      for (const tag of tags) assert(tag.width > 10 && tag.surplus < 0.5, `${JSON.stringify(tag)} at ${width}`);
    }
  }
});

test("the codes of usual length are whole on a phone", async () => {
  for (const width of [360, 390]) {
    await resize(width);
    const cut = await page.$$eval("#rows .codes", (all) => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent));
    assert.deepEqual(cut, [], `${width}`);
  }
});
