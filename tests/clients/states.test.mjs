// States of the ticker that the demo is never in: starting, hostile files, a gap, stale. A simulated Horizon behind a proxy
// that breaks it, and a daemon.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Program, daemon, freePort, published, scratch, stopAll, until } from "./daemon.mjs";
import { isSound, launch, open } from "./chromium.mjs";
import { HostileFiles } from "./hostile.mjs";
import { Proxy } from "./proxy.mjs";

const READY = "#board[data-ready]";
const STALE_S = 5;
const TEXTS_MIN = 200;

const files = new HostileFiles();
const { path, remove } = scratch();
let browser;
let proxy;
let running;
let bind;
let args;

before(async () => {
  browser = await launch();
  const sim = `127.0.0.1:${await freePort()}`;
  const program = new Program(path, "sim", [
    "horizon-sim", "--bind", sim, "--trades-per-second", "5", "--history-hours", "2", "--ledger-seconds", "2",
  ]);
  await until("the simulation", () => fetch(`http://${sim}/`).then((answer) => answer.ok, () => program.isOver));
  proxy = new Proxy(`http://${sim}`, (url, text) => files.rewrite(url, text));
  const horizon = await proxy.listen();
  bind = `127.0.0.1:${await freePort()}`;
  args = [
    "serve", "--horizon-url", horizon, "--toml-gateway", `${horizon}/_toml`, "--horizon-requests-per-hour", "0",
    "--stale-after", `${STALE_S}s`,
  ];
  proxy.refuses = (url) => url.startsWith("/trades");
  running = await daemon(path, args, bind);
});
after(async () => {
  await browser?.close();
  await stopAll();
  proxy?.close();
  remove();
});

test("before the first publication: the frame, the progress, no table", async () => {
  const { page, response, close } = await open(browser, `${running.url}/`, { status: 503 });
  assert.equal(response.status(), 503);
  assert.equal(response.headers()["retry-after"], "5");
  assert.match(await page.textContent("#ledger"), /nothing published yet/);
  assert.match(await page.textContent("#updates"), /starting/);
  assert.equal(await page.locator("progress").count(), 1);
  assert.equal(await page.locator("table").count(), 0);
  await isSound(browser, `${running.url}/`, { status: 503 });
  // The page follows the progress and then shows the list.
  proxy.refuses = () => false;
  await page.waitForSelector(READY);
  await close();
});

test("200 hostile texts are texts", async (context) => {
  await published(running.url, 10);
  // Files are read one after the other, and some of the simulation's cannot be read.
  const said = async (id) => {
    const answer = await fetch(`${running.url}/a/${id}`, { headers: { accept: "text/html" } });
    return answer.ok && (await answer.text()).includes('class="facts says"');
  };
  const texts = await until(`${TEXTS_MIN} texts`, async () => {
    const ids = [...files.texts.keys()];
    const isSaid = await Promise.all(ids.map(said));
    const found = ids.filter((_, place) => isSaid[place]).map((id) => [id, files.texts.get(id)]);
    // Assets of one file share the texts about its organisation.
    return new Set(found.flatMap(([, texts]) => texts)).size >= TEXTS_MIN && found;
  });
  const { page, faults, requests, close } = await open(browser, `${running.url}/`);
  await page.waitForSelector(READY);
  const seen = new Set();
  for (const [id, ofAsset] of texts) {
    await page.goto(`${running.url}/a/${id}`);
    const said = (await page.locator(".says dd").allTextContents()).join("\n").toLowerCase();
    // The kind of an anchor is shown in small letters.
    for (const text of ofAsset) {
      assert(said.includes(text.toLowerCase()), `${id}: ${text} in ${said}`);
      seen.add(text);
    }
    assert.equal(await page.locator("main img, main script, main iframe, main style, main object, main form, base").count(), 0, id);
    const links = await page.$$eval("a", (all) => all.map((link) => link.href));
    assert.deepEqual(links.filter((link) => !link.startsWith("http")), [], id);
  }
  context.diagnostic(`${seen.size} texts of ${texts.length} assets`);
  assert(seen.size >= TEXTS_MIN, `${seen.size}`);
  assert.deepEqual([...new Set(requests.map((url) => new URL(url).origin))], [running.url]);
  assert.deepEqual(faults, []);
  await close();
});

