// The trust strip: the age counts to now, whatever page it is on.
import { age } from "./numbers.js";

document.documentElement.classList.add("js");

const ageText = document.getElementById("age");
// The server's clock, so that a wrong clock of this machine does not matter.
let start = ageText ? { now: Number(ageText.dataset.now), at: performance.now() } : null;

// Seconds since 1970 by the server's clock.
export const now = () => (start ? start.now + (performance.now() - start.at) / 1000 : Date.now() / 1000);

// Takes the server's clock from an answer: the page itself may have been made some seconds before it was sent.
export function syncClock(response) {
  const date = Date.parse(response.headers.get("date"));
  if (date > 0) start = { now: date / 1000, at: performance.now() };
}

function tick() {
  if (ageText) ageText.textContent = age(now() - Number(ageText.dataset.closedAt));
}

// Shows a newer ledger.
export function showLedger(text, closedAt) {
  if (!ageText || !(closedAt >= Number(ageText.dataset.closedAt))) return;
  ageText.dataset.closedAt = String(closedAt);
  document.getElementById("ledger").textContent = `ledger ${text}`;
  tick();
}

// Shows the state of updates: "live", "wait" or "stop", and a text.
export function showUpdates(state, text) {
  const dot = document.createElement("span");
  dot.className = state === "live" ? "dot" : `dot ${state}`;
  dot.setAttribute("aria-hidden", "true");
  document.getElementById("updates").replaceChildren(dot, ` ${text}`);
}

if (ageText) setInterval(tick, 1000);
