"""Digest access authentication (RFC 7616) as a server does it: credentials, the proof in them, and nonces.

Only `qop=auth`, and no qop at all as in RFC 2069; the bodies are not protected.
"""

import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping

ALGORITHMS: Mapping[str, Callable[[bytes], "hashlib._Hash"]] = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
MAX_NONCES = 32_768
"""How many nonces are remembered, the oldest forgotten first: more than a run has users, and below 10 MB."""

_PARAMETER = re.compile(r'\s*([A-Za-z*]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)')


def parse_credentials(text: str) -> dict[str, str] | None:
    """The parameters of an Authorization header (names in lower case); None when it is not Digest or malformed."""
    scheme, _, rest = text.partition(" ")
    if scheme.lower() != "digest":
        return None
    found: dict[str, str] = {}
    at = 0
    while at < len(rest):
        match = _PARAMETER.match(rest, at)
        if match is None or match[1].lower() in found:
            return None
        quoted = match[2]
        found[match[1].lower()] = match[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = match.end()
    return found


def proof(
    algorithm: str, login: tuple[str, str, str], method: str, uri: str, given: Mapping[str, str]
) -> str:
    """The `response` that fits: `login` is user, realm and password, `given` has nonce and, with a qop, nc and cnonce.

    RFC 7616 section 3.4.1; without a qop RFC 2069 section 2.1.2.
    """

    def hashed(*parts: str) -> str:
        return ALGORITHMS[algorithm](":".join(parts).encode()).hexdigest()

    secret, request = hashed(*login), hashed(method, uri)
    if "qop" in given:
        return hashed(secret, given["nonce"], given["nc"], given["cnonce"], given["qop"], request)
    return hashed(secret, given["nonce"], request)


class Nonces:
    """The nonces handed out, with the last nc and the number of uses of each; forgotten ones count as stale."""

    def __init__(self) -> None:
        self._uses: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._uses)

    def issue(self) -> str:
        nonce = secrets.token_urlsafe(18)
        self._uses[nonce] = (0, 0)
        if len(self._uses) > MAX_NONCES:
            self._uses.popitem(last=False)
        return nonce

    def is_stale(self, nonce: str, stale_after: int | None) -> bool:
        uses = self._uses.get(nonce)
        return uses is None or (stale_after is not None and uses[1] >= stale_after)

    def use(self, nonce: str, count: int | None) -> bool:
        """Note a use of a nonce that is not stale, with its nc if it has one; False when that does not rise."""
        last, uses = self._uses[nonce]
        if count is not None and count <= last:
            return False
        self._uses[nonce] = (last if count is None else count, uses + 1)
        # Kept as long as it is used, so that a stream of newcomers does not make everybody start again.
        self._uses.move_to_end(nonce)
        return True
