// The script of the pages prints the texts of the golden file, as the server does.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as numbers from "../../web/numbers.js";

const golden = JSON.parse(readFileSync(new URL("../golden/numbers.json", import.meta.url), "utf8"));

test("prices", () => {
  for (const { feed, text, others } of golden.prices) {
    const scale = numbers.scale(feed);
    assert.equal(numbers.price(scale), text);
    for (const { from_last, text } of others) {
      assert.equal(numbers.orNone(from_last, (units) => numbers.price(scale, units)), text, feed);
    }
  }
});

test("decimals of the API", () => {
  assert(golden.decimals.length > 5);
  for (const { text, places, units } of golden.decimals) assert.equal(numbers.units(text, places), units, `${text} ${places}`);
});

test("amounts", () => {
  for (const { stroops, feed, text } of golden.amounts) {
    assert.equal(numbers.amount(Number(feed)), text, feed);
    const digits = stroops.padStart(8, "0");
    assert.equal(numbers.rounded(`${digits.slice(0, -7)}.${digits.slice(-7)}`), Number(feed), stroops);
  }
});

for (const [name, print] of [
  ["changes", numbers.change],
  ["percents", numbers.percent],
  ["counts", numbers.count],
  ["ages", numbers.age],
]) {
  test(name, () => {
    assert(golden[name].length > 5);
    for (const { value, text } of golden[name]) assert.equal(print(value), text, `${value}`);
  });
}
