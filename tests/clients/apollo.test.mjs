// Apollo Client, as wallets ask: it adds __typename to every selection and keeps what it read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { ENDPOINT, assertRoots, assertTicker, atOneMoment, document } from "./ticker.mjs";

const newClient = () => new ApolloClient({ link: new HttpLink({ uri: ENDPOINT }), cache: new InMemoryCache() });

// The answer without __typename, and all the names that were in it.
function strip(value, names = new Set()) {
  if (Array.isArray(value)) return [value.map((item) => strip(item, names)[0]), names];
  if (value === null || typeof value !== "object") return [value, names];
  const { __typename, ...fields } = value;
  if (__typename) names.add(__typename);
  return [Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, strip(field, names)[0]])), names];
}

test("everything comes back with the types' names", async () => {
  const client = newClient();
  const query = gql(document("everything"));
  const [published, { data, error }] = await atOneMoment(() =>
    client.query({ query, variables: { numHoursAgo: 168 }, fetchPolicy: "network-only" }),
  );
  assert.equal(error, undefined);
  const [plain, names] = strip(data);
  assert.deepEqual([...names].sort(), ["AggregatedMarket", "Asset", "Issuer", "Market", "OrderbookStats"]);
  assertRoots(plain, ["assets", "issuers", "markets", "ticker"]);
  assertTicker(plain.ticker, published, true);
  client.stop();
});

test("what was read is there again without the network", async () => {
  const client = newClient();
  const query = gql(document("ticker"));
  const first = await client.query({ query, variables: { numHoursAgo: 168 } });
  const again = await client.query({ query, variables: { numHoursAgo: 168 }, fetchPolicy: "cache-only" });
  assert.deepEqual(again.data, first.data);
  assert(first.data.ticker.length > 0);
  client.stop();
});

test("variables choose the market", async () => {
  const client = newClient();
  const query = gql(document("markets"));
  const all = await client.query({ query });
  const { baseAssetCode, baseAssetIssuer, counterAssetCode, counterAssetIssuer, tradePair } = all.data.markets[0];
  const variables = { baseAssetCode, baseAssetIssuer, counterAssetCode, counterAssetIssuer, numHoursAgo: 168 };
  const one = await client.query({ query, variables });
  assert.deepEqual(one.data.markets.map((row) => row.tradePair), [tradePair]);
  client.stop();
});

test("a wrong document is a GraphQL error to it, not one of the network", async () => {
  const client = newClient();
  await assert.rejects(client.query({ query: gql("{ ticker { nonsense } }") }), (error) => {
    assert(CombinedGraphQLErrors.is(error), `${error}`);
    assert.match(error.errors[0].message, /nonsense/);
    return true;
  });
  client.stop();
});

test("a refused argument is a GraphQL error to it, not one of the network", async () => {
  const client = newClient();
  await assert.rejects(client.query({ query: gql(document("ticker")), variables: { numHoursAgo: 169 } }), (error) => {
    assert(CombinedGraphQLErrors.is(error), `${error}`);
    assert.equal(error.errors[0].message, "numHoursAgo cannot be greater than 168 (7 days)");
    return true;
  });
  client.stop();
});
