"""What a virtual user sends next, compiled once from the suite.

A test whose request depends on nothing (no function, no per-user value) has one Request for all users and all
iterations, and costs nothing per request; any other is rendered for the user and iteration at hand.
"""

import base64
import os
import random
import uuid
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field

from perfcore.engine.request_body import compile_body
from perfcore.engine.request_parts import (
    Part,
    encoded_pairs,
    joined,
    joined_pairs,
    one_line,
    part_of,
    text_part,
)
from perfcore.engine.request_text import sendable
from perfcore.engine.transport import Exchange, Request, RequestSettings, RetryPolicy
from perfcore.metrics.outcomes import CODE
from perfcore.metrics.trace_ids import TraceIds
from perfcore.suite.authentication import AwsSigV4Auth, BasicAuth, BearerAuth
from perfcore.suite.template import RenderContext, compile_text
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite, join_url
from perfcore.suite.text_template import Scope


@dataclass(slots=True)
class UserContext:
    """What templates may ask of the user they are rendered for (a RenderContext of suite/template.py)."""

    user: int
    random: random.Random
    iteration: int = 0
    variables: Mapping[str, object] = field(default_factory=dict)


class Scenario:
    """The requests of one test, in the order in which a user sends them.

    `url`, `headers` and `body` are what they are made of, evaluated in this order. `trace_ids` are for one more
    header before these, where the test asks for it (a run says its `run_id`); `base` is the request without it, where
    nothing else depends on anything.
    """

    def __init__(
        self, suite: TestSuite, case: TestCase, case_index: int, seed: int, run_id: uuid.UUID | None = None
    ) -> None:
        self._case_index = case_index
        self._seed = seed
        self.case = case
        self.scope = suite.scope
        self.settings = _settings(suite, case)
        body = compile_body(case, suite.scope, random.Random(f"{seed}:{case_index}:body"))
        for file in body.files:
            weakref.finalize(self, os.close, file.fd)
        self.url = _compile_url(suite, case)
        self.headers = _compile_headers(case, suite.scope, body.content_type)
        self.body = body.content
        self._credentials = _compile_credentials(case, suite.scope)
        self.trace_ids = None if case.trace is None else TraceIds(run_id or uuid.uuid4(), case_index)
        unchanging = self._constant_request()
        self.constant = unchanging if self.trace_ids is None else None
        self.base = unchanging if self.trace_ids is not None else None

    def request_for(self, exchange: Exchange) -> Request:
        """The request of this user's current iteration, which is due at the exchange's `due_ns`."""
        if self.constant is not None:
            return self.constant
        if self.trace_ids is None:
            return self._render(self.context_of(exchange))
        base = self.base or self._render(self.context_of(exchange))
        headers = [self.trace_ids.header(exchange.user, exchange.due_ns), *base.headers]
        return Request(base.settings, base.url, headers, base.body, base.credentials, self.base)

    def context_of(self, exchange: Exchange) -> UserContext:
        """What the templates of this user's current iteration are rendered with."""
        context: UserContext | None = exchange.render_context
        if context is None:
            context = exchange.render_context = UserContext(
                exchange.user, random.Random(f"{self._seed}:{self._case_index}:{exchange.user}")
            )
        context.iteration = exchange.iteration
        return context

    def _constant_request(self) -> Request | None:
        parts = (self.url, *self.headers, self.body, self._credentials)
        if any(part is not None and part.render is not None for part in parts):
            return None
        return self._render(UserContext(0, random.Random(0)))

    def _render(self, context: RenderContext) -> Request:
        return Request(
            self.settings,
            self.url.value(context),
            [line.value(context) for line in self.headers],
            None if self.body is None else self.body.value(context),
            None if self._credentials is None else self._credentials.value(context),
        )


