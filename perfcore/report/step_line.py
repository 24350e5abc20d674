"""Where a command is that takes minutes: one line that is written over on a terminal, now and then a line elsewhere.

As the views of a run it falls silent when its stream fails, and never ends the command.
"""

import os
import time
from typing import TextIO

from perfcore.report.printable import printable
from perfcore.report.progress import PLAIN_EVERY_S
from perfcore.report.sheet import cut

_CLEAR_LINE = "\r\x1b[K"


class StepLine:
    """Any number of `message` and `show`, then `close`. A stream that is None, or `quiet`, shows nothing."""

    def __init__(self, stream: TextIO | None, *, quiet: bool) -> None:
        self._stream = None if quiet else stream
        self._is_terminal = False
        self._next_s = 0.0
        try:
            if self._stream is not None:
                terminal = os.environ.get("TERM", "dumb")
                self._is_terminal = self._stream.isatty() and terminal not in ("dumb", "unknown", "")
        except (OSError, ValueError):
            self._stream = None

    def message(self, text: str) -> None:
        """A line that stays."""
        self._write(f"{self._before}{printable(text)}\n")

    def show(self, text: str) -> None:
        """Where it is now."""
        if self._is_terminal:
            self._write(_CLEAR_LINE + cut(printable(text), self._width() - 1))
        elif time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + PLAIN_EVERY_S
            self._write(printable(text) + "\n")

    def close(self) -> None:
        """Take what moves off the terminal."""
        self._write(self._before)

    @property
    def _before(self) -> str:
        return _CLEAR_LINE if self._is_terminal else ""

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns if self._stream else 80
        except (OSError, ValueError):
            return 80

    def _write(self, text: str) -> None:
        if self._stream is None or not text:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None
