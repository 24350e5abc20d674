"""Keys of the load: what they come to, which exclude each other, and what is said of wrong values."""

import pytest

from perfcore.errors import SuiteError
from perfcore.suite.config_loader import load_suite
from perfcore.suite.stages import Stage, Stages
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

STAGES = [{"duration": "30s", "users": 50}, {"duration": "10s", "users": 0}]
RATES = [{"duration": "30s", "rate": "500/s"}]


def case(**keys):
    return TestCase(name="t", endpoint="http://127.0.0.1/", **keys)


def mistakes(**keys):
    with pytest.raises(SuiteError) as caught:
        case(**keys)
    return [text.removeprefix("TestCase 't': ") for text in caught.value.mistakes]


def suite(tmp_path, test, defaults="{}", limits="{}", mode="sequential"):
    path = tmp_path / "suite.yaml"
    path.write_text(
        f"test_suite:\n  name: s\n  base_url: http://127.0.0.1\n  mode: {mode}\n  defaults: {defaults}\n"
        f"  limits: {limits}\n  tests:\n    - {{name: t, endpoint: /, {test}}}\n"
    )
    return load_suite(path)


def told(tmp_path, *arguments, **keys):
    with pytest.raises(SuiteError) as caught:
        suite(tmp_path, *arguments, **keys)
    return "\n".join(caught.value.mistakes)


def test_a_rate_is_an_open_model_and_users_a_closed_one():
    assert case(rate="500/s", duration="1m").is_open
    assert case(stages=RATES).is_open
    assert not case(stages=STAGES).is_open
    assert not case(parallel_users=3, duration=1).is_open


def test_stages_say_how_long_the_load_lasts_and_how_many_there_are():
    staged = case(stages=STAGES)
    assert staged.stages == Stages("users", (Stage(30, 50), Stage(10, 0)))
    assert (staged.load_duration_s, staged.most_users, staged.effective_iterations) == (40, 50, None)
    assert case(rate="0.5/s", duration=7).load_duration_s == 7


@pytest.mark.parametrize(
    ("rate", "users"), [("0.1/s", 100), ("10/s", 100), ("11/s", 110), ("500/s", 5000), ("50k/s", 20_000)]
)
def test_without_max_users_there_may_be_as_many_as_ten_seconds_bring(rate, users):
    assert case(rate=rate, duration=20).most_users == users
    assert case(stages=[{"duration": 20, "rate": rate}]).most_users == users
    assert case(rate=rate, duration=20, max_users=7).most_users == 7


STAGE = "{duration: 30s, users: 50}", "{duration: 30s, rate: 500/s}"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"rate": 0, "duration": 1},
            "rate: 0 is not a rate greater than 0; write 500/s, 30/m, 100/h or 2k/s",
        ),
        ({"rate": "0/s", "duration": 1}, "rate: '0/s' is not a rate greater than 0"),
        ({"rate": "-5/s", "duration": 1}, "rate: '-5/s' is not a rate greater than 0"),
        ({"rate": "fast", "duration": 1}, "rate: 'fast' is not a rate greater than 0"),
        ({"rate": "100M/s", "duration": 1}, "rate: '100M/s' is more than 10,000,000 a second"),
        ({"rate": "5/s"}, "rate: needs a duration, such as duration: 30s"),
        ({"rate": "5/s", "duration": 0}, "duration: 0 is not a duration greater than 0"),
        ({"rate": "5/s", "duration": 1, "max_users": 0}, "max_users: 0 is not a count greater than 0"),
        (
            {"rate": "5/s", "duration": 1, "arrival": "random"},
            "arrival: 'random' is not one of poisson, constant",
        ),
        ({"rate": "5/s", "duration": 1, "parallel_users": 5}, "parallel_users: has no effect with rate"),
        ({"rate": "5/s", "duration": 1, "iterations": 5}, "iterations: has no effect with rate"),
        ({"rate": "5/s", "duration": 1, "think_time": 5}, "think_time: has no effect with rate"),
        ({"rate": "5/s", "stages": RATES}, "rate: the stages say the rate; give one of them"),
        (
            {"max_users": 5},
            "max_users: belongs to rate: 500/s, which is not given; the number of users is parallel_users",
        ),
        ({"arrival": "constant"}, "arrival: belongs to rate: 500/s, which is not given"),
        ({"stages": STAGES, "duration": 1}, "duration: the stages say how long they last; leave it out"),
        ({"stages": STAGES, "parallel_users": 1}, "parallel_users: has no effect with stages"),
        ({"stages": STAGES, "max_users": 1}, "max_users: has no effect with stages of users"),
        ({"stages": RATES, "pacing": 1}, "pacing: has no effect with stages of a rate"),
        ({"stages": []}, "stages: is empty; write [{duration: 30s, users: 50}]"),
        ({"stages": 5}, f"stages: 5 is not a list of stages; write [{STAGE[0]}] or [{STAGE[1]}]"),
        ({"stages": {"duration": 1}}, "stages: a mapping is not a list of stages; write [{duration: 30s,"),
        ({"stages": [1, 2]}, f"stages[1]: 2 is not a stage; write {STAGE[0]} or {STAGE[1]}"),
        ({"stages": [*RATES, 2]}, f"stages[1]: 2 is not a stage; write {STAGE[1]}"),
        ({"stages": [{"duration": 0, "users": 5}]}, "stages[0].duration: 0 is not a duration greater than 0"),
        ({"stages": [{"users": 5}]}, "stages[0].duration: is missing"),
        (
            {"stages": [{"duration": 5}]},
            f"stages[0]: neither users nor rate is given; write {STAGE[0]} or {STAGE[1]}",
        ),
        ({"stages": [{}]}, "stages[0].duration: is missing"),
        ({"stages": [*STAGES, {"duration": 5}]}, "stages[2].users: is missing"),
        ({"stages": [*RATES, {"duration": 5}]}, "stages[1].rate: is missing"),
        ({"stages": [{"duration": 5, "users": -1}]}, "stages[0].users: -1 is not a whole number from 0 to"),
        ({"stages": [{"duration": 5, "users": 0}]}, "stages: all stages are of 0 users"),
        ({"stages": [*STAGES, *RATES]}, "stages[0].users: stages are either of users or of a rate"),
        ({"stages": [{"duration": 5, "vus": 3}]}, "stages[0].vus: unknown key"),
    ],
)
def test_wrong_loads_are_told_with_the_way_out(keys, said):
    assert any(text.startswith(said) for text in mistakes(**keys)), mistakes(**keys)


