"""Servers that misbehave in every way: counted as the server counted, bounded in memory, ended in time."""

import os
import signal

import pytest
from integration.engine_facts import HOW_FAR_IT_CAME, assert_says_who_carried_it, facts_of
from integration.runs import (
    assert_numbers_add_up,
    both_engines,
    ended,
    interrupt,
    one_test,
    run,
    started,
    under_load,
    workers_of,
)
from target_process import running_target
from waiting import wait_until

# Far more than a worker needs (some 45 MiB), far less than an answer that it kept would take.
MOST_MIB = 120

FAULTS = """
test_suite:
  name: faults
  mode: parallel
  base_url: URL
  defaults: {timeout: 30s, parallel_users: 4, iterations: 5}
  tests:
    - {name: refuses, endpoint: "http://127.0.0.1:1/"}
    - {name: resets, endpoint: /reset}
    - {name: resets in mid-answer, endpoint: "/reset?after=5000"}
    - {name: hangs, endpoint: /hang, iterations: 2, timeout: 400ms}
    - {name: hangs in mid-answer, endpoint: "/hang?after=5000", iterations: 2, timeout: 400ms}
    - {name: truncates, endpoint: "/truncate?size=50k&sent=20k"}
    - {name: truncates a chunk, endpoint: "/truncate?chunked=1"}
    - {name: truncates its head, endpoint: "/truncate?head=1"}
    - {name: garbage, endpoint: "/garbage?size=100k"}
    - {name: endless headers, endpoint: /endless-headers}
    - {name: slow headers, endpoint: "/slow-headers?delay_ms=300&pieces=20", iterations: 2, timeout: 400ms}
    - {name: closes, endpoint: /close}
"""
KINDS = {
    "refuses": {"refused": 20},
    "resets": {"reset": 20},
    "resets_in_mid_answer": {"reset": 20},
    "hangs": {"timeout": 8},
    "hangs_in_mid_answer": {"timeout": 8},
    "truncates": {"truncated": 20},
    "truncates_a_chunk": {"truncated": 20},
    "truncates_its_head": {"truncated": 20},
    "garbage": {"bad_response": 20},
    "endless_headers": {"bad_response": 20},
    "slow_headers": {"timeout": 8},
    "closes": {},
}


ENGINES = ("wire", "transfer")


@pytest.fixture(scope="module")
def faulty(target, tmp_path_factory):
    """By engine: a run over all faults, and what the target counted of it."""
    folder = tmp_path_factory.mktemp("faults")
    found = {}
    for engine in ENGINES:
        target.stats_when_closed()
        target.reset()
        done = run(folder, FAULTS.replace("URL", target.url), "--procs", "2", "--engine", engine)
        found[engine] = done, done.document, target.stats()
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_every_fault_is_counted_for_what_it_is_and_as_often_as_the_server_met_it(faulty, engine):
    done, document, counted = faulty[engine]
    assert done.code == 99, done.stderr  # some of the tests had no success at all
    assert "Traceback" not in done.stderr
    results = document["results"]
    assert {key: test["errors"] for key, test in results.items()} == KINDS
    for test in results.values():
        assert_numbers_add_up(test)
        assert_says_who_carried_it(test, engine)
    assert results["refuses"]["attempts"] == 0
    assert results["closes"]["successful_requests"] == 20
    # What was sent on a connection that the server had just closed is an attempt that no server counted.
    unseen = results["closes"]["resent_requests"]
    attempts = {key: test["attempts"] for key, test in results.items()}
    assert sum(attempts.values()) == counted["requests"] + unseen, (attempts, unseen, counted)
    assert counted["paths"]["/endless-headers"] == results["endless_headers"]["attempts"] == 20
    assert max(document["environment"]["workers_rss_mb"]) < MOST_MIB


# How often a closed connection is sent on, and how much of an answer without end was read.
CHANCE = {
    "closes": ("attempts", "resent_requests", "bytes", "addresses"),
    "endless_headers": ("bytes",),
    "hangs_in_mid_answer": HOW_FAR_IT_CAME,
    "slow_headers": HOW_FAR_IT_CAME,
}


def test_both_engines_tell_the_same_of_every_fault(faulty):
    (wire, _), (transfers, _) = ((document["results"], counted) for _, document, counted in faulty.values())
    for key, test in wire.items():
        facts, others = facts_of(test), facts_of(transfers[key])
        for name in CHANCE.get(key, ()):
            del facts[name], others[name]
        assert facts == others, key


