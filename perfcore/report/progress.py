"""What is seen on stderr while a run runs: nothing, a line now and then, or a table that redraws itself.

A view is drawn by whoever calls `update`; it has no thread of its own (the supervisor forks) and decides
itself how often it draws, so `update` may be called as often as one likes. Whatever is wrong with the stream -
closed, a pipe without a reader, a full disk - ends the view and never the run: it falls silent.
"""

import os
from typing import Protocol, TextIO

from perfcore.metrics.progress import RunProgress, TestProgress, TestState
from perfcore.report.precision_text import until_text
from perfcore.report.printable import printable
from perfcore.units import format_duration, format_ms

PLAIN_EVERY_S = 10.0


class ProgressView(Protocol):
    """One run's view: any number of `update` and `message`, then `close`, which may come twice."""

    def update(self, progress: RunProgress) -> None: ...

    def message(self, text: str) -> None:
        """A line that stays, whatever is redrawn around it."""

    def close(self) -> None:
        """Take what moves off the terminal; a message may still follow."""


def open_progress(stream: TextIO | None, *, quiet: bool, color: bool | None) -> ProgressView:
    """The view that suits the stream: a table on a terminal, lines elsewhere, no progress with `quiet`.

    A stream that is None (stderr was closed) shows nothing at all. `color` None leaves it to NO_COLOR and the
    terminal.
    """
    if stream is None or quiet:
        return Quiet(stream)
    try:
        drawable = stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
    except (OSError, ValueError):
        return Quiet(None)
    if not drawable:
        return PlainLines(stream)
    from perfcore.report.live_table import LiveTable  # rich takes 80 ms to import; a pipe needs none of it

    return LiveTable(stream, color=color)


class Quiet:
    """No progress; messages are still told."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def update(self, progress: RunProgress) -> None:
        pass

    def message(self, text: str) -> None:
        self._write(text.splitlines())

    def close(self) -> None:
        pass

    def _write(self, lines: list[str]) -> None:
        if self._stream is None or not lines:
            return
        try:
            self._stream.write("".join(printable(line) + "\n" for line in lines))
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None


class PlainLines(Quiet):
    """For logs and pipes: a line when a test starts and ends, and for each running one every 10 s.

    The clock is `elapsed_s` of the progress itself.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._states: dict[str, TestState] = {}
        self._next_s = PLAIN_EVERY_S

    def update(self, progress: RunProgress) -> None:
        due = progress.elapsed_s >= self._next_s
        if due:
            self._next_s = (progress.elapsed_s // PLAIN_EVERY_S + 1) * PLAIN_EVERY_S
        lines = []
        for test in progress.tests:
            before = self._states.get(test.key, "waiting")
            self._states[test.key] = test.state
            if before == "waiting" and test.state in ("running", "draining"):
                lines.append(f"{_clock(progress)}  {test.key}  started{_plan(test)}")
            elif before != "done" and test.state == "done":
                lines.append(f"{_clock(progress)}  {_figures(test)}  done in {_seconds(test.elapsed_s)}")
            elif due and test.state in ("running", "draining"):
                state = "  draining" if test.state == "draining" else ""
                lines.append(f"{_clock(progress)}  {_figures(test)}{state}")
        self._write(lines)


def _clock(progress: RunProgress) -> str:
    return _seconds(progress.elapsed_s)


def _seconds(seconds: float) -> str:
    return format_duration(round(seconds)) if seconds >= 9.95 else f"{seconds:.1f}s"


def _plan(test: TestProgress) -> str:
    planned = f", {test.planned_requests:,} requests" if test.planned_requests else ""
    return planned + (f", {format_duration(test.planned_s)}" if test.planned_s else "")


def _figures(test: TestProgress) -> str:
    parts = [test.key, f"{test.requests:,} requests"]
    if test.state != "done":
        parts += [f"{test.rate:,.0f}/s" if test.rate >= 100 else f"{test.rate:.3g}/s"]
        parts += [f"p50 {format_ms(test.p50_ms)}", f"p99 {format_ms(test.p99_ms)}"]
    parts.append(f"{test.failed:,} failed")
    if test.state != "done":
        parts.append(f"{test.users:,} user{'' if test.users == 1 else 's'}")
    if test.state == "running" and (until := until_text(test)):
        parts.append(until)
    return "  ".join(parts)
