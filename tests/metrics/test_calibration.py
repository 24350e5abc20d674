"""The ladder of errors: interpolation, safe rate, medians, and what is read from a file that is not trusted."""

import copy
import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfcore.metrics.calibration import (
    SHARES,
    Calibration,
    EngineCalibration,
    Rung,
    difference,
    fingerprint,
    ladder,
    median_rung,
    read_calibration,
    tool_error,
    with_former,
)

ENVIRONMENT = {
    "cpu_model": "AMD EPYC",
    "cpu_cores": 2,
    "kernel": "6.1",
    "python_version": "3.11.7",
    "libcurl": "8.23.0",
    "hostname": "build-7",
}
HERE = fingerprint(ENVIRONMENT, "1.0.0")


def rung(rate: float, p99_error_ms: float = 0.0, p50_error_ms: float = 0.0, **other: Any) -> Rung:
    figures = {
        "planned_rate": rate,
        "rate": rate,
        "p50_error_ms": p50_error_ms,
        "p99_error_ms": p99_error_ms,
        "truth_p50_ms": 2.0,
        "truth_p99_ms": 2.5,
        "lag_p99_ms": 0.01,
        "client_delay_p99_ms": 0.02,
        "busy_percent": 5.0,
        "waited_percent": 0.4,
        "verdict": "valid",
    }
    return Rung(**(figures | other))


def engine_of(*rungs: Rung, day: str = "2026-11-23") -> EngineCalibration:
    return EngineCalibration(day, 10_000.0, tuple(rungs))


def calibration_of(**engines: EngineCalibration) -> Calibration:
    return Calibration(HERE, engines)


ERRORS = st.floats(-50, 50, allow_nan=False)
RATES = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=8, unique=True).map(sorted)


@given(RATES, st.data())
def test_an_error_lies_on_straight_lines_over_the_logarithm_of_the_rate(
    rates: list[float], data: st.DataObject
) -> None:
    p50, p99 = (
        data.draw(st.lists(ERRORS, min_size=len(rates), max_size=len(rates)), name) for name in ("p50", "p99")
    )
    engine = engine_of(*(rung(*figures) for figures in zip(rates, p99, p50, strict=True)))
    rate = data.draw(st.floats(rates[0] / 10, rates[-1]), "rate")

    expected = [float(numpy.interp(math.log(rate), numpy.log(rates), errors)) for errors in (p50, p99)]

    assert engine.error_ms(rate) == pytest.approx(tuple(expected), abs=1e-6)


def test_at_a_rung_its_own_error_is_told_below_the_lowest_that_and_above_the_highest_none() -> None:
    engine = engine_of(rung(100, 0.1, 0.05), rung(1000, 0.3, 0.07))
    assert engine.error_ms(1000) == pytest.approx((0.07, 0.3))
    assert engine.error_ms(1) == (0.05, 0.1)
    assert engine.error_ms(math.sqrt(100 * 1000)) == pytest.approx((0.06, 0.2))
    assert engine.error_ms(1000.1) is None


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.1, 30)), min_size=1, max_size=8))
def test_the_safe_rate_is_the_highest_below_which_every_error_is_small(
    rungs: list[tuple[float, float]],
) -> None:
    engine = engine_of(*(rung(at + 1, error, truth_p99_ms=p99) for at, (error, p99) in enumerate(rungs)))
    safe = [
        at + 1
        for at in range(len(rungs))
        if all(abs(error) <= 0.05 * p99 or abs(error) <= 0.15 for error, p99 in rungs[: at + 1])
    ]
    assert engine.safe_rate == max(safe, default=None)


@pytest.mark.parametrize(
    ("error_ms", "truth_p99_ms", "expected"),
    [
        (0.15, 1, True), (0.1501, 1, False), (-0.15, 1, True), (-0.1501, 1, False),
        (1.0, 20, True), (1.0001, 20, False),
    ],
)  # fmt: skip
def test_an_error_at_the_limit_is_small(error_ms: float, truth_p99_ms: float, expected: bool) -> None:
    assert rung(1, error_ms, truth_p99_ms=truth_p99_ms).is_safe is expected


