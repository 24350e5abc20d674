"""Which values of a suite are secret: those of its `secrets`, of `auth`, of files, and of what names announce.

Works on the keys of the suite file, so that a suite with other mistakes can be looked at as well. A name (of the
suite or a test) that holds a secret is a mistake: names are result keys, and stand wherever something is told.
"""

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, unquote_plus

from perfcore.suite.every_choice import choices, renderings
from perfcore.suite.mistakes import KeyPath, Mistake
from perfcore.suite.request_check import request_texts
from perfcore.suite.secret_fields import secret_fields
from perfcore.suite.secret_names import HARMLESS_HEADERS, SCHEMES, URL_PARAMETER, looks_secret, userinfos
from perfcore.suite.template import Scope, TemplateError, compile_text, text_of

# What of an auth block is no secret by itself; a user name in user:password as base64 is one, below.
_OPEN_AUTH_KEYS = frozenset({"type", "username", "region", "service"})
# A second for each megabyte is much; what is longer is data, and no login.
_MOST_LOOKED_AT = 1 << 20
_NAME_IN_JSONPATH = re.compile(r"[A-Za-z0-9_-]+")
_CUTS_OF_URL = re.compile(r"[/@#?:]")
# A header among others in one line of Set-Cookie, and what is before the first semicolon of each.
_NEXT_COOKIE = re.compile(r",\s*(?=[!#$%&'*+.^`|~\w-]+=)")
# A shorter one may be in a name by chance: a secret "test" must not forbid "Load test".
SHORTEST_IN_NAME = 8


def scope_secrets(secrets: Iterable[str], scope: Scope) -> Iterator[str]:
    """The values of these names, of variables whose names announce a secret, and of the files read so far."""
    announced = [name for name in (*scope.variables, *scope.given, *scope.used_environ) if looks_secret(name)]
    for name in (*secrets, *announced):
        if scope.knows(name):
            yield from _variable_values(name, scope)
    for value in scope.variables.values():
        yield from _secrets_of_variable(value, scope)
    yield from scope.used_files.values()


def request_secrets(data: Mapping[str, Any], scope: Scope) -> Iterator[str]:
    """The secret values in a request; `data` has its texts by their YAML keys."""
    for path, text in request_texts(data):
        where, name = path[0], str(path[-1] if isinstance(path[-1], str) else path[-2])
        if looks_secret(name) or (where == "auth" and name not in _OPEN_AUTH_KEYS):
            yield from _choices(text, scope)
        for value in _values(text, scope):
            if where == "auth":
                if name not in _OPEN_AUTH_KEYS:
                    yield value
            elif where == "headers":
                yield from _header_secrets(name, value)
            elif where == "endpoint":
                yield from url_secrets(value)
            elif where == "body":
                yield from text_secrets(value)
            else:
                yield from [value] if looks_secret(name) else text_secrets(value)
    if "json" in data:
        yield from _secrets_of_json(data["json"], scope)
    auth = data.get("auth")
    if isinstance(auth, Mapping) and auth.get("type") == "basic":
        users, passwords = (_values(str(auth.get(key)), scope) for key in ("username", "password"))
        yield from (f"{user}:{password}" for user, password in zip(users, passwords, strict=False))


def expectation_secrets(expect: Mapping[str, Any]) -> Iterator[str]:
    """The secret values in what is expected of an answer; `expect` has the keys of the suite file."""
    header, conditions, body = expect.get("header"), expect.get("json"), expect.get("body_contains")
    for name, value in header.items() if isinstance(header, Mapping) else ():
        yield from _header_secrets(str(name), str(value))
    for path, wanted in conditions.items() if isinstance(conditions, Mapping) else ():
        name = last_name(str(path))
        for key, operand in wanted.items() if isinstance(wanted, Mapping) else (("equals", wanted),):
            if key not in ("exists", "length"):
                yield from _announced(name, operand)
    if isinstance(body, str):
        yield from text_secrets(body)


def last_name(path: str) -> str:
    """The name that a JSONPath ends in: `$.user["access_token"][0]` → access_token."""
    names = [name for name in _NAME_IN_JSONPATH.findall(path) if not name.isdigit()]
    return names[-1] if names else ""


def tag_secrets(tags: object) -> Iterator[str]:
    """The values of tags whose names announce a secret, and those that hold one."""
    yield from _announced("", tags)


def url_secrets(url: str) -> Iterator[str]:
    """The password of a URL, the pair that Basic authentication makes of it, and parameters that are secret."""
    for start, end in userinfos(url):
        userinfo = url[start:end]
        user, _, password = userinfo.partition(":")
        yield unquote_plus(password or user)
        yield unquote(password or user)
        yield f"{unquote(user)}:{unquote(password)}"
        if _CUTS_OF_URL.search(password):
            # Whoever reads such a URL takes the password for a host, a path, a query.
            yield from _CUTS_OF_URL.split(password)
    for match in URL_PARAMETER.finditer(url):
        if looks_secret(unquote_plus(match[2])):
            yield unquote_plus(match[3])


def text_secrets(text: str) -> Iterator[str]:
    """The secret values that free text announces: fields of JSON or of a form, URLs."""
    text = text[:_MOST_LOOKED_AT]
    yield from secret_fields(text)
    if "://" in text:
        yield from url_secrets(text)


