// The list of markets: search, filters and order without a request, and figures that update. Without this script the
// same works by links and a form.
import { Board, SORTS } from "./board.js";
import { now, renew, showLedger } from "./frame.js";
import { amount, count, orNone } from "./numbers.js";
import { Table } from "./table.js";
import { Updates, read } from "./updates.js";

// Time after the last key until the address and the announced count follow.
const SETTLE_MS = 120;
// Least time between two changes of the order by new figures.
const REORDER_MS = 5_000;
const PAGE_ROWS = 10;
// Rows of a page of the server, to which `?page=` counts.
const SERVER_PAGE_ROWS = 50;
// Ages at which slow documents are read again, and how often they are checked. The names are the largest document.
const SPARKS_MS = 600_000;
const NAMES_MS = 6 * 3_600_000;
const LOOK_MS = 30_000;
// Wait before names are asked for again that could not be read or did not have a market yet: the server cuts them every 10
// seconds. The random part spreads the requests of many pages.
const LEARN_MS = 10_000;
const LEARN_RANDOM_MS = 5_000;
// First and longest wait before a board is read again that could not be read.
const RETRY_MS = 2_000;
const RETRY_MAX_MS = 30_000;

const form = document.querySelector("form.filter");
const box = document.getElementById("board");
const search = form.elements.q;
let board = null;
let table = null;
let reorderedAt = 0;
let settling = 0;
let isLearning = false;
let learnsAgainAt = 0;
// Documents that change slowly, and the times at which they were read. The points of the lines are of six hours each, and
// an issuer may change its domain.
const SLOW = {
  sparks: { readAt: 0, age: SPARKS_MS, take: (sparks) => board.setSparks(sparks) },
  names: { readAt: 0, age: NAMES_MS, take: (names) => addNames(names) },
};

// The selection, as the form and the hidden fields hold it.
function query() {
  const { q, quote, volume, verified, clean, sort, order } = form.elements;
  return {
    words: q.value.replace(/\p{Cf}/gu, "").trim(), quote: quote.value, volume: Number(volume.value), verified: verified.checked,
    clean: clean.checked, sort: sort.value, ascending: order.value === "asc",
  };
}

// Address of a selection, as the server writes it.
function address({ words, quote, volume, verified, clean, sort, ascending }) {
  const pairs = [
    ["q", words], ["quote", quote], ["volume", volume > 0 ? volume : ""], ["verified", verified ? 1 : ""],
    ["clean", clean ? 1 : ""], ["sort", sort === "volume" ? "" : sort],
    ["order", ascending === SORTS[sort] ? "" : ascending ? "asc" : "desc"],
  ].filter(([, value]) => value !== "");
  return pairs.length > 0 ? `/?${new URLSearchParams(pairs)}` : "/";
}

// Selects, orders and draws. The count is announced if the reader asked for it: live figures are not.
function show(isAsked = true) {
  const wanted = query();
  const numbers = board.select(wanted);
  box.hidden = numbers.length === 0;
  document.getElementById("empty").hidden = numbers.length > 0;
  table.show(numbers);
  reorderedAt = performance.now();
  clearTimeout(settling);
  settling = setTimeout(() => {
    history.replaceState(history.state, "", address(wanted));
    document.getElementById("searched").textContent = wanted.words
      ? `Searched codes, keys and domains for “${wanted.words}”.` : "No market has all of these properties.";
    showCount(`${count(numbers.length)} of ${count(board.total)} markets`, isAsked);
  }, SETTLE_MS);
  showHeads(wanted);
}

function showCount(text, isAnnounced) {
  document.getElementById("count").textContent = text;
  const announced = document.getElementById("announced");
  if (isAnnounced && announced.textContent !== text) announced.textContent = text;
}

