// The page of a market: an interactive chart in place of the drawing, and updates. Without this script, and until it has
// candles, the server draws the chart, and a form changes it.
import { CANDLES_MAX, Chart } from "./chart.js";
import { syncClock } from "./frame.js";
import { keepUp } from "./live.js";

// Longest wait for an answer.
const PATIENCE_MS = 20_000;
// Candles of the table, as on the server.
const TABLE_ROWS = 24;
// Age of the older candles at which they are read again: a gap in them may have been filled.
const WHOLE_MS = 600_000;
const NOT_UPDATED = "The newest candles could not be read. The chart still shows the previous ones.";
const NOT_CHOSEN = "The chosen candles could not be read. The chart still shows the previous ones. Choose again in a moment.";

const form = document.getElementById("choices");
const box = document.getElementById("chart");
const slider = document.getElementById("slider");
const readout = document.getElementById("readout");
const trouble = document.getElementById("trouble");
const table = document.getElementById("last-candles");
const { market, number } = form.dataset;
let chart = null;
// Choices of the candles that the chart shows.
let shown = null;
// Candles of the API behind it, the oldest first, and the time when all of them were read.
let held = [];
let wholeAt = 0;
// True if the last update could not read candles.
let hasFailed = false;
// Place of the candle under the pointer, or null.
let pointed = null;

// Last price that the page shows now, from which the decimals are taken. Empty for a market without one.
const price = () => document.getElementById("price")?.dataset.price;
const chosen = (name) => form.elements[name].value;
const words = ({ time, figures }) => [time, ...figures.flat()].join(" ");

// Reads the chosen candles and shows them: all, or those from the last one on that the chart has. Returns false if the reader
// has chosen others since, which are on their way.
async function load(isWhole) {
  const interval = chosen("interval");
  const last = isWhole || shown?.interval !== interval || Math.abs(Date.now() - wholeAt) >= WHOLE_MS ? null : held.at(-1)?.time;
  const query = new URLSearchParams({ interval, limit: CANDLES_MAX });
  if (last) query.set("from", Date.parse(last) / 1000);
  const askedAt = Date.now();
  const response = await fetch(`/api/v1/markets/${market}/candles?${query}`, { signal: AbortSignal.timeout?.(PATIENCE_MS) });
  if (!response.ok) throw new Error(`candles: ${response.status}`);
  syncClock(response);
  const { candles } = await response.json();
  // New candles do not continue those of another length, which the chart may show by now.
  if (chosen("interval") !== interval || (last && shown.interval !== interval)) return false;
  if (!last) {
    held = candles;
    wholeAt = askedAt;
  } else if (candles.length > 0) {
    // The first of them is the last one that the chart has, with newer figures.
    held = [...held.filter(({ time }) => time < last), ...candles].slice(-CANDLES_MAX);
  }
  const isFirst = chart === null;
  if (isFirst) takeOver();
  show(held);
  if (isFirst) {
    chart.fit();
    box.dataset.ready = "";
  }
  return true;
}

// Puts the chart in the place of the server's drawing, and the choices in the hands of this script.
function takeOver() {
  box.hidden = false;
  chart = new Chart(box, price(), (place) => {
    pointed = place;
    describe();
  });
  document.getElementById("drawing").hidden = true;
  // Browsers restore choices when a reader comes back.
  chart.setLog(chosen("scale") === "log");
  chart.setLocal(chosen("time") === "local");
  form.addEventListener("change", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  slider.addEventListener("input", () => {
    pointed = null;
    chart.mark(Number(slider.value));
    describe();
    nameValue();
  });
  document.documentElement.classList.add("js");
}

// Shows candles. The slider stays at its candle, or at the end.
function show(candles) {
  const isAtEnd = slider.value === slider.max && document.activeElement !== slider;
  const at = isAtEnd ? Infinity : (chart.candles[Number(slider.value)]?.at ?? Infinity);
  chart.show(candles, chosen("trades") === "raw", price());
  slider.max = String(Math.max(0, chart.candles.length - 1));
  slider.value = String(Math.max(0, chart.placeOf(at)));
  shown = { interval: chosen("interval"), trades: chosen("trades") };
  showTable();
  describe();
  // Readers of screens speak a new text of the slider that has the focus, but live figures are not announced.
  if (document.activeElement !== slider) nameValue();
}

// Writes the last candles into the table. Only rows that changed are replaced.
function showTable() {
  const body = table.querySelector("tbody");
  const rows = chart.texts(TABLE_ROWS).map((texts) => {
    const row = document.createElement("tr");
    for (const text of texts) row.insertCell().textContent = text;
    row.firstElementChild.className = "left";
    return row;
  });
  rows.forEach((row, place) => {
    const old = body.rows[place];
    if (!old) body.append(row);
    else if (!old.isEqualNode(row)) old.replaceWith(row);
  });
  while (body.rows.length > rows.length) body.deleteRow(-1);
  const summary = table.querySelector("summary");
  const title = `The last ${rows.length} candles as a table`;
  if (summary.textContent !== title) summary.textContent = title;
}

// Writes the figures of the candle under the pointer, or else at the slider.
function describe() {
  const candle = chart?.describe(pointed ?? Number(slider.value));
  if (!candle) return;
  const parts = candle.figures.flatMap(([name, text]) => {
    const part = document.createElement("span");
    const value = document.createElement("b");
    value.textContent = text;
    part.append(`${name} `, value);
    return [" ", part];
  });
  readout.replaceChildren(candle.time, ...parts);
}

// Gives the slider the text of its candle.
function nameValue() {
  const candle = chart.describe(Number(slider.value));
  if (candle) slider.setAttribute("aria-valuetext", words(candle));
}

async function choose({ target }) {
  if (target.name === "scale") chart.setLog(chosen("scale") === "log");
  else if (target.name === "time") {
    chart.setLocal(chosen("time") === "local");
    describe();
    nameValue();
  } else await chooseCandles();
}

async function chooseCandles() {
  const interval = chosen("interval");
  keepAddress();
  try {
    if (!(await load(true))) return;
    chart.fit();
    say("");
  } catch (error) {
    console.warn("other candles cannot be read:", error);
    const isShown = shown.interval === chosen("interval") && shown.trades === chosen("trades");
    if (chosen("interval") !== interval || isShown) return;
    for (const name of ["interval", "trades"]) form.elements[name].value = shown[name];
    keepAddress();
    say(NOT_CHOSEN);
  }
}

function keepAddress() {
  history.replaceState(null, "", `?${new URLSearchParams({ interval: chosen("interval"), trades: chosen("trades") })}`);
}

// Says what went wrong. Readers of screens announce a new text.
function say(text) {
  if (trouble.textContent !== text) trouble.textContent = text;
}

// Reads the newest candles. While there are none at all, the drawing of the server stays. So it does on a page without a
// price, and on one of an older version.
async function update(isWhole) {
  if (!box || !price() || !table || !trouble) return;
  const interval = chosen("interval");
  try {
    await load(isWhole || hasFailed);
    hasFailed = false;
    if (trouble.textContent === NOT_UPDATED) say("");
  } catch (error) {
    hasFailed = true;
    console.warn("the newest candles cannot be read:", error);
    if (!chart) box.hidden = true;
    else if (chosen("interval") === interval) say(NOT_UPDATED);
  }
}

update(true);
keepUp(Number(number), update);
