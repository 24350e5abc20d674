import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfcore.engine.plan import RunPlan, deal, most_users_of_a_worker, plan_run
from perfcore.suite.secrets import Masker
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite


def case(name: str = "t", **keys: object) -> TestCase:
    return TestCase(name=name, endpoint="/x", **keys)


def suite_of(*cases: TestCase, mode: str = "sequential", **keys: object) -> TestSuite:
    return TestSuite(name="s", base_url="http://127.0.0.1:1", mode=mode, tests=list(cases), **keys)


def planned(workers: int, **keys: object) -> RunPlan:
    return plan_run(suite_of(case(**keys)), workers)


def test_users_are_dealt_without_losing_one() -> None:
    for users in range(1, 40):
        for workers in range(1, 12):
            (plan,) = planned(workers, parallel_users=users).cases
            assert len(plan.worker_users) == workers
            assert sum(plan.worker_users) == users
            busy = [count for count in plan.worker_users if count]
            assert len(busy) == min(users, workers)
            assert max(busy) - min(busy) <= 1


@given(st.integers(1, 500), st.lists(st.integers(0, 200), unique=True, min_size=1))
def test_never_more_workers_get_users_than_there_are_users(users: int, alive: list[int]) -> None:
    (chosen,) = deal([case(parallel_users=users)], alive)
    assert len(chosen) == min(users, len(alive))
    assert chosen == alive[: len(chosen)]


@pytest.mark.parametrize(
    ("keys", "sentence", "requests", "duration_s"),
    [
        ({}, "closed model: 1 user × 1 iteration = 1 request", 1, None),
        (
            {"parallel_users": 10, "iterations": 100},
            "closed model: 10 users × 100 iterations = 1,000 requests",
            1000,
            None,
        ),
        (
            {"parallel_users": 1200, "total_iterations": 5000},
            "closed model: 1,200 users, 5,000 iterations in all",
            5000,
            None,
        ),
        ({"parallel_users": 3, "duration": "30s"}, "closed model: 3 users for 30s", None, 30.0),
        (
            {"iterations": 5, "duration": "2m"},
            "closed model: 1 user × 5 iterations = 5 requests for at most 2m",
            5,
            120.0,
        ),
    ],
)
def test_the_plan_says_what_is_going_to_happen(
    keys: dict[str, object], sentence: str, requests: int | None, duration_s: float | None
) -> None:
    (plan,) = planned(2, **keys).cases
    assert (plan.requests, plan.duration_s) == (requests, duration_s)
    assert plan.sentence == sentence


def test_the_default_ramp_up_is_told_only_where_it_is_felt() -> None:
    assert planned(1, parallel_users=200).cases[0].notes == []
    (note,) = planned(1, parallel_users=4000).cases[0].notes
    assert "users start over 2s" in note
    assert "2,000 a second" in note
    assert planned(1, parallel_users=4000, ramp_up=0).cases[0].notes == []


def test_sequential_tests_are_phases_of_their_own_and_parallel_ones_share_one() -> None:
    one, two, three = case("one"), case("two"), case("three")
    assert plan_run(suite_of(one, two, three), 4).phases == ((0,), (1,), (2,))
    assert plan_run(suite_of(one, two, three, mode="parallel"), 4).phases == ((0, 1, 2),)


def test_the_document_of_a_dry_run_shows_tests_and_no_secrets() -> None:
    suite = suite_of(
        case(
            "Log in",
            parallel_users=3,
            iterations=2,
            method="POST",
            headers={"Authorization": "Bearer abcdef"},
        ),
        case("Other", duration="1s"),
        variables={"TOKEN": "hush-hush"},
        secrets=["TOKEN"],
    )
    document = plan_run(suite, 2).document(suite, Masker.for_suite(suite))
    assert (document["test_suite"], document["mode"], document["workers"]) == ("s", "sequential", 2)
    first, second = document["tests"]
    assert (first["name"], first["key"], first["request"]) == ("Log in", "log_in", "POST /x")
    assert (first["requests"], first["worker_users"]) == (6, [2, 1])
    assert first["load"] == "closed model: 3 users × 2 iterations = 6 requests"
    assert (second["requests"], second["duration_s"], second["worker_users"]) == (None, 1.0, [1, 0])
    assert "hush-hush" not in str(document)
    assert "abcdef" not in str(document)


