"""Keys that users know from elsewhere are answered with the key that does it here."""

import re

import pytest

from perfcore.errors import SuiteError
from perfcore.suite import foreign_keys, not_yet
from perfcore.suite.expectation import Expectation
from perfcore.suite.limits import Limits
from perfcore.suite.test_case import TestCase, TlsOptions
from perfcore.suite.test_suite import TestSuite

KNOWN = {
    key for model in (TestCase, TestSuite, Expectation, Limits, TlsOptions) for key in model.yaml_keys()
} | {"environments", "defaults"}


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        *(
            (key, "did you mean 'parallel_users'?")
            for key in ("users", "concurrency", "vus", "threads", "VUs")
        ),
        *((key, "did you mean 'endpoint'?") for key in ("url", "path")),
        *((key, "did you mean 'expect'?") for key in ("assert", "checks")),
        *((key, "write tls: {verify: false} to accept any certificate") for key in ("insecure", "verify")),
        ("query", "did you mean 'params'?"),
        ("retry", "did you mean 'retries'?"),
        ("rps", "did you mean 'rate' (iterations started per second)?"),
    ],
)
def test_a_key_of_another_tool_is_answered_with_the_one_that_does_it(key: str, answer: str) -> None:
    with pytest.raises(SuiteError) as caught:
        TestCase(name="A", endpoint="/", **{key: 1})
    (line,) = caught.value.mistakes
    assert line.startswith(f"TestCase 'A': {key}: unknown key '{key}'; {answer}")


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("host", "unknown key 'host'; did you mean 'base_url'?"),
        (
            "users",
            "unknown key 'users'; did you mean 'parallel_users'?; keys of a test stand there, or under def",
        ),
        ("rate", "'rate' is a key of a test; write it there, or under defaults: for every"),
        ("warmup", "'warmup' is a key of a test; write it there, or under defaults: for every"),
        (
            "parallel_users",
            "'parallel_users' is a key of a test; write it there, or under defaults: for every",
        ),
        ("thresholds", "'thresholds' is not supported yet; look at results.json after the run"),
    ],
)
def test_at_the_suite_a_key_of_a_test_is_sent_to_the_tests(key: str, answer: str) -> None:
    assert TestSuite.unknown_key(key).startswith(answer)


@pytest.mark.parametrize(
    ("model", "foreign"), [(TestCase, foreign_keys.IN_TEST), (TestSuite, foreign_keys.IN_SUITE)]
)
def test_no_answer_stands_for_a_key_that_exists(
    model: type[TestCase] | type[TestSuite], foreign: dict[str, str]
) -> None:
    assert not foreign.keys() & {*model.yaml_keys(), *model.not_yet}
    assert all(key == key.lower() for key in foreign)


def test_the_answers_name_keys_that_exist() -> None:
    answers = (foreign_keys.IN_TEST, foreign_keys.IN_SUITE, not_yet.IN_TEST, not_yet.IN_SUITE)
    text = " ".join(answer for table in answers for answer in table.values())
    named = {*re.findall(r"'(\w+)'", text), *re.findall(r"\b(\w+):", text)}
    assert named - KNOWN == set()


def test_a_mapping_of_secrets_is_answered_with_their_names_alone() -> None:
    with pytest.raises(SuiteError) as caught:
        TestSuite(
            name="S",
            base_url="http://h",
            secrets={"TOKEN": "abc", "KEY": "def"},
            tests=[{"name": "A", "endpoint": "/"}],
        )
    assert caught.value.mistakes == (
        "TestSuite 'S': secrets: a mapping is not a list of names; write [TOKEN, KEY]",
    )
