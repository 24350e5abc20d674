"""The one way to wait for what another thread or process is about to do: look again and again, and not for ever."""

import time
from collections.abc import Callable
from typing import TypeVar

WAIT_S = 20.0
BETWEEN_LOOKS_S = 0.002

Value = TypeVar("Value")


def wait_until(
    condition: Callable[[], Value], what: str, seconds: float = WAIT_S, between_s: float = BETWEEN_LOOKS_S
) -> Value:
    """The condition's first true value; fails after so long."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(between_s)
    return value
