"""Routes that let in who proves who they are: Basic, Digest, and a token or cookie that /login gives."""

import base64
import hmac
import re
from urllib.parse import unquote

from perfcore.target.cookie_routes import received_cookies
from perfcore.target.digest import ALGORITHMS, parse_credentials, proof
from perfcore.target.messages import Exchange, Plan, RefusalError, Request, json_response
from perfcore.target.state import TargetState
from perfcore.units import parse_count, parse_duration

_REALM = "perfcore"
_SESSION_COOKIE = "session"
_TOKEN = re.compile(r"([A-Za-z0-9_-]*)\.([0-9]{1,20})\.([0-9a-f]{64})")
_LONGEST_TTL_S = 366 * 86_400


def _login_in_path(request: Request) -> tuple[str, str]:
    user, slash, password = request.rest.partition("/")
    if not user or not slash:
        raise RefusalError(404, f"write /{request.segment}/USER/PASSWORD")
    return unquote(user), unquote(password)


def _unauthorized(request: Request, challenge: str, reason: str) -> bytes:
    answer = {"authenticated": False, "reason": reason}
    return request.encode(json_response(401, answer, (("WWW-Authenticate", challenge),)))


def _authenticated(request: Request, user: str) -> bytes:
    return request.encode(json_response(200, {"authenticated": True, "user": user}))


def basic(request: Request, state: TargetState) -> Plan:
    user, password = _login_in_path(request)
    challenge = f'Basic realm="{_REALM}", charset="UTF-8"'
    scheme, _, credentials = request.header(b"authorization").partition(" ")
    if scheme.lower() != "basic":
        return _unauthorized(request, challenge, "no Basic credentials")
    try:
        given = base64.b64decode(credentials.strip(), validate=True)
    except ValueError:
        return _unauthorized(request, challenge, "the credentials are not base64")
    if given != f"{user}:{password}".encode():
        return _unauthorized(request, challenge, "wrong user or password")
    return _authenticated(request, user)


def digest(request: Request, state: TargetState) -> Plan:
    """RFC 7616. `?algorithm=` (MD5), `?qop=` (auth, or nothing as in RFC 2069), `?stale_after=` uses of a nonce."""
    user, password = _login_in_path(request)
    algorithm = request.parameter("algorithm", "MD5")
    qop = request.parameter("qop", "auth")
    if algorithm not in ALGORITHMS or qop not in ("auth", ""):
        raise RefusalError(400, f"algorithm is one of {', '.join(ALGORITHMS)}, qop is auth or empty")
    stale_after = parse_count(request.parameter("stale_after", "0")) or None
    given = parse_credentials(request.header(b"authorization")) or {}
    reason = _digest_mistake(request, (user, password), algorithm, qop, given)

    def challenge(reason: str, stale: bool) -> bytes:
        parts = [f'realm="{_REALM}"', f'nonce="{state.nonces.issue()}"', f"algorithm={algorithm}"]
        parts += [f'qop="{qop}"'] if qop else []
        parts += ["stale=true"] if stale else []
        return _unauthorized(request, f"Digest {', '.join(parts)}", reason)

    def answer(exchange: Exchange) -> None:
        # The same bytes a second time have an nc that does not rise: nonces are looked at for each request.
        if reason:
            exchange.send(challenge(reason, stale=False))
        elif state.nonces.is_stale(given["nonce"], stale_after):
            exchange.send(challenge("the nonce is stale", stale=True))
        elif not state.nonces.use(given["nonce"], int(given["nc"], 16) if qop else None):
            exchange.send(challenge("nc does not rise", stale=False))
        else:
            exchange.send(_authenticated(request, user))

    return answer


