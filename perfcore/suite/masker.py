"""Nothing secret is written: the Masker takes secret values out of whatever is about to be.

What is secret: the values of the names in `secrets`, everything read by `${file:…}`, passwords and tokens of `auth`,
credentials in headers, and the values of fields, parameters and variables whose name announces one. A value is
recognised as it is and as encodings write it. Values of fewer than four characters are masked where they stand
alone (a header, a parameter) but not inside text: masking every "1" would ruin the figures.
"""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import product
from urllib.parse import quote, quote_plus

from perfcore.suite.secret_names import (
    HARMLESS_HEADERS,
    MASK,
    URL_HEADERS,
    looks_secret,
    mask_url,
    only_references,
)
from perfcore.suite.secret_values import SHORTEST_IN_TEXT, request_secrets, scope_secrets, url_secrets
from perfcore.suite.test_suite import TestSuite

# Lines of a secret of several lines (a key file) are secrets too, unless they are as short as a marker.
_SHORTEST_LINE = 16
# JSON inside JSON has many spellings; a secret that long is a file, which nobody puts there.
_LONGEST_IN_JSON_TEXT = 10_000
# What some encoders write as an escape and others as it is: PHP the slash, Go the signs of HTML.
_SLASH = (("/", r"\/"),)
_MARKUP = (("<", r"\u003c"), (">", r"\u003e"), ("&", r"\u0026"))
# A field of JSON, also one that the end of the text cuts, and one of a form.
_JSON_FIELD = re.compile(r'("[^"\\]{1,64}")(\s*:\s*")((?:[^"\\]|\\.)*)("?)', re.DOTALL)
_FORM_FIELD = re.compile(r"(?<![\w.-])([\w.-]{1,64})(=)([^&\s\"'<>]+)()")


class Masker:
    """Replaces secret values by `***`. Made once; safe to use from any process."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values if value.strip() for form in _forms(value)}
        usable = sorted((form for form in forms if len(form) >= SHORTEST_IN_TEXT), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_any_case_of_hex, usable))) if usable else None

    @classmethod
    def for_suite(cls, suite: TestSuite, environ: Mapping[str, str] | None = None) -> "Masker":
        """Knows every secret of the suite; `environ` adds the values that its secret names have there."""
        return cls(_secret_values(suite, environ or {}))

    def text(self, text: str) -> str:
        """The text without any secret value."""
        return self._pattern.sub(MASK, text) if self._pattern is not None else text

    def answer(self, body: str) -> str:
        """A response's body without known secrets, and without values of fields whose names announce one."""
        return _FORM_FIELD.sub(_masked_field, _JSON_FIELD.sub(_masked_field, self.text(body)))

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


def _masked_field(match: re.Match[str]) -> str:
    name, between, value, end = match.groups()
    return f"{name}{between}{MASK}{end}" if value and looks_secret(name.strip('"')) else match[0]


def _any_case_of_hex(form: str) -> str:
    """A pattern for the text; what percent-encoding and JSON may write in either case matches in both."""
    return re.sub(r"%[0-9A-F]{2}|(\\\\)+u[0-9a-f]{4}", lambda match: f"(?i:{match[0]})", re.escape(form))


def _forms(value: str) -> Iterator[str]:
    """The value, and as percent-encoding, JSON, JSON inside JSON, HTML, Python and base64 write it."""
    with suppress(UnicodeEncodeError):
        encoded = value.encode()
        yield from (quote(value, safe=""), quote(value), quote_plus(value))
        for code in (base64.b64encode(encoded), base64.urlsafe_b64encode(encoded)):
            yield code.decode()
            yield code.decode().rstrip("=")
    yield value
    for form in set(_json_forms(value)):
        yield form
        if len(value) <= _LONGEST_IN_JSON_TEXT:
            yield from _json_forms(form)
    yield html.escape(value)
    yield repr(value)[1:-1]
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _SHORTEST_LINE)


def _json_forms(text: str) -> Iterator[str]:
    """The text as encoders of JSON write it, without the quotes."""
    for ascii_only, slash, markup in product((True, False), repeat=3):
        form = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        for plain, escaped in (*(_SLASH if slash else ()), *(_MARKUP if markup else ())):
            form = form.replace(plain, escaped)
        yield form


def _secret_values(suite: TestSuite, environ: Mapping[str, str]) -> Iterator[str]:
    yield from (environ[name] for name in suite.secrets if name in environ)
    yield from url_secrets(suite.base_url)
    for case in suite.tests:
        yield from request_secrets(case.request_data(), suite.scope)
    # Last: compiling the texts above has read every file that a request takes.
    yield from scope_secrets(suite.secrets, suite.scope)
