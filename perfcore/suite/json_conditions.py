"""Conditions on the values that a JSONPath finds in a response.

Values are compared as JSON: 7 equals 7.0, but true never equals 1.
"""

import re
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from typing import Any, ClassVar

from perfcore.suite.bounded_match import SearchTooLongError, is_found, is_found_by_iregexp, read_pattern
from perfcore.suite.mistakes import KeyPath, Mistake, ModelError, listed, path_text, shown
from perfcore.suite.secret_names import MASK, looks_secret

# A path such as $..*..* finds more values than the body has letters.
_MOST_MATCHES = 100_000
_LONGEST_PATH = 2_000
# Compiling takes some fifty microseconds: of more paths, those that cannot be wrong are left to their first use.
_MOST_COMPILED_EARLY = 1_000
_PLAIN_PATH = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_]{0,99}|\[(0|[1-9][0-9]{0,14})\]){1,15}")
_LONGEST_LENGTH = 10**12
_NUMBER = re.compile(r"[-+]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][-+]?[0-9]{1,4})?")

CONDITIONS = ("min", "max", "equals", "contains", "matches", "exists", "length")

_CONDITION_SCHEMA = {
    "type": "object",
    "properties": {
        "min": {"type": ["number", "string"], "description": "every match is a number of at least this"},
        "max": {"type": ["number", "string"], "description": "every match is a number of at most this"},
        "equals": {"description": "every match is this value"},
        "contains": {"description": "every match is text with this in it, or a list with this element"},
        "matches": {
            "type": "string",
            "description": "every match is text in which this regular expression is found",
        },
        "exists": {"type": ["boolean", "string"], "description": "whether the path finds anything"},
        "length": {
            "type": ["integer", "string"],
            "description": "every match has so many characters or elements",
        },
    },
}
JSON_SCHEMA: dict[str, Any] = {
    "type": "object",
    "propertyNames": {"pattern": r"^\$"},
    "additionalProperties": {"anyOf": [_CONDITION_SCHEMA, True]},
}


@dataclass(frozen=True, slots=True)
class JsonCheck:
    """One JSONPath and what every value that it finds must be like. `wanted` is as the suite has it."""

    path: str
    wanted: Any
    conditions: Mapping[str, Any]

    def broken_by(self, document: object) -> str | None:
        """One line about the first value that does not meet the conditions, or None when all do."""
        try:
            values = [
                node.value for node in islice(_compiled(self.path).finditer(document), _MOST_MATCHES + 1)
            ]
        except SearchTooLongError as error:
            return f"{self.path}: {error}"
        except (_path_error(), RecursionError, ValueError, TypeError) as error:
            return f"{self.path} cannot be evaluated: {error}"
        if len(values) > _MOST_MATCHES:
            return f"{self.path} finds more than {_MOST_MATCHES:,} values"
        if self.conditions.get("exists") is False:
            return f"{self.path} is {self._shown(values[0])}, expected nothing there" if values else None
        if not values:
            return f"{self.path} finds nothing{self._expected_text()}"
        try:
            return self._unmet_by(values)
        except SearchTooLongError as error:
            return f"{self.path}: {error}"
        except RecursionError:
            return f"{self.path} is nested too deep to be compared"

    def _unmet_by(self, values: list[Any]) -> str | None:
        for value in values:
            for name, operand in self.conditions.items():
                expected = _unmet(name, operand, value)
                if expected and name == "equals":
                    return self._difference(value, operand)
                if expected:
                    return f"{self.path} is {self._shown(value)}, expected {expected}"
        return None

    def _difference(self, value: Any, wanted: Any, inner: KeyPath = ()) -> str:
        """Where a value first differs from the one that it must equal, and how."""
        steps = path_text(inner)
        path = self.path + (f".{steps}" if steps and not steps.startswith("[") else steps)
        if isinstance(value, dict) and isinstance(wanted, dict) and value.keys() != wanted.keys():
            if not wanted:
                told = f"{path} is a mapping of {_counted(value, 'key')}, expected an empty one"
                return f"{told}; {{exists: true}} takes any value"
            lacking = [key for key in wanted if key not in value]
            surplus = [key for key in value if key not in wanted]
            return (
                f"{path} lacks the key {shown(lacking[0])}"
                if lacking
                else f"{path} has the key {shown(surplus[0])}, expected none but {listed(wanted, most=5)}"
            )
        if isinstance(value, list) and isinstance(wanted, list | tuple) and len(value) != len(wanted):
            return f"{path} is a list of {_counted(value, 'element')}, expected {len(wanted):,}"
        if isinstance(value, dict) and isinstance(wanted, dict):
            pairs = [(key, value[key], wanted[key]) for key in wanted]
        elif isinstance(value, list) and isinstance(wanted, list | tuple):
            pairs = list(zip(range(len(value)), value, wanted, strict=True))
        else:
            told = shown(wanted) if wanted != {} else "an empty mapping; {exists: true} takes any value"
            return f"{path} is {self._shown(value, inner)}, expected {told}"
        key, found, expected = next(pair for pair in pairs if not same_json(pair[1], pair[2]))
        return self._difference(found, expected, (*inner, key))

    def _shown(self, value: object, inner: KeyPath = ()) -> str:
        last_name = re.split(r"[.\[\]'\"]+", self.path.strip(".[]'\""))[-1]
        names = [last_name, *(part for part in inner if isinstance(part, str))]
        return MASK if any(map(looks_secret, names)) else shown(value)

    def _expected_text(self) -> str:
        wanted = self.conditions.get("equals", None)
        return f", expected {shown(wanted)}" if "equals" in self.conditions else ""


