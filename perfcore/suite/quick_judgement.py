"""Whether an answer meets its expectation, as fast as can be: a yes or no, without a word about what is broken.

The tests compare it with Expectation.first_broken, which says the same at leisure. A JSONPath of names and indices
alone is followed directly; any other goes through the library.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from perfcore.suite.bounded_match import SearchTooLongError, is_found, prepare
from perfcore.suite.expectation import Expectation
from perfcore.suite.json_conditions import MEETS, PLAIN_KINDS, JsonCheck, same_json

Judge = Callable[[int, Mapping[str, str], bytes, float], bool]
"""Status, headers (lower-case names), body and response time in seconds: whether they are as expected."""

_SIMPLE_PATH = re.compile(r"\$(?:\.[A-Za-z_][A-Za-z0-9_]*|\[(?:0|-?[1-9][0-9]{0,14})\])*")
_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(-?[0-9]+)\]")
_MISSING = object()
# A longer body costs more to compare and to keep than its judgement may.
_LONGEST_KEPT = 16_384


def quick_judge(expectation: Expectation) -> Judge:
    """The judgement of this expectation."""
    accepted = expectation.status.accepted
    headers = [(name.lower(), text) for name, text in expectation.header.items()]
    contained = None
    if expectation.body_contains is not None:
        contained = expectation.body_contains.encode("utf-8", "replace")
    pattern = expectation.body_matches
    if pattern is not None:
        prepare(pattern)
    is_right_json = _body_judge(expectation.json_conditions)
    longest_s = expectation.max_time_s

    # What was right a moment ago is so again: many answers are the same.
    right_body: bytes | None = None
    right_headers: Mapping[str, str] | None = None

    def is_right(status: int, given: Mapping[str, str], body: bytes, response_s: float) -> bool:
        if status not in accepted or (longest_s is not None and response_s > longest_s):
            return False
        nonlocal right_body, right_headers
        if given is not right_headers:
            for name, text in headers:
                value = given.get(name)
                if value is None or text not in value:
                    return False
        elif body == right_body:
            return True
        if contained is not None and contained not in body:
            return False
        if pattern is not None and not _is_found(pattern, body):
            return False
        if is_right_json is not None and not is_right_json(body):
            return False
        if len(body) <= _LONGEST_KEPT:
            right_body, right_headers = body, given
        return True

    return is_right


def _body_judge(conditions: Sequence[JsonCheck]) -> Callable[[bytes], bool] | None:
    """All conditions on the JSON of a body."""
    if not conditions:
        return None
    if len(conditions) == 1 and (names := _names_of(conditions[0].path)) is not None:
        wanted = _plain_wanted(conditions[0])
        if wanted is not _MISSING:
            return _one_value(names, wanted)
    first, *others = [_json_judge(check) for check in conditions]

    def is_right(body: bytes) -> bool:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return False
        if not first(document):
            return False
        for check in others:  # noqa: SIM110 - a generator costs as much as what it asks
            if not check(document):
                return False
        return True

    return is_right


def _one_value(names: list[str], wanted: Any) -> Callable[[bytes], bool]:
    """What is asked for most, a value by its names, in one call: three would cost as much as a search of the body."""
    loads, kind = orjson.loads, type(wanted)

    def is_right(body: bytes) -> bool:
        try:
            value = loads(body)
            for name in names:
                value = value[name]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return False
        return bool(value == wanted) if type(value) is kind else same_json(value, wanted)

    return is_right


def _is_found(pattern: re.Pattern[str], body: bytes) -> bool:
    try:
        return is_found(pattern, body.decode("utf-8", "replace"))
    except SearchTooLongError:
        return False


def _json_judge(check: JsonCheck) -> Callable[[Any], bool]:
    find = direct_access(check.path)
    if find is None:
        return lambda document: check.broken_by(document) is None
    if check.conditions.get("exists") is False:
        return lambda document: find(document) is _MISSING
    wanted = _plain_wanted(check)
    if wanted is not _MISSING:
        return _equality(find, wanted)
    asked = {name: operand for name, operand in check.conditions.items() if name != "exists"}
    conditions = [(MEETS[name], operand) for name, operand in asked.items()]
    if "matches" in asked:
        prepare(asked["matches"])

    def is_met(document: Any) -> bool:
        value = find(document)
        if value is _MISSING:
            return False
        try:
            for meets, operand in conditions:
                if not meets(value, operand):
                    return False
        except (SearchTooLongError, RecursionError):
            return False
        return True

    return is_met


def _plain_wanted(check: JsonCheck) -> Any:
    """The plain value that there is to be, and nothing else; else _MISSING."""
    asked = {name: operand for name, operand in check.conditions.items() if name != "exists"}
    if check.conditions.get("exists") is False or list(asked) != ["equals"]:
        return _MISSING
    return asked["equals"] if type(asked["equals"]) in PLAIN_KINDS else _MISSING


def _names_of(path: str) -> list[str] | None:
    """Of a path of names alone."""
    if not _SIMPLE_PATH.fullmatch(path):
        return None
    steps = _STEP.findall(path)
    return [name for name, _ in steps] if all(name for name, _ in steps) else None


def _equality(find: Callable[[Any], Any], wanted: Any) -> Callable[[Any], bool]:
    """Of a value with a plain one, which is what is asked for most."""
    kind = type(wanted)

    def is_met(document: Any) -> bool:
        value = find(document)
        if type(value) is kind:
            return bool(value == wanted)
        return value is not _MISSING and same_json(value, wanted)

    return is_met


def direct_access(path: str) -> Callable[[Any], Any] | None:
    """The one value that a path of names and indices leads to, or _MISSING; None for any other path."""
    if not _SIMPLE_PATH.fullmatch(path):
        return None
    steps: list[tuple[Any, str | int]] = [
        (dict, name) if name else (list, int(index)) for name, index in _STEP.findall(path)
    ]
    if all(kind is dict for kind, _ in steps):
        return _by_names([str(name) for _, name in steps])

    def find(document: Any) -> Any:
        for kind, key in steps:
            if type(document) is not kind:
                return _MISSING
            try:
                document = document[key]
            except (KeyError, IndexError):
                return _MISSING
        return document

    return find


def _by_names(names: list[str]) -> Callable[[Any], Any]:
    """Nothing but a mapping takes a name for an index, so the kinds need not be looked at."""

    def find(document: Any) -> Any:
        try:
            for name in names:
                document = document[name]
        except (KeyError, TypeError):
            return _MISSING
        return document

    return find
