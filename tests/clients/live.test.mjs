// A real browser follows the stream: live figures, one connection for many tabs, resumption, polling where there is none.
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { after, before, test } from "node:test";
import { daemon, freePort, published, scratch, stopAll } from "./daemon.mjs";
import { DEADLINE_MS, eventually, findings, launch, open } from "./chromium.mjs";
import { TICKER } from "./ticker.mjs";

const TABS = 8;
const READY = "#board[data-ready]";

let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await stopAll();
});

// Tabs in the background draw no frames, on which Playwright would wait.
const POLLING = { polling: 200 };
const updates = (page, text) =>
  page.waitForFunction((text) => document.getElementById("updates").textContent.trim() === text, text, POLLING);
// Waits until figures of another moment are shown.
const changes = async (page) => {
  const before = await page.getAttribute("#board table", "data-as-of");
  await page.waitForFunction((before) => document.querySelector("#board table").dataset.asOf !== before, before, POLLING);
};
const isStream = (url) => url.includes("/api/v1/stream");

// Asserts that a page shows the rows and totals that the server sends of the same moment.
async function agrees(page) {
  const { compared, different } = await eventually(page, async () => {
    const html = await (await fetch("/", { headers: { Accept: "text/html" } })).text();
    const server = new DOMParser().parseFromString(html, "text/html");
    const data = (root) => root.querySelector("#board table").dataset;
    const moment = (root) => JSON.stringify({ ...data(root) });
    // The page may get there in a moment.
    for (let time = 0; time < 80 && data(document).asOf < data(server).asOf; time += 1) {
      await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
    if (moment(server) !== moment(document)) return false;
    const text = (cell) => cell.textContent.replaceAll(/\s+/g, " ").trim();
    const pairs = [...document.querySelectorAll("#rows tr")].flatMap((row) => {
      const other = server.querySelector(`tr[data-number="${row.dataset.number}"]`);
      // Ages go on.
      if (!other) return [];
      const links = [row, other].map((one) => one.querySelector("a").getAttribute("href"));
      return [["link", ...links], ...[...row.cells].map((cell, place) => [cell.className, text(cell), text(other.cells[place])])];
    });
    const different = pairs.filter(([name, one, other]) => name !== "age" && one !== other);
    const [said, expected] = [document, server].map((root) => text(root.querySelector(".title p")));
    if (said !== expected) different.push(["totals", said, expected]);
    return { compared: pairs.length, different };
  });
  assert.deepEqual(different, []);
  assert(compared > 100);
}

test("figures change by events, without reading all of them again", async () => {
  const { page, requests, faults, close } = await open(browser, "/");
  await page.waitForSelector(READY);
  await updates(page, "live");
  const before = requests.filter((url) => url.includes("/board/figures")).length;
  for (let time = 0; time < 3; time += 1) await changes(page);
  await agrees(page);
  assert.equal(requests.filter((url) => url.includes("/board/figures")).length, before);
  assert.equal(requests.filter(isStream).length, 1);
  assert.deepEqual(faults, []);
  await close();
});

test("a new price is marked, and no row moves under the pointer", async () => {
  const { page, faults, close } = await open(browser, "/?sort=age");
  await page.waitForSelector(READY);
  await page.hover("#rows tr:nth-child(3)");
  const names = () => page.$$eval("#rows tr", (rows) => rows.map((row) => row.dataset.number));
  const before = await names();
  await page.waitForSelector("#rows .changed");
  for (let time = 0; time < 3; time += 1) await changes(page);
  assert.deepEqual(await names(), before);
  await page.mouse.move(700, 5);
  await page.waitForFunction((before) =>
    JSON.stringify([...document.querySelectorAll("#rows tr")].map((row) => row.dataset.number)) !== before, JSON.stringify(before));
  assert.deepEqual(faults, []);
  await close();
});

test("eight tabs share one connection, and another tab takes it over", async () => {
  const context = await browser.newContext();
  const streams = [];
  context.on("request", (request) => isStream(request.url()) && streams.push(request));
  const market = (await (await fetch(`${TICKER}/api/v1/markets?sort=trades&limit=1`)).json()).markets[0].id;
  const pages = [];
  for (let tab = 0; tab < TABS; tab += 1) {
    const page = await context.newPage();
    await page.goto(tab === 3 ? `${TICKER}/m/${market}` : TICKER);
    pages.push(page);
  }
  await Promise.all(pages.map((page) => updates(page, "live")));
  const lists = pages.filter((page) => !page.url().includes("/m/"));
  await Promise.all(lists.map(changes));
  assert.equal(streams.length, 1);
  const holder = streams[0].frame().page();
  await holder.close();
  const others = lists.filter((page) => page !== holder);
  for (let time = 0; time < 3; time += 1) await Promise.all(others.map(changes));
  assert.equal(streams.length, 2, "one of the others has it");
  await agrees(others[0]);
  await context.close();
});

test("a market page changes with its market", async () => {
  const market = (await (await fetch(`${TICKER}/api/v1/markets?sort=trades&limit=1`)).json()).markets[0].id;
  const { page, faults, close } = await open(browser, `/m/${market}`);
  await updates(page, "live");
  const trades = () => page.textContent('[aria-labelledby="trades"] tbody');
  const before = await trades();
  await page.waitForFunction(
    (before) => document.querySelector('[aria-labelledby="trades"] tbody').textContent !== before, before);
  assert.deepEqual(faults, []);
  await close();
});

test("without a stream the page polls and says so, and it goes on when the stream is back", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  let isBlocked = true;
  await page.route("**/api/v1/stream*", (route) => (isBlocked ? route.fulfill({ status: 502 }) : route.continue()));
  await page.goto(TICKER);
  await page.waitForSelector(READY);
  await updates(page, "every 10 s");
  await changes(page);
  isBlocked = false;
  await updates(page, "live");
  await context.close();
});

