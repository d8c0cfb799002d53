// Measures the pages: node budgets.mjs BINARY [list] [paint] [files]. Prints a table for docs/performance.md. Times are CPU times of the page's
// main thread, medians, each with a baseline of the same run.
import { spawn } from "node:child_process";
import { Agent, get } from "node:http";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";

// Work of the daemon and of the readers while files are asked for.
const READERS = 1_000;
const ROUNDS = 6;
const ROUND_MS = 5_000;
const CONNECTIONS = 8;
const MARKETS = 30_000;
const SLOWED = 4;
// Time after which an open page reads its frame again, as in web/frame.js.
const REFRESH_MS = 30_000;

const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
const rows = [];
function note(what, figure, unit, baseline, goal) {
  const [name, value] = baseline;
  rows.push([what, `${figure.toFixed(1)} ${unit}`, `${name}: ${value.toFixed(1)} ${unit}`, (figure / value).toFixed(2), goal]);
}

// Readers in a process of their own: node budgets.mjs --readers URL.
if (process.argv[2] === "--readers") {
  const agent = new Agent({ maxSockets: Infinity });
  const headers = { accept: "text/html", "accept-encoding": "gzip" };
  const refresh = () => get(`${process.argv[3]}/licences`, { agent, headers }, (answer) => {
    if (answer.statusCode !== 200) throw new Error(`a frame got ${answer.statusCode}`);
    answer.resume();
  });
  let open = 0;
  for (let reader = 0; reader < READERS; reader += 1) {
    setTimeout(Math.random() * REFRESH_MS).then(() => {
      refresh();
      setInterval(refresh, REFRESH_MS);
    });
    get(`${process.argv[3]}/api/v1/stream?board=1`, { agent }, (answer) => {
      if (answer.statusCode !== 200) throw new Error(`a reader got ${answer.statusCode}`);
      open += 1;
      if (open === READERS) console.log("ready");
      answer.resume();
    });
  }
} else {
  process.env.TICKER_BINARY = process.argv[2];
  await measure();
}

async function measure() {
  const { daemon, published, scratch, stopAll } = await import("./daemon.mjs");
  const { launch } = await import("./chromium.mjs");
  const { path, remove } = scratch();
  const { url } = await daemon(path, [
    "demo", "--trades-per-second", "5", "--history-hours", "1", "--connections-per-address", "0",
  ]);
  await published(url, 30);
  const browser = await launch();
  const wanted = (part) => process.argv.length < 4 || process.argv.includes(part);
  if (wanted("list")) await list(browser, url);
  if (wanted("paint")) await paint(browser, url);
  await browser.close();
  if (wanted("files")) await files(url);
  await stopAll();
  remove();
  console.log("| what | figure | baseline | ratio | goal |\n|---|---|---|---|---|");
  for (const row of rows) console.log(`| ${row.join(" | ")} |`);
}