def test_the_median_of_runs_is_taken_figure_by_figure_of_those_that_were_measured() -> None:
    runs = [
        rung(10, 0.1, 0.3, lag_p99_ms=None, verdict="invalid", busy_percent=None),
        rung(10, 0.5, 0.1, lag_p99_ms=2.0, verdict="valid", busy_percent=None),
        rung(10, 0.2, 0.2, lag_p99_ms=1.0, verdict="suspect", busy_percent=None),
    ]
    middle = median_rung(runs)
    assert (middle.p99_error_ms, middle.p50_error_ms) == (0.2, 0.2)
    assert (middle.lag_p99_ms, middle.busy_percent) == (1.5, None)
    assert middle.verdict == "suspect"


def test_a_ladder_goes_up_and_has_each_rate_once_with_its_larger_error() -> None:
    steps = ladder([rung(30, 0.1), rung(10, 0.1), rung(30, -0.4), rung(20, 0.1)])
    assert [(step.rate, step.p99_error_ms) for step in steps] == [(10, 0.1), (20, 0.1), (30, -0.4)]


def test_shares_go_up_to_all_that_a_worker_can_do() -> None:
    assert list(SHARES) == sorted(SHARES)
    assert SHARES[0] == 0.01
    assert SHARES[-1] == 1


def test_what_is_not_known_has_no_error() -> None:
    known = calibration_of(wire=engine_of(rung(100, 0.1, 0.05)))
    assert tool_error(None, "wire", 50) is None
    assert tool_error(known, "transfer", 50) is None
    assert tool_error(known, "wire", 0) is None
    beyond = tool_error(known, "wire", 200)
    assert beyond is not None
    assert beyond.document() == {
        "engine": "wire", "rate_per_worker": 200, "p50_ms": None, "p99_ms": None,
        "safe_rate_per_worker": 100, "calibrated": "2026-11-23", "quiet": True,
    }  # fmt: skip


def test_a_machine_was_quiet_when_nobody_waited_at_the_lowest_rate() -> None:
    for waited, is_quiet in ((None, True), (1.0, True), (1.01, False)):
        low, high = rung(1, waited_percent=waited), rung(2, waited_percent=30.0)
        assert engine_of(low, high).is_quiet is is_quiet
        known = tool_error(calibration_of(wire=engine_of(low, high)), "wire", 1)
        assert known is not None
        assert known.document()["quiet"] is is_quiet


def test_an_engine_that_was_not_measured_again_stays_known() -> None:
    old, new = engine_of(rung(1), day="2026-01-01"), engine_of(rung(2))
    whole = with_former(calibration_of(wire=new), calibration_of(transfer=old, wire=old))
    assert whole.engines == {"wire": new, "transfer": old}
    assert whole.calibrated == "2026-11-23"
    assert with_former(calibration_of(wire=new), None).engines == {"wire": new}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("cpu_model", "Xeon", "processor AMD EPYC, here Xeon"),
        ("cpu_cores", 4, "cores 2, here 4"),
        ("kernel", "6.2", "kernel 6.1, here 6.2"),
        ("python_version", "3.12.1", "Python 3.11.7, here 3.12.1"),
        ("libcurl", "8.24.0", "libcurl 8.23.0, here 8.24.0"),
    ],
)
def test_another_machine_or_version_is_told_apart(key: str, value: object, told: str) -> None:
    assert difference(HERE, fingerprint(ENVIRONMENT | {key: value}, "1.0.0")) == told


def test_another_perfcore_is_told_apart_and_another_name_of_the_machine_is_not() -> None:
    assert difference(HERE, fingerprint(ENVIRONMENT, "1.0.1")) == "perfcore 1.0.0, here 1.0.1"
    assert difference(HERE, fingerprint(ENVIRONMENT | {"hostname": "else"}, "1.0.0")) is None


# -- as JSON --------------------------------------------------------------------------------------------------

WHOLE = calibration_of(
    wire=engine_of(rung(10, 0.1), rung(20, -0.2, lag_p99_ms=None)),
    transfer=engine_of(rung(5, 0.1, verdict="invalid")),
)


def test_what_was_written_is_read_again() -> None:
    assert read_calibration(json.loads(json.dumps(WHOLE.document()))) == WHOLE


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


