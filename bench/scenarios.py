"""What is measured, one row each: the jobs that run side by side, and the figures that are to be reached."""

from dataclasses import dataclass, replace
from typing import Literal

from bench.contestants import FLOOR, PEERS_OF_WRK, TRANSFER, WIRE
from bench.job import Job

# cpu: CPU seconds a request; per_core: requests a CPU second; rate: requests a second of the load.
Figure = Literal["cpu", "per_core", "rate"]


@dataclass(frozen=True)
class Entrant:
    """A tool with a job; `label` tells two jobs of one tool apart."""

    tool: str
    job: Job
    label: str

    @classmethod
    def of(cls, tool: str, job: Job, words: str = "") -> "Entrant":
        return cls(tool, job, f"{tool}, {words}" if words else tool)


@dataclass(frozen=True)
class Aim:
    """`subject`'s figure divided by `reference`'s (labels) is to lie on the right side of `bound`."""

    subject: str
    reference: str
    bound: float
    figure: Figure = "cpu"

    @property
    def at_most(self) -> bool:
        return self.figure == "cpu"

    def reached_by(self, ratio: float) -> bool:
        return ratio <= self.bound if self.at_most else ratio >= self.bound


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    main: tuple[Entrant, ...]
    """Run in turn, forwards and backwards; the last one is what the others are divided by."""
    others: tuple[Entrant, ...] = ()
    """Fewer runs, for the table."""
    aims: tuple[Aim, ...] = ()
    server: Literal["nginx", "flat"] = "nginx"
    stretch: int = 1
    """Runs last so many times as long: many users need a while to connect, which is not what is asked for."""

    @property
    def reference(self) -> Entrant:
        return self.main[-1]


def _beside_wrk(name: str, title: str, job: Job, bound: float | None, figure: Figure = "cpu") -> Scenario:
    """The wire path against wrk, with everybody else that can do the job."""
    return Scenario(
        name,
        title,
        (Entrant.of(WIRE, job), Entrant.of("wrk", job)),
        tuple(Entrant.of(tool, job) for tool in (TRANSFER, *PEERS_OF_WRK)),
        () if bound is None else (Aim(WIRE, "wrk", bound, figure),),
    )


def _ahead_of_peers(scenario: Scenario) -> Scenario:
    ahead = tuple(Aim(WIRE, peer, 1.0) for peer in PEERS_OF_WRK if peer not in ("wrk2", "ab"))
    return replace(scenario, aims=(*scenario.aims, *ahead))


def _with_and_without(
    name: str, title: str, with_it: Job, without: Job, words: str, bound: float
) -> Scenario:
    """The wire path with something to do and without it; wrk's Lua doing the same, and k6, beside it."""
    subject, plain = Entrant.of(WIRE, with_it, words), Entrant.of(WIRE, without, "without")
    lua = Entrant.of("wrk", with_it, f"{words} (Lua)")
    others = [Entrant.of("wrk", without, "without"), Entrant.of(TRANSFER, with_it, words)]
    others += [Entrant.of("k6", with_it, words)] if with_it.checks else []
    aims = [Aim(subject.label, plain.label, bound)]
    aims += [Aim(subject.label, lua.label, 1.0)] if with_it.checks else []
    return Scenario(name, title, (subject, lua, plain), tuple(others), tuple(aims))


def _over_users(name: str, title: str, tool: str, bound: float | None) -> Scenario:
    many = Entrant.of(tool, Job(connections=4000), "4,000 users")
    few = Entrant.of(tool, Job(), "50 users")
    aims = () if bound is None else (Aim(many.label, few.label, bound),)
    return Scenario(name, title, (many, few), aims=aims, stretch=3)


_PLAIN = Job()
_CHUNKED = Job("/chunked", needs=frozenset({"chunked"}))
_TWO = Job(processes=2)
_POST = Job("/post", post=True)

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _ahead_of_peers(
            _beside_wrk("constant", "GET with constant headers, 50 keep-alive connections", _PLAIN, 1.2)
        ),
        _beside_wrk("varied", "every response different", Job("/varied"), 1.4),
        _beside_wrk("chunked", "chunked responses", _CHUNKED, 1.5),
        _beside_wrk("connections-1000", "1,000 connections in one process", Job(connections=1000), 1.3),
        Scenario(
            "client-bound",
            "a server with capacity to spare: requests per second and core",
            (Entrant.of(WIRE, _PLAIN), Entrant.of("wrk", _PLAIN)),
            (Entrant.of(TRANSFER, _PLAIN), Entrant.of("h2load", _PLAIN)),
            (Aim(WIRE, "wrk", 0.85, "per_core"),),
            server="flat",
        ),
        Scenario(
            "two-processes",
            "throughput against one nginx worker, 2 processes beside 2 threads",
            (Entrant.of(WIRE, _TWO), Entrant.of("wrk", _TWO)),
            (Entrant.of(TRANSFER, _TWO), Entrant.of("h2load", _TWO)),
            (Aim(WIRE, "wrk", 0.95, "rate"),),
        ),
        _beside_wrk("tls", "TLS, keep-alive", Job(scheme="https"), 1.3),
        _with_and_without(
            "checks",
            "two checks and one JSON value of each response",
            Job("/json", checks=True),
            Job("/json"),
            "checks",
            3.0,
        ),
        _with_and_without(
            "post-variables",
            "POST of 1 KiB JSON with two template variables",
            replace(_POST, variables=True),
            _POST,
            "variables",
            2.0,
        ),
        Scenario(
            "transfers",
            "libcurl transfers beside a bare perform() loop",
            (Entrant.of(TRANSFER, _PLAIN), Entrant.of(FLOOR, _PLAIN)),
            aims=(Aim(TRANSFER, FLOOR, 1.5),),
        ),
        _over_users("users-transfers", "4,000 users beside 50, libcurl transfers", TRANSFER, 2.2),
        _over_users("users-wire", "4,000 users beside 50, wire path", WIRE, None),
        _beside_wrk("get-10k", "GET of 10 KiB", Job("/10k"), None),
        Scenario(
            "http2",
            "HTTP/2 by prior knowledge, a connection for each user",
            (Entrant.of(TRANSFER, Job(scheme="h2c")), Entrant.of("h2load", Job(scheme="h2c"))),
            (Entrant.of("oha", Job(scheme="h2c")),),
        ),
        _beside_wrk("new-connection", "a new connection for every request", Job(keepalive=False), None),
    )
}
