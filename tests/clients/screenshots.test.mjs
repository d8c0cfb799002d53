// Pictures of the pages for README. With SCREENSHOTS=1 they are written to docs/pages, else only taken.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open } from "./chromium.mjs";
import { TICKER } from "./ticker.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function picture(name, path, ready, options) {
  const { page, faults, close } = await open(browser, path, options);
  await page.waitForSelector(ready);
  const file = process.env.SCREENSHOTS ? { path: new URL(`../../docs/pages/${name}.png`, import.meta.url).pathname } : {};
  const bytes = await page.screenshot(file);
  assert(bytes.length > 20_000, name);
  assert.deepEqual(faults, []);
  await close();
}

test("pictures of the list, of a market, of the actors and of the way of a trade", async () => {
  const { markets } = await (await fetch(`${TICKER}/api/v1/markets?sort=volume&limit=1`)).json();
  await picture("list", "/", "#board[data-ready]");
  await picture("market", `/m/${markets[0].id}`, "#chart[data-ready]", { colorScheme: "dark" });
  await picture("actors", `${process.env.TICKER_ADMIN_URL}/actors`, ".graph");
  const { trades } = await (await fetch(`${TICKER}/api/v1/markets/${markets[0].id}/trades?limit=1`)).json();
  await picture("trace", `${process.env.TICKER_ADMIN_URL}/trace?trade=${trades[0].paging_token}`, "[aria-labelledby=way]");
});
