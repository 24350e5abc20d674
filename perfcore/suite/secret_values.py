"""Which values of a suite are secret: those of its `secrets`, of `auth`, of files, and of what names announce.

Works on the keys of the suite file, so that a suite with other mistakes can be looked at as well. A name (of the
suite or a test) that holds a secret is a mistake: names are result keys, and stand wherever something is told.
"""

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, unquote_plus

from perfcore.suite.mistakes import KeyPath, Mistake
from perfcore.suite.request_check import request_texts
from perfcore.suite.secret_names import HARMLESS_HEADERS, SCHEMES, URL_PARAMETER, USERINFO, looks_secret
from perfcore.suite.template import Scope, TemplateError, compile_text, text_of

# Shorter values are masked where they stand alone, but not looked for inside text: masking every "1" would ruin
# the figures.
SHORTEST_IN_TEXT = 4
# A shorter one may be in a name by chance: a secret "test" must not forbid "Load test".
SHORTEST_IN_NAME = 8


def scope_secrets(secrets: Iterable[str], scope: Scope) -> Iterator[str]:
    """The values of these names, of variables whose names announce a secret, and of the files read so far."""
    announced = [name for name in (*scope.variables, *scope.given) if looks_secret(name)]
    for name in (*secrets, *announced):
        if scope.knows(name):
            yield from _variable_values(name, scope)
    yield from scope.used_files.values()


def request_secrets(data: Mapping[str, Any], scope: Scope) -> Iterator[str]:
    """The secret values in a request; `data` has its texts by their YAML keys."""
    for path, text in request_texts(data):
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
            yield from (value for literal in literals for value in url_secrets(literal))
    if "json" in data:
        yield from _json_secrets("", data["json"], scope)
    auth = data.get("auth")
    if isinstance(auth, Mapping) and auth.get("type") == "basic":
        pair = [literal for key in ("username", "password") for literal in _literals(str(auth[key]), scope)]
        if len(pair) == 2:
            yield ":".join(pair)


def url_secrets(url: str) -> Iterator[str]:
    """The password of a URL, the pair that Basic authentication makes of it, and parameters that are secret."""
    for match in USERINFO.finditer(url):
        user, _, password = match[2].partition(":")
        yield unquote_plus(password or user)
        yield unquote(password or user)
        yield f"{unquote(user)}:{unquote(password)}"
    for match in URL_PARAMETER.finditer(url):
        if looks_secret(unquote_plus(match[2])):
            yield unquote_plus(match[3])


def name_mistakes(suite: Mapping[str, Any], scope: Scope) -> Iterator[Mistake]:
    """A mistake for each name of the suite or a test that holds a secret; `suite` has the keys of the file."""
    tests = suite.get("tests")
    cases = [
        (index, test)
        for index, test in enumerate(tests if isinstance(tests, list | tuple) else ())
        if isinstance(test, Mapping)
    ]
    names: list[tuple[KeyPath, object]] = [(("name",), suite.get("name"))]
    names += [(("tests", index, "name"), test.get("name")) for index, test in cases]
    secrets = [
        *_named_secrets(suite.get("secrets"), scope),
        *((value, f"what ${{file:{path}}} holds") for path, value in scope.used_files.items()),
    ]
    for path, name in names:
        for value, what in secrets:
            if isinstance(name, str) and len(value) >= SHORTEST_IN_NAME and value in name:
                yield Mistake(
                    path, f"holds {what}; a name is written everywhere, so it cannot hold a secret; rename it"
                )
                break


def _named_secrets(names: object, scope: Scope) -> Iterator[tuple[str, str]]:
    for name in names if isinstance(names, list | tuple) else ():
        if isinstance(name, str) and scope.knows(name):
            with suppress(TemplateError):
                yield from (
                    (text, f"the value of the secret {name!r}") for text in _texts_in(scope.lookup(name))
                )


def _variable_values(name: str, scope: Scope) -> Iterator[str]:
    try:
        yield from _texts_in(scope.lookup(name))
    except TemplateError:
        # It differs for each request; what it is made of is in other variables, or written out in it.
        raw = scope.variables.get(name)
        if isinstance(raw, str):
            yield from _literals(raw, scope)


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
        with suppress(ValueError):  # no base64, or of no text
            user, colon, password = b64decode(word, validate=True).decode().partition(":")
            if colon and user:
                yield password


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
