"""Asks a Prometheus whether it scraped what it should, and for every query of a dashboard whether it is sound.

    scraped.py http://127.0.0.1:9090 dashboard.json
"""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

server, dashboard = sys.argv[1:]
PATIENCE = 60


def query(text):
    """The samples that a query gives."""
    address = f"{server}/api/v1/query?" + urllib.parse.urlencode({"query": text})
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)["data"]["result"]


def awaited(text):
    """As query, once there are any."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            found = query(text)
            if found:
                return found
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.2)
    sys.exit(f"Prometheus has nothing for {text}")


up = awaited("up == 1")
keys = awaited("shardkeep_keys")[0]["value"][1]
assert keys == "3", f"{keys} keys"
awaited('shardkeep_command_duration_seconds_count{command="get"} == 1')
awaited("histogram_quantile(0.99, sum by (le) (rate(shardkeep_command_duration_seconds_bucket[5s])))")
awaited("histogram_quantile(0.99, sum by (le) (rate(shardkeep_log_sync_seconds_bucket[5s])))")
assert awaited("shardkeep_visit_commands_count")[0]["value"][1] != "0"
assert not query("ALERTS"), query("ALERTS")

queries = 0
for panel in json.load(open(dashboard))["panels"]:
    for target in panel["targets"]:
        text = target["expr"].replace("$__rate_interval", "5s").replace("$instance", ".*")
        try:
            query(text)
        except urllib.error.HTTPError as error:
            sys.exit(f"{panel['title']}: {text}: {error.read().decode()}")
        queries += 1
print(f"scraped {up[0]['metric']['instance']}; {queries} queries of the dashboard are sound")
