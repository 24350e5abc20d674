"""How long a command takes until its first request, and its exit after the last answer: what a script waits for.

The server's log is the judge: nginx notes when each request was answered and how long it took.
"""

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench import process_tree
from bench.contestants import TOOLS, TRANSFER, WIRE, find_program
from bench.cores import usable_cores
from bench.nginx import Nginx, running_nginx
from bench.process_tree import Spent
from bench.servers import running_server

BOUND_S = 0.5
_WORKERS = 2
_USERS, _ITERATIONS = 4, 50


def measure_start_and_end(runs: int) -> tuple[dict[str, Any], list[str]]:
    """The figures, and a line for each of them. Two workers, on every core, as a user would start it.

    RuntimeError without nginx.
    """
    figures: dict[str, dict[str, list[float]]] = {}
    with running_nginx(frozenset(usable_cores())) as nginx:
        for _ in range(runs):
            for tool in (WIRE, TRANSFER):
                kept = figures.setdefault(tool, {"first_s": [], "last_s": [], "cpu_s": []})
                for key, value in zip(kept, _start_and_end(nginx, tool), strict=True):
                    kept[key].append(value)
    lines = [line for tool, kept in figures.items() for line in _told(tool, kept)]
    print("\n".join(lines), flush=True)
    return {"name": "start-and-end", "bound_s": BOUND_S, "figures": figures}, lines


def start_cpu_s(tool: str, runs: int = 3) -> float:
    """Median CPU seconds of a run of one request by one worker: interpreter, start, end, result."""
    with running_server(frozenset(usable_cores())) as server:
        url = server.url("http", "/plain")
        return statistics.median(_run(tool, url, 1, users=1, iterations=1).cpu_s for _ in range(runs))


def _start_and_end(nginx: Nginx, tool: str) -> tuple[float, float, float]:
    """Seconds to the first request, from the last answer to the exit, and of CPU."""
    nginx.forget_times()
    spent = _run(tool, nginx.url("http", "/timed"), _WORKERS, users=_USERS, iterations=_ITERATIONS)
    times = nginx.times()
    if len(times) != _USERS * _ITERATIONS:
        raise RuntimeError(f"{tool}: the server counted {len(times)} of {_USERS * _ITERATIONS} requests")
    first = min(start for start, _ in times)
    return first - spent.started_at_s, spent.ended_at_s - times[-1][1], spent.cpu_s


def _run(tool: str, url: str, workers: int, *, users: int, iterations: int) -> Spent:
    """RuntimeError where it fails."""
    test = {
        "name": "load",
        "endpoint": url,
        "parallel_users": users,
        "iterations": iterations,
        "ramp_up": "0s",
    }
    with tempfile.TemporaryDirectory(prefix="bench-run-") as name:
        folder = Path(name)
        suite = folder / "suite.yaml"
        suite.write_text(json.dumps({"test_suite": {"name": "bench", "base_url": url, "tests": [test]}}))
        command = [find_program(TOOLS[tool].program) or "", str(suite), "--procs", str(workers), "--json"]
        command += ["--engine", tool.rpartition(" ")[2], "--results-dir", str(folder / "results")]
        cores = frozenset(usable_cores())
        spent = process_tree.run(command, cores=cores, limit_s=60, output=folder / "output", folder=folder)
        error_text = (folder / "output.err").read_text()
    if spent.exit_code != 0:
        raise RuntimeError(f"{tool}: exit code {spent.exit_code}: {error_text[-300:]}")
    return spent


def _told(tool: str, kept: dict[str, list[float]]) -> list[str]:
    lines = []
    for key, words in (("first_s", "command to first request"), ("last_s", "last response to exit")):
        median = statistics.median(kept[key])
        verdict = "reached" if median <= BOUND_S else "NOT reached"
        lines.append(
            f"- start-and-end: {verdict}: {words}, {_WORKERS} workers, {tool} = {median:.2f} s "
            f"({min(kept[key]):.2f} - {max(kept[key]):.2f}, {len(kept[key])} runs), to reach ≤ {BOUND_S:g} s"
        )
    cpu_s = statistics.median(kept["cpu_s"])
    lines.append(
        f"- start-and-end: CPU of a whole run of {_USERS * _ITERATIONS} requests, {tool}: {cpu_s:.2f} s"
    )
    return lines