// A place in front of the ticker that passes everything on, until `hang`: then streams get nothing more, and stay open.
async function passage() {
  const { hostname, port } = new URL(TICKER);
  let isHanging = false;
  let streams = 0;
  const server = createServer((reader) => {
    const ticker = connect(port, hostname);
    let isStreaming = false;
    reader.on("data", (data) => {
      if (isStream(data.toString("latin1"))) {
        isStreaming = true;
        streams += 1;
      }
      ticker.write(data);
    });
    ticker.on("data", (data) => isHanging && isStreaming || reader.write(data));
    for (const [one, other] of [[reader, ticker], [ticker, reader]]) {
      one.on("error", () => {});
      one.on("close", () => other.destroy());
    }
  });
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    hang: (value) => { isHanging = value; },
    streams: () => streams,
    close: () => server.close(),
  };
}

test("a stream that hangs is noticed, the page polls, and the stream is opened again", async () => {
  const { url, hang, streams, close } = await passage();
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.clock.install();
  await page.goto(url);
  await page.waitForSelector(READY);
  await updates(page, "live");
  await changes(page);
  hang(true);
  await page.clock.fastForward(26_000);
  await updates(page, "every 10 s");
  await changes(page);
  hang(false);
  await page.clock.fastForward(60_000);
  await updates(page, "live");
  await changes(page);
  assert(streams() > 1, "another stream");
  await context.close();
  close();
});

test("where the browser has no locks, every page polls", async () => {
  const context = await browser.newContext();
  await context.addInitScript(() => { delete Navigator.prototype.locks; });
  const page = await context.newPage();
  const streams = [];
  page.on("request", (request) => isStream(request.url()) && streams.push(request));
  await page.goto(TICKER);
  await page.waitForSelector(READY);
  await changes(page);
  await updates(page, "every 10 s");
  assert.deepEqual(streams, []);
  await context.close();
});

// A reader who denies the site all storage: names exist, but refuse.
const denials = {
  channel: () => {
    window.BroadcastChannel = class {
      constructor() {
        throw new DOMException("denied", "SecurityError");
      }
    };
  },
  lock: () => {
    LockManager.prototype.request = () => Promise.reject(new DOMException("denied", "SecurityError"));
  },
};
for (const [name, deny] of Object.entries(denials)) {
  test(`where the browser denies a ${name}, every page polls`, async () => {
    const market = (await (await fetch(`${TICKER}/api/v1/markets?sort=trades&limit=1`)).json()).markets[0].id;
    const context = await browser.newContext();
    await context.addInitScript(deny);
    const errors = [];
    const pages = [];
    for (const path of ["/", `/m/${market}`]) {
      const page = await context.newPage();
      page.setDefaultTimeout(DEADLINE_MS);
      page.on("pageerror", (error) => errors.push(`${error}`));
      await page.goto(TICKER + path);
      pages.push(page);
    }
    const [list, ofMarket] = pages;
    await list.waitForSelector(READY);
    await changes(list);
    await updates(list, "every 10 s");
    await updates(ofMarket, "every 10 s");
    const now = await ofMarket.textContent("#ledger");
    await ofMarket.waitForFunction((now) => document.getElementById("ledger").textContent !== now, now, POLLING);
    assert.deepEqual(errors, []);
    await context.close();
  });
}

test("a tab polls while the one with the stream stands still, and follows it again", async () => {
  const context = await browser.newContext();
  const [holder, follower] = [await context.newPage(), await context.newPage()];
  for (const page of [holder, follower]) page.setDefaultTimeout(DEADLINE_MS);
  await holder.goto(TICKER);
  await updates(holder, "live");
  await follower.clock.install();
  await follower.goto(TICKER);
  await follower.waitForSelector(READY);
  await updates(follower, "live");
  await holder.evaluate(() => {
    window.post = BroadcastChannel.prototype.postMessage;
    BroadcastChannel.prototype.postMessage = () => {};
  });
  await follower.clock.fastForward(31_000);
  await updates(follower, "every 10 s");
  await changes(follower);
  await holder.evaluate(() => { BroadcastChannel.prototype.postMessage = window.post; });
  await updates(follower, "live");
  await changes(follower);
  await context.close();
});

