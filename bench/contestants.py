"""The tools that do the same work, one row each: how to find it, what it knows, and its command for a job.

A command line is built from the job alone, so what a tool is asked for can be read here and is kept with the result.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bench.job import Job
from bench.nginx import BACKLOG

PEERS = Path(__file__).resolve().parent / "peers"
# What most tools know; the words are those of Job.needed, and a tool that lacks one that a job needs is left out of it.
_ALL = frozenset({"https", "close", "post"})
_MANY_REQUESTS = 100_000_000


@dataclass(frozen=True)
class Command:
    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    feed: bytes | None = None
    """For its standard input."""


@dataclass(frozen=True)
class Order:
    """A job at a place: everything that a command line is made of."""

    job: Job
    url: str
    seconds: float
    folder: Path
    """For files of this run; `body.json` is there where the job posts."""

    @property
    def whole_seconds(self) -> int:
        return max(1, round(self.seconds))

    @property
    def body_file(self) -> str:
        return str(self.folder / "body.json")


@dataclass(frozen=True)
class Tool:
    name: str
    program: str
    """Looked for on PATH."""
    build: Callable[[str, Order], Command]
    """From the program's path and an order."""
    version_arguments: tuple[str, ...] = ("--version",)
    knows: frozenset[str] = _ALL

    def can(self, job: Job) -> bool:
        return job.needed() <= self.knows

    def find(self) -> str | None:
        """Its path; None where it is not installed."""
        return find_program(self.program)

    def command(self, order: Order) -> Command:
        """ValueError where the program is not installed."""
        program = self.find()
        if program is None:
            raise ValueError(f"{self.name}: no {self.program} on PATH")
        if order.job.post:
            (order.folder / "body.json").write_text(order.job.body or "")
        return self.build(program, order)

    def version(self) -> str:
        return _version(self.find() or "", self.version_arguments)


def find_program(program: str) -> str | None:
    """Beside this Python first: perfcore is measured from the same environment."""
    beside = Path(sys.executable).parent / program
    return str(beside) if beside.exists() else shutil.which(program)


@cache
def _version(program: str, arguments: tuple[str, ...]) -> str:
    """What it says of itself; else what its Debian package or its Go module says."""
    asked = (
        (program, *arguments),
        ("dpkg-query", "-W", Path(program).name),
        ("go", "version", "-m", program),
    )
    for words in asked:
        if shutil.which(words[0]) is None:
            continue
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        for line in (done.stdout + done.stderr).splitlines():
            if re.search(r"\d+\.\d+", line) and not line.startswith((program + ":", "Runtime:")):
                return " ".join(line.split())
    return "unknown"


def _perfcore(engine: str) -> Callable[[str, Order], Command]:
    def build(program: str, order: Order) -> Command:
        suite = order.folder / "suite.yaml"
        suite.write_text(json.dumps(suite_of(order), indent=1))
        words = [program, str(suite), "--procs", str(order.job.processes), "--json"]
        return Command([*words, "--engine", engine, "--results-dir", str(order.folder / "results")])

    return build


