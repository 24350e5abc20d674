"""Both engines through whole runs: what is sent, and which of them sends it."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from integration import httpbin_kinds, request_kinds
from integration.engine_facts import assert_says_who_carried_it, facts_of, needs_transfers
from integration.recording_server import recording_server
from integration.runs import assert_numbers_add_up, both_engines, one_test, run, run_python, suite_of
from integration.suite_kinds import USERS, results_by_name, suite

NOWHERE = ("http://127.0.0.1:1/", "http://aaa")


def wire_kinds():
    """Every kind that the wire path serves and that reaches a server, by a name of its own."""
    for module in (request_kinds, httpbin_kinds):
        for one in module.KINDS:
            if not needs_transfers(one.keys) and not one.keys["endpoint"].startswith(NOWHERE):
                # The server answers whatever it is asked, and a machine that stands for a moment is no time-out.
                in_time = {"timeout": "30s"} if "timeout" in one.keys else {}
                yield replace(one, keys={**one.keys, **in_time, "name": f"{module.__name__} {one.name}"})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """By engine: what a server received of all kinds, and what the results say."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, content in (
        ("lines", request_kinds.LINES.encode()),
        ("large", request_kinds.LARGE),
        ("lines.txt", httpbin_kinds.LINES.encode()),
        ("data.bin", httpbin_kinds.BINARY),
    ):
        (folder / name).write_bytes(content)
    socket = folder / "socket"
    load = {"parallel_users": USERS, "iterations": 2, "ramp_up": 0}
    received, results = {}, {}
    with recording_server(socket) as server:
        text = suite(wire_kinds(), server.port, defaults=load).replace("{socket}", str(socket))
        for engine in ("wire", "transfer"):
            done = run(folder, text, "--procs", "2", "--seed", "1", "--engine", engine)
            assert done.code == 99, done.stderr  # nothing is what the expectations of most kinds want
            received[engine], results[engine] = server.forget(), results_by_name(done)
    return received, results


def test_a_server_receives_the_same_bytes_from_both_engines_on_as_many_connections(recorded):
    received, results = recorded
    (wire, wire_connections), (transfers, transfer_connections) = received["wire"], received["transfer"]
    assert wire - transfers == Counter()
    assert transfers - wire == Counter()
    assert wire_connections == transfer_connections
    for engine, (requests, connections) in received.items():
        told = results[engine].values()
        assert sum(requests.values()) == sum(test["attempts"] for test in told)
        assert connections == sum(test["connections_opened"] for test in told)


def test_both_engines_tell_the_same_of_the_same_answers(recorded):
    _, results = recorded
    assert len(results["wire"]) > 150
    for name, test in results["wire"].items():
        assert facts_of(test) == facts_of(results["transfer"][name]), name
        assert_numbers_add_up(test)
        assert_says_who_carried_it(test, "wire")
        assert_says_who_carried_it(results["transfer"][name], "transfer")


# -- the choice of an engine ----------------------------------------------------------------------------------------

MIXED = (
    "name: plain, endpoint: /health, parallel_users: 3, duration: 400ms",
    "name: followed, endpoint: /redirect/1, follow_redirects: true, parallel_users: 2, iterations: 40",
    "name: signed, endpoint: /digest/u/p, auth: {type: digest, username: u, password: p}, iterations: 3",
)


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_each_test_of_a_suite_has_the_engine_that_it_needs(tmp_path, target, mode):
    done = run(tmp_path, suite_of(target.url, *MIXED, mode=mode), "--procs", "2", "--samples")
    assert done.code == 0, done.stderr
    results = results_by_name(done)
    engines = {"plain": "wire", "followed": "transfer", "signed": "transfer"}
    for name, engine in engines.items():
        assert_numbers_add_up(results[name])
        assert_says_who_carried_it(results[name], engine)
    assert results["plain"]["recognised_share"] > 0.5
    paths = target.stats_when_closed()["paths"]
    assert paths.pop("/health") == results["plain"]["attempts"]
    assert paths == {"/redirect/1": 80, "/redirect/0": 80, "/digest/u/p": 4}
    rows = done.samples()
    for number, test in enumerate(results.values()):
        assert int((rows["case"] == number).sum()) == test["total_requests"]


def test_each_row_adds_up_where_hops_of_redirects_go_out_among_plain_requests(tmp_path, target):
    """Sockets are closed and opened in the middle of a batch, and their numbers come again."""
    tests = [
        "name: plain, endpoint: /bytes/9, parallel_users: 30, iterations: 30, ramp_up: 0s",
        "name: closing, endpoint: /bytes/9, parallel_users: 10, iterations: 30, ramp_up: 0s, keepalive: false",
        "name: followed, endpoint: /redirect/1, parallel_users: 30, iterations: 15, ramp_up: 0s,"
        " follow_redirects: true",
    ]
    done = run(
        tmp_path,
        suite_of(target.url, *tests, mode="parallel"),
        *("--procs", "1", "--engine", "transfer", "--samples"),
    )
    assert done.code == 0, done.stderr
    rows = done.samples()
    assert len(rows) >= 900 + 300 + 450
    assert (rows["due_ns"] <= rows["issued_ns"]).all()
    assert (rows["issued_ns"] <= rows["done_ns"]).all()
    service_us = (rows["done_ns"] - rows["issued_ns"]) // 1000
    phases_us = rows["dns_us"].astype(int) + rows["connect_us"] + rows["tls_us"] + rows["ttfb_us"]
    assert (phases_us <= service_us + 5).all()


