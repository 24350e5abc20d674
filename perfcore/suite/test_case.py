"""One test of a suite: what is sent, what is expected back, and how much load.

A TestCase is frozen and was checked when it was made; everything after it trusts it. Texts of the request
(endpoint, headers, params, bodies, auth) may still hold `${…}`: they are compiled with the suite's Scope by
whoever sends them.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from perfcore.suite import foreign_keys, not_yet
from perfcore.suite.authentication import AUTH_FORMS, AuthField, BasicAuth, BearerAuth
from perfcore.suite.expectation import Expectation
from perfcore.suite.field_types import (
    Count,
    Duration,
    Flag,
    Headers,
    HttpVersion,
    MethodName,
    Name,
    ParamMap,
    Percentiles,
    PositiveDuration,
    ReadableFile,
    RedirectCount,
    Text,
    TextMap,
    Timeout,
    Trace,
    UserCount,
    read_word,
)
from perfcore.suite.load_keys import load_mistakes
from perfcore.suite.measured_time import measured_time_mistakes
from perfcore.suite.mistakes import Mistake, shown
from perfcore.suite.model import SuiteModel, make_model, nested
from perfcore.suite.multipart import Multipart
from perfcore.suite.network_route import Addresses, DnsOptions, ProxyUrl, Resolve, UnixSocket
from perfcore.suite.option_conflicts import option_mistakes
from perfcore.suite.rates import StartRate, default_max_users
from perfcore.suite.retry_conditions import RetryCount, RetryOn, read_retry_conditions
from perfcore.suite.stages import StagesField
from perfcore.suite.think_time import ThinkTime, ThinkTimeField
from perfcore.suite.until import UntilField
from perfcore.suite.warmup import WarmupField

__all__ = ["BasicAuth", "BearerAuth", "Expectation", "TestCase", "ThinkTime", "TlsOptions", "result_key"]

BODY_KEYS = ("body", "json", "form", "multipart", "body_file")


ArrivalField = Annotated[
    Literal["poisson", "constant"],
    PlainValidator(read_word(("poisson", "constant"))),
    WithJsonSchema({"enum": ["poisson", "constant"]}),
]


class TlsOptions(SuiteModel):
    """How the server's certificate is checked, and which one is shown to it."""

    verify: Flag = Field(default=True, description="false: accept any certificate")
    ca: ReadableFile | None = Field(default=None, description="file of certificates that are trusted (PEM)")
    cert: ReadableFile | None = Field(default=None, description="file of the client's certificate (PEM)")
    key: ReadableFile | None = Field(default=None, description="file of the client's private key (PEM)")

    @classmethod
    def combinations(cls, data: Mapping[str, Any]) -> Iterator[Mistake]:
        if data.get("key") is not None and data.get("cert") is None:
            yield Mistake(("key",), "a key without a certificate; add cert: path")


def result_key(name: str) -> str:
    """The key of a test in the result: lower case, others than a-z and 0-9 become _, trimmed of _."""
    return re.sub(r"[^a-z0-9]", "_", name.lower()).strip("_")


def _named_usably(name: str) -> str:
    if not result_key(name):
        raise ValueError(f"{shown(name)} has no letter a-z or digit to make a result key from")
    return name


def _read_multipart(value: object) -> object:
    return value if value is None or isinstance(value, Multipart) else make_model(Multipart, value)


