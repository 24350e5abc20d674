"""The JSON Schema of the suite file."""

import pytest
from jsonschema import Draft202012Validator

from perfcore.suite.config_loader import load_suite
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
        "expect: {status: 600}",
        "expect: {status: 99}",
        "expect: {status: 6xx}",
        "expect: {status: [200, 2x]}",
        "json: 1, body: b",
        "json: null, form: {a: b}",
        "body: b, body_file: b",
        "iterations: 1, total_iterations: 1",
    ],
)
def test_wrong_tests_are_refused(keys):
    assert complaints(suite(f"- {{name: A, endpoint: /, {keys}}}"))


@pytest.mark.parametrize(
    "keys",
    [
        "expect: {status: ' 2XX - 302 '}",
        "expect: {status: '204'}",
        "expect: {status: ['${S}', 2xx-3xx]}",
        "json: null, body: null",
        "json: {a: 1}, iterations: 1",
        "iterations: null, total_iterations: 1",
    ],
)
def test_what_looks_odd_and_loads_is_accepted(keys):
    text = suite(f"- {{name: A, endpoint: /, {keys}}}")
    load_suite("-", stdin=text.encode(), environ={"S": "200"})
    assert complaints(text) == []


def test_the_keys_that_exclude_each_other_do_so_in_the_defaults_too():
    assert complaints(suite(head="base_url: http://h\ndefaults: {json: 1, body: b}"))
    assert not complaints(
        suite("- {name: A, endpoint: /, body: b}", head="base_url: http://h\ndefaults: {json: 1}")
    )


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
