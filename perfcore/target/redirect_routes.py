"""/redirect: places that lead elsewhere, so many times, for ever, or to where the client should not follow."""

import re

from perfcore.target.messages import Plan, RefusalError, Request, json_response
from perfcore.target.state import TargetState

_STATUSES = ("301", "302", "303", "307", "308")
_LOOP = "loop"


def redirect(request: Request, state: TargetState) -> Plan:
    """N leads to N-1 and 0 answers; `loop` leads to itself; `?to=` leads there at once.

    The query is kept on the way, so `?status=` and `?absolute=1` hold for every step.
    """
    status = request.parameter("status", "302")
    if status not in _STATUSES:
        raise RefusalError(400, f"status={status!r} is not one of {', '.join(_STATUSES)}")
    place = request.parameter("to", "") or _next_step(request)
    if place is None:
        return request.encode(json_response(200, {"redirected": True, "method": request.method}))
    if not (place.isascii() and place.isprintable()):
        raise RefusalError(400, f"to={place!r} is not printable ASCII; percent-encode it twice")
    if request.flag("absolute") and place.startswith("/"):
        host = request.header(b"host")
        if not host:
            raise RefusalError(400, "absolute=1 needs a Host header")
        place = f"{state.scheme}://{host}{place}"
    return request.encode(json_response(int(status), {"location": place}, (("Location", place),)))


def _next_step(request: Request) -> str | None:
    """Where this one leads, None at the end of the way."""
    if request.rest == _LOOP:
        step = _LOOP
    elif re.fullmatch(r"[0-9]{1,9}", request.rest):
        if int(request.rest) == 0:
            return None
        step = str(int(request.rest) - 1)
    else:
        raise RefusalError(
            400, f"/redirect/{request.rest} is not /redirect/N, /redirect/loop or /redirect?to=URL"
        )
    return f"/redirect/{step}" + (f"?{request.query_text}" if request.query_text else "")