test("a gap is a hole in the bar, and says how many ledgers", async () => {
  await running.program.stop();
  // The next run finds newer ledgers, but gets none of those between.
  const { path: other, remove: removeOther } = scratch();
  const pages = { left: 6 };
  proxy.cut((url) => {
    const isHistory = url.startsWith("/trades?order=desc") && url.includes("cursor=");
    if (isHistory) pages.left -= 1;
    return isHistory && pages.left < 0;
  });
  const holed = await daemon(other, args);
  await published(holed.url, 5);
  const { page, faults, close } = await open(browser, `${holed.url}/`);
  await page.waitForSelector(READY);
  const strip = await page.textContent(".strip .warns");
  assert.match(strip, /ledgers missing: [\d,]+/);
  assert((await page.locator(".coverage .hole").count()) > 0);
  await page.setViewportSize({ width: 390, height: 900 });
  assert(await page.isVisible(".strip .wide .warns"));
  const { markets } = await (await fetch(`${holed.url}/api/v1/markets?limit=1`)).json();
  await page.goto(`${holed.url}/m/${markets[0].id}`);
  await page.getByText("Not every ledger of the last 24 hours is held").waitFor();
  await page.getByText("24 h high").click();
  await page.getByText("Not every ledger of the window is held").waitFor();
  await page.goto(`${holed.url}/`);
  await page.getByText(/Not every ledger of the last .* is held, so trades may be missing from figures of/).waitFor();
  assert.deepEqual(faults, []);
  await close();
  await isSound(browser, `${holed.url}/`);
  await isSound(browser, `${holed.url}/status`);
  await holed.program.stop();
  removeOther();
  proxy.refuses = () => false;
});

test("stale figures: a banner with age, last ledger and cause, and figures in full contrast", async () => {
  running = await daemon(path, args, bind);
  await published(running.url, 10);
  const { page, close } = await open(browser, `${running.url}/`);
  await page.waitForSelector(READY);
  assert.equal(await page.locator(".banner").count(), 0);
  // A reader of screens announces what appears in a place that it knows already.
  assert.equal(await page.locator("#notice[role=status]").count(), 1);
  const other = await open(browser, `${running.url}/licences`);
  proxy.cut(() => true);
  await until("stale", async () => (await (await fetch(`${running.url}/api/v1/status`)).json()).stale);
  // The open page says so by itself.
  await page.waitForSelector("#notice .banner");
  assert.match(await page.textContent(".banner"), /^The newest figures are .+ old\..*as of ledger [\d,]+\./s);
  assert.match(await page.getAttribute("#age", "class"), /warns/);
  const color = (selector) => page.$eval(selector, (one) => getComputedStyle(one).color);
  assert.equal(await color("#rows .price > span"), await color("body"));
  await isSound(browser, `${running.url}/`);
  // The stream of updates is open, but no figures come through it.
  const updates = (one) => one.$eval("#updates", (said) => `${said.querySelector("span").className}: ${said.textContent.trim()}`);
  assert.equal(await updates(page), "dot stop: none arrive");
  await other.page.waitForSelector("#notice .banner");
  assert.equal(await updates(other.page), "dot stop: none arrive");
  proxy.refuses = () => false;
  for (const [one, said] of [[page, "dot: live"], [other.page, "dot wait: on reload"]]) {
    // A reader who comes back to the page has it look at once.
    await until(said, () => one.evaluate(() => {
      document.dispatchEvent(new Event("visibilitychange"));
      return document.querySelector("#notice .banner") === null;
    }));
    await until(said, async () => (await updates(one)) === said);
  }
  await other.close();
  await close();
});
