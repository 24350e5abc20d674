"""The JSON Schema of the suite file."""

import pytest
from jsonschema import Draft202012Validator

from perfcore.suite.schema import json_schema
from perfcore.suite.test_case import TestCase
from perfcore.suite.yaml_document import read_yaml

from .suites import RICH, SEED, suite

SCHEMA = json_schema()


def complaints(text):
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(read_yaml(text).data)]


def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "text", [SEED, RICH, suite("- {name: A, endpoint: /, parallel_users: '${N}', timeout: '${T}'}")]
)
def test_right_suites_are_accepted(text):
    assert complaints(text) == []


@pytest.mark.parametrize(
    "keys",
    [
        "timeout: 5 apples",
        "method: FETCH",
        "iteratons: 3",
        "parallel_users: 0",
        "auth: {type: digest}",
        "auth: {token: x}",
        "expect: {stauts: 200}",
        "think_time: {min: 1}",
        "tls: {verfy: true}",
        "steps: []",
        "percentiles: [100]",
        "headers: {a: []}",
        "expect: {json: {a: 1}}",
    ],
)
def test_wrong_tests_are_refused(keys):
    assert complaints(suite(f"- {{name: A, endpoint: /, {keys}}}"))


@pytest.mark.parametrize(
    "head", ["nam: x", "mode: both", "defaults: {name: x}", "environments: {a: {tests: []}}", "base_url: x"]
)
def test_wrong_suites_are_refused(head):
    assert complaints(suite(head=head))


def test_every_key_of_a_test_has_a_description():
    properties = SCHEMA["$defs"]["TestCase"]["properties"]
    assert set(properties) == set(TestCase.yaml_keys())
    assert all(entry.get("description") for entry in properties.values())
    assert all(entry.get("description") for entry in SCHEMA["$defs"]["Expectation"]["properties"].values())


def test_durations_take_numbers_and_texts_with_a_unit():
    timeout = SCHEMA["$defs"]["TestCase"]["properties"]["timeout"]
    assert {entry["type"] for entry in timeout["anyOf"]} == {"number", "string"}
    assert timeout["default"] == "30s"
