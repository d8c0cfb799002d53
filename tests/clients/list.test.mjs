// A real browser at `/`: the list of markets.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { feed, later, serve, stream } from "./feed.mjs";
import { DEADLINE_MS, eventually, foreign, isSound, launch, open } from "./chromium.mjs";

const MARKETS = 30_000;
// Most rows in the document, however long the list.
const ROWS_MAX = 60;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

const READY = "#board[data-ready]";
const list = async (path = "/", options = {}) => {
  const opened = await open(browser, path, options);
  await opened.page.waitForSelector(READY);
  return opened;
};
const names = (page) => page.$$eval("#rows tr a", (links) => links.map((link) => link.getAttribute("href")));
const column = (page, name) =>
  page.$$eval(`#rows td.${name} > span`, (cells) =>
    cells.map((cell) => Number(cell.textContent.replaceAll(",", "").replace("−", "-").replace("–", "NaN"))),
  );
const count = (page) => page.textContent("#count");
const counts = (page, text) =>
  page.waitForFunction((text) => document.getElementById("count").textContent === text, text);
// The list of a made-up board, which polls: later figures are those that `documents` has by then.
async function madeUp(documents, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  await serve(page, documents);
  return { page, close: () => context.close() };
}
const row = (number) => `#rows tr[data-number="${number}"]`;

test("the script draws the rows of the server", async () => {
  const { page, requests, faults, close } = await list();
  await page.waitForSelector("#board[data-sparks]");
  const { compared: rows, differences } = await eventually(page, async () => {
    const html = await (await fetch("/", { headers: { Accept: "text/html" } })).text();
    const server = new DOMParser().parseFromString(html, "text/html");
    const moment = (root) => JSON.stringify({ ...root.querySelector("#board table").dataset });
    if (moment(server) !== moment(document)) return false;
    const differences = [];
    let compared = 0;
    for (const row of document.querySelectorAll("#rows tr")) {
      const other = server.querySelector(`tr[data-number="${row.dataset.number}"]`);
      if (!other) continue;
      compared += 1;
      for (const [place, cell] of [...row.cells].entries()) {
        const [one, two] = [cell.cloneNode(true), document.importNode(other.cells[place], true)];
        one.querySelector(".changed")?.removeAttribute("class");
        one.normalize();
        two.normalize();
        // Ages go on.
        if (cell.className !== "age" && !one.isEqualNode(two)) differences.push(`${one.outerHTML} ${two.outerHTML}`);
      }
    }
    return { compared, differences };
  });
  assert.deepEqual(differences, []);
  assert(rows > 20);
  assert.deepEqual([foreign(requests), faults], [[], []]);
  await close();
});

// Asserts that a head sorts its column. A new figure may come between the click and the look: then the head is clicked again.
async function isSorted(page, head, cells, direction) {
  const place = `th[data-sort="${head}"]`;
  const sign = direction === "ascending" ? 1 : -1;
  let values = [];
  for (let time = 0; time < 5; time += 1) {
    while ((await page.getAttribute(place, "aria-sort")) !== direction) await page.click(`${place} a`);
    values = await column(page, cells);
    if (values.every((value, index) => index === 0 || sign * (value - values[index - 1]) >= 0)) break;
    await page.click(`${place} a`);
  }
  assert(values.length > 10);
  assert.deepEqual(values, values.toSorted((one, other) => sign * (one - other)), head);
}

test("heads sort by numbers, the useful way first, and the address keeps it", async () => {
  const { page, faults, close } = await list();
  for (const [head, cells] of [["24h", "h24"], ["price", "price"], ["trades", "trades"]]) {
    await page.click(`th[data-sort="${head}"] a`);
    assert.equal(await page.getAttribute(`th[data-sort="${head}"]`, "aria-sort"), "descending");
    await isSorted(page, head, cells, "descending");
    await isSorted(page, head, cells, "ascending");
  }
  await page.waitForURL("**/?sort=trades&order=asc");
  const shown = await names(page);
  await page.goto(page.url());
  await page.waitForSelector(READY);
  assert.equal(await page.getAttribute('th[data-sort="trades"]', "aria-sort"), "ascending");
  assert.deepEqual(new Set(await names(page)), new Set(shown));
  assert.deepEqual(faults, []);
  await close();
});

