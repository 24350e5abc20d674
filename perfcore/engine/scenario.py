"""What a virtual user sends next, compiled once from the suite.

A test whose request depends on nothing (no function, no per-user value) has one Request for all users and all
iterations, and costs nothing per request; any other is rendered for the user and iteration at hand.
"""

import base64
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from perfcore.engine.transport import Exchange, Request, RequestSettings
from perfcore.suite.template import JsonTemplate, RenderContext, Template, compile_json, compile_text
from perfcore.suite.test_case import BasicAuth, BearerAuth, TestCase
from perfcore.suite.test_suite import TestSuite, join_url

# Characters that may stand in a URL; only what could never be sent (spaces, controls, non-ASCII) is encoded, so
# that an endpoint or a value which is encoded already stays as it is.
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"
_HAS_BODY_BY_NATURE = frozenset({"POST", "PUT", "PATCH"})


@dataclass(slots=True)
class UserContext:
    """What templates may ask of the user they are rendered for (a RenderContext of suite/template.py)."""

    user: int
    random: random.Random
    iteration: int = 0
    variables: Mapping[str, object] = field(default_factory=dict)


class Scenario:
    """The requests of one test, in the order in which a user sends them."""

    def __init__(self, suite: TestSuite, case: TestCase, case_index: int, seed: int) -> None:
        self._case_index = case_index
        self._seed = seed
        self.case = case
        expect = case.expect
        self.settings = RequestSettings(
            method=case.method,
            timeout_s=case.timeout_s,
            connect_timeout_s=case.connect_timeout_s,
            keepalive=case.keepalive,
            tls_verify=case.tls.verify,
            tls_ca=case.tls.ca,
            tls_cert=case.tls.cert,
            tls_key=case.tls.key,
            keep_body=expect.needs_body,
            keep_headers=expect.needs_headers,
        )
        self._url = _compile_url(suite, case)
        self._headers = _compile_headers(suite, case)
        self._body = _compile_body(suite, case)
        self.constant = self._constant_request()

    def request_for(self, exchange: Exchange) -> Request:
        """The request of this user's current iteration."""
        if self.constant is not None:
            return self.constant
        context = exchange.render_context
        if context is None:
            context = exchange.render_context = UserContext(
                exchange.user, random.Random(f"{self._seed}:{self._case_index}:{exchange.user}")
            )
        context.iteration = exchange.iteration
        return self._render(context)

    def _constant_request(self) -> Request | None:
        parts = (self._url, *self._headers, *([self._body] if self._body is not None else []))
        return None if any(part.render for part in parts) else self._render(UserContext(0, random.Random(0)))

    def _render(self, context: RenderContext) -> Request:
        return Request(
            self.settings,
            _text(self._url.value(context)),
            [_text(line.value(context)) for line in self._headers],
            None if self._body is None else _bytes(self._body.value(context)),
        )


class _Part:
    """A constant, or a function of the context."""

    __slots__ = ("constant", "render")

    def __init__(
        self,
        constant: str | bytes | None = None,
        render: Callable[[RenderContext], str | bytes] | None = None,
    ) -> None:
        self.constant = constant
        self.render = render

    def value(self, context: RenderContext) -> str | bytes:
        if self.render is not None:
            return self.render(context)
        assert self.constant is not None
        return self.constant


def _text(value: str | bytes) -> str:
    assert isinstance(value, str)
    return value


