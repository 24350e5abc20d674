"""The JSON Schema of the suite file."""

import pytest
from jsonschema import Draft202012Validator

from perfcore.errors import SuiteError
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
        "auth: {type: oauth2}",
        "auth: {type: digest, username: u}",
        "auth: {type: aws_sigv4, access_key: a, secret_key: s, region: r}",
        "auth: {type: negotiate, token: t}",
        "auth: {type: bearer, token: t}, headers: {authorization: x}",
        "compressed: true, headers: {ACCEPT-Encoding: gzip}",
        "multipart: {fields: {a: b}}, headers: {Content-Type: a/b}",
        "trace: b3",
        "trace: true",
        "trace: w3c, headers: {TraceParent: a}",
        "multipart: {fields: {a: b}}, form: {a: b}",
        "multipart: {fields: {a: {b: c}}}",
        "multipart: {field: {a: b}}",
        "multipart: {files: [a]}",
        "cookies: 1",
        "follow_redirects: follow",
        "max_redirects: -1",
        "max_redirects: 1.5",
        "retries: 101",
        "retries: many",
        "retry_on: connect",
        "retry_on: []",
        "retry_on: [conect]",
        "retry_on: [100]",
        "retry_on: [6xx]",
        "retry_backoff: -1",
        "http_version: 4",
        "http_version: 2.5",
        "proxy: 'proxy:3128'",
        "proxy: 'ftp://proxy:3128'",
        "resolve: [a]",
        "resolve: {a: 1}",
        "dns: {select: last}",
        "dns: round_robin",
        "local_addresses: 127.0.0.1",
        "unix_socket: ''",
        "preconnect: 1",
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
    text = suite(f"- {{name: A, endpoint: /, {keys}}}")
    assert complaints(text)
    with pytest.raises(SuiteError):
        load_suite("-", stdin=text.encode(), environ={})


@pytest.mark.parametrize(
    "keys",
    [
        "expect: {status: ' 2XX - 302 '}",
        "expect: {status: '204'}",
        "expect: {status: ['${S}', 2xx-3xx]}",
        "json: null, body: null",
        "json: {a: 1}, iterations: 1",
        "iterations: null, total_iterations: 1",
        "compressed: false, headers: {accept-encoding: gzip}",
        "auth: null, headers: {authorization: x}",
        "trace: null, headers: {traceparent: a}",
        "trace: w3c, headers: {tracestate: a=b}",
        "multipart: {fields: {a: [1, '${S}', true]}}, headers: {X-Content-Type: a}",
        "http_version: 1.1",
        "http_version: '2'",
        "http_version: 2-prior-knowledge",
        "retry_on: [connect, 5XX, '${S}', 502, 200-204], retries: '3', retry_backoff: 0",
        "proxy: null, resolve: {}, local_addresses: [], unix_socket: null, dns: {}",
        "proxy: 'SOCKS5H://u:p@[::1]:1080/'",
        "max_redirects: 0, retries: 0",
        "auth: {type: negotiate}",
        "auth: {type: negotiate, username: null}",
        "auth: {type: aws_sigv4, access_key: a, secret_key: s, region: '${S}', service: s3}",
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
    "head",
    [
        "nam: x",
        "mode: both",
        "defaults: {name: x}",
        "environments: {a: {tests: []}}",
        "base_url: x",
        "limits: {max_rte: 1/s}",
        "limits: {max_rate: fast}",
        "limits: {max_rate: 0}",
        "limits: {max_users: 0}",
        "limits: {max_duration: long}",
        "limits: {abort_on_error_rate: 0.5}",
        "limits: {abort_on_error_rate: half}",
        "environments: {a: {limits: {max_users: many}}}",
        "defaults: {compressed: true, headers: {accept-encoding: br}}",
    ],
)
def test_wrong_suites_are_refused(head):
    assert complaints(suite(head=head))


@pytest.mark.parametrize(
    "limits",
    [
        "{}",
        "{max_rate: 2000/s, max_users: 500, max_duration: 10m, abort_on_error_rate: 50%}",
        "{max_rate: 1.5k/min, max_users: 1k, max_duration: 90, abort_on_error_rate: ' .5 % '}",
        "{max_rate: 3, max_users: null}",
        "{max_rate: '${S}/s', abort_on_error_rate: '${S}%'}",
    ],
)
def test_limits_that_load_are_accepted(limits):
    text = suite(head=f"base_url: http://h\nlimits: {limits}")
    load_suite("-", stdin=text.encode(), environ={"S": "20"})
    assert complaints(text) == []


def test_every_key_of_a_test_has_a_description():
    properties = SCHEMA["$defs"]["TestCase"]["properties"]
    assert set(properties) == set(TestCase.yaml_keys())
    assert all(entry.get("description") for entry in properties.values())
    assert all(entry.get("description") for entry in SCHEMA["$defs"]["Expectation"]["properties"].values())


def test_durations_take_numbers_and_texts_with_a_unit():
    timeout = SCHEMA["$defs"]["TestCase"]["properties"]["timeout"]
    assert {entry["type"] for entry in timeout["anyOf"]} == {"number", "string"}
    assert timeout["default"] == "30s"
