// One row of the list: the same elements as on the server (crates/ticker-formats/templates/rows.html). All text goes in
// by textContent.
import { NONE, age, amount, change, count, orNone, percent, price, scale } from "./numbers.js";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
// Bits of the warnings and their texts. A row has little room, so those about deceit come first, as on the server.
const TAGS = [
  [8, "look-alike"], [128, "concentrated"], [16, "unverified anchor"], [256, "lost the dollar"], [4, "not valid"], [2, "thin"], [1, "no trade in 24 h"],
];
const SVG = "http://www.w3.org/2000/svg";

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function drawing(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

function cell(className, ...children) {
  const made = element("td", className, ...children);
  made.setAttribute("role", "cell");
  return made;
}

const ends = (key) => `${key.slice(0, 4)}…${key.slice(-4)}`;

// Any issuer may name any domain, so only one that confirms the asset is shown.
function party({ issuer, domain }, isVerified) {
  const label = domain && isVerified ? [domain, element("span", "sr", ` ${ends(issuer)}`)] : [element("code", "", ends(issuer))];
  if (!isVerified) return label;
  const mark = element("span", "ok", "✓");
  mark.title = "verified";
  return [...label, " ", mark];
}

function marketCell(row) {
  const codes = element("span", "codes", element("strong", "", row.base.code), ` / ${row.quote.code}`);
  const sides = [[row.base, row.baseVerified], [row.quote, row.quoteVerified]].filter(([asset]) => asset.issuer);
  const parties = element("span", "parties", ...sides.flatMap(([asset, isVerified], place) => [
    ...(place > 0 ? [" / "] : []), ...party(asset, isVerified),
  ]));
  const tags = TAGS.filter(([bit]) => row.flags & bit).map(([, tag]) => tag);
  if (row.hasLeft) tags.push("no trade in 7 days");
  const by = element("span", "by", parties, ...tags.flatMap((tag) => [" ", element("span", "tag", tag)]));
  const link = element("a", "", codes, by);
  link.href = `/m/${row.id}`;
  return cell("market", link);
}

// Position of the last price between low and high, 0 to 100, or null.
function mark({ low, high }) {
  if (low === null || high === null || !(high > low)) return null;
  return Math.floor(((Math.min(Math.max(0, low), high) - low) * 100) / (high - low));
}

function rangeCell(row, print) {
  const parts = [];
  const at = row.price === null ? null : mark(row);
  if (at !== null) {
    parts.push(drawing("svg", { viewBox: "0 0 104 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      drawing("path", { d: "M0 4H104" }), drawing("rect", { x: at, width: 4, height: 8 })));
  }
  const small = (value) => element("small", "", print(value));
  return cell("range", ...parts, element("span", "ends", small(row.low), small(row.high)));
}

function sparkCell({ spark }) {
  const points = [...(spark ?? "")].map((letter, x) => [x, 31 - LETTERS.indexOf(letter)]).filter(([, y]) => y < 32);
  if (points.length === 0) return cell("spark");
  return cell("spark", drawing("svg", { viewBox: "0 -1 27 33", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawing("path", { d: `M0 ${points[0][1]}H27` }),
    drawing("polyline", { points: points.map((point) => point.join(",")).join(" ") })));
}

function changeCell(className, hundredths) {
  const direction = hundredths > 0 ? "up" : hundredths < 0 ? "down" : "";
  return cell(className, element("span", direction, orNone(hundredths, change)));
}

// Text of the age of a row's last trade.
export const ageText = (row, elapsed) => orNone(row.age, (seconds) => age(seconds + elapsed));

// Cells of a row. `elapsed` is the time in seconds since the figures' `as_of`.
export function cells(row, elapsed) {
  const its = row.price === null ? null : scale(row.price);
  const print = (difference) => (its === null || difference === null ? NONE : price(its, difference));
  const [hour, day, week] = row.changes;
  return [
    marketCell(row),
    cell("price", element("span", "", print(0)), element("small", "", row.quote.code)),
    changeCell("h1", hour), changeCell("h24", day), changeCell("d7", week),
    rangeCell(row, print),
    cell("volume", element("span", "", orNone(row.volumeUsd, amount)),
      element("small", "", `${orNone(row.volume, amount)} `, element("span", "unit", row.quote.code))),
    cell("trades", element("span", "", orNone(row.trades, count))),
    cell("best", element("span", "", print(row.bid)), element("small", "", print(row.ask))),
    cell("spread", element("span", "", orNone(row.spread, percent))),
    cell("age", element("span", "", ageText(row, elapsed))),
    sparkCell(row),
  ];
}
