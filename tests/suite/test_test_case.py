"""What a TestCase accepts, what it refuses, and with which words."""

import math

import pytest

from perfcore.errors import SuiteError
from perfcore.suite.test_case import BasicAuth, BearerAuth, TestCase, ThinkTime, result_key


def case(**keys):
    return TestCase(**{"name": "Get User", "endpoint": "/users", **keys})


def mistakes(**keys):
    with pytest.raises(SuiteError) as caught:
        case(**keys)
    return [line.removeprefix("TestCase 'Get User': ") for line in caught.value.mistakes]


def test_defaults_are_those_of_the_format():
    plain = case()
    assert (plain.method, plain.parallel_users, plain.effective_iterations) == ("GET", 1, 1)
    assert (plain.timeout_s, plain.connect_timeout_s, plain.graceful_stop_s) == (30.0, 10.0, 30.0)
    assert (plain.ramp_up_s, plain.pacing_s, plain.think_time.kind, plain.keepalive) == (
        None,
        0.0,
        "none",
        True,
    )
    assert plain.expect.status.accepted == frozenset(range(200, 300))
    assert plain.tls.verify is True


def test_the_key_names_of_the_file_and_the_attribute_names_are_both_taken():
    assert case(timeout="500ms").timeout_s == 0.5
    assert case(timeout_s=0.5).timeout_s == 0.5
    assert case(json={"a": 1}).json_body == {"a": 1}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Get User Profile", "get_user_profile"),
        ("  GET /users/{id} ", "get__users__id"),
        ("Größe 2", "gr__e_2"),
        ("__a__", "a"),
    ],
)
def test_the_result_key_is_made_from_the_name(name, key):
    assert result_key(name) == key
    assert TestCase(name=name, endpoint="/").key == key


def test_a_name_without_a_usable_character_is_a_mistake():
    with pytest.raises(SuiteError, match="no letter a-z or digit"):
        TestCase(name="äöü!", endpoint="/")
    with pytest.raises(SuiteError, match="cannot be printed"):
        TestCase(name="a\x1b[31m", endpoint="/")


def test_absent_json_and_null_json_are_different():
    assert case().has_json is False
    assert case(json=None).has_json is True
    assert case(json=None).request_data()["json"] is None
    assert "json" not in case().request_data()


@pytest.mark.parametrize(
    ("keys", "iterations"),
    [
        ({}, 1),
        ({"iterations": "1k"}, 1000),
        ({"total_iterations": 5}, None),
        ({"duration": "1m"}, None),
        ({"duration": "1m", "iterations": 3}, 3),
        ({"duration": "1m", "total_iterations": 3}, None),
    ],
)
def test_iterations_default_to_one_only_when_nothing_else_ends_the_test(keys, iterations):
    assert case(**keys).effective_iterations == iterations


@pytest.mark.parametrize(
    ("value", "kind", "low", "high", "mean"),
    [
        (0, "none", 0, 0, 0),
        ("200ms", "fixed", 0.2, 0.2, 0.2),
        ({"min": "100ms", "max": "300ms"}, "uniform", 0.1, 0.3, 0.2),
        ({"min": 1, "max": 1}, "fixed", 1, 1, 1),
        ({"mean": 2, "distribution": "exponential"}, "exponential", 0, math.inf, 2),
    ],
)
def test_think_time_has_three_forms(value, kind, low, high, mean):
    think_time = case(think_time=value).think_time
    assert (think_time.kind, think_time.min_s, think_time.max_s) == (kind, low, high)
    assert think_time.mean_s == pytest.approx(mean)
    assert isinstance(think_time, ThinkTime)


def test_auth_is_chosen_by_its_type():
    assert case(auth={"type": "basic", "username": "u", "password": 7}).auth == BasicAuth(
        username="u", password="7"
    )
    assert case(auth={"type": "bearer", "token": "t"}).auth == BearerAuth(token="t")
    assert case(auth=None).auth is None


def test_a_method_is_taken_in_any_case():
    assert case(method="post").method == "POST"


@pytest.mark.parametrize(
    ("keys", "is_oversight"),
    [
        ({"json": None}, True),
        ({"body": ""}, True),
        ({"form": {"a": "b"}, "method": "GET"}, False),
        ({"body": "x", "method": "POST"}, False),
        ({}, False),
    ],
)
def test_a_body_without_a_method_may_be_an_oversight(keys, is_oversight):
    assert case(**keys).has_body_by_oversight is is_oversight


