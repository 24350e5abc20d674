"""Judging one response."""

import pytest

from perfcore.errors import SuiteError
from perfcore.suite.expectation import Expectation


def broken(expectation, status=200, headers=None, body=b"", took_s=0.1):
    return expectation.first_broken(status, headers or {}, body, took_s)


@pytest.mark.parametrize(
    ("status", "accepted", "refused"),
    [
        ("2xx", [200, 299], [199, 300]),
        (200, [200], [201]),
        ("204", [204], [200]),
        ([200, "404"], [200, 404], [201, 403]),
        (["2xx", 404], [250, 404], [300]),
        ("2xx-3xx", [200, 399], [400]),
        ("200-204", [200, 204], [205]),
    ],
)
def test_status_takes_codes_classes_and_ranges(status, accepted, refused):
    expected = Expectation(status=status)
    assert all(expected.status.accepts(code) for code in accepted)
    assert not any(expected.status.accepts(code) for code in refused)


def test_a_wrong_status_says_what_was_expected():
    assert broken(Expectation(), 503) == ("status", "status 503, expected 2xx")
    assert broken(Expectation(status=[200, 201]), 404) == ("status", "status 404, expected [200, 201]")


def test_an_unexpected_redirect_says_where_it_pointed():
    kind, text = broken(Expectation(), 302, {"location": "/login"})
    assert (kind, text) == ("status", "302 → /login; set follow_redirects: true or expect: {status: 302}")


def test_header_names_are_compared_without_case_and_values_by_what_they_contain():
    expected = Expectation(header={"Content-Type": "application/json"})
    assert broken(expected, headers={"content-type": "application/json; charset=utf-8"}) is None
    assert broken(expected, headers={"content-type": "text/html"})[0] == "header"
    assert broken(expected) == ("header", "no header Content-Type, expected one with 'application/json'")


def test_the_body_is_searched_for_text_and_for_a_pattern():
    expected = Expectation(body_contains='"ok"', body_matches=r"id-\d+")
    assert broken(expected, body=b'{"ok": "id-7"}') is None
    assert broken(expected, body=b"id-7") == ("body", "the body does not contain '\"ok\"'")
    assert broken(expected, body=b'"ok" \xff') == ("body", "the body does not match 'id-\\d+'")


@pytest.mark.parametrize(
    ("path", "wanted", "body", "explanation"),
    [
        ("$.user.id", 7, b'{"user": {"id": 7}}', None),
        ("$.user.id", 7, b'{"user": {"id": 7.0}}', None),
        ("$.user.id", 7, b'{"user": {"id": 8}}', "$.user.id is 8, expected 7"),
        ("$.user.id", 7, b'{"user": {}}', "$.user.id finds nothing, expected 7"),
        ("$.ok", 1, b'{"ok": true}', "$.ok is true, expected 1"),
        ("$.a", None, b'{"a": null}', None),
        ("$.a", {"x": [1, True]}, b'{"a": {"x": [1, true]}}', None),
        ("$.a", {"x": [1, True]}, b'{"a": {"x": [1, 1]}}', "$.a.x[1] is 1, expected true"),
        ("$.a", {"x": 1, "y": 2}, b'{"a": {"x": 1}}', "$.a lacks the key 'y'"),
        ("$.a", {"x": 1}, b'{"a": {"x": 1, "y": 2}}', "$.a has the key 'y', expected none but x"),
        ("$.a", [1, 2], b'{"a": [1]}', "$.a is a list of 1 element, expected 2"),
        ("$.a", [{"b c": 1}], b'{"a": [{"b c": 2}]}', '$.a[0]["b c"] is 2, expected 1'),
        ("$", {"token": {"a": 1}}, b'{"token": {"a": 9}}', "$.token.a is ***, expected 1"),
        ("$", {}, b"{}", None),
        (
            "$",
            {},
            b'{"a": 1, "b": 2}',
            "$ is a mapping of 2 keys, expected an empty one; {exists: true} takes any value",
        ),
        ("$", {}, b"7", "$ is 7, expected an empty mapping; {exists: true} takes any value"),
        ("$.i[*].p", {"min": 0}, b'{"i": [{"p": 1}, {"p": 0}]}', None),
        ("$.i[*].p", {"min": 0}, b'{"i": [{"p": 1}, {"p": -1}]}', "$.i[*].p is -1, expected at least 0"),
        ("$.i[*].p", {"min": 0}, b'{"i": []}', "$.i[*].p finds nothing"),
        ("$.p", {"max": "10"}, b'{"p": 11}', "$.p is 11, expected at most 10"),
        ("$.p", {"min": 1}, b'{"p": "9"}', "$.p is '9', expected at least 1"),
        ("$.p", {"min": 1}, b'{"p": true}', "$.p is true, expected at least 1"),
        ("$.p", {"equals": {"min": 1}}, b'{"p": {"min": 1}}', None),
        ("$.p", {"contains": "b"}, b'{"p": "abc"}', None),
        ("$.p", {"contains": 2}, b'{"p": [1, 2]}', None),
        ("$.p", {"contains": 3}, b'{"p": [1, 2]}', "$.p is a list, expected it to contain 3"),
        ("$.p", {"matches": "^a.c$"}, b'{"p": "abc"}', None),
        ("$.p", {"matches": "^x"}, b'{"p": "abc"}', "$.p is 'abc', expected text that matches '^x'"),
        ("$.p", {"exists": True}, b'{"p": null}', None),
        ("$.q", {"exists": True}, b'{"p": null}', "$.q finds nothing"),
        ("$.q", {"exists": False}, b'{"p": null}', None),
        ("$.p", {"exists": "false"}, b'{"p": 5}', "$.p is 5, expected nothing there"),
        ("$.p", {"length": 2}, b'{"p": [1, 2]}', None),
        ("$.p", {"length": 2}, b'{"p": "abc"}', "$.p is 'abc', expected length 2"),
        ("$.p", {"length": 2, "contains": 5}, b'{"p": [1, 2]}', "$.p is a list, expected it to contain 5"),
        ("$.p", 1, b"<html>", "the body is not JSON: "),
        ("$.p", 1, b"", "the body is empty, expected JSON"),
    ],
)
def test_json_conditions_hold_for_every_match(path, wanted, body, explanation):
    result = broken(Expectation(json={path: wanted}), body=body)
    assert (
        result is None if explanation is None else result[0] == "json" and result[1].startswith(explanation)
    )


