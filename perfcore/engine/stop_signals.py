"""Which signal of several is the second one, that leaves at once.

A signal may come twice though it was sent once. GNU timeout sends it to its child and then to the whole group, a shell
whose terminal is closed passes on the hang-up that the kernel has sent to its job as well, and a starter such as
`npm run` passes on the Ctrl-C that the terminal has sent to all processes in the foreground. Were that taken for a
second wish, the result would be thrown away by chance: two signals are one to the kernel only until the first is
handled.
"""

import time
from collections.abc import Callable
from typing import Literal

# Shorter, and a loaded machine has the echo of a signal throw a result away; longer, and it takes a third Ctrl-C.
ECHO_S = 0.2


class StopSignals:
    """Told of each signal as it comes; safe in a signal handler. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first_s: float | None = None

    def note(self) -> Literal["first", "echo", "second"]:
        """What the signal that has just come is; an echo is to be ignored."""
        now_s = self._clock()
        if self._first_s is None:
            self._first_s = now_s
            return "first"
        return "echo" if now_s - self._first_s < ECHO_S else "second"
