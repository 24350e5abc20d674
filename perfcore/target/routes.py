"""What the target answers: one function per route, and ROUTES, the table that names them by first path segment.

A route function is called when a request is complete. It reads the request once and returns a Plan: bytes if the
answer is always the same, a Stream, or a function that answers each time. The server remembers the plan for
requests of the same bytes, so parsing a query here costs nothing under load. A RefusalError, or a ValueError from a
parser of perfcore.units, becomes a JSON error and leaves the connection open.
"""

import base64
import json
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from urllib.parse import unquote

from perfcore.target.counters import Counters
from perfcore.target.messages import Exchange, Plan, Request, Response, Stream, has_no_body, json_response
from perfcore.units import parse_count, parse_duration

BLOCK_BYTES = 65_536
# Larger answers are streamed. Up to a thousand smaller ones are remembered by the server, so this bounds them.
_WHOLE_BYTES = 16_384
FILLER = b"0123456789abcdef" * (BLOCK_BYTES // 16)
_BINARY = "application/octet-stream"
_MAX_SHARES = 1_000
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RATE = re.compile(r"\d{1,9}(\.\d{0,15})?|\.\d{1,15}")
_LONGEST_HOLD_S = 86_400.0


class RefusalError(Exception):
    """The request is well-formed HTTP but asks for something this server does not have."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Share:
    """True for exactly floor(n · rate) of the first n calls, evenly spread (error diffusion)."""

    def __init__(self, rate: Fraction) -> None:
        self._rate = rate
        self._calls = 0

    def take(self) -> bool:
        numerator, denominator = self._rate.numerator, self._rate.denominator
        before = self._calls * numerator // denominator
        self._calls += 1
        return self._calls * numerator // denominator > before


@dataclass
class TargetState:
    """What all connections of one server share. `known` maps the exact bytes of a request to what it is."""

    counters: Counters = field(default_factory=Counters)
    known: dict[bytes, Request] = field(default_factory=dict)
    started_ns: int = field(default_factory=time.monotonic_ns)
    shares: dict[tuple[Fraction, int], Share] = field(default_factory=dict)
    last_user: int = 1_000

    def reset(self) -> None:
        """Counters and the shares of /flaky start anew; remembered requests go, they hold the old ones."""
        self.counters.reset()
        self.shares.clear()
        self.known.clear()


@dataclass(frozen=True, slots=True)
class Route:
    plan: Callable[[Request, TargetState], Plan]
    takes_rest: bool = False
    """Whether anything may follow the first segment of the path."""
    keeps_body: bool = False
    """Whether the request's body is collected (up to a limit of the server) or thrown away as it arrives."""


def find_route(request: Request) -> Route | None:
    route = ROUTES.get(request.segment) if request.path.startswith("/") else None
    return None if route is None or (request.rest and not route.takes_rest) else route


def make_plan(request: Request, state: TargetState) -> Plan:
    """How to answer this complete request; mistakes in it are answered too, never raised."""
    route = find_route(request)
    if route is None:
        return request.encode(json_response(404, {"error": f"no route for {request.path}"}))
    try:
        return route.plan(request, state)
    except RefusalError as refusal:
        return request.encode(json_response(refusal.status, {"error": str(refusal)}))
    except ValueError as error:
        return request.encode(json_response(400, {"error": str(error)}))


def health(request: Request, state: TargetState) -> Plan:
    return request.encode(json_response(200, {"status": "ok"}))


def users(request: Request, state: TargetState) -> Plan:
    """GET a user that follows from its id, POST one that gets the next id, PUT, PATCH and DELETE any."""
    if request.method == "POST" and not request.rest:
        return _create_user(request, state)
    if not request.rest:
        return request.encode(json_response(200, [_user(number) for number in (1, 2, 3)]))
    if request.method == "DELETE":
        return request.encode(Response(204))
    text = unquote(request.rest)
    user = _user(int(text) if re.fullmatch(r"[0-9]{1,18}", text) else text)
    if request.method in ("PUT", "PATCH"):
        user = {**user, **_json_object(request), "id": user["id"]}
    return request.encode(json_response(200, user))


def _user(identity: int | str) -> dict[str, object]:
    return {"id": identity, "name": f"User {identity}", "email": f"user{identity}@example.com"}


def _create_user(request: Request, state: TargetState) -> Plan:
    fields = _json_object(request)
    fields.pop("id", None)

    def create(exchange: Exchange) -> None:
        state.last_user += 1
        location = (("Location", f"/users/{state.last_user}"),)
        exchange.send(request.encode(json_response(201, {"id": state.last_user, **fields}, location)))

    return create


def _json_object(request: Request) -> dict[str, object]:
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError):
        raise RefusalError(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise RefusalError(400, "the body is not a JSON object")
    return value


def echo(request: Request, state: TargetState) -> Plan:
    """The request as it arrived. `?response_header=Name:value`, repeatable, asks for headers of the answer."""
    seen: dict[str, object] = {
        "method": request.method,
        "target": request.target,
        "path": request.path,
        "query": request.query,
        "http_version": request.version,
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers],
    }
    try:
        seen["body"] = request.body.decode()
    except UnicodeDecodeError:
        seen["body"] = None
        seen["body_base64"] = base64.b64encode(request.body).decode()
    headers = tuple(_asked_header(text) for text in request.query.get("response_header", []))
    return request.encode(json_response(200, seen, headers))


