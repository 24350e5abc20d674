"""Messages between TestRunner and its supervisor process, over one stream socket: a length, then a pickle.

The supervisor must never wait for a caller that is stopped or busy: `queue` and `offer` of MessageWriter return at
once, `send` alone waits. Both ends are of the same perfcore and the socket has no name, so the pickles can be
trusted. Towards the supervisor go one Start and after it lines, each the reason of a stop.
"""

import pickle
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_LENGTH_BYTES = 8
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Start:
    """The first message, which needs nothing but the standard library to be read."""

    paths: Sequence[str]
    """Where the caller finds modules."""
    log_level: int
    wants_progress: bool
    order: bytes
    """A RunOrder as `suite_pickle` makes it."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The supervisor has the order; from now on a stop reaches it."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """What was logged in the supervisor."""

    logger: str
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The run ended with a PerfcoreError; `arguments` and `attributes` make it up again without its __init__."""

    kind: type[Exception]
    arguments: tuple[Any, ...]
    attributes: dict[str, Any]

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        return cls(type(error), error.args, dict(vars(error)))

    def error(self) -> Exception:
        error = self.kind.__new__(self.kind, *self.arguments)
        error.__dict__.update(self.attributes)
        return error


@dataclass(frozen=True, slots=True)
class Bug:
    """The run ended with anything else."""

    traceback: str


def framed(message: object) -> bytes:
    content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(content).to_bytes(_LENGTH_BYTES, "big") + content


def read_message(end: socket.socket) -> Any:
    """The next message and not a byte more; waits for it. EOFError when the other end is gone."""
    length = int.from_bytes(_read(end, _LENGTH_BYTES), "big")
    return pickle.loads(_read(end, length))


def _read(end: socket.socket, length: int) -> bytes:
    content = bytearray()
    while len(content) < length:
        chunk = end.recv(min(length - len(content), _CHUNK_BYTES))
        if not chunk:
            raise EOFError
        content += chunk
    return bytes(content)


class MessageReader:
    """Reads whole messages from `end`."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._bytes = bytearray()
        self._is_at_end = False

    def receive(self, timeout_s: float | None) -> list[Any]:
        """Everything that has come, once there is something; nothing when the other end is gone, whatever it had begun.

        Raises TimeoutError when nothing has come within `timeout_s`; None waits for as long as it takes.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not (messages := self._whole_messages()) and not self._is_at_end:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            if not self._read_what_is_there(left_s):
                raise TimeoutError
        return messages

    def _read_what_is_there(self, timeout_s: float | None) -> bool:
        """False when there is nothing for so long."""
        poller = select.poll()
        poller.register(self._end, select.POLLIN)
        if not poller.poll(None if timeout_s is None else timeout_s * 1000):
            return False
        while not self._is_at_end and poller.poll(0):
            try:
                chunk = self._end.recv(_CHUNK_BYTES)
            except ConnectionResetError:
                chunk = b""
            self._bytes += chunk
            self._is_at_end = not chunk
        return True

    def _whole_messages(self) -> list[Any]:
        messages, at = [], 0
        while len(self._bytes) >= at + _LENGTH_BYTES:
            begin = at + _LENGTH_BYTES
            end = begin + int.from_bytes(self._bytes[at:begin], "big")
            if len(self._bytes) < end:
                break
            messages.append(pickle.loads(bytes(self._bytes[begin:end])))
            at = end
        del self._bytes[:at]
        return messages


class MessageWriter:
    """Writes whole messages to `end`; once nobody reads there any more, they vanish."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._pending = bytearray()
        self._offered: bytes | None = None

    def send(self, message: object) -> None:
        """Write it and all before it, for as long as that takes."""
        self.queue(message)
        poller = select.poll()
        poller.register(self._end, select.POLLOUT)
        while self._pending:
            poller.poll()
            self._write()

    def queue(self, message: object) -> None:
        """Write it now, or with what comes next when there is no room."""
        self._take_offered()
        self._pending += framed(message)
        self._write()

    def offer(self, message: object) -> None:
        """Write it now, or with what comes next unless a later offer has replaced it by then."""
        self._offered = framed(message)
        self._write()
        if not self._pending:
            self._take_offered()
            self._write()

    def _take_offered(self) -> None:
        if self._offered is not None:
            self._pending += self._offered
            self._offered = None

    def _write(self) -> None:
        with suppress(BlockingIOError):
            try:
                while self._pending:
                    written = self._end.send(self._pending, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                    del self._pending[:written]
            except (BrokenPipeError, ConnectionResetError):
                self._pending.clear()
