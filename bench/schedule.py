"""How punctually an open model starts: the lag at a rate, spinning and sleeping, over both engines.

    python -m bench.schedule [--rate 1000] [--seconds 10] [--rounds 5] [--quick]

One worker. The ways take turns, round by round; a figure is the median over the rounds. The lag is perfcore's own word,
issued less due; the server's part is not in it.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import machine, process_tree
from bench.contestants import TOOLS, TRANSFER, WIRE, find_program
from bench.cores import Cores, share_out, usable_cores
from bench.servers import Server, running_server

# On a quiet machine, spinning, at 1,000/s (µs).
TO_REACH_US = {"p50": 20.0, "p99": 200.0}
WAYS = ("spin", "no-spin")


def measure(
    tool: str, way: str, rate: float, seconds: float, server: Server, cores: Cores
) -> dict[str, float]:
    """Lag in µs, CPU of the worker in percent and of a request in µs, of one run. RuntimeError where it fails."""
    url = server.url("http", "/plain")
    test = {"name": "load", "endpoint": url, "rate": rate, "duration": seconds, "arrival": "poisson"}
    with tempfile.TemporaryDirectory(prefix="bench-run-") as name:
        folder = Path(name)
        suite = folder / "suite.yaml"
        suite.write_text(json.dumps({"test_suite": {"name": "bench", "base_url": url, "tests": [test]}}))
        command = [
            find_program(TOOLS[tool].program) or "",
            str(suite),
            "--procs",
            "1",
            "--json",
            "--seed",
            "1",
        ]
        command += ["--engine", tool.rpartition(" ")[2], "--results-dir", str(folder / "results")]
        command += ["--no-spin"] if way == "no-spin" else []
        output = folder / "output"
        spent = process_tree.run(
            command, cores=cores.clients, limit_s=seconds + 60, output=output, folder=folder
        )
        if spent.exit_code != 0:
            raise RuntimeError(
                f"{tool}: exit code {spent.exit_code}: {(folder / 'output.err').read_text()[-300:]}"
            )
        document = json.loads(output.read_text())
    result = document["results"]["load"]
    lag = result["schedule_lag"]
    return {
        **{name: lag[f"{name}_ms"] * 1000 for name in ("p50", "p99", "max")},
        "worker_cpu_percent": document["environment"]["workers_cpu_percent"][0],
        "requests": result["total_requests"],
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.schedule", allow_abbrev=False)
    parser.add_argument("--rate", type=float, default=1000, help="iterations per second (default: 1000)")
    parser.add_argument("--seconds", type=float, default=10, help="of each run (default: 10)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each way (default: 5)")
    parser.add_argument("--quick", action="store_true", help="one round of 3 s: to try it")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 1, 3.0
    cores = share_out(usable_cores())
    runs: dict[str, list[dict[str, float]]] = {
        f"{tool}, {way}": [] for tool in (WIRE, TRANSFER) for way in WAYS
    }
    with running_server(cores.server) as server:
        for _ in range(options.rounds):
            for tool in (WIRE, TRANSFER):
                for way in WAYS:
                    runs[f"{tool}, {way}"].append(
                        measure(tool, way, options.rate, options.seconds, server, cores)
                    )
    print(
        f"lag at {options.rate:g}/s of one worker, median of {options.rounds} runs of {options.seconds:g} s"
    )
    for name, kept in runs.items():
        _tell(name, {key: statistics.median(run[key] for run in kept) for key in kept[0]})
    print(f"\nkept: {machine.keep('schedule', {'options': vars(options), 'runs': runs})}")
    return 0


def _tell(name: str, figures: dict[str, Any]) -> None:
    lags = ", ".join(f"{key} {figures[key]:,.0f} µs" for key in ("p50", "p99", "max"))
    print(f"{name}: {lags}; the worker took {figures['worker_cpu_percent']:.0f} % of a core")
    if not name.endswith(", spin"):
        return
    for key, bound in TO_REACH_US.items():
        verdict = "reached" if figures[key] <= bound else "NOT reached"
        print(f"  {verdict}: lag {key} = {figures[key]:,.0f} µs, to reach ≤ {bound:g} µs on a quiet machine")


if __name__ == "__main__":
    sys.exit(main())
