"""A socket and a reader of responses that knows just enough HTTP: bytes out, bytes in, nothing interpreted."""

import socket
from dataclasses import dataclass

TIMEOUT_S = 20.0


@dataclass
class RawResponse:
    status: int
    headers: dict[str, str]
    body: bytes


class RawClient:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.unread = b""

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _more(self) -> None:
        part = self.socket.recv(65_536)
        if not part:
            raise EOFError(f"closed after {self.unread!r}")
        self.unread += part

    def head(self) -> RawResponse:
        """Status and headers (names in lower case)."""
        while b"\r\n\r\n" not in self.unread:
            self._more()
        text, _, self.unread = self.unread.partition(b"\r\n\r\n")
        first, *lines = text.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return RawResponse(int(first.split(" ")[1]), headers, b"")

    def exactly(self, size: int) -> bytes:
        while len(self.unread) < size:
            self._more()
        taken, self.unread = self.unread[:size], self.unread[size:]
        return taken

    def line(self) -> bytes:
        while b"\r\n" not in self.unread:
            self._more()
        line, _, self.unread = self.unread.partition(b"\r\n")
        return line

    def response(self) -> RawResponse:
        """A response with a Content-Length or with chunks."""
        response = self.head()
        if response.headers.get("transfer-encoding") == "chunked":
            while size := int(self.line(), 16):
                response.body += self.exactly(size)
                assert self.line() == b""
            assert self.line() == b""
        else:
            response.body = self.exactly(int(response.headers.get("content-length", "0")))
        return response

    def rest(self) -> bytes:
        """Everything until the server closes."""
        while part := self.socket.recv(65_536):
            self.unread += part
        rest, self.unread = self.unread, b""
        return rest

    def ask(self, target: str, method: str = "GET") -> RawResponse:
        self.send(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return self.response()
