"""A whole load through the real loop, with cycles or with every request taking the general way.

Over a WireClient, or over an HttpClient where that is asked for.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from waiting import WAIT_S

from engine.http_harness import RawServer, bodies_thrown_away
from engine.load_parts import Budget, case_load
from engine.server_rules import BUFFER_BYTES
from perfcore.engine.case_load import CaseLoad
from perfcore.engine.http_client import HttpClient
from perfcore.engine.load_loop import LoadLoop
from perfcore.engine.poller import Poller
from perfcore.engine.scenario import Scenario
from perfcore.engine.transport import Exchange, Request
from perfcore.engine.wire_client import WireClient
from perfcore.metrics.outcomes import ERROR_KINDS
from perfcore.metrics.samples import INTERRUPTED, Rows, SampleReader, SampleRing, SampleWriter


class OneRequest:
    """The same request for everybody."""

    def __init__(self, constant: Request) -> None:
        self.constant: Request | None = constant

    def request_for(self, _exchange: Exchange) -> Request:
        assert self.constant is not None
        return self.constant


class CountingClient(WireClient):
    """Knows how often the loop had to start something itself."""

    starts = 0

    def start(self, exchange: Exchange, request: Request) -> None:
        self.starts += 1
        super().start(exchange, request)


class CountingTransfers(HttpClient):
    """The same of transfers."""

    starts = 0

    def start(self, exchange: Exchange, request: Request) -> None:
        self.starts += 1
        super().start(exchange, request)


@dataclass
class Load:
    """One closed test, run to its end by `run`; then what came of it, row by row."""

    sent: Request | Scenario  # the same for everybody, or rendered for each
    cycles: bool = True
    transfers: bool = False
    users: int = 4
    iterations: int | None = None
    total: int | None = None
    duration_s: float | None = None
    graceful_stop_s: float = WAIT_S
    blocks: int = 8
    first_sequence: int = 1
    stop_when: Callable[[], bool] = lambda: False
    failures: list[tuple[int, str]] = field(default_factory=list)

    def run(self) -> "Load":
        self.rows: Rows = np.empty(0)
        self.stalls = 0
        parts: list[Rows] = []
        ring = SampleRing(self.blocks)

        def on_stall(rows: Rows) -> None:
            self.stalls += 1
            parts.append(rows.copy())

        writer = SampleWriter(ring, on_stall)
        writer.sequence = self.first_sequence
        with bodies_thrown_away():
            client: CountingClient | CountingTransfers = (
                CountingTransfers(Poller()) if self.transfers else CountingClient(Poller(), BUFFER_BYTES)
            )
            try:
                self.load = load = self._load()
                loop = LoadLoop(
                    [load],
                    client,
                    writer,
                    clock=time.monotonic_ns,
                    on_failure=self._note_failure,
                    on_housekeeping=lambda _now_ns: self.stop_when(),
                )
                if not self.cycles:
                    load.cycle = None
                loop.run()
                writer.finish()
                self.addresses = client.addresses().get(0, {})
                self.versions = client.http_versions().get(0, {})
                self.recognised = client.recognised().get(0, 0)
                self.starts = client.starts
                self.left_in_flight = client.in_flight
            finally:
                client.close()
        SampleReader(ring).drain(lambda rows: parts.append(rows.copy()))
        if parts:
            rows = np.concatenate(parts)
            # Of blocks that were taken out of turn.
            self.rows = rows[
                np.argsort((rows["sequence"] - np.uint32(self.first_sequence)).astype(np.uint32))
            ]
        return self

    def _load(self) -> CaseLoad:
        limits = {"iterations": self.iterations, "total_iterations": self.total, "duration": self.duration_s}
        given: dict[str, Any] = {key: value for key, value in limits.items() if value is not None}
        return case_load(
            0,
            self.sent if isinstance(self.sent, Scenario) else OneRequest(self.sent),
            time.monotonic_ns(),
            budget=None if self.total is None else Budget(self.total),
            graceful_stop_s=self.graceful_stop_s,
            parallel_users=self.users,
            **given,
        )

    def _note_failure(self, exchange: Exchange, _text: str) -> None:
        self.failures.append((exchange.user, ERROR_KINDS[exchange.error]))

    # -- what came of it --------------------------------------------------------------------------------------

    def outcomes(self) -> Counter[tuple[str, int]]:
        """Error kind and status of each row, how often."""
        return Counter(
            (ERROR_KINDS[error], int(status))
            for error, status in zip(self.rows["error"], self.rows["status"], strict=True)
        )

    def by_user(self, *columns: str) -> dict[int, list[tuple[int, ...]]]:
        """The given columns of each user's rows, in the order in which they were recorded."""
        told: dict[int, list[tuple[int, ...]]] = {}
        for row in self.rows:
            told.setdefault(int(row["user"]), []).append(tuple(int(row[name]) for name in columns))
        return told

    @property
    def attempts(self) -> int:
        """Those of the rows that are in the totals."""
        return int(self.rows["attempts"].sum())

    def assert_consistent(self, server: RawServer, requests: int | None = None) -> None:
        """What holds of every load, whatever the server does: instants in order, no gap, the server's own counts."""
        rows = self.rows
        assert self.left_in_flight == 0
        sequence = (rows["sequence"] - np.uint32(self.first_sequence)).astype(np.uint32)
        assert sequence.tolist() == list(range(len(rows)))
        assert (rows["due_ns"] <= rows["issued_ns"]).all()
        assert (rows["issued_ns"] <= rows["done_ns"]).all()
        for user in set(rows["user"].tolist()):
            own = rows[rows["user"] == user]
            # Closed and without a pause: due when the answer before it has come.
            assert own["due_ns"][1:].tolist() == own["done_ns"][:-1].tolist()
        ended = rows[rows["flags"] & INTERRUPTED == 0]
        service_us = (ended["done_ns"] - ended["issued_ns"]) // 1000
        phases = ended["dns_us"].astype(int) + ended["connect_us"] + ended["tls_us"] + ended["ttfb_us"]
        assert (phases <= service_us + 5).all()
        assert sum(counts["connections"] for counts in self.addresses.values()) == len(server.connections)
        if requests is not None:
            assert sum(counts["requests"] for counts in self.addresses.values()) == requests