test("a search looks in codes, keys and domains, and the address restores it", async () => {
  const { page, faults, close } = await list();
  const key = (await names(page)).map((name) => name.match(/-(G[A-Z2-7]{55})/)?.[1]).find(Boolean);
  for (const words of ["xlm", key.toLowerCase().slice(0, 20), "dollar.example", `xlm ${key}`]) {
    await page.fill("#q", words);
    await page.waitForURL((url) => url.searchParams.get("q") === words);
    const found = await names(page);
    assert(found.length > 0, words);
    if (words.startsWith("xlm ")) assert(found.every((name) => name.includes(key) && name.includes("XLM")), words);
  }
  const said = await count(page);
  const restored = await list(new URL(page.url()).pathname + new URL(page.url()).search);
  assert.equal(await restored.page.inputValue("#q"), `xlm ${key}`);
  assert.equal(await count(restored.page), said);
  await restored.close();
  await page.fill("#q", "<img src=x onerror=alert(1)>");
  await page.waitForSelector("#empty:not([hidden])");
  await page.waitForFunction(() => document.getElementById("searched").textContent.includes("<img src=x"));
  await page.click("#clear");
  await page.waitForSelector("#board:not([hidden])");
  assert.equal(await page.inputValue("#q"), "");
  assert.deepEqual(faults, []);
  await close();
});

test("keys walk the rows, and a focus stays on its market", async () => {
  const { page, faults, close } = await list();
  const focused = () => page.evaluate(() => document.activeElement.closest("tr")?.getAttribute("aria-rowindex"));
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "q");
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(), "2");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("PageDown");
  assert.equal(await focused(), "13");
  const market = await page.evaluate(() => document.activeElement.getAttribute("href"));
  const before = await names(page);
  // New figures arrive, and no row moves under the focus.
  const seq = await page.getAttribute("#board table", "data-seq");
  await page.waitForFunction((seq) => document.querySelector("#board table").dataset.seq !== seq, seq);
  assert.deepEqual(await names(page), before);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("href")), market);
  await page.keyboard.press("PageUp");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  assert.equal(await page.evaluate(() => document.activeElement.id), "q");
  await page.fill("#q", "xlm");
  await page.keyboard.press("Escape");
  assert.equal(await page.inputValue("#q"), "");
  assert.deepEqual(faults, []);
  await close();
});

test("only the rows near the window are in the document", async () => {
  const { page, close } = await list("/", { viewport: { width: 1440, height: 500 } });
  const all = Number(await page.getAttribute("#board table", "aria-rowcount")) - 1;
  const drawn = () => page.$$eval("#rows tr", (rows) => rows.map((row) => Number(row.getAttribute("aria-rowindex"))));
  assert((await drawn()).length < Math.min(all, ROWS_MAX));
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  await page.waitForSelector(`#rows tr[aria-rowindex="${all + 1}"]`);
  const indexes = await drawn();
  assert(indexes.length <= ROWS_MAX && !indexes.includes(2));
  assert.deepEqual(indexes, indexes.toSorted((one, other) => one - other), "in the order of the list");
  await close();
});

test("30,000 markets are searched, sorted and scrolled with few rows in the document", async () => {
  const { page, close } = await madeUp(feed(MARKETS));
  await page.goto(process.env.TICKER_URL);
  await page.waitForSelector(READY);
  await counts(page, "30,000 of 30,000 markets");
  const rows = () => page.locator("#rows tr").count();
  for (const words of ["c1", "c12", "gab", "c299"]) {
    await page.fill("#q", words);
    assert((await rows()) <= ROWS_MAX, words);
  }
  const found = await names(page);
  assert(found.length > 10 && found.every((name) => name.includes("C299")), found.join(" "));
  await page.fill("#q", "");
  for (let step = 0; step < 40; step += 1) {
    await page.evaluate((top) => scrollTo(0, top), step * 3_800);
    assert((await rows()) <= ROWS_MAX);
  }
  for (const head of ["price", "trades", "1h", "name"]) {
    await page.evaluate((head) => document.querySelector(`th[data-sort="${head}"] a`).click(), head);
    assert((await rows()) <= ROWS_MAX, head);
  }
  await close();
});

