import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
import threading
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from perfcore.metrics.progress import RunProgress, TestProgress, UntilProgress
from perfcore.report.live_table import REDRAW_EVERY_S, LiveTable, progress_table

from .test_progress import RUNNING, Terminal, at


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def drawn(progress: RunProgress, width: int = 100, height: int = 30) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(progress_table(progress, width, height))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def view_on(stream, color: bool | None = True) -> tuple[LiveTable, Clock]:
    clock = Clock()
    return LiveTable(stream, color=color, clock=clock), clock


def test_a_row_tells_progress_requests_rate_times_failures_and_users():
    head, row = drawn(at(12, RUNNING))
    assert head.split() == ["12s", "requests", "rate", "p50", "p99", "failed", "users"]
    assert row.split() == [
        "get_user",
        "█████───────",
        "42",
        "%",
        "4,210",
        "842/s",
        "1.02ms",
        "3.40ms",
        "2",
        "10",
    ]


def test_a_terminal_of_80_columns_has_a_short_bar_and_the_users():
    head, row = drawn(at(12, RUNNING), 80)
    assert head.split() == ["12s", "requests", "rate", "p99", "failed", "users"]
    assert row.split() == ["get_user", "██▌───", "42", "%", "4,210", "842/s", "3.40ms", "2", "10"]


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (90, "requests rate p50 p99 failed users"),
        (89, "requests rate p99 failed users"),
        (71, "requests p99 failed users"),
        (59, "requests p99 failed"),
    ],
)
def test_with_less_room_the_median_goes_first_then_the_rate_then_bar_and_users(width, titles):
    head, row = drawn(at(12, RUNNING), width)
    assert head.split()[1:] == titles.split()
    assert ("─" in row) == ("users" in titles)


def test_a_test_that_goes_by_time_shows_its_clock():
    row = drawn(at(12, replace(RUNNING, planned_requests=None, planned_s=30.0)))[1]
    assert "12s / 30s" in row


def test_before_the_first_answer_times_are_dashes():
    row = drawn(at(0, replace(RUNNING, requests=0, p50_ms=None, p99_ms=None, rate=0.0)))[1]
    assert row.split()[-5:] == ["0/s", "–", "–", "2", "10"]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_rows_fit_the_width(width):
    tests = [replace(RUNNING, key="checkout_of_the_very_long_named_tenant_" * 2 + str(n)) for n in range(3)]
    lines = drawn(at(12, *tests), width)
    assert len(lines) == 4
    assert max(cell_len(line) for line in lines) <= width
    if width >= 60:
        assert "3.40ms" in lines[1]


def test_of_more_tests_than_lines_the_running_ones_are_shown_and_the_rest_counted():
    states = ["done"] * 10 + ["waiting"] * 10 + ["running"] * 3
    tests: list[TestProgress] = [
        replace(RUNNING, key=f"test_{n}", state=state)
        for n, state in enumerate(states)  # type: ignore[arg-type]
    ]
    lines = drawn(at(12, *tests), height=10)
    assert len(lines) == 7
    assert [line.split()[0] for line in lines[1:6]] == ["test_20", "test_21", "test_22", "test_0", "test_1"]
    assert lines[-1] == "and 18 more, 8 done"


def test_below_the_rows_running_tests_tell_the_precision_at_which_they_stop():
    running = replace(RUNNING, until=UntilProgress(99, 0.05, 0.08, 40.0))
    done = replace(running, key="other", state="done")
    assert drawn(at(12, done, running))[3:] == ["get_user: p99 ±8% → ±5% in about 40s"]
    assert drawn(at(12, running), 20)[-1] == "get_user: p99 ±8% →…"
    many = drawn(at(12, *(replace(running, key=f"test_{n}") for n in range(20))), height=12)
    assert len(many) <= 12 - 2
    assert [line.split()[0] for line in many[-3:]] == ["test_0:", "test_1:", "and"]


def test_it_draws_at_most_four_times_a_second():
    stream = Terminal()
    view, clock = view_on(stream)
    draws = 0
    for _ in range(100):  # one second
        before = len(stream.getvalue())
        view.update(at(1, RUNNING))
        draws += len(stream.getvalue()) > before
        clock.now += 0.01
    assert draws == 4
    assert REDRAW_EVERY_S == 0.25


def test_a_terminal_that_takes_long_is_drawn_less_often():
    clock = Clock()

    class Slow(Terminal):
        def flush(self) -> None:
            clock.now += 0.05

    stream = Slow()
    view = LiveTable(stream, color=True, clock=clock)
    view.update(at(1, RUNNING))
    before = len(stream.getvalue())
    clock.now += 2.0
    view.update(at(3, RUNNING))
    assert len(stream.getvalue()) == before


def test_it_starts_no_thread_and_leaves_stdout_alone():
    threads, streams = threading.active_count(), (sys.stdout, sys.stderr)
    view, _ = view_on(Terminal())
    view.update(at(1, RUNNING))
    assert threading.active_count() == threads
    assert (sys.stdout, sys.stderr) == streams
    view.close()


def test_the_cursor_is_never_left_hidden():
    stream = Terminal()
    view, _ = view_on(stream)
    view.update(at(1, RUNNING))
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")
    view.close()
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_without_colour_there_is_none():
    for color, coloured in ((False, False), (True, True)):
        stream = Terminal()
        view, _ = view_on(stream, color)
        view.update(at(1, RUNNING))
        view.close()
        assert bool(re.search(r"\x1b\[[\d;]*3\dm", stream.getvalue())) == coloured


def test_names_and_messages_cannot_command_the_terminal():
    stream = Terminal()
    view, _ = view_on(stream)
    view.update(at(1, replace(RUNNING, key="[red]x[/]\x1b]0;owned\x07")))
    view.message("[blue]y[/]\x1b]0;owned\x07\nsecond line")
    view.close()
    assert "\x1b]0;" not in stream.getvalue()
    assert "[blue]y[/]" in stream.getvalue()
    assert "second line" in stream.getvalue()


def test_closing_takes_the_table_away_and_keeps_the_messages():
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, main)
        stream = stack.enter_context(os.fdopen(terminal, "w", encoding="utf-8"))
        view, _ = view_on(stream)
        view.update(at(1, RUNNING))
        view.message("first Ctrl-C: draining, again to leave at once")
        view.close()
        view.close()
        view.message("saved")
        shown = ""
        while "saved\r\n" not in shown:
            shown += os.read(main, 100_000).decode("utf-8", "ignore")
    assert "first Ctrl-C: draining, again to leave at once\r\n" in shown
    table, after = shown.rsplit("get_user", 1)
    assert table
    assert "\x1b[2K" in after  # the lines of the table are erased
    assert shown.endswith("saved\r\n")


@pytest.mark.parametrize("fault", ["closed", "terminal gone", "reader gone"])
def test_a_terminal_that_goes_away_silences_the_view_and_never_ends_the_run(fault):
    if fault == "reader gone":
        main, terminal = os.pipe()
    else:
        main, terminal = pty.openpty()
    stream = os.fdopen(terminal, "w", encoding="utf-8", buffering=1)
    view, clock = view_on(stream)
    if fault == "reader gone":
        os.close(main)
    view.update(at(1, RUNNING))
    if fault == "terminal gone":
        os.close(main)
    elif fault == "closed":
        stream.close()
        os.close(main)
    stdout = os.fstat(1)
    for _ in range(3):
        clock.now += 1
        view.update(at(2, RUNNING))
        view.message("still here")
    view.close()
    assert os.fstat(1) == stdout  # rich would have put /dev/null in its place
