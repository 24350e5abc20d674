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
# Worst first, as the reasons stand.
_STATES = ("invalid", "warn", "noted")
# With many tests the same is said of many; all of it is in the result.
_MOST_REASONS = 8
_MOST_OF_A_SIGNAL = 3
_MOST_NAMED = 20


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
    shown = _shown_reasons(reasons, validity.get("signals") or [])
    lines = [line for text in shown for line in sheet.sentence(text, first="  - ")]
    return [title, *lines, *(line for text in advice for line in sheet.sentence(text, first="  → "))]


def _shown_reasons(reasons: Sequence[str], signals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The reasons in their order, worst first: of a signal that many tests have the first ones and the others' names.

    Beyond _MOST_REASONS they are counted, but never one that makes the result invalid.
    """
    groups = _groups(reasons, signals)
    told = unsaid = 0
    for state, entries in groups:
        if told >= _MOST_REASONS and state != "invalid":
            unsaid += len(entries)
            continue
        shown, others = entries, entries[_MOST_OF_A_SIGNAL:]
        if len(others) > 1:
            shown = entries[:_MOST_OF_A_SIGNAL]
        yield from (text for text, _ in shown)
        told += len(shown)
        if len(others) > 1:
            yield _others_told([str(test) for _, test in others])
            told += 1
    if unsaid:
        yield f"and {unsaid:,} more in the result"


def _groups(
    reasons: Sequence[str], signals: Sequence[Mapping[str, Any]]
) -> list[tuple[str, list[tuple[str, object]]]]:
    """Of each signal in each state the reasons, each with its test. `judge` writes a reason for each that is not ok."""
    bad = [signal for state in _STATES for signal in signals if signal.get("state") == state]
    if len(bad) != len(reasons):
        return [("", [(text, None)]) for text in reasons]
    groups: dict[tuple[str, str], list[tuple[str, object]]] = {}
    for signal, text in zip(bad, reasons, strict=True):
        key = str(signal["state"]), str(signal.get("name"))
        groups.setdefault(key, []).append((text, signal.get("test")))
    return [(state, entries) for (state, _), entries in groups.items()]


def _others_told(tests: Sequence[str]) -> str:
    named = ", ".join(tests[:_MOST_NAMED])
    more = len(tests) - _MOST_NAMED
    return f"the same of {named}" + (f" and {more:,} more, all in the result" if more > 0 else "")


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