def read_json_check(path: str, wanted: object) -> JsonCheck:
    """Raises ValueError for a wrong path, ModelError for wrong conditions."""
    if _compiled.cache_info().currsize < _MOST_COMPILED_EARLY or not _PLAIN_PATH.fullmatch(path):
        _compiled(path)
    if isinstance(wanted, Mapping) and wanted and all(key in CONDITIONS for key in wanted):
        return JsonCheck(path, wanted, _read_conditions(wanted))
    return JsonCheck(path, wanted, {"equals": wanted})


def _path_error() -> type[Exception]:
    # Imported where it is used: the package takes as long as all the rest, and most suites have no JSONPath.
    from jsonpath_rfc9535 import JSONPathError

    return JSONPathError


@cache
def _path_environment() -> Any:
    """The standard's language, its functions of regular expressions with a bound on their time."""
    from jsonpath_rfc9535 import JSONPathEnvironment
    from jsonpath_rfc9535.function_extensions import ExpressionType, FilterFunction

    # What the package itself tells a pattern of the standard by.
    from jsonpath_rfc9535.function_extensions.search import check  # type: ignore[attr-defined]

    class BoundedFunction(FilterFunction):
        arg_types: ClassVar[list[Any]] = [ExpressionType.VALUE, ExpressionType.VALUE]
        return_type = ExpressionType.LOGICAL

        def __init__(self, *, whole: bool) -> None:
            self._whole = whole

        def __call__(self, text: object, pattern: object) -> bool:
            usable = isinstance(text, str) and isinstance(pattern, str) and check(pattern)
            return usable and is_found_by_iregexp(str(pattern), str(text), whole=self._whole)

    environment = JSONPathEnvironment()
    environment.function_extensions |= {
        "match": BoundedFunction(whole=True),
        "search": BoundedFunction(whole=False),
    }
    return environment


