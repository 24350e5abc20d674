"""What a suite asks of its requests and of a run beyond the load, in words for the plan.

Only what differs from the defaults is told; texts that may hold a secret come masked.
"""

from collections.abc import Iterator

from perfcore.suite.limits import Limits
from perfcore.suite.secret_names import mask_url
from perfcore.suite.test_case import TestCase
from perfcore.units import format_duration

_HTTP_VERSIONS = {
    "1.1": "HTTP/1.1",
    "2": "HTTP/2",
    "2-prior-knowledge": "HTTP/2 with prior knowledge",
    "3": "HTTP/3",
}
_SELECTIONS = {"round_robin": "one after the other", "random": "at random"}


def most_users_details(case: TestCase) -> Iterator[str]:
    """How many users an open model may have, where the suite says it."""
    if case.is_open and case.max_users is not None:
        users = f"{case.max_users:,} user{'' if case.max_users == 1 else 's'}"
        yield f"at most {users} at the same time, more are dropped and counted"


def load_details(case: TestCase) -> Iterator[str]:
    """Ramp-up, think time, pacing, warm-up, precision."""
    think = case.think_time
    if case.ramp_up_s is not None:
        yield f"ramp-up {format_duration(case.ramp_up_s)}"
    if think.kind == "uniform":
        yield f"think time {format_duration(think.min_s)} to {format_duration(think.max_s)}"
    elif think.kind != "none":
        spread = ", exponential" if think.kind == "exponential" else ""
        yield f"think time {format_duration(think.mean_s)}{spread}"
    if case.pacing_s:
        yield f"pacing {format_duration(case.pacing_s)}"
    if case.warmup == "auto":
        yield "warm-up found from the figures and left out"
    elif case.warmup:
        yield f"the first {format_duration(case.warmup)} are warm-up and left out"
    if case.until is not None:
        yield f"ends when p{case.until.metric:g} is known to {case.until.precision * 100:.10g} %"


def request_details(case: TestCase) -> Iterator[str]:
    """Authentication, cookies, redirects, retries, tracing, and the way to the server."""
    if case.auth is not None:
        yield f"auth {case.auth.type}"
    if case.cookies:
        yield "a jar of cookies for each user"
    if case.follow_redirects:
        count = case.max_redirects
        yield (
            f"follows up to {count} redirect{'' if count == 1 else 's'}"
            if count
            else "every redirect is too many"
        )
    if case.compressed:
        yield "accepts compressed answers"
    if case.retries:
        yield _retries(case)
    if case.trace is not None:
        yield "a traceparent header with each request"
    yield from _connection_details(case)


def _retries(case: TestCase) -> str:
    pause = "at once"
    if case.retry_backoff_s:
        pause = f"after {format_duration(case.retry_backoff_s)}{', doubling' if case.retries > 1 else ''}"
    return f"retries {case.retries} on {', '.join(case.retry_on.texts)} {pause}"


def _connection_details(case: TestCase) -> Iterator[str]:
    if case.http_version != "auto":
        yield _HTTP_VERSIONS[case.http_version]
    if case.proxy:
        yield f"through the proxy {mask_url(case.proxy)}"
    for host, address in case.resolve.items():
        yield f"{host} is {address}"
    if case.dns.select != "first":
        yield f"addresses of a name {_SELECTIONS[case.dns.select]}"
    if case.local_addresses:
        yield f"from {', '.join(case.local_addresses)}"
    if case.unix_socket is not None:
        yield f"through the Unix socket {case.unix_socket}"
    if not case.keepalive:
        yield "a new connection for every request"
    if case.preconnect:
        yield "connections stand before the first request is due"


def limit_details(limits: Limits) -> Iterator[str]:
    """What ends or throttles the run, whatever a test asks for."""
    if limits.max_rate_per_s is not None:
        yield f"at most {limits.max_rate_per_s:,.10g} requests/s over all tests (limits.max_rate)"
    if limits.max_duration_s is not None:
        duration = format_duration(limits.max_duration_s)
        yield f"the run ends after {duration} at the latest (limits.max_duration)"
    if limits.abort_on_error_rate is not None:
        share = f"{limits.abort_on_error_rate * 100:.10g}%"
        yield f"the run ends when {share} of the last 10s have failed (limits.abort_on_error_rate)"


def request_notes(case: TestCase, url: str) -> Iterator[str]:
    """What is not as somebody may think; `url` is where the endpoint is, as far as the suite has it."""
    given = case.model_fields_set
    idle = [key for key in ("retry_on", "retry_backoff") if key in given or f"{key}_s" in given]
    if idle and not case.retries:
        yield f"{' and '.join(idle)}: without effect as long as retries is 0"
    if "max_redirects" in given and not case.follow_redirects:
        yield "max_redirects: without effect without follow_redirects: true"
    if case.preconnect and case.unix_socket is not None and url.lower().startswith("https:"):
        yield "preconnect: without effect over TLS through a Unix socket"
