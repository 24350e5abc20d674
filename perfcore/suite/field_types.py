"""The types that the keys of a suite have: what is accepted, what it becomes, and its JSON Schema.

Every reader raises ValueError with a text that says what would be right. Numbers and booleans also come as text,
because that is what `${NAME}` of the process environment gives.
"""

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import PlainValidator, WithJsonSchema

from perfcore.suite.mistakes import Mistake, ModelError, shown, suggestion
from perfcore.units import parse_count, parse_duration

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")

# Longer is a slip of the unit, and would overflow the milliseconds of libcurl.
_LONGEST_S = 366 * 86400.0
_DURATION_FORMS = "30 (seconds), 30s, 500ms, 1m30s or 1h"
# libcurl counts milliseconds, and takes 0 of them for no limit at all.
_SHORTEST_TIMEOUT_S = 0.001
_HIGHEST_COUNT = 10**12
# A user costs memory and a connection; more than this cannot be meant for one machine.
MOST_USERS = 1_000_000
_LONGEST_NUMBER_TEXT = 40

_REFERENCE = r"\$\{"
_NEGATIVE = re.compile(rf"\s*-[0-9]{{1,{_LONGEST_NUMBER_TEXT}}}\s*")
_PLAIN_NUMBER = re.compile(r"[0-9]{0,20}\.?[0-9]{1,20}")
DURATION_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": rf"^\s*(([0-9]*\.?[0-9]+\.?)(ns|us|µs|ms|s|m|h|d)?)+\s*$|{_REFERENCE}"},
    ],
    "examples": [30, "30s", "500ms", "1m30s", "1h"],
}
_COUNT_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": rf"^\s*[0-9]*\.?[0-9]+\.?[kM]?\s*$|{_REFERENCE}"},
    ],
    "examples": [10, "1k", "1M"],
}
_FLAG_SCHEMA = {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": f"^(true|false)$|{_REFERENCE}"}]}
_METHOD_SCHEMA = {
    "anyOf": [
        {"enum": [*METHODS, *(method.lower() for method in METHODS)]},
        {"type": "string", "pattern": _REFERENCE},
    ]
}
_SCALAR_SCHEMA = {"type": ["string", "number", "boolean"]}
_TEXT_MAP_SCHEMA = {"type": "object", "additionalProperties": _SCALAR_SCHEMA}
_PARAM_MAP_SCHEMA = {
    "type": "object",
    "additionalProperties": {"anyOf": [_SCALAR_SCHEMA, {"type": "array", "items": _SCALAR_SCHEMA}]},
}
_PERCENTILES_SCHEMA = {
    "type": "array",
    "items": {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100},
            {"type": "string", "pattern": _REFERENCE},
        ]
    },
}


NumberT = TypeVar("NumberT", int, float)


def read_number(value: object, parse: Callable[[object], NumberT], message: str) -> NumberT:
    """What `parse` makes of a number with a unit; ValueError with the message when it cannot, or the text is long."""
    if isinstance(value, str) and len(value) > _LONGEST_NUMBER_TEXT:
        raise ValueError(message)
    try:
        return parse(value)
    except (ValueError, OverflowError):
        raise ValueError(message) from None


def read_duration(value: object, forms: str = _DURATION_FORMS) -> float:
    """Seconds, 0 or more; `forms` is what a message says would be right."""
    message = f"{shown(value)} is not a duration; write {forms}"
    seconds = read_number(value, parse_duration, message)
    if seconds > _LONGEST_S:
        raise ValueError(f"{shown(value)} is longer than a year")
    return seconds


def read_positive_duration(value: object) -> float:
    seconds = read_duration(value)
    if seconds <= 0:
        raise ValueError(f"{shown(value)} is not a duration greater than 0, such as 30s or 500ms")
    return seconds


def read_timeout(value: object) -> float:
    seconds = read_positive_duration(value)
    if seconds < _SHORTEST_TIMEOUT_S:
        raise ValueError(f"{shown(value)} is shorter than 1ms, the shortest timeout that can be kept")
    return seconds


def read_count(value: object, highest: int = _HIGHEST_COUNT) -> int:
    message = f"{shown(value)} is not a count; write a whole number such as 200, 10k or 1M"
    if isinstance(value, str) and _NEGATIVE.fullmatch(value):
        value = int(value)
    count = read_number(value, parse_count, message)
    if count < 1:
        raise ValueError(f"{count} is not a count greater than 0" if count > -(10**12) else message)
    if count > highest:
        raise ValueError(f"{shown(value)} is more than {highest:,}")
    return count


