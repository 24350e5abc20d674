"""A test's requests as bytes around holes: what is the same for all of them is put together once.

The values are evaluated in the order in which Scenario evaluates them, so that a seed gives the same ones on either
engine.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from perfcore.engine.engine_choice import stays_at_one_place
from perfcore.engine.request_parts import Part
from perfcore.engine.request_text import header_name
from perfcore.engine.scenario import Scenario
from perfcore.engine.transport import Exchange, Request
from perfcore.engine.wire_request import head_lines, header_bytes, request_target
from perfcore.suite.template import RenderContext, compile_text

Hole = Callable[[RenderContext], bytes]


class WireTemplate:
    """Renders one test's requests; `request` takes one apart again, for whoever wants to look at it.

    Of the pieces None is the place of the traceparent header.
    """

    __slots__ = ("_holes", "_origin", "_pieces", "_scenario", "_trace_at", "_trace_ids")

    def __init__(self, scenario: Scenario, origin: str, pieces: list[bytes | Hole | None]) -> None:
        self._scenario = scenario
        self._origin = origin
        self._pieces: list[bytes] = []
        self._holes: list[tuple[int, Hole]] = []
        self._trace_ids = scenario.trace_ids
        self._trace_at = 0
        follows_text = False
        for piece in pieces:
            if not isinstance(piece, bytes):
                if piece is None:
                    self._trace_at = len(self._pieces)
                else:
                    self._holes.append((len(self._pieces), piece))
                self._pieces.append(b"")
            elif follows_text:
                self._pieces[-1] += piece
            else:
                self._pieces.append(piece)
            follows_text = isinstance(piece, bytes)

    def render(self, exchange: Exchange) -> bytes:
        """The request of the user's current iteration, head and body."""
        pieces = self._pieces.copy()
        if self._holes:
            context = self._scenario.context_of(exchange)
            for at, hole in self._holes:
                pieces[at] = hole(context)
        if self._trace_ids is not None:
            pieces[self._trace_at] = (
                b"%b\r\n" % self._trace_ids.header(exchange.user, exchange.due_ns).encode()
            )
        return b"".join(pieces)

    def request(self, data: bytes) -> Request:
        """The request that was rendered to these bytes."""
        head, _, body = data.partition(b"\r\n\r\n")
        line, *headers = head.decode("utf-8", "surrogateescape").split("\r\n")
        has_body = any(header_name(header) == "content-length" for header in headers)
        url = self._origin + line.split(" ")[1]
        return Request(self._scenario.settings, url, headers, body if has_body else None)


def wire_template(scenario: Scenario, sample: Request) -> WireTemplate | None:
    """None where a request of the scenario cannot be made of bytes alone; `sample` is any of its requests."""
    case, settings = scenario.case, scenario.settings
    if case.multipart is not None or case.body_file is not None or settings.cookies:
        return None
    endpoint = compile_text(case.endpoint, scenario.scope)
    if endpoint.constant is None and not stays_at_one_place(endpoint.prefix):
        return None
    given = {header_name(line) for line in sample.headers}
    if "host" in given or "connection" in given:  # not sent where they stand
        return None
    parts = urlsplit(sample.url)
    origin = f"{sample.url.partition('://')[0]}://{parts.netloc}"
    pieces: list[bytes | Hole | None] = [
        f"{settings.method} ".encode(),
        _piece(scenario.url, lambda url: _target(url, origin)),
        b" HTTP/1.1\r\n",
        *(header_bytes(line) for line in head_lines(sample, parts, given)),
        *([] if scenario.trace_ids is None else [None]),
        *(_piece(header, header_bytes) for header in scenario.headers),
    ]
    if scenario.body is None or settings.method == "HEAD":
        pieces.append(b"\r\n")
    else:
        pieces.append(_piece(scenario.body, _with_length))
    return WireTemplate(scenario, origin, pieces)


def _piece(part: Part[Any], finish: Callable[..., bytes]) -> bytes | Hole:
    render = part.render
    if render is None:
        return finish(part.constant)
    return lambda context: finish(render(context))


def _target(url: str, origin: str) -> bytes:
    rest = url[len(origin) :]
    if (
        url.startswith(origin)
        and rest.startswith("/")
        and "%" not in rest
        and "/." not in rest
        and "#" not in rest
    ):
        return rest.encode()
    return request_target(urlsplit(url).path, url).encode()


def _with_length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
