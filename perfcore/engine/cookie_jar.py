"""A virtual user's cookies for a transport that is not libcurl's: the same Cookie header as libcurl would send.

RFC 6265; where it leaves room, and where libcurl 8.23 does otherwise, as libcurl does. What is not obvious:

- http://localhost, http://127.0.0.1 and http://[::1] count as secure: they may set Secure cookies and get them sent.
- Of several Domains the last counts, but the host's name has to end in each of them.
- A Domain is refused where it holds no dot, but for the host's own name, which makes a cookie of that host alone.
  libcurl also knows the public suffixes and refuses `Domain=co.uk`; without their list that is taken here.
- Of cookies with paths, domains and names of the same lengths, the one set last is sent first (RFC 6265: the oldest).
- Of more than 150 that match, those are sent that were set longest ago; a header ends before it would be 8190 bytes.
- An unchanged jar answers from a cache. Which of its cookies a path gets is decided by the longest of their paths
  that match it, so that is what the cache goes by, and not the path.
"""

import re
import socket
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from perfcore.engine.cookie_date import read_date

MOST_COOKIES = 1000  # in a user's jar
_LONGEST_LINE = 5000  # with the blank after the colon and the end of the line
_LINE_EXTRAS = 3
_LONGEST_PAIR = 4096  # name and value
_MOST_OF_ONE_ANSWER = 50
_MOST_SENT = 150
_HEADER_LIMIT = 8190  # bytes, with the header's own name
_HEADER_NAME = len(b"Cookie: ")
_LONGEST_DATE = 79
_LONGEST_LIFE_S = 400 * 86_400
_GONE_S = 1  # an instant that is over
_CACHED_HEADERS = 64

_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_MAX_AGE = re.compile(rb'"?0*([0-9]{1,18})')  # more digits: for ever all the same
_BLANKS = b" \t"
_NEVER_S = float("inf")
_ALWAYS_S = float("-inf")


_Origin = tuple[str, str, bool]  # host, path, is_secure


class _Host(NamedTuple):
    """What a host's name tells of its cookies."""

    name: str  # in small letters, without the brackets of an address
    is_address: bool
    is_local: bool  # as good as secure


class _Life(NamedTuple):
    """What a line says of a cookie's end; both None: it lives as long as its user."""

    max_age_s: int | None  # 0: it is to go
    date_s: int | None

    def end_s(self, now: int) -> int:
        """The last second of a cookie that was set now; 0: none."""
        end = self.date_s or 0
        if self.max_age_s is not None:
            end = now + self.max_age_s if self.max_age_s else _GONE_S
        if end > now + _LONGEST_LIFE_S:
            return (now + _LONGEST_LIFE_S + 30) // 60 * 60
        return end


class _Scope(NamedTuple):
    """What a line's attributes say: where its cookie is sent to, and how long it lives."""

    domain: str  # in small letters
    is_for_subdomains: bool
    path: str
    is_secure: bool
    life: _Life

    def may_be_of(self, name: bytes) -> bool:
        """Whether it is what a name with __Secure- or __Host- promises."""
        if name.startswith(b"__Secure-"):
            return self.is_secure
        if name.startswith(b"__Host-"):
            return self.is_secure and self.path == "/" and not self.is_for_subdomains
        return True

    def covers(self, host: _Host, path: str, is_secure: bool) -> bool:
        if self.is_secure and not is_secure:
            return False
        if self.domain != host.name and not (
            self.is_for_subdomains and not host.is_address and _is_within(host.name, self.domain)
        ):
            return False
        return _path_matches(self.path, path)

    def shields_from(self, other: "_Scope") -> bool:
        """Whether an insecure answer may not set a cookie of this name there, as it would hide the secure one here."""
        if not self.is_secure or other.is_secure or _registered(self.domain) != _registered(other.domain):
            return False
        if not (_is_within(self.domain, other.domain) or _is_within(other.domain, self.domain)):
            return False
        end = self.path.find("/", 1)
        return other.path.startswith(self.path if end < 0 else self.path[:end])