def _asked_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    value = value.strip()
    if not (colon and _TOKEN.fullmatch(name) and value.isprintable() and value.isascii()):
        raise RefusalError(400, f"response_header={text!r} is not Name:value")
    return name, value


def delay(request: Request, state: TargetState) -> Plan:
    held_ns = _milliseconds(request.rest)
    wire = request.encode(json_response(200, {"delay_ms": held_ns / 1e6}))
    return lambda exchange: exchange.hold(exchange.arrived_ns + held_ns, lambda: exchange.send(wire))


def _milliseconds(text: str) -> int:
    """Nanoseconds."""
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = math.nan
    if not 0 <= milliseconds <= _LONGEST_HOLD_S * 1000:
        raise RefusalError(400, f"{text!r} is not a number of milliseconds between 0 and a day")
    return round(milliseconds * 1e6)


def truth(request: Request, state: TargetState) -> Plan:
    """Answers how long it held the request, from reading its last byte to writing the answer.

    The number is padded with blanks, which JSON allows, so that nothing is left to do between reading the clock
    and the write but to put it in.
    """
    held_ns = _milliseconds(request.parameter("delay_ms", "0"))
    blank = json.dumps({"held_ns": 0}).encode().replace(b"0", b"%20d")
    head = request.encode(Response(200, blank % 0))
    body = b"" if request.method == "HEAD" else blank
    head = head.removesuffix(blank % 0)

    def answer(exchange: Exchange) -> None:
        exchange.send(head + body % (time.monotonic_ns() - exchange.arrived_ns) if body else head)

    return lambda exchange: exchange.hold(exchange.arrived_ns + held_ns, lambda: answer(exchange))


def status(request: Request, state: TargetState) -> Plan:
    """That status. 1xx comes as an interim answer before a 200, for a client would wait for more otherwise."""
    code = _status_code(request.rest)
    if code == 101:
        # Nothing can follow in HTTP after this one.
        request.keeps_alive = False
        return request.encode(Response(101))
    if code < 200:
        final = request.encode(json_response(200, {"status": 200}))
        interim = b"" if request.version == "1.0" else f"HTTP/1.1 {code} Interim\r\n\r\n".encode()
        return interim + final
    headers: tuple[tuple[str, str], ...] = ()
    if code in (301, 302, 303, 307, 308):
        headers = (("Location", "/health"),)
    elif code == 401:
        headers = (("WWW-Authenticate", 'Basic realm="perfcore"'),)
    if has_no_body(code) or code == 205:
        return request.encode(Response(code, headers=headers))
    return request.encode(json_response(code, {"status": code}, headers))


def _status_code(text: str) -> int:
    if not re.fullmatch(r"[1-5][0-9]{2}", text):
        raise RefusalError(400, f"{text!r} is not a status between 100 and 599")
    return int(text)


def sized(request: Request, state: TargetState) -> Plan:
    """N bytes with a Content-Length."""
    size = parse_count(unquote(request.rest))
    if size <= _WHOLE_BYTES:
        return request.encode(Response(200, FILLER[:size], _BINARY))
    head = request.head(Response(200, content_type=_BINARY), f"Content-Length: {size}")
    if request.method == "HEAD":
        return head
    return Stream(head, lambda: _blocks(size, BLOCK_BYTES))