@both_engines
def test_failures_among_successes_come_with_what_was_answered(tmp_path, target, engine):
    load = {"iterations": 400, "parallel_users": 3}
    once = {"endpoint": "/flaky?rate=0.1"}
    # The share is exact, so that hardly any second try fails at a low rate.
    retried = {"endpoint": "/flaky?rate=0.7", "retries": 1, "retry_backoff": "1ms", "retry_on": [503]}
    tests = [
        {"name": f"{tried} {looked_at}", "expect": expect, **load, **keys}
        for tried, keys in {"once": once, "retried": retried}.items()
        for looked_at, expect in {
            "status": {"status": 200},
            "judged": {"status": [200, 503], "json": {"$.status": "ok"}},
        }.items()
    ]
    text = suite_of(target.url, *(json.dumps(test)[1:-1] for test in tests))
    done = run(tmp_path, text, "--procs", "1", "--engine", engine)
    assert done.code == 0, done.stderr
    results = results_by_name(done)
    assert len(results) == 4
    for test in results.values():
        (failures,) = test["failures"]
        whole = [sample for sample in failures["samples"] if sample["headers"] and sample["body"]]
        # Of libcurl transfers the first is known by its status alone.
        assert len(failures["samples"]) == 5
        assert len(whole) >= (5 if engine == "wire" else 4)
        for sample in whole:
            assert sample["status"] == 503
            assert sample["headers"]["content-type"] == "application/json"
            assert '"status": 503' in sample["body"] or '"status":503' in sample["body"]


def test_a_later_failure_that_only_the_loop_sees_comes_with_what_was_answered(tmp_path, target):
    """With retries no cycle judges the answers, and a user's first answer alone is kept unasked."""
    test = {
        "name": "flaky",
        "endpoint": "/flaky?rate=0.1",
        "iterations": 60,
        "retries": 1,
        "expect": {"status": [200, 503], "json": {"$.status": "ok"}},
    }
    done = run(tmp_path, suite_of(target.url, json.dumps(test)[1:-1]), "--procs", "1", "--engine", "wire")
    (failures,) = results_by_name(done)["flaky"]["failures"]
    assert len(failures["samples"]) == 5
    assert all(sample["headers"]["content-type"] == "application/json" for sample in failures["samples"])
    assert all("503" in sample["body"] for sample in failures["samples"])


def test_a_wish_for_the_wire_that_cannot_be_met_is_one_line_and_sends_nothing(tmp_path, target):
    done = run(tmp_path, suite_of(target.url, *MIXED), "--engine", "wire")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == (
        "perfcore: --engine wire cannot serve 'followed': follow_redirects; 'signed': auth digest "
        "(--engine auto takes what fits each test)\n"
    )
    assert target.stats()["requests"] == 0
    assert not done.results_dir.exists() or list(done.results_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "twin", "engine"),
    [
        ((), {"PERFCORE_ENGINE": "transfer"}, "transfer"),
        (("--engine", "wire"), {"PERFCORE_ENGINE": "transfer"}, "wire"),
    ],
)
def test_the_option_goes_before_its_environment_twin(tmp_path, target, arguments, twin, engine):
    done = run(tmp_path, one_test(target.url, endpoint="/health", iterations=3), *arguments, **twin)
    assert done.code == 0, done.stderr
    assert_says_who_carried_it(done.test("test"), engine)


def test_the_plan_tells_each_tests_engine_and_what_needs_transfers(tmp_path, target):
    text = suite_of(target.url, *MIXED)
    plan = run(tmp_path, text, "--dry-run")
    assert plan.code == 0, plan.stderr
    lines = [line.strip() for line in plan.stdout.splitlines()]
    told = [line for line in lines if line.startswith(("wire path", "libcurl transfers"))]
    assert told == ["wire path", "libcurl transfers: follow_redirects", "libcurl transfers: auth digest"]
    refused = run(tmp_path, text, "--dry-run", "--engine", "wire")
    assert refused.code == 2
    assert "'followed': follow_redirects" in refused.stderr
    assert target.stats()["requests"] == 0


def test_a_caller_from_python_chooses_an_engine(tmp_path, target):
    program = """
import sys
from perfcore import TestCase, TestRunner, TestSuite
from perfcore.errors import UsageError
plain = TestCase(name="plain", endpoint=sys.argv[1] + "/health", iterations=3)
for engine in ("auto", "wire", "transfer"):
    result = TestRunner(results_dir=None, engine=engine).run(plain)
    print(next(iter(result.results.values())).engine)
followed = TestCase(name="followed", endpoint=sys.argv[1] + "/health", follow_redirects=True)
try:
    TestRunner(results_dir=None, engine="wire").run(followed)
except UsageError as error:
    print(error)
"""
    done = run_python(tmp_path, program, target.url)
    assert done.stdout.splitlines() == [
        "wire",
        "wire",
        "transfer",
        "--engine wire cannot serve 'followed': follow_redirects (--engine auto takes what fits each test)",
    ]
    assert target.stats()["requests"] == 9
