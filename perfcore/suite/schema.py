"""The JSON Schema of the suite file, made from the models that read it.

Editors complete and check suites with it. It accepts what load_suite accepts, but not everything that it accepts
loads: names, references and regular expressions are checked by load_suite alone.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from perfcore.suite.authentication import AUTH_MODELS
from perfcore.suite.expectation import Expectation
from perfcore.suite.load_keys import ITERATION_KEYS
from perfcore.suite.option_conflicts import HEADER_OF_KEY
from perfcore.suite.test_case import BODY_KEYS, TestCase
from perfcore.suite.test_suite import TestSuite

_NOT_IN_ENVIRONMENT = ("tests",)


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a whole suite file."""
    suite = TestSuite.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = suite.pop("$defs")
    _tell_defaults(definitions["TestCase"], TestCase)
    _tell_defaults(definitions["Expectation"], Expectation)
    for auth in AUTH_MODELS.values():
        definitions[auth.__name__].setdefault("required", []).insert(0, "type")
    case = definitions["TestCase"]
    case["allOf"] = [*_alternatives(), *_headers_made_here()]
    defaults = {
        "type": "object",
        "description": "keys for every test that does not have them; headers and params merge by name",
        "properties": {key: value for key, value in case["properties"].items() if key != "name"},
        "additionalProperties": False,
        "allOf": case["allOf"],
    }
    definitions["Defaults"] = defaults
    properties: dict[str, Any] = suite["properties"]
    properties["defaults"] = {"$ref": "#/$defs/Defaults"}
    definitions["Environment"] = {
        "type": "object",
        "description": "keys that go over the suite's; variables and tags merge by name",
        "properties": {key: value for key, value in properties.items() if key not in _NOT_IN_ENVIRONMENT},
        "additionalProperties": False,
    }
    properties["environments"] = {
        "type": "object",
        "description": "chosen with --env NAME; its keys go over the suite's",
        "additionalProperties": {"$ref": "#/$defs/Environment"},
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "perfcore suite",
        "description": "A suite of load tests for perfcore",
        "type": "object",
        "properties": {"test_suite": {key: value for key, value in suite.items() if key != "title"}},
        "required": ["test_suite"],
        "additionalProperties": False,
        "$defs": definitions,
    }
    _tidy(schema)
    return schema


def _alternatives() -> Iterator[dict[str, Any]]:
    """Of these keys a test has one; null is a body as `json` and nothing given elsewhere."""
    for one, other in (*combinations(BODY_KEYS, 2), *combinations(ITERATION_KEYS, 2)):
        given = {key: {"not": {"type": "null"}} for key in (one, other) if key != "json"}
        yield {"not": {"required": [one, other], "properties": given}, "$comment": f"either {one} or {other}"}


def _headers_made_here() -> Iterator[dict[str, Any]]:
    """With such a key no header of this name, in upper or lower case."""
    for key, header in HEADER_OF_KEY.items():
        any_case = "".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in header)
        other_names = {"propertyNames": {"not": {"pattern": f"^{any_case}$"}}}
        asked = {"not": {"enum": [None, False, "false"]}}
        yield {
            "not": {
                "required": [key, "headers"],
                "properties": {key: asked, "headers": {"type": "object", "not": other_names}},
            },
            "$comment": f"either {key} or a header {header}",
        }


def _tell_defaults(schema: dict[str, Any], model: type[TestCase] | type[Expectation]) -> None:
    """Replaces the defaults that pydantic shows (as attributes have them) by how a suite would write them."""
    written = {
        "timeout": "30s",
        "connect_timeout": "10s",
        "graceful_stop": "30s",
        "status": "2xx",
        "think_time": "0s",
        "retry_backoff": "100ms",
        "retry_on": ["connect", "timeout", 502, 503],
    }
    for key in model.yaml_keys():
        entry = schema["properties"][key]
        if key in written:
            entry["default"] = written[key]
        elif not isinstance(entry.get("default"), str | bool | int):
            entry.pop("default", None)


def _tidy(node: Any) -> None:
    """Takes out the titles that pydantic makes from attribute names, and the texts that are for readers of the code."""
    if isinstance(node, list):
        for entry in node:
            _tidy(entry)
    elif isinstance(node, dict):
        for key, entry in node.items():
            if key in ("properties", "$defs"):
                for inner in entry.values():
                    if isinstance(inner, dict):
                        inner.pop("title", None)
                    _tidy(inner)
            elif key not in ("default", "examples", "enum"):
                _tidy(entry)
