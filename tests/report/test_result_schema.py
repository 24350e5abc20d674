"""The JSON Schema of results: what runs leave fits it, what is broken does not."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from perfcore.report.result_schema import result_schema

from .documents import failing_test, one_test, suite_document

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA: dict[str, Any] = json.loads(result_schema())
RUN = """\
test_suite:
  name: every kind of test
  description: for the schema
  tags: {a: b}
  base_url: embedded
  tests:
    - {name: Good, endpoint: /health, parallel_users: 3, iterations: 20, percentiles: [75, 99.99]}
    - {name: Flaky, endpoint: "/flaky?rate=0.3", total_iterations: 20, expect: {json: {"$.status": ok}}}
    - {name: Nobody there, endpoint: "http://127.0.0.1:1/", iterations: 3}
    - {name: Too slow, endpoint: /delay/500, timeout: 50ms, iterations: 2}
    - {name: For a time, endpoint: /bytes/10k, duration: 300ms, ramp_up: 100ms, pacing: 10ms}
"""


def complaints(document: Any) -> list[str]:
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(SCHEMA).iter_errors(document)
    ]


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_a_real_result_fits(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "perfcore", "-", "--json", "--quiet", "--procs", "2"],
        input=RUN,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    document = json.loads(done.stdout)
    assert list(document["results"]) == ["good", "flaky", "nobody_there", "too_slow", "for_a_time"]
    assert complaints(document) == []
    assert undescribed(document, SCHEMA) == []
    saved = json.loads((tmp_path / "results" / "latest" / "results.json").read_text())
    assert complaints(saved) == []


def undescribed(value: Any, schema: dict[str, Any], path: str = "$") -> list[str]:
    """Keys of a document that the schema says nothing about."""
    schema = {**SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], **schema} if "$ref" in schema else schema
    if isinstance(value, list):
        return [key for entry in value[:1] for key in undescribed(entry, schema["items"], path + "[]")]
    if not isinstance(value, dict):
        return []
    found = []
    for key, entry in value.items():
        inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
        found += [f"{path}.{key}"] if inner is None else undescribed(entry, inner, f"{path}.{key}")
    return found


@pytest.mark.parametrize(
    "document",
    [
        suite_document(),
        suite_document({"create_order": failing_test()}),
        suite_document({"a": one_test("A", 0)}, verdict="failed", exit_code=99),
        suite_document({}, verdict="aborted", exit_code=108),
        suite_document({"buy": one_test("Buy", steps={"login": one_test()})}),
        suite_document(later={"key": 1}),
        suite_document(
            thresholds=[{"metric": "p95 < 1ms", "test": None, "value": None, "unit": "ms", "passed": False}]
        ),
    ],
)
def test_the_documents_of_these_tests_fit(document: dict[str, Any]) -> None:
    assert complaints(document) == []


def of_the_test(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda document: change(document["results"]["create_order"])


@pytest.mark.parametrize(
    "breakage",
    [
        lambda document: document.pop("schema_version"),
        lambda document: document.update(schema_version=2),
        lambda document: document.update(verdict="good"),
        lambda document: document.update(exit_code=98),
        lambda document: document.update(timestamp="today"),
        lambda document: document["results"].update({"Not A Key": one_test()}),
        lambda document: document["environment"].pop("workers"),
        lambda document: document["validity"].update(verdict="so-so"),
        of_the_test(lambda test: test.pop("timing")),
        of_the_test(lambda test: test.update(total_requests=-1)),
        of_the_test(lambda test: test.update(total_requests=1.5)),
        of_the_test(lambda test: test["timing"].update(avg_ms="12ms")),
        of_the_test(lambda test: test["timing"]["percentiles"].pop("p95")),
        of_the_test(lambda test: test["timing"]["percentiles"].update({"95": 1.0})),
        of_the_test(lambda test: test["timing"]["confidence"]["p99"].update(quality="splendid")),
        of_the_test(lambda test: test["errors"].update({"expectation:mood": 1})),
        of_the_test(lambda test: test["status_codes"].update({"2xx": 1})),
        of_the_test(lambda test: test["failures"][0].update(kind="bad luck")),
        of_the_test(lambda test: test["failures"][0]["samples"][0].update(status="503")),
        of_the_test(lambda test: test["checks"].update(status={"passed": 1})),
        of_the_test(lambda test: test["phases"].pop("ttfb")),
        of_the_test(lambda test: test["timeline"].update(slice_s=0)),
        of_the_test(lambda test: test["steps"].update(login={"name": "login"})),
        of_the_test(lambda test: test["histogram"].update(index=[0.5])),
    ],
)
def test_a_broken_document_does_not_fit(breakage: Callable[[dict[str, Any]], object]) -> None:
    document = suite_document({"create_order": copy.deepcopy(failing_test())})
    assert complaints(document) == []
    breakage(document)
    assert complaints(document)


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for entry in schema.values():
            yield from nodes(entry)
    elif isinstance(schema, list):
        for entry in schema:
            yield from nodes(entry)


def test_keys_may_be_added_anywhere() -> None:
    assert not [node for node in nodes(SCHEMA) if node.get("additionalProperties") is False]