ONE_COUNT = "has no effect with rate, of which rate × duration are started; "


@pytest.mark.parametrize("key", ["iterations", "total_iterations"])
@pytest.mark.parametrize(
    ("duration", "way_out"),
    [({}, "give duration: 30s in its place"), ({"duration": "1s"}, "leave it out")],
)
def test_a_rate_beside_a_count_is_one_message_with_one_way_out(key, duration, way_out):
    assert mistakes(rate="5/s", **{key: 10}, **duration) == [f"{key}: {ONE_COUNT}{way_out}"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"rate": "1/h", "duration": "1m"},
            "rate: '1/h' for '1m' is less than one iteration; give a duration of 1h or more, or a higher rate",
        ),
        (
            {"rate": 0.3, "duration": 3},
            "rate: 0.3 for 3 is less than one iteration; give a duration of 3.333s or more, or a higher rate",
        ),
        (
            {"stages": [{"duration": "10s", "rate": "0.1/s"}, {"duration": "4s", "rate": 0}]},
            "stages: come to less than one iteration in all; give longer stages or a higher rate",
        ),
    ],
)
def test_a_rate_that_comes_to_less_than_one_iteration_is_a_mistake(keys, said):
    assert mistakes(**keys) == [said]


@pytest.mark.parametrize(
    "keys",
    [
        {"rate": "100/h", "duration": "36s"},
        {"rate": "1/m", "duration": "1m"},
        {"rate": "7/h", "duration": 3600 / 7},
        {"stages": [{"duration": "10s", "rate": "0.1/s"}, {"duration": "10s", "rate": 0}]},
    ],
)
def test_one_iteration_is_enough(keys):
    assert case(**keys).is_open


def test_all_mistakes_are_told_at_once_with_their_places(tmp_path):
    text = told(tmp_path, "rate: 0, duration: 1s, parallel_users: 3, stages: [{duration: 0s, users: x}]")
    for place in (
        "suite.yaml:8:30: tests[0].rate: the stages say the rate",
        "tests[0].stages[0].duration: '0s' is not a duration greater than 0",
        "tests[0].stages[0].users: 'x' is not",
        "tests[0].parallel_users: has no effect with stages",
    ):
        assert place in text


@pytest.mark.parametrize(
    ("defaults", "test", "kept"),
    [
        ("{parallel_users: 5, iterations: 7, think_time: 1s}", "rate: 5/s, duration: 1s", {"rate_per_s": 5}),
        (
            "{rate: 5/s, duration: 9s}",
            "parallel_users: 2",
            {"rate_per_s": None, "parallel_users": 2, "duration_s": 9},
        ),
        (
            "{rate: 5/s, duration: 9s, max_users: 3}",
            "stages: [{duration: 1s, users: 4}]",
            {"rate_per_s": None, "max_users": None},
        ),
        (
            "{rate: 5/s, duration: 9s, max_users: 3}",
            "rate: 7/s",
            {"rate_per_s": 7, "max_users": 3, "duration_s": 9},
        ),
        ("{stages: [{duration: 1s, users: 4}]}", "duration: 3s", {"stages": None, "duration_s": 3}),
        ("{iterations: 7}", "total_iterations: 9", {"iterations": None, "total_iterations": 9}),
    ],
)
def test_a_tests_own_load_model_displaces_that_of_the_defaults(tmp_path, defaults, test, kept):
    loaded = suite(tmp_path, test, defaults).tests[0]
    assert {name: getattr(loaded, name) for name in kept} == kept


def test_limits_count_the_users_of_every_model(tmp_path):
    limits = "{max_users: 50}"
    assert "tests[0].max_users: 100 (by default rate × 10 s) is more than limits.max_users, 50" in told(
        tmp_path, "rate: 5/s, duration: 1s", limits=limits
    )
    assert "tests[0].max_users: 60 is more than limits.max_users, 50" in told(
        tmp_path, "rate: 5/s, duration: 1s, max_users: 60", limits=limits
    )
    assert "tests[0].stages: 51 is more than limits.max_users, 50" in told(
        tmp_path, "stages: [{duration: 1s, users: 51}]", limits=limits
    )
    assert "lower max_users" in told(tmp_path, "rate: 5/s, duration: 1s", limits=limits, mode="parallel")
    assert suite(tmp_path, "rate: 5/s, duration: 1s, max_users: 50", limits=limits)
    assert TestSuite(
        name="s",
        limits={"max_users": 4},
        base_url="http://127.0.0.1",
        tests=[case(rate=5, duration=1, max_users=4)],
    )
