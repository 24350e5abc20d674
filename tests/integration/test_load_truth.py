"""Queues in front of a known capacity: what is measured against what the due instants and the server's notes give.

One run of four tests at 10 %, 50 % and 110 % of 500 requests a second; the last one with few users.
"""

import contextlib
import http.client
import math
import statistics
import time

import numpy as np
import pytest
from integration.queueing_server import CAPACITY, HOLD_S, queueing_server, responses_ns
from integration.runs import assert_numbers_add_up, run, suite_of

HOLD_MS = HOLD_S * 1000
TESTS = {
    "tenth": "rate: 50/s, duration: 1s, max_users: 100, preconnect: true",
    "half": "rate: 250/s, duration: 1200ms, max_users: 400, preconnect: true",
    "over": "rate: 550/s, duration: 1s, max_users: 1000",
    "bounded": "rate: 550/s, duration: 1s, max_users: 20",
}
OVER = 550
# As in test_accuracy.py: the median is right to 150 µs, or to what a plain client adds and a little. With a queue there
# is more of it, for who is late once makes the next ones wait. The p99 is as good as the machine lets processes wake:
# of that, how much later than after 2 ms the server itself did is the measure.
MOST_ERROR_MS = 0.150
MOST_ADDED_MS = {"tenth": 0.100, "half": 0.250}
MOST_TAIL_ERROR_MS = 0.5
TOO_NOISY_MS = 0.5
HOPELESS_MS = 3.0
TRIES = 2
PAUSE_S = 0.002


class Loaded:
    """What a run of some of the tests found, with the truth about each."""

    def __init__(self, done, names, server, first):
        self.done = done
        self.truth_ms = {}
        self.overslept_ms = {}
        rows, at = done.samples(), 0
        held_ns = server.held_ns(first, len(rows))
        for case, name in enumerate(names):
            due_ns = np.sort(rows["due_ns"][rows["case"] == case]).tolist()
            held = held_ns[at : at + len(due_ns)]
            at += len(due_ns)
            self.truth_ms[name] = np.array(responses_ns(due_ns, held)) / 1e6
            self.overslept_ms[name] = float(np.quantile(held, 0.99)) / 1e6 - HOLD_MS

    def truth(self, name, percentile):
        return float(np.quantile(self.truth_ms[name], percentile / 100, method="inverted_cdf"))

    def error(self, name, percentile):
        return self.done.test(name)["timing"]["percentiles"][f"p{percentile}"] - self.truth(name, percentile)


def loaded_by(folder, names):
    with queueing_server(folder) as server:
        before = overhead_ms(server)
        first = server.answers
        tests = [f"name: {name}, endpoint: /, {TESTS[name]}" for name in names]
        done = run(folder, suite_of(server.url, *tests), "--procs", "1", "--samples")
        return Loaded(done, names, server, first), max(before, overhead_ms(server))


def overhead_ms(server):
    """What the way there and back costs a client of the standard library, at the median."""
    first, taken = server.answers, []
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        for _ in range(40):
            time.sleep(PAUSE_S)
            began_s = time.perf_counter()
            connection.request("GET", "/")
            connection.getresponse().read()
            taken.append((time.perf_counter() - began_s) * 1000)
    held_ns = server.held_ns(first, len(taken))
    return statistics.median(ms - held / 1e6 for ms, held in zip(taken, held_ns, strict=True))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return loaded_by(tmp_path_factory.mktemp("loaded"), list(TESTS))


@pytest.mark.parametrize("name", TESTS)
def test_numbers_add_up_at_any_load_and_nobody_is_answered_before_the_queue_lets_them(loaded, name):
    done = loaded[0].done
    test = done.test(name)
    assert_numbers_add_up(test)
    rate = int(TESTS[name].partition("/s")[0].rpartition(" ")[2])
    planned = round(rate * test["load"]["duration_s"])
    # Held up at the very end, a worker starts nothing more: what was due then is not among the achieved starts.
    assert 0.8 * planned < test["total_requests"] + test["dropped_arrivals"] <= planned
    achieved = signals_of(loaded[0])[name, "achieved_starts_percent"]["value"]
    assert achieved == pytest.approx(100 * test["total_requests"] / planned, abs=0.01)
    assert test["failed_requests"] == 0
    for percentile in (50, 90, 99):
        truth = loaded[0].truth(name, percentile)
        # Two that came together may have been taken in the other order.
        assert loaded[0].error(name, percentile) > -max(0.3, 0.02 * truth)


