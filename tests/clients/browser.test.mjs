// A real browser opens the explorer and runs a query. Nothing may come from another host, nothing may break the policy.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { findings } from "./chromium.mjs";
import { TICKER, pairs } from "./ticker.mjs";

// A loaded machine is no failure.
const DEADLINE_MS = 120_000;
// Without these it looks for updates and its maker's services by itself; without a sandbox it also runs as root.
const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const RUN = ".graphiql-execute-button";

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ARGUMENTS, timeout: DEADLINE_MS });
});
after(() => browser?.close());

// Opens the explorer; what went wrong and what was asked for is collected.
async function open() {
  const page = await browser.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const requests = [];
  const faults = [];
  page.on("request", (request) => requests.push(request.url()));
  page.on("requestfailed", (request) => faults.push(`${request.url()}: ${request.failure()?.errorText}`));
  page.on("response", (response) => response.ok() || faults.push(`${response.url()}: ${response.status()}`));
  page.on("pageerror", (error) => faults.push(`${error}`));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  const response = await page.goto(`${TICKER}/graphiql`);
  await page.waitForSelector(RUN);
  return { page, response, requests, faults };
}

// All of the result: the page itself holds only the lines that are in view.
const result = (page) =>
  page.evaluate(() => document.querySelector(".result-window .CodeMirror").CodeMirror.getValue());

// Waits until the result says this.
async function resultHas(page, text) {
  try {
    await page.waitForFunction(
      (text) => document.querySelector(".result-window .CodeMirror").CodeMirror.getValue().includes(text),
      text,
    );
  } catch (error) {
    throw new Error(`no ${text} in the result: ${await result(page)}`, { cause: error });
  }
}

const write = (page, query) =>
  page.evaluate((query) => {
    document.querySelector(".graphiql-query-editor .CodeMirror").CodeMirror.setValue(query);
  }, query);

test("the explorer runs its first query, all from its own host", async () => {
  const { page, response, requests, faults } = await open();
  assert.match(response.headers()["content-security-policy"], /^default-src 'none'; script-src 'self';/);
  const published = await pairs();
  await page.click(RUN);
  await resultHas(page, `"tradePair": "${published[0].name}"`);
  const { data, errors } = JSON.parse(await result(page));
  assert.equal(errors, undefined);
  for (const root of ["ticker", "markets", "assets", "issuers"]) assert(data[root].length > 0, root);
  // And it is there to be seen.
  await page.waitForSelector(`.result-window >> text=${published[0].name}`);
  const foreign = requests.filter((url) => new URL(url).origin !== new URL(TICKER).origin && !url.startsWith("data:"));
  assert.deepEqual(foreign, []);
  assert(requests.includes(`${TICKER}/graphql`));
  assert.deepEqual(faults, []);
  await page.close();
});

test("documentation, dialogs and the choice of an operation keep to the policy", async () => {
  const { page, faults } = await open();
  await page.click('[aria-label="Show Documentation Explorer"]');
  // It knows the schema from the endpoint.
  await page.click('.graphiql-doc-explorer-type-name >> text="Query"');
  await page.click('.graphiql-doc-explorer-field-name >> text="ticker"');
  await page.waitForSelector('.graphiql-doc-explorer-argument-name >> text="pairName"');
  for (const dialog of ["Open settings dialog", "Open short keys dialog"]) {
    await page.click(`[aria-label="${dialog}"]`);
    await page.waitForSelector(".graphiql-dialog");
    await page.keyboard.press("Escape");
    await page.waitForSelector(".graphiql-dialog", { state: "detached" });
  }
  await write(page, "query pairs {ticker {tradePair}} query hosts {issuers {publicKey}}");
  // The button opens a menu once the page has seen two operations.
  await page.click(`${RUN}[aria-haspopup=menu]`);
  await page.click("[role=menuitem] >> text=hosts");
  await resultHas(page, '"publicKey": "native"');
  assert.deepEqual(faults, []);
  await page.close();
});

test("an error of the endpoint is shown", async () => {
  const { page, faults } = await open();
  await write(page, "{ticker(numHoursAgo: 169) {tradePair}}");
  await page.click(RUN);
  await resultHas(page, "numHoursAgo cannot be greater than 168 (7 days)");
  assert.deepEqual(faults, []);
  await page.close();
});

// Two findings are about GraphiQL's own elements: the button within a tab, and the editors, which scroll by arrow keys.
const OF_GRAPHIQL = /^(nested-interactive|scrollable-region-focusable):/;

test("axe finds nothing in the explorer but what GraphiQL itself makes so, in both schemes", async () => {
  const { page } = await open();
  await page.click(RUN);
  await resultHas(page, '"tradePair"');
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const found = await findings(page);
    assert.deepEqual(found.filter((finding) => !OF_GRAPHIQL.test(finding)), [], colorScheme);
  }
  await page.close();
});