PLACES = [place for place in places(WHOLE.document()) if place]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({}),
    st.sampled_from([10**400, -(10**400), 1e300, 0, -1, "2026-13-01", [None], {"wire": {}}]),
)  # fmt: skip


@given(st.sampled_from(PLACES), VALUES)
def test_a_file_with_anything_in_any_place_is_read_or_refused_and_what_is_read_can_be_used(
    place: tuple[str | int, ...], value: object
) -> None:
    document: Any = copy.deepcopy(WHOLE.document())
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    try:
        known = read_calibration(document)
    except ValueError:
        return
    for engine in known.engines.values():
        assert engine.safe_rate is None or engine.safe_rate > 0
        found = engine.error_ms(engine.highest_rate)
        assert found is not None
        assert all(map(math.isfinite, found))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 2}, "version is 2, and this perfcore reads 1"),
        ({"fingerprint": None}, "fingerprint is no object"),
        ({"engines": {}}, "engines does not name wire or transfer alone"),
        ({"engines": {"curl": {}}}, "engines does not name wire or transfer alone"),
        ({"engines": {"wire": {"rungs": []}}}, "engines.wire.rungs is no list of rates"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match="^" + told.replace(".", r"\.")):
        read_calibration(WHOLE.document() | change)


STEP = WHOLE.document()["engines"]["wire"]["rungs"][0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"calibrated": "20261123"}, "calibrated is no date"),
        ({"capacity_per_worker": 1e8}, "capacity_per_worker is no number from 0.001 to 1e+07"),
        ({"rungs": [STEP | {"rate": 1e8}]}, "rungs[0].rate is no number from 0.001 to 1e+07"),
        ({"rungs": [STEP | {"rate": "10"}]}, "rungs[0].rate is no number from 0.001 to 1e+07"),
        ({"rungs": [STEP | {"p99_error_ms": 1e14}]}, "rungs[0].p99_error_ms is no number from -3.6e+06 to 3.6e+06"),
        ({"rungs": [STEP | {"p99_error_ms": math.nan}]}, "rungs[0].p99_error_ms is no number from -3.6e+06 to 3.6e+06"),
        ({"rungs": [STEP | {"lag_p99_ms": -1}]}, "rungs[0].lag_p99_ms is no number from 0 to 3.6e+06"),
        ({"rungs": [STEP | {"busy_percent": 1e6}]}, "rungs[0].busy_percent is no number from 0 to 1000"),
        ({"rungs": [STEP | {"rate": 9}, STEP | {"rate": 8}]}, "rungs is not in the order of the rates, each once"),
        ({"rungs": [STEP, STEP]}, "rungs is not in the order of the rates, each once"),
        ({"rungs": [STEP] * 1_000_000}, "rungs has 1,000,000 rates, and there may be 100"),
    ],
)  # fmt: skip
def test_what_calibrate_does_not_write_is_not_believed(change: dict[str, Any], told: str) -> None:
    document: Any = copy.deepcopy(WHOLE.document())
    document["engines"]["wire"] |= change
    with pytest.raises(ValueError, match="^" + re.escape(f"engines.wire.{told}") + "$"):
        read_calibration(document)


@pytest.mark.parametrize("version", [True, 1.0, "1", None, [1]])
def test_a_version_is_a_whole_number(version: object) -> None:
    with pytest.raises(ValueError, match=r"^version is "):
        read_calibration(WHOLE.document() | {"version": version})


@pytest.mark.parametrize("word", ["\x1b[31m", "a\nb", "x" * 201, 7, None])
def test_whose_it_is_is_a_line_that_a_terminal_can_show(word: object) -> None:
    whose = {**WHOLE.document()["fingerprint"], "kernel": word}
    with pytest.raises(ValueError, match=r"^fingerprint\.kernel is no line of up to 200 characters$"):
        read_calibration(WHOLE.document() | {"fingerprint": whose})


def test_a_figure_that_was_not_measured_stays_so() -> None:
    read = read_calibration(WHOLE.document())
    assert read.engines["wire"].rungs[1] == replace(rung(20, -0.2), lag_p99_ms=None)