// The rows that the window shows from its top to its bottom, and those that are drawn there.
const seenRows = (page) => page.evaluate(() => {
  const { top, bottom } = document.getElementById("rows").getBoundingClientRect();
  const head = document.querySelector("#board thead").getBoundingClientRect().bottom;
  const [from, to] = [Math.max(head, top), Math.min(innerHeight, bottom)];
  const rows = [...document.querySelectorAll("#rows tr")].map((row) => row.getBoundingClientRect());
  const drawn = rows.filter((row) => row.bottom > from && row.top < to);
  return { height: to - from, drawn: drawn.length, covered: drawn.reduce((sum, row) => sum + Math.min(to, row.bottom) - Math.max(from, row.top), 0) };
});

test("a tall window has no blank rows, and keys walk through all of it", async () => {
  const { page, close } = await madeUp(feed(MARKETS), { viewport: { width: 1440, height: 2_400 } });
  await page.goto(process.env.TICKER_URL);
  await page.waitForSelector(READY);
  for (const top of [0, 100_000, 100_380]) {
    await page.evaluate((top) => new Promise((resolve) => {
      scrollTo(0, top);
      requestAnimationFrame(() => requestAnimationFrame(resolve));
    }), top);
    const { height, drawn, covered } = await seenRows(page);
    assert(height > 2_000 && Math.abs(covered - height) < 2, `${top}: ${covered} of ${height} px, ${drawn} rows`);
  }
  const index = () => page.evaluate(() => Number(document.activeElement.closest("tr")?.getAttribute("aria-rowindex")));
  await page.focus("#board");
  await page.keyboard.press("ArrowDown");
  const first = await index();
  for (let step = 0; step < 80; step += 1) await page.keyboard.press("ArrowDown");
  assert.equal(await index(), first + 80);
  await close();
});

test("a reader who comes back finds the place in the list", async () => {
  const { page, close } = await madeUp(feed(MARKETS));
  await page.goto(`${process.env.TICKER_URL}/?sort=name`);
  await page.waitForSelector(READY);
  await page.evaluate(() => scrollTo(0, 54_321));
  const rows = () => page.evaluate(() => {
    const seen = [...document.querySelectorAll("#rows tr")].filter((row) => row.getBoundingClientRect().top > 100);
    return [scrollY, seen[0].dataset.number];
  });
  await page.waitForFunction(() => history.state?.place > 1_000);
  const before = await rows();
  await page.goto(`${process.env.TICKER_URL}/licences`);
  await page.goBack();
  await page.waitForSelector(READY);
  assert.deepEqual(await rows(), before);
  await page.reload();
  await page.waitForSelector(READY);
  assert.deepEqual(await rows(), before);
  // A link that is followed before the scrolling has settled.
  await page.evaluate(() => {
    scrollTo(0, 33_333);
    document.querySelector("#rows").addEventListener("click", (event) => event.preventDefault());
  });
  await page.evaluate(() => document.querySelector("#rows a").click());
  await page.goto(`${process.env.TICKER_URL}/licences`);
  await page.goBack();
  await page.waitForSelector(READY);
  assert.equal((await rows())[0], 33_333);
  await close();
});

test("on paper the list is the rows near the window", async () => {
  const { page, close } = await madeUp(feed(MARKETS));
  await page.goto(process.env.TICKER_URL);
  await page.waitForSelector(READY);
  await page.emulateMedia({ media: "print" });
  const rows = await page.$$eval("#rows tr", (all) => all.map((row) => row.getBoundingClientRect()).map(({ top, bottom }) => ({ top, bottom })));
  assert(rows.length > 20 && rows.every(({ top, bottom }, place) => bottom > top && (place === 0 || Math.abs(top - rows[place - 1].bottom) < 1)));
  const pdf = (await page.pdf()).toString("latin1");
  const pages = pdf.match(/\/Type\s*\/Page\b/g).length;
  assert(pages < 6, `${pages} pages`);
  await close();
});

