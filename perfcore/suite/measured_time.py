"""What decides which time of a test is measured: warmup, until. Which of them cannot be had together, or with the load.

Works on the keys of the suite file (or of the Python interface) before their values were checked, so that these
mistakes are told with all others.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from perfcore.suite.field_types import read_duration
from perfcore.suite.mistakes import Mistake, shown
from perfcore.suite.stages import read_stages
from perfcore.suite.warmup import read_warmup

# When `until` is looked at first: metrics/precision.py, and metrics/steadiness.py for a warm-up that is found.
FIRST_LOOK_S = 3.0
FIRST_LOOK_AUTO_S = 20.0


def measured_time_mistakes(test: Mapping[str, Any]) -> Iterator[Mistake]:
    """The values have not been checked."""
    stages, duration = test.get("stages"), _given(test, "duration")
    if test.get("until") is not None:
        if stages is not None:
            yield Mistake(("until",), "needs a steady load, and stages change it; give one of them")
        elif duration is None:
            yield Mistake(("until",), "needs a duration, at which the load ends at the latest: duration: 10m")
        else:
            yield from _too_short_to_look(test, duration)
    if test.get("warmup") is None:
        return
    try:
        warmup = read_warmup(test["warmup"])
        load_s = read_stages(stages).duration_s if stages is not None else read_duration(duration)
    except ValueError:
        return  # told by whoever checks the values, or there is no duration
    if warmup != "auto" and warmup >= load_s:
        longest = "the stages" if stages is not None else f"duration: {shown(duration)}"
        yield Mistake(("warmup",), f"{shown(test['warmup'])} leaves nothing of {longest} to measure")


def _too_short_to_look(test: Mapping[str, Any], duration: object) -> Iterator[Mistake]:
    """The figure is looked at from a time on that the load would not reach."""
    try:
        warmup, load_s = read_warmup(test.get("warmup") or 0), read_duration(duration)
    except ValueError:
        return
    if warmup == "auto" and load_s <= FIRST_LOOK_AUTO_S:
        text = f"looks from {FIRST_LOOK_AUTO_S:g} s on, since warmup: auto needs as long"
    elif warmup != "auto" and warmup < load_s <= warmup + FIRST_LOOK_S:
        text = f"looks from {FIRST_LOOK_S:g} s of measured time on"
    else:
        return
    yield Mistake(("until",), f"{text}; give a longer duration than {shown(duration)}")


def _given(test: Mapping[str, Any], key: str) -> object:
    value = test.get(key)
    return test.get(f"{key}_s") if value is None else value
