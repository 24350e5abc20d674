"""Whole runs over every key that a request may have, and what a server of known behaviour counted of them."""

import contextlib
import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest
from integration.engine_facts import assert_each_has_its_engine, facts_of
from integration.forward_proxy import ForwardProxy, forward_proxy
from integration.request_kinds import KINDS, LARGE, LINES
from integration.runs import ROOT, Run, assert_numbers_add_up, both_engines, one_test, run
from integration.suite_kinds import (
    ITERATIONS,
    REQUESTS,
    USERS,
    Kind,
    assert_is_as_told,
    results_by_name,
    suite,
)
from target_process import TIMEOUT_S, running_target

from perfcore.suite.test_case import TestCase

# Keys of a test that say how much is sent and not what.
NOT_OF_A_REQUEST = frozenset(
    {
        "name", "description", "tags", "parallel_users", "iterations", "total_iterations", "duration", "ramp_up",
        "think_time", "pacing", "graceful_stop", "rate", "arrival", "max_users", "stages", "warmup", "until",
    }
)  # fmt: skip

MANY_ADDRESSES = """
import socket
known = socket.getaddrinfo
def getaddrinfo(host, port, *args, **kwargs):
    if host != "many.invalid":
        return known(host, port, *args, **kwargs)
    found = ((f"127.0.0.{number}", port) for number in (1, 2, 3))
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in found]
socket.getaddrinfo = getaddrinfo
"""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))

    def stats(self) -> dict[str, Any]:
        with contextlib.closing(self):
            self.request("GET", "/stats")
            counted: dict[str, Any] = json.loads(self.getresponse().read())
            return counted


# Once on the wire as far as that goes, and once without it.
ENGINES = {"auto": 2, "transfer": 1}


@dataclass
class Judged:
    """A run over all kinds, and what the servers say of it."""

    run: Run
    results: dict[str, dict[str, Any]]
    counted: dict[str, Any]
    counted_on_socket: dict[str, Any]
    proxy: ForwardProxy


@pytest.fixture(scope="module")
def judged_of(target, tmp_path_factory) -> dict[str, Judged]:
    """The runs, by the engine that was wished for; each with its number of workers."""
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "lines").write_text(LINES)
    (folder / "large").write_bytes(LARGE)
    path = folder / "target.sock"
    found = {}
    for engine, workers in ENGINES.items():
        target.stats_when_closed()
        target.reset()
        with forward_proxy() as proxy, running_target("--unix", str(path)):
            text = suite(KINDS, target.port).replace("{proxy}", proxy.place).replace("{socket}", str(path))
            done = run(folder, text, "--procs", str(workers), "--engine", engine)
            assert done.code == 99, done.stderr  # some of the tests are to have no success
            counted = target.stats(), UnixConnection(path).stats()
            found[engine] = Judged(done, results_by_name(done), *counted, proxy)
    return found


@pytest.fixture(scope="module", params=ENGINES)
def judged(request, judged_of) -> Judged:
    judged: Judged = judged_of[request.param]
    return judged


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "_"))
def test_a_request_is_sent_as_often_and_fails_as_often_as_it_should(judged: Judged, kind: Kind) -> None:
    test = judged.results[kind.name]
    assert_is_as_told(test, kind)
    # The same over the addresses that they went to.
    sums = {
        name: sum(told[name] for told in test["addresses"].values()) for name in ("requests", "connections")
    }
    assert sums == {"requests": test["attempts"], "connections": test["connections_opened"]}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "_"))
def test_both_engines_tell_the_same_of_a_kind_and_each_test_has_its_own(
    judged_of: dict[str, Judged], kind: Kind
) -> None:
    test, transferred = (judged_of[engine].results[kind.name] for engine in ENGINES)
    assert_each_has_its_engine(test, transferred, kind)
    assert facts_of(test, kind) == facts_of(transferred, kind)


def test_both_engines_reach_the_servers_alike(judged_of):
    wire, transfers = (dict(judged_of[engine].counted["paths"]) for engine in ENGINES)
    # Of requests on connections that the server had closed some may not have been seen.
    for paths in (wire, transfers):
        assert paths.pop("/close") >= REQUESTS
    assert wire == transfers


def test_attempts_equal_what_the_servers_counted(judged):
    on_socket = judged.results["unix_socket"]["attempts"]
    attempts = sum(test["attempts"] for test in judged.results.values()) - on_socket
    # Where the server had closed already, it may not have seen what libcurl then sent again.
    unseen = judged.results["close"]["resent_requests"]
    assert attempts - unseen <= judged.counted["requests"] <= attempts
    assert on_socket == judged.counted_on_socket["requests"] == REQUESTS
    assert judged.counted["rejected"] == 0
    for path, counted in judged.counted["paths"].items():
        sent_there = [kind.name for kind in KINDS if kind.keys["endpoint"].endswith(path)]
        if path.startswith("/echo/"):
            assert [counted] == [judged.results[name]["attempts"] for name in sent_there]


def test_every_key_of_a_request_is_among_them():
    keys = {field.alias or name for name, field in TestCase.model_fields.items()}
    used = {key for kind in KINDS for key in kind.keys}
    assert keys - NOT_OF_A_REQUEST - used == set()


def test_connections_that_stood_before_the_start_cost_no_request_anything(judged):
    standing, others = judged.results["preconnect"], judged.results["keepalive false"]
    assert standing["phases"]["connect"]["count"] == 0
    assert others["phases"]["connect"]["count"] == REQUESTS


