"""How the cost of a request grows with the users of a process, and the throughput with processes.

    python -m bench.scaling [--seconds 4] [--rounds 2] [--users 1,10,50,200,1000,4000,10000] [--quick]

Over users: each engine and wrk in turn, forwards and backwards. Over processes: from eight cores up, half of them for
the server; on fewer the server would be what is measured, and it is said that nothing was.
"""

import argparse
import sys
from typing import Any

from bench.contestants import TOOLS, TRANSFER, WIRE
from bench.cores import Cores, share_out, usable_cores
from bench.job import Job
from bench.line_plot import Line, draw_lines, keep_with_plot
from bench.pairs import geometric_mean, in_turn
from bench.scenarios import Entrant
from bench.servers import running_server
from bench.speed_runs import Entry, run_once

USERS = (1, 10, 50, 200, 1000, 4000, 10_000)
CORES_FOR_PROCESSES = 8
# wrk needs a descriptor for each connection and no more; 10,000 are within the usual hard limit.
_TOOLS = (WIRE, TRANSFER, "wrk")


def measure_users(users: list[int], rounds: int, seconds: float, cores: Cores) -> dict[str, dict[int, Entry]]:
    """By tool and number of users."""
    tools = [tool for tool in _TOOLS if TOOLS[tool].find() is not None]
    entries: dict[str, dict[int, Entry]] = {tool: {} for tool in tools}
    with running_server(cores.server) as server:
        for count in users:
            for tool in tools:
                entries[tool][count] = Entry(Entrant.of(tool, Job(connections=count)), TOOLS[tool].version())
            for block, tool in in_turn(tools, [], rounds, 0):
                entry = entries[tool][count]
                if entry.failure is None:
                    run_once(entry, block, server, seconds + count / 1000, cores)
            print(_told(count, {tool: entries[tool][count] for tool in tools}), flush=True)
    return entries


def measure_processes(rounds: int, seconds: float, usable: set[int]) -> dict[int, dict[str, float]] | None:
    """By number of processes: requests a second and CPU microseconds a request; None on too few cores."""
    if len(usable) < CORES_FOR_PROCESSES:
        print(f"over processes: not measured, {len(usable)} cores are fewer than {CORES_FOR_PROCESSES}")
        return None
    half = len(usable) // 2
    cores = share_out(usable, half)
    figures: dict[int, dict[str, float]] = {}
    with running_server(cores.server, workers=half) as server:
        for processes in (count for count in (1, 2, 4, 8, 16, 32, 64) if count <= half):
            job = Job(connections=50 * processes, processes=processes)
            entry = Entry(Entrant.of(WIRE, job), TOOLS[WIRE].version())
            for block in range(rounds):
                run_once(entry, block, server, seconds, cores)
            if entry.runs:
                figures[processes] = {
                    "rate": geometric_mean(list(entry.figure("rate").values())).mean,
                    "cpu_us": 1e6 * geometric_mean(list(entry.figure("cpu").values())).mean,
                }
                print(f"{processes:3} processes: {figures[processes]['rate']:,.0f} requests/s", flush=True)
    return figures


def _cost_us(entry: Entry) -> float | None:
    costs = list(entry.figure("cpu").values())
    return 1e6 * geometric_mean(costs).mean if costs else None


def _told(users: int, entries: dict[str, Entry]) -> str:
    parts = []
    for tool, entry in entries.items():
        cost = _cost_us(entry)
        parts.append(f"{tool} {cost:.2f} µs" if cost is not None else f"{tool}: {entry.failure}")
    return f"{users:6,} users: {', '.join(parts)}"


def _draw(figure: Any, users: dict[str, dict[int, Entry]]) -> None:
    lines: dict[str, Line] = {}
    for tool, by_users in users.items():
        points = [(count, cost) for count, entry in by_users.items() if (cost := _cost_us(entry)) is not None]
        lines[tool] = [count for count, _ in points], [cost for _, cost in points]
    axes = draw_lines(figure, lines, "users in one process", "µs of CPU a request", "o-")
    axes.set_xscale("log")
    axes.grid(alpha=0.3)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", allow_abbrev=False)
    parser.add_argument(
        "--seconds",
        type=float,
        default=4,
        help="of each run, and one more for each thousand users (default: 4)",
    )
    parser.add_argument("--rounds", type=int, default=2, help="runs of each (default: 2)")
    parser.add_argument("--users", default=",".join(map(str, USERS)), help="how many, with commas between")
    parser.add_argument("--quick", action="store_true", help="three numbers of users, 2 s, 1 run: to try it")
    options = parser.parse_args(arguments)
    counts = [int(word) for word in options.users.split(",")]
    if options.quick:
        counts, options.seconds, options.rounds = [10, 200, 1000], 2.0, 1
    usable = usable_cores()
    users = measure_users(counts, options.rounds, options.seconds, share_out(usable))
    processes = measure_processes(options.rounds, options.seconds, usable)
    document = {
        "users": {
            tool: {
                count: {
                    "cpu_us": _cost_us(entry),
                    "failure": entry.failure,
                    "command": entry.command,
                    "runs": [run.as_json() for run in entry.runs],
                }
                for count, entry in by_users.items()
            }
            for tool, by_users in users.items()
        },
        "processes": processes if processes is not None else "not measured",
    }
    keep_with_plot("scaling", document, lambda figure: _draw(figure, users))
    return 0


if __name__ == "__main__":
    sys.exit(main())
