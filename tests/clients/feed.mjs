// The feed of a made-up board with any number of markets.
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

// Issuer of the asset with this number.
export const issuer = (place) => `G${[...Array(55).keys()].map((at) => BASE32[(place * 7 + at * place) % 32]).join("")}`;

// Documents of the feed by their name.
export function feed(markets) {
  const all = Array.from({ length: markets }, (_, place) => place);
  const column = (make) => all.map(make);
  const now = new Date().toISOString();
  const figures = {
    seq: 1, as_of: now, ledger: 1, ledger_close_time: now, number: all,
    totals: { volume_usd: markets * 5, unpriced: 0, trades: markets * 50, warned: 0 },
    price: column((place) => `0.${10_000 + place}`), change_1h: column((place) => (place % 500) - 250),
    change_24h: column((place) => (place % 3 ? (place % 900) - 450 : null)), change_7d: column(() => null),
    low: column(() => -20), high: column(() => 30), bid: column(() => -1), ask: column(() => 1), spread: column(() => 20),
    volume_usd: column((place) => place * 10), volume: column((place) => place * 10), trades: column((place) => place % 100),
    age: column((place) => place), flags: column(() => 96),
  };
  const { seq, as_of, ledger, ledger_close_time, totals, ...columns } = figures;
  return {
    names: {
      assets: {
        number: all, code: column((place) => `C${place}`), domain: column(() => -1), domains: [], keys: all.map(issuer).join(""),
      },
      markets: { number: all, base: all, quote: column((place) => (place + 1) % markets) },
    },
    figures: { ...figures, columns: Object.keys(columns) },
    sparks: { number: all, lines: "ABCDEFGHIJKLMNOPQRSTUVWXYZ23".repeat(markets) },
  };
}

// The same figures at a later moment, after `change` of them.
export function later(figures, change) {
  const copy = structuredClone(figures);
  copy.seq += 1;
  copy.as_of = new Date(Date.parse(copy.as_of) + 1_000).toISOString();
  change(copy);
  return copy;
}

// Answers a page with these documents, and with no stream.
export async function serve(page, documents) {
  await page.route("**/api/v1/board/*", (route) =>
    route.fulfill({ json: documents[new URL(route.request().url()).pathname.split("/").pop()] }));
  await page.route("**/api/v1/stream*", (route) => route.abort());
}

// Answers each connection of the stream with these events, which ends it. The browser comes back at once.
export const stream = (page, next) => page.route("**/api/v1/stream*", async (route) => route.fulfill({
  contentType: "text/event-stream",
  body: ["retry: 100\n\nevent: hello\ndata: {}", ...(await next()).map((event) => `event: board\ndata: ${JSON.stringify(event)}`), ""].join("\n\n"),
}));
