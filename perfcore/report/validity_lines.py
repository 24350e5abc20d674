"""Validity in the summary: a line where the figures can be trusted, else what is wrong and what to do about it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perfcore.metrics.test_result import SuiteResult
from perfcore.report.printable import printable
from perfcore.report.sheet import Sheet

_STYLES = {"valid": "green", "suspect": "yellow", "invalid": "red"}
# The most telling first; the line of a valid run has as many as _MOST_FIGURES of those that were measured.
_FIGURES = {
    "schedule_lag_p99_ms": ("schedule lag p99", "ms"),
    "client_delay_p99_percent": ("client delay", " % of p99"),
    "loop_busy_percent": ("workers busy", " %"),
    "run_queue_wait_percent": ("waited for a core", " %"),
    "steal_percent": ("steal", " %"),
}
_MOST_FIGURES = 3
_NOTES = {
    "target_on_this_machine": "the target is on this machine",
    "names_of_several_addresses": "one address was used of a name that has several",
}
# With many tests the same is said of many; all of it is in the result.
_MOST_REASONS = 8


def validity_lines(result: SuiteResult, sheet: Sheet) -> list[str]:
    """The lines of the section, empty where the result says nothing of it."""
    validity = result.document.get("validity")
    if not validity:
        return []
    verdict = printable(validity.get("verdict", ""))
    title = f"{sheet.paint('Validity', 'bold')}  {sheet.paint(verdict, _STYLES.get(verdict, 'yellow'))}"
    reasons = [str(text) for text in validity.get("reasons") or []]
    advice = [str(text) for text in validity.get("advice") or []]
    if verdict == "valid":
        told = " · ".join([*_figures(validity.get("signals") or []), *advice])
        # The words of the title take their room in the first line, and are put there when they have their colour.
        room = " " * len(f"Validity  {verdict}  ")
        first, *rest = sheet.sentence(told, first=room, rest="  ") if told else [""]
        return [f"{title}  {first.lstrip()}".rstrip(), *rest]
    more = len(reasons) - _MOST_REASONS
    lines = [line for text in reasons[:_MOST_REASONS] for line in sheet.sentence(text, first="  - ")]
    if more > 0:
        lines.append(f"  - and {more:,} more in the result")
    return [title, *lines, *(line for text in advice for line in sheet.sentence(text, first="  → "))]


def _figures(signals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The worst of each figure over the tests; then what is to be known."""
    values: dict[str, float] = {}
    for signal in signals:
        name, value = signal.get("name"), signal.get("value")
        if name in _FIGURES and isinstance(value, int | float):
            values[name] = max(value, values.get(name, value))
    for name in [name for name in _FIGURES if name in values][:_MOST_FIGURES]:
        subject, unit = _FIGURES[name]
        yield f"{subject} {values[name]:.3g}{unit}"
    for signal in signals:
        if signal.get("state") == "noted" and signal.get("name") in _NOTES:
            yield _NOTES[str(signal["name"])]
