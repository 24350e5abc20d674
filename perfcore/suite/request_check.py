"""Whether every `${…}` of a request can be supplied, and whether the request then goes to an http(s) server.

Works on the keys of the suite file, so that the tests of a file that has other mistakes are looked at as well.
What lies in a variable is told once, at the variable.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from perfcore.suite.field_types import has_line_break
from perfcore.suite.mistakes import KeyPath, Mistake, shown
from perfcore.suite.secret_names import mask_url
from perfcore.suite.template import (
    JsonTemplateError,
    Scope,
    Template,
    TemplateError,
    compile_json,
    compile_text,
)

# The keys of a test whose texts are compiled per request; all others are settled at load.
REQUEST_KEYS = frozenset({"endpoint", "headers", "params", "body", "json", "form", "auth"})

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")


def variable_mistakes(scope: Scope) -> Iterator[Mistake]:
    """What is wrong with the variables themselves: names that nothing supplies, circles."""
    for name in scope.variables:
        if name in scope.given:
            continue
        try:
            scope.resolve(name, frozenset())
        except TemplateError as error:
            # What lies in another variable is told there.
            yield from (Mistake(("variables", name), text) for text, names in error.problems if name in names)


def request_mistakes(test: Mapping[str, Any], base_url: str, scope: Scope) -> Iterator[Mistake]:
    """Everything about the texts of one request; values of a wrong type are left to the model."""
    for path, text in request_texts(test):
        try:
            template = compile_text(text, scope)
        except TemplateError as error:
            yield from (Mistake(path, text) for text, variables in error.problems if not variables)
            continue
        wrong = (
            _wrong_endpoint(template, base_url) if path == ("endpoint",) else _wrong_header(template, path)
        )
        if wrong:
            yield Mistake(path, wrong)
    if "json" in test:
        try:
            compile_json(test["json"], scope)
        except JsonTemplateError as error:
            own = [(path, problem.text) for path, problem in error.placed if not problem.variables]
            yield from (Mistake(("json", *path), text) for path, text in own)


def request_texts(test: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Every text of a request but the JSON body, with its key path."""
    for key in ("endpoint", "body"):
        if isinstance(test.get(key), str):
            yield (key,), test[key]
    for key in ("headers", "params", "form", "auth"):
        entries = test.get(key)
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(entry, str):
                yield (key, str(name)), entry
            elif isinstance(entry, list | tuple):
                yield from (
                    ((key, str(name), index), item)
                    for index, item in enumerate(entry)
                    if isinstance(item, str)
                )


def _wrong_header(template: Template, path: KeyPath) -> str | None:
    if path[0] in ("headers", "auth") and any(has_line_break(text) for text in template.literals):
        return "a header's value cannot hold a line break; a value that it takes has one"
    return None


def _wrong_endpoint(template: Template, base_url: str) -> str | None:
    if any(not text.isprintable() or " " in text for text in template.literals):
        return "holds a space or a control character; in a URL a space is written %20"
    start = template.prefix
    scheme = _SCHEME.match(start)
    if scheme and scheme.group(1).lower() not in ("http", "https"):
        return f"{shown(mask_url(start))} is neither http nor https"
    if scheme and template.constant is not None:
        return _wrong_url(template.constant)
    if not scheme and not base_url and (template.constant is not None or start.startswith("/")):
        ways_out = "give the suite a base_url, or write http://… or https://… here"
        return f"{shown(mask_url(start))} is only a path; {ways_out}"
    return None


def _wrong_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return f"{shown(mask_url(url))} is not a URL: its host or port cannot be read"
    return None if usable else f"{shown(mask_url(url))} has no host or no usable port"