def test_small_tests_that_run_together_do_not_all_fall_to_one_worker() -> None:
    plan = plan_run(suite_of(*(case(name) for name in "abcd"), mode="parallel"), 2)
    assert [item.worker_users for item in plan.cases] == [(1, 0), (0, 1), (1, 0), (0, 1)]
    plan = plan_run(suite_of(case("a", parallel_users=3), case("b", parallel_users=4), mode="parallel"), 5)
    assert [item.worker_users for item in plan.cases] == [(1, 1, 1, 0, 0), (1, 1, 0, 1, 1)]
    assert most_users_of_a_worker(plan) == 2


def test_tests_that_run_one_after_the_other_begin_with_the_first_worker() -> None:
    plan = plan_run(suite_of(case("a"), case("b", parallel_users=5)), 2)
    assert [item.worker_users for item in plan.cases] == [(1, 0), (3, 2)]
    assert most_users_of_a_worker(plan) == 3


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 9))
def test_users_of_a_phase_are_spread_evenly(users: list[int], workers: int) -> None:
    tests = [case(f"t{at}", parallel_users=count) for at, count in enumerate(users)]
    plan = plan_run(suite_of(*tests, mode="parallel"), workers)
    assert [sum(item.worker_users) for item in plan.cases] == users
    loads = [sum(item.worker_users[worker] for item in plan.cases) for worker in range(workers)]
    assert max(loads) - min(loads) <= 1


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        ("500/s", "500/s"),
        (0.1, "0.1/s"),
        ("12.5k/s", "12,500/s"),
        ("30/m", "0.5/s"),
        ("50/m", "50/m"),
        ("100/h", "100/h"),
        ("7/h", "7/h"),
        (1 / 3 + 1, "1.333333333/s"),
        (0.123456789, "0.123456789/s"),
    ],
)
def test_a_rate_is_told_as_somebody_would_write_it(rate, told):
    plan = plan_run(TestSuite.of(case(rate=rate, duration="1h")), 1).cases[0]
    assert plan.sentence.startswith(f"open model: {told} for 1h, Poisson = ")


@pytest.mark.parametrize(
    ("keys", "details"),
    [
        ({}, []),
        ({"ramp_up": "10s", "pacing": 1}, ["ramp-up 10s", "pacing 1s"]),
        ({"warmup": "5s"}, ["the first 5s are warm-up and left out"]),
        ({"warmup": "auto"}, ["warm-up found from the figures and left out"]),
        (
            {"duration": "1m", "until": {"metric": "p99.9", "precision": "2.5%"}},
            ["ends when p99.9 is known to 2.5 %"],
        ),
        ({"rate": 100, "duration": "1m"}, []),  # a note says how many users
        (
            {"rate": 100, "duration": "1m", "max_users": 50},
            ["at most 50 users at the same time, more are dropped and counted"],
        ),
        ({"think_time": "200ms"}, ["think time 200ms"]),
        ({"think_time": {"min": "100ms", "max": "300ms"}}, ["think time 100ms to 300ms"]),
        ({"think_time": {"mean": 2, "distribution": "exponential"}}, ["think time 2s, exponential"]),
        ({"auth": {"type": "bearer", "token": "hush"}}, ["auth bearer"]),
        (
            {"cookies": True, "compressed": True},
            ["a jar of cookies for each user", "accepts compressed answers"],
        ),
        ({"follow_redirects": True}, ["follows up to 10 redirects"]),
        ({"follow_redirects": True, "max_redirects": 1}, ["follows up to 1 redirect"]),
        ({"follow_redirects": True, "max_redirects": 0}, ["every redirect is too many"]),
        ({"retries": 3}, ["retries 3 on connect, timeout, 502, 503 after 100ms, doubling"]),
        ({"retries": 1, "retry_on": ["5xx"], "retry_backoff": "1s"}, ["retries 1 on 5xx after 1s"]),
        ({"retries": 2, "retry_on": ["tls"], "retry_backoff": 0}, ["retries 2 on tls at once"]),
        ({"http_version": 2}, ["HTTP/2"]),
        ({"http_version": "2-prior-knowledge"}, ["HTTP/2 with prior knowledge"]),
        ({"proxy": "http://u:hush@proxy:3128"}, ["through the proxy http://***@proxy:3128"]),
        (
            {"resolve": {"H": "::1"}, "dns": {"select": "random"}},
            ["h is ::1", "addresses of a name at random"],
        ),
        ({"local_addresses": ["127.0.0.2", "127.0.0.3"]}, ["from 127.0.0.2, 127.0.0.3"]),
        ({"unix_socket": "/tmp/perfcore-none"}, ["through the Unix socket /tmp/perfcore-none"]),
        ({"keepalive": False}, ["a new connection for every request"]),
        ({"preconnect": True}, ["connections stand before the first request is due"]),
    ],
)
def test_details_of_the_plan_say_what_else_the_suite_asks_for(keys, details):
    case = TestCase(name="a", endpoint="http://127.0.0.1/", **keys)
    assert plan_run(TestSuite.of(case), 1).cases[0].details == details


