"""Which names announce a secret, and which texts hold none of their own."""

import re
from urllib.parse import unquote_plus

from perfcore.suite.template_syntax import NamePart, TemplateSyntaxError, parse

MASK = "***"

USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/?#@\s]*)@")
URL_PARAMETER = re.compile(r"([?&;#])([^=&;#?\s]+)=([^&;#\s]*)")

_SECRET_PART = re.compile(
    r"passw|passphrase|passcode|secret|token|api-?key|access-?key|private-?key|subscription-?key|credential|"
    r"signature|authoriz|authentic|cookie|session-?id|jwt|csrf|xsrf"
)
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


def looks_secret(name: str) -> bool:
    """Whether a field, parameter, variable or header of this name holds a secret: `X-Api-Key`, `accessToken`."""
    separated = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    plain = re.sub(r"[^a-z0-9]+", "-", separated.lower()).strip("-")
    return bool(_SECRET_PART.search(plain) or _SECRET_WORD.search(plain))


def mask_url(url: str) -> str:
    """The URL without user, password, and values of parameters whose names announce a secret."""
    return URL_PARAMETER.sub(_masked_parameter, USERINFO.sub(lambda match: f"{match[1]}{MASK}@", url))


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
    has_default = any(isinstance(part, NamePart) and part.default for part in parts)
    return (
        len(plain) < len(parts)
        and not has_default
        and all(part.strip().lower() in {"", *SCHEMES} for part in plain)
    )