test("a list that could not be loaded is loaded again", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  let refusal = "abort";
  await page.route("**/api/v1/board/names", (route) =>
    (refusal === "fulfill" ? route.fulfill({ status: 503, body: "{}" }) : route[refusal]()));
  await page.goto(TICKER);
  await page.locator("#count", { hasText: "Only this page of the list" }).waitFor();
  assert.equal(await page.locator("html.js").count(), 0, "without script");
  refusal = "fulfill";
  await page.waitForResponse("**/api/v1/board/names");
  refusal = "continue";
  await page.waitForSelector(READY);
  assert.equal(await page.locator("html.js").count(), 1);
  await changes(page);
  await context.close();
});

// The daemon alone, and with its nginx in front.
for (const isBehindNginx of [false, true]) {
  const name = isBehindNginx ? "through nginx " : "";
  test(`${name}a page goes on after the daemon was restarted`, async () => {
    const { path, remove } = scratch();
    const [bind, front] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    const conf = new URL("../../nginx.conf", import.meta.url).pathname;
    const demo = [
      "demo", "--trades-per-second", "5", "--history-hours", "1", "--ledger-seconds", "2",
      ...(isBehindNginx ? ["--nginx", conf, "--nginx-bind", front] : []),
    ];
    let running = await daemon(path, demo, bind);
    const url = isBehindNginx ? `http://${front}` : running.url;
    await published(url, 10);
    const { page, requests, faults, close } = await open(browser, url);
    await page.waitForSelector(READY);
    await updates(page, "live");
    await changes(page);
    await agrees(page);
    if (isBehindNginx) await pagesAreSound(url);
    assert.deepEqual(faults, []);
    assert.equal(await running.program.stop(), 0);
    running = await daemon(path, demo, bind);
    await published(url, 10);
    await updates(page, "live");
    await changes(page);
    await agrees(page);
    assert.deepEqual([...new Set(requests.map((request) => new URL(request).origin))], [url]);
    await close();
    assert.equal(await running.program.stop(), 0);
    remove();
  });
}

test("a page that is open while another database takes the place of its own shows the markets of that one", async () => {
  const [one, other] = [scratch(), scratch()];
  const bind = `127.0.0.1:${await freePort()}`;
  const demo = (seed) =>
    ["demo", "--trades-per-second", "5", "--history-hours", "1", "--ledger-seconds", "2", "--seed", seed];
  let running = await daemon(one.path, demo("1"), bind);
  const { url } = running;
  await published(url, 10);
  const { page, close } = await open(browser, url);
  await page.waitForSelector(READY);
  await updates(page, "live");
  const { markets: [{ id }] } = await (await fetch(`${url}/api/v1/markets?sort=trades&limit=1`)).json();
  const ofMarket = await page.context().newPage();
  ofMarket.setDefaultTimeout(DEADLINE_MS);
  await ofMarket.goto(`${url}/m/${id}`);
  await updates(ofMarket, "live");
  const edition = await ofMarket.getAttribute("body", "data-edition");
  assert.equal(await running.program.stop(), 0);
  running = await daemon(other.path, demo("2"), bind);
  await published(url, 10);
  const { database } = await (await fetch(`${url}/api/v1/board/figures`)).json();
  assert(database && !edition.endsWith(` ${database}`), `${edition} ${database}`);
  await ofMarket.waitForFunction((database) => document.body.dataset.edition.endsWith(` ${database}`), database, POLLING);
  await page.waitForFunction((database) => document.body.dataset.edition.endsWith(` ${database}`), database, POLLING);
  await page.waitForSelector(READY);
  await updates(page, "live");
  await agrees(page);
  await close();
  assert.equal(await running.program.stop(), 0);
  one.remove();
  other.remove();
});

// Asserts that axe finds nothing on any page at this address, and that the policy holds.
async function pagesAreSound(url) {
  const { markets } = await (await fetch(`${url}/api/v1/markets?sort=volume&limit=1`)).json();
  const [{ id, quote }] = markets;
  for (const path of ["/", `/m/${id}`, `/m/${id}?explain=vwap`, `/a/${quote.id}`, "/status", "/licences"]) {
    for (const [colorScheme, width] of [["light", 1440], ["dark", 390]]) {
      const { page, response, faults, close } =
        await open(browser, url + path, { colorScheme, viewport: { width, height: 900 } });
      assert.match(response.headers()["content-security-policy"], /^default-src 'none'; script-src 'self';/);
      assert.match(response.headers().server, /nginx/);
      assert.deepEqual(await findings(page), [], path);
      assert.deepEqual(faults, [], path);
      await close();
    }
  }
}
