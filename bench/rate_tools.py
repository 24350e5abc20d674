"""The tools at an offered rate, one row each: its command, and how its own words of the latency are read.

The programs and how they are found are those of contestants.py. Arrivals are constant wherever a tool has the choice,
since most know nothing else.
"""

import json
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import latency_words
from bench.contestants import PEERS, TOOLS, TRANSFER, WIRE, Command
from bench.latency_words import Said

_READ_LIMIT_S = 60.0
OHA_CORRECTED = "oha --latency-correction"
WIRE_ASLEEP = "perfcore wire --no-spin"
WIRE_CLOSED, OHA_CLOSED, WRK_CLOSED = "perfcore wire, closed", "oha, closed", "wrk, closed"


@dataclass(frozen=True)
class RateOrder:
    """`rate` requests a second over all; `users`: as many at a time, and as many connections."""

    url: str
    rate: float
    seconds: int
    users: int
    folder: Path
    """For files of this run."""


@dataclass(frozen=True)
class RateTool:
    name: str
    contestant: str
    """Its row in contestants.TOOLS, which knows the program."""
    build: Callable[[str, RateOrder], Command]
    """From the program's path and an order."""
    read: Callable[[str, str, RateOrder], Said]
    """From the program's path, what it wrote on stdout, and the order. ValueError where that says nothing."""

    def find(self) -> str | None:
        return TOOLS[self.contestant].find()

    def version(self) -> str:
        return TOOLS[self.contestant].version()


def suite_of(order: RateOrder, load: dict[str, object]) -> str:
    """The suite that a user would write (YAML is a superset of JSON)."""
    test = {"name": "load", "endpoint": order.url, "duration": order.seconds, **load}
    base_url = order.url.partition("?")[0]
    return json.dumps({"test_suite": {"name": "accuracy", "base_url": base_url, "tests": [test]}}, indent=1)


def open_load(order: RateOrder) -> dict[str, object]:
    return {"rate": order.rate, "arrival": "constant", "max_users": order.users}


def closed_load(order: RateOrder) -> dict[str, object]:
    return {"parallel_users": order.users, "ramp_up": "0s"}


def perfcore_command(
    program: str, engine: str, order: RateOrder, load: dict[str, object], *more: str
) -> Command:
    suite = order.folder / "suite.yaml"
    suite.write_text(suite_of(order, load))
    words = [program, str(suite), "--procs", "1", "--json", "--engine", engine]
    return Command([*words, "--results-dir", str(order.folder / "results"), *more])


def _perfcore(
    engine: str, load: Callable[[RateOrder], dict[str, object]], *more: str
) -> Callable[[str, RateOrder], Command]:
    return lambda program, order: perfcore_command(program, engine, order, load(order), *more)


def _wrk(program: str, order: RateOrder) -> Command:
    words = [program, "-t", "1", "-c", str(order.users), "-d", f"{order.seconds}s", "--latency"]
    return Command([*words, order.url])


def _wrk2(program: str, order: RateOrder) -> Command:
    words = [program, "-t", "1", "-c", str(order.users), "-d", f"{order.seconds}s", "--latency"]
    return Command([*words, "-R", f"{order.rate:g}", order.url])


def _vegeta(program: str, order: RateOrder) -> Command:
    users = str(order.users)
    attack = [program, "attack", "-rate", f"{order.rate:.0f}/s", "-duration", f"{order.seconds}s"]
    attack += ["-workers", users, "-max-workers", users, "-connections", users, "-output", "results.bin"]
    report = [program, "report", "-type=json", "results.bin"]
    # Its percentiles come from a second program, and belong to its cost.
    script = f"{shlex.join(attack)} && {shlex.join(report)}"
    return Command(["sh", "-c", script], feed=f"GET {order.url}\n".encode())


def _read_vegeta(program: str, text: str, order: RateOrder) -> Said:
    plot = subprocess.run(
        [program, "report", "-type=hdrplot", "results.bin"],
        cwd=order.folder,
        capture_output=True,
        text=True,
        timeout=_READ_LIMIT_S,
        check=False,
    )
    return latency_words.vegeta(text, plot.stdout)


def _oha_closed(program: str, order: RateOrder, *more: str) -> Command:
    words = [program, "--no-tui", "--output-format", "json", "-z", f"{order.seconds}s"]
    return Command([*words, "-c", str(order.users), *more, order.url])


def _oha(*more: str) -> Callable[[str, RateOrder], Command]:
    return lambda program, order: _oha_closed(program, order, "-q", f"{order.rate:.0f}", *more)


def _k6(program: str, order: RateOrder) -> Command:
    # No address: it would listen for a remote control. No usage report: it would tell its makers.
    words = [program, "run", "--quiet", "--address", "", "--no-usage-report"]
    given = {"URL": order.url, "RATE": f"{order.rate:.0f}", "DURATION": f"{order.seconds}s"}
    for name, value in {**given, "USERS": str(order.users)}.items():
        words += ["--env", f"{name}={value}"]
    return Command([*words, str(PEERS / "k6_rate.js")])


def _hey(program: str, order: RateOrder) -> Command:
    # Its rate is that of each worker.
    words = [
        program,
        "-z",
        f"{order.seconds}s",
        "-c",
        str(order.users),
        "-q",
        f"{order.rate / order.users:g}",
    ]
    return Command([*words, "-o", "csv", order.url])


def _autocannon(program: str, order: RateOrder) -> Command:
    words = [program, "--no-progress", "-j", "-c", str(order.users), "-d", str(order.seconds)]
    return Command([*words, "-R", f"{order.rate:.0f}", order.url])


def _words(read: Callable[[str], Said]) -> Callable[[str, str, RateOrder], Said]:
    return lambda program, text, order: read(text)


RATE_TOOLS: dict[str, RateTool] = {
    tool.name: tool
    for tool in (
        RateTool(WIRE, WIRE, _perfcore("wire", open_load), _words(latency_words.perfcore)),
        RateTool(TRANSFER, TRANSFER, _perfcore("transfer", open_load), _words(latency_words.perfcore)),
        RateTool(
            WIRE_ASLEEP, WIRE, _perfcore("wire", open_load, "--no-spin"), _words(latency_words.perfcore)
        ),
        RateTool("wrk2", "wrk2", _wrk2, _words(latency_words.wrk)),
        RateTool("vegeta", "vegeta", _vegeta, _read_vegeta),
        RateTool("oha", "oha", _oha(), _words(latency_words.oha)),
        RateTool(OHA_CORRECTED, "oha", _oha("--latency-correction"), _words(latency_words.oha)),
        RateTool("k6", "k6", _k6, _words(latency_words.k6)),
        RateTool("hey", "hey", _hey, _words(latency_words.hey)),
        RateTool("autocannon", "autocannon", _autocannon, _words(latency_words.autocannon)),
    )
}
# Beside them where a server stalls: whoever waits for each answer does not see it. wrk adds what it did not measure.
CLOSED_TOOLS: dict[str, RateTool] = {
    tool.name: tool
    for tool in (
        RateTool(WIRE_CLOSED, WIRE, _perfcore("wire", closed_load), _words(latency_words.perfcore)),
        RateTool(OHA_CLOSED, "oha", _oha_closed, _words(latency_words.oha)),
        RateTool(WRK_CLOSED, "wrk", _wrk, _words(latency_words.wrk)),
    )
}
