"""Which cores the server and the programs beside it run on: apart, where there are two."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    server: frozenset[int]
    clients: frozenset[int]

    @property
    def apart(self) -> bool:
        return not self.server & self.clients


def share_out(usable: set[int], server_cores: int = 1) -> Cores:
    """The server gets the first ones, its clients the rest; a single core is shared."""
    ordered = sorted(usable)
    if len(ordered) <= server_cores:
        return Cores(frozenset(ordered), frozenset(ordered))
    return Cores(frozenset(ordered[:server_cores]), frozenset(ordered[server_cores:]))


def usable_cores() -> set[int]:
    return os.sched_getaffinity(0)


@contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """What is started in the block runs there; this thread itself comes back afterwards."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