def test_the_longest_time_is_the_last_thing_that_is_judged():
    expected = Expectation(max_time="500ms")
    assert broken(expected, took_s=0.5) is None
    assert broken(expected, took_s=0.75) == ("max_time", "took 750ms, expected at most 500ms")


def test_of_several_broken_expectations_the_first_of_the_order_counts():
    expected = Expectation(status=200, header={"A": "b"}, body_contains="x", json={"$.a": 1}, max_time=1)
    good = {"status": 200, "headers": {"a": "b"}, "body": b'{"a": 1, "b": "x"}', "took_s": 0.5}
    assert broken(expected, **good) is None
    bad = {"took_s": 2}
    order = []
    for change in (
        {"took_s": 2},
        {"body": b'{"a": 2, "b": "x"}'},
        {"body": b"{}"},
        {"headers": {}},
        {"status": 500},
    ):
        bad |= change
        order.append(broken(expected, **{**good, **bad})[0])
    assert order == ["max_time", "json", "body", "header", "status"]


def test_only_what_is_judged_is_needed():
    assert (Expectation().needs_body, Expectation().needs_headers) == (False, False)
    assert Expectation(json={"$": 1}).needs_body
    assert Expectation(body_matches="x").needs_body
    assert Expectation(body_contains="x").needs_body
    assert Expectation(header={"a": "b"}).needs_headers


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"status": []}, "status: an empty list accepts no status"),
        ({"status": "3xx-2xx"}, "status: '3xx-2xx' ends before it starts"),
        ({"status": True}, "status: true is not a status"),
        ({"status": [200, 999]}, "status[1]: 999 is not a status"),
        ({"body_matches": "("}, "body_matches: '(' is not a regular expression: missing )"),
        ({"json": {"$.a[": 1}}, "json[\"$.a[\"]: '$.a[' is not a JSONPath: "),
        ({"json": {"a.b": 1}}, "a JSONPath starts with $"),
        ({"json": {"$.a": {"min": "x"}}}, "json[\"$.a\"].min: 'x' is not a number"),
        ({"json": {"$.a": {"min": 2, "max": 1}}}, 'json["$.a"].min: 2 is more than max, 1'),
        ({"json": {"$.a": {"length": -1}}}, 'json["$.a"].length: -1 is not a length'),
        ({"json": {"$.a": {"matches": "["}}}, "json[\"$.a\"].matches: '[' is not a regular expression"),
        ({"json": {"$.a": {"exists": False, "min": 1}}}, 'json["$.a"].exists: false leaves nothing'),
        ({"json": 7}, "json: 7 is not a mapping of JSONPaths"),
        ({"max_time": 0}, "max_time: 0 is not a duration greater than 0"),
        ({"stauts": 1}, "stauts: unknown key 'stauts'; did you mean 'status'?"),
    ],
)
def test_a_wrong_expectation_is_told_when_it_is_made(keys, text):
    with pytest.raises(SuiteError) as caught:
        Expectation(**keys)
    assert text in caught.value.mistakes[0]
