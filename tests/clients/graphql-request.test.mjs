// graphql-request, as bots and wallets ask.
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildClientSchema, findBreakingChanges, getIntrospectionQuery, parse, validate } from "graphql";
import { ClientError, GraphQLClient } from "graphql-request";
import {
  ENDPOINT, assertRoots, assertTicker, assertType, assetsJson, atOneMoment, document, legacySchema, pairs,
  spelledPair,
} from "./ticker.mjs";

const client = new GraphQLClient(ENDPOINT);
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const refused = (query, variables) =>
  client.request(query, variables).then(
    () => assert.fail("was answered"),
    (error) => {
      assert(error instanceof ClientError, `${error}`);
      return error.response;
    },
  );

test("the live schema breaks nothing of the old one", async () => {
  const live = buildClientSchema(await client.request(getIntrospectionQuery()));
  // Where a directive may stand differs between releases of the specification, not between schemas.
  const changes = findBreakingChanges(legacySchema, live).filter(({ type }) => !type.startsWith("DIRECTIVE_"));
  assert.deepEqual(changes, []);
  for (const name of ["markets", "ticker", "assets", "issuers", "everything"]) {
    assert.deepEqual(validate(live, parse(document(name))), [], name);
  }
});

test("ticker shows the pairs of markets.json, of a day and of a week", async () => {
  for (const numHoursAgo of [24, 168]) {
    const [published, data] = await atOneMoment(() => client.request(document("ticker"), { numHoursAgo }));
    assertRoots(data, ["ticker"]);
    assertTicker(data.ticker, published, numHoursAgo === 168);
  }
});

test("ticker selects one pair by its name, either way round", async () => {
  const { markets } = await client.request(document("markets"));
  const name = spelledPair(markets, await pairs());
  const reversed = name.split("_").reverse().join("_");
  for (const pairName of [name, reversed]) {
    const { ticker } = await client.request(document("ticker"), { pairName });
    assert.deepEqual(ticker.map((row) => row.tradePair), [name], pairName);
  }
  assert.deepEqual((await client.request(document("ticker"), { pairName: "NO_SUCH" })).ticker, []);
});

test("markets holds every trade of ticker, each market by its issuers", async () => {
  const [published, { markets }] = await atOneMoment(async () => {
    const data = await client.request(document("markets"));
    assertRoots(data, ["markets"]);
    return data;
  });
  assert.equal(sum(markets.map((row) => row.tradeCount)), sum(published.map((pair) => pair.trade_count)));
  for (const row of markets) {
    const sides = [row.baseAssetCode, row.baseAssetIssuer, row.counterAssetCode, row.counterAssetIssuer];
    assert.equal(row.tradePair, `${sides[0]}:${sides[1]} / ${sides[2]}:${sides[3]}`);
    assert(row.low <= row.open && row.open <= row.high && row.low <= row.close && row.close <= row.high, row.tradePair);
  }
  const names = markets.map((row) => row.tradePair);
  assert.deepEqual([...new Set(names)], names);
});

test("markets takes all its arguments", async () => {
  const names = ["baseAssetCode", "baseAssetIssuer", "counterAssetCode", "counterAssetIssuer"];
  const tradePairs = async (variables) =>
    (await client.request(document("markets"), variables)).markets.map((row) => row.tradePair);
  const { markets } = await client.request(document("markets"), { numHoursAgo: 168 });
  const [chosen] = markets;
  const all = Object.fromEntries(names.map((name) => [name, chosen[name]]));
  assert.deepEqual(await tradePairs({ ...all, numHoursAgo: 168 }), [chosen.tradePair]);
  for (const name of names) {
    const [, [rows, some]] = await atOneMoment(async () => [
      (await client.request(document("markets"))).markets,
      await tradePairs({ [name]: chosen[name] }),
    ]);
    assert.deepEqual(some, rows.filter((row) => row[name] === chosen[name]).map((row) => row.tradePair), name);
  }
  assert.deepEqual(await tradePairs({ numHoursAgo: 0 }), []);
});

test("assets and issuers are those of assets.json", async () => {
  const [published, { assets, issuers }] = await atOneMoment(
    async () => ({ ...(await client.request(document("assets"))), ...(await client.request(document("issuers"))) }),
    assetsJson,
  );
  assertRoots({ assets, issuers }, ["assets", "issuers"]);
  const shown = (asset) => [
    asset.code, asset.issuerAccount, asset.type, asset.numAccounts, asset.amount, asset.name, asset.desc,
    asset.displayDecimals, asset.collateralAddresses,
  ];
  const expected = (asset) => [
    asset.code, asset.issuer, asset.type, asset.num_accounts, asset.amount, asset.name, asset.desc,
    asset.display_decimals, asset.collateral_addresses.join(","),
  ];
  assert.deepEqual(assets.map(shown), published.map(expected));
  const keys = [...new Set(published.map((asset) => asset.issuer_detail.public_key))].sort();
  assert.deepEqual(issuers.map((issuer) => issuer.publicKey), keys);
});

test("one document asks for everything", async () => {
  const [published, data] = await atOneMoment(() => client.request(document("everything")));
  assertRoots(data, ["assets", "issuers", "markets", "ticker"]);
  assertTicker(data.ticker, published, false);
});

test("a GET with the query in the address is answered alike", async () => {
  const reader = new GraphQLClient(ENDPOINT, { method: "GET" });
  const data = await reader.request(document("ticker"), { numHoursAgo: 168 });
  assertRoots(data, ["ticker"]);
});

test("more than a week is refused in the old words", async () => {
  for (const name of ["markets", "ticker"]) {
    const { status, errors } = await refused(document(name), { numHoursAgo: 169 });
    assert.equal(status, 200);
    assert.deepEqual(errors.map((error) => error.message), ["numHoursAgo cannot be greater than 168 (7 days)"]);
  }
});

test("a wrong pair name and a wrong document are errors", async () => {
  for (const query of ['{ticker(pairName: "XLMBTC") {tradePair}}', "{ticker {nonsense}}", "{ticker"]) {
    const { status, errors } = await refused(query);
    assert.equal(status, 200, query);
    assert(errors.length > 0 && errors.every((error) => error.message.length > 0), query);
  }
});

test("aliases and fragments are answered under their names", async () => {
  const data = await client.request(`{
    day: ticker {...row}
    week: ticker(numHoursAgo: 168) {...row}
  }
  fragment row on AggregatedMarket {pair: tradePair, tradeCount}`);
  assert(data.day.length > 0 && data.week.length >= data.day.length);
  assertType(data.week[0].tradeCount, legacySchema.getType("Int"), "tradeCount");
  assert.equal(typeof data.week[0].pair, "string");
});