def suite_of(order: Order) -> dict[str, Any]:
    """The suite that a user would write for the job (YAML is a superset of JSON)."""
    job = order.job
    test: dict[str, object] = {
        "name": "load",
        "endpoint": order.url,
        "parallel_users": job.connections,
        "duration": f"{order.seconds:g}s",
        "http_version": "2-prior-knowledge" if job.scheme == "h2c" else "1.1",
    }
    # All at once, as the others begin; above the server's backlog connections would be refused or late.
    test["ramp_up"] = "0s" if job.connections <= BACKLOG else "2s"
    if job.scheme == "https":
        test["tls"] = {"verify": False}
    if not job.keepalive:
        test["keepalive"] = False
    if job.body is not None:
        body = job.body.replace("@A@", "${iteration()}").replace("@B@", "${randint(100000, 999999)}")
        test |= {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": body}
    if job.checks:
        test["expect"] = {
            "status": 200,
            "header": {"Content-Type": "application/json"},
            "body_contains": '"ok": true',
            "json": {"$.user.id": 7},
        }
    return {"test_suite": {"name": "bench", "base_url": order.url, "tests": [test]}}


def _wrk(program: str, order: Order) -> Command:
    return Command(_wrk_words(program, order))


def _wrk_words(program: str, order: Order, *more: str) -> list[str]:
    job = order.job
    words = [
        program,
        "-t",
        str(job.processes),
        "-c",
        str(job.connections),
        "-d",
        f"{order.whole_seconds}s",
        *more,
    ]
    if not job.keepalive:
        words += ["-H", "Connection: close"]
    if job.checks:
        words += ["-s", str(PEERS / "wrk_checks.lua")]
    if job.post:
        script = "wrk_post_variables.lua" if job.variables else "wrk_post.lua"
        return [*words, "-s", str(PEERS / script), order.url, "--", order.body_file, "application/json"]
    return [*words, order.url]


def _wrk2(program: str, order: Order) -> Command:
    # A rate that nobody reaches: it then sends as fast as it can.
    return Command(_wrk_words(program, order, "-R", str(_MANY_REQUESTS)))


def _to_url(
    order: Order,
    words: list[str],
    closing: tuple[str, ...] = (),
    posting: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
) -> Command:
    """The words, then those for a job that closes its connections, those for one that posts, and last the URL."""
    closes = () if order.job.keepalive else closing
    posts = posting if order.job.post else ()
    return Command([*words, *closes, *posts, order.url], environment or {})


def _ab(program: str, order: Order) -> Command:
    job = order.job
    words = [program, "-q", "-d", "-S", "-l", "-r", "-t", str(order.whole_seconds), "-n", str(_MANY_REQUESTS)]
    words += ["-c", str(job.connections), *(["-k"] if job.keepalive else [])]
    return _to_url(order, words, posting=("-p", order.body_file, "-T", "application/json"))


def _h2load(program: str, order: Order) -> Command:
    job = order.job
    words = [program, "-t", str(job.processes), "-c", str(job.connections), "-m", "1"]
    words += ["-D", str(order.whole_seconds), *([] if job.scheme == "h2c" else ["--h1"])]
    return _to_url(order, words, posting=("-d", order.body_file, "-H", "Content-Type: application/json"))


def _hey(program: str, order: Order) -> Command:
    words = [program, "-z", f"{order.whole_seconds}s", "-c", str(order.job.connections)]
    posting = ("-m", "POST", "-D", order.body_file, "-T", "application/json")
    return _to_url(order, words, ("-disable-keepalive",), posting)


def _oha(program: str, order: Order) -> Command:
    job = order.job
    words = [program, "--no-tui", "-z", f"{order.whole_seconds}s", "-c", str(job.connections)]
    words += ["--insecure"] if job.scheme == "https" else []
    words += ["--http-version", "2"] if job.scheme == "h2c" else []
    posting = ("-m", "POST", "-D", order.body_file, "-T", "application/json")
    return _to_url(order, words, ("--disable-keepalive",), posting)


def _vegeta(program: str, order: Order) -> Command:
    job = order.job
    users = str(job.connections)
    words = [program, "attack", "-rate", "0", "-workers", users, "-max-workers", users, "-connections", users]
    words += ["-duration", f"{order.whole_seconds}s", "-output", os.devnull, "-insecure"]
    words += ["-http2=false", *([] if job.keepalive else ["-keepalive=false"])]
    if job.post:
        words += ["-body", order.body_file, "-header", "Content-Type: application/json"]
    return Command(words, feed=f"{'POST' if job.post else 'GET'} {order.url}\n".encode())


def _bombardier(program: str, order: Order) -> Command:
    words = [program, "-c", str(order.job.connections), "-d", f"{order.whole_seconds}s"]
    words += ["--print", "result", "--insecure"]
    posting = ("-m", "POST", "-f", order.body_file, "-H", "Content-Type: application/json")
    return _to_url(order, words, ("--disableKeepAlives",), posting)


def _k6(program: str, order: Order) -> Command:
    job = order.job
    # No address: it would listen for a remote control. No usage report: it would tell its makers.
    words = [program, "run", "--quiet", "--address", "", "--no-usage-report", "--insecure-skip-tls-verify"]
    words += [
        "--vus",
        str(job.connections),
        "--duration",
        f"{order.whole_seconds}s",
        "--env",
        f"URL={order.url}",
    ]
    words += [] if job.keepalive else ["--no-connection-reuse"]
    words += ["--env", f"BODY={order.body_file}"] if job.post else []
    words += ["--env", "CHECKS=1"] if job.checks else []
    return Command([*words, str(PEERS / "k6_script.js")])


def _autocannon(program: str, order: Order) -> Command:
    words = [program, "--no-progress", "-c", str(order.job.connections), "-d", str(order.whole_seconds)]
    posting = ("-m", "POST", "-i", order.body_file, "-H", "Content-Type=application/json")
    environment = {"NODE_TLS_REJECT_UNAUTHORIZED": "0"}
    return _to_url(order, words, ("--reconnectRate", "1"), posting, environment)


def _locust(program: str, order: Order) -> Command:
    job = order.job
    users = str(job.connections)
    words = [
        program,
        "-f",
        str(PEERS / "locustfile.py"),
        "--headless",
        "--only-summary",
        "--exit-code-on-error",
        "0",
    ]
    words += ["-u", users, "-r", users, "-t", f"{order.whole_seconds}s"]
    return Command(words, {"BENCH_URL": order.url} | ({"BENCH_BODY": order.body_file} if job.post else {}))


def _perform_floor(program: str, order: Order) -> Command:
    job = order.job
    script = Path(__file__).resolve().parent / "perform_floor.py"
    return Command([program, str(script), order.url, str(job.connections), f"{order.seconds:g}"])


_PERFCORE_KNOWS = _ALL | {"variables", "checks", "processes", "chunked"}
WIRE, TRANSFER, FLOOR = "perfcore wire", "perfcore transfer", "perform() loop"
TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(WIRE, "perfcore", _perfcore("wire"), knows=_PERFCORE_KNOWS),
        Tool(TRANSFER, "perfcore", _perfcore("transfer"), knows=_PERFCORE_KNOWS | {"h2c"}),
        Tool(FLOOR, Path(sys.executable).name, _perform_floor, knows=frozenset()),
        Tool("wrk", "wrk", _wrk, ("-v",), _ALL | {"variables", "checks", "processes", "chunked"}),
        Tool("wrk2", "wrk2", _wrk2, ("-v",), _ALL | {"variables", "checks", "processes", "chunked"}),
        Tool("ab", "ab", _ab, ("-V",)),
        Tool("h2load", "h2load", _h2load, knows=frozenset({"https", "h2c", "post", "processes", "chunked"})),
        Tool("hey", "hey", _hey, ("-version",), _ALL | {"chunked"}),
        Tool("oha", "oha", _oha, knows=_ALL | {"h2c", "chunked"}),
        Tool("vegeta", "vegeta", _vegeta, ("-version",), _ALL | {"chunked"}),
        Tool("bombardier", "bombardier", _bombardier, knows=_ALL | {"chunked"}),
        Tool("k6", "k6", _k6, ("version",), _ALL | {"checks", "chunked"}),
        Tool("autocannon", "autocannon", _autocannon, knows=_ALL | {"chunked"}),
        Tool("locust", "locust", _locust, knows=frozenset({"https", "post", "chunked"})),
    )
}
PEERS_OF_WRK = ("wrk2", "ab", "h2load", "hey", "oha", "vegeta", "bombardier", "k6", "autocannon", "locust")
