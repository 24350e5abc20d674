"""Which names announce a secret, and which texts hold none of their own."""

import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import unquote_plus

from perfcore.suite.template_syntax import CallPart, NamePart, TemplateSyntaxError, parse

MASK = "***"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:\\?/){2}")
# A URL in a text goes so far, or as far as the next one.
_REST_OF_URL = re.compile(r"[^\s\"'<>]*?(?=[\s\"'<>]|://|$)")
_END_OF_HOST = re.compile(r"[/?#]")
_HOST_AND_PORT = re.compile(r"[^:]*(:[0-9]*)?|\[.*\](:[0-9]*)?")
URL_PARAMETER = re.compile(r"([?&;#])([^=&;#?\s]+)=([^&;#\s]*)")

_SECRET_PART = re.compile(
    r"passw|passphrase|passcode|secret|token|api-?key|access-?key|private-?key|subscription-?key|credential|"
    r"signature|authoriz|authentic|cookie|session-?id|jwt|csrf|xsrf"
)
_NEXT_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_IN_WORDS = re.compile(r"[^a-z0-9]+")
_SECRET_WORD = re.compile(r"(^|-)(key|auth|sig|pwd|pass|pin|otp|sid|session|psk|hmac)$")

_HARMLESS = """
accept accept-charset accept-encoding accept-language accept-ranges age allow cache-control connection
content-disposition content-encoding content-language content-length content-range content-type date etag expect
expires host if-match if-modified-since if-none-match if-unmodified-since keep-alive last-modified location origin
pragma range referer retry-after server server-timing te trailer traceparent transfer-encoding upgrade user-agent
vary via warning x-request-id
"""
HARMLESS_HEADERS = frozenset(_HARMLESS.split())
# Harmless, but their values are addresses, which may carry a secret.
URL_HEADERS = frozenset({"location", "origin", "referer"})

# Words before a credential in the value of a header.
SCHEMES = frozenset({"bearer", "basic", "token", "digest", "apikey", "negotiate", "key", "jwt"})


# A file has few names, and each of them many times.
@lru_cache(maxsize=4096)
def looks_secret(name: str) -> bool:
    """Whether a field, parameter, variable or header of this name holds a secret: `X-Api-Key`, `accessToken`."""
    separated = name if name.islower() else _NEXT_WORD.sub("-", name)
    plain = _NOT_IN_WORDS.sub("-", separated.lower()).strip("-")
    return bool(_SECRET_PART.search(plain) or _SECRET_WORD.search(plain))


def mask_url(url: str) -> str:
    """The URL without user, password, and values of parameters whose names announce a secret."""
    return URL_PARAMETER.sub(_masked_parameter, mask_userinfo(url))


def mask_userinfo(text: str) -> str:
    """The text with user and password masked in every URL of it."""
    if "@" not in text:
        return text
    for start, end in reversed(list(userinfos(text))):
        text = f"{text[:start]}{MASK}{text[end:]}"
    return text


def userinfos(text: str) -> Iterator[tuple[int, int]]:
    """Where user and password stand in URLs of the text, from the slashes to the @.

    A password with a / or # or ? in it makes no URL, but it is a password: when what stands before the first of
    them is no host with a port, or when a user and password came before, it goes on to the last @.
    """
    for match in _SCHEME.finditer(text):
        start = match.end()
        rest = _REST_OF_URL.match(text, start)
        end = rest.end() if rest else start
        until_at = text.rfind("@", start, end)
        if until_at < 0:
            continue
        slash = _END_OF_HOST.search(text, start, end)
        authority_end = slash.start() if slash else end
        at = text.rfind("@", start, authority_end)
        if at >= 0:
            between = text[at + 1 : until_at]
            goes_on = ":" in text[start:at] and until_at > at and "=" not in between
            yield start, until_at if goes_on else at
        elif not _HOST_AND_PORT.fullmatch(text, start, authority_end):
            yield start, until_at


def _masked_parameter(match: re.Match[str]) -> str:
    start, name, value = match.groups()
    keep = not looks_secret(unquote_plus(name)) or only_references(value)
    return match[0] if keep else f"{start}{name}={MASK}"


def only_references(text: str) -> bool:
    """Whether the text is made of `${…}` alone (a scheme such as Bearer before it), so that it shows nothing."""
    try:
        parts = parse(text)
    except TemplateSyntaxError:
        return False
    plain = [part for part in parts if isinstance(part, str)]
    shows = any(
        (isinstance(part, NamePart) and part.default)
        or (isinstance(part, CallPart) and any(isinstance(argument, str) for argument in part.arguments))
        for part in parts
    )
    return (
        len(plain) < len(parts)
        and not shows
        and all(part.strip().lower() in {"", *SCHEMES} for part in plain)
    )
