"""The seam between a worker's loop and the protocol that carries its requests.

A Transport is given an exchange (one virtual user's slot, reused for all its requests) and a request, and later
hands back what has ended, in batches: one `poll` returns everything that completed, since a method call per
request would cost as much as the bookkeeping itself. A transport never raises for what a server does: that is
an outcome, a code of metrics/outcomes.py on the exchange.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from perfcore.engine.upload import Upload


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a request is tried again: after an outcome of these codes or an answer of these statuses.

    The n-th further try waits `backoff_s` · 2^(n-1), jittered by the loop.
    """

    retries: int
    error_codes: frozenset[int]
    statuses: frozenset[int]
    backoff_s: float


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """What is the same for every request of a step.

    `auth_scheme` is one that takes rounds or a signature (digest, ntlm, negotiate, aws_sigv4): the transport carries
    it out with the request's `credentials`; Basic and Bearer are plain headers. `aws_scope` is `REGION:SERVICE`.
    `resolve` maps lower-case host names to the address to connect to in place of theirs.
    """

    method: str
    timeout_s: float
    connect_timeout_s: float
    keepalive: bool
    tls_verify: bool
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    keep_body: bool  # somebody will look at the response's body
    keep_headers: bool
    auth_scheme: str = ""
    aws_scope: str = ""
    cookies: bool = False  # a jar for each user
    fresh_cookies: bool = False  # which is empty at the begin of each iteration
    follow_redirects: bool = False
    max_redirects: int = 10
    compressed: bool = False
    http_version: str = "auto"  # auto | 1.1 | 2 | 2-prior-knowledge | 3
    proxy: str = ""
    resolve: Mapping[str, str] = field(default_factory=dict)
    dns_select: str = "first"  # first | round_robin | random
    local_addresses: tuple[str, ...] = ()
    unix_socket: str = ""
    preconnect: bool = False
    retry: RetryPolicy | None = None


class Request:
    """One request, ready to be sent. What a user sends again unchanged is the same object, so a transport sees it.

    `headers` are whole lines (`Name: value`) in the order in which they are sent, `body` None for none at all,
    `credentials` (user name or access key, password or secret key) for the settings' `auth_scheme`. `base` is a request
    from which this one differs by its first header alone, if there is such a one.
    """

    __slots__ = ("base", "body", "credentials", "headers", "prepared", "settings", "url")

    def __init__(
        self,
        settings: RequestSettings,
        url: str,
        headers: list[str],
        body: bytes | Upload | None,
        credentials: tuple[str, str] | None = None,
        base: "Request | None" = None,
    ) -> None:
        self.settings = settings
        self.url = url
        self.headers = headers
        self.body = body
        self.credentials = credentials
        self.base = base
        self.prepared: Any = None  # the transport's alone: the request in the form in which it sends it


class Exchange:
    """A virtual user's slot: the request under way or just ended, and what is known of it.

    The loop owns who and when (`user` to `due_ns`, `under_way`), the transport everything from `issued_ns` on.
    Instants are CLOCK_MONOTONIC nanoseconds, phases whole microseconds, `error` and `flags` the codes of a
    sample row. `delay` (samples.packed_delay) is how long the answer lay in the kernel. `attempts` counts
    the times that the request went out (none, when no connection could be made),
    `earlier_us` is what passed before the last of them began. `earlier`, what tries before this one came to, and
    `load` are the loop's, as are `waits` (for its next request to be due) and `ends` (it begins no more iteration),
    `transport_state` is the transport's alone. `seeks` is how many more of its answers are kept
    until one of them is a failure, for a sample of it.
    """

    __slots__ = (
        "attempts",
        "body",
        "case",
        "connect_us",
        "connections",
        "delay",
        "dns_us",
        "done_ns",
        "due_ns",
        "earlier",
        "earlier_us",
        "ends",
        "error",
        "error_text",
        "failed_checks",
        "flags",
        "headers",
        "issued_ns",
        "iteration",
        "load",
        "received_bytes",
        "render_context",
        "request",
        "seeks",
        "sent_bytes",
        "status",
        "step",
        "tls_us",
        "transport_state",
        "ttfb_us",
        "under_way",
        "user",
        "waits",
    )

    def __init__(self, user: int, case: int, load: Any) -> None:
        self.user = user
        self.case = case
        self.step = 0
        self.load = load
        self.iteration = 0
        self.render_context: Any = None
        self.request: Request | None = None
        self.under_way = False
        self.waits = False
        self.ends = False
        self.due_ns = 0
        self.issued_ns = 0
        self.done_ns = 0
        self.delay = 0
        self.status = 0
        self.error = 0
        self.error_text = ""
        self.flags = 0
        self.failed_checks = 0
        self.attempts = 1
        self.connections = 0
        self.earlier: Any = None
        self.earlier_us = 0
        self.received_bytes = 0
        self.sent_bytes = 0
        self.dns_us = self.connect_us = self.tls_us = self.ttfb_us = 0
        self.body = b""
        self.headers: dict[str, str] = {}
        self.transport_state: Any = None
        self.seeks = 0


class Transport(Protocol):
    """What the loop needs; HttpClient is the one over libcurl transfers, tests drive the loop with a fake."""

    name: str

    @property
    def in_flight(self) -> int:
        """Exchanges started and not yet handed back."""

    @property
    def longest_pass_ns(self) -> int:
        """The longest time in which it worked off what was ready at once, and nothing else could happen."""

    def start(self, exchange: Exchange, request: Request) -> None:
        """Send the request now, and stamp `issued_ns` right before."""

    def poll(self, timeout_s: float) -> list[Exchange]:
        """Hand back what has ended; wait at most `timeout_s` for the first of it."""

    def cut(self, exchange: Exchange) -> None:
        """Give up an exchange that is under way: its connection is closed, it is not handed back any more."""

    def hand_back(self, exchange: Exchange) -> None:
        """Go on with this user no more by itself (see Cycle): the answer that it waits for is handed back."""

    def keep_next(self, exchange: Exchange) -> None:
        """Keep the user's next answer, body and headers, as a sample; the first is kept unasked."""

    def location(self, exchange: Exchange) -> str | None:
        """Where an answer of status 3xx that has just been handed back points to."""

    def addresses(self) -> dict[int, dict[str, dict[str, int]]]:
        """By test and address: the `connections` opened to it and the `requests` sent to it."""

    def http_versions(self) -> dict[int, dict[str, int]]:
        """By test: connections by the version of HTTP that was spoken on them."""

    def emptied_jars(self) -> dict[int, int]:
        """By test: how often a jar of cookies was emptied, since a server had overfilled it."""

    def recognised(self) -> dict[int, int]:
        """By test: answers that needed no parser, since they were like the one before."""

    def wants_s(self) -> float:
        """In how many seconds `poll` wants to be called at the latest, whatever happens until then."""

    def preconnect(self, case: int, requests: Iterable[tuple[int, Request]], timeout_s: float) -> None:
        """Have a connection stand for each of these users of a test (number and first request) before it is used."""

    def rehearse(self) -> None:
        """Send a few requests within this process, so that the first real ones find everything warm."""

    def close(self) -> None:
        """Close every connection."""
