"""What is kept of an answer while it comes in: of most, nothing.

An answer is kept for an expectation that looks at it (up to BODY_LIMIT), or as a possible failure sample (up to
SAMPLE_LIMIT). Beyond the limit it is read and counted only, so that no answer can fill the memory.
"""

BODY_LIMIT = 16 * 1024 * 1024
SAMPLE_LIMIT = 2048
HEADERS_LIMIT = 256 * 1024


class KeptResponse:
    """The answer that is coming in for one user; `take` hands it over and begins anew."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_header_bytes",
        "_header_lines",
        "answers",
        "body_limit",
        "head_is_whole",
    )

    def __init__(self) -> None:
        self.body_limit = SAMPLE_LIMIT
        self.answers = 0  # that began, interim ones left out; counted while headers are kept
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._header_lines: list[bytes] = []
        self._header_bytes = 0
        self.head_is_whole = False  # the empty line that ends it has come; trailers may have come since

    def add_body(self, chunk: bytes) -> None:
        if self._body_bytes < self.body_limit:
            self._body.append(chunk[: self.body_limit - self._body_bytes])
            self._body_bytes += len(chunk)

    def add_header(self, line: bytes) -> None:
        if line.startswith(b"HTTP/"):
            # A new answer begins: the former was an interim one, or a round of authentication.
            self._header_lines = []
            self._body = []
            self._header_bytes = self._body_bytes = 0
            self.head_is_whole = False
            self.answers += line.partition(b" ")[2][:1] != b"1"
        elif not line.strip():
            self.head_is_whole = True
        elif self._header_bytes < HEADERS_LIMIT:
            self._header_lines.append(line)
            self._header_bytes += len(line)

    def take(self) -> tuple[bytes, dict[str, str]]:
        """The body and the headers so far."""
        kept = b"".join(self._body), parse_headers(self._header_lines)
        self._body, self._header_lines = [], []
        self._body_bytes = self._header_bytes = 0
        self.head_is_whole = False
        return kept


def parse_headers(lines: list[bytes]) -> dict[str, str]:
    """Lower-case names; values of a repeated header joined by a comma."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            key, text = name.strip().lower(), value.strip()
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def decoded(body: bytes) -> str:
    """The text of a body whose end may be missing, whatever its charset is: what is looked for in it is to be found.

    UTF-8; UTF-16 where that is told by its mark or by every second byte being zero; else Latin-1, which has a letter
    for every byte.
    """
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return body.decode("utf-16", "replace")
    if len(body) > 3 and not any(body[1::2]):
        return body.decode("utf-16-le", "replace")
    if len(body) > 3 and not any(body[0::2]):
        return body.decode("utf-16-be", "replace")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        is_cut = error.start >= len(body) - 3 and error.reason == "unexpected end of data"
        return body.decode("utf-8" if is_cut else "latin-1", "replace")
