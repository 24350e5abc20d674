"""Whether every `${…}` of a request can be supplied, and whether the request then goes to an http(s) server.

Works on the keys of the suite file, so that the tests of a file that has other mistakes are looked at as well.
What lies in a variable is told once, at the variable.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from perfcore.suite.authentication import LOAD_TIME_KEYS
from perfcore.suite.features import Lacks, missing_features, nothing_lacks
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
REQUEST_KEYS = frozenset({"endpoint", "headers", "params", "body", "json", "form", "multipart", "auth"})

# `***` is what a masked suite has.
_SCOPE = re.compile(r"[A-Za-z0-9._*-]+")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")


def variable_mistakes(
    scope: Scope, is_skipped: Callable[[KeyPath], bool] = lambda path: False
) -> Iterator[Mistake]:
    """What is wrong with the variables themselves: names that nothing supplies, circles.

    `is_skipped` tells by the key path of a variable that its mistakes are not wanted.
    """
    for name in scope.variables:
        if name in scope.given or is_skipped(("variables", name)):
            continue
        try:
            scope.resolve(name, frozenset())
        except TemplateError as error:
            # What lies in another variable is told there.
            yield from (Mistake(("variables", name), text) for text, names in error.problems if name in names)


def request_mistakes(
    test: Mapping[str, Any], base_url: str, scope: Scope, lacks: Lacks = nothing_lacks
) -> Iterator[Mistake]:
    """Everything about the texts of one request, and what it needs that the transport `lacks`.

    Values of a wrong type are left to the model.
    """
    yield from missing_features(test, lacks)
    for path, text in request_texts(test):
        try:
            template = compile_text(text, scope)
        except TemplateError as error:
            yield from (Mistake(path, text) for text, variables in error.problems if not variables)
            continue
        if path == ("endpoint",):
            yield from _version_mistakes(test, template, base_url)
            wrong = _wrong_endpoint(template, base_url)
        else:
            wrong = _wrong_aws_scope(template, path) or _wrong_header(template, path)
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
    multipart = test.get("multipart")
    groups: list[tuple[KeyPath, object]] = [
        *(((key,), test.get(key)) for key in ("headers", "params", "form", "auth")),
        (("multipart", "fields"), multipart.get("fields") if isinstance(multipart, Mapping) else None),
    ]
    for path, entries in groups:
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(entry, str):
                yield (*path, str(name)), entry
            elif isinstance(entry, list | tuple):
                yield from (
                    ((*path, str(name), index), item)
                    for index, item in enumerate(entry)
                    if isinstance(item, str)
                )


def _version_mistakes(test: Mapping[str, Any], endpoint: Template, base_url: str) -> Iterator[Mistake]:
    if test.get("http_version") in ("3", 3):
        scheme = _SCHEME.match(endpoint.prefix)
        used = (
            scheme.group(1).lower() if scheme else "http" if base_url == "embedded" else base_url[:5].lower()
        )
        if used in ("http", "http:"):
            yield Mistake(("http_version",), "HTTP/3 goes over https only, and this URL is one of http")


def _wrong_aws_scope(template: Template, path: KeyPath) -> str | None:
    if path[0] != "auth" or path[-1] not in LOAD_TIME_KEYS:
        return None
    if template.constant is None:
        return "is different for each request; the signature needs one that is known at load"
    return (
        None
        if _SCOPE.fullmatch(template.constant)
        else f"{shown(template.constant)} is no name of a {path[-1]}"
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
