// The data of the list, without a browser: selection as on the server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Board, SORTS } from "../../web/board.js";
import { feed } from "./feed.mjs";

const KEY = `G${"A5ZS".repeat(13)}KZV`;
const QUERY = { words: "", quote: "", volume: 0, verified: false, clean: false, sort: "name", ascending: SORTS.name };

// Board of two markets: XLM against TEA of a key, and against a token of a domain with a dash.
function board() {
  const { names, figures } = feed(2);
  Object.assign(names.assets, {
    number: [0, 1, 2], code: ["XLM", "TEA", "NUT"], domain: [-1, -1, 0], domains: ["my-shop.g1.example"],
    keys: "-".repeat(56) + KEY + `G${"B".repeat(55)}`,
  });
  Object.assign(names.markets, { number: [0, 1], base: [0, 0], quote: [1, 2] });
  return new Board(names, figures);
}
const found = (words) => board().select({ ...QUERY, words });

test("words are found in every spelling that the ticker prints", () => {
  assert.equal(KEY.length, 56);
  for (const words of [
    `TEA:${KEY}`, `TEA-${KEY}`, "tea-ga5z", `XLM_TEA-${KEY}`, "XLM/TEA", "XLM / TEA", `native_TEA:${KEY}`, "TEA GA5Z…SKZV",
  ]) assert.deepEqual(found(words), [0], words);
  assert.deepEqual(found(`NUT-${KEY}`), []);
  assert.deepEqual(found(" "), [1, 0], "all, by name");
});

test("a dash of a domain splits no word", () => {
  assert.deepEqual(found("my-shop.g1 nut"), [1]);
  assert.deepEqual(found("shop-my"), [], "not two words");
  assert.deepEqual(found("nut-g1"), [], "no key has a 1, so these are not two words");
});