@lru_cache(maxsize=16_384)
def _compiled(path: str) -> Any:
    """A query of jsonpath_rfc9535, which has no types. Kept: many tests look for the same."""
    if len(path) > _LONGEST_PATH:
        raise ValueError(f"{shown(path)} is a JSONPath of more than {_LONGEST_PATH:,} characters")
    try:
        return _path_environment().compile(path)
    except RecursionError:
        raise ValueError(f"{shown(path)} is a JSONPath that is nested too deep") from None
    except (_path_error(), ValueError, IndexError, OverflowError) as error:
        reason = str(error).split(", line ")[0]
        start = "" if path.startswith("$") else "; a JSONPath starts with $, such as $.user.id"
        raise ValueError(f"{shown(path)} is not a JSONPath: {reason}{start}") from None


def _read_conditions(wanted: Mapping[str, object]) -> dict[str, Any]:
    conditions: dict[str, Any] = {}
    found = []
    for name, operand in wanted.items():
        try:
            conditions[name] = _read_operand(name, operand)
        except ValueError as error:
            found.append(Mistake((name,), str(error)))
    low, high = conditions.get("min"), conditions.get("max")
    if low is not None and high is not None and low > high:
        found.append(Mistake(("min",), f"{shown(low)} is more than max, {shown(high)}"))
    if conditions.get("exists") is False and len(wanted) > 1:
        found.append(Mistake(("exists",), "false leaves nothing for the other conditions to look at"))
    if found:
        raise ModelError("", found)
    return conditions


def _read_operand(name: str, operand: object) -> object:
    if name in ("min", "max"):
        return _read_number(operand)
    if name == "length":
        number = _read_number(operand)
        if not 0 <= number < _LONGEST_LENGTH or number != int(number):
            raise ValueError(f"{shown(operand)} is not a length; write a whole number of 0 or more")
        return int(number)
    if name == "exists":
        text = shown(operand).strip("'").lower()
        if text not in ("true", "false"):
            raise ValueError(f"{shown(operand)} is neither true nor false")
        return text == "true"
    if name == "matches":
        return read_pattern(operand)
    return operand


def _read_number(operand: object) -> int | float:
    if isinstance(operand, int | float) and not isinstance(operand, bool) and operand == operand:
        return operand
    if isinstance(operand, str) and _NUMBER.fullmatch(operand):
        return int(operand) if operand.lstrip("+-").isdigit() else float(operand)
    raise ValueError(f"{shown(operand)} is not a number")


def _unmet(name: str, operand: Any, value: Any) -> str | None:
    """What was expected, when the value does not meet the condition."""
    if MEETS[name](value, operand):
        return None
    if name == "matches":
        return f"text that matches {shown(operand.pattern)}"
    return f"{_EXPECTED[name]}{shown(operand)}"


_EXPECTED = {
    "min": "at least ",
    "max": "at most ",
    "equals": "",
    "contains": "it to contain ",
    "length": "length ",
}
MEETS: dict[str, Callable[[Any, Any], bool]] = {
    "exists": lambda value, wanted: True,
    "min": lambda value, limit: _is_number(value) and value >= limit,
    "max": lambda value, limit: _is_number(value) and value <= limit,
    "equals": lambda value, wanted: same_json(value, wanted),
    "contains": lambda value, part: _contains(value, part),
    "matches": lambda value, pattern: isinstance(value, str) and is_found(pattern, value),
    "length": lambda value, length: isinstance(value, str | list | dict) and len(value) == length,
}


def _counted(values: Sized, noun: str) -> str:
    return f"{len(values):,} {noun}{'' if len(values) == 1 else 's'}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _contains(value: object, part: object) -> bool:
    if isinstance(value, str):
        return isinstance(part, str) and part in value
    if isinstance(value, list):
        return any(same_json(element, part) for element in value)
    return isinstance(value, dict) and isinstance(part, str) and part in value


PLAIN_KINDS = frozenset({str, int, bool})


def same_json(left: object, right: object) -> bool:
    """Equality of JSON values: numbers by value, a boolean only with a boolean."""
    if type(left) is type(right) and type(left) in PLAIN_KINDS:
        return left == right
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(same_json(a, b) for a, b in zip(left, right, strict=True))
    return left == right
