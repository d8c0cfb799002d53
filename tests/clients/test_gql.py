"""gql, as scripts in Python ask: it fetches the schema, checks each document against it, then asks."""

import json
import os
import unittest
import urllib.request
from pathlib import Path

from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.requests import RequestsHTTPTransport
from graphql import GraphQLError, build_schema, find_breaking_changes

HERE = Path(__file__).parent
TICKER = os.environ["TICKER_URL"]
# Tries to find a moment without a new trade between two answers.
ATTEMPTS_MAX = 50


def document(name):
    return gql((HERE / "documents" / f"{name}.graphql").read_text())


def ask(session, name, variables=None):
    query = document(name)
    query.variable_values = variables or {}
    return session.execute(query)


def pairs():
    with urllib.request.urlopen(f"{TICKER}/markets.json") as answer:
        return json.load(answer)["pairs"]


class Gql(unittest.TestCase):
    def setUp(self):
        transport = RequestsHTTPTransport(url=f"{TICKER}/graphql")
        self.client = Client(transport=transport, fetch_schema_from_transport=True)
        self.session = self.enterContext(self.client)

    def test_the_schema_that_it_fetches_breaks_nothing_of_the_old_one(self):
        legacy = build_schema((HERE / "legacy.graphql").read_text())
        # Where a directive may stand differs between releases of the specification, not between schemas.
        changes = find_breaking_changes(legacy, self.client.schema)
        self.assertEqual([change for change in changes if not change.type.name.startswith("DIRECTIVE_")], [])

    def test_everything_is_answered_and_the_pairs_are_those_of_markets_json(self):
        for _ in range(ATTEMPTS_MAX):
            before = pairs()
            data = ask(self.session, "everything")
            if before == pairs():
                break
        else:
            self.fail("there was a trade between any two answers")
        self.assertEqual(set(data), {"assets", "issuers", "markets", "ticker"})
        self.assertTrue(all(data.values()))
        expected = [(p["name"], p["trade_count"], p["base_volume"]) for p in before if p["trade_count"]]
        self.assertEqual([(r["tradePair"], r["tradeCount"], r["baseVolume"]) for r in data["ticker"]], expected)
        self.assertEqual(sum(r["tradeCount"] for r in data["markets"]), sum(count for _, count, _ in expected))
        self.assertIn("native", [issuer["publicKey"] for issuer in data["issuers"]])
        self.assertIn(("XLM", "native"), [(asset["code"], asset["issuerAccount"]) for asset in data["assets"]])

    def test_variables_choose(self):
        markets = ask(self.session, "markets", {"numHoursAgo": 168})["markets"]
        names = ["baseAssetCode", "baseAssetIssuer", "counterAssetCode", "counterAssetIssuer"]
        variables = {name: markets[0][name] for name in names} | {"numHoursAgo": 168}
        chosen = ask(self.session, "markets", variables)["markets"]
        self.assertEqual([row["tradePair"] for row in chosen], [markets[0]["tradePair"]])
        # A pair that its codes spell, not one that shows its anchor's code.
        published = {pair["name"] for pair in pairs()}
        spelled = [f"{row['baseAssetCode']}_{row['counterAssetCode']}" for row in markets]
        pair = next(name for name in spelled if name.startswith("XLM_") and name in published)
        rows = ask(self.session, "ticker", {"pairName": pair, "numHoursAgo": 168})["ticker"]
        self.assertEqual([row["tradePair"] for row in rows], [pair])

    def test_more_than_a_week_is_refused_in_the_old_words(self):
        with self.assertRaises(TransportQueryError) as refused:
            ask(self.session, "markets", {"numHoursAgo": 169})
        messages = [error["message"] for error in refused.exception.errors]
        self.assertEqual(messages, ["numHoursAgo cannot be greater than 168 (7 days)"])

    def test_it_refuses_a_wrong_document_itself(self):
        with self.assertRaises(GraphQLError):
            self.session.execute(gql("{ticker {nonsense}}"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