class _Cookie:
    """One cookie, and the line and origin that set it."""

    __slots__ = ("created", "end_s", "line", "name", "origin", "scope", "value")

    def __init__(self, line: bytes, origin: _Origin, name: bytes, value: bytes, scope: _Scope) -> None:
        self.line = line
        self.origin = origin
        self.name = name
        self.value = value
        self.scope = scope
        self.end_s = 0
        self.created = 0  # a number in the order of setting, kept where a cookie is replaced

    def rank(self) -> tuple[int, int, int, int]:
        """Cookies are sent in the order of these."""
        scope = self.scope
        return -_size(scope.path), -len(scope.domain), -len(self.name), -self.created


class CookieJar:
    """One virtual user's cookies (RFC 6265; where it leaves room, as libcurl 8.23).

    `host` is the name in the URL without port; where the request has a Host header of its own, the name in that.
    `path` is the URL's path as it is sent, without query. Ports do not matter. `now_s` is the time since 1970.
    A few hundred bytes while it is empty.
    """

    __slots__ = (
        "_changes",
        "_cookies",
        "_cut",
        "_good_until_s",
        "_headers",
        "_holds_secure",
        "_last_match",
        "_last_path",
        "_lines",
        "_next_end_s",
        "_paths",
    )

    def __init__(self) -> None:
        self._cookies: dict[tuple[bytes, str, bool, str], _Cookie] = {}  # in the order of setting
        self._lines: dict[bytes, _Cookie] = {}
        self._headers: dict[tuple[str, str, bool], bytes] = {}
        self._cut: tuple[bytes, ...] = ()  # the headers with more cookies than are sent
        self._paths: tuple[str, ...] = ()  # other than "/", the longest first
        self._last_path = self._last_match = "/"
        self._changes = 0
        self._holds_secure = False
        self._next_end_s = _NEVER_S
        self._good_until_s = _NEVER_S  # what the headers and paths above are

    def __len__(self) -> int:
        return len(self._cookies)

    @property
    def is_full(self) -> bool:
        """Whether it holds more than MOST_COOKIES, and is to be emptied before it slows down every request."""
        return len(self._cookies) > MOST_COOKIES

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]

    def header(
        self, host: str, path: str, *, is_secure: bool, now_s: float, given: bytes | None = None
    ) -> bytes:
        """The value of the Cookie header to send; empty: send none.

        `given` is the test's own Cookie header, of several their values joined by "; ". As with libcurl it comes last
        in the one header, whatever the jar has of the same name; and it is left out where the jar's own cookies had
        to be cut at 8190 bytes.
        """
        if not self._cookies:
            return given or b""
        if now_s >= self._good_until_s:
            self._renew(int(now_s))
        longest = self._last_match if path == self._last_path else self._longest_match(path)
        header = self._headers.get((host, longest, is_secure))
        if header is None:
            header = self._make_header(host, longest, is_secure)
        if given is None or header in self._cut:
            return header
        return header + b"; " + given if header else given

    def store(self, lines: Iterable[bytes], host: str, path: str, *, is_secure: bool, now_s: float) -> None:
        """Take in the values of one answer's Set-Cookie headers, in their order, as an answer to host and path.

        What libcurl would not keep is not kept, and nobody is told.
        """
        now = int(now_s)
        if now_s >= self._next_end_s:
            self._drop_ended(now)
        origin = host, path, is_secure
        stored = 0
        for line in lines:
            if stored == _MOST_OF_ONE_ANSWER:
                return
            known = self._lines.get(line)
            # Of more than 150 the order of setting counts, and that is another one now.
            if known is not None and known.origin == origin and len(self._cookies) <= _MOST_SENT:
                if known.end_s:
                    self._set_end(known, now)
                stored += 1
            else:
                cookie = _read_cookie(line, origin)
                stored += cookie is not None and self._take(cookie, now)

    def _take(self, cookie: _Cookie, now: int) -> bool:
        """Whether the cookie was acceptable; one that has ended already only makes another one go."""
        scope = cookie.scope
        if self._holds_secure and not _is_trusted(cookie.origin) and self._has_shield(cookie):
            return False
        key = cookie.name, scope.domain, scope.is_for_subdomains, scope.path
        old = self._cookies.pop(key, None)
        self._changes += 1
        cookie.created = self._changes
        is_the_same = False
        if old is not None:
            cookie.created = old.created
            is_the_same = old.value == cookie.value and old.scope.is_secure == scope.is_secure
            self._forget_line(old)
        self._set_end(cookie, now)
        if 0 != cookie.end_s < now:
            is_the_same = old is None
        else:
            self._cookies[key] = self._lines[cookie.line] = cookie
            self._holds_secure = self._holds_secure or scope.is_secure
        if not is_the_same or len(self._cookies) > _MOST_SENT:
            self._good_until_s = _ALWAYS_S
        return True

    def _has_shield(self, cookie: _Cookie) -> bool:
        return any(
            held.name == cookie.name and held.scope.shields_from(cookie.scope)
            for held in self._cookies.values()
        )

    def _set_end(self, cookie: _Cookie, now: int) -> None:
        cookie.end_s = end_s = cookie.scope.life.end_s(now)
        if now <= end_s < self._next_end_s:
            self._next_end_s = end_s + 1
            self._good_until_s = min(self._good_until_s, self._next_end_s)

    def _forget_line(self, cookie: _Cookie) -> None:
        if self._lines.get(cookie.line) is cookie:  # another one may have been set by the same line
            del self._lines[cookie.line]

    def _drop_ended(self, now: int) -> None:
        for key, cookie in list(self._cookies.items()):
            if 0 != cookie.end_s < now:
                del self._cookies[key]
                self._forget_line(cookie)
        ends = [cookie.end_s for cookie in self._cookies.values() if cookie.end_s]
        self._next_end_s = min(ends) + 1 if ends else _NEVER_S
        self._good_until_s = _ALWAYS_S

    def _longest_match(self, path: str) -> str:
        self._last_path = path
        self._last_match = "/"
        for cookie_path in self._paths:
            if _path_matches(cookie_path, path):
                self._last_match = cookie_path
                break
        return self._last_match

    def _renew(self, now: int) -> None:
        """Forget what was made of cookies that are no longer the jar's."""
        if now >= self._next_end_s:
            self._drop_ended(now)
        self._headers.clear()
        self._cut = ()
        paths = {cookie.scope.path for cookie in self._cookies.values()} - {"/"}
        self._paths = tuple(sorted(paths, key=len, reverse=True))
        self._last_path = self._last_match = "/"  # what every jar matches there
        self._good_until_s = self._next_end_s

    def _make_header(self, host: str, path: str, is_secure: bool) -> bytes:
        told = _host(host)
        counts_as_secure = is_secure or told.is_local
        covered = (
            cookie for cookie in self._cookies.values() if cookie.scope.covers(told, path, counts_as_secure)
        )
        going = sorted(islice(covered, _MOST_SENT), key=_Cookie.rank)
        sent = list(_within_the_limit(going))
        header = b"; ".join(sent)
        if len(self._headers) >= _CACHED_HEADERS:
            self._headers.clear()
        self._headers[host, path, is_secure] = header
        if len(sent) < len(going) and header not in self._cut:
            self._cut = (*self._cut, header)
        return header


