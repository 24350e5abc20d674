"""The kinds of a fault run: each starts a random load, hurts something at a random moment, and checks the result.

The server's count is the judge: what perfcore calls `attempts` is how often a request went out, so the two are equal
wherever the server lived to count. Where a process was killed they may differ by what it had under way, one request a
user; the bounds here say so at each place.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.fault_rig import Run, Target, demand, running, wait_until

# A worker that dies while it counts a block by itself leaves these rows uncertain, and says so.
_BLOCK_ROWS = 4096
ENGINES = ("wire", "transfer")
_ENDPOINTS = (
    "/health",
    "/users/7",
    "/delay/3",
    "/bytes/20k",
    "/chunked/5k",
    "/echo?n=${uuid()}",
    "/flaky?rate=0.2",
)
# Route, seconds of patience, the kinds that may come of it, requests that no server has seen.
_FAULTS: tuple[tuple[str, str, frozenset[str]], ...] = (
    ("/reset", "20s", frozenset({"reset"})),
    ("/reset?after=5000", "20s", frozenset({"reset"})),
    ("/hang", "300ms", frozenset({"timeout"})),
    ("/hang?after=5000", "300ms", frozenset({"timeout"})),
    ("/truncate?size=50k&sent=20k", "20s", frozenset({"truncated"})),
    ("/truncate?chunked=1", "20s", frozenset({"truncated"})),
    ("/truncate?head=1", "20s", frozenset({"truncated"})),
    ("/garbage?size=100k", "20s", frozenset({"bad_response"})),
    ("/endless-headers", "20s", frozenset({"bad_response"})),
    ("/slow-headers?delay_ms=5&pieces=5", "20s", frozenset()),
    ("/bytes/1000M", "200ms", frozenset({"timeout"})),
    ("/close", "20s", frozenset()),
)


@dataclass(frozen=True)
class Load:
    """A random load that lasts a known time."""

    users: int
    workers: int
    duration_s: float
    endpoint: str
    keepalive: bool
    think_ms: int
    samples: bool
    small_rings: bool
    engine: str
    looks_at_time: bool  # an expectation that is never broken: each answer is judged by more than its status

    @classmethod
    def drawn(cls, draw: random.Random) -> "Load":
        return cls(
            users=draw.choice((1, 2, 7, 16, 60, 200)),
            workers=draw.choice((1, 2, 3, 4)),
            duration_s=round(draw.uniform(0.5, 3.0), 2),
            endpoint=draw.choice(_ENDPOINTS),
            keepalive=draw.random() < 0.8,
            think_ms=draw.choice((0, 0, 0, 5)),
            samples=draw.random() < 0.3,
            small_rings=draw.random() < 0.3,
            engine=draw.choice(ENGINES),
            looks_at_time=draw.random() < 0.3,
        )

    def suite(self, url: str) -> str:
        keepalive = "" if self.keepalive else ", keepalive: false"
        think = f", think_time: {self.think_ms}ms" if self.think_ms else ""
        expect = ", expect: {max_time: 60s}" if self.looks_at_time else ""
        return (
            f"test_suite:\n  name: fault run\n  base_url: {url}\n  tests:\n    - {{name: load, endpoint: "
            f'"{self.endpoint}", parallel_users: {self.users}, ramp_up: 0s, duration: {self.duration_s}s, '
            f"timeout: 60s{keepalive}{think}{expect}}}\n"
        )

    @property
    def arguments(self) -> list[str]:
        samples = ["--samples"] if self.samples else []
        return ["--procs", str(self.workers), "--engine", self.engine, *samples]


@dataclass
class Round:
    """One round of a fault run: its own dice, the target, and a directory that is not there yet."""

    draw: random.Random
    target: Target
    folder: Path

    def __post_init__(self) -> None:
        self.load = Load.drawn(self.draw)

    def running(self, url: str = "") -> Any:
        """The round's load, started."""
        load = self.load
        suite = load.suite(url or self.target.url)
        return running(self.folder, suite, *load.arguments, small_rings=load.small_rings)

    def sleep(self, most_s: float) -> None:
        time.sleep(self.draw.uniform(0.0, most_s))

    def await_load(self, run: Run) -> None:
        """Until the first requests are counted, or the run is over."""
        wait_until(lambda: self.target.requests() > 0 or run.process.poll() is not None, "the first request")