def _bytes(value: str | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def _part(template: Template | JsonTemplate, finish: Callable[..., str | bytes]) -> _Part:
    if template.constant is not None:
        return _Part(finish(template.constant))
    render = template.render
    return _Part(render=lambda context: finish(render(context)))


def _joined(parts: list[_Part], finish: Callable[[list[str]], str | bytes]) -> _Part:
    """One part made of several texts."""
    if all(part.render is None for part in parts):
        return _Part(finish([_text(part.constant or "") for part in parts]))
    return _Part(render=lambda context: finish([_text(part.value(context)) for part in parts]))


def _sendable(url: str) -> str:
    """The URL in ASCII: an international host name in its IDNA form, anything else percent-encoded."""
    netloc = "" if url.isascii() else urlsplit(url).netloc
    if not netloc.isascii():
        userinfo, at, place = netloc.rpartition("@")
        host, colon, port = place.partition(":")
        with suppress(UnicodeError):  # no name at all; resolving it will say so
            ascii_host = host.encode("idna").decode()
            url = url.replace(netloc, f"{userinfo}{at}{ascii_host}{colon}{port}", 1)
    return quote(url, safe=_URL_SAFE)


def _compile_url(suite: TestSuite, case: TestCase) -> _Part:
    base_url = suite.base_url
    endpoint = _part(compile_text(case.endpoint, suite.scope), str)
    pairs = [
        (quote(str(name), safe=""), _part(compile_text(_plain(item), suite.scope), _query_value))
        for name, value in case.params.items()
        for item in (value if isinstance(value, list | tuple) else [value])
    ]

    def finish(texts: list[str]) -> str:
        url, _, _fragment = _sendable(join_url(base_url, texts[0])).partition("#")
        query = "&".join(f"{name}={text}" for (name, _), text in zip(pairs, texts[1:], strict=True))
        if not query:
            return url
        return f"{url}{'&' if '?' in url else '?'}{query}"

    return _joined([endpoint, *(part for _, part in pairs)], finish)


def _query_value(text: str) -> str:
    return quote(text, safe="-._~")


def _plain(value: object) -> str:
    """A YAML scalar as it is written in a query or a form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _compile_headers(suite: TestSuite, case: TestCase) -> list[_Part]:
    lines = [
        _part(compile_text(value, suite.scope), lambda text, name=name: f"{name}: {_one_line(text)}")
        for name, value in case.headers.items()
    ]
    given = {name.lower() for name in case.headers}
    if "content-type" not in given:
        if case.has_json:
            lines.append(_Part("Content-Type: application/json"))
        elif case.form is not None:
            lines.append(_Part("Content-Type: application/x-www-form-urlencoded"))
    if "authorization" not in given and case.auth is not None:
        lines.append(_authorization(suite, case))
    return lines


def _one_line(text: str) -> str:
    # A value that came from a file or a variable must not be able to add headers of its own.
    return text.replace("\r", " ").replace("\n", " ")


def _authorization(suite: TestSuite, case: TestCase) -> _Part:
    auth = case.auth
    if isinstance(auth, BearerAuth):
        token = compile_text(auth.token, suite.scope)
        return _part(token, lambda text: f"Authorization: Bearer {_one_line(text)}")
    assert isinstance(auth, BasicAuth)
    pair = [
        _part(compile_text(auth.username, suite.scope), str),
        _part(compile_text(auth.password, suite.scope), str),
    ]
    return _joined(
        pair, lambda texts: f"Authorization: Basic {base64.b64encode(':'.join(texts).encode()).decode()}"
    )


def _compile_body(suite: TestSuite, case: TestCase) -> _Part | None:
    if case.body is not None:
        return _part(compile_text(case.body, suite.scope), str.encode)
    if case.has_json:
        return _part(compile_json(case.json_body, suite.scope), bytes)
    if case.form is not None:
        return _compile_form(suite, case.form)
    if case.body_file is not None:
        # Read before the fork: the workers share its pages.
        return _Part(case.body_file.read_bytes())
    # These have a body by nature; without one they say so with Content-Length: 0.
    return _Part(b"") if case.method in _HAS_BODY_BY_NATURE else None


def _compile_form(suite: TestSuite, form: Mapping[str, object]) -> _Part:
    pairs = [
        (quote(str(name), safe=""), _part(compile_text(_plain(item), suite.scope), _query_value))
        for name, value in form.items()
        for item in (value if isinstance(value, list | tuple) else [value])
    ]

    def finish(texts: list[str]) -> bytes:
        return "&".join(f"{name}={text}" for (name, _), text in zip(pairs, texts, strict=True)).encode()

    return _joined([part for _, part in pairs], finish)
