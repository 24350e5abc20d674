"""`trace: w3c` through whole runs: what a server sees of it, and that the slowest of a result are found by it."""

import re
import uuid
from collections import Counter

import numpy as np
import pytest
from integration.runs import one_test, run, suite_of
from integration.tracing_server import HOLDS_S, tracing_server

from perfcore.metrics.trace_ids import TraceIds

# https://www.w3.org/TR/trace-context/#traceparent-header, with the flag "sampled".
FORM = re.compile("00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-01")
# By path, for the places where a test's next request is made.
TESTS = {
    "/plain": "parallel_users: 3, iterations: 40",
    "/looked-at": "parallel_users: 2, iterations: 20, expect: {json: {$: {exists: true}}}",
    "/rendered": "parallel_users: 2, iterations: 20, headers: {X-Id: '${uuid()}'}",
    "/posted": "parallel_users: 2, total_iterations: 30, method: POST, json: {n: '${iteration()}'}",
    "/constant-body": "parallel_users: 2, iterations: 20, method: POST, json: {n: 1}",
    "/thinking": "parallel_users: 2, iterations: 10, think_time: 5ms",
    "/jar": "parallel_users: 2, iterations: 10, cookies: true, headers: {Cookie: a=b}",
    "/new-connections": "parallel_users: 2, iterations: 10, keepalive: false",
    "/stood": "parallel_users: 3, iterations: 10, preconnect: true",
    "/signed": "iterations: 5, auth: {type: basic, username: u, password: p}",
    "/open": "rate: 200/s, duration: 400ms, arrival: constant, max_users: 20",
    "/refused-once": "parallel_users: 2, iterations: 10, retries: 1, retry_backoff: 1ms",
    "/hop": "parallel_users: 2, iterations: 10, follow_redirects: true",
}
TRIES = {"/refused-once": 2}


def key_of(path):
    return path[1:].replace("-", "_")


def suite(server, **keys):
    tests = [f"name: {key_of(path)}, endpoint: {path}, {load}" for path, load in TESTS.items()]
    return suite_of(server.url, *tests, defaults="{trace: w3c}", mode="parallel", **keys)


def traceparents_of(done):
    """By test: that of each row, and the trace ids of the ten with the longest response times."""
    document, rows = done.document, done.samples()
    told = {}
    for case, key in enumerate(document["results"]):
        own = rows[rows["case"] == case]
        ids = TraceIds(uuid.UUID(document["run_id"]), case)
        lines = [ids.header(int(row["user"]), int(row["due_ns"])) for row in own]
        response_ns = own["done_ns"] - own["due_ns"]
        longest = np.lexsort((own["user"], own["done_ns"], -response_ns))[:10]
        every = [line.removeprefix("traceparent: ") for line in lines]
        told[key] = every, [every[at].split("-")[1] for at in longest]
    return told


@pytest.mark.parametrize("limits", [{}, {"limits": "{max_rate: 2000/s}"}], ids=["free", "throttled"])
@pytest.mark.parametrize("engine", ["auto", "transfer"])
def test_every_request_has_an_id_of_its_own_which_its_row_tells(tmp_path, engine, limits):
    with tracing_server() as server:
        done = run(tmp_path, suite(server, **limits), "--procs", "2", "--engine", engine, "--samples")
    assert done.code == 0, done.stderr
    carried = {test["engine"] for test in done.document["results"].values()}
    assert carried == ({"wire", "transfer"} if engine == "auto" else {"transfer"})
    told = traceparents_of(done)
    for path in TESTS:
        received, (of_rows, longest) = server.of(path), told[key_of(path)]
        assert all(FORM.fullmatch(value) for value in received), path
        # Each request once, or as often as it was tried.
        assert Counter(received) == Counter(of_rows * TRIES.get(path, 1)), path
        assert len(set(of_rows)) == len(of_rows) == done.test(key_of(path))["total_requests"]
        slowest = done.test(key_of(path))["slowest"]
        assert [request["trace_id"] for request in slowest] == longest
    changing = {"/rendered", "/posted", "/jar"}
    assert {path for path, heads in server.heads.items() if len(heads) > 1} <= changing
    assert Counter(server.of("/landed")) == Counter(server.of("/hop"))
    every = [value for of_rows, _ in told.values() for value in of_rows]
    assert len({value.split("-")[1] for value in every}) == len({value.split("-")[2] for value in every})
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("load", ["iterations: 15", "rate: 150/s, duration: 400ms"], ids=["closed", "open"])
@pytest.mark.parametrize("engine", ["wire", "transfer"])
def test_the_requests_that_the_server_held_are_found_among_the_slowest(tmp_path, engine, load):
    users = "parallel_users: 4, " if "rate" not in load else ""
    held = f"name: test, endpoint: /held, trace: w3c, headers: {{X-User: '${{user()}}'}}, {users}{load}"
    with tracing_server() as server:
        done = run(tmp_path, suite_of(server.url, held), "--procs", "2", "--engine", engine)
    assert done.code == 0, done.stderr
    assert len(server.held) == len(HOLDS_S)
    slowest = {request["trace_id"]: request for request in done.test("test")["slowest"]}
    for traceparent, (hold_s, user) in server.held.items():
        request = slowest[traceparent.split("-")[1]]
        assert request["ms"] >= hold_s * 1000
        assert request["at_s"] >= hold_s
        assert (request["user"], request["status"], request["step"]) == (user, 200, None)


def test_two_runs_share_no_id_though_they_have_one_seed(tmp_path):
    text = {"endpoint": "/plain", "trace": "w3c", "parallel_users": 3, "iterations": 5}
    for name in "ab":
        (tmp_path / name).mkdir()
    with tracing_server() as server:
        done = [run(tmp_path / name, one_test(server.url, **text), "--seed", "1") for name in "ab"]
    assert [one.code for one in done] == [0, 0]
    # It is what makes a run's ids its own; due instants differ too.
    assert len({one.document["run_id"] for one in done}) == 2
    trace_ids = [value.split("-")[1] for value in server.of("/plain")]
    assert len(set(trace_ids)) == len(trace_ids) == 30


def test_without_trace_nothing_is_sent_and_the_slowest_have_no_id(tmp_path):
    with tracing_server() as server:
        done = run(tmp_path, one_test(server.url, endpoint="/plain", iterations=5))
    assert server.traceparents == {"/plain": [[]] * 5}
    assert [request["trace_id"] for request in done.test("test")["slowest"]] == [None] * 5
