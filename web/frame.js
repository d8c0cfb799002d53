// The trust strip and the ages of a page: they count to now.
import { age } from "./numbers.js";

// Interval at which the strip and the notice are read again, and the progress before the first publication.
const REFRESH_MS = 30_000;
const WAIT_MS = 5_000;
// Longest wait for an answer.
const PATIENCE_MS = 20_000;
// Least age of a page that is loaded again for one of another version or database: during an upgrade of several replicas, both
// versions answer in turn.
const RENEW_MS = 10_000;
// Wait before the next attempt.
const RENEW_LOOK_MS = 1_000;
// Parts of a page that newer figures replace. Those with the value "rows" have rows that may move.
const PARTS = "[data-live]";

const ageText = document.getElementById("age");
let isRefreshing = false;
// State of updates as a script has found it. Null on a page without updates.
let updates = null;
// The coming reload, or null. `isWrong` is true if the page shows something wrong until then.
let renewal = null;

// Seconds since 1970, by the server's clock, at which the server made this page.
export const madeAt = ageText ? Number(ageText.dataset.now) : Date.now() / 1000;

// Seconds by which the server's clock is ahead, so that a wrong clock of this machine does not matter. It is added to the
// time of day, which goes on while the machine sleeps. A page from a cache is old, so the first answer corrects it.
let ahead = madeAt - Date.now() / 1000;

// Seconds since 1970 by the server's clock.
export const now = () => Date.now() / 1000 + ahead;

// Takes the server's clock from an answer: the page itself may have been made some seconds before it was sent. An answer from
// the cache of a proxy has the date at which it was made, and its age.
export function syncClock({ headers }) {
  const date = Date.parse(headers.get("date"));
  const age = Math.max(0, Number(headers.get("age")) || 0);
  if (date > 0) ahead = (date - Date.now()) / 1000 + age;
}

function tick() {
  if (ageText) ageText.textContent = age(now() - Number(ageText.dataset.closedAt));
  writeAges(document);
}

// Writes the ages of the moments that a page names: of a trade, of an order book.
function writeAges(root) {
  for (const place of root.querySelectorAll("[data-at]")) {
    const text = age(now() - Number(place.dataset.at));
    // Rewriting an unchanged text would clear the reader's selection.
    if (place.textContent !== text && !isInUse(place)) place.textContent = text;
  }
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
  updates = [state, text];
  drawUpdates();
}

// A source of updates may be open while no figures arrive. Then the notice says so, and a green dot would deny it.
function drawUpdates() {
  const [state, text] = document.querySelector("#notice .banner") ? ["stop", "none arrive"] : updates;
  const dot = document.createElement("span");
  dot.className = state === "live" ? "dot" : `dot ${state}`;
  dot.setAttribute("aria-hidden", "true");
  document.getElementById("updates").replaceChildren(dot, ` ${text}`);
}

// True if the reader is in a part: with the focus, or with an end of a selection. Selecting all keeps no part.
function isInUse(part) {
  const { isCollapsed = true, anchorNode, focusNode } = getSelection() ?? {};
  const isSelected = !isCollapsed && (part.contains(anchorNode) || part.contains(focusNode));
  return isSelected || part.contains(document.activeElement);
}

// True while the pointer is over an element. A finger does not hover, but browsers let it seem so after a tap.
export const isHovered = (element) => matchMedia("(hover: hover)").matches && element.matches(":hover");

// True while the pointer is over rows: none may move under it, for a click would meet another one.
const isUnderPointer = (part) => part.dataset.live === "rows" && isHovered(part);

// Version and database of a page. A proxy's page has none.
const edition = (root) => root.body.dataset.edition;
export const isOwn = (root) => root.getElementById("content") !== null;

// Loads the page again if the newer one of the same address is of another version or database. Returns true if it is.
export function isRenewedFor({ ok, status }, root) {
  const [one, other] = [document, root].map((page) => page.querySelectorAll(PARTS).length);
  // The starting page has other parts, and so has the page that says that a market is not known.
  if (!isOwn(root) || status >= 500 || (edition(root) === edition(document) && (one === other || !ok))) return false;
  renew();
  return true;
}

// True if a reload would take something from the reader: selected text, or the focus of the keyboard.
function isPageInUse() {
  const isSelected = getSelection()?.isCollapsed === false;
  return !document.hidden && (isSelected || document.querySelector("main :focus-visible") !== null);
}

