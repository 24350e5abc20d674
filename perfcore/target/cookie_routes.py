"""/cookies: tells those that came, sets and deletes them. The server keeps none: the client must."""

import re

from perfcore.target.messages import TOKEN, Plan, RefusalError, Request, json_response
from perfcore.target.state import TargetState

# cookie-octet of RFC 6265: no blank, quote, comma, semicolon, backslash.
_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")
_GONE = "Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


def cookies(request: Request, state: TargetState) -> Plan:
    if request.rest == "set":
        return _set(request)
    if request.rest == "delete":
        names = _checked(dict.fromkeys(request.query, ""), "delete?name")
        headers = tuple(("Set-Cookie", f"{name}=; {_GONE}") for name in names)
        return request.encode(json_response(200, {"deleted": list(names)}, headers))
    if request.rest:
        raise RefusalError(404, f"no route for {request.path}")
    return request.encode(json_response(200, {"cookies": received_cookies(request)}))


def _set(request: Request) -> Plan:
    asked = {name: values[-1] for name, values in request.query.items() if name != "redirect"}
    headers = tuple(
        ("Set-Cookie", f"{name}={value}; Path=/") for name, value in _checked(asked, "set?name=value").items()
    )
    if request.flag("redirect"):
        place = (("Location", "/cookies"), *headers)
        return request.encode(json_response(302, {"location": "/cookies"}, place))
    return request.encode(json_response(200, {"set": asked}, headers))


def _checked(asked: dict[str, str], form: str) -> dict[str, str]:
    if not asked:
        raise RefusalError(400, f"which cookie? /cookies/{form}")
    for name, value in asked.items():
        if not (TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
            raise RefusalError(400, f"{name!r}={value!r} cannot be a cookie")
    return asked


def received_cookies(request: Request) -> dict[str, str]:
    """The cookies that this request carries; of one name the first, which is the most specific (RFC 6265, 5.4)."""
    found: dict[str, str] = {}
    for given, line in request.headers:
        if given.lower() == b"cookie":
            for pair in line.decode("latin-1").split(";"):
                name, equals, value = pair.strip().partition("=")
                if equals:
                    found.setdefault(name, value)
    return found
