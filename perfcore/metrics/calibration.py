"""What is known of this tool's own error on this machine: a ladder of rates for each engine, and what follows from it.

Pure arithmetic: `perfcore calibrate` measures (engine/calibrating) and keeps (report/calibration_file), later runs ask
`tool_error`. An error is perfcore's percentile of response time less the target's own percentile of how long it held
the same requests. Rates are those of one worker, requests a second.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from itertools import pairwise
from statistics import median
from typing import Any

VERSION = 1
# Of what one worker attained: more steps where the error begins to grow.
SHARES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
# An error of p99 up to either of them is small enough to call a rate safe.
SMALL_SHARE_OF_P99, SMALL_ERROR_MS = 0.05, 0.15
# A worker that waits more for a core than this, with next to nothing to do, is not alone.
MOST_WAITED_PERCENT = 1
# A request in a quarter of an hour: what is less is no rate that was measured.
LOWEST_RATE = 0.001
VERDICTS = ("valid", "suspect", "invalid")
ENGINES = ("wire", "transfer")
# With any of them changed the error may be another one. Keys of a result's environment, and perfcore's own version.
_FINGERPRINT = {
    "cpu_model": "processor",
    "cpu_cores": "cores",
    "kernel": "kernel",
    "python_version": "Python",
    "libcurl": "libcurl",
    "perfcore_version": "perfcore",
}
_MAY_BE_NEGATIVE = frozenset({"p50_error_ms", "p99_error_ms"})
# Beyond them a file was not written by `calibrate`: no worker sends so much, its requests end after ten seconds, and
# percentages are of one core. There are as many rungs as SHARES.
_HIGHEST_RATE, _LONGEST_MS, _HIGHEST_PERCENT = 1e7, 3.6e6, 1000.0
_MOST_RUNGS, _LONGEST_WORD = 100, 200


@dataclass(frozen=True, slots=True)
class Rung:
    """One rate: what one run found there, or the medians of several. A figure that is None was not measured."""

    planned_rate: float
    rate: float
    """Attained: above what the server can do it is less than planned."""
    p50_error_ms: float
    p99_error_ms: float
    truth_p50_ms: float
    truth_p99_ms: float
    lag_p99_ms: float | None
    client_delay_p99_ms: float | None
    busy_percent: float | None
    waited_percent: float | None
    """Of the time the worker waited for a core that something else had."""
    verdict: str
    """Of `validity`; of several runs the middle one."""

    @property
    def is_safe(self) -> bool:
        """Whether the error of p99 is too small to matter."""
        return abs(self.p99_error_ms) <= max(SMALL_SHARE_OF_P99 * self.truth_p99_ms, SMALL_ERROR_MS)


@dataclass(frozen=True, slots=True)
class EngineCalibration:
    """What was found for one engine."""

    calibrated: str
    """The day, ISO 8601."""
    capacity: float
    """What one worker attained with users that never wait."""
    rungs: tuple[Rung, ...]
    """By rate, ascending; at least one."""

    @property
    def safe_rate(self) -> float | None:
        """The highest rate whose error is small, and that of all rates below as well; None where none is."""
        safe = None
        for rung in self.rungs:
            if not rung.is_safe:
                break
            safe = rung.rate
        return safe

    @property
    def is_quiet(self) -> bool:
        """Whether the machine was left to the calibration: at the lowest rate nothing of its own wants a core."""
        waited = self.rungs[0].waited_percent
        return waited is None or waited <= MOST_WAITED_PERCENT

    @property
    def highest_rate(self) -> float:
        return self.rungs[-1].rate

    def error_ms(self, rate: float) -> tuple[float, float] | None:
        """Errors of p50 and p99 at a rate, straight between the rungs over the logarithm of the rate.

        Below the lowest rung those of the lowest; above the highest None, since nobody knows.
        """
        if rate > self.highest_rate:
            return None
        above = next(rung for rung in self.rungs if rung.rate >= rate)
        at = self.rungs.index(above)
        if at == 0:
            return above.p50_error_ms, above.p99_error_ms
        below = self.rungs[at - 1]
        share = math.log(rate / below.rate) / math.log(above.rate / below.rate)
        return (
            below.p50_error_ms + share * (above.p50_error_ms - below.p50_error_ms),
            below.p99_error_ms + share * (above.p99_error_ms - below.p99_error_ms),
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is stored: whose it is, and an EngineCalibration by the engine's name."""

    fingerprint: Mapping[str, str]
    engines: Mapping[str, EngineCalibration]

    @property
    def calibrated(self) -> str:
        """The day of the newest."""
        return max(engine.calibrated for engine in self.engines.values())

    def document(self) -> dict[str, Any]:
        """As JSON has it; `read_calibration` is the way back."""
        return {
            "version": VERSION,
            "fingerprint": dict(self.fingerprint),
            "engines": {
                name: {
                    "calibrated": engine.calibrated,
                    "capacity_per_worker": engine.capacity,
                    "safe_rate_per_worker": engine.safe_rate,
                    "rungs": [asdict(rung) for rung in engine.rungs],
                }
                for name, engine in self.engines.items()
            },
        }