@pytest.mark.parametrize(
    ("keys", "engine"),
    [
        ({"timeout": "300ms"}, "wire"),  # given up in the middle
        ({"timeout": "300ms", "expect": "{body_contains: no such text}"}, "wire"),  # and kept
        ({"timeout": "300ms", "expect": "{body_contains: no such text}"}, "transfer"),
    ],
)
def test_bodies_of_a_gigabyte_are_bounded_in_memory(tmp_path, target, keys, engine):
    suite = one_test(target.url, endpoint="/bytes/1000M", parallel_users=4, duration="600ms", **keys)
    done = run(tmp_path, suite, "--procs", "1", "--engine", engine)
    test = done.test("test")
    assert_numbers_add_up(test)
    assert set(test["errors"]) == {"timeout"}, test["failures"]
    assert test["attempts"] == target.stats()["requests"]
    # What is kept of an answer that an expectation looks at is 16 MiB at most.
    kept_mib = 4 * 16 if "expect" in keys else 0
    assert max(done.document["environment"]["workers_rss_mb"]) < MOST_MIB + kept_mib
    for failure in test["failures"]:
        assert all(len(sample["body"]) <= 4096 for sample in failure["samples"])


@both_engines
def test_a_body_of_400_megabytes_is_counted_to_its_last_byte(tmp_path, target, engine):
    suite = one_test(target.url, endpoint="/bytes/400M", iterations=1, timeout="60s")
    done = run(tmp_path, suite, "--procs", "1", "--engine", engine)
    test = done.test("test")
    assert test["successful_requests"] == 1, test["failures"]
    assert 400_000_000 < test["bytes"]["received"] < 440_000_000
    assert max(done.document["environment"]["workers_rss_mb"]) < MOST_MIB


@both_engines
def test_idle_connections_that_the_server_closes_cost_no_request(tmp_path, target, engine):
    # Closed 20 ms after the answer, while the user thinks.
    suite = one_test(
        target.url, endpoint='"/close?after_ms=20"', parallel_users=4, iterations=5, think_time="300ms"
    )
    for _ in range(3):
        target.reset()
        test = run(tmp_path, suite, "--procs", "2", "--engine", engine).test("test")
        assert_numbers_add_up(test)
        assert test["errors"] == {}
        counted = target.stats()
        assert test["total_requests"] == counted["requests"] == 20
        assert test["attempts"] == 20 + test["resent_requests"]
        if not test["resent_requests"]:
            break  # else the server was held up for so long that it closed under the next request
    assert test["attempts"] == 20
    assert counted["connections"] == 20


@both_engines
def test_a_connection_that_is_closed_under_a_request_is_sent_again_and_counted(tmp_path, target, engine):
    # Closed at once, though the answer promised otherwise: whether the next request is on its way then is chance.
    suite = one_test(target.url, endpoint="/close", parallel_users=8, iterations=100)
    test = run(tmp_path, suite, "--procs", "2", "--engine", engine).test("test")
    assert_numbers_add_up(test)
    assert test["errors"] == {}
    assert test["successful_requests"] == target.stats()["requests"] == 800
    assert test["attempts"] == 800 + test["resent_requests"]


def test_a_server_that_dies_in_mid_run_is_counted_and_the_run_ends_in_time(tmp_path):
    with running_target() as target:
        suite = one_test(target.url, endpoint="/health", parallel_users=8, duration="1s")
        with started(tmp_path, suite, "--procs", "2") as process:
            under_load(target)
            target.kill()
            done = ended(process, tmp_path)
    test = done.test("test")
    assert test["successful_requests"] >= 500
    assert test["errors"]["refused"] > 0
    # Killed in the middle of an answer or before it.
    assert set(test["errors"]) <= {"refused", "reset", "closed", "truncated"}, test["failures"]
    assert_numbers_add_up(test)
    assert done.code == 0  # failed requests are no failed run unless a threshold says so


@both_engines
def test_a_server_that_dies_and_comes_back_is_counted_before_and_after(tmp_path, engine):
    users = 8
    with running_target() as first:
        suite = one_test(first.url, endpoint="/health", parallel_users=users, duration="60s")
        with started(tmp_path, suite, "--procs", "2", "--engine", engine) as process:
            under_load(first)
            # With the workers stopped everything sent is counted, and the count is final.
            workers = workers_of(process, 2)
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
            before = settled(first)
            first.kill()
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
            with running_target("--port", str(first.port)) as second:
                under_load(second)
                interrupt(process)
                done = ended(process, tmp_path)
                after = second.stats()["requests"]
    test = done.test("test")
    assert_numbers_add_up(test)
    assert test["errors"]["refused"] > 0
    assert set(test["errors"]) <= {"refused", "reset", "closed"}, test["failures"]
    # What a user sent on a connection whose end it had not seen yet went out, and no server was there to count it.
    assert before + after <= test["attempts"] <= before + after + users
    assert before + after <= test["successful_requests"] + users


def settled(target):
    """What the target has counted, once it counts no more."""
    seen = [-1]

    def is_settled():
        seen.append(target.stats()["requests"])
        return seen[-1] == seen[-2]

    wait_until(is_settled, "the target is through with what was sent")
    return seen[-1]
