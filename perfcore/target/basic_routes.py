"""Routes with known answers, delays and failures, and /stats. See routes.py for what a route function does."""

import base64
import math
import re
from fractions import Fraction
from urllib.parse import unquote

from perfcore.target.messages import (
    TOKEN,
    Exchange,
    Plan,
    RefusalError,
    Request,
    Response,
    has_no_body,
    json_response,
)
from perfcore.target.state import Share, TargetState

_MAX_SHARES = 1_000
_RATE = re.compile(r"\d{1,9}(\.\d{0,15})?|\.\d{1,15}")
LONGEST_HOLD_S = 86_400.0


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
        user = {**user, **request.json_object(), "id": user["id"]}
    return request.encode(json_response(200, user))


def _user(identity: int | str) -> dict[str, object]:
    return {"id": identity, "name": f"User {identity}", "email": f"user{identity}@example.com"}


def _create_user(request: Request, state: TargetState) -> Plan:
    fields = request.json_object()
    fields.pop("id", None)

    def create(exchange: Exchange) -> None:
        state.last_user += 1
        location = (("Location", f"/users/{state.last_user}"),)
        exchange.send(request.encode(json_response(201, {"id": state.last_user, **fields}, location)))

    return create


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
    if not (colon and TOKEN.fullmatch(name) and value.isprintable() and value.isascii()):
        raise RefusalError(400, f"response_header={text!r} is not Name:value")
    return name, value


def delay(request: Request, state: TargetState) -> Plan:
    held_ns = milliseconds(request.rest)
    wire = request.encode(json_response(200, {"delay_ms": held_ns / 1e6}))
    return lambda exchange: exchange.hold(exchange.arrived_ns + held_ns, lambda: exchange.send(wire))


def milliseconds(text: str) -> int:
    """Nanoseconds, from text that counts milliseconds."""
    try:
        given_ms = float(text)
    except ValueError:
        given_ms = math.nan
    if not 0 <= given_ms <= LONGEST_HOLD_S * 1000:
        raise RefusalError(400, f"{text!r} is not a number of milliseconds between 0 and a day")
    return round(given_ms * 1e6)


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