def _digest_mistake(
    request: Request, login: tuple[str, str], algorithm: str, qop: str, given: dict[str, str]
) -> str:
    """What is wrong with the credentials, whatever the state of their nonce; empty if nothing is."""
    if not given:
        return "no Digest credentials"
    needed = ["username", "realm", "nonce", "uri", "response", *(("qop", "nc", "cnonce") if qop else ())]
    missing = [name for name in needed if not given.get(name)]
    if missing:
        return f"missing: {', '.join(missing)}"
    if not qop and "qop" in given:
        return "a qop that was not offered"
    if qop and (given["qop"] != qop or not re.fullmatch(r"[0-9A-Fa-f]{8}", given["nc"])):
        return "qop is not the one offered, or nc is not eight hexadecimal digits"
    if given["realm"] != _REALM or given.get("algorithm", "MD5") != algorithm:
        return "realm or algorithm is not the one offered"
    origin_form = request.path + (f"?{request.query_text}" if request.query_text else "")
    if given["uri"] not in (request.target, origin_form):
        return "uri is not the one asked for"
    user, password = login
    fitting = proof(algorithm, (user, _REALM, password), request.method, given["uri"], given)
    is_right = hmac.compare_digest(fitting.encode(), given["response"].encode())
    named = given["username"].encode("latin-1")
    return "" if is_right and named == user.encode() else "wrong user or password"


def login(request: Request, state: TargetState) -> Plan:
    """A token for any user with any password, or for `?username=` and `?password=` alone; good for `?ttl=` (1h)."""
    if request.method != "POST":
        raise RefusalError(405, 'POST /login with {"username": ..., "password": ...}')
    ttl_s = parse_duration(request.parameter("ttl", "1h"))
    if ttl_s > _LONGEST_TTL_S:
        raise RefusalError(400, "ttl is at most 366 days")
    fields = request.json_object()
    user, password = fields.get("username"), fields.get("password")
    if not (isinstance(user, str) and user and isinstance(password, str) and password):
        raise RefusalError(400, "username and password must be given, as text")
    if user != request.parameter("username", user) or password != request.parameter("password", password):
        raise RefusalError(401, "wrong username or password")
    try:
        name = base64.urlsafe_b64encode(user.encode()).decode().rstrip("=")
    except UnicodeEncodeError:
        raise RefusalError(400, "username is no text that UTF-8 could hold") from None

    def answer(exchange: Exchange) -> None:
        signed = f"{name}.{exchange.arrived_ns + round(ttl_s * 1e9)}"
        token = f"{signed}.{_signature(signed, state)}"
        session = (("Set-Cookie", f"{_SESSION_COOKIE}={token}; Path=/; HttpOnly"),)
        expires_in = int(ttl_s) if ttl_s.is_integer() else ttl_s
        exchange.send(request.encode(json_response(200, {"token": token, "expires_in": expires_in}, session)))

    return answer


def _signature(signed: str, state: TargetState) -> str:
    return hmac.digest(state.secret, signed.encode(), "sha256").hex()


def _user_and_expiry(token: str, state: TargetState) -> tuple[str, int] | None:
    """None for a token that /login of this very process did not give; the expiry is of CLOCK_MONOTONIC."""
    match = _TOKEN.fullmatch(token)
    if match is None or not hmac.compare_digest(_signature(f"{match[1]}.{match[2]}", state), match[3]):
        return None
    padded = match[1] + "=" * (-len(match[1]) % 4)
    return base64.urlsafe_b64decode(padded).decode(), int(match[2])


def protected(request: Request, state: TargetState) -> Plan:
    """For whoever brings a token of /login, as Bearer or, without an Authorization, as the session cookie."""
    scheme, _, token = request.header(b"authorization").partition(" ")
    if not scheme:
        token = received_cookies(request).get(_SESSION_COOKIE, "")
    elif scheme.lower() != "bearer":
        token = ""
    challenge = f'Bearer realm="{_REALM}"'
    if not token:
        return _unauthorized(request, challenge, "no token and no session")
    known = _user_and_expiry(token.strip(), state)
    challenge += ', error="invalid_token"'
    if known is None:
        return _unauthorized(request, challenge, "not a token of this server")
    user, expiry_ns = known
    good = _authenticated(request, user)
    expired = _unauthorized(request, challenge, "the token has expired")
    return lambda exchange: exchange.send(good if exchange.arrived_ns < expiry_ns else expired)