class TestCase(SuiteModel):
    """One test. Keyword arguments are the keys of the suite file: `TestCase(name=…, endpoint=…, timeout="30s")`."""

    __test__ = False  # not for pytest
    not_yet: ClassVar[Mapping[str, str]] = not_yet.IN_TEST
    foreign: ClassVar[Mapping[str, str]] = foreign_keys.IN_TEST

    name: Annotated[Name, AfterValidator(_named_usably)] = Field(
        description="what the test is called in results"
    )
    description: Text = Field(default="", description="what the test is for, what is expected of it")
    tags: TextMap = Field(default_factory=dict, description="carried into the result")

    endpoint: Text = Field(description="path under base_url, or an absolute http(s) URL")
    method: MethodName = Field(default="GET", description="GET (default), POST, PUT, PATCH, DELETE, HEAD, …")
    headers: Headers = Field(default_factory=dict, description="headers to send")
    params: ParamMap = Field(
        default_factory=dict, description="query parameters; a list gives the name several times"
    )
    body: Text | None = Field(default=None, description="body as text")
    json_body: Any = Field(default=None, alias="json", description="body as JSON; Content-Type is set")
    form: TextMap | None = Field(default=None, description="body as a submitted form; Content-Type is set")
    multipart: Annotated[Multipart | None, BeforeValidator(_read_multipart)] = Field(
        default=None,
        description="body as a form with files: {fields: {name: text}, files: {name: path}}; Content-Type is set",
    )
    body_file: ReadableFile | None = Field(default=None, description="file that is sent as the body")
    auth: AuthField = Field(default=None, description=AUTH_FORMS)
    cookies: Flag = Field(default=False, description="true: a jar of cookies for each user")
    follow_redirects: Flag = Field(default=False, description="true: a 3xx answer is followed")
    max_redirects: RedirectCount = Field(
        default=10, description="most redirects that one request follows; 0: every one is too many"
    )
    compressed: Flag = Field(default=False, description="true: the server may compress its answers")
    timeout_s: Timeout = Field(
        default=30.0, alias="timeout", description="longest time for one request: 30 (seconds), 30s, 500ms"
    )
    connect_timeout_s: Timeout = Field(
        default=10.0, alias="connect_timeout", description="longest time to connect: 10s, 500ms (default 10s)"
    )
    retries: RetryCount = Field(default=0, description="how often a request is tried again after retry_on")
    retry_on: RetryOn = Field(
        default=read_retry_conditions(["connect", "timeout", 502, 503]),
        description="statuses and error kinds after which a request is tried again; connect means dns, refused, "
        "unreachable, connect_timeout, tls",
    )
    retry_backoff_s: Duration = Field(
        default=0.1,
        alias="retry_backoff",
        description="pause before the first further try; it doubles each time, and is jittered",
    )
    http_version: HttpVersion = Field(
        default="auto", description="auto, 1.1, 2, 2-prior-knowledge (HTTP/2 without asking first) or 3"
    )
    tls: Annotated[TlsOptions, nested(TlsOptions)] = Field(
        default_factory=TlsOptions, description="certificates: verify, ca, cert, key"
    )
    proxy: ProxyUrl = Field(
        default="", description="proxy: http://host:3128, or https, socks4, socks4a, socks5, socks5h"
    )
    resolve: Resolve = Field(
        default_factory=dict, description="addresses to connect to by host: {api.example.com: 127.0.0.1}"
    )
    dns: Annotated[DnsOptions, nested(DnsOptions)] = Field(
        default_factory=DnsOptions, description="which address of a name: {select: first|round_robin|random}"
    )
    local_addresses: Addresses = Field(
        default=(), description="addresses of this machine that connections come from, in turn"
    )
    unix_socket: UnixSocket = Field(default=None, description="Unix socket to connect to, whatever the host")
    keepalive: Flag = Field(default=True, description="false: a new connection for every request")
    preconnect: Flag = Field(
        default=False, description="true: connections stand before the first request is due"
    )
    trace: Trace = Field(
        default=None,
        description="w3c: a traceparent header with each request; the result has the ids of the slowest",
    )
    percentiles: Percentiles = Field(default=(), description="further percentiles to report: [75, 99.99]")
    expect: Annotated[Expectation, nested(Expectation)] = Field(
        default_factory=Expectation, description="what a response must be like to count as success"
    )

    parallel_users: UserCount = Field(default=1, description="virtual users at the same time (default 1)")
    iterations: Count | None = Field(
        default=None, description="requests of each user (default 1 without duration or total_iterations)"
    )
    total_iterations: Count | None = Field(
        default=None, description="requests of all users together; whoever is free takes the next"
    )
    duration_s: PositiveDuration | None = Field(
        default=None, alias="duration", description="how long the load lasts: 30s, 5m, 1h"
    )
    ramp_up_s: Duration | None = Field(
        default=None,
        alias="ramp_up",
        description="users start evenly over this time; 0s: all at once (default: at most 2,000 a second)",
    )
    stages: StagesField = Field(
        default=None,
        description="load over time, straight from value to value: [{duration: 30s, users: 50}], or with rate: 500/s",
    )
    rate_per_s: StartRate | None = Field(
        default=None,
        alias="rate",
        description="open model: iterations started per second, over all workers: 500/s, 30/m (a minute), 100/h",
    )
    arrival: ArrivalField = Field(
        default="poisson", description="open model: when iterations start: poisson (default) or constant"
    )
    max_users: UserCount | None = Field(
        default=None,
        description="open model: iterations at the same time; more are dropped and counted (default: rate × 10 s, "
        "between 100 and 20,000)",
    )
    think_time: ThinkTimeField = Field(
        default=ThinkTime(),
        description="pause after a request: 200ms, {min, max}, {mean, distribution: exponential}",
    )
    pacing_s: Duration = Field(
        default=0.0,
        alias="pacing",
        description="least time from one iteration's start to the next of the same user",
    )
    warmup: WarmupField = Field(
        default=0.0,
        description="time at the beginning that is left out of every statistic: 5s, or auto (found from the figures)",
    )
    until: UntilField = Field(
        default=None,
        description="the load ends when a figure is known so well: {metric: p99, precision: 5%}; duration is the limit",
    )
    graceful_stop_s: PositiveDuration = Field(
        default=30.0, alias="graceful_stop", description="how long requests under way may take at the end"
    )

    def __init__(self, /, **data: Any) -> None:
        super().__init__(**data)

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        # A request may hold a secret, and a repr ends up in tracebacks.
        yield "name", self.name

    @property
    def key(self) -> str:
        """The key of this test's results: `Get User Profile` → `get_user_profile`."""
        return result_key(self.name)

    @property
    def has_json(self) -> bool:
        """Whether `json` was given; a given null is a body too."""
        return "json_body" in self.model_fields_set

    def request_data(self) -> dict[str, Any]:
        """The request by its YAML keys, as far as its texts and the features that it needs; `json` only when given."""
        data: dict[str, Any] = {
            "endpoint": self.endpoint,
            "headers": self.headers,
            "params": self.params,
            "body": self.body,
            "form": self.form,
            "multipart": {"fields": self.multipart.fields} if self.multipart is not None else None,
            "auth": self.auth.model_dump(exclude_none=True) if self.auth is not None else None,
            "compressed": self.compressed,
            "http_version": self.http_version,
            "proxy": self.proxy,
            "unix_socket": self.unix_socket,
        }
        return {**data, "json": self.json_body} if self.has_json else data

    @property
    def has_body_by_oversight(self) -> bool:
        """Whether it sends a body with GET only because no method was given."""
        has_body = self.has_json or any(getattr(self, key) is not None for key in BODY_KEYS if key != "json")
        return has_body and "method" not in self.model_fields_set

    @property
    def is_open(self) -> bool:
        """Whether iterations start by the clock, and not when a user is free."""
        return self.rate_per_s is not None or (self.stages is not None and self.stages.kind == "rate")

    @property
    def load_duration_s(self) -> float | None:
        """How long the load lasts; None when only its count ends it."""
        return self.duration_s if self.stages is None else self.stages.duration_s

    @property
    def warmup_s(self) -> float:
        """As far as it is known before the run."""
        return 0.0 if self.warmup == "auto" else self.warmup

    @property
    def warmup_kind(self) -> Literal["fixed", "auto", "none"]:
        if self.warmup == "auto":
            return "auto"
        return "fixed" if self.warmup else "none"

    @property
    def most_users(self) -> int:
        """Users that there are at the same time at most."""
        if not self.is_open:
            return self.parallel_users if self.stages is None else round(self.stages.highest)
        return self.max_users or default_max_users(self.highest_rate)

    @property
    def users_to_preconnect(self) -> int:
        """All of a closed model; of an open one, of which most may never be needed, as many as arrive in a second."""
        return min(self.most_users, math.ceil(self.highest_rate)) if self.is_open else self.most_users

    @property
    def highest_rate(self) -> float:
        """Of an open model, iterations per second."""
        return self.rate_per_s or (self.stages.highest if self.stages is not None else 0.0)

    @property
    def effective_iterations(self) -> int | None:
        """Iterations of each user; None when only total_iterations or the duration ends the test."""
        if self.iterations is None and self.total_iterations is None and self.load_duration_s is None:
            return 1
        return self.iterations

    @classmethod
    def combinations(cls, data: Mapping[str, Any]) -> Iterator[Mistake]:
        bodies = [key for key in BODY_KEYS if _is_given(data, key)]
        for key in bodies[1:]:
            yield Mistake((key,), f"a request has one body; it already has {bodies[0]}")
        yield from load_mistakes(data)
        yield from measured_time_mistakes(data)
        yield from option_mistakes(data)


def _is_given(data: Mapping[str, Any], key: str) -> bool:
    if key == "json":
        return "json" in data or "json_body" in data
    return data.get(key) is not None
