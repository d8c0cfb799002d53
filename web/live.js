// New figures on the page of a market: reads the page again and exchanges the marked parts that changed. Parts that the
// reader is in stay. Nothing else knows where they are from, so another source needs only this file.
import { showLedger, showUpdates, syncClock } from "./frame.js";

const INTERVAL_MS = 10_000;
const FAILURES_MAX = 3;
const PARTS = "[data-live]";

function exchange(fresh) {
  const parts = fresh.querySelectorAll(PARTS);
  const old = document.querySelectorAll(PARTS);
  if (parts.length !== old.length) return;
  old.forEach((part, place) => {
    if (part.contains(document.activeElement) || part.isEqualNode(parts[place])) return;
    part.replaceWith(document.importNode(parts[place], true));
  });
  const age = fresh.getElementById("age");
  const ledger = fresh.getElementById("ledger");
  if (age && ledger) showLedger(ledger.textContent.replace("ledger ", ""), Number(age.dataset.closedAt));
}

// Keeps the page up to date, and calls `onUpdate` after each reading.
export function keepUp(onUpdate) {
  let failures = 0;
  const read = async () => {
    if (document.hidden) return;
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!response.ok) throw new Error(`${response.status}`);
      syncClock(response);
      exchange(new DOMParser().parseFromString(await response.text(), "text/html"));
      await onUpdate();
      failures = 0;
      showUpdates("live", "every 10 s");
    } catch {
      failures += 1;
      if (failures >= FAILURES_MAX) showUpdates("stop", "none arrive");
    }
  };
  showUpdates("live", "every 10 s");
  setInterval(read, INTERVAL_MS);
  document.addEventListener("visibilitychange", read);
}
