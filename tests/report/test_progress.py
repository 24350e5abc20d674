import io
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from perfcore.metrics.progress import RunProgress, TestProgress, UntilProgress
from perfcore.report.live_table import LiveTable
from perfcore.report.precision_text import until_text
from perfcore.report.progress import PlainLines, Quiet, open_progress

RUNNING = TestProgress(
    key="get_user",
    name="Get User",
    state="running",
    elapsed_s=12.0,
    planned_s=None,
    planned_requests=10_000,
    requests=4210,
    failed=2,
    rate=842.3,
    p50_ms=1.02,
    p99_ms=3.4,
    users=10,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at(elapsed_s: float, *tests: TestProgress) -> RunProgress:
    return RunProgress(elapsed_s, tests)


def plain_lines(*moments: RunProgress) -> list[str]:
    stream = io.StringIO()
    view = open_progress(stream, quiet=False, color=None)
    for moment in moments:
        view.update(moment)
    view.close()
    return stream.getvalue().splitlines()


def test_a_terminal_gets_the_table_and_all_else_lines(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(open_progress(Terminal(), quiet=False, color=None), LiveTable)
    assert isinstance(open_progress(io.StringIO(), quiet=False, color=None), PlainLines)
    assert type(open_progress(Terminal(), quiet=True, color=None)) is Quiet
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(open_progress(Terminal(), quiet=False, color=None), PlainLines)


def test_quiet_shows_messages_and_nothing_else():
    stream = io.StringIO()
    view = open_progress(stream, quiet=True, color=None)
    view.update(at(12, RUNNING))
    view.message("first Ctrl-C: draining")
    view.close()
    assert stream.getvalue() == "first Ctrl-C: draining\n"


def test_a_line_when_a_test_starts_one_every_ten_seconds_and_one_when_it_ends():
    waiting = replace(RUNNING, state="waiting", requests=0)
    lines = plain_lines(
        at(0, replace(RUNNING, requests=0), replace(waiting, key="other")),
        at(5, RUNNING, replace(waiting, key="other")),
        at(9.99, RUNNING, replace(waiting, key="other")),
        at(10.02, RUNNING, replace(waiting, key="other")),
        at(12, RUNNING, replace(waiting, key="other")),
        at(19.9, RUNNING, replace(waiting, key="other")),
        at(20.0, replace(RUNNING, state="draining"), replace(waiting, key="other")),
        at(21, replace(RUNNING, state="done", elapsed_s=21.0), replace(RUNNING, key="other")),
        at(22, replace(RUNNING, state="done", elapsed_s=21.0), replace(RUNNING, key="other", state="done")),
        at(30, replace(RUNNING, state="done", elapsed_s=21.0), replace(RUNNING, key="other", state="done")),
    )
    figures = "4,210 requests  842/s  p50 1.02ms  p99 3.40ms  2 failed  10 users"
    assert lines == [
        "0.0s  get_user  started, 10,000 requests",
        f"10s  get_user  {figures}",
        f"20s  get_user  {figures}  draining",
        "21s  get_user  4,210 requests  2 failed  done in 21s",
        "21s  other  started, 10,000 requests",
        "22s  other  4,210 requests  2 failed  done in 12s",
    ]


def test_a_test_that_ended_between_two_looks_is_told_all_the_same():
    assert plain_lines(at(0.4, replace(RUNNING, state="done", elapsed_s=0.3))) == [
        "0.4s  get_user  4,210 requests  2 failed  done in 0.3s"
    ]


def test_a_late_look_gives_one_line_and_not_one_for_each_that_was_missed():
    lines = plain_lines(at(0, RUNNING), at(47, RUNNING), at(48, RUNNING), at(50, RUNNING))
    assert [line.split()[0] for line in lines] == ["0.0s", "47s", "50s"]


def test_names_cannot_command_the_terminal():
    evil = replace(RUNNING, key="[red]\x1b[2J\r")
    lines = plain_lines(at(0, evil), at(10, evil))
    assert all(line.isprintable() for line in lines)
    assert r"[red]\x1b[2J\r" in lines[0]


@pytest.mark.parametrize(
    ("changes", "share"),
    [
        ({}, 0.421),
        ({"planned_requests": None, "planned_s": 24.0}, 0.5),
        ({"planned_s": 24.0}, 0.5),
        ({"requests": 20_000}, 1.0),
        ({"state": "done", "requests": 1}, 1.0),
        ({"planned_requests": None}, 0.0),
    ],
)
def test_how_far_a_test_is_goes_by_what_is_further(changes, share):
    assert replace(RUNNING, **changes).share_done == pytest.approx(share)


@pytest.mark.parametrize(
    ("until", "text"),
    [
        (UntilProgress(99, 0.05), "p99 → ±5%"),
        (UntilProgress(99, 0.05, None, 30.0), "p99 → ±5% in about 30s"),
        (UntilProgress(99, 0.05, 0.08, 40.4), "p99 ±8% → ±5% in about 40s"),
        (UntilProgress(99, 0.05, 0.051, 0.4), "p99 ±5.1% → ±5% soon"),
        (UntilProgress(99.9, 0.001, 1.496, 47.0), "p99.9 ±150% → ±0.1% in about 47s"),
        (UntilProgress(50, 0.05, 0.0996, 49.0), "p50 ±10% → ±5% not within 1m"),
        (None, ""),
    ],
)
def test_a_test_that_stops_by_precision_tells_how_long_that_may_take(until, text):
    test = replace(RUNNING, planned_requests=None, planned_s=60.0, until=until)
    assert until_text(test) == text


def test_precision_is_told_while_a_test_runs_and_not_after():
    running = replace(RUNNING, until=UntilProgress(99, 0.05, 0.08, 40.0))
    draining, done = replace(running, state="draining"), replace(running, state="done")
    lines = plain_lines(at(10, running), at(20, running), at(30, draining), at(40, done))
    assert [line.endswith("p99 ±8% → ±5% in about 40s") for line in lines] == [False, True, False, False]


@pytest.mark.parametrize("view_type", ["lines", "quiet"])
@pytest.mark.parametrize("fault", ["closed", "none", "pipe", "full"])
def test_a_broken_stream_silences_the_view_and_never_ends_the_run(fault, view_type):
    stream = {"closed": io.StringIO, "none": lambda: None, "pipe": broken_pipe, "full": full_disk}[fault]()
    if fault == "closed":
        stream.close()
    view = open_progress(stream, quiet=view_type == "quiet", color=None)
    for elapsed_s in (0, 10, 20):
        view.update(at(elapsed_s, RUNNING))
        view.message("still here")
    view.close()
    view.message("closed")


def broken_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", buffering=1, closefd=True)


def full_disk():
    return open("/dev/full", "w", buffering=1)


def test_lines_for_a_pipe_do_not_import_rich():
    program = (
        "import io, sys; from perfcore.report.progress import open_progress; "
        "open_progress(io.StringIO(), quiet=False, color=None); "
        "sys.exit(any(name.split('.')[0] == 'rich' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
