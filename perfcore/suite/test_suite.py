"""A whole suite: its tests, in order, and what they share.

However it was made (from a file or in Python), a TestSuite is frozen and its fields are checked. Whether every
`${…}` can be supplied is told by `check()`; load_suite has done so already.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PlainValidator, PrivateAttr, WithJsonSchema

from perfcore.errors import UsageError
from perfcore.suite import foreign_keys, not_yet
from perfcore.suite.features import Lacks, nothing_lacks
from perfcore.suite.field_types import Name, Text, TextMap, read_list, read_text, read_word
from perfcore.suite.limits import Limits, user_mistakes
from perfcore.suite.mistakes import Mistake, ModelError, listed, shown, suggestion
from perfcore.suite.model import SuiteModel, nested
from perfcore.suite.request_check import request_mistakes, variable_mistakes
from perfcore.suite.secret_names import mask_url
from perfcore.suite.secret_values import name_mistakes
from perfcore.suite.template_syntax import NAME
from perfcore.suite.test_case import TestCase, result_key
from perfcore.suite.text_template import Scope

EMBEDDED = "embedded"
# As deep as a JSON body may be; a list that holds itself is deeper than any.
_DEEPEST_VARIABLE = 200
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
_URL_FORMS = "write http://… or https://…, or embedded for perfcore's own target server"


def read_base_url(value: object) -> str:
    if value == EMBEDDED:
        return EMBEDDED
    if value is None or value == "":
        return ""
    told = shown(mask_url(value) if isinstance(value, str) else value)
    if not isinstance(value, str) or not _ABSOLUTE.match(value):
        raise ValueError(f"{told} is not an absolute URL; {_URL_FORMS}")
    if not value.isprintable() or " " in value:
        raise ValueError(f"{told} holds a space or a control character")
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise ValueError(f"{told} is not a URL: its host or port cannot be read") from None
    if not usable:
        raise ValueError(f"{told} has no host or no usable port")
    if parts.query or parts.fragment:
        raise ValueError(f"{told} has a query or a fragment; use params: on the tests")
    return value


def read_variables(value: object) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise ValueError(
            f"{shown(value)} is not a mapping of names to values; write NAME: value, a line each"
        )
    text = "is no name; a name has letters, digits, _, - and ., and starts with a letter or _"
    found = [Mistake((str(name),), text) for name in value if not NAME.fullmatch(str(name))]
    text = "is nested too deep, or holds itself"
    found += [Mistake((str(name),), text) for name, entry in value.items() if _is_too_deep(entry)]
    if found:
        raise ModelError("", found)
    return {str(name): entry for name, entry in value.items()}


def _read_secrets(value: object) -> tuple[str, ...]:
    if isinstance(value, Mapping) and value:
        # Its keys alone: the values are the secrets.
        raise ValueError(f"a mapping is not a list of names; write [{listed(map(str, value), most=5)}]")
    return read_list(value, read_text)


def _is_too_deep(value: object, room: int = _DEEPEST_VARIABLE) -> bool:
    """Whether it cannot be walked: a file cannot hold such a value, Python can."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return room == 0 or any(_is_too_deep(entry, room - 1) for entry in inner)


