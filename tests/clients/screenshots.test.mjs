// Pictures of the pages for the documents. With SCREENSHOTS=1 they are written to docs/pages, else only taken.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open } from "./chromium.mjs";
import { daemon, published, scratch, stopAll, until } from "./daemon.mjs";
import { TICKER } from "./ticker.mjs";

const IS_KEPT = Boolean(process.env.SCREENSHOTS);
// Some more than the 7 days of the figures. The default demo has an hour, which leaves columns and lines empty.
const WHOLE_WEEK = ["demo", "--history-hours", "170", "--trades-per-second", "1"];

let browser;
// Ticker in the pictures of the public pages, and what to delete after it.
let url = TICKER;
let remove = () => {};
before(async () => {
  browser = await launch();
  if (!IS_KEPT) return;
  const place = scratch();
  ({ remove } = place);
  ({ url } = await daemon(place.path, WHOLE_WEEK));
  await published(url, 30);
  await until("a history without a gap", async () => {
    const { backfill, gaps } = await (await fetch(`${url}/api/v1/status`)).json();
    return backfill?.done_ratio === 1 && gaps.length === 0;
  });
});
after(async () => {
  await browser?.close();
  await stopAll();
  remove();
});

async function picture(name, address, ready, options) {
  const { page, faults, close } = await open(browser, address, options);
  await page.waitForSelector(ready);
  const file = IS_KEPT ? { path: new URL(`../../docs/pages/${name}.png`, import.meta.url).pathname } : {};
  const bytes = await page.screenshot(file);
  assert(bytes.length > 20_000, name);
  assert.deepEqual(faults, []);
  await close();
}

test("pictures of the list, of a market, of the actors and of the way of a trade", async () => {
  const { markets } = await (await fetch(`${url}/api/v1/markets?sort=volume&limit=1`)).json();
  await picture("list", `${url}/`, "#board[data-sparks]");
  await picture("market", `${url}/m/${markets[0].id}`, "#chart[data-ready]", { colorScheme: "dark" });
  await picture("actors", `${process.env.TICKER_ADMIN_URL}/actors`, ".graph");
  const { trades } = await (await fetch(`${TICKER}/api/v1/markets/${markets[0].id}/trades?limit=1`)).json();
  await picture("trace", `${process.env.TICKER_ADMIN_URL}/trace?trade=${trades[0].paging_token}`, "[aria-labelledby=way]");
});
