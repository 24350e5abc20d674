"""The functions of `${…}`, evaluated for each request.

Each builder checks its arguments once and returns what runs per request. Chance comes from the context's random
generator alone, so that a seed repeats a run.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Protocol

from perfcore.suite.mistakes import shown


class RenderContext(Protocol):
    """What a template may ask about the request that it is rendered for."""

    @property
    def user(self) -> int:
        """Number of the virtual user, from 1."""

    @property
    def iteration(self) -> int:
        """Number of this user's iteration, from 1."""

    @property
    def random(self) -> Random:
        """This user's seeded generator."""

    @property
    def variables(self) -> Mapping[str, object]:
        """Values that this user extracted."""


Evaluate = Callable[[RenderContext], object]

# RFC 9562: version 4 and variant 1 are fixed, 122 bits are random.
_UUID_MASK = ~((0xF << 76) | (0x3 << 62))
_UUID_FIXED = (0x4 << 76) | (0x2 << 62)


def _uuid(arguments: tuple[object, ...]) -> Evaluate:
    _no_arguments("uuid", arguments)

    def evaluate(context: RenderContext) -> str:
        digits = f"{context.random.getrandbits(128) & _UUID_MASK | _UUID_FIXED:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    return evaluate


def _randint(arguments: tuple[object, ...]) -> Evaluate:
    if len(arguments) != 2 or not all(isinstance(a, int) and not isinstance(a, bool) for a in arguments):
        raise ValueError("randint takes two whole numbers, such as ${randint(1, 100)}")
    low, high = int(str(arguments[0])), int(str(arguments[1]))
    if low > high:
        raise ValueError(f"randint({low}, {high}): the first number is the lower one")
    return lambda context: context.random.randint(low, high)


def _choice(arguments: tuple[object, ...]) -> Evaluate:
    if not arguments:
        raise ValueError("choice takes the values to choose from, such as ${choice(red, green)}")
    return lambda context: context.random.choice(arguments)


def _timestamp(arguments: tuple[object, ...]) -> Evaluate:
    _no_arguments("timestamp", arguments)
    return lambda context: int(time.time())


def _isotime(arguments: tuple[object, ...]) -> Evaluate:
    _no_arguments("isotime", arguments)
    return lambda context: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _user(arguments: tuple[object, ...]) -> Evaluate:
    _no_arguments("user", arguments)
    return lambda context: context.user


def _iteration(arguments: tuple[object, ...]) -> Evaluate:
    _no_arguments("iteration", arguments)
    return lambda context: context.iteration


def _no_arguments(name: str, arguments: tuple[object, ...]) -> None:
    if arguments:
        raise ValueError(f"{name} takes no arguments, got {shown(arguments[0])}; write ${{{name}()}}")


FUNCTIONS: Mapping[str, Callable[[tuple[object, ...]], Evaluate]] = {
    "uuid": _uuid,
    "randint": _randint,
    "choice": _choice,
    "timestamp": _timestamp,
    "isotime": _isotime,
    "user": _user,
    "iteration": _iteration,
}