def read_user_count(value: object) -> int:
    return read_count(value, MOST_USERS)


def read_whole_number(value: object, highest: int) -> int:
    """A whole number from 0 to `highest`."""
    try:
        return 0 if value in (0, "0") and not isinstance(value, bool) else read_count(value, highest)
    except ValueError:
        raise ValueError(f"{shown(value)} is not a whole number from 0 to {highest:,}") from None


def read_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError(f"{shown(value)} is neither true nor false")


HTTP_VERSIONS = ("auto", "1.1", "2", "2-prior-knowledge", "3")


def read_http_version(value: object) -> str:
    # Numbers come from Python; a suite file's are taken as they were written, so that 1.10 is none of these.
    numbers = {1.1: "1.1", 2: "2", 3: "3"}
    return read_word(HTTP_VERSIONS)(numbers.get(value, value) if isinstance(value, int | float) else value)


def read_text(value: object) -> str:
    """Text; a number or boolean becomes the text that YAML would have for it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    hint = "; write '' for empty text" if value is None else ""
    raise ValueError(f"{shown(value)} is not text{hint}")


def read_name(value: object) -> str:
    text = read_text(value)
    if not text.strip():
        raise ValueError("is empty; give it a name")
    if not text.isprintable():
        raise ValueError(f"{shown(text)} holds a character that cannot be printed")
    return text


def read_method(value: object) -> str:
    if not isinstance(value, str) or value.upper() not in METHODS:
        hint = suggestion(value, METHODS) if isinstance(value, str) else ""
        raise ValueError(f"{shown(value)} is not one of {', '.join(METHODS)}{hint}")
    return value.upper()


def read_word(choices: tuple[str, ...]) -> Callable[[object], str]:
    """A reader for one of a few words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{shown(value)} is not one of {', '.join(choices)}")
        return value

    return read


def read_trace(value: object) -> Literal["w3c"] | None:
    if value is None or value == "w3c":
        return value
    raise ValueError(
        f"{shown(value)} is not w3c, which sends a traceparent header; leave trace out to send none"
    )


def read_readable_file(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"{shown(value)} is not the path of a file")
    path = Path(value)
    try:
        if path.is_dir():
            raise ValueError(f"{shown(str(path))} is a directory, not a file")
        if not path.exists():
            raise ValueError(f"there is no file {shown(str(path))}")
        if not path.is_file():
            # A pipe would be waited for, a device read without end.
            raise ValueError(f"{shown(str(path))} is not a regular file")
        if not os.access(path, os.R_OK):
            raise ValueError(f"{shown(str(path))} cannot be read: permission denied")
    except OSError as error:
        raise ValueError(f"{shown(str(path))} cannot be read: {error.strerror}") from None
    return path


def read_mapping(value: object, read: Callable[[object], Any]) -> dict[str, Any]:
    """A mapping whose values are read by `read`; every wrong value is told under its own key."""
    if not isinstance(value, Mapping):
        raise ValueError(
            f"{shown(value)} is not a mapping of names to values; write name: value, a line each"
        )
    found, result = [], {}
    for key, entry in value.items():
        try:
            result[read_text(key)] = read(entry)
        except ModelError as error:
            found += [mistake.under((str(key),)) for mistake in error.found]
        except ValueError as error:
            found.append(Mistake((str(key),), str(error)))
    if found:
        raise ModelError("", found)
    return result


def read_list(value: object, read: Callable[[object], Any]) -> tuple[Any, ...]:
    """A list whose entries are read by `read`; every wrong entry is told under its own number."""
    if not isinstance(value, list | tuple):
        form = "- value, a line each" if isinstance(value, Mapping) else f"[{shown(value)}]"
        raise ValueError(f"{shown(value)} is not a list; write {form}" if value else "is not a list")
    found, result = [], []
    for index, entry in enumerate(value):
        try:
            result.append(read(entry))
        except ModelError as error:
            found += [mistake.under((index,)) for mistake in error.found]
        except ValueError as error:
            found.append(Mistake((index,), str(error)))
    if found:
        raise ModelError("", found)
    return tuple(result)


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def read_headers(value: object) -> dict[str, str]:
    headers = read_mapping(value, read_text)
    found, seen = [], dict[str, str]()
    for name, text in headers.items():
        if not _TOKEN.fullmatch(name):
            found.append(Mistake((name,), f"{shown(name)} is not the name of a header"))
        elif name.lower() in seen:
            found.append(Mistake((name,), f"is given twice, as {seen[name.lower()]!r} and {name!r}"))
        if has_line_break(text):
            found.append(Mistake((name,), "a header's value cannot hold a line break"))
        seen.setdefault(name.lower(), name)
    if found:
        raise ModelError("", found)
    return headers