def test_what_went_another_way_went_there(judged):
    assert (judged.proxy.forwarded, judged.proxy.refused, judged.proxy.tunnels) == (REQUESTS, 0, 0)
    (place,) = judged.results["unix_socket"]["addresses"]
    assert place.startswith("unix:/")


def test_further_percentiles_are_reported(judged):
    percentiles = judged.results["percentiles"]["timing"]["percentiles"]
    # Of six requests nobody knows them.
    assert (percentiles["p75"], percentiles["p99_99"]) == (None, None)


def test_the_sizes_of_uploads_are_those_of_all_their_sendings(judged):
    sizes = {name: judged.results[name]["bytes"]["sent"] for name in judged.results}
    body = REQUESTS * len(LARGE)
    assert body < sizes["large upload"] < body + REQUESTS * 1000
    assert 2 * body < sizes["large upload redirected"] < 2 * (body + REQUESTS * 1000)
    assert 3 * body < sizes["large upload retried"] < 3 * (body + REQUESTS * 1000)


def test_the_summary_tells_of_attempts_and_retries(judged):
    totals = [
        sum(test[name] for test in judged.results.values()) for name in ("attempts", "retried_requests")
    ]
    assert f"{totals[0]:,} attempts · {totals[1]:,} retried" in judged.run.stdout


@both_engines
def test_backoff_is_in_the_response_time_and_not_in_the_service_time(tmp_path, target, engine):
    """Of the target's requests every second fails: one request is answered at once, the three others at their second
    try, after a pause of 200 ms that is jittered by half."""
    keys = {"endpoint": "/flaky?rate=0.5", "iterations": 4, "retries": 1, "retry_backoff": "200ms"}
    done = run(tmp_path, one_test(target.url, **keys), "--samples", "--engine", engine)
    test = done.test("test")
    assert_numbers_add_up(test)
    assert (test["total_requests"], test["failed_requests"], test["retried_requests"]) == (4, 0, 3)
    assert test["attempts"] == target.stats()["requests"] == 7
    assert test["status_codes"] == {"200": 4}  # what was tried again is no answer of the request's
    rows = numpy.load(done.results_dir / "latest" / "samples.npy")
    response, service = rows["done_ns"] - rows["due_ns"], rows["done_ns"] - rows["issued_ns"]
    assert rows["attempts"].tolist() == [1, 2, 2, 2]
    assert rows["earlier_us"].tolist()[0] == 0
    assert (rows["earlier_us"][1:] >= 100_000).all()
    assert (response[1:] >= service[1:] + 100_000_000).all()
    for timing, times in (("timing", response), ("service_time", service)):
        assert test[timing]["avg_ms"] == pytest.approx(times.mean() / 1e6, abs=1e-6)
        assert test[timing]["max_ms"] == pytest.approx(times.max() / 1e6, abs=1e-6)
    # The pause is no delay of the client's.
    lag = (rows["issued_ns"] - rows["due_ns"]) - rows["earlier_us"] * 1000.0
    assert test["schedule_lag"]["max_ms"] == pytest.approx(lag.max() / 1e6, abs=2e-3)
    assert "4 requests · 4 successful (100 %)" in done.stdout
    assert "7 attempts · 3 retried" in done.stdout


def test_certificates_are_looked_at_and_what_was_not_sent_is_no_attempt(tmp_path):
    with running_target("--tls") as target:
        text = f"""
test_suite:
  name: tls
  base_url: {target.url}
  mode: parallel
  defaults: {{parallel_users: {USERS}, iterations: {ITERATIONS}, endpoint: /health}}
  tests:
    - {{name: known, tls: {{ca: "{target.ca_file}"}}}}
    - {{name: any, tls: {{verify: false}}}}
    - {{name: unknown, retries: 1, retry_on: [connect], retry_backoff: 1ms}}
"""
        done = run(tmp_path, text, "--procs", "2")
        results = results_by_name(done)
        assert {name: test["attempts"] for name, test in results.items()} == {
            "known": REQUESTS,
            "any": REQUESTS,
            "unknown": 0,
        }
        assert target.stats()["requests"] == 2 * REQUESTS
    assert results["unknown"]["errors"] == {"tls": REQUESTS}
    assert results["unknown"]["retried_requests"] == REQUESTS
    for test in results.values():
        assert_numbers_add_up(test)


@both_engines
def test_users_take_the_addresses_of_a_name_in_turn_whichever_worker_they_are_of(tmp_path, engine):
    """The interpreter of the run is taught a name of three addresses."""
    (tmp_path / "sitecustomize.py").write_text(MANY_ADDRESSES)
    with running_target("--host", "0.0.0.0") as target:
        url = f"http://many.invalid:{target.port}"
        keys = {"endpoint": "/health", "parallel_users": 6, "iterations": 2, "ramp_up": 0}
        suite = one_test(url, **keys, dns="{select: round_robin}")
        arguments = ("--procs", "2", "--engine", engine)
        done = run(tmp_path, suite, *arguments, PYTHONPATH=f"{tmp_path}:{ROOT}")
        counted = target.stats()
    test = done.test("test")
    assert_numbers_add_up(test)
    assert test["addresses"] == {
        f"127.0.0.{number}": {"connections": 2, "requests": 4} for number in (1, 2, 3)
    }
    assert (counted["requests"], counted["connections"]) == (12, 6)
