"""The limits of a suite, and plans that go beyond them."""

import pytest

from perfcore.errors import SuiteError
from perfcore.suite.config_loader import load_suite
from perfcore.suite.limits import Limits
from perfcore.suite.test_suite import TestSuite

from .suites import suite

TESTS = "- {name: A, endpoint: /, parallel_users: 12}\n- {name: B, endpoint: /, parallel_users: 1k}"


def loaded(head, tests=TESTS, env=None):
    text = suite(tests, head="base_url: http://h\n" + head)
    return load_suite("-", stdin=text.encode(), environ={"N": "2k"}, env=env)


def mistakes(head, tests=TESTS, env=None):
    with pytest.raises(SuiteError) as caught:
        loaded(head, tests, env)
    return list(caught.value.mistakes)


def test_a_suite_without_limits_has_none():
    assert loaded("mode: parallel").limits == Limits()
    assert set(Limits().model_dump().values()) == {None}


@pytest.mark.parametrize(
    ("limits", "attribute", "value"),
    [
        ("{max_rate: 2000/s}", "max_rate_per_s", 2000.0),
        ("{max_rate: 30/m}", "max_rate_per_s", 0.5),
        ("{max_rate: '${N}/s'}", "max_rate_per_s", 2000.0),
        ("{max_rate: 7}", "max_rate_per_s", 7.0),
        ("{max_users: 5k}", "max_users", 5000),
        ("{max_duration: 1m30s}", "max_duration_s", 90.0),
        ("{abort_on_error_rate: 50%}", "abort_on_error_rate", 0.5),
        ("{abort_on_error_rate: 100 %}", "abort_on_error_rate", 1.0),
        ("{abort_on_error_rate: 0.1%}", "abort_on_error_rate", 0.001),
    ],
)
def test_limits_are_kept_in_plain_units(limits, attribute, value):
    assert getattr(loaded(f"limits: {limits}").limits, attribute) == value


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        (
            "{max_rate: 0/s}",
            "stdin:4:12: limits.max_rate: '0/s' is not a rate greater than 0; write 500/s, 30/m",
        ),
        ("{max_rate: -1}", "limits.max_rate: -1 is not a rate greater than 0"),
        ("{max_rate: fast}", "limits.max_rate: 'fast' is not a rate"),
        ("{max_users: 0}", "limits.max_users: 0 is not a count greater than 0"),
        ("{max_duration: 0}", "limits.max_duration: 0 is not a duration greater than 0"),
        (
            "{abort_on_error_rate: 0%}",
            "limits.abort_on_error_rate: '0%' is not a percentage above 0% and up to 100%; write 5%",
        ),
        ("{abort_on_error_rate: 101%}", "limits.abort_on_error_rate: '101%' is not a percentage"),
        ("{abort_on_error_rate: 0.5}", "limits.abort_on_error_rate: 0.5 is not a percentage"),
        ("{max_rte: 1/s}", "limits.max_rte: unknown key 'max_rte'; did you mean 'max_rate'?"),
        ("{max_rate_per_s: 1}", "limits.max_rate_per_s: unknown key 'max_rate_per_s'"),
        ("5", "limits: 5 is not a mapping; write max_rate: …, max_users: …, max_duration: …, abort_on"),
    ],
)
def test_a_wrong_limit_is_told_at_its_place(limits, line):
    (told,) = mistakes(f"limits: {limits}")
    assert line in told


def test_one_after_the_other_each_test_has_to_keep_to_max_users():
    (told,) = mistakes("limits: {max_users: 500}")
    assert told == "stdin:7:30: tests[1].parallel_users: 1,000 is more than limits.max_users, 500"
    loaded("limits: {max_users: 1000}")


def test_all_at_once_they_have_to_keep_to_it_together():
    (told,) = mistakes("mode: parallel\nlimits: {max_users: 1011}")
    assert told.startswith(
        "stdin:5:12: limits.max_users: 1,011 is less than the 1,012 users that the tests have "
    )
    loaded("mode: parallel\nlimits: {max_users: 1012}")


def test_users_of_the_defaults_are_told_once_at_the_defaults():
    tests = "- {name: A, endpoint: /}\n- {name: B, endpoint: /}"
    (told,) = mistakes("limits: {max_users: 4}\ndefaults: {parallel_users: 5}", tests)
    assert told == "stdin:5:14: defaults.parallel_users: 5 is more than limits.max_users, 4"


def test_an_environment_has_limits_of_its_own():
    head = "limits: {max_rate: 1/s}\nenvironments: {big: {limits: {max_users: 2000}}, small: {limits: {max_users: 3}}}"
    assert loaded(head).limits.max_rate_per_s == 1
    assert loaded(head, env="big").limits == Limits(max_users=2000)
    assert len(mistakes(head, env="small")) == 2


def test_what_is_wrong_elsewhere_is_told_with_it():
    told = mistakes("limits: {max_users: 5}", "- {name: A, endpoint: /, parallel_users: 6, method: X}")
    assert len(told) == 2


def test_a_suite_made_in_python_keeps_to_its_limits():
    tests = [
        {"name": "A", "endpoint": "http://h/", "parallel_users": 6},
        {"name": "B", "endpoint": "http://h/"},
    ]
    with pytest.raises(SuiteError, match=r"tests\[0\]\.parallel_users: 6 is more than limits\.max_users, 5"):
        TestSuite(name="S", tests=tests, limits={"max_users": 5})
    with pytest.raises(SuiteError, match="less than the 7 users"):
        TestSuite(name="S", tests=tests, limits=Limits(max_users=6), mode="parallel")
    assert TestSuite(name="S", tests=tests, limits=Limits(max_users=7), mode="parallel").limits.max_users == 7