test("the totals above the list follow the figures", async () => {
  const documents = feed(20);
  const { page, close } = await madeUp(documents);
  await page.clock.install();
  await page.goto(process.env.TICKER_URL);
  await page.waitForSelector(READY);
  const said = () => page.textContent(".title p");
  assert.equal(await said(), "20 markets of Stellar's exchange: $100.0 in 1,000 trades in the last 24 hours. With a warning: 0. Traded without a dollar price: 0.");
  documents.figures = later(documents.figures, (figures) => {
    figures.totals = { volume_usd: 1_234_000, unpriced: 1_002, trades: 54_321, warned: 7 };
  });
  await page.clock.fastForward(11_000);
  await page.locator("#total-warned", { hasText: "7" }).waitFor();
  assert.equal(await said(), "20 markets of Stellar's exchange: $1.234 M in 54,321 trades in the last 24 hours. With a warning: 7. Traded without a dollar price: 1,002.");
  documents.figures = later(documents.figures, (figures) => {
    figures.totals = { volume_usd: null, unpriced: 20, trades: 54_322, warned: 8 };
  });
  await page.clock.fastForward(11_000);
  await page.locator("#total-warned", { hasText: "8" }).waitFor();
  assert.equal(await said(), "20 markets of Stellar's exchange: – in 54,322 trades in the last 24 hours. With a warning: 8. Traded without a dollar price: 20.");
  await close();
});

test("a link before the list leads to the foot, and forced colours mark the current page", async () => {
  const { page, close } = await madeUp(feed(MARKETS));
  await page.goto(process.env.TICKER_URL);
  await page.waitForSelector(READY);
  const skip = page.getByText("Skip the list");
  assert((await skip.boundingBox()).x < 0);
  await skip.focus();
  const { x, y } = await skip.boundingBox();
  assert(x > 0 && y > 0 && y < 400);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.id === "foot");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("href")), "/status");
  assert(await page.evaluate(() => scrollY > 100_000));
  await page.goBack();
  await page.waitForFunction(() => scrollY < 100);
  await page.emulateMedia({ forcedColors: "active" });
  const borders = await page.$$eval(".bar nav a", (links) => links.map((link) => getComputedStyle(link).borderBottomColor));
  assert(borders.length > 3 && borders.slice(1).every((color) => color === borders[1] && color !== borders[0]), `${borders}`);
  await close();
});

test("a link to a later page of the server shows its rows with script too", async () => {
  const { page, close } = await madeUp(feed(MARKETS));
  await page.goto(`${process.env.TICKER_URL}/?page=3`);
  await page.waitForSelector(READY);
  const place = await page.evaluate(() => {
    const head = document.querySelector("#board thead").getBoundingClientRect().bottom;
    const rows = [...document.querySelectorAll("#rows tr")];
    const tops = rows.map((row) => [row.getBoundingClientRect().top, Number(row.getAttribute("aria-rowindex"))]);
    return Math.min(...tops.filter(([top]) => top >= head - 1).map(([, index]) => index));
  });
  assert.equal(place, 102, "the row after the 100 of two pages, counted from the head");
  await close();
});

test("every warning has a tag and is hidden with the others", async () => {
  const documents = feed(20);
  [1, 2, 4, 8, 16, 128, 256].forEach((bit, place) => { documents.figures.flags[place] = 96 | bit; });
  const { page, close } = await madeUp(documents);
  await page.goto(process.env.TICKER_URL);
  await page.waitForSelector(READY);
  const tags = await page.$$eval("#rows .tag", (all) => all.map((tag) => tag.textContent));
  assert.deepEqual(tags.toSorted(),
    ["concentrated", "look-alike", "lost the dollar", "no trade in 24 h", "not valid", "thin", "unverified anchor"]);
  assert.equal(await page.textContent(`${row(5)} .tag`), "concentrated");
  await page.check('[name="clean"]');
  await counts(page, "13 of 20 markets");
  assert.equal(await page.locator("#rows .tag").count(), 0);
  await close();
});