# -- what must be true of every result -----------------------------------------------------------------------------


def check_sums(document: dict[str, Any]) -> None:
    """The arithmetic of result-format.md, test by test."""
    for key, test in document["results"].items():
        total = test["total_requests"]
        demand(total == test["successful_requests"] + test["failed_requests"], f"{key}: total, ok and failed")
        demand(test["failed_requests"] == sum(test["errors"].values()), f"{key}: failed and errors")
        demand(sum(test["timeline"]["requests"]) == total, f"{key}: timeline and total")
        demand(sum(test["timeline"]["failures"]) == test["failed_requests"], f"{key}: timeline and failures")
        demand(sum(test["histogram"]["count"]) == test["timing"]["count"], f"{key}: histogram and timing")
        transport = sum(
            count for kind, count in test["errors"].items() if not kind.startswith("expectation:")
        )
        demand(sum(test["status_codes"].values()) + transport == total, f"{key}: status codes and total")


def attempts_of(document: dict[str, Any]) -> int:
    return sum(int(test["attempts"]) for test in document["results"].values())


def resent_of(document: dict[str, Any]) -> int:
    return sum(int(test["resent_requests"]) for test in document["results"].values())


def check_count(document: dict[str, Any], counted: int, *, lost: int = 0, unseen: int = 0) -> None:
    """Attempts equal the server's count, but for `lost` that only the server saw and `unseen` that it did not see."""
    check_sums(document)
    attempts = attempts_of(document)
    cut = sum(int(test["interrupted_requests"]) for test in document["results"].values())
    demand(
        counted - lost - cut <= attempts <= counted + unseen,
        f"{attempts:,} attempts, and the server counted {counted:,} "
        f"(lost up to {lost}, unseen up to {unseen}, cut {cut})",
    )


def check_engine(document: dict[str, Any], engine: str) -> None:
    """Every test was carried by the engine that was asked for."""
    for key, test in document["results"].items():
        demand(test["engine"] == engine, f"{key}: {test['engine']} in place of {engine}")


def check_samples(run: Run, load: Load, document: dict[str, Any]) -> None:
    """With --samples there is one row for each request of the totals, and one for each that was cut."""
    if load.samples:
        rows = len(np.load(run.results / "latest" / "samples.npy", mmap_mode="r"))
        requests = sum(
            int(test["total_requests"]) + int(test["interrupted_requests"])
            for test in document["results"].values()
        )
        demand(rows == requests, f"{rows:,} rows in samples.npy and {requests:,} requests")


def check_whole(round_: Round, run: Run, codes: tuple[int, ...] = (0,), *, lost: int = 0) -> None:
    """The run has ended with one of the codes, saved its result, and agrees with the server."""
    code = run.end()
    demand(code in codes, f"exit code {code} in place of {codes}: {run.text('stderr')[-500:]}")
    demand("Traceback" not in run.text("stderr"), f"a traceback: {run.text('stderr')[-2000:]}")
    document = run.document()
    demand(document is not None, "no result was saved")
    assert document is not None
    uncertain = sum("uncertain" in text for text in document["incidents"]) * _BLOCK_ROWS
    check_engine(document, round_.load.engine)
    counted = int(round_.target.final_stats()["requests"])
    check_count(document, counted, lost=lost + uncertain, unseen=uncertain)
    if not uncertain:
        check_samples(run, round_.load, document)


# -- the kinds ----------------------------------------------------------------------------------------------------


def nothing(round_: Round) -> None:
    """No fault at all."""
    with round_.running() as run:
        check_whole(round_, run)
        run.demand_nothing_left()