// Loads the page again as soon as the server has it and nobody is in it. If what it shows is wrong, it does not wait for the
// reader.
export function renew(isWrong = false) {
  if (renewal) {
    renewal.isWrong ||= isWrong;
    return;
  }
  renewal = { isWrong };
  const look = async () => {
    try {
      if (performance.now() >= RENEW_MS && (renewal.isWrong || !isPageInUse())) {
        const { response, root } = await page(location.href);
        if (response.status < 500 && isOwn(root)) {
          location.reload();
          return;
        }
      }
    } catch {
      // The next time.
    }
    setTimeout(look, RENEW_LOOK_MS);
  };
  look();
}

// Exchanges the marked parts that changed for those of a newer page. Parts that the reader is in stay.
export function exchangeParts(root) {
  const parts = root.querySelectorAll(PARTS);
  const old = document.querySelectorAll(PARTS);
  if (parts.length !== old.length) throw new Error("the page of another version");
  // A part in which only ages have grown stays.
  for (const page of [root, document]) writeAges(page);
  old.forEach((part, place) => {
    if (isInUse(part) || isUnderPointer(part) || part.isEqualNode(parts[place])) return;
    part.replaceWith(document.importNode(parts[place], true));
  });
}

const page = async (address) => {
  const signal = AbortSignal.timeout?.(PATIENCE_MS);
  const response = await fetch(address, { headers: { Accept: "text/html" }, signal });
  return { response, root: new DOMParser().parseFromString(await response.text(), "text/html") };
};

// Exchanges the parts of the strip that changed.
function exchangeStrip(root) {
  const fresh = root.querySelectorAll(".strip .wide");
  document.querySelectorAll(".strip .wide").forEach((cell, place) => {
    if (fresh[place] && !isInUse(cell) && !cell.isEqualNode(fresh[place])) cell.replaceWith(document.importNode(fresh[place], true));
  });
  const age = root.getElementById("age");
  if (ageText && age) ageText.className = age.className;
}

// Exchanges the list's note about missing ledgers. The smallest page has its text in the head.
function exchangeGaps(root) {
  const [note, fresh] = [document.getElementById("gaps"), root.querySelector('meta[name="gaps"]')];
  if (!note || !fresh) return;
  if (note.textContent !== fresh.content) note.textContent = fresh.content;
  note.hidden = fresh.content === "";
}

// Exchanges the notice of stale figures. Readers of screens announce what changes in it, so an age that grows changes
// nothing else.
function exchangeNotice(root) {
  const [old, fresh] = [document, root].map((one) => one.getElementById("notice"));
  if (!old || !fresh) return;
  const [oldAge, freshAge] = [old, fresh].map((one) => one.querySelector("#stale-age"));
  if (oldAge && freshAge && !oldAge.isEqualNode(freshAge)) oldAge.textContent = freshAge.textContent;
  if (!old.isEqualNode(fresh)) old.replaceChildren(...document.importNode(fresh, true).childNodes);
  if (updates) drawUpdates();
  else exchangeUpdates(root);
}

// Exchanges the state of updates of a page without updates.
function exchangeUpdates(root) {
  const [old, fresh] = [document, root].map((one) => one.getElementById("updates"));
  if (old && fresh && !old.isEqualNode(fresh)) old.replaceChildren(...document.importNode(fresh, true).childNodes);
}

// Audits, books, gaps and silence are no figures: the frame of the smallest page has them.
async function refresh() {
  if (document.hidden || isRefreshing) return;
  isRefreshing = true;
  try {
    const { response, root } = await page("/licences");
    if (!response.ok) return;
    syncClock(response);
    // The first trade: this page was made before it, without the place of an age.
    if (!ageText && root.getElementById("age")) renew();
    exchangeStrip(root);
    exchangeGaps(root);
    exchangeNotice(root);
    tick();
  } catch {
    // The state of updates says that nothing arrives.
  } finally {
    isRefreshing = false;
  }
}

// Before the first publication: updates the progress, and reloads once the page exists. Ignores error pages of a proxy.
async function wait() {
  try {
    const { response, root } = await page(location.href);
    if (response.status < 500 && root.getElementById("content")) location.reload();
    else if (root.querySelector("main progress")) exchangeParts(root);
  } catch {
    // The next time.
  }
}

if (ageText) setInterval(tick, 1000);
if (document.querySelector("main progress")) setInterval(wait, WAIT_MS);
else {
  refresh();
  setInterval(refresh, REFRESH_MS);
  document.addEventListener("visibilitychange", refresh);
  addEventListener("pageshow", ({ persisted }) => persisted && refresh());
}