@dataclass(frozen=True, slots=True)
class ToolError:
    """The error of this tool at the rate that a test had."""

    engine: str
    rate_per_worker: float
    p50_ms: float | None
    """None: the rate is beyond all that were calibrated."""
    p99_ms: float | None
    safe_rate_per_worker: float | None
    calibrated: str
    quiet: bool
    """Whether the machine was left to the calibration; else the error is the other programs' as well."""

    def document(self) -> dict[str, Any]:
        """As it stands in a test's part of a result."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def tool_error(calibration: Calibration | None, engine: str, rate_per_worker: float) -> ToolError | None:
    """None where this engine was not calibrated, or nothing was sent."""
    known = None if calibration is None else calibration.engines.get(engine)
    if known is None or rate_per_worker <= 0:
        return None
    errors = known.error_ms(rate_per_worker)
    p50_ms, p99_ms = (None, None) if errors is None else errors
    return ToolError(
        engine, rate_per_worker, p50_ms, p99_ms, known.safe_rate, known.calibrated, known.is_quiet
    )


# -- from runs to a ladder ------------------------------------------------------------------------------------


def median_rung(runs: Sequence[Rung]) -> Rung:
    """The medians of runs at the same planned rate, figure by figure."""

    def middle(figure: str) -> Any:
        values = [value for run in runs if (value := getattr(run, figure)) is not None]
        return median(values) if values else None

    verdicts = sorted((run.verdict for run in runs), key=VERDICTS.index)
    figures = {field.name: middle(field.name) for field in fields(Rung) if field.name != "verdict"}
    return Rung(**figures, verdict=verdicts[len(verdicts) // 2])


def ladder(rungs: Sequence[Rung]) -> tuple[Rung, ...]:
    """Ascending by the rates that were attained, each once: of equal ones the one with the larger error."""
    by_rate: dict[float, Rung] = {}
    for rung in sorted(rungs, key=lambda rung: (rung.rate, abs(rung.p99_error_ms))):
        by_rate[rung.rate] = rung
    return tuple(by_rate.values())


def with_former(new: Calibration, former: Calibration | None) -> Calibration:
    """The new one, and of engines that it has not what a former one of the same machine has."""
    known = {**(former.engines if former is not None else {}), **new.engines}
    return Calibration(new.fingerprint, {name: known[name] for name in ENGINES if name in known})


# -- whose it is ----------------------------------------------------------------------------------------------


def fingerprint(environment: Mapping[str, Any], perfcore_version: str) -> dict[str, str]:
    """Of machine and versions, from the environment of a result."""
    known = {**environment, "perfcore_version": perfcore_version}
    return {key: str(known.get(key, "")) for key in _FINGERPRINT}


def difference(stored: Mapping[str, str], here: Mapping[str, str]) -> str | None:
    """What is not as it was: `kernel 6.1, here 6.2`; None where all is the same."""
    changed = [
        f"{word} {stored.get(key) or 'unknown'}, here {here.get(key) or 'unknown'}"
        for key, word in _FINGERPRINT.items()
        if stored.get(key) != here.get(key)
    ]
    return "; ".join(changed) or None


# -- from a file that somebody may have changed ---------------------------------------------------------------


def read_calibration(document: object) -> Calibration:
    """The way back from `Calibration.document`. ValueError says what is wrong with it."""
    whole = _object(document, "it")
    version = whole.get("version")
    if type(version) is not int or version != VERSION:
        raise ValueError(f"version is {version!r:.40}, and this perfcore reads {VERSION}")
    whose = _object(whole.get("fingerprint"), "fingerprint")
    engines = _object(whole.get("engines"), "engines")
    if not engines or not set(engines) <= set(ENGINES):
        raise ValueError("engines does not name wire or transfer alone")
    return Calibration(
        {key: _word(whose, key) for key in _FINGERPRINT},
        {name: _read_engine(value, f"engines.{name}") for name, value in engines.items()},
    )


def _read_engine(value: object, place: str) -> EngineCalibration:
    engine = _object(value, place)
    rungs = engine.get("rungs")
    if not isinstance(rungs, list) or not rungs:
        raise ValueError(f"{place}.rungs is no list of rates")
    if len(rungs) > _MOST_RUNGS:
        raise ValueError(f"{place}.rungs has {len(rungs):,} rates, and there may be {_MOST_RUNGS}")
    read = tuple(_read_rung(rung, f"{place}.rungs[{at}]") for at, rung in enumerate(rungs))
    # As quotients, since between two that are next to each other nothing can be drawn.
    if not all(above.rate / below.rate > 1 for below, above in pairwise(read)):
        raise ValueError(f"{place}.rungs is not in the order of the rates, each once")
    capacity = _number(engine, "capacity_per_worker", place, *_bounds_of("rate"))
    return EngineCalibration(_day(engine, place), capacity, read)


def _day(engine: Mapping[str, Any], place: str) -> str:
    day = engine.get("calibrated")
    try:
        # Other forms of a date are read as well, and not written.
        if isinstance(day, str) and date.fromisoformat(day).isoformat() == day:
            return day
    except ValueError:
        pass
    raise ValueError(f"{place}.calibrated is no date")


def _read_rung(value: object, place: str) -> Rung:
    rung = _object(value, place)
    figures: dict[str, Any] = {}
    for field in fields(Rung):
        if field.name == "verdict":
            continue
        if rung.get(field.name) is None and field.type == float | None:
            figures[field.name] = None
            continue
        figures[field.name] = _number(rung, field.name, place, *_bounds_of(field.name))
    if rung.get("verdict") not in VERDICTS:
        raise ValueError(f"{place}.verdict is none of {', '.join(VERDICTS)}")
    return Rung(**figures, verdict=str(rung["verdict"]))


def _bounds_of(figure: str) -> tuple[float, float]:
    if figure in _MAY_BE_NEGATIVE:
        return -_LONGEST_MS, _LONGEST_MS
    if figure in ("planned_rate", "rate"):
        return LOWEST_RATE, _HIGHEST_RATE
    return 0.0, _HIGHEST_PERCENT if figure.endswith("_percent") else _LONGEST_MS


def _number(values: Mapping[str, Any], name: str, place: str, least: float, most: float) -> float:
    value = values.get(name)
    # What is not finite lies between no bounds.
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{place}.{name} is no number from {least:g} to {most:g}")
    return float(value)


def _word(values: Mapping[str, Any], name: str) -> str:
    """It is shown, so it is what a terminal can show."""
    value = values.get(name, "")
    if not isinstance(value, str) or len(value) > _LONGEST_WORD or not value.isprintable():
        raise ValueError(f"fingerprint.{name} is no line of up to {_LONGEST_WORD} characters")
    return value


def _object(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{place} is no object")
    return value
