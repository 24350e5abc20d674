"""What all connections of one server share, whatever they ask for."""

import secrets
import time
from dataclasses import dataclass, field
from fractions import Fraction

from perfcore.target.counters import Counters
from perfcore.target.digest import Nonces
from perfcore.target.held import HeldTimes
from perfcore.target.messages import Request


class Share:
    """True for exactly floor(n · rate) of the first n calls, evenly spread (error diffusion)."""

    def __init__(self, rate: Fraction) -> None:
        self._rate = rate
        self._calls = 0

    def take(self) -> bool:
        numerator, denominator = self._rate.numerator, self._rate.denominator
        before = self._calls * numerator // denominator
        self._calls += 1
        return self._calls * numerator // denominator > before


@dataclass
class TargetState:
    """`known` maps the exact bytes of a request to what it is. `secret` signs the tokens of /login."""

    scheme: str = "http"
    counters: Counters = field(default_factory=Counters)
    held: HeldTimes = field(default_factory=HeldTimes)
    known: dict[bytes, Request] = field(default_factory=dict)
    started_ns: int = field(default_factory=time.monotonic_ns)
    shares: dict[tuple[Fraction, int], Share] = field(default_factory=dict)
    last_user: int = 1_000
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    nonces: Nonces = field(default_factory=Nonces)

    def reset(self) -> None:
        """Counters, held times and the shares of /flaky start anew; remembered requests go, they hold the old ones."""
        self.counters.reset()
        self.held.reset()
        self.shares.clear()
        self.known.clear()
