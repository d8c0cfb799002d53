// Candles by TradingView Lightweight Charts. Only market pages load the library.
import { CandlestickSeries, HistogramSeries, createChart } from "./vendor/lightweight-charts.js";
import { NONE, amount, count, price, rounded, scale, units } from "./numbers.js";

// Shares of the height: the pane of prices, and that of volumes below it.
const PANES = [0.8, 0.2];
const HOUR_S = 3_600;
// Widest step from one candle to the next: a few candles do not fill the chart.
const STEP_MAX = 40;
// Free room on either side of the candles, in pixels: half of the text of a time, which stands below its candle.
const ROOM = 20;

// Prices of a candle.
const PRICES = ["open", "high", "low", "close"];

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const pad = (number) => String(number).padStart(2, "0");

// Date and time of the day: "2026-11-27 14:00".
function clock(seconds) {
  const at = new Date(seconds * 1000);
  const day = `${at.getUTCFullYear()}-${pad(at.getUTCMonth() + 1)}-${pad(at.getUTCDate())}`;
  return `${day} ${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}`;
}

export class Chart {
  // `lastPrice` is the text from which the decimals are taken until `show` gets another, `onPoint` gets the place of the candle under the pointer, or
  // null once there is none.
  constructor(box, lastPrice, onPoint) {
    this.setDecimals(lastPrice);
    // Prices of the axis, which lie between those of the candles. The axis may begin at 0, which is no price.
    const print = (value) => {
      const units = Math.round(value);
      if (units === 0) return "0";
      return Number.isSafeInteger(units) ? this.print(units) : NONE;
    };
    this.isLocal = false;
    this.isPointed = false;
    this.candles = [];
    this.times = [];
    // The library draws on a canvas, which inherits no font.
    const { fontFamily } = getComputedStyle(document.body);
    this.chart = createChart(box, {
      autoSize: true,
      // The logo would add a style element, which the policy forbids. The foot of the page has the credit.
      layout: {
        attributionLogo: false, background: { color: "transparent" }, fontFamily, fontSize: 12, panes: { enableResize: false },
      },
      // A text that is cut at an edge reads as another number.
      rightPriceScale: { entireTextOnly: true },
      timeScale: { timeVisible: true, secondsVisible: false, maxBarSpacing: STEP_MAX },
    });
    // Prices are drawn in units of their last decimal: the library has no axis for steps as small as 1e-13.
    this.series = this.chart.addSeries(CandlestickSeries, { priceFormat: { type: "custom", formatter: print, minMove: 1 } });
    this.volumes = this.chart.addSeries(HistogramSeries, {
      lastValueVisible: false, priceLineVisible: false, priceFormat: { type: "custom", formatter: amount, minMove: 1e-7 },
    }, 1);
    this.chart.panes().forEach((pane, place) => pane.setStretchFactor(PANES[place]));
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.05, bottom: 0.05 } });
    this.chart.priceScale("right", 1).applyOptions({ scaleMargins: { top: 0.1, bottom: 0 } });
    this.chart.subscribeCrosshairMove(({ time, point, sourceEvent }) => {
      if (sourceEvent) this.isPointed = true;
      else if (!point) this.isPointed = false;
      // New candles send this without an event. The mark of the slider is no pointer.
      const place = this.isPointed ? this.times.indexOf(time) : -1;
      onPoint(place < 0 ? null : place);
    });
    this.paint();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  // Takes the decimals of a last price.
  setDecimals(lastPrice) {
    const { places, suffix } = scale(lastPrice);
    this.decimals = { places, suffix };
    // Decimal places of a unit. Negative for a unit of ten, a hundred and so on.
    this.places = places - Number(suffix.slice(1));
  }

  // Text of a price in units.
  print(units) {
    return price({ ...this.decimals, units });
  }

  // Colours of the present scheme.
  paint() {
    const [line, up, down] = [color("--line"), color("--up-fill"), color("--down-fill")];
    this.chart.applyOptions({
      layout: { textColor: color("--soft"), panes: { separatorColor: line, separatorHoverColor: line } },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    this.series.applyOptions({
      upColor: up, wickUpColor: up, downColor: down, wickDownColor: down, borderVisible: false,
      priceLineColor: color("--soft"),
    });
    this.draw();
  }

  // Time that the reader has chosen, as the library and the texts take it: as if it were UTC.
  time({ at }) {
    return this.isLocal ? at - new Date(at * 1000).getTimezoneOffset() * 60 : at;
  }

  // Shows candles of the API, with the decimals of this last price.
  show(candles, isRaw, lastPrice) {
    if (lastPrice) this.setDecimals(lastPrice);
    const text = (candle, name) => candle[isRaw ? `${name}_raw` : name];
    // A candle of dust has no average. It is drawn if there is nothing else, as on the server.
    const isClean = ({ vwap }) => vwap !== null;
    const takesDust = isRaw || !candles.some(isClean);
    const drawn = candles.filter((candle) => text(candle, "close") !== null && (takesDust || isClean(candle)));
    const made = drawn.map((candle) => ({
      at: Date.parse(candle.time) / 1000,
      // Drawn by doubles, and printed by exact units.
      ...Object.fromEntries(PRICES.map((name) => [name, Number(`${text(candle, name)}e${this.places}`)])),
      units: PRICES.map((name) => units(text(candle, name), this.places)),
      volume: Number(candle.base_volume), printed: amount(rounded(candle.base_volume)), trades: candle.trade_count,
    }));
    // A price too far from the last one cannot be shown beside it. The server leaves out such a candle too.
    this.candles = made.filter(({ units }) => !units.includes(null));
    this.draw();
  }

  draw() {
    const [up, down] = [color("--up-fill"), color("--down-fill")];
    // The library needs ascending times. When clocks go back, local times repeat: the later candles then follow by seconds.
    this.times = [];
    for (const candle of this.candles) this.times.push(Math.max(this.time(candle), (this.times.at(-1) ?? -Infinity) + 1));
    this.series.setData(this.candles.map((candle, place) => ({ ...candle, time: this.times[place] })));
    this.volumes.setData(this.candles.map((candle, place) => ({
      time: this.times[place], value: candle.volume, color: `${candle.close >= candle.open ? up : down}80`,
    })));
  }

  // Shows all candles, with room for the texts of the first and the last time.
  fit() {
    const scale = this.chart.timeScale();
    scale.fitContent();
    const count = this.candles.length;
    if (count === 0) return;
    const room = (ROOM * count) / Math.max(1, scale.width() - 2 * ROOM);
    scale.setVisibleLogicalRange({ from: -0.5 - room, to: count - 0.5 + room });
  }

  setLocal(isLocal) {
    this.isLocal = isLocal;
    this.draw();
    this.fit();
  }

  setLog(isLog) {
    this.chart.priceScale("right").applyOptions({ mode: isLog ? 1 : 0 });
  }

  // Place of the candle of this time, or of the last one before it.
  placeOf(at) {
    return this.candles.filter((candle) => candle.at <= at).length - 1;
  }

  // Marks a candle, for the slider.
  mark(place) {
    const candle = this.candles[place];
    this.isPointed = false;
    if (candle) this.chart.setCrosshairPosition(candle.close, this.times[place], this.series);
  }

  // Figures of a candle as pairs of a name and a text, after its time.
  describe(place) {
    const candle = this.candles[place];
    if (!candle) return null;
    return { time: `${clock(this.time(candle))}${this.isLocal ? "" : " UTC"}`, figures: this.figures(candle) };
  }

  figures(candle) {
    const prices = PRICES.map((name, place) => [name, this.print(candle.units[place])]);
    return [...prices, ["volume", candle.printed], ["trades", count(candle.trades)]];
  }

  // Texts of the last candles, the newest first, with times in UTC.
  texts(most) {
    const last = this.candles.slice(-most).reverse();
    return last.map((candle) => [clock(candle.at), ...this.figures(candle).map(([, text]) => text)]);
  }
}

// Limit of the API: enough for 7 days of every interval from a quarter of an hour on.
export const CANDLES_MAX = 7 * 24 * HOUR_S / 900;
