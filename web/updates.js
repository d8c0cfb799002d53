// The source of new figures: reads them every 10 seconds while the page is seen. Nothing else in the script knows where
// figures are from, so another source needs only this file.

import { syncClock } from "./frame.js";

const INTERVAL_MS = 10_000;
// Failures in a row after which the page says that no updates arrive.
const FAILURES_MAX = 3;

// Answer of a path of the feed.
export async function read(path) {
  const response = await fetch(`/api/v1/board/${path}`, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  syncClock(response);
  return response.json();
}

// Calls `onFigures` with each new answer of `figures`, and `onState` with true while they arrive.
export function watch(seq, onFigures, onState) {
  let failures = 0;
  let isBusy = false;
  const poll = async () => {
    if (document.hidden || isBusy) return;
    isBusy = true;
    try {
      const figures = await read("figures");
      failures = 0;
      if (figures.seq !== seq.seq || figures.as_of !== seq.as_of) {
        seq = { seq: figures.seq, as_of: figures.as_of };
        await onFigures(figures);
      }
      onState(true);
    } catch {
      failures += 1;
      if (failures >= FAILURES_MAX) onState(false);
    } finally {
      isBusy = false;
    }
  };
  setInterval(poll, INTERVAL_MS);
  document.addEventListener("visibilitychange", poll);
}
