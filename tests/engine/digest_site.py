"""A route that asks for digest authentication, and a request that can give it."""

import hashlib
import re
from collections.abc import Callable

from engine.http_harness import OK, settings
from engine.http_site import answer
from perfcore.engine.transport import Request


def digest_site(nonces: list[str], password: str = "p") -> Callable[[bytes], bytes]:
    """RFC 7616 with MD5: an answer of 401 unless the response fits one of the nonces given out."""

    def reply(got: bytes) -> bytes:
        method, uri = got.decode("latin-1").split(" ")[:2]
        found = re.search(rb"\r\nAuthorization: Digest (.*)\r\n", got)
        if found:
            given = dict(re.findall(r'(\w+)="?([^",]*)"?', found[1].decode()))
            md5 = lambda text: hashlib.md5(text.encode()).hexdigest()  # noqa: E731
            secret, what = md5(f"u:r:{password}"), md5(f"{method}:{uri}")
            right = md5(f"{secret}:{given['nonce']}:{given['nc']}:{given['cnonce']}:{given['qop']}:{what}")
            if given["nonce"] == nonces[-1] and given["response"] == right:
                return OK
        nonces.append(f"nonce{len(nonces)}")
        challenge = f'Digest realm="r", nonce="{nonces[-1]}", qop="auth"'
        return answer(401, b"who are you?", WWW_Authenticate=challenge)

    return reply


def digest(url: str, method: str = "GET", body: bytes | None = None, password: str = "p") -> Request:
    return Request(settings(method, auth_scheme="digest"), url, [], body, ("u", password))