function showHeads(wanted) {
  for (const head of box.querySelectorAll("th[data-sort]")) {
    const { sort } = head.dataset;
    const isCurrent = sort === wanted.sort;
    const link = head.querySelector("a");
    link.href = address({ ...wanted, sort, ascending: isCurrent ? !wanted.ascending : SORTS[sort] });
    link.replaceChildren(link.firstChild.textContent.trimEnd());
    head.removeAttribute("aria-sort");
    if (!isCurrent) continue;
    head.setAttribute("aria-sort", wanted.ascending ? "ascending" : "descending");
    const arrow = document.createElement("span");
    arrow.setAttribute("aria-hidden", "true");
    arrow.textContent = wanted.ascending ? "↑" : "↓";
    link.append(" ", arrow);
  }
}

function sortBy(event) {
  const head = event.target.closest("th[data-sort]");
  if (!head || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  const { sort, order } = form.elements;
  const isCurrent = sort.value === head.dataset.sort;
  const ascending = isCurrent ? order.value !== "asc" : SORTS[head.dataset.sort];
  sort.value = head.dataset.sort;
  order.value = ascending ? "asc" : "desc";
  show();
  // The head stays in sight deep in the list. The new order is read from its start.
  if (box.getBoundingClientRect().top < 0) box.scrollIntoView();
}

function clear() {
  search.value = "";
  for (const name of ["quote", "volume"]) form.elements[name].value = "";
  for (const name of ["verified", "clean"]) form.elements[name].checked = false;
  show();
  search.focus();
}

const WALKS = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE_ROWS, PageUp: -PAGE_ROWS };

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "Escape" && (event.target === search || box.contains(event.target))) {
    event.preventDefault();
    clear();
  } else if (event.key === "ArrowDown" && event.target === search) {
    event.preventDefault();
    table.walk(0);
  } else if (event.key in WALKS && (event.target === box || event.target.closest?.("#rows"))) {
    event.preventDefault();
    const isFirst = event.target.closest("tr")?.getAttribute("aria-rowindex") === "2";
    if (event.key === "ArrowUp" && isFirst) search.focus();
    else table.walk(WALKS[event.key]);
  }
}

// New figures: the drawn rows change at once, the order only while nobody uses the list.
function showFigures(figures) {
  if (isForeign(figures)) return;
  const unknown = board.setFigures(figures);
  showMoment(figures);
  table.refresh();
  reorder();
  learn(unknown);
}

function showEvent(event) {
  if (isForeign(event)) return;
  const unknown = board.apply(event);
  showMoment(event);
  learn(unknown);
  if (document.hidden) return;
  table.refresh([...event.m.map(([number]) => number), ...event.gone]);
  reorder();
}

// True for what belongs to another database: its numbers mean other markets. The page is then loaded again, at once: it
// would be wrong from here on.
function isForeign(received) {
  const is = board.isForeign(received);
  if (is) renew(true);
  return is;
}

// Reads the names of markets from this number on. Until they are known, the list goes on without these markets.
async function learn(unknown) {
  if (unknown === null || isLearning || performance.now() < learnsAgainAt) return;
  isLearning = true;
  try {
    addNames(await read(`names?from=${unknown}`));
    if (board.changed() !== null) waitToLearn();
  } catch (error) {
    waitToLearn();
    console.warn("the names of new markets cannot be read:", error);
  } finally {
    isLearning = false;
  }
}

function waitToLearn() {
  learnsAgainAt = performance.now() + LEARN_MS + Math.random() * LEARN_RANDOM_MS;
}

function addNames(names) {
  if (isForeign(names)) return;
  board.addNames(names);
  board.changed();
}

// Reads the slow documents that are old. One that cannot be read is tried again at the next look.
async function readSlowly() {
  for (const [name, slow] of Object.entries(SLOW)) {
    const { readAt } = slow;
    // A clock that was set back does not stop the readings.
    if (document.hidden || Math.abs(Date.now() - readAt) < slow.age) continue;
    slow.readAt = Date.now();
    try {
      slow.take(await read(name));
      table.refresh();
      box.dataset[name] = "";
    } catch (error) {
      slow.readAt = readAt;
      console.warn(`${name} cannot be read:`, error);
    }
  }
}

function reorder() {
  if (!table.isInUse && performance.now() - reorderedAt >= REORDER_MS) show(false);
}

