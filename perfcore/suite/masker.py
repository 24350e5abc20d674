"""Nothing secret is written: the Masker takes secret values out of whatever is about to be.

What is secret: the values of the names in `secrets`, everything read by `${file:…}`, passwords and tokens of `auth`,
credentials in headers, and the values of fields, parameters and variables whose name announces one. A value is
recognised as it is and as encodings write it. Values of fewer than four characters are masked where they stand
alone (a header, a parameter) but not inside text: masking every "1" would ruin the figures.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import quote, quote_plus, unquote_plus

from perfcore.suite.request_check import request_texts
from perfcore.suite.secret_names import (
    HARMLESS_HEADERS,
    MASK,
    SCHEMES,
    URL_HEADERS,
    URL_PARAMETER,
    USERINFO,
    looks_secret,
    mask_url,
    only_references,
)
from perfcore.suite.template import Scope, TemplateError, compile_text, text_of
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

SHORTEST_IN_TEXT = 4
# Lines of a secret of several lines (a key file) are secrets too, unless they are as short as a marker.
_SHORTEST_LINE = 16


class Masker:
    """Replaces secret values by `***`. Made once; safe to use from any process."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values if value.strip() for form in _forms(value)}
        usable = sorted((form for form in forms if len(form) >= SHORTEST_IN_TEXT), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_any_case_of_percent, usable))) if usable else None

    @classmethod
    def for_suite(cls, suite: TestSuite, environ: Mapping[str, str] | None = None) -> "Masker":
        """Knows every secret of the suite; `environ` adds the values that its secret names have there."""
        return cls(_secret_values(suite, environ or {}))

    def text(self, text: str) -> str:
        """The text without any secret value."""
        return self._pattern.sub(MASK, text) if self._pattern is not None else text

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers with every value masked but those of a few harmless ones."""
        return {name: self._header(name.lower(), value) for name, value in headers.items()}

    def _header(self, name: str, value: str) -> str:
        if name not in HARMLESS_HEADERS:
            return value if only_references(value) else MASK
        return self.url(value) if name in URL_HEADERS else self.text(value)

    def url(self, url: str) -> str:
        """The URL without user, password, and values of parameters whose names announce a secret."""
        return self.text(mask_url(url))

    def field(self, name: str, value: object) -> object:
        """A value of a body, form or query, masked whole when its name announces a secret, else inside."""
        if isinstance(value, Mapping):
            return {str(key): self.field(str(key), entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.field(name, entry) for entry in value]
        if looks_secret(name) and value is not None and not isinstance(value, bool):
            return value if isinstance(value, str) and only_references(value) else MASK
        return self.text(value) if isinstance(value, str) else value


def _any_case_of_percent(form: str) -> str:
    """A pattern for the text; what percent-encoding may write in either case matches in both."""
    return re.sub(r"%[0-9A-F]{2}", lambda match: f"(?i:{match[0]})", re.escape(form))


def _forms(value: str) -> Iterator[str]:
    """The value, and as percent-encoding, JSON, HTML, Python and base64 write it."""
    with suppress(UnicodeEncodeError):
        encoded = value.encode()
        yield from (quote(value, safe=""), quote(value), quote_plus(value))
        for code in (base64.b64encode(encoded), base64.urlsafe_b64encode(encoded)):
            yield code.decode()
            yield code.decode().rstrip("=")
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield html.escape(value)
    yield repr(value)[1:-1]
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _SHORTEST_LINE)


def _secret_values(suite: TestSuite, environ: Mapping[str, str]) -> Iterator[str]:
    scope = suite.scope
    yield from (environ[name] for name in suite.secrets if name in environ)
    yield from _url_secrets(suite.base_url)
    for case in suite.tests:
        yield from _case_secrets(case, scope)
    # Last: compiling the texts above has read every file that a request takes.
    yield from scope_secrets(suite.secrets, scope)


def scope_secrets(secrets: Iterable[str], scope: Scope) -> Iterator[str]:
    """The values of these names, of variables whose names announce a secret, and of the files read so far."""
    announced = [name for name in (*scope.variables, *scope.given) if looks_secret(name)]
    for name in (*secrets, *announced):
        if scope.knows(name):
            yield from _variable_values(name, scope)
    yield from scope.used_files.values()


def _variable_values(name: str, scope: Scope) -> Iterator[str]:
    try:
        yield from _texts_in(scope.lookup(name))
    except TemplateError:
        # It differs for each request; what it is made of is in other variables, or written out in it.
        raw = scope.variables.get(name)
        if isinstance(raw, str):
            yield from _literals(raw, scope)


def _case_secrets(case: TestCase, scope: Scope) -> Iterator[str]:
    for path, text in request_texts(case.request_data()):
        literals = _literals(text, scope)
        if path[0] == "auth" and path[-1] != "type":
            # A user name alone is no secret; as user:password in base64 it is, below.
            yield from literals if path[-1] != "username" else ()
        elif path[0] == "headers" and str(path[1]).lower() not in HARMLESS_HEADERS:
            if looks_secret(str(path[1])):
                yield from (value for literal in literals for value in _credentials(literal, str(path[1])))
        elif path[0] in ("params", "form") and looks_secret(str(path[1])):
            yield from literals
        elif path[0] == "endpoint":
            yield from (value for literal in literals for value in _url_secrets(literal))
    if case.has_json:
        yield from _json_secrets("", case.json_body, scope)
    auth = case.auth
    if auth is not None and auth.type == "basic":
        pair = [*_literals(auth.username, scope), *_literals(auth.password, scope)]
        if len(pair) == 2:
            yield ":".join(pair)


def _literals(text: str, scope: Scope) -> tuple[str, ...]:
    try:
        return compile_text(text, scope).literals
    except TemplateError:
        return ()


def _credentials(value: str, name: str) -> Iterator[str]:
    """What in a header's value is secret: all but the scheme; of cookies the values."""
    if "cookie" in name.lower():
        for pair in value.split(";"):
            yield pair.partition("=")[2].strip()
        return
    yield value.strip()
    for word in value.split():
        if word.lower() in SCHEMES:
            continue
        yield word
        with suppress(binascii.Error, UnicodeDecodeError):
            user, colon, password = base64.b64decode(word, validate=True).decode().partition(":")
            if colon and user:
                yield password


def _url_secrets(url: str) -> Iterator[str]:
    for match in USERINFO.finditer(url):
        yield unquote_plus(match[2].partition(":")[2] or match[2])
    for match in URL_PARAMETER.finditer(url):
        if looks_secret(unquote_plus(match[2])):
            yield unquote_plus(match[3])


def _json_secrets(name: str, value: object, scope: Scope) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _json_secrets(str(key), entry, scope)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _json_secrets(name, entry, scope)
    elif isinstance(value, str) and looks_secret(name):
        yield from _literals(value, scope)


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for entry in value.values():
            yield from _texts_in(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _texts_in(entry)
    elif value is not None and not isinstance(value, bool):
        yield text_of(value)
