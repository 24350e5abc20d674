"""What a response must be like, and the judgement on one response.

Everything that can be wrong with an expectation (a regular expression, a JSONPath, a condition) is found when it
is made; judging never raises. An expectation looks at the body or the headers only where it has to: `needs_body`
and `needs_headers` tell the transport what to keep.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson
from pydantic import Field, PlainValidator, WithJsonSchema

from perfcore.suite.bounded_match import SearchTooLongError, is_found, read_pattern
from perfcore.suite.field_types import PositiveDuration, Text, TextMap, read_list
from perfcore.suite.json_conditions import JSON_SCHEMA, JsonCheck, read_json_check
from perfcore.suite.mistakes import Mistake, ModelError, shown
from perfcore.suite.model import SuiteModel
from perfcore.suite.secret_names import HARMLESS_HEADERS, MASK
from perfcore.units import format_duration

_STATUS_PART = re.compile(r"([1-5])xx|([1-5]\d\d)")
_STATUS_FORMS = "write 200, [200, 201], 2xx or 2xx-3xx"


@dataclass(frozen=True, slots=True)
class StatusSet:
    """The status codes that count as success. `text` is how the suite spells it."""

    text: str
    accepted: frozenset[int] = field(repr=False)

    def accepts(self, status: int) -> bool:
        return status in self.accepted


def read_status(value: object) -> StatusSet:
    if isinstance(value, StatusSet):
        return value
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError(f"an empty list accepts no status; {_STATUS_FORMS}")
        parts = read_list(value, _read_status_text)
        return StatusSet(
            f"[{', '.join(part.text for part in parts)}]", frozenset().union(*(p.accepted for p in parts))
        )
    return _read_status_text(value)


def _read_status_text(value: object) -> StatusSet:
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    ends = [_STATUS_PART.fullmatch(end.strip().lower()) for end in text.split("-")] if len(text) < 20 else []
    bounds = [_bounds(end) for end in ends if end is not None]
    if not 1 <= len(ends) == len(bounds) <= 2:
        raise ValueError(f"{shown(value)} is not a status; {_STATUS_FORMS}")
    first, last = bounds[0][0], bounds[-1][1]
    if last < first:
        raise ValueError(f"{shown(value)} ends before it starts; {_STATUS_FORMS}")
    return StatusSet(text.lower(), frozenset(range(first, last + 1)))


def _bounds(match: re.Match[str]) -> tuple[int, int]:
    if match.group(1):
        return int(match.group(1)) * 100, int(match.group(1)) * 100 + 99
    return int(match.group(2)), int(match.group(2))


def _read_json_checks(value: object) -> tuple[JsonCheck, ...]:
    if isinstance(value, tuple) and all(isinstance(check, JsonCheck) for check in value):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{shown(value)} is not a mapping of JSONPaths to what they must give")
    checks, found = [], []
    for path, wanted in value.items():
        try:
            checks.append(read_json_check(str(path), wanted))
        except ModelError as error:
            found += [mistake.under((str(path),)) for mistake in error.found]
        except ValueError as error:
            found.append(Mistake((str(path),), str(error)))
    if found:
        raise ModelError("", found)
    return tuple(checks)


_STATUS_PATTERN = r"([1-5][xX]{2}|[1-5][0-9]{2})"
_STATUS_SCHEMA_ONE = {
    "anyOf": [
        {"type": "integer", "minimum": 100, "maximum": 599},
        {"type": "string", "pattern": rf"^\s*{_STATUS_PATTERN}\s*(-\s*{_STATUS_PATTERN}\s*)?$|\$\{{"},
    ],
    "examples": [200, "2xx", "2xx-3xx"],
}
_STATUS_SCHEMA = {
    "anyOf": [_STATUS_SCHEMA_ONE, {"type": "array", "items": _STATUS_SCHEMA_ONE, "minItems": 1}]
}

StatusField = Annotated[StatusSet, PlainValidator(read_status), WithJsonSchema(_STATUS_SCHEMA)]
PatternField = Annotated[re.Pattern[str], PlainValidator(read_pattern), WithJsonSchema({"type": "string"})]
JsonChecks = Annotated[tuple[JsonCheck, ...], PlainValidator(_read_json_checks), WithJsonSchema(JSON_SCHEMA)]

Broken = tuple[str, str]


class Expectation(SuiteModel):
    """What a response must be like. A request that breaks it has failed."""

    status: StatusField = Field(
        default=read_status("2xx"),
        description="accepted status codes: 200, [200, 201], 2xx or 2xx-3xx (default 2xx)",
    )
    header: TextMap = Field(
        default_factory=dict, description="text that the value of each of these headers contains"
    )
    body_contains: Text | None = Field(default=None, description="text that the body contains")
    body_matches: PatternField | None = Field(
        default=None, description="regular expression found in the body"
    )
    json_conditions: JsonChecks = Field(
        default=(),
        alias="json",
        description="JSONPath (RFC 9535) → the value of every match, or an object of min, max, equals, contains, "
        "matches, exists, length",
    )
    max_time_s: PositiveDuration | None = Field(
        default=None, alias="max_time", description="longest response time: 500ms, 2s, or a number of seconds"
    )

    def __init__(self, /, **data: Any) -> None:
        super().__init__(**data)

    @property
    def needs_body(self) -> bool:
        return self.body_contains is not None or self.body_matches is not None or bool(self.json_conditions)

    @property
    def needs_headers(self) -> bool:
        return bool(self.header)

    def first_broken(
        self, status: int, headers: Mapping[str, str], body: bytes, response_time_s: float
    ) -> Broken | None:
        """The kind of the first expectation that the response breaks, and one line that says how.

        The order is status, header, body, json, max_time. `headers` has lower-case names.
        """
        return (
            self._broken_status(status, headers)
            or (self._broken_header(headers) if self.header else None)
            or (self._broken_body(body) if self.needs_body else None)
            or self._broken_time(response_time_s)
        )

    @property
    def check_names(self) -> tuple[str, ...]:
        """What is expected, one name each, in the order of judging; the bits of `failed_checks`."""
        names = [f"status {self.status.text}", *(f"header {name}" for name in self.header)]
        if self.body_contains is not None:
            names.append(f"body_contains {self.body_contains}")
        if self.body_matches is not None:
            names.append(f"body_matches {self.body_matches.pattern}")
        names.extend(f"json {check.path}" for check in self.json_conditions)
        if self.max_time_s is not None:
            names.append(f"max_time {format_duration(self.max_time_s)}")
        return tuple(names)

    def failed_checks(
        self, status: int, headers: Mapping[str, str], body: bytes, response_time_s: float
    ) -> int:
        """Every expectation that the response breaks: bit n for the n-th of `check_names`."""
        broken = [status not in self.status.accepted]
        broken += [
            self._broken_one_header(name, text, headers) is not None for name, text in self.header.items()
        ]
        if self.body_contains is not None:
            broken.append(self.body_contains.encode("utf-8", "replace") not in body)
        if self.body_matches is not None:
            broken.append(self._broken_pattern(self.body_matches, body) is not None)
        if self.json_conditions:
            try:
                document = orjson.loads(body)
            except orjson.JSONDecodeError:
                broken += [True] * len(self.json_conditions)
            else:
                broken += [check.broken_by(document) is not None for check in self.json_conditions]
        broken.append(self._broken_time(response_time_s) is not None)
        return sum(1 << bit for bit, is_broken in enumerate(broken) if is_broken)

    def _broken_status(self, status: int, headers: Mapping[str, str]) -> Broken | None:
        if status in self.status.accepted:
            return None
        location = headers.get("location")
        if 300 <= status < 400 and location:
            way_out = f"set follow_redirects: true or expect: {{status: {status}}}"
            return "status", f"{status} → {location}; {way_out}"
        return "status", f"status {status}, expected {self.status.text}"

    def _broken_header(self, headers: Mapping[str, str]) -> Broken | None:
        for name, text in self.header.items():
            broken = self._broken_one_header(name, text, headers)
            if broken is not None:
                return "header", broken
        return None

    @staticmethod
    def _broken_one_header(name: str, text: str, headers: Mapping[str, str]) -> str | None:
        value = headers.get(name.lower())
        if value is None:
            return f"no header {name}, expected one with {shown(text)}"
        if text in value:
            return None
        # What a server sends in other headers (a session, a token) is not for terminals and files.
        seen = shown(value) if name.lower() in HARMLESS_HEADERS else MASK
        return f"header {name} is {seen}, expected {shown(text)} in it"

    def _broken_body(self, body: bytes) -> Broken | None:
        if self.body_contains is not None and self.body_contains.encode("utf-8", "replace") not in body:
            return "body", f"the body does not contain {shown(self.body_contains)}"
        if self.body_matches is not None:
            broken = self._broken_pattern(self.body_matches, body)
            if broken is not None:
                return "body", broken
        return self._broken_json(body) if self.json_conditions else None

    @staticmethod
    def _broken_pattern(pattern: re.Pattern[str], body: bytes) -> str | None:
        try:
            found = is_found(pattern, body.decode("utf-8", "replace"))
        except SearchTooLongError as error:
            return f"body_matches {shown(pattern.pattern)}: {error}"
        return None if found else f"the body does not match {shown(pattern.pattern)}"

    def _broken_json(self, body: bytes) -> Broken | None:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return "json", f"the body is not JSON: {error}" if body else "the body is empty, expected JSON"
        for check in self.json_conditions:
            broken = check.broken_by(document)
            if broken:
                return "json", broken
        return None

    def _broken_time(self, response_time_s: float) -> Broken | None:
        if self.max_time_s is None or response_time_s <= self.max_time_s:
            return None
        took, limit = format_duration(response_time_s), format_duration(self.max_time_s)
        return "max_time", f"took {took}, expected at most {limit}"
