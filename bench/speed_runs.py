"""The runs of one scenario: each entrant in its turn against one server, and what each of them spent."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench import process_tree
from bench.contestants import TOOLS, Order
from bench.cores import Cores
from bench.flat_server import running_flat_server
from bench.pairs import in_turn
from bench.process_tree import OverdueError, Spent
from bench.scenarios import Entrant, Scenario
from bench.servers import Server, running_server

# A tool that has not ended by then hangs: ten seconds of start and end are more than the slowest takes.
_GRACE_S = 30.0


@dataclass(frozen=True)
class Run:
    """One run of one entrant; `requests` are those that the server counted."""

    block: int
    requests: int
    seconds: float
    """Of load that were asked for."""
    spent: Spent
    server_cpu_s: float
    others_cpu_s: float
    """Of every process of the machine that was neither the entrant nor the server."""
    attempts: int | None = None
    """What perfcore says that it sent; None for another tool."""
    engine: str | None = None
    recognised_share: float | None = None

    @property
    def figures(self) -> dict[str, float]:
        """By the names of scenarios.Figure."""
        return {
            "cpu": self.spent.cpu_s / self.requests,
            "per_core": self.requests / self.spent.cpu_s,
            "rate": self.requests / self.seconds,
        }

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), **{f"figure_{name}": value for name, value in self.figures.items()}}


@dataclass
class Entry:
    """All runs of one entrant."""

    entrant: Entrant
    version: str
    command: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    failure: str | None = None

    def figure(self, name: str) -> dict[int, float]:
        """By block."""
        return {run.block: run.figures[name] for run in self.runs}


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    pairs: int
    other_runs: int
    seconds: float
    only: frozenset[str] = frozenset()
    """Names of tools; empty for all."""


def run_scenario(scenario: Scenario, plan: Plan, cores: Cores, tell: Callable[[str], None]) -> list[Entry]:
    """Main entrants first. RuntimeError where the server cannot be started."""
    present = [entrant for entrant in (*scenario.main, *scenario.others) if _takes_part(entrant, plan)]
    entries = {entrant: Entry(entrant, TOOLS[entrant.tool].version()) for entrant in present}
    main = [entrant for entrant in scenario.main if entrant in entries]
    others = [entrant for entrant in scenario.others if entrant in entries]
    server = running_flat_server if scenario.server == "flat" else running_server
    with server(cores.server) as running:
        for block, entrant in in_turn(main, others, plan.pairs, plan.other_runs):
            entry = entries[entrant]
            if entry.failure is None:
                run_once(entry, block, running, plan.seconds * scenario.stretch, cores)
                tell(_told(scenario, entry, block))
    return list(entries.values())


def _takes_part(entrant: Entrant, plan: Plan) -> bool:
    tool = TOOLS[entrant.tool]
    chosen = not plan.only or entrant.tool in plan.only
    return chosen and tool.can(entrant.job) and tool.find() is not None


def run_once(entry: Entry, block: int, server: Server, seconds: float, cores: Cores) -> None:
    """Adds a run, or says why there is none."""
    job = entry.entrant.job
    with tempfile.TemporaryDirectory(prefix="bench-run-") as name:
        order = Order(job, server.url(job.scheme, job.path), seconds, Path(name))
        command = TOOLS[entry.entrant.tool].command(order)
        entry.command = command.words
        before, cpu_before, busy_before = server.requests(), server.cpu_s(), busy_s()
        try:
            spent = process_tree.run(
                command.words,
                cores=cores.clients,
                limit_s=seconds + _GRACE_S,
                output=order.folder / "output",
                environment=command.environment,
                folder=order.folder,
                feed=command.feed,
            )
        except OverdueError as error:
            entry.failure = str(error)
            return
        spent_s, server_cpu_s = busy_s() - busy_before, server.cpu_s() - cpu_before
        requests = server.requests() - before
        said = (order.folder / "output").read_text(errors="replace")
        error_text = (order.folder / "output.err").read_text(errors="replace")
    if spent.exit_code != 0 or requests == 0:
        text = (error_text or said).strip()[-300:]
        entry.failure = f"exit code {spent.exit_code}, {requests} requests: {text}"
        return
    entry.runs.append(
        Run(
            block,
            requests,
            seconds,
            spent,
            server_cpu_s,
            max(0.0, spent_s - server_cpu_s - spent.cpu_s),
            *_said_by_perfcore(entry.entrant.tool, said),
        )
    )


def busy_s() -> float:
    """CPU seconds that this machine has spent on anything, time taken from it by its host included."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _said_by_perfcore(tool: str, output: str) -> tuple[int | None, str | None, float | None]:
    """Attempts, engine, recognised share; of another tool nothing."""
    if TOOLS[tool].program != "perfcore":
        return None, None, None
    results = list(json.loads(output)["results"].values())
    failed = sum(result["failed_requests"] for result in results)
    if failed:
        raise RuntimeError(f"{tool}: {failed} requests failed: {results[0]['errors']}")
    first = results[0]
    return sum(result["attempts"] for result in results), first.get("engine"), first.get("recognised_share")


def _told(scenario: Scenario, entry: Entry, block: int) -> str:
    start = f"{scenario.name}, block {block + 1}: {entry.entrant.label}"
    if entry.failure is not None:
        return f"{start}: {entry.failure}"
    run = entry.runs[-1]
    return f"{start}: {run.figures['cpu'] * 1e6:.2f} µs, {run.figures['rate']:,.0f}/s"
