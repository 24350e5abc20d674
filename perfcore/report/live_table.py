"""The table that redraws itself on a terminal: a row a test, at most four times a second, gone when closed.

rich draws it, without its thread and without taking over sys.stdout. The cursor stays visible, so that a
process that is killed leaves a terminal that works.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from perfcore.metrics.progress import RunProgress, TestProgress
from perfcore.report.latency_bars import bar
from perfcore.report.precision_text import until_text
from perfcore.report.printable import printable
from perfcore.units import format_duration, format_ms

REDRAW_EVERY_S = 0.25  # more is not seen and takes time from the supervisor, which drains the rings
_MOST_OF_A_CORE = 0.02  # a long table, or a slow terminal, is drawn less often instead
# Below these widths: the median goes and the bar shrinks, then the rate goes, then bar and users.
_WIDE_ENOUGH_FOR_ALL = 90
_WIDE_ENOUGH_FOR_RATE = 72
_WIDE_ENOUGH_FOR_USERS = 60
_BAR_CELLS = 12
_SHORT_BAR_CELLS = 6
_SHORTEST_NAME = 8
_GAP = 2
_ORDER = {"running": 0, "draining": 0, "done": 1, "waiting": 2}


class _PatientConsole(Console):
    """rich ends the process when the reader of its stream is gone; here that is the view's own matter."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


class LiveTable:
    """A ProgressView for a terminal. `clock` gives seconds, for the pace of drawing alone."""

    def __init__(
        self, stream: TextIO, *, color: bool | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = _PatientConsole(
            file=stream,
            force_terminal=True,
            no_color=None if color is None else not color,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._clock = clock
        self._next_s: float | None = None
        self._live: Live | None = None
        self._silent = False

    def update(self, progress: RunProgress) -> None:
        now = self._clock()
        if self._silent or (self._next_s is not None and now < self._next_s):
            return
        with self._surviving():
            table = progress_table(progress, self._console.width, self._console.height)
            if self._live is None:
                self._live = Live(
                    console=self._console,
                    auto_refresh=False,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._live.start()
                self._console.show_cursor(True)
            self._live.update(table, refresh=True)
        self._next_s = now + max(REDRAW_EVERY_S, (self._clock() - now) / _MOST_OF_A_CORE)

    def message(self, text: str) -> None:
        if self._silent:
            return
        with self._surviving():
            for line in text.splitlines():
                self._console.print(Text(printable(line)), soft_wrap=True)

    def close(self) -> None:
        live, self._live, self._next_s = self._live, None, None
        if live is not None and not self._silent:
            with self._surviving():
                live.stop()

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):
            self._silent = True


def progress_table(progress: RunProgress, width: int, height: int) -> Group:
    """The rows that fit: running tests first; what does not fit is counted in a last line."""
    tests = list(progress.tests)
    lines = _until_lines(tests, height)
    room = max(height - 5 - len(lines), 1)  # titles, the last line, a message above, and what closing scrolls
    if len(tests) > room:
        tests.sort(key=lambda test: _ORDER[test.state])
    tests, rest = tests[:room], tests[room:]
    rows = [_row(test, width) for test in tests]
    titles = [_seconds(progress.elapsed_s), "", *_titles(width)]
    others = sum(
        max(len(title), *(row[index].cell_len for row in rows)) + _GAP
        for index, title in enumerate(titles[1:], start=1)
        if rows
    )
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
    for index, title in enumerate(titles):
        table.add_column(title, justify="right" if index > 1 else "left", no_wrap=True)
    for row in rows:
        row[0].truncate(max(width - others, _SHORTEST_NAME), overflow="ellipsis")
        table.add_row(*row)
    if rest:
        done = sum(test.state == "done" for test in rest)
        lines.append(Text(f"and {len(rest)} more, {done} done", style="dim", no_wrap=True))
    return Group(table, *lines)


def _until_lines(tests: Iterable[TestProgress], height: int) -> list[Text]:
    """Below the rows, of running tests that stop by precision: a column of it would be empty for most suites."""
    told = [(test.key, text) for test in tests if test.state == "running" and (text := until_text(test))]
    most = max(height // 6, 1)
    return [
        Text(f"{printable(key)}: {text}", style="dim", no_wrap=True, overflow="ellipsis")
        for key, text in told[:most]
    ]


def _titles(width: int) -> list[str]:
    needs = {"p50": _WIDE_ENOUGH_FOR_ALL, "rate": _WIDE_ENOUGH_FOR_RATE, "users": _WIDE_ENOUGH_FOR_USERS}
    titles = ("requests", "rate", "p50", "p99", "failed", "users")
    return [title for title in titles if width >= needs.get(title, 0)]


def _bar_cells(width: int) -> int:
    if width >= _WIDE_ENOUGH_FOR_ALL:
        return _BAR_CELLS
    return _SHORT_BAR_CELLS if width >= _WIDE_ENOUGH_FOR_USERS else 0


def _row(test: TestProgress, width: int) -> list[Text]:
    style = {"waiting": "dim", "done": "dim"}.get(test.state, "")
    figures = {
        "requests": f"{test.requests:,}",
        "rate": f"{test.rate:,.0f}/s" if test.rate >= 100 else f"{test.rate:.3g}/s",
        "p50": format_ms(test.p50_ms),
        "p99": format_ms(test.p99_ms),
        "failed": f"{test.failed:,}",
        "users": f"{test.users:,}",
    }
    texts = [Text(printable(test.key), style=style or "bold"), _progress(test, _bar_cells(width))]
    for title in _titles(width):
        shown = "" if test.state == "waiting" else figures[title]
        texts.append(Text(shown, style="red" if title == "failed" and test.failed else style))
    return texts


def _progress(test: TestProgress, cells: int) -> Text:
    """A bar where there is room, then how far it is, or in what state."""
    share = test.share_done
    if test.state in ("waiting", "done", "draining"):
        told = str(test.state)
    elif test.planned_s and not test.planned_requests:
        told = f"{_seconds(min(test.elapsed_s, test.planned_s))} / {format_duration(test.planned_s)}"
    else:
        told = f"{100 * share:.0f} %"
    if not cells:
        return Text(told, style="cyan")
    filled = bar(round(share * 1000), 1000, cells)
    text = Text(filled, style="dim" if test.state == "done" else "green")
    text.append("─" * (cells - len(filled)), style="dim")
    return text.append(f" {told}", style="cyan" if test.state == "running" else "dim")


def _seconds(seconds: float) -> str:
    return format_duration(int(seconds))
