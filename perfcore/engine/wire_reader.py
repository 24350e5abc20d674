"""Reading answers from the bytes of an HTTP/1.1 connection.

Framing and syntax are llhttp's (httptools). What it does not tell is found here: where a head ends, that an answer
without length ends with its connection, that one to HEAD has no body, and whether anything follows an answer.
"""

import re
import zlib
from contextlib import suppress

import httptools

from perfcore.engine.response_keeping import HEADERS_LIMIT, SAMPLE_LIMIT, parse_headers

PARSER_ERRORS = (httptools.HttpParserError, httptools.HttpParserUpgrade)
# What libcurl takes, and so any client that users compare with.
LENIENCIES = {
    "lenient_headers": True,
    "lenient_chunked_length": True,
    "lenient_optional_cr_before_lf": True,
    "lenient_spaces_after_chunk_size": True,
}
# libcurl's own bound for all headers of an answer, interim ones included.
HEAD_LIMIT = 300 * 1024
# Its bounds for one line of them, and for their number.
_LINE_LIMIT = 100 * 1024
_MOST_LINES = 5000
_SHORT_HEAD = 2 * _MOST_LINES  # within all of these bounds
_BEGINNING = b"HTTP/"
# An answer up to here is recognised as a whole where its head does not tell the length of its body.
_WHOLE_LIMIT = 4096
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*0*(\d{1,18})[ \t]*\r?(?=\n)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\ntransfer-encoding:[^\n]*chunked", re.IGNORECASE)
_FRAMED = re.compile(rb"\n(content-length|transfer-encoding):", re.IGNORECASE)
_STATUS_LINE = re.compile(rb"HTTP/(\d\.\d) +(\d{3})")
_SWITCHED_TEXT = "the server switched protocols, which was not asked for"
_NO_BODY_STATUSES = (204, 304)


class BadAnswerError(Exception):
    """What came is no answer; the text says why."""