@lru_cache(maxsize=256)
def _host(host: str) -> _Host:
    name = host.lower().strip("[]").partition("%")[0]  # an address's zone is this machine's own matter
    is_address = False
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
            is_address = True
        except OSError:
            pass
    return _Host(name, is_address, name in ("localhost", "127.0.0.1", "::1"))


def _is_within(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def _registered(domain: str) -> str:
    """The last two labels, or the whole address: libcurl compares only cookies that have this in common."""
    return domain if _host(domain).is_address else ".".join(domain.split(".")[-2:])


def _path_matches(cookie_path: str, path: str) -> bool:
    if len(cookie_path) == 1:
        return True
    return path.startswith(cookie_path) and path[len(cookie_path) : len(cookie_path) + 1] in ("", "/")


def _within_the_limit(cookies: Iterable[_Cookie]) -> Iterator[bytes]:
    size = _HEADER_NAME
    for cookie in cookies:
        pair = cookie.name + b"=" + cookie.value
        if size + len(pair) >= _HEADER_LIMIT:
            return
        size += len(pair) + (2 if size > _HEADER_NAME else 0)
        yield pair


def _read_cookie(line: bytes, origin: _Origin) -> _Cookie | None:
    """The cookie that a Set-Cookie header sets, with no end as yet; None for one that is refused."""
    if len(line) + _LINE_EXTRAS > _LONGEST_LINE:
        return None
    pair, _, attributes = line.partition(b";")
    name, equals, value = pair.partition(b"=")
    name, value = name.strip(_BLANKS), value.strip(_BLANKS)
    if not (name and equals) or len(name) + len(value) > _LONGEST_PAIR:
        return None
    if _CONTROLS.search(name) or _CONTROLS.search(value):
        return None
    host, path, is_secure = origin
    scope = _read_scope(attributes, host, path[: path.rfind("/") + 1], is_secure)
    if scope is None or not scope.may_be_of(name):
        return None
    return _Cookie(line, origin, name, value, scope)


# Of the attributes there are few; one user's cookie differs from another's in its value.
@lru_cache(maxsize=512)
def _read_scope(text: bytes, host_name: str, folder: str, is_secure: bool) -> _Scope | None:
    """What the attributes say, of several of one kind the last; None where this host may not set such a cookie."""
    host = _host(host_name)
    domain = ""
    path = b""
    is_marked_secure = False
    max_age_s = date_s = None
    for piece in text.split(b";"):
        name, equals, value = piece.partition(b"=")
        name, value = name.strip(_BLANKS).lower(), value.strip(_BLANKS)
        if _CONTROLS.search(name) or _CONTROLS.search(value):
            return None
        if name == b"secure":
            is_marked_secure = True
        elif name == b"path" and equals:
            path = value
        elif name == b"domain" and value:
            domain = _read_domain(value, host)
            if not domain:
                return None
        elif name == b"max-age" and value:
            number = _MAX_AGE.match(value)
            max_age_s = int(number[1]) if number is not None else 0
        elif name == b"expires" and value and date_s is None and len(value) <= _LONGEST_DATE:
            date_s = read_date(value.decode("latin-1"))
    if is_marked_secure and not (is_secure or host.is_local):
        return None
    # A name without a dot is a public suffix, though it be the host's own. Only the last Domain must not be one.
    is_for_subdomains = not host.is_address and _has_dot(domain)
    if not is_for_subdomains and domain not in ("", host.name):
        return None
    life = _Life(max_age_s, date_s if date_s != 0 else _GONE_S)
    return _Scope(domain or host.name, is_for_subdomains, _cookie_path(path, folder), is_marked_secure, life)


def _is_trusted(origin: _Origin) -> bool:
    return origin[2] or _host(origin[0]).is_local


def _read_domain(value: bytes, host: _Host) -> str:
    """The domain in small letters; empty where it is not one that the host is in."""
    domain = value.removeprefix(b".").decode("latin-1")
    if host.is_address:  # the same bytes: libcurl takes no 2001:DB8::1 for 2001:db8::1
        return domain if domain == host.name else ""
    domain = domain.lower()
    # A single dot is what a name with a dot at its end is in, and stands for that name.
    return (domain or host.name) if _is_within(host.name, domain) else ""


def _has_dot(domain: str) -> bool:
    return "." in domain.removesuffix(".")


def _cookie_path(given: bytes, folder: str) -> str:
    """The Path attribute without quotes and last slash; where there is none, the folder of the request's path."""
    path = given.decode("utf-8", "surrogateescape") if given else folder
    if given.startswith(b'"'):
        path = path[1:].removesuffix('"')
    if not path.startswith("/"):
        return "/"
    return path.removesuffix("/") or "/"


def _size(path: str) -> int:
    return len(path) if path.isascii() else len(path.encode("utf-8", "surrogateescape"))
