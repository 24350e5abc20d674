"""One run of a tool at a rate, beside what the target says of how long it held the requests of the same run."""

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import process_tree
from bench.contestants import TOOLS, WIRE, Command
from bench.cores import Cores
from bench.latency_words import PERMILLE, Said
from bench.process_tree import OverdueError, Spent
from bench.rate_tools import RateOrder, RateTool, closed_load, perfcore_command
from bench.servers import EmbeddedServer
from bench.speed_runs import busy_s

# A tool that has not ended by then hangs; one that is behind its schedule may take some seconds more.
_GRACE_S = 45.0
# What the run before left at the target is answered by then.
_SETTLE_S = 0.5
# Above it the tool waited for a core more than for the server.
_MOST_OTHERS = 0.1


@dataclass(frozen=True)
class Load:
    """What every tool is asked for."""

    path: str
    rate: float
    seconds: int
    users: int


@dataclass(frozen=True)
class Run:
    """One run; `truth_ms` and `requests` are the target's, of the requests that it answered."""

    round: int
    load: Load
    requests: int
    stamped: int
    truth_ms: dict[str, float]
    said: Said
    spent: Spent
    server_cpu_s: float
    others_cpu_s: float
    """Of every process of the machine that was neither the tool nor the target."""

    @property
    def cpu_us(self) -> float:
        """Of a request, start and end of the tool included."""
        return self.spent.cpu_s / self.requests * 1e6

    @property
    def achieved(self) -> float:
        """Share of the requests that were asked for."""
        return self.requests / (self.load.rate * self.load.seconds)

    @property
    def others(self) -> float:
        """Cores that the rest of the machine used meanwhile."""
        return self.others_cpu_s / self.spent.wall_s

    @property
    def is_quiet(self) -> bool:
        return self.others <= _MOST_OTHERS

    @property
    def errors_us(self) -> dict[str, float | None]:
        """What the tool says less the truth, at the same percentile of each."""
        return {
            name: None if value is None else (value - self.truth_ms[name]) * 1e3
            for name, value in self.said.percentiles.items()
        }

    def as_json(self) -> dict[str, Any]:
        figures = {
            "cpu_us": self.cpu_us,
            "achieved": self.achieved,
            "errors_us": self.errors_us,
            "others": self.others,
        }
        return {**asdict(self), **figures}


class RunFailedError(RuntimeError):
    """The tool did not end, ended badly, or said nothing."""


def run_once(tool: RateTool, load: Load, number: int, server: EmbeddedServer, cores: Cores) -> Run:
    """RunFailedError."""
    time.sleep(_SETTLE_S)
    with tempfile.TemporaryDirectory(prefix="bench-run-") as name:
        order = RateOrder(server.route(load.path), load.rate, load.seconds, load.users, Path(name))
        program = tool.find() or ""
        command = tool.build(program, order)
        server.take_held()
        cpu_before, busy_before = server.cpu_s(), busy_s()
        spent, text = _spend(tool.name, command, order, cores)
        server_cpu_s, all_cpu_s = server.cpu_s() - cpu_before, busy_s() - busy_before
        held = server.take_held()
        try:
            said = tool.read(program, text, order)
        except (ValueError, KeyError, TypeError) as error:
            raise RunFailedError(f"{tool.name}: its words are not understood: {error!r}") from None
    if not held["count"]:
        raise RunFailedError(f"{tool.name}: the target answered none of its requests")
    return Run(
        number,
        load,
        held["count"],
        held["stamped"] or 0,
        {name: (held[f"{name}_ns"] or 0) / 1e6 for name in (*PERMILLE, "max")},
        said,
        spent,
        server_cpu_s,
        max(0.0, all_cpu_s - server_cpu_s - spent.cpu_s),
    )


def capacity(path: str, seconds: int, users: int, server: EmbeddedServer, cores: Cores) -> float:
    """Requests a second that the target answers when `users` wait for nothing but its answers. RunFailedError.

    The best of three: what else runs on the machine makes it less, and nothing makes it more.
    """
    return max(_attained(path, seconds, users, server, cores) for _ in range(3))


def _attained(path: str, seconds: int, users: int, server: EmbeddedServer, cores: Cores) -> float:
    with tempfile.TemporaryDirectory(prefix="bench-run-") as name:
        order = RateOrder(server.route(path), 0.0, seconds, users, Path(name))
        command = perfcore_command(TOOLS[WIRE].find() or "", "wire", order, closed_load(order))
        _, text = _spend(WIRE, command, order, cores)
        return float(json.loads(text)["results"]["load"]["requests_per_second"])


def _spend(name: str, command: Command, order: RateOrder, cores: Cores) -> tuple[Spent, str]:
    """What a run cost, and what it wrote."""
    output = order.folder / "output"
    try:
        spent = process_tree.run(
            command.words,
            cores=cores.clients,
            limit_s=order.seconds + _GRACE_S,
            output=output,
            environment=command.environment,
            folder=order.folder,
            feed=command.feed,
        )
    except OverdueError as error:
        raise RunFailedError(f"{name}: {error}") from None
    text = output.read_text(errors="replace")
    if spent.exit_code != 0:
        told = (order.folder / "output.err").read_text(errors="replace") or text
        raise RunFailedError(f"{name}: exit code {spent.exit_code}: {told.strip()[-300:]}")
    return spent, text