class AnswerReader:
    """One connection's answers, one after the other; between two of them it holds nothing.

    `parse` is all that an answer in one piece needs; of any other `follow` sees the same pieces. `kept_body` is a list
    where the body is to be kept, up to `body_limit` bytes.
    """

    __slots__ = (
        "_kept_bytes",
        "_parser",
        "begun",
        "body_bytes",
        "body_limit",
        "complete",
        "feed",
        "head",
        "head_bytes",
        "is_whole_head",
        "keeps_alive",
        "kept_body",
        "raw_bytes",
        "status",
    )

    def __init__(self) -> None:
        self._renew()
        self.begin()

    def _renew(self) -> None:
        self._parser = parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(**LENIENCIES)
        self.feed = parser.feed_data

    def begin(self) -> None:
        """A new answer is to come."""
        self.begun = self.complete = 0  # messages, interim ones left out
        self.body_bytes = self._kept_bytes = 0
        self.status = 0
        self.keeps_alive = False
        self.kept_body: list[bytes] | None = None
        self.body_limit = SAMPLE_LIMIT
        self.head = b""  # as far as it has come; without interim ones once it is whole
        self.is_whole_head = False
        self.head_bytes = 0  # with interim ones
        self.raw_bytes = 0  # counted by whoever has received them

    # -- llhttp's calls ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_body(self, part: bytes) -> None:
        if self.complete:
            return  # of something behind the answer
        self.body_bytes += len(part)
        if self.kept_body is not None and self._kept_bytes < self.body_limit:
            self.kept_body.append(part[: self.body_limit - self._kept_bytes])
            self._kept_bytes += len(part)

    def on_message_complete(self) -> None:
        parser = self._parser
        status = parser.get_status_code()
        if 100 <= status < 200:
            if not self.complete:  # interim: the answer is still to come
                self.begun -= 1
            return
        if not self.complete:
            self.status = status
            self.keeps_alive = parser.should_keep_alive() and status >= 100
        self.complete += 1

    # -- an answer --------------------------------------------------------------------------------------------

    def parse(self, piece: memoryview) -> None:
        """Give llhttp the next piece. Raises BadAnswerError; but not for what follows a whole answer."""
        try:
            self.feed(piece)
        except httptools.HttpParserUpgrade:
            self._renew()
            raise BadAnswerError(_SWITCHED_TEXT) from None
        except httptools.HttpParserError as error:
            self._renew()
            if not self.complete:
                raise BadAnswerError(f"what the server sent is no answer: {error}") from None
            self.begun += 1  # garbage after the answer

    def follow(self, piece: memoryview) -> None:
        """Take note of a piece of an answer that comes in several, or is to be looked at. Raises BadAnswerError."""
        if not self.is_whole_head:
            self.head += bytes(piece[: HEAD_LIMIT + 4 - len(self.head)])
            self._find_head()
            if self.head_bytes + (0 if self.is_whole_head else len(self.head)) > HEAD_LIMIT:
                raise BadAnswerError("the head of the answer is larger than 300 KiB")

    def _find_head(self) -> None:
        self._check_beginning()
        while (end := _HEAD_END.search(self.head)) is not None:
            line = _STATUS_LINE.match(self.head)
            is_interim = line is not None and line[2][:1] == b"1" and line[2] != b"101"
            self.head_bytes += end.end()
            if not is_interim:
                self.head = self.head[: end.end()]
                self.is_whole_head = True
                self._check_head()
                return
            self.head = self.head[end.end() :]
            self._check_beginning()

    def _check_beginning(self) -> None:
        head = self.head
        if not head.startswith(_BEGINNING if len(head) >= len(_BEGINNING) else _BEGINNING[: len(head)]):
            raise BadAnswerError("what the server sent is no answer: it does not begin with HTTP/")

    def _check_head(self) -> None:
        """What libcurl refuses and llhttp takes."""
        head = self.head
        line = _STATUS_LINE.match(head)
        if line is None or line[0].startswith(b"HTTP/0"):
            raise BadAnswerError("what the server sent is no answer: it does not begin with a status")
        if line[2] < b"100":
            raise BadAnswerError(f"what the server sent is no answer: status {line[2].decode()}")
        if b"\0" in head:
            raise BadAnswerError("what the server sent is no answer: a zero byte in its head")
        if len(head) > _SHORT_HEAD:
            lines = head.splitlines()
            if len(lines) - 2 > _MOST_LINES:
                raise BadAnswerError(f"the answer has more than {_MOST_LINES} headers")
            if max(map(len, lines)) > _LINE_LIMIT:
                raise BadAnswerError("a header of the answer is larger than 100 KiB")

    @property
    def part(self) -> str:
        """What of the answer was coming last."""
        if self.is_whole_head:
            return "body"
        return "head" if self.head_bytes or b"\n" in self.head else "first line"

    def version(self) -> str:
        """Of HTTP, in which the answer is given; empty before its first line is whole, and for what is no answer."""
        line = _STATUS_LINE.match(self.head)
        return line[1].decode() if line is not None and self.part != "first line" else ""

    def is_followed(self, *, has_body: bool) -> bool:
        """Whether something came after the answer, which is whole; `has_body` is False for one to HEAD."""
        if self.begun != 1:
            return True
        if has_body and self.is_chunked:
            return False  # of what llhttp says; empty lines after the last chunk are nothing
        return self.raw_bytes > self.head_bytes + self.body_bytes

    @property
    def is_chunked(self) -> bool:
        return _CHUNKED.search(self.head) is not None

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is the answer's proper end."""
        return self.is_whole_head and not _FRAMED.search(self.head)

    def take_end(self) -> None:
        """The connection has ended, and with it an answer without length."""
        self.complete = self.begun = 1
        self.status = self._parser.get_status_code()
        self.keeps_alive = False

    def take_head_alone(self) -> None:
        """The answer is one to HEAD and its head is whole, so it is through. Raises BadAnswerError."""
        line = _STATUS_LINE.match(self.head)
        self._renew()
        self.begun = 0
        # As the head of an answer that has no body by its status, llhttp reads it to its end.
        headers = self.head[self.head.index(b"\n") + 1 :]
        assert line is not None
        if line[2] == b"101":
            raise BadAnswerError(_SWITCHED_TEXT)
        self.parse(memoryview(line[0][: -len(line[2])] + b"204 X\r\n" + headers))
        if not self.complete:
            raise BadAnswerError("what the server sent is no answer: its head has no end")
        self.status = int(line[2])
        self.body_bytes = 0

    @property
    def received_bytes(self) -> int:
        """Heads and body, without the framing of chunks and what stands behind the last of them.

        Of a head that was cut, as of libcurl's, the lines that are whole.
        """
        lines = 0 if self.is_whole_head else self.head.rfind(b"\n") + 1
        return self.head_bytes + lines + self.body_bytes

    def headers(self) -> dict[str, str]:
        """Lower-case names; values of a repeated header joined by a comma."""
        return parse_headers(self.head[:HEADERS_LIMIT].splitlines()[1:])

    def values(self, name: bytes) -> list[bytes]:
        """Each header of this lower-case name, in their order."""
        lines = (line.partition(b":") for line in self.head.splitlines()[1:])
        return [value.strip() for key, _, value in lines if key.strip().lower() == name]

    def body(self) -> bytes:
        """What was kept of it; a gzip or deflate coding is undone, for where compressed answers were asked for."""
        body = b"".join(self.kept_body or ())
        if body and re.search(rb"\ncontent-encoding:[ \t]*(gzip|deflate)", self.head, re.IGNORECASE):
            with suppress(zlib.error):
                return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, self.body_limit)
        return body

    def take_body(self) -> bytes:
        """What was kept of it, as it came; nothing is kept of the next one."""
        body, self.kept_body = b"".join(self.kept_body or ()), None
        self._kept_bytes = 0
        return body

    def renew(self) -> None:
        """Forget what has come: the connection it came on is not used any more."""
        self._renew()
        self.begin()


