// The trust strip: the age counts to now, whatever page it is on.
import { age } from "./numbers.js";

document.documentElement.classList.add("js");

// Interval at which the strip and the banner are read again, and the progress before the first publication.
const REFRESH_MS = 30_000;
const WAIT_MS = 5_000;

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

const page = async (address) => {
  const response = await fetch(address, { headers: { Accept: "text/html" } });
  return { response, root: new DOMParser().parseFromString(await response.text(), "text/html") };
};

// Exchanges the parts of the strip and the banner that changed. Only a new banner is announced.
function exchange(root) {
  const fresh = root.querySelectorAll(".strip .wide");
  document.querySelectorAll(".strip .wide").forEach((cell, place) => {
    if (fresh[place] && !cell.isEqualNode(fresh[place])) cell.replaceWith(document.importNode(fresh[place], true));
  });
  const age = root.getElementById("age");
  if (ageText && age) ageText.className = age.className;
  const [old, banner] = [document.querySelector(".banner"), root.querySelector(".banner")];
  if (!banner) old?.remove();
  else if (!old) document.querySelector(".strip").after(document.importNode(banner, true));
  else old.replaceChildren(...document.importNode(banner, true).childNodes);
}

// Audits, books, gaps and silence are no figures: the frame of the smallest page has them.
async function refresh() {
  if (document.hidden) return;
  try {
    const { response, root } = await page("/licences");
    if (response.ok) exchange(root);
  } catch {
    // The state of updates says that nothing arrives.
  }
}

// Before the first publication: shows the progress, and then the page.
async function wait() {
  try {
    const { response, root } = await page(location.href);
    if (response.ok) location.reload();
    else document.getElementById("content").replaceChildren(...root.getElementById("content").childNodes);
  } catch {
    // The next time.
  }
}

if (ageText) setInterval(tick, 1000);
if (document.querySelector("main progress")) setInterval(wait, WAIT_MS);
else setInterval(refresh, REFRESH_MS);