def test_limits_of_the_suite_stand_above_the_tests() -> None:
    limits = {"max_rate": "2k/s", "max_users": 5, "max_duration": "10m", "abort_on_error_rate": "50%"}
    suite = suite_of(case("one"), case("two", pacing=1), limits=limits)
    plan = plan_run(suite, 1).document(suite, Masker())
    assert plan["limits"] == [
        "at most 2,000 requests/s over all tests (limits.max_rate)",
        "the run ends after 10m at the latest (limits.max_duration)",
        "the run ends when 50% of the last 10s have failed (limits.abort_on_error_rate)",
    ]
    assert [test["details"] for test in plan["tests"]] == [[], ["pacing 1s"]]


def test_a_rate_below_one_a_second_is_told_as_it_is() -> None:
    suite = suite_of(case(), limits={"max_rate": "30/m"})
    plan = plan_run(suite, 1).document(suite, Masker())
    assert plan["limits"] == ["at most 0.5 requests/s over all tests (limits.max_rate)"]


@pytest.mark.parametrize(
    ("keys", "notes"),
    [
        ({"retry_on": [500]}, ["retry_on: without effect as long as retries is 0"]),
        (
            {"retry_on": [500], "retry_backoff": 1},
            ["retry_on and retry_backoff: without effect as long as retries is 0"],
        ),
        ({"retry_on": [500], "retry_backoff": 1, "retries": 1}, []),
        ({"max_redirects": 5}, ["max_redirects: without effect without follow_redirects: true"]),
        ({"max_redirects": 5, "follow_redirects": True}, []),
        ({"preconnect": True}, []),
    ],
)
def test_notes_of_the_plan_say_what_has_no_effect(keys: dict[str, object], notes: list[str]) -> None:
    assert planned(1, **keys).cases[0].notes == notes


@pytest.mark.parametrize(
    ("endpoint", "socket", "notes"),
    [
        ("https://h/x", None, []),
        ("http://h/x", "/tmp/perfcore-none", []),
        ("HTTPS://h/x", "/tmp/perfcore-none", ["preconnect: without effect over TLS through a Unix socket"]),
    ],
)
def test_only_tls_through_a_unix_socket_cannot_be_had_beforehand(
    endpoint: str, socket: str | None, notes: list[str]
) -> None:
    case = TestCase(name="t", endpoint=endpoint, preconnect=True, unix_socket=socket)
    assert plan_run(TestSuite.of(case), 1).cases[0].notes == notes


def test_a_secret_in_a_detail_is_masked() -> None:
    suite = suite_of(
        case(resolve={"secret-host.example": "::1"}), variables={"H": "secret-host.example"}, secrets=["H"]
    )
    (test,) = plan_run(suite, 1).document(suite, Masker.for_suite(suite))["tests"]
    assert test["details"] == ["*** is ::1"]