def test_scalars_become_the_text_that_yaml_has_for_them():
    assert case(headers={"X-A": 1, "X-B": True}).headers == {"X-A": "1", "X-B": "true"}


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            {"method": "FETCH"},
            "method: 'FETCH' is not one of GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS, TRACE",
        ),
        ({"iteratons": 3}, "iteratons: unknown key 'iteratons'; did you mean 'iterations'?"),
        ({"steps": []}, "steps: 'steps' is not supported yet; write each request as a test of its own"),
        ({"warmup": "fast"}, "warmup: 'fast' is no warm-up; write auto, or a duration such as 5s"),
        (
            {"trace": "b3"},
            "trace: 'b3' is not w3c, which sends a traceparent header; leave trace out to send none",
        ),
        ({"trace": True}, "trace: true is not w3c"),
        ({"trace": "W3C"}, "trace: 'W3C' is not w3c"),
        ({"timeout": 0}, "timeout: 0 is not a duration greater than 0, such as 30s or 500ms"),
        (
            {"timeout": "5 apples"},
            "timeout: '5 apples' is not a duration; write 30 (seconds), 30s, 500ms, 1m30s or 1h",
        ),
        ({"timeout": 10**400}, "timeout: a number of more than 60 digits is not a duration; "),
        ({"timeout": "1000000d"}, "timeout: '1000000d' is longer than a year"),
        ({"parallel_users": 0}, "parallel_users: 0 is not a count greater than 0"),
        ({"parallel_users": -3}, "parallel_users: -3 is not a count greater than 0"),
        (
            {"parallel_users": 1.5},
            "parallel_users: 1.5 is not a count; write a whole number such as 200, 10k or 1M",
        ),
        ({"parallel_users": True}, "parallel_users: true is not a count"),
        ({"parallel_users": "2M"}, "parallel_users: '2M' is more than 1,000,000"),
        ({"body": "x", "json": None}, "json: a request has one body; it already has body"),
        ({"form": {}, "body": "x"}, "form: a request has one body; it already has body"),
        (
            {"iterations": 1, "total_iterations": 2},
            "total_iterations: give either iterations (of each user) or ",
        ),
        ({"think_time": {"min": 2, "max": "1s"}}, "think_time.min: 2 is more than max, '1s'"),
        ({"think_time": {"min": 2}}, "think_time.max: is missing"),
        (
            {"think_time": {"mean": 1, "distribution": "normal"}},
            "think_time.distribution: 'normal' is not one of expon",
        ),
        (
            {"think_time": "100-300ms"},
            "think_time: '100-300ms' is not a duration; write 200ms, {min: 100ms, max: 300ms} or {mean: 200ms, ",
        ),
        ({"percentiles": {95: 1}}, "percentiles: a mapping is not a list; write - value, a line each"),
        ({"think_time": True}, "think_time: true is not a think time; write 200ms"),
        (
            {"auth": {"type": "oauth2"}},
            "auth.type: 'oauth2' is not supported yet; write one of basic, bearer, digest, ntlm, negotiate, aws",
        ),
        ({"auth": {"type": "basic", "username": "u"}}, "auth.password: is missing"),
        ({"auth": {"username": "u"}}, "auth.type: is missing; write {type: basic,"),
        ({"auth": "basic"}, "auth: 'basic' is not a mapping; write {type: basic,"),
        (
            {"auth": {"type": "bearer", "token": "t"}, "headers": {"authorization": "x"}},
            "auth: there is an Authorization header too; give one of them",
        ),
        ({"headers": {"A B": "x"}}, "headers[\"A B\"]: 'A B' is not the name of a header"),
        ({"headers": {"A": "x\r\nB: y"}}, "headers.A: a header's value cannot hold a line break"),
        ({"headers": {"A": "1", "a": "2"}}, "headers.a: is given twice, as 'A' and 'a'"),
        ({"headers": {"A": None}}, "headers.A: null is not text; write '' for empty text"),
        ({"headers": ["A: b"]}, "headers: a list is not a mapping of names to values"),
        ({"params": {"a": [1, None]}}, "params.a[1]: null is not text, a number, true or false"),
        (
            {"percentiles": [50, 100]},
            "percentiles[1]: 100 is not a percentile; write a number above 0 and below 100",
        ),
        ({"percentiles": 99}, "percentiles: 99 is not a list; write [99]"),
        ({"tls": {"key": __file__}}, "tls.key: a key without a certificate; add cert: path"),
        ({"tls": {"ca": "/nowhere/ca.pem"}}, "tls.ca: there is no file '/nowhere/ca.pem'"),
        ({"tls": {"verfy": False}}, "tls.verfy: unknown key 'verfy'; did you mean 'verify'?"),
        ({"tls": None}, "tls: null is not a mapping; write verify: …, ca: …, cert: …, key: …"),
        ({"body_file": "/"}, "body_file: '/' is a directory, not a file"),
        ({"keepalive": "no"}, "keepalive: 'no' is neither true nor false"),
        (
            {"expect": {"status": "9xx"}},
            "expect.status: '9xx' is not a status; write 200, [200, 201], 2xx or 2xx-3xx",
        ),
        ({"expect": {1: 2}}, "expect: the key 1 is not text"),
    ],
)
def test_a_mistake_says_where_it_is_and_what_would_be_right(keys, line):
    (told,) = mistakes(**keys)
    assert told.startswith(line)


def test_all_mistakes_are_told_at_once():
    assert len(mistakes(method="FETCH", timeout=-1, iterations=0, body="x", form={}, tls={"verfy": 1})) == 5


def test_a_missing_name_is_told_without_one():
    with pytest.raises(SuiteError) as caught:
        TestCase(endpoint="/")
    assert caught.value.mistakes == ("TestCase: name: is missing",)


def test_a_huge_value_is_not_quoted_whole():
    (told,) = mistakes(method="x" * 1_000_000)
    assert len(told) < 250


def test_a_case_cannot_be_changed():
    with pytest.raises(Exception, match="frozen"):
        case().method = "POST"
