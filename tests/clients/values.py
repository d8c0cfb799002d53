"""Values for schemathesis of the formats that /openapi.json names: real ones, read from the ticker."""

import json
import os
import urllib.request

import schemathesis
from hypothesis import strategies as st

TICKER = os.environ["TICKER_URL"]


def read(path):
    with urllib.request.urlopen(f"{TICKER}{path}") as answer:
        return json.load(answer)


assets = [asset["id"] for asset in read("/api/v1/assets")["assets"]]
markets = [market["id"] for market in read("/v1/markets.json")["markets"]]
page = read("/api/v1/markets?limit=1")
FIELDS = list(page["markets"][0])
EXPLAINED = ["open", "high", "low", "close", "vwap", "base_volume", "quote_volume", "trade_count"]

for name, values in {
    "stellar-asset": st.sampled_from(assets),
    "stellar-assets": st.lists(st.sampled_from(assets), min_size=1, max_size=20).map(",".join),
    "stellar-market": st.sampled_from(markets),
    "market-fields": st.lists(st.sampled_from(FIELDS), min_size=1).map(",".join),
    "market-cursor": st.just(page["next_cursor"]),
    "explained-field": st.sampled_from(EXPLAINED),
    "graphql": st.sampled_from(["{ markets { tradePair } }", "{ assets { code } }", "{"]),
    "json-object": st.just("{}"),
    "moment": st.sampled_from([page["as_of"], "0", "1700000000"]),
}.items():
    schemathesis.openapi.format(name, values)