def worker_killed(round_: Round) -> None:
    """kill -9 of one worker or of all, at any moment of the load."""
    load = round_.load
    with round_.running() as run:
        round_.await_load(run)
        round_.sleep(load.duration_s)
        killed = _kill(run, 1 if round_.draw.random() < 0.7 else load.workers, round_.draw)
        most_users = -(-load.users // load.workers) * killed
        check_whole(round_, run, (0, 97), lost=most_users)
        run.demand_nothing_left()


def worker_killed_while_the_supervisor_stands(round_: Round) -> None:
    """The supervisor is stopped, a worker is killed meanwhile, the supervisor goes on."""
    load = round_.load
    with round_.running() as run:
        round_.await_load(run)
        run.send(signal.SIGSTOP)
        round_.sleep(load.duration_s)
        killed = _kill(run, 1, round_.draw)
        run.send(signal.SIGCONT)
        check_whole(round_, run, (0, 97), lost=-(-load.users // load.workers) * killed)
        run.demand_nothing_left()


def _kill(run: Run, most: int, draw: random.Random) -> int:
    workers = run.workers()
    draw.shuffle(workers)
    for pid in workers[:most]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(workers[:most])


def supervisor_killed(round_: Round) -> None:
    """kill -9 of the supervisor at any moment, from its start to after its end."""
    embedded = round_.draw.random() < 0.3
    with round_.running("embedded" if embedded else "") as run:
        round_.sleep(round_.load.duration_s + 1.0)
        run.process.kill()
        run.end()
        run.demand_nothing_left()
        round_.target.final_stats()
        document = run.document()
        if document is not None:
            check_sums(document)


def supervisor_stopped(round_: Round) -> None:
    """SIGSTOP of the supervisor for up to five seconds, several times."""
    with round_.running() as run:
        round_.await_load(run)
        for _ in range(round_.draw.randint(1, 3)):
            run.send(signal.SIGSTOP)
            round_.sleep(round_.draw.choice((0.1, 1.0, 5.0)))
            run.send(signal.SIGCONT)
            round_.sleep(0.3)
        check_whole(round_, run)
        run.demand_nothing_left()


def worker_stopped(round_: Round) -> None:
    """SIGSTOP of one worker for up to a second."""
    with round_.running() as run:
        round_.await_load(run)
        workers = run.workers()
        if workers:
            pid = round_.draw.choice(workers)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                round_.sleep(1.0)
                os.kill(pid, signal.SIGCONT)
        check_whole(round_, run)
        run.demand_nothing_left()


def interrupted_once(round_: Round) -> None:
    """SIGINT, SIGTERM or SIGHUP under load: what is under way is finished, the result is saved."""
    number = round_.draw.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    with round_.running() as run:
        round_.await_load(run)
        round_.sleep(round_.load.duration_s * 0.8)
        is_in_time = bool(run.workers())
        run.send(number)
        # Once the result is saved the signal is no longer perfcore's, and ends what is left of the process.
        check_whole(round_, run, (105,) if is_in_time else (0, 105, -number))
        run.demand_nothing_left()


def interrupted_twice(round_: Round) -> None:
    """Two signals: the run leaves at once, whatever it was doing."""
    number = round_.draw.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    with round_.running() as run:
        round_.await_load(run)
        run.send(number)
        round_.sleep(0.3)
        run.send(number)
        code = run.end()
        demand(code in (0, 105, -number), f"exit code {code}: {run.text('stderr')[-500:]}")
        demand("Traceback" not in run.text("stderr"), f"a traceback: {run.text('stderr')[-2000:]}")
        run.demand_nothing_left()
        counted = int(round_.target.final_stats()["requests"])
        document = run.document()
        if document is not None:
            check_count(document, counted)


def target_killed_and_back(round_: Round) -> None:
    """The server is killed with everything it was sent counted, and comes back on its port while the load goes on."""
    load, target = round_.load, round_.target
    with round_.running() as run:
        round_.await_load(run)
        round_.sleep(load.duration_s / 2)
        # With the workers stopped the count stands still, and is final when the server dies.
        stopped = _signal_all(run.workers(), signal.SIGSTOP)
        wait_until(lambda: all(map(_stands, stopped)), "the workers stand")
        before = int(target.settled_stats()["requests"])
        target.kill()
        _signal_all(stopped, signal.SIGCONT)
        round_.sleep(0.5)
        target.start()
        code = run.end()
        demand(code in (0, 99), f"exit code {code}: {run.text('stderr')[-500:]}")
        after = int(target.final_stats()["requests"])
        document = run.document()
        demand(document is not None, "no result was saved")
        assert document is not None
        # What was sent on a connection whose end its user had not seen yet went out and met no server.
        check_count(document, before + after, unseen=load.users + resent_of(document))
        kinds = set(document["results"]["load"]["errors"]) - {"expectation:status"}
        demand(kinds <= {"refused", "reset", "closed", "truncated"}, f"kinds {kinds}")
        check_samples(run, load, document)
        run.demand_nothing_left()


def _signal_all(pids: list[int], number: int) -> list[int]:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return pids


def _stands(pid: int) -> bool:
    """Whether a stop has reached a process: the signal alone is only under way to it. True of one that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TtZX"
    except OSError:
        return True


def embedded_target_killed(round_: Round) -> None:
    """The server of `base_url: embedded` is killed: counted, and the run ends in time."""
    with round_.running("embedded") as run:
        wait_until(lambda: bool(run.workers()) or run.process.poll() is not None, "workers")
        round_.sleep(round_.load.duration_s)
        _signal_all(run.embedded_target(), signal.SIGKILL)
        code = run.end()
        demand(code in (0, 99), f"exit code {code}: {run.text('stderr')[-500:]}")
        document = run.document()
        demand(document is not None, "no result was saved")
        assert document is not None
        check_sums(document)
        check_samples(run, round_.load, document)
        run.demand_nothing_left()


def server_faults(round_: Round) -> None:
    """Several routes that misbehave, at the same time: each counted as what it is, as often as the server met it.

    With both engines in one worker, too: a test that follows redirects is none of the wire path's.
    """
    draw = round_.draw
    chosen = draw.sample(_FAULTS, draw.randint(2, 6))
    is_mixed = draw.random() < 0.4
    engines = [draw.choice(ENGINES) if is_mixed else round_.load.engine for _ in chosen]
    follows = ", follow_redirects: true" if is_mixed else ""
    lines = [
        f'    - {{name: fault {number}, endpoint: "{route}", timeout: {timeout}'
        f"{follows if engine == 'transfer' else ''}}}"
        for number, ((route, timeout, _), engine) in enumerate(zip(chosen, engines, strict=True))
    ]
    wish = "auto" if is_mixed else round_.load.engine
    suite = (
        f"test_suite:\n  name: faults\n  mode: parallel\n  base_url: {round_.target.url}\n"
        f"  defaults: {{parallel_users: {draw.randint(1, 6)}, iterations: {draw.randint(1, 8)}, ramp_up: 0s}}\n"
        "  tests:\n" + "\n".join(lines) + "\n"
    )
    arguments = ("--procs", str(round_.load.workers), "--engine", wish)
    with running(round_.folder, suite, *arguments) as run:
        code = run.end()
        demand(code in (0, 99), f"exit code {code}: {run.text('stderr')[-500:]}")
        document = run.document()
        demand(document is not None, "no result was saved")
        assert document is not None
        counted = int(round_.target.final_stats()["requests"])
        # A request on a connection that /close had just closed went out and met no server.
        check_count(document, counted, unseen=resent_of(document))
        for number, (route, _, kinds) in enumerate(chosen):
            test = document["results"][f"fault_{number}"]
            demand(
                set(test["errors"]) == set(kinds), f"{route}: {set(test['errors'])} in place of {set(kinds)}"
            )
            demand(test["engine"] == engines[number], f"{route}: engine {test['engine']}")
        run.demand_nothing_left()


KINDS: dict[str, Callable[[Round], None]] = {
    kind.__name__.replace("_", " "): kind
    for kind in (
        nothing,
        worker_killed,
        worker_killed_while_the_supervisor_stands,
        supervisor_killed,
        supervisor_stopped,
        worker_stopped,
        interrupted_once,
        interrupted_twice,
        target_killed_and_back,
        embedded_target_killed,
        server_faults,
    )
}