test("a long domain does not push a warning out of sight", async () => {
  const documents = feed(20);
  documents.names.assets.domain = documents.names.assets.domain.map(() => 0);
  documents.names.assets.domains = ["a-name-that-fills-every-line.example"];
  documents.figures.flags[7] |= 8;
  const { page, close } = await madeUp(documents, { viewport: { width: 390, height: 900 } });
  await page.goto(process.env.TICKER_URL);
  await page.waitForSelector(READY);
  const [tag, cell] = await page.$$eval(`${row(7)} .tag, ${row(7)} .market`, (found) =>
    found.map((one) => one.getBoundingClientRect().toJSON()).toSorted((one, other) => one.width - other.width));
  assert(tag.width > 20 && tag.left >= cell.left - 3 && tag.right <= cell.right + 3, JSON.stringify([tag, cell]));
  await close();
});

test("the count is announced after a choice of the reader, and not after live figures", async () => {
  const documents = feed(20);
  const { page, close } = await madeUp(documents);
  await page.clock.install();
  await page.goto(process.env.TICKER_URL);
  await page.waitForSelector(READY);
  const announced = () => page.textContent("#announced");
  assert.equal(await announced(), "");
  await page.fill("#q", "c1");
  await page.waitForFunction(() => document.getElementById("announced").textContent !== "");
  assert.equal(await announced(), await count(page));
  const said = await announced();
  documents.figures = later(documents.figures, (figures) => {
    for (const column of figures.columns) figures[column].pop();
  });
  await page.clock.fastForward(11_000);
  await page.waitForFunction((said) => document.getElementById("count").textContent !== said, said);
  assert.match(await count(page), /of 19 markets$/);
  assert.equal(await announced(), said);
  await close();
});

test("a market that leaves while the list is in use says so, and keys walk past it", async () => {
  const documents = feed(20);
  const { page, close } = await madeUp(documents);
  await page.clock.install();
  await page.goto(process.env.TICKER_URL);
  await page.waitForSelector(READY);
  await page.focus("#q");
  await page.keyboard.press("ArrowDown");
  const focused = () => page.evaluate(() => document.activeElement.closest("tr")?.dataset.number);
  assert.equal(await focused(), "19");
  documents.figures = later(documents.figures, (figures) => {
    for (const column of figures.columns) figures[column].splice(18, 1);
  });
  await page.clock.fastForward(11_000);
  await page.waitForSelector(`${row(18)} .tag >> text=no trade in 7 days`);
  assert.equal(await page.textContent(`${row(18)} .price > span`), "–");
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(), "18");
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(), "17");
  await close();
});

test("names and lines that cannot be read do not stop the figures", async () => {
  const documents = feed(20);
  const { page, close } = await madeUp(documents);
  let isBlocked = true;
  await page.route(/\/board\/(sparks|names\?from=)/, (route) => (isBlocked ? route.abort() : route.fallback()));
  await page.clock.install();
  await page.goto(process.env.TICKER_URL);
  await page.waitForSelector(READY);
  await counts(page, "20 of 20 markets");
  const names = feed(21).names;
  documents.figures = later(documents.figures, (figures) => {
    for (const column of figures.columns) figures[column].push(figures[column][0]);
    figures.number[20] = 20;
    figures.price[19] = "0.77777";
  });
  await page.clock.fastForward(11_000);
  await page.waitForSelector(`${row(19)} .price >> text=0.77777`);
  assert.equal(await page.locator("#board[data-sparks]").count(), 0);
  isBlocked = false;
  documents.names = names;
  await page.clock.fastForward(31_000);
  await page.waitForSelector("#board[data-sparks]");
  // The list takes in a market with the next figures after its names.
  while ((await page.locator(row(20)).count()) === 0) {
    documents.figures = later(documents.figures, () => {});
    const asOf = String(Date.parse(documents.figures.as_of) / 1000);
    await page.clock.fastForward(11_000);
    await page.waitForSelector(`#board table[data-as-of="${asOf}"]`);
  }
  await close();
});

