"""A request as the target keeps it, and the bytes of its answer.

The bytes of a Response depend on the request (HEAD, HTTP/1.0, whether the connection stays open), so a Request
encodes its own answers. There is no Date header: the answer to the same bytes is then the same bytes, which lets
the server remember it (see server.py).
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

from perfcore.target.counters import PathCount

if TYPE_CHECKING:
    from hashlib import _Hash

JSON_TYPE = "application/json"
BINARY_TYPE = "application/octet-stream"
REASONS = {status.value: status.phrase for status in HTTPStatus}
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110: the name of a header or of a cookie."""


class RefusalError(Exception):
    """The request is well-formed HTTP but asks for something this server does not have."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Ending(Enum):
    """What becomes of the connection after the last byte of an answer.

    NEXT: it goes on with its next request. CLOSE: it is closed (FIN). RESET: it is reset (RST) once the client's
    kernel has all bytes. SILENCE: nothing more comes, until the client goes.
    """

    NEXT = 1
    CLOSE = 2
    RESET = 3
    SILENCE = 4


class Exchange(Protocol):
    """A request being answered, as a route sees it: hold it for a while if need be, then `send` once.

    Who wants to misbehave sends pieces with `send_raw` and then ends it.
    """

    arrived_ns: int
    """CLOCK_MONOTONIC when the bytes were read that completed the request, or came, where it `is_stamped`."""
    is_stamped: bool
    """The kernel has said when the bytes came; asked for requests that are `is_timed`."""

    def hold(self, until_ns: int, then: Callable[[], None]) -> None:
        """Call `then` at this instant of CLOCK_MONOTONIC, unless the client has gone by then."""

    def send(self, wire: bytes) -> None:
        """Send the whole answer and let the connection go on with its next request."""

    def send_raw(self, part: bytes) -> None:
        """Send these bytes; the answer is not over."""

    def end(self, ending: Ending) -> None:
        """The answer is over."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer too large to hold: its head, and blocks that are made as the client takes them."""

    head: bytes
    blocks: Callable[[], Iterator[bytes]]
    ending: Ending = Ending.NEXT


Plan = bytes | Stream | Callable[[Exchange], None]
"""How a request is answered: always with the same bytes, with a stream, or by a function called each time."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()


def json_response(status: int, value: object, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return Response(status, json.dumps(value).encode(), headers=headers)


def has_no_body(status: int) -> bool:
    return status < 200 or status in (204, 304)


class Request:
    """`target` is as received; `path` is its path, still percent-encoded; `rest` what follows the first segment.

    `counter` is where it was counted, and is counted again when it is remembered. `plan` is made when its turn
    comes; `wire` is the answer of a request that keeps its connection and is always answered with the same bytes.
    `body_bytes` and `body_hash` are set where the route has the body hashed. `is_stats`: it asks what the target has
    seen, and is not counted. `is_timed`: how long it is held matters from when the kernel had it.
    """

    __slots__ = (
        "body",
        "body_bytes",
        "body_hash",
        "counter",
        "headers",
        "is_stats",
        "is_timed",
        "keeps_alive",
        "lingers",
        "method",
        "path",
        "plan",
        "query_text",
        "rest",
        "segment",
        "target",
        "version",
        "wire",
    )

    def __init__(self, method: str, target: str, version: str, headers: list[tuple[bytes, bytes]]) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.path, _, self.query_text = _origin_form(target).partition("?")
        self.segment, _, self.rest = self.path[1:].partition("/")
        self.is_timed = self.path in ("/truth", "/stall")
        self.is_stats = self.path == "/truth/held" or (self.segment == "stats" and self.path[:1] == "/")
        self.keeps_alive = True
        self.lingers = False
        self.body = b""
        self.body_bytes = 0
        self.body_hash: _Hash | None = None
        self.counter = PathCount()
        self.plan: Plan | None = None
        self.wire: bytes | None = None

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.query_text, keep_blank_values=True)

    def parameter(self, name: str, default: str) -> str:
        """The last value of this query parameter."""
        return self.query.get(name, [default])[-1]

    def flag(self, name: str) -> bool:
        """Whether this query parameter is 1; RefusalError unless it is 1, 0 or absent."""
        text = self.parameter(name, "0")
        if text not in ("0", "1"):
            raise RefusalError(400, f"{name}={text!r} is not 0 or 1")
        return text == "1"

    def header(self, name: bytes) -> str:
        """The values of this header (its name in lower case) as one, separated as RFC 9110 has it; or nothing."""
        return ", ".join(value.decode("latin-1") for given, value in self.headers if given.lower() == name)

    def json_object(self) -> dict[str, object]:
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            raise RefusalError(400, "the body is not JSON") from None
        if not isinstance(value, dict):
            raise RefusalError(400, "the body is not a JSON object")
        return value

    def head(self, response: Response, framing: str) -> bytes:
        """Status line and headers; `framing` is the line that tells how long the body is, or nothing."""
        reason = REASONS.get(response.status, "Unknown")
        lines = [f"HTTP/1.1 {response.status} {reason}", "Server: perfcore-target"]
        if not has_no_body(response.status):
            lines.append(f"Content-Type: {response.content_type}")
        if framing:
            lines.append(framing)
        lines += [f"{name}: {value}" for name, value in response.headers]
        if not self.keeps_alive:
            lines.append("Connection: close")
        elif self.version == "1.0":
            lines.append("Connection: keep-alive")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def encode(self, response: Response) -> bytes:
        """The whole answer; without its body, but with its length, for HEAD."""
        if has_no_body(response.status):
            return self.head(response, "")
        head = self.head(response, f"Content-Length: {len(response.body)}")
        return head if self.method == "HEAD" else head + response.body


def _origin_form(target: str) -> str:
    """Path and query of a request target, also of one in absolute form (as sent to a proxy)."""
    target = target.partition("#")[0]
    if target.startswith("/") or "://" not in target:
        return target
    rest = target.partition("://")[2]
    slash = rest.find("/")
    return rest[slash:] if slash >= 0 else "/"