def has_line_break(text: str) -> bool:
    return any(character in text for character in "\r\n\0")


ParamValue = str | int | float | bool | list[str | int | float | bool]


def _read_param(value: object) -> ParamValue:
    if isinstance(value, list | tuple):
        return list(read_list(value, _read_param_scalar))
    return _read_param_scalar(value)


def _read_param_scalar(value: object) -> str | int | float | bool:
    if isinstance(value, str | int | float):
        return value
    hint = "; write '' for an empty one" if value is None else ""
    raise ValueError(f"{shown(value)} is not text, a number, true or false{hint}")


def _read_percentile(value: object) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        if isinstance(value, str) and not _PLAIN_NUMBER.fullmatch(value.strip()):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not 0 < number < 100:
        raise ValueError(
            f"{shown(value)} is not a percentile; write a number above 0 and below 100, such as 99.9"
        )
    return number


def _schema(schema: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema(schema)


def whole_number(highest: int) -> tuple[PlainValidator, WithJsonSchema]:
    """The type of a whole number from 0 to `highest`."""
    number = {"type": "integer", "minimum": 0, "maximum": highest}
    text = {"type": "string", "pattern": rf"^\s*[0-9]+\s*$|{_REFERENCE}"}
    return PlainValidator(lambda value: read_whole_number(value, highest)), _schema({"anyOf": [number, text]})


Text = Annotated[str, PlainValidator(read_text), _schema(_SCALAR_SCHEMA)]
Name = Annotated[str, PlainValidator(read_name), _schema(_SCALAR_SCHEMA)]
Flag = Annotated[bool, PlainValidator(read_flag), _schema(_FLAG_SCHEMA)]
Duration = Annotated[float, PlainValidator(read_duration), _schema(DURATION_SCHEMA)]
PositiveDuration = Annotated[float, PlainValidator(read_positive_duration), _schema(DURATION_SCHEMA)]
Timeout = Annotated[float, PlainValidator(read_timeout), _schema(DURATION_SCHEMA)]
Count = Annotated[int, PlainValidator(read_count), _schema(_COUNT_SCHEMA)]
UserCount = Annotated[int, PlainValidator(read_user_count), _schema(_COUNT_SCHEMA)]
MethodName = Annotated[Method, PlainValidator(read_method), _schema(_METHOD_SCHEMA)]
Trace = Annotated[
    Literal["w3c"] | None,
    PlainValidator(read_trace),
    _schema({"anyOf": [{"enum": ["w3c", None]}, {"type": "string", "pattern": _REFERENCE}]}),
]
HttpVersion = Annotated[
    Literal["auto", "1.1", "2", "2-prior-knowledge", "3"],
    PlainValidator(read_http_version),
    _schema({"anyOf": [{"enum": [*HTTP_VERSIONS, 1.1, 2, 3]}, {"type": "string", "pattern": _REFERENCE}]}),
]
# libcurl takes a number; more is a redirect in a circle.
RedirectCount = Annotated[int, *whole_number(1000)]
ReadableFile = Annotated[Path, PlainValidator(read_readable_file), _schema({"type": "string"})]
Headers = Annotated[dict[str, str], PlainValidator(read_headers), _schema(_TEXT_MAP_SCHEMA)]
TextMap = Annotated[
    dict[str, str], PlainValidator(lambda value: read_mapping(value, read_text)), _schema(_TEXT_MAP_SCHEMA)
]
ParamMap = Annotated[
    dict[str, ParamValue],
    PlainValidator(lambda value: read_mapping(value, _read_param)),
    _schema(_PARAM_MAP_SCHEMA),
]
Percentiles = Annotated[
    tuple[float, ...],
    PlainValidator(lambda value: read_list(value, _read_percentile)),
    _schema(_PERCENTILES_SCHEMA),
]
