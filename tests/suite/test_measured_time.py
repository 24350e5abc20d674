"""warmup and until: what they come to, what is said of wrong ones, and that they load again as what they were."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from perfcore.errors import SuiteError
from perfcore.metrics.precision import look_times_s
from perfcore.metrics.steadiness import FEWEST_TO_CUT
from perfcore.suite.config_loader import load_suite
from perfcore.suite.measured_time import FIRST_LOOK_AUTO_S, FIRST_LOOK_S
from perfcore.suite.mistakes import ModelError
from perfcore.suite.percentage import read_percentage
from perfcore.suite.schema import json_schema
from perfcore.suite.secrets import Masker, effective_suite
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite
from perfcore.suite.until import read_percentile_name
from perfcore.suite.warmup import read_warmup
from perfcore.suite.yaml_document import read_yaml

from .suites import suite

SCHEMA = Draft202012Validator(json_schema())
PERCENTILE = "write a percentile of response time, such as p50, p99 or p99.9"
PERCENTAGE = "is not a percentage above 0% and up to 100%; write 5%, 50% or 100%"
UNTIL = {"metric": "p99", "precision": "5%"}
STAGES = [{"duration": "30s", "users": 50}, {"duration": "10s", "users": 0}]


def case(**keys):
    return TestCase(name="t", endpoint="http://127.0.0.1/", **keys)


def mistakes(**keys):
    with pytest.raises(SuiteError) as caught:
        case(**keys)
    return [text.removeprefix("TestCase 't': ") for text in caught.value.mistakes]


def told(tests, **more):
    with pytest.raises(SuiteError) as caught:
        load_suite("-", stdin=suite(tests, **more).encode(), environ={})
    return caught.value.mistakes


# -- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5s", 5), (5, 5), ("1m30s", 90), ("500ms", 0.5), (0, 0), ("auto", "auto"), (0.25, 0.25)],
)
def test_a_warm_up_is_a_duration_or_auto(value, seconds):
    assert read_warmup(value) == seconds


@pytest.mark.parametrize(
    ("keys", "warmup_s", "kind"),
    [
        ({}, 0, "none"),
        ({"warmup": 0}, 0, "none"),
        ({"warmup": "5s"}, 5, "fixed"),
        ({"warmup": "auto"}, 0, "auto"),
    ],
)
def test_what_is_known_of_a_warm_up_before_the_run(keys, warmup_s, kind):
    found = case(duration="1m", **keys)
    assert (found.warmup_s, found.warmup_kind) == (warmup_s, kind)


@pytest.mark.parametrize("value", ["Auto", "automatic", "none", "p99", "", " "])
def test_a_word_that_is_no_warm_up_is_told(value):
    with pytest.raises(ValueError, match=r"auto, or a duration such as 5s|is not a duration"):
        read_warmup(value)


@pytest.mark.parametrize(
    ("value", "percent"),
    [("p50", 50), ("p99", 99), ("p99.9", 99.9), (" p95 ", 95), ("p0.5", 0.5), ("p99.999999", 99.999999)],
)
def test_a_metric_is_a_percentile(value, percent):
    assert read_percentile_name(value) == percent


@pytest.mark.parametrize(
    "value",
    [
        "p100",
        "p0",
        "p0.0",
        "p",
        "99",
        99,
        "P99",
        "avg",
        "p-1",
        "p9 9",
        "p99.",
        "p99.9999999",
        "p1e1",
        None,
        ["p99"],
    ],
)
def test_what_is_no_percentile_is_told_with_examples(value):
    with pytest.raises(ValueError, match="is no metric to stop by; " + PERCENTILE):
        read_percentile_name(value)


@pytest.mark.parametrize(
    ("value", "share"),
    [("5%", 0.05), ("100%", 1), ("0.5 %", 0.005), (" .1% ", 0.001), ("5.%", 0.05), ("99.9%", 0.999)],
)
def test_a_percentage_is_a_share(value, share):
    assert read_percentage(value) == share


@pytest.mark.parametrize(
    "value",
    [
        "0%",
        "0.0%",
        "100.1%",
        "101%",
        "-5%",
        "5",
        5,
        0.05,
        "%",
        "5%%",
        "1e1%",
        "nan%",
        "9" * 50 + "%",
        None,
        True,
    ],
)
def test_what_is_no_percentage_is_told(value):
    with pytest.raises(ValueError, match=PERCENTAGE):
        read_percentage(value)


# -- what goes together -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"warmup": "10s", "duration": "10s"}, "warmup: '10s' leaves nothing of duration: '10s' to measure"),
        ({"warmup": 11, "duration": 10}, "warmup: 11 leaves nothing of duration: 10 to measure"),
        ({"warmup": "40s", "stages": STAGES}, "warmup: '40s' leaves nothing of the stages to measure"),
        ({"warmup": "-5s", "duration": "10s"}, "warmup: '-5s' is not a duration"),
        ({"warmup": -5, "duration": "10s"}, "warmup: -5 is not a duration"),
        ({"warmup": True, "duration": "10s"}, "warmup: "),
        (
            {"warmup": "warm", "duration": "10s"},
            "warmup: 'warm' is no warm-up; write auto, or a duration such as 5s",
        ),
        ({"until": UNTIL}, "until: needs a duration, at which the load ends at the latest: duration: 10m"),
        (
            {"until": UNTIL, "stages": STAGES},
            "until: needs a steady load, and stages change it; give one of them",
        ),
        (
            {"until": {"metric": "avg", "precision": "5%"}, "duration": 9},
            f"until.metric: 'avg' is no metric to stop by; {PERCENTILE}",
        ),
        ({"until": {"metric": "p99", "precision": 5}, "duration": 9}, f"until.precision: 5 {PERCENTAGE}"),
        ({"until": {"metric": "p99"}, "duration": 9}, "until.precision: "),
        ({"until": {"precision": "5%"}, "duration": 9}, "until.metric: "),
        ({"until": {**UNTIL, "max": 3}, "duration": 9}, "until.max: unknown key 'max'"),
        ({"until": "p99 < 5%", "duration": 9}, "until: "),
        (
            {"until": ["p99"], "duration": 9},
            "until: a list is not a mapping; write {metric: p99, precision: 5%}",
        ),
    ],
)
def test_a_wrong_one_is_told_with_its_place_and_a_way_out(keys, said):
    found = mistakes(**keys)
    assert len(found) == 1, found
    assert found[0].startswith(said)


@pytest.mark.parametrize(
    "keys",
    [
        {"warmup": "9.9s", "duration": "10s"},
        {"warmup": "auto", "duration": "1s"},
        {"warmup": "auto", "stages": STAGES},
        {"warmup": "39s", "stages": STAGES},
        {"warmup": "5s", "iterations": 1000},
        {"warmup": "auto", "total_iterations": 1000},
        {"until": UNTIL, "duration": "10m", "warmup": "auto"},
        {"until": UNTIL, "duration": "10m", "rate": "50/s"},
        {"until": None, "duration": "1s"},
    ],
)
def test_these_go_together(keys):
    case(**keys)


def test_all_of_them_are_told_at_once_with_line_and_column():
    tests = """\
