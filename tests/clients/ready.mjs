// Waits until a demo has something to show and prints its addresses, the public and the admin one: node ready.mjs LOG PID
// It is ready when it listens, holds all history, has read order books and publishes pairs.
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

// A loaded machine is no failure.
const DEADLINE_MS = 180_000;
const [log, pid] = process.argv.slice(2);

// The listeners' addresses, from the line of the log that tells them.
function addresses() {
  const line = readFileSync(log, "utf8").split("\n").find((line) => line.includes('"message":"listening"'));
  const { public: url, admin } = line ? JSON.parse(line).fields : {};
  return [url, admin].map((address) => address && `http://${address}`);
}

async function isReady(url) {
  const markets = await fetch(`${url}/markets.json`);
  const status = await (await fetch(`${url}/api/v1/status`)).json();
  const hasPairs = markets.ok && (await markets.json()).pairs.some((pair) => pair.bid_count > 0);
  return hasPairs && status.backfill?.done_ratio === 1;
}

for (const begun = Date.now(); Date.now() - begun < DEADLINE_MS; await setTimeout(200)) {
  process.kill(Number(pid), 0); // throws when it is gone
  const [url, admin] = addresses();
  if (url && (await isReady(url))) {
    console.log(`${url} ${admin}`);
    process.exit(0);
  }
}
console.error(`the demo was not ready within ${DEADLINE_MS / 1000} s`);
process.exit(1);
