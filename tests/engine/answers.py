"""Generated HTTP/1.1 answers that know what they are, for property tests."""

import http.client
import io
from dataclasses import dataclass

from hypothesis import strategies as st

# Lines that look like framing and are not, beside plain ones.
_HEADERS = (
    "Server: nginx",
    "Date: Mon, 23 Nov 2026 09:00:00 GMT",
    "X-Content-Length: 99",
    "X-Note: content-length: 99",
    "X-Note: transfer-encoding: chunked",
    "X-Note: HTTP/1.1 200 OK",
    "Content-Type: text/plain",
    "Content-Lengthy: 5",
    "Set-Cookie: a=b; Path=/",
    "X-Empty:",
    "Trailer: X-Sum",
)
_TRAILERS = ("X-Sum: 0", "X-Sum:0", "X: y")
_INTERIM = (100, 102, 103, 199)


@dataclass(frozen=True)
class Answer:
    """`data` is the whole of it. `size` counts heads and body: what is reported of an answer."""

    data: bytes
    status: int
    body: bytes
    size: int
    goes_on: bool  # the connection can be used again after it
    until_end: bool = False  # the end of the connection is its own
    trailers: bool = False


@st.composite
def answers(
    draw: st.DrawFn, *, can_end: bool = True, to_head: bool = False, mark: bytes = b"", most: int = 60
) -> Answer:
    """`mark` is in every body, or in a header where there is none; without `can_end` the connection always goes on."""
    line_end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"]))
    status = draw(st.sampled_from([200, 200, 200, 201, 204, 304, 404, 503]))
    framing = draw(
        st.sampled_from(["length", "length", "chunks", "end"] if can_end else ["length", "chunks"])
    )
    closes = can_end and draw(st.integers(0, 9)) == 0
    body = b"" if status in (204, 304) else mark + draw(st.binary(max_size=most))
    lines = list(draw(st.lists(st.sampled_from(_HEADERS), max_size=3)))
    if mark:
        lines.append(f"X-Mark: {mark.decode()}")
    if closes:
        lines.append("Connection: close")
    if status in (204, 304):
        framing = "none"
    elif framing == "length":
        name = draw(st.sampled_from(["Content-Length", "content-length", "CONTENT-LENGTH"]))
        lines.append(name + draw(st.sampled_from([": ", ":", ":  ", ": 00"])) + str(len(body)))
    elif framing == "chunks":
        lines.append("Transfer-Encoding: " + draw(st.sampled_from(["chunked", "Chunked"])))
    lines = draw(st.permutations(lines))
    head = _head(f"HTTP/1.1 {status} X", lines, line_end)
    interim = b"".join(
        _head(f"HTTP/1.1 {code} X", ["X-Early: 1"], b"\r\n")
        for code in draw(st.lists(st.sampled_from(_INTERIM), max_size=2))
        if draw(st.booleans())
    )
    trailers = framing == "chunks" and not to_head and draw(st.integers(0, 3)) == 0
    sent = b"" if to_head else _chunks(draw, body, trailers) if framing == "chunks" else body
    until_end = framing == "end" and not to_head
    return Answer(
        interim + head + sent,
        status,
        b"" if to_head else body,
        len(interim) + len(head) + (0 if to_head else len(body)),
        # To HEAD nothing ends with the connection; whether a keep-alive is implied without a length is nobody's to say.
        goes_on=not closes and framing != "end",
        until_end=until_end,
        trailers=trailers,
    )


def _head(first: str, lines: list[str], line_end: bytes) -> bytes:
    return b"".join(line.encode() + line_end for line in (first, *lines)) + line_end


def _chunks(draw: st.DrawFn, body: bytes, trailers: bool) -> bytes:
    sent, left = b"", body
    while left:
        size = draw(st.integers(1, len(left)))
        padding = draw(st.sampled_from([b"", b"", b"00", b";ext", b';a="b"']))
        number = (padding + b"%x" % size) if padding == b"00" else (b"%X" % size + padding)
        sent += number + b"\r\n" + left[:size] + b"\r\n"
        left = left[size:]
    lines = draw(st.lists(st.sampled_from(_TRAILERS), min_size=1, max_size=2)) if trailers else []
    return sent + b"0\r\n" + b"".join(line.encode() + b"\r\n" for line in lines) + b"\r\n"


def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The bytes in pieces, none of them empty."""
    places = sorted(draw(st.sets(st.integers(1, len(data) - 1), max_size=6))) if len(data) > 1 else []
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]


@st.composite
def answers_in_pieces(draw: st.DrawFn, **keys: object) -> tuple[Answer, list[bytes]]:
    made = draw(answers(**keys))  # type: ignore[arg-type]
    return made, cut(draw, made.data)


class _File(io.BytesIO):
    """What http.client takes for a socket; it stays open, so that its place can be asked for."""

    def makefile(self, *_: object) -> "_File":
        return self

    def close(self) -> None:
        pass


def read_by_http_client(data: bytes, method: str = "GET") -> tuple[int, bytes, int]:
    """Status, body, and how many bytes stand behind the answer, by the parser of Python's library.

    Raises http.client.HTTPException or ValueError for what is no whole answer.
    """
    file = _File(data)
    while True:
        response = http.client.HTTPResponse(file, method=method)  # type: ignore[arg-type]
        response.begin()
        if response.status >= 200:
            body = response.read()
            return response.status, body, len(data) - file.tell()
