"""A server that hands back whatever it was sent, in every spelling that a server might choose.

Each path is answered in turn by each of `SPELLINGS`, with status 500, so that every answer becomes a failure sample.
Names of headers are left out: a value has to be recognised by itself.
"""

import base64
import html
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, urlsplit

# As much as perfcore keeps of a body.
KEPT = 2048


def _plain(text: str) -> str:
    return text


def _json_in_json(text: str) -> str:
    return json.dumps({"said": json.dumps({"seen": text})}).replace("/", "\\/")


def _percent_and_html(text: str) -> str:
    encoded = quote(text, safe="")
    return (
        f"<a title='{html.escape(text)}' href='/?next={encoded.lower()}'>"
        if len(text) < 300
        else encoded.lower()
    )


def _base64_and_hex(text: str) -> str:
    coded = [base64.b64encode(b"-" * before + text.encode()).decode() for before in range(3)]
    return " ".join((*coded, text.encode().hex().upper())) if len(text) < 300 else coded[1]


SPELLINGS = (_plain, _json_in_json, _percent_and_html, _base64_and_hex)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "HostileServer"

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode("utf-8", "replace")
        values = [value.encode("latin-1").decode("utf-8", "replace") for value in self.headers.values()]
        decoded = [base64.b64decode(value[6:]).decode() for value in values if value.startswith("Basic ")]
        seen = [self.path, *values, *decoded, self.server.session, *([body] if body else [])]
        path = urlsplit(self.path).path
        turn = self.server.turn(path)
        if path == "/slow":
            self.server.released.wait(20)
        if path == "/small":
            text = "fine"
        elif turn < len(SPELLINGS):
            text = SPELLINGS[turn]("\n".join(seen))
        else:
            # Each value once across the place where perfcore stops keeping.
            value = max(decoded or values, key=len) if turn % 2 else (body or seen[0])
            text = "x" * (KEPT - 1 - len(value) // 2) + " " + value
        self._send(text, seen)

    def _send(self, text: str, seen: list[str]) -> None:
        content = text.encode()
        line = " ".join(seen).replace("\r", " ").replace("\n", " ")
        self.send_response(500, line.encode("ascii", "replace").decode()[:900])
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Location", "/next?at=" + quote(line[:900]))
        self.send_header(
            "Set-Cookie", f"theme={self.server.session}; Expires=Wed, 21 Oct 2099 07:28:00 GMT; Path=/"
        )
        self.send_header("X-Seen", quote(line[:900]))
        self.send_header("ETag", quote(line[:300], safe=" "))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


class HostileServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, session: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.session = session
        self.released = threading.Event()
        self._turns = Counter[str]()
        self._lock = threading.Lock()

    def turn(self, path: str) -> int:
        """How often this path was asked for before."""
        with self._lock:
            self._turns[path] += 1
            return self._turns[path] - 1

    def forget(self) -> None:
        with self._lock:
            self._turns.clear()

    def asked(self, path: str) -> int:
        with self._lock:
            return self._turns[path]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def hostile_server(session: str) -> Iterator[HostileServer]:
    """Running; `session` is what it gives out as a cookie and repeats in bodies."""
    server = HostileServer(session)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
