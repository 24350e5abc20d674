"""What a reader of the figures has to know, and what decides the verdict."""

import uuid

import pytest
from metrics.rows import START_NS, rows_of

from perfcore.engine.plan import plan_run
from perfcore.engine.run_document import Instant, RunNotes, TestNotes, exit_codes, incidents, run_document
from perfcore.metrics.metrics_collector import MetricsCollector
from perfcore.metrics.outcomes import ERROR_KINDS
from perfcore.metrics.samples import RESENT
from perfcore.suite.secrets import Masker
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite


def suite_of(*methods: str) -> TestSuite:
    tests = [TestCase(name=f"Test {at}", endpoint="/x", method=method) for at, method in enumerate(methods)]
    return TestSuite(name="s", base_url="http://127.0.0.1:1", tests=tests)


def told(resent: int, method: str) -> list[str]:
    plan = plan_run(suite_of(method), 1)
    collector = MetricsCollector(1)
    collector.tests[0].begin(START_NS, None)
    rows = rows_of(20, attempts=1)
    rows["flags"][:resent] = RESENT
    rows["attempts"][:resent] = 2
    collector.fold(rows)
    notes = RunNotes(start=Instant(0, 0), tests=[TestNotes(began=True)])
    return incidents(plan.cases, collector.tests, notes)


def test_a_post_that_was_sent_twice_is_told() -> None:
    end = "the server may have acted on both"
    assert told(8, "POST") == [
        f"test_0: 8 POST requests were sent twice by libcurl on connections that had died; {end}"
    ]
    assert told(1, "PATCH") == [
        f"test_0: 1 PATCH request was sent twice by libcurl on a connection that had died; {end}"
    ]
    for method in ("GET", "PUT", "DELETE"):
        assert told(8, method) == []


def test_samples_that_are_missing_decide_the_exit_code_and_not_the_verdict() -> None:
    suite = suite_of("GET", "GET")
    collector = MetricsCollector(2)
    for index, figures in enumerate(collector.tests):
        figures.begin(START_NS, None)
        collector.fold(rows_of(3, case=index))
    tests = [TestNotes(began=True), TestNotes(began=True)]
    notes = RunNotes(
        start=Instant(0, 0), end=Instant(1, 1), tests=tests, samples_error="No space left on device"
    )
    document = run_document(
        suite,
        plan_run(suite, 1).cases,
        collector.tests,
        notes,
        run_id=uuid.uuid4(),
        seed=1,
        command_line=[],
        environment={},
        masker=Masker.for_suite(suite),
    )
    assert (document["verdict"], document["exit_code"]) == ("passed", 106)
    assert document["spin"] is True
    assert exit_codes(collector.tests, notes) == []


INVALID = {"verdict": "invalid", "signals": [], "reasons": ["it was late"], "advice": []}
SUSPECT = {**INVALID, "verdict": "suspect"}


@pytest.mark.parametrize(
    ("validity", "strict", "happened", "verdict", "exit_code"),
    [
        (INVALID, False, {}, "passed", 0),
        (SUSPECT, True, {}, "passed", 0),
        (None, True, {}, "passed", 0),
        (INVALID, True, {}, "invalid", 96),
        (INVALID, True, {"samples_error": "No space left on device"}, "invalid", 106),
        (INVALID, True, {"lost_workers": 1}, "incomplete", 97),
        (INVALID, True, {"aborted_by": "limits.max_duration"}, "aborted", 108),
        (INVALID, True, {"interrupted_by": "SIGINT"}, "interrupted", 105),
        (INVALID, True, {"fails": True}, "invalid", 96),
        (INVALID, False, {"fails": True}, "failed", 99),
    ],
)
def test_strict_makes_an_invalid_result_a_failure_in_its_place_among_the_others(
    validity, strict, happened, verdict, exit_code
) -> None:
    suite = suite_of("GET")
    collector = MetricsCollector(1)
    collector.tests[0].begin(START_NS, None)
    fails = happened.get("fails", False)
    collector.fold(rows_of(3, error=ERROR_KINDS.index("refused") if fails else 0))
    what = {name: value for name, value in happened.items() if name != "fails"}
    notes = RunNotes(Instant(0, 0), Instant(1, 1), tests=[TestNotes(began=True)], validity=validity, **what)
    document = run_document(
        suite,
        plan_run(suite, 1).cases,
        collector.tests,
        notes,
        strict=strict,
        run_id=uuid.uuid4(),
        seed=1,
        command_line=[],
        environment={},
        masker=Masker.for_suite(suite),
    )
    assert (document["verdict"], document["exit_code"]) == (verdict, exit_code)
    assert document["validity"]["verdict"] == (validity or {"verdict": "valid"})["verdict"]


def test_another_version_of_http_than_was_asked_for_is_told() -> None:
    case = TestCase(name="Test", endpoint="http://127.0.0.1/", http_version="2-prior-knowledge")
    plan = plan_run(TestSuite.of(case), 1)
    figures = MetricsCollector(1).tests

    def told_of(**spoken: int) -> list[str]:
        notes = TestNotes(
            began=True, http_versions={name[1:].replace("_", "."): n for name, n in spoken.items()}
        )
        return incidents(plan.cases, figures, RunNotes(start=Instant(0, 0), tests=[notes]))

    assert told_of(v2=5) == []
    assert told_of(v2=5, v1_1=1) == ["test: asked for HTTP/2, and spoke HTTP/1.1 on 1 connection"]
    assert told_of(v1_1=1200) == ["test: asked for HTTP/2, and spoke HTTP/1.1 on 1,200 connections"]


def test_a_jar_that_was_emptied_is_told() -> None:
    plan, figures = plan_run(suite_of("GET"), 1), MetricsCollector(1).tests
    notes = RunNotes(start=Instant(0, 0), tests=[TestNotes(began=True, emptied_jars=3)])
    assert incidents(plan.cases, figures, notes) == [
        "test_0: a user's jar held over 1,000 cookies and was emptied, 3 times"
    ]


def test_a_test_that_was_all_warm_up_says_so() -> None:
    suite = suite_of("GET")
    collector = MetricsCollector(1)
    collector.tests[0].begin(START_NS, None, 10**9)
    collector.fold(rows_of(3))
    told = incidents(
        plan_run(suite, 1).cases, collector.tests, RunNotes(Instant(0, 0), tests=[TestNotes(began=True)])
    )
    assert any("all requests were due in the warm-up" in line for line in told)
