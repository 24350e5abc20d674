"""Routes that hold a request for a time that is known, and what they held altogether.

The time counts from the kernel's receive stamp of the request's last bytes, so that what a request waits in the
socket's buffer of a busy server is in it. Over TLS and unix sockets, which have no such stamps here, it counts from
reading. Of several requests in one read the earlier ones have the stamp of the last.
"""

import json
import time

from perfcore.target.basic_routes import LONGEST_HOLD_S, milliseconds
from perfcore.target.messages import Exchange, Plan, RefusalError, Request, Response, json_response
from perfcore.target.state import TargetState
from perfcore.units import parse_duration


def truth(request: Request, state: TargetState) -> Plan:
    """Answers how long it held the request, until writing the answer; /truth/held tells of all.

    The number is padded with blanks, which JSON allows, so that nothing is left to do between reading the clock
    and the write but to put it in.
    """
    if request.rest == "held":
        return _held(request, state)
    if request.rest:
        raise RefusalError(404, f"no route for {request.path}")
    held_ns = milliseconds(request.parameter("delay_ms", "0"))
    blank = json.dumps({"held_ns": 0}).encode().replace(b"0", b"%20d")
    head = request.encode(Response(200, blank % 0))
    body = b"" if request.method == "HEAD" else blank
    head = head.removesuffix(blank % 0)

    def answer(exchange: Exchange) -> None:
        was_held_ns = time.monotonic_ns() - exchange.arrived_ns
        exchange.send(head + body % was_held_ns if body else head)
        state.held.add(was_held_ns, exchange.is_stamped)

    return lambda exchange: exchange.hold(exchange.arrived_ns + held_ns, lambda: answer(exchange))


def _held(request: Request, state: TargetState) -> Plan:
    """The distribution of what /truth and /stall held since the last reset; `?reset=1` begins anew after it."""
    begins_anew = request.flag("reset")
    if request.method not in ("GET", "HEAD"):
        raise RefusalError(405, "GET /truth/held or GET /truth/held?reset=1")

    def answer(exchange: Exchange) -> None:
        told = state.held.snapshot()
        if begins_anew:
            state.held.reset()
        exchange.send(request.encode(json_response(200, told)))

    return answer


def stall(request: Request, state: TargetState) -> Plan:
    """Requests that arrive in the last `for` of every `every` since the server's start wait for its end."""
    every_ns = round(parse_duration(request.parameter("every", "10s")) * 1e9)
    for_ns = round(parse_duration(request.parameter("for", "1s")) * 1e9)
    if not 0 < every_ns <= LONGEST_HOLD_S * 1e9 or for_ns > every_ns:
        raise RefusalError(400, "every must be above 0 and up to a day, for at most as long")
    wire = request.encode(json_response(200, {"status": "ok"}))

    def answer(exchange: Exchange) -> None:
        was_held_ns = time.monotonic_ns() - exchange.arrived_ns
        exchange.send(wire)
        state.held.add(was_held_ns, exchange.is_stamped)

    def hold(exchange: Exchange) -> None:
        into_window_ns = (exchange.arrived_ns - state.started_ns) % every_ns
        if into_window_ns < every_ns - for_ns:
            answer(exchange)
        else:
            exchange.hold(exchange.arrived_ns - into_window_ns + every_ns, lambda: answer(exchange))

    return hold
