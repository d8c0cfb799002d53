// Starts GraphiQL on the ticker's own endpoint. Every address is relative, so a path prefix of a proxy is kept.
"use strict";

const FIRST_QUERY = `# The ticker's four roots: Ctrl-Enter runs them,
# Ctrl-Space completes what you type. Every argument
# may be left out; numHoursAgo is then 24, and is 168
# at most.
{
  ticker(numHoursAgo: 24) {
    tradePair
    open
    close
    baseVolume
    counterVolume
    tradeCount
  }
  markets(baseAssetCode: "XLM", baseAssetIssuer: "native", numHoursAgo: 168) {
    tradePair
    close
    lastLedgerCloseTime
    orderbookStats {
      bidMax
      askMin
      spread
    }
  }
  assets {
    code
    issuerAccount
    numAccounts
    amount
  }
  issuers {
    publicKey
    name
    url
  }
}
`;

ReactDOM.createRoot(document.getElementById("explorer")).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: "graphql", enableIncrementalDelivery: false }),
    defaultQuery: FIRST_QUERY,
  }),
);