def _settings(suite: TestSuite, case: TestCase) -> RequestSettings:
    auth = case.auth
    return RequestSettings(
        method=case.method,
        timeout_s=case.timeout_s,
        connect_timeout_s=case.connect_timeout_s,
        keepalive=case.keepalive,
        tls_verify=case.tls.verify,
        tls_ca=case.tls.ca,
        tls_cert=case.tls.cert,
        tls_key=case.tls.key,
        keep_body=case.expect.needs_body,
        keep_headers=case.expect.needs_headers,
        auth_scheme="" if auth is None or isinstance(auth, BasicAuth | BearerAuth) else auth.type,
        aws_scope=_aws_scope(auth, suite.scope) if isinstance(auth, AwsSigV4Auth) else "",
        cookies=case.cookies,
        fresh_cookies=case.cookies and case.is_open,
        follow_redirects=case.follow_redirects,
        max_redirects=case.max_redirects,
        compressed=case.compressed,
        http_version=case.http_version,
        proxy=case.proxy,
        resolve=case.resolve,
        dns_select=case.dns.select,
        local_addresses=case.local_addresses,
        unix_socket=str(case.unix_socket or ""),
        preconnect=case.preconnect,
        retry=_retry_policy(case),
    )


def _retry_policy(case: TestCase) -> RetryPolicy | None:
    if not case.retries:
        return None
    return RetryPolicy(
        retries=case.retries,
        error_codes=frozenset(CODE[kind] for kind in case.retry_on.kinds),
        statuses=case.retry_on.statuses,
        backoff_s=case.retry_backoff_s,
    )


def _aws_scope(auth: AwsSigV4Auth, scope: Scope) -> str:
    # The suite was checked: neither depends on the request.
    return ":".join(compile_text(text, scope).constant or "" for text in (auth.region, auth.service))


def _compile_url(suite: TestSuite, case: TestCase) -> Part[str]:
    base_url = suite.base_url
    pairs = encoded_pairs(case.params, suite.scope)

    def finish(texts: list[str]) -> str:
        url, _, _fragment = sendable(join_url(base_url, texts[0])).partition("#")
        query = joined_pairs(pairs, texts[1:])
        if not query:
            return url
        return f"{url}{'&' if '?' in url else '?'}{query}"

    return joined([text_part(case.endpoint, suite.scope), *(part for _, part in pairs)], finish)


def _compile_headers(case: TestCase, scope: Scope, content_type: str | None) -> list[Part[str]]:
    lines = [
        part_of(compile_text(value, scope), lambda text, name=name: f"{name}: {one_line(text)}")
        for name, value in case.headers.items()
    ]
    given = {name.lower() for name in case.headers}
    if content_type is not None and "content-type" not in given:
        lines.append(Part(f"Content-Type: {content_type}"))
    if "authorization" not in given:
        lines += _authorization(case, scope)
    return lines


def _authorization(case: TestCase, scope: Scope) -> list[Part[str]]:
    """The header of a scheme that is known before the request."""
    auth = case.auth
    if isinstance(auth, BearerAuth):
        token = compile_text(auth.token, scope)
        return [part_of(token, lambda text: f"Authorization: Bearer {one_line(text)}")]
    if isinstance(auth, BasicAuth):
        pair = [text_part(auth.username, scope), text_part(auth.password, scope)]
        return [joined(pair, lambda texts: f"Authorization: Basic {_base64(':'.join(texts))}")]
    return []


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _compile_credentials(case: TestCase, scope: Scope) -> Part[tuple[str, str]] | None:
    """User and password, or the two keys, of a scheme that the transport carries out."""
    auth = case.auth
    if auth is None or isinstance(auth, BasicAuth | BearerAuth):
        return None
    if isinstance(auth, AwsSigV4Auth):
        pair = (auth.access_key, auth.secret_key)
    else:
        # Negotiate without a user: both empty, for the ticket cache.
        pair = (auth.username or "", auth.password or "")
    parts = [part_of(compile_text(text, scope), one_line) for text in pair]
    return joined(parts, _pair)


def _pair(texts: list[str]) -> tuple[str, str]:
    return texts[0], texts[1]
