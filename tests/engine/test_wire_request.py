"""What goes out on the wire is what libcurl sends, byte for byte: both send to the same server, which keeps it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.http_harness import OK, Connection, RawServer, open_client, request, send, serving, user
from engine.http_harness import settings as settings_of
from engine.http_site import answer
from perfcore.engine.request_text import sendable
from perfcore.engine.transport import Request
from perfcore.engine.upload import HeldPiece, Upload, open_piece
from perfcore.engine.wire_request import request_target, wire_request


class Keeper:
    """Keeps every request in full."""

    def __init__(self, reply: bytes = OK) -> None:
        self._reply = reply
        self.seen: list[bytes] = []

    def __call__(self, connection: Connection) -> None:
        while (got := connection.read_request()) is not None:
            self.seen.append(got)
            head = got.startswith(b"HEAD ")
            connection.send(self._reply.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if head else self._reply)


keeper = Keeper()


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    with serving(keeper) as running:
        yield running


def sent_by(engine: str, *requests: Request) -> list[bytes]:
    """What the server got of these requests of one user, one after the other."""
    keeper.seen.clear()
    with open_client(engine) as client:
        exchange = user()
        for sent in requests:
            send(client, exchange, sent)
            assert (exchange.error, exchange.status) == (0, 200)
    return list(keeper.seen)


def assert_alike(*requests: Request) -> list[bytes]:
    by_wire, by_libcurl = sent_by("wire", *requests), sent_by("transfer", *requests)
    assert by_wire == by_libcurl
    assert len(by_wire) == len(requests)
    return by_wire


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("body", [None, b"", b"some \0 bytes \xff", b"x" * 200_000])
def test_methods_with_and_without_a_body(server: RawServer, method: str, body: bytes | None) -> None:
    (got,) = assert_alike(request(server.url + "/p", method, body=body))
    assert got.startswith(f"{method} /p HTTP/1.1\r\n".encode())
    if method != "HEAD":
        assert got.partition(b"\r\n\r\n")[2] == (body or b"")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "headers",
    [
        ["X-A: 1", "X-B: 2", "X-A: 3"],
        ["X-Empty:", "X-Blank:   ", "X-Padded:   v  "],
        ["User-Agent: mine"],
        ["user-agent: mine", "ACCEPT: text/plain"],
        ["Accept: "],
        ["User-Agent:"],
        ["Host: other.example"],
        ["Host: ["],
        ["X-A: 1", "host: other.example:81"],
        ["Connection: close"],
        ["connection:  Close ", "X-A: 1", "CONNECTION: close"],
        ["Connection: keep-alive"],
        ["Content-Type: application/json"],
        ["Cookie: a=b", "Cookie: c=d"],
        ["Authorization: Basic dTpw"],
        ["X-Name: Zoë", "X-Odd: a:b: c", "X-Bytes: \udcff"],
        ["Accept-Encoding: br"],
        ["Accept-Encoding:"],
        ["Range: bytes=0-9"],
        ["If-Modified-Since: Mon, 23 Nov 2026 09:00:00 GMT"],
        ["Referer: http://x/"],
    ],
)
def test_headers_of_every_kind(server: RawServer, headers: list[str], compressed: bool, method: str) -> None:
    body = b"x" if method in ("POST", "PUT") else None
    assert_alike(request(server.url, method, headers=headers, body=body, compressed=compressed))


PATHS = (
    "",
    "/",
    "?",
    "?a",
    "/?",
    "/?a=b&c",
    "/a/../b",
    "/a/./b/.",
    "/a/..",
    "/../../a",
    "/a/b/../..",
    "/a/...",
    "/.a/..b",
    "/a//b//../c",
    "/a/.?x=/../y",
    "/a/..?",
    "//a//",
    "/%7euser/%e2%82%ac",
    "/a%2fb/%2E%2e/c",
    "/a/%2e/b",
    "/a/%2e%2E/b",
    "/a/.%2e/b",
    "/a/%2e.",
    "/%zz/%",
    "/?q=%7e%c3%a9",
    "/a;b=c;d",
    "/a:b@c",
    "/~!$&'()*+,=",
    "/a|b",
    "/[x]",
    "/#f",
    "/a#f?g",
    "/a?b#f?g",
    "?b#f",
    "#f",
    "/?a?b??",
    "/%25%20",
    "/a\\b",
    "/a^b`c{d}",
    '/"<>"',
)


@pytest.mark.parametrize("path", PATHS)
def test_paths_and_queries_of_every_kind(server: RawServer, path: str) -> None:
    assert_alike(request(sendable(server.url + path)))


# What a suite's endpoint, query or data may hold when it has come so far.
_PIECES = st.sampled_from(
    [
        "/",
        "/",
        ".",
        "..",
        "%2e",
        "%2E",
        "%2f",
        "%c3%A9",
        "%",
        "?",
        "#",
        "&",
        "=",
        ";",
        ":",
        "@",
        "//",
        "+",
        "~",
        "é",
        " ",
        "|",
    ]
)
_TEXTS = st.lists(st.one_of(_PIECES, st.text("abAZ09-_", min_size=1, max_size=3)), max_size=12).map("".join)


@given(_TEXTS)
@example("a/%2e%2e/b")
@example("a/.%2E?x/../y#z?")
@settings(max_examples=250, deadline=None)
def test_any_path_and_query(server: RawServer, text: str) -> None:
    assert_alike(request(sendable(f"{server.url}/{text}")))


_NAMES = st.sampled_from(
    ["X-A", "x-b", "Accept", "User-Agent", "Host", "Cookie", "Content-Type", "Referer", "Connection", "A_b"]
)
_VALUES = st.one_of(
    st.sampled_from(["", " ", "close", "keep-alive", "a: b", "a=b; c=d", "é€", "a\tb", ";", "x;"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
)


@st.composite
def header_lines(draw: st.DrawFn) -> list[str]:
    pairs = draw(st.lists(st.tuples(_NAMES, _VALUES), max_size=5))
    return [
        f"{name}:{draw(st.sampled_from([' ', '']))}{value}"
        for name, value in pairs
        # What engine_choice leaves to transfers; and a Cookie without a value is none.
        if (name != "Connection" or value in ("close", "keep-alive")) and (name != "Cookie" or value.strip())
    ]


@given(
    header_lines(),
    st.sampled_from(METHODS),
    st.one_of(st.none(), st.binary(max_size=20)),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=250, deadline=None)
def test_any_headers(
    server: RawServer, headers: list[str], method: str, body: bytes | None, compressed: bool, cookies: bool
) -> None:
    assert_alike(
        request(server.url, method, headers=headers, body=body, compressed=compressed, cookies=cookies)
    )


@pytest.mark.parametrize("given_cookies", [[], ["Cookie: own=1"], ["cookie:own=1;x=y ", "Cookie: two=2"]])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_cookies_of_the_jar_and_of_the_suite(given_cookies: list[str], method: str) -> None:
    seen = []
    for engine in ("wire", "transfer"):
        kept = Keeper(answer(200, b"ok", Set_Cookie="sid=ab c; Path=/p"))
        with serving(kept) as server, open_client(engine) as client:
            exchange = user()
            for path in ("/p/a", "/p/b", "/q", "/p"):
                sent = request(
                    server.url + path,
                    method,
                    headers=["X-A: 1", *given_cookies, "X-B: 2"],
                    cookies=True,
                    body=b"",
                )
                send(client, exchange, sent)
            seen.append([got.replace(str(server.port).encode(), b"PORT") for got in kept.seen])
    assert seen[0] == seen[1]
    assert b"sid=ab c" in seen[0][1]
    assert b"sid=" not in seen[0][0] + seen[0][2]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET"])
def test_a_body_that_is_read_as_it_goes_out(server: RawServer, tmp_path: Path, method: str) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 5000)
    upload = Upload([HeldPiece(b"<head>"), open_piece(path), HeldPiece(b"<tail>")])
    made = Request(settings_of(method), server.url, ["Content-Type: x/y"], upload)
    (got,) = assert_alike(made)
    assert got.endswith(b"<head>" + path.read_bytes() + b"<tail>")


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/x",
        "http://API.Example/x",
        "HTTP://api.example/x",
        "http://api.example:80/x",
        "http://api.example:080/x",
        "http://api.example:443/x",
        "http://api.example:8080/x",
        "http://api.example./x",
        "http://api.example:/x",
        "http://[::1]/x",
        "http://[::1]:80/x",
        "http://[::1]:8080/x",
        "http://[0:0:0:0:0:0:0:1]/x",
        "http://[FE80::A]:8080/x",
        "http://xn--bcher-kva.example/x",
    ],
)
def test_hosts_of_every_kind(tmp_path: Path, url: str) -> None:
    """Through a Unix socket, so that any host and port can be asked for."""
    path = tmp_path / "s"
    seen = []
    for engine in ("wire", "transfer"):
        with socket.socket(socket.AF_UNIX) as listener, open_client(engine) as client:
            listener.bind(str(path))
            listener.listen()
            exchange = user()
            client.start(exchange, request(url, unix_socket=str(path)))
            listener.settimeout(20)
            for _ in range(3):
                client.poll(0.0)
            accepted, _ = listener.accept()
            with accepted:
                connection = Connection(accepted, 1)
                accepted.settimeout(0.05)
                got = None
                while not got:
                    client.poll(0.01)
                    got = connection.read_request()
                seen.append(got)
            path.unlink()
    assert seen[0] == seen[1]


def test_a_port_that_is_the_schemes_own_is_not_named() -> None:
    assert b"Host: h\r\n" in wire_request(request("https://h:443/")).whole(b"")
    assert b"Host: h:80\r\n" in wire_request(request("https://h:80/")).whole(b"")
    assert b"Host: [::80]\r\n" in wire_request(request("http://[::80]/")).whole(b"")


def test_what_changes_from_request_to_request_is_sent_as_it_is_now(server: RawServer) -> None:
    made = settings_of("POST")
    requests = [Request(made, f"{server.url}/{n}?n={n}", [f"X-N: {n}"], b"n" * n) for n in range(7)]
    assert_alike(*requests)


def test_a_target_is_never_empty() -> None:
    for url in ("http://h", "http://h?", "http://h#f", "http://h/.", "http://h/.."):
        assert request_target(url.removeprefix("http://h").partition("?")[0].partition("#")[0], url)[0] == "/"
