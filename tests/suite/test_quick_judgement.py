import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfcore.suite.expectation import Expectation
from perfcore.suite.quick_judgement import direct_access, quick_judge

NAMES = st.sampled_from(["a", "b", "id", "_x"])
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 3), st.floats(-2, 2), st.sampled_from(["", "a", "ab", "b"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
PATHS = st.one_of(
    st.lists(st.one_of(NAMES.map(".{}".format), st.integers(-3, 3).map("[{}]".format)), max_size=4).map(
        lambda steps: "$" + "".join(steps)
    ),
    st.sampled_from(["$..a", "$.a[*]", "$[?@.id > 1]", "$['a']", "$.a[0:2]", "$.*"]),
)
CONDITIONS = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {},
        optional={
            "min": st.integers(-3, 0),
            "max": st.integers(0, 3),
            "equals": VALUES,
            "contains": st.sampled_from(["a", "b", 1, True]),
            "matches": st.sampled_from(["^a", "b$", ".", "x"]),
            "length": st.integers(0, 3),
        },
    ),
    st.just({"exists": False}),
    st.just({"exists": True}),
)
BODIES = st.one_of(VALUES.map(orjson.dumps), st.sampled_from([b"", b"no json", b"{", b"\xff\xfe"]))


@given(
    st.dictionaries(PATHS, CONDITIONS, max_size=3),
    st.sampled_from([None, "a", "no"]),
    st.sampled_from([None, "a", "^.$"]),
    st.sampled_from([{}, {"X-A": "1"}, {"x-b": ""}]),
    st.sampled_from([None, 0.5]),
    BODIES,
    st.sampled_from([200, 204, 404]),
    st.sampled_from([{}, {"x-a": "213"}, {"x-a": "2", "x-b": "y"}]),
    st.sampled_from([0.0, 0.5, 0.6]),
)
def test_it_says_what_the_expectation_says(
    checks, contains, matches, header, max_time, body, status, headers, seconds
):
    expectation = Expectation(
        json=checks, body_contains=contains, body_matches=matches, header=header, max_time=max_time
    )
    expected = expectation.first_broken(status, headers, body, seconds) is None
    assert quick_judge(expectation)(status, headers, body, seconds) is expected


@given(
    st.dictionaries(PATHS, CONDITIONS, max_size=2),
    st.sampled_from([None, "a"]),
    st.lists(
        st.tuples(st.sampled_from([200, 404]), st.integers(0, 1), BODIES, st.sampled_from([0.0, 0.6])),
        max_size=8,
    ),
)
def test_what_was_judged_before_does_not_change_what_is_said(checks, contains, answers):
    expectation = Expectation(json=checks, body_contains=contains, header={"X-A": "1"}, max_time=0.5)
    headers = [{"x-a": "1"}, {"x-a": "2"}]
    judge = quick_judge(expectation)
    for status, which, body, seconds in [*answers, *answers]:
        expected = expectation.first_broken(status, headers[which], body, seconds) is None
        assert judge(status, headers[which], body, seconds) is expected


@pytest.mark.parametrize(
    "path", ["$..a", "$.a[*]", "$['a']", "$.a.*", "$[1:2]", "$.ä", "$[?@.a]", "$.a-b", "$[-0]", "$[01]"]
)
def test_only_paths_of_names_and_indices_are_followed_directly(path):
    assert direct_access(path) is None


def test_an_index_takes_nothing_out_of_a_text():
    assert quick_judge(Expectation(json={"$.a[0]": {"exists": False}}))(200, {}, b'{"a": "text"}', 0.0)
