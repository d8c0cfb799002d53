// A real browser, and pages of it that collect what goes wrong.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout } from "node:timers/promises";
import { chromium } from "playwright-core";
import { TICKER } from "./ticker.mjs";

// A loaded machine is no failure.
export const DEADLINE_MS = 120_000;
// Without these it looks for updates and its maker's services by itself; without a sandbox it also runs as root.
const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

export const launch = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM, args: ARGUMENTS, timeout: DEADLINE_MS });

// Opens a page. Faults are failed requests, errors, dialogs and violations of the policy; `status` is the expected one.
export async function open(browser, path, { status = 200, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const [requests, faults] = [[], []];
  page.on("request", (request) => requests.push(request.url()));
  page.on("response", (response) => response.status() < 400 || faults.push(`${response.url()}: ${response.status()}`));
  page.on("pageerror", (error) => faults.push(`${error}`));
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  if (options.javaScriptEnabled !== false) {
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) =>
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`),
      );
    });
  }
  const response = await page.goto(new URL(path, TICKER).href, { waitUntil: "load" });
  if (response.status() === status && status >= 400) faults.length = 0;
  return { page, response, requests, faults, close: () => context.close() };
}

// A page that gets `change` of the page at this path once, as from a cache, and newer ones after that.
export async function cached(browser, path, change, prepare = () => {}) {
  const html = await (await fetch(TICKER + path, { headers: { Accept: "text/html" } })).text();
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  await page.route((url) => url.pathname === path,
    (route) => route.fulfill({ contentType: "text/html; charset=utf-8", body: change(html) }), { times: 1 });
  await prepare(page);
  await page.goto(TICKER + path);
  return { page, close: () => context.close() };
}

// The page as the server sent it some time ago.
export const aged = (html, seconds) =>
  html.replaceAll(/data-(closed-at|now)="(\d+)"/g, (_, name, at) => `data-${name}="${at - seconds}"`);

// Waits until an asynchronous function in the page gives something. Playwright's waitForFunction does not wait for promises.
export async function eventually(page, look, argument) {
  for (const begun = Date.now(); Date.now() - begun < DEADLINE_MS; await setTimeout(300)) {
    const found = await page.evaluate(look, argument);
    if (found) return found;
  }
  throw new Error(`not within ${DEADLINE_MS / 1000} s: ${look}`);
}

// Addresses of other hosts that a page asked for.
export const foreign = (requests) =>
  requests.filter((url) => new URL(url).origin !== new URL(TICKER).origin && !url.startsWith("data:"));

// Findings of axe (WCAG 2.2 AA, and its best practice), one text each. Playwright's isolated world is not under the policy.
export async function findings(page) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  return page.evaluate(async (rules) => {
    const { violations } = await window.axe.run(document, { runOnly: rules });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
  }, RULES);
}

// Widths of phones, tablets and screens, and those on either side of a change of layout.
const WIDTHS = [320, 359, 360, 390, 480, 559, 560, 767, 768, 834, 959, 960, 1023, 1024, 1119, 1120, 1280, 1351, 1352, 1440];
const AXE_WIDTHS = [360, 390, 1440];

// Asserts at all widths and in both schemes that axe finds nothing on a page, that nothing scrolls sideways, and that nothing
// went wrong. `ready` is a selector to wait for, `still` stops what would change the page meanwhile.
export async function isSound(browser, address, { status = 200, ready, still } = {}) {
  const { page, faults, close } = await open(browser, address, { status });
  if (ready) await page.waitForSelector(ready);
  if (still) await page.evaluate(still);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      if (AXE_WIDTHS.includes(width)) {
        assert.deepEqual(await findings(page), [], `${address} ${colorScheme} ${width}`);
      }
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.equal(wide, width, `${address} scrolls sideways at ${width}`);
    }
  }
  assert.deepEqual(faults, [], address);
  await close();
}