def chunked(request: Request, state: TargetState) -> Plan:
    """N bytes in chunks of `?chunk=` bytes (16 KiB); HTTP/1.0 has no chunks, there closing ends them."""
    size = parse_count(unquote(request.rest))
    chunk = parse_count(request.parameter("chunk", "16384"))
    if not 1 <= chunk <= BLOCK_BYTES:
        raise RefusalError(400, f"chunk={chunk} is not between 1 and {BLOCK_BYTES}")
    response = Response(200, content_type=_BINARY)
    if request.version == "1.0":
        request.keeps_alive = False
        head = request.head(response, "")
        return head if request.method == "HEAD" else Stream(head, lambda: _blocks(size, BLOCK_BYTES))
    head = request.head(response, "Transfer-Encoding: chunked")
    if request.method == "HEAD":
        return head
    if size <= _WHOLE_BYTES:
        return head + b"".join(_chunks(size, chunk))
    return Stream(head, lambda: _chunks(size, chunk))


def _blocks(size: int, block: int) -> Iterator[bytes]:
    whole = FILLER[:block]
    for _ in range(size // block):
        yield whole
    if size % block:
        yield FILLER[: size % block]


def _chunks(size: int, chunk: int) -> Iterator[bytes]:
    """Small chunks come several in a piece, for each piece costs a system call."""
    frame = b"%x\r\n%b\r\n" % (chunk, FILLER[:chunk])
    at_once = max(1, BLOCK_BYTES // len(frame))
    piece = frame * at_once
    pieces, left = divmod(size // chunk, at_once)
    for _ in range(pieces):
        yield piece
    tail = frame * left
    if size % chunk:
        tail += b"%x\r\n%b\r\n" % (size % chunk, FILLER[: size % chunk])
    yield tail + b"0\r\n\r\n"


def flaky(request: Request, state: TargetState) -> Plan:
    """Fails for exactly floor(n · rate) of n requests with the same rate and status, whichever client sent them."""
    text = request.parameter("rate", "0.1")
    rate = Fraction(text) if _RATE.fullmatch(text) else Fraction(2)
    if rate > 1:
        raise RefusalError(400, f"rate={text!r} is not between 0 and 1")
    code = _status_code(request.parameter("status", "503"))
    if code < 200:
        raise RefusalError(400, f"status={code} is not a final status")
    if len(state.shares) >= _MAX_SHARES:
        state.shares.clear()
        state.known.clear()
    share = state.shares.setdefault((rate, code), Share(rate))
    good = request.encode(json_response(200, {"status": "ok"}))
    bad = request.encode(json_response(code, {"status": code}))
    return lambda exchange: exchange.send(bad if share.take() else good)


def stall(request: Request, state: TargetState) -> Plan:
    """Requests that arrive in the last `for` of every `every` since the server's start wait for its end."""
    every_ns = round(parse_duration(request.parameter("every", "10s")) * 1e9)
    for_ns = round(parse_duration(request.parameter("for", "1s")) * 1e9)
    if not 0 < every_ns <= _LONGEST_HOLD_S * 1e9 or for_ns > every_ns:
        raise RefusalError(400, "every must be above 0 and up to a day, for at most as long")
    wire = request.encode(json_response(200, {"status": "ok"}))

    def answer(exchange: Exchange) -> None:
        into_window_ns = (exchange.arrived_ns - state.started_ns) % every_ns
        if into_window_ns < every_ns - for_ns:
            exchange.send(wire)
        else:
            exchange.hold(exchange.arrived_ns - into_window_ns + every_ns, lambda: exchange.send(wire))

    return answer


def stats(request: Request, state: TargetState) -> Plan:
    """GET /stats tells the counters; POST /stats/reset or DELETE /stats resets them."""
    asks_reset = (request.method, request.rest) in (("POST", "reset"), ("DELETE", ""))
    if request.rest not in ("", "reset"):
        raise RefusalError(404, f"no route for {request.path}")
    if not asks_reset and (request.rest or request.method not in ("GET", "HEAD")):
        raise RefusalError(405, "GET /stats, DELETE /stats or POST /stats/reset")

    def answer(exchange: Exchange) -> None:
        if asks_reset:
            state.reset()
        exchange.send(request.encode(json_response(200, state.counters.snapshot())))

    return answer


ROUTES: dict[str, Route] = {
    "health": Route(health),
    "users": Route(users, takes_rest=True, keeps_body=True),
    "echo": Route(echo, takes_rest=True, keeps_body=True),
    "delay": Route(delay, takes_rest=True),
    "truth": Route(truth),
    "status": Route(status, takes_rest=True),
    "bytes": Route(sized, takes_rest=True),
    "chunked": Route(chunked, takes_rest=True),
    "flaky": Route(flaky),
    "stall": Route(stall),
    "stats": Route(stats, takes_rest=True),
}
