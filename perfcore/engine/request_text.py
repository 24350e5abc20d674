"""Texts of a request in the form in which they can be sent."""

from contextlib import suppress
from urllib.parse import quote, urlsplit

# Characters that may stand in a URL; only what could never be sent (spaces, controls, non-ASCII) is encoded, so
# that an endpoint or a value which is encoded already stays as it is.
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"


def sendable(url: str) -> str:
    """The URL in ASCII: an international host name in its IDNA form, anything else percent-encoded.

    ValueError for what is no URL.
    """
    netloc = "" if url.isascii() else urlsplit(url).netloc
    if not netloc.isascii():
        userinfo, at, place = netloc.rpartition("@")
        host, colon, port = place.partition(":")
        with suppress(UnicodeError):  # no name at all; resolving it will say so
            ascii_host = host.encode("idna").decode()
            url = url.replace(netloc, f"{userinfo}{at}{ascii_host}{colon}{port}", 1)
    return quote(url, safe=_URL_SAFE)


def header_name(line: str) -> str:
    """The name in `Name: value`, in lower case."""
    return line.partition(":")[0].strip().lower()
