"""Traces that the demo exported, as a collector with the official protobuf classes read them."""

import json
import os
import time
import unittest
import urllib.request

COLLECTOR = os.environ["COLLECTOR_URL"]
# Longest wait for a batch of spans, in seconds. The demo sends one every 5 s.
PATIENCE = 60


def received():
    with urllib.request.urlopen(COLLECTOR, timeout=10) as answer:
        return json.load(answer)


class Traces(unittest.TestCase):
    def test_messages_and_steps_arrive_and_are_strictly_protobuf(self):
        wanted = {"collect", "transaction", "process TradesCommitted", "publish", "process PublicationReady"}
        begun = time.monotonic()
        while not wanted <= set((seen := received())["names"]):
            self.assertLess(time.monotonic() - begun, PATIENCE, f"only {seen} arrived")
            time.sleep(0.2)
        self.assertEqual(seen["faults"], [])
        self.assertGreater(seen["spans"], len(wanted))


if __name__ == "__main__":
    unittest.main()
