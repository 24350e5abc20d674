"""Below a test in the summary's head: what else the suite or the command line set that decides its figures."""

from collections.abc import Iterator, Mapping
from typing import Any

from perfcore.suite.rates import default_max_users
from perfcore.units import format_duration


def settings_text(test: Mapping[str, Any], *, spins: bool = True) -> str:
    """`warm-up 5s · until p99 is known to 5 %` of a test's document; empty where nothing of it is set.

    `spins` is false where the run waits for arrivals asleep, which goes for an open model alone.
    """
    return " · ".join(_settings(test, spins))


def _settings(test: Mapping[str, Any], spins: bool) -> Iterator[str]:
    load, warmup, until = test.get("load") or {}, test.get("warmup"), test.get("until")
    if warmup:
        length = "auto" if warmup["kind"] == "auto" else format_duration(warmup["until_s"])
        yield f"warm-up {length}"
    if until:
        yield f"until {until['metric'].replace('_', '.')} is known to {until['precision'] * 100:.10g} %"
    if load.get("model") == "open":
        rates = [load.get("rate") or 0.0, *(stage.get("rate", 0.0) for stage in load.get("stages") or ())]
        most = load.get("max_users")
        if most and most != default_max_users(max(rates)):
            yield f"at most {most:,} user{'' if most == 1 else 's'}"
    if is_traced(test):
        yield "trace w3c"
    if load.get("model") == "open" and not spins:
        yield "--no-spin"


def is_traced(test: Mapping[str, Any]) -> bool:
    """Whether the test's requests carried a trace id."""
    return any(request.get("trace_id") for request in test.get("slowest") or ())