- {name: A, endpoint: /a, warmup: soon, until: {metric: mean, precision: 0.05}, parallel_users: 0}
- name: B
  endpoint: /b
  duration: 10s
  warmup: 1m
- {name: C, endpoint: /c, until: {metric: p99, precision: 5%}}"""
    found = told(tests)
    for said in (
        "'soon' is no warm-up; write auto",
        "tests[0].until.metric: 'mean' is no metric",
        "tests[0].until.precision: 0.05 is not a percentage",
        "tests[0].parallel_users: ",
        "tests[1].warmup: '1m' leaves nothing of duration: '10s' to measure",
        "tests[2].until: needs a duration",
    ):
        assert any(said in text for text in found), (said, found)
    (late,) = [text for text in found if "leaves nothing" in text]
    assert late.startswith("-:9:") or ":9:" in late


def test_the_defaults_give_both_and_a_test_takes_them_away():
    loaded = load_suite(
        "-",
        stdin=suite(
            "- {name: A, endpoint: /a}\n- {name: B, endpoint: /b, warmup: 0, until: null}",
            head="base_url: http://h\ndefaults: {duration: 1m, warmup: 5s, until: {metric: p95, precision: 2%}}",
        ).encode(),
        environ={},
    )
    first, second = loaded.tests
    assert (first.warmup, first.until.metric, first.until.precision) == (5, 95, 0.02)
    assert (second.warmup, second.until) == (0, None)


# -- schema and effective suite -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        "warmup: auto",
        "warmup: 5s",
        "warmup: 5",
        "warmup: '${W}'",
        "until: {metric: p99, precision: 5%}, duration: 1m",
        "until: {metric: p99.9, precision: '0.5 %'}, duration: 1m",
    ],
)
def test_the_schema_takes_right_ones(keys):
    data = read_yaml(suite(f"- {{name: A, endpoint: /, {keys}}}")).data
    assert [error.message for error in SCHEMA.iter_errors(data)] == []


@pytest.mark.parametrize(
    "keys",
    [
        "warmup: soon",
        "warmup: -1",
        "warmup: [5s]",
        "until: p99",
        "until: {metric: p99}",
        "until: {precision: 5%}",
        "until: {metric: p100, precision: 5%}",
        "until: {metric: avg, precision: 5%}",
        "until: {metric: p99, precision: 5}",
        "until: {metric: p99, precision: 5%, max: 1m}",
    ],
)
def test_the_schema_refuses_wrong_ones(keys):
    data = read_yaml(suite(f"- {{name: A, endpoint: /, duration: 1m, {keys}}}")).data
    assert list(SCHEMA.iter_errors(data))
    assert told(f"- {{name: A, endpoint: /, duration: 1m, {keys}}}")


@settings(deadline=None, max_examples=50)
@given(
    st.one_of(st.just("auto"), st.floats(0, 56), st.sampled_from(["1s", "10s500ms", 0, None])),
    st.one_of(
        st.none(),
        st.fixed_dictionaries(
            {
                "metric": st.one_of(
                    st.integers(1, 99).map(lambda n: f"p{n}"),
                    st.integers(1, 99_999).map(lambda n: f"p{n / 1000}"),
                ),
                "precision": st.integers(1, 100_000).map(lambda n: f"{n / 1000}%"),
            }
        ),
    ),
)
def test_they_load_again_as_what_they_were(warmup, until):
    keys = {name: value for name, value in (("warmup", warmup), ("until", until)) if value is not None}
    made = TestSuite(
        name="S", base_url="http://h", tests=[{"name": "A", "endpoint": "/", "duration": "1m", **keys}]
    )
    text = effective_suite(made, Masker())
    assert list(SCHEMA.iter_errors(read_yaml(text).data)) == []
    again = load_suite("-", stdin=text.encode(), environ={}).tests[0]
    assert (again.warmup, again.until) == (made.tests[0].warmup, made.tests[0].until)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"duration": "3s"}, "until: looks from 3 s of measured time on; give a longer duration than '3s'"),
        ({"duration": "5s", "warmup": "2s"}, "until: looks from 3 s of measured time on"),
        (
            {"duration": "20s", "warmup": "auto"},
            "until: looks from 20 s on, since warmup: auto needs as long",
        ),
    ],
)
def test_a_load_that_ends_before_the_first_look_is_a_mistake(keys, told):
    with pytest.raises(ModelError) as caught:
        TestCase(name="t", endpoint="/", until=UNTIL, **keys)
    assert told in str(caught.value)


def test_a_load_that_is_looked_at_once_is_none():
    TestCase(name="t", endpoint="/", until=UNTIL, duration="3.1s")
    TestCase(name="t", endpoint="/", until=UNTIL, duration="21s", warmup="auto")


def test_the_first_looks_are_those_of_the_run():
    assert (FIRST_LOOK_AUTO_S, look_times_s(10)[0]) == (FEWEST_TO_CUT, FIRST_LOOK_S)
    assert look_times_s(20.5, FIRST_LOOK_AUTO_S) == [20.0]