function showMoment(figures) {
  const { dataset } = box.querySelector("table");
  dataset.seq = String(figures.seq);
  dataset.asOf = String(Date.parse(figures.as_of) / 1000);
  showTotals(figures.totals);
  if (figures.ledger !== null) showLedger(count(figures.ledger), Date.parse(figures.ledger_close_time) / 1000);
}

// A server of an older version sends none.
function showTotals(totals) {
  if (!totals) return;
  const texts = {
    markets: count(board.total), volume: orNone(totals.volume_usd, (usd) => `$${amount(usd)}`), trades: count(totals.trades),
    warned: count(totals.warned), unpriced: orNone(totals.unpriced, count),
  };
  for (const [name, text] of Object.entries(texts)) {
    const place = document.getElementById(`total-${name}`);
    if (place && place.textContent !== text) place.textContent = text;
  }
}

// Keeps the place in the list with the entry of the history, for a reader who comes back.
function keepPlace() {
  const place = scrollY > 0 ? table.topPlace() : null;
  history.replaceState({ ...history.state, place }, "");
}

function listen() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    show();
  });
  form.addEventListener("input", () => show());
  box.querySelector("thead").addEventListener("click", sortBy);
  document.getElementById("clear").addEventListener("click", (event) => {
    event.preventDefault();
    clear();
  });
  document.addEventListener("keydown", key);
  let resting = 0;
  addEventListener("scroll", () => {
    clearTimeout(resting);
    resting = setTimeout(keepPlace, SETTLE_MS);
  }, { passive: true });
  // A link may be followed before the scrolling has settled.
  box.addEventListener("click", keepPlace);
  addEventListener("popstate", returnTo);
  setInterval(() => document.hidden || table.age(), 1000);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    table.refresh();
    readSlowly();
  });
  setInterval(readSlowly, LOOK_MS);
}

// Reads the board. While it cannot be read, the page stays as the server sent it: links and the form work without script.
async function load() {
  for (let wait = RETRY_MS; ; wait = Math.min(2 * wait, RETRY_MAX_MS)) {
    try {
      const [names, figures] = await Promise.all([read("names"), read("figures")]);
      SLOW.names.readAt = Date.now();
      board = new Board(names, figures);
      if (board.isForeign(names)) throw new Error("names and figures are of two databases");
      return figures;
    } catch (error) {
      showCount("Only this page of the list: the rest could not be loaded", true);
      console.warn(`the list cannot be loaded, again in ${wait / 1000} s:`, error);
    }
    await new Promise((resolve) => { setTimeout(resolve, wait); });
  }
}

// Goes to the place that the reader left or that the address names, unless they have moved or chosen otherwise by now.
function goToPlace(place, asked, startedAt) {
  // A browser restores positions before the rows are there, and would end at the last row of the server.
  history.scrollRestoration = "manual";
  const hasMoved = scrollY !== startedAt || box.contains(document.activeElement);
  if (place !== null && !hasMoved && address(query()) === asked && !box.hidden) table.goTo(place);
}

// Goes back or forth within the page, after a link to a part of it.
function returnTo({ state }) {
  const part = location.hash && document.getElementById(location.hash.slice(1));
  if (part) part.scrollIntoView();
  else if (typeof state?.place === "number") table.goTo(state.place);
  else scrollTo(0, 0);
}

async function start() {
  const updates = new Updates(showFigures, showEvent);
  const page = Number(new URLSearchParams(location.search).get("page"));
  const asked = address(query());
  const kept = history.state?.place ?? null;
  const startedAt = scrollY;
  const figures = await load();
  table = new Table(box, (number) => board.row(number), () => now() - board.asOf);
  showMoment(figures);
  listen();
  // From here on, this script does what the links and the form did. Those that have the focus are hidden.
  if (document.activeElement?.closest(".plain")) search.focus({ preventScroll: true });
  document.documentElement.classList.add("js");
  show(false);
  goToPlace(kept ?? (page > 1 ? (page - 1) * SERVER_PAGE_ROWS : null), asked, startedAt);
  updates.start(figures);
  box.dataset.ready = "";
  learn(board.changed());
  readSlowly();
}

start();
