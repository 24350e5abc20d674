"""MixedClient: tests of both engines in one worker at the same time (`mode: parallel`).

Each engine keeps its own epoll; when neither has anything, both are waited for together.
"""

import select
import time
from collections.abc import Iterable, Mapping

from perfcore.engine.engine_choice import Engine
from perfcore.engine.http_client import HttpClient
from perfcore.engine.poller import Poller
from perfcore.engine.transport import Exchange, Request, Transport
from perfcore.engine.wire_client import WireClient

_COARSE_WAIT_S = 0.002


def transport_for(engines: Mapping[int, Engine]) -> Transport:
    """What carries the tests of a phase, given the engine of each."""
    used = set(engines.values())
    if used == {"wire"}:
        return WireClient(Poller())
    if used == {"transfer"}:
        return HttpClient(Poller())
    return MixedClient(engines)


class MixedClient:
    """Hands each exchange to the engine of its test. See engine/transport.py for the methods."""

    name = "mixed"

    def __init__(self, engines: Mapping[int, Engine]) -> None:
        pollers = Poller(), Poller()
        self._wire, self._transfer = WireClient(pollers[0]), HttpClient(pollers[1])
        self._clients: tuple[Transport, Transport] = self._wire, self._transfer
        self._client_of: dict[int, Transport] = {
            case: self._wire if engine == "wire" else self._transfer for case, engine in engines.items()
        }
        self._both = select.epoll()
        for poller in pollers:
            self._both.register(poller.fileno(), select.EPOLLIN)

    @property
    def in_flight(self) -> int:
        return sum(client.in_flight for client in self._clients)

    @property
    def longest_pass_ns(self) -> int:
        return max(self._wire.longest_pass_ns, self._transfer.longest_pass_ns)

    def start(self, exchange: Exchange, request: Request) -> None:
        self._client_of[exchange.case].start(exchange, request)

    def poll(self, timeout_s: float) -> list[Exchange]:
        """What has ended in either, `done_ns` stamped by it."""
        deadline = time.monotonic() + timeout_s
        while True:
            completed = [exchange for client in self._clients for exchange in client.poll(0.0)]
            now = time.monotonic()
            if completed or now >= deadline:
                return completed
            wait_s = min(deadline - now, *(client.wants_s() for client in self._clients))
            if wait_s > 0:
                self._both.poll(wait_s if wait_s < _COARSE_WAIT_S else wait_s - 0.001, 2)

    def wants_s(self) -> float:
        return min(client.wants_s() for client in self._clients)

    def cut(self, exchange: Exchange) -> None:
        self._client_of[exchange.case].cut(exchange)

    def hand_back(self, exchange: Exchange) -> None:
        self._client_of[exchange.case].hand_back(exchange)

    def keep_next(self, exchange: Exchange) -> None:
        self._client_of[exchange.case].keep_next(exchange)

    def location(self, exchange: Exchange) -> str | None:
        return self._client_of[exchange.case].location(exchange)

    def preconnect(self, case: int, requests: Iterable[tuple[int, Request]], timeout_s: float) -> None:
        self._client_of[case].preconnect(case, requests, timeout_s)

    def addresses(self) -> dict[int, dict[str, dict[str, int]]]:
        return self._wire.addresses() | self._transfer.addresses()

    def http_versions(self) -> dict[int, dict[str, int]]:
        return self._wire.http_versions() | self._transfer.http_versions()

    def emptied_jars(self) -> dict[int, int]:
        return self._wire.emptied_jars() | self._transfer.emptied_jars()

    def recognised(self) -> dict[int, int]:
        return self._wire.recognised()

    def rehearse(self) -> None:
        for client in self._clients:
            client.rehearse()

    def close(self) -> None:
        self._both.close()
        for client in self._clients:
            client.close()
