"""One row of the table of validity: what was measured, its limits, and on which side of them it lies.

Compared are exact fractions (to a millionth of the unit), shown are floats: 100 × 99 / 100 is not more than 99 here.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

State = Literal["ok", "warn", "invalid", "noted"]
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Signal:
    """`value`, `warn` and `invalid` are in the unit at the end of the name; a limit of None does not apply."""

    name: str
    test: str | None
    """The result key of its test, None for what goes for the whole run."""
    value: float
    warn: float | None
    invalid: float | None
    state: State
    is_least: bool = False
    """Whether the limits are the least that it may be; else they are the most."""
    worst_second: float | None = None
    broken_second: float | None = None
    """The limit that only the worst second broke, None where it is not that."""
    detail: str = ""
    """What a sentence adds to the value: `12 of 1,000`."""
    warn_text: str = ""
    invalid_text: str = ""
    """What a limit is, where it is more than a number: `5 % of the p50 (20 ms)`."""

    def document(self) -> dict[str, Any]:
        """The signal as it stands in a result."""
        document: dict[str, Any] = {
            "name": self.name,
            "test": self.test,
            "value": self.value,
            "warn": self.warn,
            "invalid": self.invalid,
            "state": self.state,
        }
        if self.worst_second is not None:
            document["worst_second"] = self.worst_second
        return document


def exact(value: float) -> Fraction:
    """The float as what it was meant to be, to a millionth: 0.1 is a tenth."""
    return Fraction(round(value * _MILLION), _MILLION)


def shown(value: Fraction | None) -> float | None:
    return None if value is None else round(float(value), 6)


def most(
    name: str,
    value: Fraction,
    warn: Fraction | int | None,
    invalid: Fraction | int | None,
    *,
    test: str | None = None,
    is_broken_when_reached: bool = False,
    worst_second: float | None = None,
    most_of_a_second: int | None = None,
    detail: str = "",
    warn_text: str = "",
    invalid_text: str = "",
) -> Signal:
    """A signal that should not be more than its limits; `is_broken_when_reached`: nor equal to the invalid one.

    A run that is fine as a whole warns when its worst second is beyond `most_of_a_second`.
    """
    state: State = "ok"
    if warn is not None and value > warn:
        state = "warn"
    if invalid is not None and (value > invalid or (is_broken_when_reached and value == invalid)):
        state = "invalid"
    broken_second = None
    if state == "ok" and worst_second is not None and most_of_a_second is not None:
        broken_second = float(most_of_a_second) if exact(worst_second) > most_of_a_second else None
        state = "ok" if broken_second is None else "warn"
    return Signal(
        name,
        test,
        round(float(value), 6),
        shown(None if warn is None else Fraction(warn)),
        shown(None if invalid is None else Fraction(invalid)),
        state,
        worst_second=None if worst_second is None else round(worst_second, 6),
        broken_second=broken_second,
        detail=detail,
        warn_text=warn_text,
        invalid_text=invalid_text,
    )


def least(name: str, value: Fraction, warn: int, invalid: int, *, test: str, detail: str) -> Signal:
    """A signal that should not be less than its limits."""
    state: State = "invalid" if value < invalid else "warn" if value < warn else "ok"
    return Signal(
        name, test, round(float(value), 6), float(warn), float(invalid), state, is_least=True, detail=detail
    )


def noted(name: str, count: int, detail: str = "") -> Signal:
    """Something that a reader has to know, and that makes no figure wrong; `count` of 0 is that there is none."""
    return Signal(name, None, float(count), None, None, "noted" if count else "ok", detail=detail)
