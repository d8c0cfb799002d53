// New figures on the page of a market: reads the page again and exchanges the marked parts that changed. Parts that the
// reader is in stay. The stream of the browser says when the market changed. Where there is none, the page is read every
// 10 seconds.
import { exchangeParts, isOwn, isRenewedFor, madeAt, now, showLedger, showUpdates, syncClock } from "./frame.js";
import { NONE, count } from "./numbers.js";
import { follow } from "./stream.js";

const INTERVAL_S = 10;
// With a stream: least time between two readings, and the time after which the ages of order books are read again.
const PAUSE_S = 2;
const QUIET_S = 30;
const FAILURES_MAX = 3;
// Longest wait for an answer.
const PATIENCE_MS = 20_000;
const NO_TRADE = "no trade in 7 days";

function exchange(fresh) {
  exchangeParts(fresh);
  // It has the price.
  document.title = fresh.title;
  const age = fresh.getElementById("age");
  const ledger = fresh.getElementById("ledger");
  if (age && ledger) showLedger(ledger.textContent.replace("ledger ", ""), Number(age.dataset.closedAt));
}

// Takes the price away from the page of a market that has left the list. The page of its next trade has one again.
function showNoPrice() {
  const [price, note] = ["strong", ".note"].map((part) => document.querySelector(`#price ${part}`));
  if (!price || !note) return;
  price.textContent = NONE;
  note.textContent = NO_TRADE;
  // The assets after it stay.
  document.title = document.title.replace(/^(\S+[^\s,]) .*?(?=, | · )/, "$1");
}

// Finds gaps in the events: returns a function that takes them one by one and is true if others before it are missing. That is
// so after the stream was opened again, and if another tab has it now. Null is an event that says so itself.
function gapFinder() {
  // Publication of the last event. The page has all events until it was made.
  let last = { seq: Infinity, at: madeAt };
  return (event) => {
    if (event === null) {
      last = null;
      return true;
    }
    const [after, at] = [event.after, event.as_of].map((time) => Date.parse(time) / 1000);
    const isGap = last !== null && (after > last.at || event.after_seq > last.seq);
    // An event of before may be repeated.
    if (last === null || at > last.at) last = { seq: event.seq, at };
    return isGap;
  };
}

// Keeps the page of the market with this number up to date, and calls `onUpdate` after each reading: with true if events may
// have been missed before it.
export function keepUp(number, onUpdate) {
  let failures = 0;
  let mode = "poll";
  let isDue = false;
  let hasMissed = false;
  let isBusy = false;
  let hasLeft = false;
  const isAfterGap = gapFinder();
  // By the server's clock: a page from a cache may be hours old, and is then read at once.
  let readAt = madeAt;
  const tell = () => {
    if (failures >= FAILURES_MAX) showUpdates("stop", "none arrive");
    else if (hasLeft) showUpdates("stop", NO_TRADE);
    else if (mode === "live") showUpdates("live", "live");
    else showUpdates("wait", "every 10 s");
  };
  const read = async () => {
    isBusy = true;
    const isWhole = hasMissed;
    isDue = false;
    hasMissed = false;
    readAt = now();
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout?.(PATIENCE_MS) });
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      // Another database may not have this market: then its answer is a page too.
      if (isRenewedFor(response, fresh)) throw new Error("the page of another version");
      hasLeft = response.status === 404 && isOwn(fresh);
      if (!response.ok && !hasLeft) throw new Error(`${response.status}`);
      syncClock(response);
      hasMissed ||= hasLeft;
      if (hasLeft) showNoPrice();
      else {
        exchange(fresh);
        await onUpdate(isWhole);
      }
      failures = 0;
    } catch {
      failures += 1;
      hasMissed = true;
    } finally {
      isBusy = false;
    }
    tell();
  };
  const look = () => {
    // A clock that was set back does not stop the readings.
    const passed = Math.abs(now() - readAt);
    const wait = mode === "poll" ? INTERVAL_S : isDue ? PAUSE_S : QUIET_S;
    if (!document.hidden && !isBusy && passed >= wait) read();
  };
  tell();
  setInterval(look, 1000);
  document.addEventListener("visibilitychange", look);
  follow(
    (event) => {
      if (event && event.ledger !== null) showLedger(count(event.ledger), Date.parse(event.ledger_close_time) / 1000);
      const isGap = isAfterGap(event);
      hasMissed ||= isGap;
      isDue ||= isGap || event.m.some(([changed]) => changed === number) || event.gone.includes(number);
      look();
    },
    (state) => {
      mode = state;
      tell();
    },
  );
}
