"""A site of raw answers by path that remembers every request in full."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.http_harness import (
    OK,
    Client,
    Connection,
    RawServer,
    open_client,
    serving,
)
from perfcore.engine.transport import Exchange
from perfcore.metrics.outcomes import ERROR_KINDS


def answer(status: int = 200, body: bytes = b"ok", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} X", *lines, f"Content-Length: {len(body)}"])
    return head.encode() + b"\r\n\r\n" + body


class Site:
    """Answers by path, and remembers every request in full."""

    def __init__(self, **routes: "bytes | Callable[[bytes], bytes]") -> None:
        self.routes = {f"/{path}": reply for path, reply in routes.items()}
        self.seen: list[bytes] = []

    def __call__(self, connection: Connection) -> None:
        while (got := connection.read_request()) is not None:
            self.seen.append(got)
            reply = self.routes.get(got.split(b" ")[1].decode().partition("?")[0], OK)
            connection.send(reply(got) if callable(reply) else reply)

    def headers(self, name: str) -> list[list[str]]:
        """The values of this header in each request."""
        wanted = name.lower()
        found = []
        for got in self.seen:
            lines = got.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
            found.append(
                [line.partition(":")[2].strip() for line in lines if line.lower().startswith(f"{wanted}:")]
            )
        return found


@contextmanager
def site(**routes: "bytes | Callable[[bytes], bytes]") -> Iterator[tuple[Site, RawServer, Client]]:
    served = Site(**routes)
    with serving(served) as server, open_client() as client:
        yield served, server, client


def outcome(exchange: Exchange) -> tuple[str, int]:
    return ERROR_KINDS[exchange.error], exchange.status
