"""Memory: what one idle user costs, and whether a run at full rate keeps what it has.

    python -m bench.memory [--minutes 3] [--few 1000] [--many 8000] [--quick]

An idle user has made one request, keeps its connection, and thinks. Its cost is the slope between two numbers of
users, of the workers' proportional set size (pages shared with the supervisor are halved). The kernel's memory for
sockets is not in it. The long run compares the mean of its second minute with that of its last.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from bench.contestants import TOOLS, TRANSFER, WIRE, Order, suite_of
from bench.cores import Cores, on_cores, share_out, usable_cores
from bench.job import Job
from bench.line_plot import Line, draw_lines, keep_with_plot
from bench.process_tree import tree_pss
from bench.servers import Server, running_server

TO_REACH_KIB = {TRANSFER: 16.0, WIRE: 8.0}
STEADY_MIB = 2.0
_PATIENCE_S = 120.0
# How long the users think: longer than anybody looks.
_THINK = "1h"


@contextlib.contextmanager
def running_perfcore(tool: str, suite: dict[str, Any], cores: Cores) -> Iterator["subprocess.Popen[bytes]"]:
    """A run that is ended with the block: asked to, and again, and then killed."""
    with tempfile.TemporaryDirectory(prefix="bench-run-") as name:
        folder = Path(name)
        order = Order(Job(), "", 1, folder)
        command = TOOLS[tool].command(order).words
        Path(command[1]).write_text(json.dumps(suite))
        with on_cores(cores.clients), (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder
            )
        try:
            yield process
        finally:
            for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                    break


def idle_memory(tool: str, users: int, server: Server, cores: Cores) -> dict[str, int]:
    """Bytes of the workers and of everything, with so many users that think."""
    order = Order(Job(connections=users), server.url("http", "/plain"), 3600, Path())
    suite = suite_of(order)
    test = suite["test_suite"]["tests"][0]
    test |= {"think_time": _THINK}
    test.pop("ramp_up", None)
    before = server.requests()
    with running_perfcore(tool, suite, cores) as process:
        deadline = time.monotonic() + _PATIENCE_S
        while server.requests() - before < users:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{tool}: {users} users did not all make their request")
            time.sleep(0.1)
        # The last answers are read, and buffers are given back.
        time.sleep(1.0)
        workers = psutil.Process(process.pid).children()
        return {"workers": sum(tree_pss(worker.pid) for worker in workers), "all": tree_pss(process.pid)}


def measure_idle(few: int, many: int, cores: Cores) -> dict[str, dict[str, float]]:
    """By tool: KiB a user."""
    figures: dict[str, dict[str, float]] = {}
    with running_server(cores.server) as server:
        for tool in (WIRE, TRANSFER):
            small, large = (idle_memory(tool, users, server, cores) for users in (few, many))
            figures[tool] = {
                f"{part}_kib_a_user": (large[part] - small[part]) / 1024 / (many - few) for part in small
            } | {f"{part}_mib_at_{many}": large[part] / 1024**2 for part in large}
    return figures


def long_run(tool: str, minutes: float, server: Server, cores: Cores) -> dict[str, list[float]]:
    """Second by second: seconds since the start, resident MiB of the supervisor and of its workers."""
    suite = suite_of(Order(Job(), server.url("http", "/plain"), minutes * 60, Path()))
    series: dict[str, list[float]] = {"at_s": [], "supervisor_mib": [], "workers_mib": []}
    with running_perfcore(tool, suite, cores) as process:
        start = time.monotonic()
        while (at_s := time.monotonic() - start) < minutes * 60:
            if process.poll() is not None:
                raise RuntimeError(f"{tool}: the run ended after {at_s:.0f} s")
            supervisor = psutil.Process(process.pid)
            with contextlib.suppress(psutil.Error):
                workers = sum(child.memory_info().rss for child in supervisor.children())
                series["at_s"].append(at_s)
                series["supervisor_mib"].append(supervisor.memory_info().rss / 1024**2)
                series["workers_mib"].append(workers / 1024**2)
            time.sleep(1.0)
    return series


def growth_mib(series: dict[str, list[float]], part: str, minutes: float) -> float | None:
    """Mean of the last minute less that of the second; None where the run is shorter than three minutes."""
    if minutes < 3:
        return None
    values = list(zip(series["at_s"], series[part], strict=True))
    second = [value for at_s, value in values if 60 <= at_s < 120]
    last = [value for at_s, value in values if at_s >= (minutes - 1) * 60]
    return statistics.mean(last) - statistics.mean(second)


def _tell_idle(figures: dict[str, dict[str, float]]) -> None:
    for tool, kept in figures.items():
        value, bound = kept["workers_kib_a_user"], TO_REACH_KIB[tool]
        verdict = "reached" if value <= bound else "NOT reached"
        print(
            f"{verdict}: memory per idle user, {tool} = {value:.2f} KiB "
            f"(with the supervisor {kept['all_kib_a_user']:.2f}), to reach ≤ {bound:g} KiB",
            flush=True,
        )


def _tell_growth(tool: str, series: dict[str, list[float]], minutes: float) -> dict[str, float | None]:
    grown = {part: growth_mib(series, f"{part}_mib", minutes) for part in ("supervisor", "workers")}
    for part, value in grown.items():
        if value is None:
            print(f"not measured: memory of a long run, {tool}, {part}: {minutes:g} minutes are too few")
            continue
        verdict = "reached" if abs(value) <= STEADY_MIB else "NOT reached"
        short = "" if minutes >= 10 else f" ({minutes:g} minutes, not the 10 of the order)"
        print(
            f"{verdict}: resident memory, last minute less second, {tool}, {part} = {value:+.2f} MiB{short}, "
            f"to reach within {STEADY_MIB:g} MiB",
            flush=True,
        )
    return grown


def _draw(figure: Any, runs: dict[str, dict[str, list[float]]]) -> None:
    lines: dict[str, Line] = {
        f"{tool}, {part}": (series["at_s"], series[f"{part}_mib"])
        for tool, series in runs.items()
        for part in ("supervisor", "workers")
    }
    draw_lines(figure, lines, "seconds since the start", "resident MiB")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", allow_abbrev=False)
    parser.add_argument(
        "--minutes", type=float, default=3, help="of the long run (default: 3; the order asks for 10)"
    )
    parser.add_argument("--few", type=int, default=1000, help="idle users (default: 1000)")
    parser.add_argument("--many", type=int, default=8000, help="idle users (default: 8000)")
    parser.add_argument("--quick", action="store_true", help="2,000 users and 6 seconds: to try it")
    options = parser.parse_args(arguments)
    if options.quick:
        options.many, options.minutes = 2000, 0.1
    cores = share_out(usable_cores())
    os.environ.setdefault("NO_COLOR", "1")
    idle = measure_idle(options.few, options.many, cores)
    _tell_idle(idle)
    runs, grown = {}, {}
    with running_server(cores.server) as server:
        for tool in (WIRE, TRANSFER):
            runs[tool] = long_run(tool, options.minutes, server, cores)
            grown[tool] = _tell_growth(tool, runs[tool], options.minutes)
    document = {"idle": idle, "growth_mib": grown, "long_runs": runs, "options": vars(options)}
    keep_with_plot("memory", document, lambda figure: _draw(figure, runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
