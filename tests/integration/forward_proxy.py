"""A proxy of the standard library that counts: `with forward_proxy() as proxy:`. It asks for me and pa ss."""

import base64
import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

WAIT_S = 20.0
_LOGIN = "Basic " + base64.b64encode(b"me:pa ss").decode()


class ForwardProxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.forwarded = self.tunnels = self.refused = 0

    @property
    def place(self) -> str:
        """With user and password, as a suite has it."""
        return f"http://me:pa%20ss@127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = WAIT_S
    server: ForwardProxy

    def do_GET(self) -> None:
        if not self._is_known():
            return
        with self.server.lock:
            self.server.forwarded += 1
        place = urlsplit(self.path)
        server = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=WAIT_S)
        with contextlib.closing(server):
            headers = {name: value for name, value in self.headers.items() if not name.startswith("Proxy-")}
            server.request("GET", place.path, headers=headers)
            answer = server.getresponse()
            self._answer(answer.status, answer.read())

    def do_CONNECT(self) -> None:
        if not self._is_known():
            return
        with self.server.lock:
            self.server.tunnels += 1
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port)), WAIT_S) as server:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pipe, args=(server, self.connection), daemon=True)
            back.start()
            _pipe(self.connection, server)
            back.join(WAIT_S)
        self.close_connection = True

    def _is_known(self) -> bool:
        if self.headers.get("Proxy-Authorization") == _LOGIN:
            return True
        with self.server.lock:
            self.server.refused += 1
        self._answer(407, b"")
        return False

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def forward_proxy() -> Iterator[ForwardProxy]:
    with ForwardProxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join(WAIT_S)