// Search, order and scrolling over many markets.
async function list(browser, url) {
  const { feed, issuer, serve } = await import("./feed.mjs");
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  await serve(page, feed(MARKETS));
  await page.goto(url);
  await page.waitForSelector("#board[data-ready]");
  const cdp = await context.newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
  const spent = async () => {
    const { metrics } = await cdp.send("Performance.getMetrics");
    const of = (name) => metrics.find((metric) => metric.name === name).value * 1000;
    return { script: of("ScriptDuration"), task: of("TaskDuration") };
  };
  // Milliseconds of script and of the whole thread that `act` takes with each input, drawn.
  const times = async (act, inputs) => {
    const found = [];
    for (const input of inputs) {
      await setTimeout(200);
      const before = await spent();
      await page.evaluate(act, input);
      await page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); }));
      const after = await spent();
      found.push({ script: after.script - before.script, task: after.task - before.task });
    }
    return { script: median(found.map(({ script }) => script)), task: median(found.map(({ task }) => task)) };
  };
  // Only the work of tasks counts as script, so each begins with a timer.
  const nothing = await times(() => { setTimeout(() => {}); }, Array(15).fill(0));
  const keys = [issuer(77), issuer(4_242), issuer(29_000)].map((key) => key.toLowerCase());
  const words = ["c1", "c12", "c123", "g", "ga", "gab", "c2", "c29", "c299", ...keys];
  const naive = await times((words) => {
    // The least work: one loop over as many texts of the same length.
    window.texts ??= Array.from({ length: 30_000 }, (_, place) => `c${place} ${"g".repeat(56)} c${place + 1} ${"g".repeat(56)}`);
    setTimeout(() => { window.found = window.texts.filter((text) => text.includes(words)); });
  }, ["warm", ...words]);
  const searched = await times((text) => {
    setTimeout(() => {
      const search = document.getElementById("q");
      search.value = text;
      search.dispatchEvent(new Event("input", { bubbles: true }));
    });
  }, ["warm", ...words]);
  note("filter 30,000 markets by a key and draw, script", searched.script - nothing.script, "ms",
    ["a loop over the texts alone", Math.max(0.1, naive.script - nothing.script)], "at most 16 ms");
  await page.evaluate(() => {
    const search = document.getElementById("q");
    search.value = "";
    search.dispatchEvent(new Event("input", { bubbles: true }));
  });
  const scrolled = await times((top) => scrollTo(0, top), [...Array(60).keys()].map((step) => step * 60));
  const far = await times((top) => scrollTo(0, top), [...Array(30).keys()].map((step) => 10_000 + step * 3_800));
  note("scroll step of 60 px, main thread", scrolled.task, "ms", ["two frames without a change", nothing.task], "at most 10 ms");
  note("scroll by a whole page, main thread", far.task, "ms", ["two frames without a change", nothing.task], "");
  const sorted = await times((head) => { setTimeout(() => document.querySelector(`th[data-sort="${head}"] a`).click()); },
    ["price", "trades", "1h", "24h", "age", "spread", "name"]);
  note("order 30,000 markets by a column, script", sorted.script - nothing.script, "ms",
    ["a loop over the texts alone", Math.max(0.1, naive.script - nothing.script)], "");
  await context.close();
}

// Largest paint of the list and of a page with nothing but the frame, on a slowed processor.
async function paint(browser, url) {
  const largest = async (path) => {
    const found = [];
    for (let time = 0; time < 7; time += 1) {
      const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
      const page = await context.newPage();
      const cdp = await context.newCDPSession(page);
      await cdp.send("Emulation.setCPUThrottlingRate", { rate: SLOWED });
      await page.goto(url + path);
      await setTimeout(2_500);
      found.push(await page.evaluate(() => new Promise((resolve) => {
        new PerformanceObserver((list) => resolve(list.getEntries().at(-1).startTime))
          .observe({ type: "largest-contentful-paint", buffered: true });
      })));
      await context.close();
    }
    return median(found);
  };
  const baseline = await largest("/licences");
  note("largest paint of `/` with the CPU slowed four times", await largest("/"), "ms", ["the frame alone", baseline], "at most 1,200 ms");
}

// Rate of `/markets.json`, with and without readers of the stream, in turns.
async function files(url) {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const once = () => new Promise((resolve, reject) => {
    get(`${url}/markets.json`, { agent, headers: { "accept-encoding": "gzip" } }, (answer) => {
      answer.on("end", resolve).resume();
    }).on("error", reject);
  });
  const rate = async () => {
    let count = 0;
    const end = performance.now() + ROUND_MS;
    await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
      while (performance.now() < end) {
        await once();
        count += 1;
      }
    }));
    return count / (ROUND_MS / 1000);
  };
  const [alone, beside] = [[], []];
  await rate();
  for (let round = 0; round < ROUNDS; round += 1) {
    alone.push(await rate());
    const readers = spawn(process.execPath, [fileURLToPath(import.meta.url), "--readers", url], { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => readers.stdout.once("data", resolve));
    await setTimeout(3_000);
    beside.push(await rate());
    readers.kill();
    await new Promise((resolve) => readers.once("exit", resolve));
    await setTimeout(2_000);
  }
  note("`/markets.json` with 1,000 open pages", median(beside), "/s", ["with none", median(alone)], "ratio at least 0.9");
}
