"""Which options of a request cannot be had together.

Works on the keys of the suite file (or of the Python interface) before their values were checked, so that these
mistakes are told with all others.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from perfcore.suite.mistakes import Mistake

# A key of a test that makes a header itself, so that one of the two is given.
HEADER_OF_KEY = {
    "auth": "authorization",
    "compressed": "accept-encoding",
    "multipart": "content-type",
    "trace": "traceparent",
}
_ONE_OF_THEM = "give one of them"
_WITH_HEADER = {
    "auth": f"there is an Authorization header too; {_ONE_OF_THEM}",
    "compressed": f"there is an Accept-Encoding header too; {_ONE_OF_THEM}",
    "multipart": "there is a Content-Type header too; leave it out, since the boundary in it is made here",
    "trace": f"there is a traceparent header too; {_ONE_OF_THEM}",
}
# The first cannot have an effect when the second is given.
_WITHOUT_EFFECT = (
    ("resolve", "proxy", ", which looks names up itself"),
    ("dns", "proxy", ", which looks names up itself"),
    ("proxy", "unix_socket", ""),
    ("resolve", "unix_socket", ""),
    ("dns", "unix_socket", ""),
    ("local_addresses", "unix_socket", ""),
)


def has_header(headers: object, wanted: str) -> bool:
    """Whether headers as a suite has them hold one of this lower-case name."""
    return isinstance(headers, Mapping) and any(str(name).lower() == wanted for name in headers)


def is_asked(value: object) -> bool:
    """Whether a value that may not have been checked asks for something: neither null, false nor empty."""
    if isinstance(value, str):
        return value.lower() not in ("", "false")
    return value is not None and value is not False and value not in ({}, [], ())


def option_mistakes(test: Mapping[str, Any]) -> Iterator[Mistake]:
    """The values have not been checked."""
    for key, header in HEADER_OF_KEY.items():
        if is_asked(test.get(key)) and has_header(test.get("headers"), header):
            yield Mistake((key,), _WITH_HEADER[key])
    for key, other, why in _WITHOUT_EFFECT:
        asked = _selects(test.get(key)) if key == "dns" else is_asked(test.get(key))
        if asked and is_asked(test.get(other)):
            yield Mistake((key,), f"has no effect with {other}{why}; {_ONE_OF_THEM}")
    if test.get("http_version") in ("3", 3):
        for other in ("proxy", "unix_socket"):
            if is_asked(test.get(other)):
                yield Mistake(("http_version",), f"HTTP/3 cannot go through {other}; write auto, 1.1 or 2")
    if is_asked(test.get("preconnect")) and not is_asked(test.get("keepalive", True)):
        text = "has no use with keepalive: false, which makes a new connection for every request"
        yield Mistake(("preconnect",), text)


def _selects(dns: object) -> bool:
    """Whether it asks for more than what is done anyway."""
    select = dns.get("select") if isinstance(dns, Mapping) else getattr(dns, "select", None)
    return select not in (None, "first")
