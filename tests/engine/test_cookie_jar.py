"""The jar against libcurl itself: the same answers to both, and the same Cookie header from both."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import pycurl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.http_harness import Connection, RawServer, authority, serving
from perfcore.engine.cookie_jar import MOST_COOKIES, CookieJar


class Visit(NamedTuple):
    """One request, and the Set-Cookie values of its answer."""

    host: str = "a.example.test"
    path: str = "/"
    is_secure: bool = False
    lines: tuple[bytes, ...] = ()
    given: bytes | None = None  # the request's own Cookie header


class Oracle:
    """A libcurl handle with a jar; whatever name it asks for, a server of this process answers as it is told."""

    def __init__(self, http: RawServer, https: RawServer, told: "Told") -> None:
        self._ports = {False: http.port, True: https.port}
        self._told = told
        self._handle = pycurl.Curl()
        self._handle.setopt(pycurl.COOKIEFILE, "")
        self._handle.setopt(pycurl.NOSIGNAL, 1)
        self._handle.setopt(pycurl.PROXY, "")
        self._handle.setopt(pycurl.TIMEOUT, 20)
        self._handle.setopt(pycurl.SSL_VERIFYPEER, 0)
        self._handle.setopt(pycurl.SSL_VERIFYHOST, 0)

    def close(self) -> None:
        self._handle.close()

    def empty(self) -> None:
        self._handle.setopt(pycurl.COOKIELIST, "ALL")

    def visit(self, visit: Visit) -> bytes:
        """The Cookie header that libcurl sent; empty for none."""
        port = self._ports[visit.is_secure]
        scheme = "https" if visit.is_secure else "http"
        self._told.lines = visit.lines
        self._handle.setopt(pycurl.CONNECT_TO, [f"::127.0.0.1:{port}"])
        self._handle.setopt(pycurl.URL, f"{scheme}://{visit.host}{visit.path}?q=/x/y")
        if visit.given is None:
            self._handle.unsetopt(pycurl.COOKIE)
        else:
            self._handle.setopt(pycurl.COOKIE, visit.given)
        self._handle.perform()
        return self._told.got


class Told:
    """What the servers answer next, and what Cookie header they got."""

    def __init__(self) -> None:
        self.lines: tuple[bytes, ...] = ()
        self.got = b""

    def __call__(self, connection: Connection) -> None:
        while (head := connection.read_request()) is not None:
            found = [line for line in head.split(b"\r\n") if line.lower().startswith(b"cookie:")]
            assert len(found) <= 1
            self.got = found[0].partition(b": ")[2] if found else b""
            cookies = b"".join(b"Set-Cookie: %s\r\n" % line for line in self.lines)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + cookies + b"\r\n")


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    told = Told()
    context, _ = authority(tmp_path_factory.mktemp("tls"))
    with serving(told) as http, serving(told, context) as https:
        oracle = Oracle(http, https, told)
        yield oracle
        oracle.close()


def visits(oracle: Oracle, *visits: Visit) -> list[bytes]:
    """The Cookie headers of the requests, which the jar and libcurl have to agree on."""
    oracle.empty()
    jar, sent, expected = CookieJar(), [], []
    for visit in visits:
        now_s = time.time()
        where = {"host": visit.host, "path": visit.path, "is_secure": visit.is_secure, "now_s": now_s}
        sent.append(jar.header(**where, given=visit.given))  # type: ignore[arg-type]
        expected.append(oracle.visit(visit))
        jar.store(visit.lines, **where)  # type: ignore[arg-type]
    assert sent == expected
    return sent


# -- whatever comes ----------------------------------------------------------------------------------------------

HOSTS = ("a.example.test", "A.Example.Test", "b.example.test", "x.a.example.test", "example.test")
OTHERS = (
    "other.test",
    "backend",
    "localhost",
    "a.localhost",
    "127.0.0.1",
    "127.0.0.2",
    "[::1]",
    "[::AB]",
    "a.example.test.",
)
PATHS = ("/", "/x", "/x/", "/x/y", "/x/y/z", "/xy", "/a%20b", "/x//y")
NAMES = (b"a", b"b", b"aa", b"__Secure-a", b"__Host-a", b"A", b" a ", b"", b"\xc3\xa4")
VALUES = (b"1", b"2", b"", b'"q"', b" 1 ", b"1=2", b"1,2", b"x" * 3000, b"\t", b"1\t2", b"\x7f")
DOMAINS = (
    b"example.test",
    b".a.example.test",
    b"A.EXAMPLE.TEST",
    b"test",
    b"other.test",
    b"localhost",
    b"127.0.0.1",
    b"::AB",
    b"example.test.",
    b"",
    b".",
    b"..a",
)
COOKIE_PATHS = (b"/", b"/x", b"/x/", b"/x/y", b'"/x"', b"x", b"", b'"', b"//", b"/X", b"/a%20b", b"/x/y/z/")
DATES = (
    b"Thu, 01 Jan 1970 00:00:00 GMT",
    b"Sun, 06-Nov-94 08:49:37 GMT",
    b"Wed Nov  6 08:49:37 2069",
    b"0",
    b"soon",
)
AGES = (b"0", b"-1", b"3600", b'"0"', b'"3600"', b"1000000000000", b"9" * 30, b"x", b"0x10", b"", b"3600 s")
ATTRIBUTES = (
    [b"Domain=%s" % domain for domain in DOMAINS]
    + [b"Path=%s" % path for path in COOKIE_PATHS]
    + [b"Expires=%s" % date for date in DATES]
    + [b"Max-Age=%s" % age for age in AGES]
    + [
        b"Secure",
        b"secure",
        b"Secure=0",
        b"HttpOnly",
        b"SameSite=Lax",
        b"",
        b"=",
        b"Path",
        b"Domain",
        b"x=\x01",
    ]
)

pairs = st.builds(
    lambda name, equals, value: name + equals + value,
    st.sampled_from(NAMES),
    st.sampled_from([b"=", b"=", b"=", b"=", b""]),
    st.sampled_from(VALUES),
)
lines = st.builds(
    lambda pair, attributes, between: between.join([pair, *attributes]),
    pairs,
    st.lists(st.sampled_from(ATTRIBUTES), max_size=4),
    st.sampled_from([b"; ", b"; ", b";", b" ;"]),
)
near_visits = st.builds(
    Visit,
    st.sampled_from(HOSTS),
    st.sampled_from(PATHS),
    st.booleans(),
    st.lists(lines, max_size=4).map(tuple),
    st.none() | st.sampled_from([b"own=1", b"a=own"]),
)
far_visits = near_visits.flatmap(
    lambda visit: st.sampled_from(OTHERS).map(lambda host: visit._replace(host=host))
)


def of_domains(*domains: bytes, host: str = "a.example.test", others: tuple[str, ...] = ()) -> list[Visit]:
    """An answer whose cookie has these Domains, and requests to its host and to others."""
    line = b"; ".join([b"a=1", *(b"Domain=" + domain for domain in domains)])
    return [Visit(host, lines=(line,)), Visit(host), *map(Visit, others)]


def of_names(*domains: bytes) -> list[Visit]:
    """The same of a.example.test, with a host beside it and one below it."""
    return of_domains(*domains, others=("b.example.test", "x.a.example.test"))


@example(of_names(b"test", b"example.test"))
@example(of_names(b"example.test", b"test"))
@example(of_names(b"example.test", b".TEST", b"a.example.test"))
@example(of_names(b"a.example.test", b"example.test"))
@example(of_names(b"example.test", b"a.example.test"))
@example(of_names(b"other.test", b"example.test"))
@example(of_names(b"example.test", b"other.test"))
@example(of_names(b"test", b"other.test", b"example.test"))
@example(of_names(b"127.0.0.1", b"example.test"))
@example(of_names(b"test", b""))
@example(of_names(b"", b"test", b"example.test", b""))
@example(of_names(b".", b"example.test"))
@example(of_names(*[b"test"] * 300, b"example.test"))
@settings(max_examples=100, deadline=None)
@given(st.lists(near_visits, min_size=2, max_size=8))
def test_the_hosts_of_one_domain_get_what_libcurl_would_send(oracle: Oracle, sequence: list[Visit]) -> None:
    visits(oracle, *sequence)


@example(of_domains(b"backend", b"a.backend", host="a.backend", others=("backend", "x.a.backend")))
@example(of_domains(b"localhost", b"a.localhost", host="a.localhost", others=("localhost", "x.a.localhost")))
@example(of_domains(b"0.0.1", b"127.0.0.1", host="127.0.0.1"))
@example(of_domains(b"127.0.0.1", b".127.0.0.1", host="127.0.0.1"))
@example(of_domains(b"::ab", host="[::AB]"))
@example(of_domains(b"::AB", host="[::AB]"))
@example(of_domains(b"::ab", b"::AB", host="[::ab]"))
@example(of_domains(b"test.", b"example.test.", host="a.example.test.", others=("b.example.test.",)))
@example(of_domains(b"example.test.", b".", host="a.example.test.", others=("b.example.test.",)))
@example(of_domains(b".", host="a.example.test.", others=("x.a.example.test.",)))
@example(of_domains(b".", host="backend.", others=("x.backend.",)))
@settings(max_examples=80, deadline=None)
@given(st.lists(near_visits | far_visits, min_size=2, max_size=8))
def test_addresses_and_local_names_get_what_libcurl_would_send(oracle: Oracle, sequence: list[Visit]) -> None:
    visits(oracle, *sequence)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.sampled_from([b"a=1", b"a=2; Path=/x", b"b=1", b"a=1; Max-Age=9000", b"a=; Max-Age=0"]))
                .map(lambda lines: Visit(path="/x/y", lines=tuple(lines))), min_size=2, max_size=8))  # fmt: skip
def test_lines_that_come_again_and_again_do_what_they_did_at_first(
    oracle: Oracle, sequence: list[Visit]
) -> None:
    visits(oracle, *sequence)


# -- facts -------------------------------------------------------------------------------------------------------

AWAY = "a.example.test"


@pytest.mark.parametrize(
    ("setter", "asker", "sent"),
    [
        pytest.param(Visit(lines=(b"a=1",)), Visit("b.example.test"), b"", id="host only"),
        pytest.param(
            Visit(lines=(b"a=1; Domain=example.test",)), Visit("b.example.test"), b"a=1", id="domain"
        ),
        pytest.param(Visit(lines=(b"a=1; Domain=test",)), Visit(), b"", id="a suffix without a dot"),
        pytest.param(
            Visit("backend", lines=(b"a=1; Domain=backend",)), Visit("backend"), b"a=1", id="its own name"
        ),
        pytest.param(
            Visit("backend", lines=(b"a=1; Domain=backend",)), Visit("a.backend"), b"", id="and no other's"
        ),
        pytest.param(Visit("127.0.0.1", lines=(b"a=1",)), Visit("127.0.0.2"), b"", id="addresses differ"),
        pytest.param(
            Visit("127.0.0.1", lines=(b"a=1; Domain=0.0.1",)),
            Visit("127.0.0.1"),
            b"",
            id="no part of an address",
        ),
        pytest.param(Visit("[::1]", lines=(b"a=1; Secure",)), Visit("[::1]"), b"a=1", id="IPv6"),
        pytest.param(Visit("localhost", lines=(b"a=1; Secure",)), Visit("localhost"), b"a=1", id="localhost"),
        pytest.param(Visit(lines=(b"a=1; Secure",)), Visit(is_secure=True), b"", id="Secure over http"),
        pytest.param(Visit(is_secure=True, lines=(b"a=1; Secure",)), Visit(), b"", id="Secure to http"),
        pytest.param(
            Visit(is_secure=True, lines=(b"__Host-a=1; Secure; Path=/",)),
            Visit(is_secure=True),
            b"__Host-a=1",
            id="__Host-",
        ),
        pytest.param(
            Visit(is_secure=True, lines=(b"__Host-a=1; Secure; Path=/; Domain=a.example.test",)),
            Visit(is_secure=True),
            b"",
            id="__Host- with a domain",
        ),
        pytest.param(
            Visit(is_secure=True, lines=(b"__Secure-a=1",)), Visit(is_secure=True), b"", id="__Secure-"
        ),
        pytest.param(Visit(path="/x/y", lines=(b"a=1",)), Visit(path="/x/z"), b"a=1", id="default path"),
        pytest.param(Visit(path="/x/y", lines=(b"a=1",)), Visit(path="/xz"), b"", id="whole parts of a path"),
        pytest.param(Visit(lines=(b"a=",)), Visit(), b"a=", id="empty value"),
        pytest.param(Visit(lines=(b"=a",)), Visit(), b"", id="empty name"),
        pytest.param(Visit(lines=(b"a",)), Visit(), b"", id="no ="),
        pytest.param(Visit(lines=(b'a="1 2"',)), Visit(), b'a="1 2"', id="quotes stay"),
        pytest.param(Visit(lines=(b"a=1\x012",)), Visit(), b"", id="control characters"),
        pytest.param(Visit(lines=(b"a=1", b"a=2")), Visit(), b"a=2", id="replaced"),
        pytest.param(Visit(lines=(b"a=1", b"b=1", b"a=; Max-Age=0")), Visit(), b"b=1", id="deleted"),
        pytest.param(
            Visit(lines=(b"a=1; Max-Age=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT",)),
            Visit(),
            b"a=1",
            id="Max-Age",
        ),
        pytest.param(
            Visit(lines=(b"a=1", b"bb=2", b"c=3; Path=/x", b"d=4; Domain=example.test", b"a=5")),
            Visit(path="/x"),
            b"c=3; bb=2; a=5; d=4",
            id="order",
        ),
        pytest.param(Visit(lines=(b"a=1",)), Visit(given=b"a=own; b=2"), b"a=1; a=own; b=2", id="given"),
        pytest.param(Visit(), Visit(given=b"a=own"), b"a=own", id="given alone"),
    ],
)
def test_a_cookie_goes_where_libcurl_sends_it(
    oracle: Oracle, setter: Visit, asker: Visit, sent: bytes
) -> None:
    assert visits(oracle, setter, asker)[1] == sent


def test_the_last_domain_counts_where_the_host_is_in_all_of_them(oracle: Oracle) -> None:
    assert visits(oracle, *of_names(b"test", b"example.test"))[1:] == [b"a=1"] * 3
    assert visits(oracle, *of_names(b"example.test", b"a.example.test"))[1:] == [b"a=1", b"", b"a=1"]
    assert visits(oracle, *of_names(b"example.test", b"test"))[1:] == [b""] * 3
    assert visits(oracle, *of_names(b"other.test", b"example.test"))[1:] == [b""] * 3


@pytest.mark.parametrize("count", [49, 50, 51])
def test_fifty_cookies_of_one_answer_are_kept(oracle: Oracle, count: int) -> None:
    refused = (b"=", b"x=1; Domain=other.test")  # these do not count
    answer = refused + tuple(b"c%d=1" % number for number in range(count))
    assert visits(oracle, Visit(lines=answer), Visit())[1].count(b"=") == min(count, 50)


def test_the_hundred_and_fifty_that_were_set_longest_ago_are_sent(oracle: Oracle) -> None:
    filling = [Visit(lines=tuple(b"c%d_%d=1" % (page, at) for at in range(50))) for page in range(4)]
    again = Visit(lines=(b"c0_0=1", b"c0_1=2"))
    full, *_, after = visits(oracle, *filling, Visit(), again, Visit())[4:]
    assert full.count(b"=") == after.count(b"=") == 150
    assert b"c0_0" in full
    assert b"c0_0" not in after


@pytest.mark.parametrize("length", [4094, 4095, 4096])
def test_a_name_and_value_of_4096_bytes_are_kept(oracle: Oracle, length: int) -> None:
    got = visits(oracle, Visit(lines=(b"a=" + b"x" * length,)), Visit())[1]
    assert bool(got) == (length < 4096)


@pytest.mark.parametrize("length", [4996, 4997, 4998])
def test_a_line_of_5000_bytes_is_read(oracle: Oracle, length: int) -> None:
    got = visits(oracle, Visit(lines=(b"a=1; x=".ljust(length, b"y"),)), Visit())[1]
    assert bool(got) == (length < 4998)


@pytest.mark.parametrize("last", range(2040, 2050))
def test_a_header_is_cut_at_8190_bytes_and_then_ends_without_the_given_one(oracle: Oracle, last: int) -> None:
    answer = (b"a=" + b"x" * 4090, b"b=" + b"y" * 2035, b"c=" + b"z" * last)
    without, with_given = visits(oracle, Visit(lines=answer), Visit(), Visit(given=b"own=1"))[1:]
    is_cut = b"c=" not in without or b"b=" not in without or b"a=" not in without
    assert with_given == (without if is_cut else without + b"; own=1")


def test_an_insecure_answer_does_not_hide_a_secure_cookie(oracle: Oracle) -> None:
    sent = visits(
        oracle,
        Visit(is_secure=True, lines=(b"a=s; Secure; Path=/login",)),
        Visit(path="/login/en", lines=(b"a=n; Path=/login/en", b"a=o; Path=/loginhelper")),
        Visit(path="/login/en", is_secure=True),
        Visit(path="/loginhelper", is_secure=True),
    )
    assert sent[2:] == [b"a=s", b""]


# -- the jar by itself -------------------------------------------------------------------------------------------


def store(jar: CookieJar, *lines: bytes, now_s: float = 0.0) -> None:
    jar.store(lines, AWAY, "/", is_secure=False, now_s=now_s)


def header(jar: CookieJar, now_s: float = 0.0, path: str = "/") -> bytes:
    return jar.header(AWAY, path, is_secure=False, now_s=now_s)


def test_a_cookie_is_sent_to_the_end_of_its_last_second() -> None:
    jar = CookieJar()
    store(jar, b"a=1; Max-Age=10", b"b=1", now_s=1000.9)
    assert header(jar, 1010.9) == b"b=1; a=1"
    assert header(jar, 1011.0) == b"b=1"
    assert len(jar) == 1


def test_the_same_line_again_renews_the_life_of_its_cookie() -> None:
    jar = CookieJar()
    store(jar, b"a=1; Max-Age=10", now_s=1000.0)
    assert header(jar, 1009.0) == b"a=1"
    store(jar, b"a=1; Max-Age=10", now_s=1009.0)
    assert header(jar, 1019.0) == b"a=1"
    assert header(jar, 1020.0) == b""
    store(jar, b"a=1; Max-Age=10", now_s=1030.0)
    assert header(jar, 1030.0) == b"a=1"


def test_a_line_whose_cookie_was_replaced_sets_it_again() -> None:
    jar = CookieJar()
    for line, sent in (
        (b"a=1", b"a=1"),
        (b"a=2", b"a=2"),
        (b"a=1", b"a=1"),
        (b"a=; Max-Age=0", b""),
        (b"a=1", b"a=1"),
    ):
        store(jar, line, now_s=1000.0)
        assert header(jar, 1000.0) == sent


def test_no_cookie_lives_longer_than_400_days() -> None:
    jar = CookieJar()
    store(jar, b"a=1; Max-Age=%d" % 10**30, b"b=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT")
    last = 400 * 86_400  # whole minutes
    assert header(jar, last) == b"b=1; a=1"
    assert header(jar, last + 1) == b""


def test_a_full_jar_can_be_emptied() -> None:
    jar = CookieJar()
    for page in range(MOST_COOKIES // 50):
        store(jar, *(b"c%d_%d=1" % (page, at) for at in range(50)))
    assert (len(jar), jar.is_full) == (MOST_COOKIES, False)
    store(jar, b"more=1")
    assert (len(jar), jar.is_full) == (MOST_COOKIES + 1, True)
    jar.clear()
    assert (len(jar), jar.is_full, header(jar)) == (0, False, b"")
    store(jar, b"a=1")
    assert header(jar) == b"a=1"


def test_a_suffix_of_two_names_is_taken_for_a_domain() -> None:
    """Where the jar differs from libcurl, which has the list of public suffixes."""
    jar = CookieJar()
    jar.store([b"a=1; Domain=co.uk"], "a.co.uk", "/", is_secure=False, now_s=0.0)
    assert jar.header("b.co.uk", "/", is_secure=False, now_s=0.0) == b"a=1"


def test_any_number_of_paths_and_hosts_leaves_a_jar_small() -> None:
    jar = CookieJar()
    store(jar, b"a=1", b"b=1; Path=/x")
    for number in range(1000):
        assert header(jar, path=f"/x/{number}") == b"b=1; a=1"
        assert jar.header(f"{number}.test", "/", is_secure=False, now_s=0.0) == b""
    assert len(jar._headers) <= 64