def sent_secrets(header_lines: Iterable[str], url: str, body: str) -> Iterator[str]:
    """The secret values of one request as it went out."""
    for line in header_lines:
        name, _, value = line.partition(":")
        yield from _header_secrets(name, value)
    yield from url_secrets(url)
    yield from text_secrets(body)


def given_secrets(headers: Mapping[str, str]) -> Iterator[str]:
    """The secret values that a server handed out in the headers of an answer, sessions in cookies first of all."""
    for name, value in headers.items():
        if name.lower() == "set-cookie":
            for cookie in _NEXT_COOKIE.split(value):
                yield cookie.partition(";")[0].partition("=")[2].strip().strip('"')
        elif name.lower() == "location":
            yield from url_secrets(value)
        else:
            yield from _header_secrets(name, value)


def written_secrets(suite: Mapping[str, Any], scope: Scope) -> Iterator[str]:
    """The secret values of a suite file that may be wrong anywhere: whatever a name in it announces, wherever."""
    names = suite.get("secrets")
    yield from scope_secrets(
        [name for name in names if isinstance(name, str)] if isinstance(names, list) else [], scope
    )
    yield from _announced("", {key: value for key, value in suite.items() if key != "secrets"})
    tests = suite.get("tests")
    for test in tests if isinstance(tests, list | tuple) else ():
        if isinstance(test, Mapping):
            yield from request_secrets(test, scope)
            expect = test.get("expect")
            yield from expectation_secrets(expect if isinstance(expect, Mapping) else {})


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
    by_start: dict[str, list[tuple[str, str]]] = {}
    for value, what in secrets:
        if len(value) >= SHORTEST_IN_NAME:
            by_start.setdefault(value[:SHORTEST_IN_NAME], []).append((value, what))
    for path, name in names:
        if by_start and isinstance(name, str) and (held := _first_held(name, by_start)):
            text = f"holds {held}; a name is written everywhere, so it cannot hold a secret; rename it"
            yield Mistake(path, text)


def _first_held(name: str, by_start: Mapping[str, list[tuple[str, str]]]) -> str | None:
    """What the first secret in the name is; secrets are given by how they start, for there may be thousands."""
    for at in range(len(name) - SHORTEST_IN_NAME + 1):
        for value, what in by_start.get(name[at : at + SHORTEST_IN_NAME], ()):
            if name.startswith(value, at):
                return what
    return None


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
            yield from _values(raw, scope)


def _values(text: str, scope: Scope) -> tuple[str, ...]:
    """What the text may become: with each of its choices, and its constant stretches, whatever is between them."""
    try:
        template = compile_text(text, scope)
    except TemplateError:
        return ()
    if template.constant is not None:
        return (template.constant,)
    return (*renderings(template), *template.literals)


def _choices(text: str, scope: Scope) -> tuple[str, ...]:
    """The choices in a text that is secret as a whole: one may turn up without what stands around it."""
    try:
        return choices(compile_text(text, scope))
    except TemplateError:
        return ()


def _header_secrets(name: str, value: str) -> Iterator[str]:
    if name.lower() not in HARMLESS_HEADERS and looks_secret(name):
        yield from _credentials(value, name)
    elif "=" in value or ":" in value:
        yield from text_secrets(value)


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


def _named_values(name: str, value: object) -> Iterator[tuple[str, object]]:
    """The values inside of a value, each with the name that it stands under; those of a list under that of the list."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _named_values(str(key), entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _named_values(name, entry)
    else:
        yield name, value


def _secrets_of_json(value: object, scope: Scope, name: str = "") -> Iterator[str]:
    """The secrets in a JSON body or a variable, whose texts are templates."""
    for inner_name, inner in _named_values(name, value):
        is_secret = looks_secret(inner_name)
        if isinstance(inner, str):
            if is_secret:
                yield from _choices(inner, scope)
            for text in _values(inner, scope):
                yield from [text] if is_secret else text_secrets(text)
        elif is_secret:
            yield from _texts_in(inner)


def _secrets_of_variable(value: object, scope: Scope) -> Iterator[str]:
    """The secrets under the names inside of a variable; what its texts become is looked at where they are used."""
    for name, inner in _named_values("", value):
        if looks_secret(name):
            yield from _secrets_of_json(inner, scope, name)
        elif isinstance(inner, str):
            yield from text_secrets(inner)


def _announced(name: str, value: object) -> Iterator[str]:
    """The values under names that announce a secret, in data that holds no templates (or not any more)."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if key not in _OPEN_AUTH_KEYS or not looks_secret(name):
                yield from _announced(str(key) if not looks_secret(name) else name, entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _announced(name, entry)
    elif isinstance(value, str):
        yield from _credentials(value, name) if looks_secret(name) else _loose_secrets(value)
    elif looks_secret(name):
        yield from _texts_in(value)


def _loose_secrets(text: str) -> Iterator[str]:
    """Of free text, and of a header in one line as curl takes it."""
    yield from text_secrets(text)
    name, colon, value = text.partition(":")
    if colon and looks_secret(name) and not value.startswith("//"):
        yield from _credentials(value, name)


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for entry in value.values():
            yield from _texts_in(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _texts_in(entry)
    elif value is not None and not isinstance(value, bool):
        yield text_of(value)