// Event from these figures to a later second, in which a market has another price.
function eventAfter({ seq, as_of: after, totals, columns, ...figures }, later, number, price) {
  const row = columns.map((name) => (name === "number" ? number : name === "price" ? price : figures[name][0]));
  return { ledger: null, ledger_close_time: null, totals, m: [row], gone: [], after, after_seq: seq, ...later };
}

test("an event of the second of the figures applies, if it is of a later publication", async () => {
  const documents = feed(20);
  const { page, close } = await madeUp(documents);
  const second = (ahead) => new Date(Date.parse("2026-11-30T00:00:00Z") + 1_000 * ahead).toISOString();
  Object.assign(documents.figures, { seq: 7, as_of: second(10) });
  const before = { ...documents.figures, seq: 5, as_of: second(9) };
  const events = [
    // In the figures, of a publication between them and the next event, and of the second after.
    eventAfter({ ...before, seq: 4, as_of: second(8) }, { seq: 5, as_of: second(9) }, 17, "0.11111"),
    eventAfter(before, { seq: 8, as_of: second(10) }, 18, "0.22222"),
    eventAfter({ ...before, seq: 8, as_of: second(10) }, { seq: 9, as_of: second(11) }, 19, "0.33333"),
  ];
  await stream(page, () => events);
  await page.goto(process.env.TICKER_URL);
  await page.waitForSelector(`${row(19)} .price >> text=0.33333`);
  assert.equal(await page.textContent(`${row(18)} .price > span`), "0.22222");
  assert.equal(await page.textContent(`${row(17)} .price > span`), "0.10017", "it is older than the figures");
  await close();
});

test("a market without a name yet is asked for once, not with each event", async () => {
  const documents = feed(20);
  const { page, close } = await madeUp(documents);
  const asked = [];
  page.on("request", (request) => request.url().includes("names?from=") && asked.push(request.url()));
  let last = documents.figures;
  await stream(page, () => {
    const later = { seq: last.seq + 1, as_of: new Date(Date.parse(last.as_of) + 1_000).toISOString() };
    const event = eventAfter(last, later, 20, "0.55555");
    last = { ...last, ...later };
    return [event];
  });
  await page.goto(process.env.TICKER_URL);
  await page.waitForFunction(() => Number(document.querySelector("#board table").dataset.seq) >= 8);
  assert.equal(asked.length, 1, asked.join(" "));
  await close();
});

test("without script, links sort and a form searches", async () => {
  const { page, faults, close } = await open(browser, "/", { javaScriptEnabled: false });
  const read = async () =>
    (await page.locator("#rows td.h24").allTextContents()).map((text) => Number(text.replaceAll(",", "").replace("−", "-")));
  await page.click('th[data-sort="24h"] a');
  assert(page.url().endsWith("/?sort=24h"));
  const falling = await read();
  assert(falling.length > 10);
  assert.deepEqual(falling, falling.toSorted((one, other) => other - one));
  await page.fill("#q", "xlm");
  await page.click("form.filter button");
  assert.match(page.url(), /q=xlm/);
  assert.match(await count(page), /^\d+ of \d+ markets$/);
  assert.deepEqual(faults, []);
  await close();
});

test("the rows stay if the feed fails", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.route("**/api/v1/board/**", (route) => route.abort());
  await page.goto(process.env.TICKER_URL);
  await page.waitForFunction(() => document.getElementById("count").textContent.startsWith("Only this page of the list"));
  assert((await names(page)).length > 20);
  assert(await page.isVisible("form.filter button"));
  await context.close();
});

test("axe finds nothing on the list, at all widths and in both schemes", () => isSound(browser, "/", { ready: READY }));