def test_medians_and_tails_at_10_and_50_percent_of_a_capacity_are_those_of_the_queue(loaded, tmp_path):
    seen = []
    found, overhead = loaded
    for attempt in range(TRIES):
        if attempt:
            folder = tmp_path / str(attempt)
            folder.mkdir()
            found, overhead = loaded_by(folder, ["tenth", "half"])
        misses = [
            (name, percentile, round(error, 3), round(most, 3))
            for name in ("tenth", "half")
            for percentile, most in limits_ms(found, name, overhead).items()
            if (error := found.error(name, percentile)) >= most
        ]
        lags = [found.done.test(name)["schedule_lag"]["p50_ms"] for name in ("tenth", "half")]
        if not misses and max(lags) < max(MOST_ERROR_MS, overhead):
            return
        overslept = {name: round(found.overslept_ms[name], 3) for name in ("tenth", "half")}
        seen.append((misses, lags, overhead, overslept))
        if max(overslept.values()) > HOPELESS_MS:
            break
    if max(max(overslept.values()) for *_, overslept in seen) > TOO_NOISY_MS:
        pytest.skip(f"this machine is too noisy to decide: {seen}")
    pytest.fail(f"(test, percentile, error, most), lags, plain client, oversleeping in ms: {seen}")


def limits_ms(found, name, overhead):
    return {
        50: max(MOST_ERROR_MS, overhead + MOST_ADDED_MS[name]),
        99: MOST_TAIL_ERROR_MS + overhead + 2 * found.overslept_ms[name],
    }


def test_above_its_capacity_the_queue_of_the_server_is_in_the_response_time_and_not_in_the_lag(loaded):
    found = loaded[0]
    test = found.done.test("over")
    for percentile in (50, 90, 99):
        assert test["timing"]["percentiles"][f"p{percentile}"] == pytest.approx(
            found.truth("over", percentile), rel=0.1
        )
    # 550 arrivals of a second are answered in 1.1 s at the earliest: the last ones have waited for a tenth of one.
    assert test["timing"]["max_ms"] > 1000 * (OVER / CAPACITY - 1) * 0.8
    shown = [p50 for p50 in test["timeline"]["p50_ms"] if p50 is not None]
    assert shown[-1] > 2 * shown[0], "it grew"
    assert test["service_time"]["percentiles"]["p90"] > 0.8 * test["timing"]["percentiles"]["p90"]
    assert test["schedule_lag"]["p50_ms"] < test["timing"]["percentiles"]["p50"] / 5
    assert test["dropped_arrivals"] == 0
    assert signals_of(found)["over", "dropped_arrivals_percent"]["state"] == "ok"


def test_with_few_users_what_is_above_the_capacity_is_dropped_and_the_verdict_says_so(loaded):
    found = loaded[0]
    test = found.done.test("bounded")
    # Twenty at a time wait for 2 ms each; in a second no more than 500 and the last twenty are answered.
    assert test["dropped_arrivals"] >= OVER - math.ceil(CAPACITY) - 20
    assert test["parallel_execution"]["max_in_flight"] == 20
    assert test["timing"]["percentiles"]["p99"] > 19 * HOLD_MS
    signal = signals_of(found)["bounded", "dropped_arrivals_percent"]
    assert (signal["state"], signal["value"]) == (
        "invalid",
        pytest.approx(100 * test["dropped_arrivals"] / OVER, abs=0.01),
    )
    validity = found.done.document["validity"]
    assert validity["verdict"] == "invalid"
    assert any("dropped arrivals were" in reason and "bounded" in reason for reason in validity["reasons"])
    assert any("raise max_users of bounded" in advice for advice in validity["advice"])


def signals_of(found):
    return {(s["test"], s["name"]): s for s in found.done.document["validity"]["signals"]}
