// Starts GraphiQL on the ticker's own endpoint. Every address is relative, so a path prefix of a proxy is kept.
"use strict";

const FIRST_QUERY = `# The old ticker's four roots: Ctrl-Enter runs them,
# Ctrl-Space completes what you type. Every argument
# may be left out. numHoursAgo is then 24; it may be
# at most 168.
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

// Names for those who have the page read aloud. GraphiQL makes the editors after its first drawing, and names none.
const EDITORS = {
  ".graphiql-query-editor textarea": "Query",
  ".graphiql-editor-tool textarea": "Variables or headers",
  ".result-window textarea": "Result",
};

function nameEditors() {
  for (const [selector, name] of Object.entries(EDITORS)) {
    for (const area of document.querySelectorAll(selector)) area.setAttribute("aria-label", name);
  }
}

new MutationObserver(nameEditors).observe(document.getElementById("explorer"), { childList: true, subtree: true });

ReactDOM.createRoot(document.getElementById("explorer")).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: "graphql", enableIncrementalDelivery: false }),
    defaultQuery: FIRST_QUERY,
  }),
);
