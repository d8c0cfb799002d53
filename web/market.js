// The page of a market: an interactive chart in place of the drawing, and updates. Without this script the server draws
// the chart, and a form changes it.
import { CANDLES_MAX, Chart } from "./chart.js";
import { keepUp } from "./live.js";

// Longest wait for an answer.
const PATIENCE_MS = 20_000;
const form = document.getElementById("choices");
const box = document.getElementById("chart");
const slider = document.getElementById("slider");
const readout = document.getElementById("readout");
const { market, price, number } = form.dataset;
let chart = null;

const chosen = (name) => form.elements[name].value;

async function load() {
  const query = new URLSearchParams({ interval: chosen("interval"), limit: CANDLES_MAX });
  const response = await fetch(`/api/v1/markets/${market}/candles?${query}`, { signal: AbortSignal.timeout?.(PATIENCE_MS) });
  if (!response.ok) throw new Error(`candles: ${response.status}`);
  const wasAtEnd = slider.value === slider.max;
  chart.show((await response.json()).candles, chosen("trades") === "raw");
  slider.max = String(Math.max(0, chart.candles.length - 1));
  if (wasAtEnd) slider.value = slider.max;
  describe(Number(slider.value));
}

// Writes the figures of a candle, for eyes and for readers of the slider.
function describe(place) {
  const candle = chart.describe(place);
  if (!candle) return;
  const parts = candle.figures.flatMap(([name, text]) => {
    const part = document.createElement("span");
    const value = document.createElement("b");
    value.textContent = text;
    part.append(`${name} `, value);
    return [" ", part];
  });
  readout.replaceChildren(candle.time, ...parts);
  slider.setAttribute("aria-valuetext", readout.textContent);
}

async function choose(event) {
  const { name } = event.target;
  if (name === "scale") chart.setLog(chosen("scale") === "log");
  else if (name === "time") chart.setLocal(chosen("time") === "local");
  else {
    const query = new URLSearchParams({ interval: chosen("interval"), trades: chosen("trades") });
    history.replaceState(null, "", `?${query}`);
    await load();
    chart.fit();
  }
  describe(Number(slider.value));
}

async function start() {
  if (!box || !price) return;
  box.hidden = false;
  chart = new Chart(box, price, describe);
  try {
    await load();
  } catch (error) {
    box.hidden = true;
    console.warn("the drawing of the server stays:", error);
    return;
  }
  document.getElementById("drawing").hidden = true;
  chart.fit();
  form.addEventListener("change", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  slider.addEventListener("input", () => {
    chart.mark(Number(slider.value));
    describe(Number(slider.value));
  });
  box.dataset.ready = "";
}

await start();
keepUp(Number(number), () => chart && load());
