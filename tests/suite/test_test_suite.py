"""Suites made in Python, and what can be asked of any suite."""

import pytest

from perfcore.errors import SuiteError, UsageError
from perfcore.suite.config_loader import load_suite
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite, join_url


def made(*tests, **keys):
    cases = tests or (TestCase(name="A", endpoint="/a"), TestCase(name="Get B", endpoint="/b"))
    return TestSuite(**{"name": "S", "base_url": "http://h", "tests": list(cases), **keys})


def test_a_suite_is_made_from_cases_or_from_mappings():
    suite = made(TestCase(name="A", endpoint="/a"), {"name": "B", "endpoint": "/b", "timeout": "5s"})
    assert [case.timeout_s for case in suite.tests] == [30, 5]
    assert (suite.mode, suite.source, suite.secrets) == ("sequential", None, ())
    suite.check()


def test_mistakes_of_a_suite_and_its_tests_are_told_together():
    with pytest.raises(SuiteError) as caught:
        made({"name": "A", "endpoint": "/", "method": "X"}, {"name": "a"}, 7, mode="x")
    assert [line.split(": ")[1] for line in caught.value.mistakes] == [
        "tests[1].name",
        "mode",
        "tests[0].method",
        "tests[1].endpoint",
        "tests[2]",
    ]
    assert all(line.startswith("TestSuite 'S': ") for line in caught.value.mistakes)


def test_check_tells_what_nothing_supplies(monkeypatch):
    monkeypatch.setenv("FROM_PROCESS", "x")
    made({"name": "A", "endpoint": "/${FROM_PROCESS}"}).check()
    with pytest.raises(SuiteError) as caught:
        made(
            {"name": "A", "endpoint": "/${NOPE1}"},
            {"name": "B", "endpoint": "/", "json": {"a": "${V}"}},
            variables={"V": "${NOPE2}"},
        ).check()
    assert [line.split(": ")[1] for line in caught.value.mistakes] == ["variables.V", "tests[0].endpoint"]


def test_a_suite_of_one_case_has_its_name():
    suite = TestSuite.of(TestCase(name="A", endpoint="https://h/a"))
    suite.check()
    assert (suite.name, len(suite.tests)) == ("A", 1)
    with pytest.raises(SuiteError, match="'/a' is only a path"):
        TestSuite.of(TestCase(name="A", endpoint="/a")).check()


def test_another_base_url_leaves_everything_else():
    suite = made(base_url="embedded", variables={"A": "b"})
    moved = suite.with_base_url("http://127.0.0.1:8080")
    assert (suite.base_url, moved.base_url) == ("embedded", "http://127.0.0.1:8080")
    assert moved.tests == suite.tests
    assert moved.scope is suite.scope
    with pytest.raises(UsageError, match="not an absolute URL"):
        suite.with_base_url("gopher://x")


def test_tests_are_selected_by_name_or_key_in_the_suites_order():
    assert [case.name for case in made().select(["get_b", "A"]).tests] == ["A", "Get B"]
    assert [case.name for case in made().select(["Get B"]).tests] == ["Get B"]
    with pytest.raises(
        UsageError, match=r"there is no test 'Get C'; did you mean '(Get B|get_b)'\?; the tests are A, Get B"
    ):
        made().select(["Get C"])


def test_a_selected_suite_keeps_its_source(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("test_suite: {name: S, base_url: http://h, tests: [{name: A, endpoint: /}]}")
    assert load_suite(path, environ={}).select(["A"]).source == path


@pytest.mark.parametrize(
    ("base_url", "endpoint", "url"),
    [
        ("http://h", "/a", "http://h/a"),
        ("http://h/", "/a", "http://h/a"),
        ("http://h/v1/", "a/b", "http://h/v1/a/b"),
        ("http://h/v1", "?q=1", "http://h/v1?q=1"),
        ("http://h/v1", "", "http://h/v1"),
        ("http://h/v1", "https://other/x", "https://other/x"),
        ("", "HTTP://other/x", "HTTP://other/x"),
    ],
)
def test_endpoints_are_joined_with_one_slash(base_url, endpoint, url):
    assert join_url(base_url, endpoint) == url


def test_a_variable_that_holds_itself_is_a_mistake():
    circle: list = []
    circle.append({"again": circle})
    with pytest.raises(SuiteError, match=r"variables\.A: is nested too deep, or holds itself"):
        TestSuite(
            name="S", tests=[{"name": "A", "endpoint": "http://h"}], variables={"A": circle, "B": [[1]]}
        )


def test_a_key_of_a_test_at_the_suites_level_is_told_where_it_belongs():
    with pytest.raises(
        SuiteError, match="graceful_stop: 'graceful_stop' is a key of a test; write it there, or under"
    ):
        made(graceful_stop="5s")