class KnownAnswer:
    """The last plain answer to a test's request: what comes again just so needs no parser.

    Equal in length, and in every byte of `head`. That is the head where it tells the length of the body, else the whole
    answer; both leave no room for another end. The date in it makes it a new one every second.
    """

    __slots__ = ("_headers", "head", "learn_ns", "received_bytes", "size", "status")

    LEARN_EVERY_NS = 10_000_000

    def __init__(self) -> None:
        self.size = -1
        self.head = b""
        self.received_bytes = 0
        self.status = 0
        self.learn_ns = 0  # not again before: answers that never come twice are not worth it
        self._headers: dict[str, str] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer whose head is known; lower-case names."""
        if self._headers is None:
            self._headers = parse_headers(self.head.splitlines()[1:])
        return self._headers

    def learn(
        self,
        answer: bytes,
        head_bytes: int,
        received_bytes: int,
        status: int,
        now_ns: int,
        *,
        head_alone: bool = False,
    ) -> None:
        """`answer` came in one piece, was whole, and its connection goes on.

        With `head_alone` it is not learned where only a whole answer would do.
        """
        self.learn_ns = now_ns + self.LEARN_EVERY_NS
        head = answer[:head_bytes]
        lengths = _LENGTH.findall(head)
        tells_length = len(lengths) == 1 and int(lengths[0]) == len(answer) - head_bytes
        if tells_length and not _CHUNKED.search(head) and status not in _NO_BODY_STATUSES:
            self.head = head
        elif len(answer) <= _WHOLE_LIMIT and not head_alone:
            self.head = answer
        else:
            return
        self.size, self.received_bytes, self.status = len(answer), received_bytes, status
        self._headers = None
