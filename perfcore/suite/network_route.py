"""The way from here to the server: `proxy`, `resolve`, `dns`, `local_addresses`, `unix_socket`."""

import re
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, WithJsonSchema

from perfcore.suite.field_types import read_list, read_mapping, read_word
from perfcore.suite.mistakes import Mistake, ModelError, shown
from perfcore.suite.model import SuiteModel
from perfcore.suite.secret_names import mask_url

PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
# For editors, whose regular expressions have no flag for upper and lower case.
_PROXY_PATTERN = r"^$|^([hH][tT][tT][pP][sS]?|[sS][oO][cC][kK][sS](4[aA]?|5[hH]?))://.+|\$\{"
_PROXY_FORM = "write http://host:3128 (or https, socks4, socks4a, socks5, socks5h)"


def read_proxy(value: object) -> str:
    """The URL of a proxy; empty for none."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not the URL of a proxy; {_PROXY_FORM}")
    scheme, separator, _ = value.partition("://")
    if not separator or scheme.lower() not in PROXY_SCHEMES:
        # Without a scheme, mask_url would not know a user and password before the @.
        told = shown(mask_url(value) if separator else value.rpartition("@")[2])
        raise ValueError(f"{told} is not the URL of a proxy; {_PROXY_FORM}")
    told = shown(mask_url(value))
    if not value.isprintable() or " " in value:
        raise ValueError(f"{told} holds a space or a control character")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"{told} is not a URL: its host or port cannot be read") from None
    if not host or not port:
        raise ValueError(f"{told} has no {'usable port' if host else 'host'}; {_PROXY_FORM}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{told} has a path; {_PROXY_FORM}")
    return value


ProxyUrl = Annotated[
    str,
    PlainValidator(read_proxy),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "null"},
                {"type": "string", "pattern": _PROXY_PATTERN},
            ]
        }
    ),
]

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


def read_address(value: object) -> str:
    """An IPv4 or IPv6 address, as the operating system writes it; brackets around it are taken off."""
    text = value[1:-1] if isinstance(value, str) and value[:1] == "[" and value[-1:] == "]" else value
    try:
        if not isinstance(text, str) or "%" in text:
            raise ValueError
        return str(ip_address(text))
    except ValueError:
        raise ValueError(f"{shown(value)} is not an IP address; write 127.0.0.1 or ::1") from None


def read_resolve(value: object) -> dict[str, str]:
    """Lower-case host names, international ones in their IDNA form, and the address to connect to for each."""
    hosts = read_mapping(value, read_address)
    found, result = [], dict[str, str]()
    for name, address in hosts.items():
        host = _ascii_host(name)
        if not _HOST.fullmatch(host):
            text = f"{shown(name)} is not the name of a host; write it without scheme and port"
            found.append(Mistake((name,), text))
        elif host in result:
            found.append(Mistake((name,), f"{shown(host)} is given twice; upper and lower case are the same"))
        result[host] = address
    if found:
        raise ModelError("", found)
    return result


def _ascii_host(name: str) -> str:
    try:
        return (name if name.isascii() else name.encode("idna").decode()).lower()
    except UnicodeError:
        return name


def read_addresses(value: object) -> tuple[str, ...]:
    addresses = read_list(value, read_address)
    found, seen = [], set[str]()
    for index, address in enumerate(addresses):
        if address in seen:
            found.append(Mistake((index,), f"{shown(address)} is given twice"))
        seen.add(address)
    if found:
        raise ModelError("", found)
    return addresses


Resolve = Annotated[
    dict[str, str],
    PlainValidator(read_resolve),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
]
Addresses = Annotated[
    tuple[str, ...],
    PlainValidator(read_addresses),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]

_SELECTIONS = ("first", "round_robin", "random")


class DnsOptions(SuiteModel):
    """Which of several addresses of a name a connection goes to."""

    select: Annotated[
        Literal["first", "round_robin", "random"],
        PlainValidator(read_word(_SELECTIONS)),
        WithJsonSchema({"anyOf": [{"enum": [*_SELECTIONS]}, {"type": "string", "pattern": r"\$\{"}]}),
    ] = Field(
        default="first",
        description="first: as the operating system orders them; round_robin: one after the other; random",
    )


# The kernel's sun_path has 108 bytes, the last of them 0.
_LONGEST_SOCKET_PATH = 107


def read_unix_socket(value: object) -> Path | None:
    """The path of a socket, absolute. It may be made later, but what is there must be one."""
    if value is None:
        return None
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError(f"{shown(value)} is not the path of a Unix socket")
    path = Path(value).absolute()
    length = len(str(path).encode("utf-8", "surrogateescape"))
    if length > _LONGEST_SOCKET_PATH:
        text = f"{shown(str(path))} has {length} bytes; the path of a Unix socket has at most"
        raise ValueError(f"{text} {_LONGEST_SOCKET_PATH}")
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ValueError(f"{shown(str(path))} is not a Unix socket")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ValueError(f"{shown(str(path))} cannot be reached: {error.strerror}") from None
    return path


UnixSocket = Annotated[
    Path | None,
    PlainValidator(read_unix_socket),
    WithJsonSchema({"anyOf": [{"type": "null"}, {"type": "string", "minLength": 1}]}),
]
