"""/truth counts from the kernel's stamp, and /truth/held keeps the distribution of what was held."""

import json
import math
import os
import random
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from raw_client import RawClient
from target_process import TargetProcess, running_target

from perfcore.target.held import HeldTimes

QUANTILES = {"p50_ns": 0.5, "p90_ns": 0.9, "p95_ns": 0.95, "p99_ns": 0.99}
HALF_A_BUCKET = 0.0005
ASLEEP_S = 0.15


def held_ns(client: RawClient, query: str = "") -> int:
    held: int = json.loads(client.ask(f"/truth{query}").body)["held_ns"]
    return held


def held(target: TargetProcess, query: str = "") -> dict[str, Any]:
    told: dict[str, Any] = target.ask("GET", f"/truth/held{query}")
    return told


def truth_of_a_sleeping_target(target: TargetProcess, client: RawClient) -> float:
    """Seconds of a request that lay in the socket's buffer while the target was stopped."""
    os.kill(target.pid, signal.SIGSTOP)
    try:
        client.send(b"GET /truth HTTP/1.1\r\n\r\n")
        time.sleep(ASLEEP_S)
    finally:
        os.kill(target.pid, signal.SIGCONT)
    answer: int = json.loads(client.response().body)["held_ns"]
    return answer / 1e9


def test_the_wait_in_the_sockets_buffer_is_in_the_truth(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        assert held_ns(client) < ASLEEP_S * 1e9
        assert ASLEEP_S <= truth_of_a_sleeping_target(target, client) < ASLEEP_S + 1
    told = held(target)
    assert (told["count"], told["stamped"]) == (2, 2)
    assert told["max_ns"] >= ASLEEP_S * 1e9


def test_the_wait_of_a_connections_first_request_is_in_the_truth(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        assert truth_of_a_sleeping_target(target, client) >= ASLEEP_S
    assert held(target)["stamped"] == 1


def test_a_connection_that_asked_for_something_else_is_stamped_from_its_second_truth_on(
    target: TargetProcess,
) -> None:
    with RawClient(target.port) as client:
        for path in ("/health", "/health", "/truth", "/health"):
            assert client.ask(path).status == 200
        assert truth_of_a_sleeping_target(target, client) >= ASLEEP_S
        assert client.ask("/health").status == 200
    told = held(target)
    assert (told["count"], told["stamped"]) == (2, 1)


def test_a_truth_in_pieces_counts_from_its_last_one(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        held_ns(client)
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.send(b"GET /truth HTTP/1.1\r\n")
        time.sleep(ASLEEP_S)
        sent_ns = time.monotonic_ns()
        client.send(b"\r\n")
        answer = json.loads(client.response().body)["held_ns"]
        assert answer <= time.monotonic_ns() - sent_ns


def test_a_stamped_connection_reads_uploads_pipelines_and_its_end_as_any_other(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        held_ns(client)
        client.send(b"POST /upload HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
        assert json.loads(client.response().body)["bytes"] == 3_000_000
        client.send(b"GET /truth HTTP/1.1\r\n\r\n" * 500)
        assert {client.response().status for _ in range(500)} == {200}
    counted = target.stats_when_closed()
    assert counted["paths"] == {"/truth": 501, "/upload": 1}


def test_over_tls_truth_counts_from_reading() -> None:
    with running_target("--tls") as target:
        assert target.ask("GET", "/truth?delay_ms=3")["held_ns"] >= 3_000_000
        told = held(target)
    assert (told["count"], told["stamped"]) == (1, 0)


def test_held_tells_of_truth_and_stall_since_the_last_reset_and_is_not_counted(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        for delay_ms in (1, 1, 1, 40):
            held_ns(client, f"?delay_ms={delay_ms}")
        told = held(target, "?reset=1")
        assert told["count"] == 4
        assert 1_000_000 <= told["min_ns"] <= told["p50_ns"] < 40_000_000 <= told["p90_ns"]
        assert told["p90_ns"] <= told["p95_ns"] <= told["p99_ns"] <= told["p99_9_ns"] <= told["max_ns"]
        empty = held(target)
        assert (empty.pop("count"), empty.pop("stamped"), {*empty.values()}) == (0, 0, {None})
        assert client.ask("/stall?every=50ms&for=50ms").status == 200
        assert client.ask("/delay/1").status == 200
        assert 0 < held(target)["max_ns"] <= 1_000_000_000
        target.reset()
        assert held(target)["count"] == 0
        target.reset()
        assert (target.stats()["requests"], target.stats()["connections"]) == (0, 0)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/truth/held?reset=2", 400), ("POST", "/truth/held", 405), ("GET", "/truth/held/x", 404)],
)
def test_wrong_questions_for_what_was_held_are_refused(
    target: TargetProcess, method: str, path: str, status: int
) -> None:
    with RawClient(target.port) as client:
        assert client.ask(path, method).status == status


@pytest.mark.parametrize("count", [1, 2, 999, 10_000])
def test_percentiles_are_the_nearest_rank_of_the_sorted_values_to_half_a_bucket(count: int) -> None:
    values = [round(random.Random(count).lognormvariate(15, 2)) for _ in range(count - 1)] + [3]
    times = HeldTimes()
    for value in values:
        times.add(value, is_stamped=True)
    told = times.snapshot()
    values.sort()
    assert (told["count"], told["min_ns"], told["max_ns"]) == (count, values[0], values[-1])
    for name, quantile in QUANTILES.items():
        exact = values[math.ceil(round(quantile * count, 6)) - 1]
        assert told[name] == pytest.approx(exact, rel=HALF_A_BUCKET)
    # 99.9 % of 10,000 is rank 9,990, though 0.999 * 10,000 is more than that in floating point.
    assert told["p99_9_ns"] == pytest.approx(values[-(-999 * count // 1000) - 1], rel=HALF_A_BUCKET)


def test_whole_nanoseconds_are_exact_where_a_bucket_holds_one_and_a_day_still_fits() -> None:
    for value in (0, 1, 1_023, 1_024, 2_047, 2_048, 86_400_000_000_000):
        times = HeldTimes()
        times.add(value, is_stamped=False)
        assert {told for name, told in times.snapshot().items() if name.endswith("_ns")} == {value}
    many = HeldTimes()
    for value in range(2_048):
        many.add(value, is_stamped=False)
    assert many.snapshot()["p50_ns"] == 1_023


def test_held_times_of_any_length_take_bounded_memory() -> None:
    times = HeldTimes()
    for octave in range(47):
        for step in range(3_000):
            times.add((1 << octave) + step * (1 << octave) // 3_000, is_stamped=False)
    assert len(times._counts) <= 48 * 1_024


def test_the_help_names_the_routes_of_the_truth() -> None:
    from perfcore.target.command import ROUTES_HELP

    assert {"/truth?delay_ms=MS", "/truth/held"} <= set(ROUTES_HELP)
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    assert "`/truth/held`" in readme