def _read_tests(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{shown(value)} is not a list of tests; write - name: … and endpoint: … for each")
    if not value:
        raise ValueError("is empty; a suite has at least one test")
    return value


_BASE_URL_SCHEMA = {"type": "string", "pattern": r"^(embedded|https?://.+)?$|\$\{"}
_NAMES_SCHEMA = {"type": "array", "items": {"type": "string"}}
_MODE_SCHEMA = {"anyOf": [{"enum": ["sequential", "parallel"]}, {"type": "string", "pattern": r"\$\{"}]}

Variables = Annotated[dict[str, Any], PlainValidator(read_variables), WithJsonSchema({"type": "object"})]
Names = Annotated[tuple[str, ...], PlainValidator(_read_secrets), WithJsonSchema(_NAMES_SCHEMA)]
Mode = Annotated[
    Literal["sequential", "parallel"],
    PlainValidator(read_word(("sequential", "parallel"))),
    WithJsonSchema(_MODE_SCHEMA),
]
BaseUrl = Annotated[str, PlainValidator(read_base_url), WithJsonSchema(_BASE_URL_SCHEMA)]


class TestSuite(SuiteModel):
    """Tests that are run together. Keyword arguments are the keys of the suite file."""

    __test__ = False  # not for pytest
    not_yet: ClassVar[Mapping[str, str]] = not_yet.IN_SUITE
    foreign: ClassVar[Mapping[str, str]] = foreign_keys.IN_SUITE

    name: Name = Field(description="what the suite is called in results")
    description: Text = Field(default="", description="what the suite is for, what is expected of it")
    tags: TextMap = Field(default_factory=dict, description="carried into the result")
    base_url: BaseUrl = Field(
        default="",
        description="what endpoints start from: an absolute http(s) URL, or embedded (a server of perfcore's)",
    )
    mode: Mode = Field(
        default="sequential", description="sequential: one test after the other; parallel: all at once"
    )
    variables: Variables = Field(default_factory=dict, description="values for ${NAME}")
    secrets: Names = Field(default=(), description="names whose values are masked wherever they would appear")
    limits: Annotated[Limits, nested(Limits)] = Field(
        default_factory=Limits,
        description="what no run goes beyond: max_rate, max_users, max_duration, abort_on_error_rate",
    )
    tests: Annotated[tuple[Annotated[TestCase, nested(TestCase)], ...], BeforeValidator(_read_tests)] = Field(
        description="the tests, in the order in which they run"
    )

    @classmethod
    def unknown_key(cls, key: str) -> str:
        if key in TestCase.yaml_keys():
            return f"{shown(key)} is a key of a test; write it there, or under defaults: for every test"
        is_own = key in cls.not_yet or key.lower() in cls.foreign
        if not is_own and (key in TestCase.not_yet or key.lower() in TestCase.foreign):
            return f"{TestCase.unknown_key(key)}; keys of a test stand there, or under defaults:"
        return super().unknown_key(key)

    _scope: Scope = PrivateAttr()
    _source: Path | None = PrivateAttr(default=None)

    def __init__(self, /, **data: Any) -> None:
        super().__init__(**data)
        self._scope = Scope(suite=self.variables, environ=os.environ)

    @classmethod
    def loaded(cls, data: Mapping[str, Any], scope: Scope, source: Path | None) -> "TestSuite":
        """A suite from the keys of a file, whose names are looked up in `scope`."""
        suite = cls(**data)
        suite._scope, suite._source = scope, source
        return suite

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        # Variables and tests may hold a secret, and a repr ends up in tracebacks.
        yield "name", self.name
        yield "tests", list(self.tests)

    @property
    def scope(self) -> Scope:
        """Where the names in `${…}` of this suite are looked up."""
        return self._scope

    @property
    def source(self) -> Path | None:
        """The file that the suite came from; None for standard input and for suites made in Python."""
        return self._source

    @classmethod
    def of(cls, case: TestCase) -> "TestSuite":
        """A suite of this one test, under its name."""
        return cls(name=case.name, tests=[case])

    def with_base_url(self, url: str) -> "TestSuite":
        """The same suite against another server."""
        try:
            return self.model_copy(update={"base_url": read_base_url(url)})
        except ValueError as error:
            raise UsageError(f"base_url: {error}") from None

    def select(self, names: Iterable[str]) -> "TestSuite":
        """The same suite with only the tests that have one of these names or result keys, in the suite's order."""
        wanted = list(names)
        known = {label for case in self.tests for label in (case.name, case.key)}
        unknown = [name for name in wanted if name not in known]
        if unknown or not wanted:
            hint = suggestion(unknown[0], known) if unknown else ""
            missing = f"there is no test {shown(unknown[0])}{hint}" if unknown else "no test is selected"
            raise UsageError(f"{missing}; the tests are {', '.join(case.name for case in self.tests)}")
        chosen = tuple(case for case in self.tests if case.name in wanted or case.key in wanted)
        return self.model_copy(update={"tests": chosen})

    def warnings(self) -> list[str]:
        """What is right and yet may not be what was meant, a line each."""
        names = [case.name for case in self.tests if case.has_body_by_oversight]
        if not names:
            return []
        tests = f"test{'s' if len(names) > 1 else ''} {listed(map(shown, names), most=5)}"
        return [
            f"{tests}: a body, and no method: it is sent with GET; write method: POST, or GET if that is meant"
        ]

    def check(self, lacks: Lacks = nothing_lacks) -> None:
        """Raises SuiteError with every name that nothing supplies, wrong template, endpoint without a server,
        name that holds a secret, and feature that the transport `lacks`.
        """
        found = list(variable_mistakes(self.scope))
        for index, case in enumerate(self.tests):
            mistakes = request_mistakes(case.request_data(), self.base_url, self.scope, lacks)
            found += [mistake.under(("tests", index)) for mistake in mistakes]
        tests = [{"name": case.name, **case.request_data()} for case in self.tests]
        unfit = list(name_mistakes({"name": self.name, "secrets": self.secrets, "tests": tests}, self.scope))
        if found or unfit:
            data = {} if any(mistake.path == ("name",) for mistake in unfit) else {"name": self.name}
            raise ModelError(self.title_of(data), [*found, *unfit])

    @classmethod
    def combinations(cls, data: Mapping[str, Any]) -> Iterator[Mistake]:
        tests = data.get("tests")
        seen: dict[str, tuple[int, str]] = {}
        for index, test in enumerate(tests if isinstance(tests, list | tuple) else ()):
            name = (
                test.name
                if isinstance(test, TestCase)
                else test.get("name")
                if isinstance(test, Mapping)
                else None
            )
            # A name that is `${…}` may have come to a number.
            key = result_key(read_text(name)) if isinstance(name, str | int | float) else ""
            if key in seen:
                first, other = seen[key]
                text = f"{shown(name)} has the result key {key!r}, as tests[{first}] {shown(other)} has; rename one"
                yield Mistake(("tests", index, "name"), text)
            elif key:
                seen[key] = (index, str(name))
        yield from user_mistakes(data)


def join_url(base_url: str, endpoint: str) -> str:
    """Where a rendered endpoint is: an absolute URL as it is, a path under base_url with one slash between."""
    if _ABSOLUTE.match(endpoint):
        return endpoint
    if not endpoint or endpoint[0] in "?#":
        return base_url + endpoint
    return f"{base_url.rstrip('/')}/{endpoint.removeprefix('/')}"
