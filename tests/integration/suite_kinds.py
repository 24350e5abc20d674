"""Kinds of request as tests of one suite, and what the result of each must say: many facts for one run.

In the texts of a suite `{port}` stands for the server's port.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from integration.runs import Run, assert_numbers_add_up

USERS, ITERATIONS = 2, 3
REQUESTS = USERS * ITERATIONS


@dataclass
class Kind:
    """A test of the suite, by its keys. What is None is left to chance, and not looked at."""

    keys: dict[str, Any]
    attempts: int | None = REQUESTS
    errors: dict[str, int] | None = field(default_factory=dict)
    retried: int | None = 0
    resent: int | None = 0
    connections: int | None = USERS
    least_ms: float = 0.0
    """No request was through before that time."""

    @property
    def name(self) -> str:
        return str(self.keys["name"])


_OF_THE_RESULT = ("attempts", "errors", "retried", "resent", "connections", "least_ms")


def kind(name: str, endpoint: str, told: dict[str, Any] | None = None, **keys: Any) -> Kind:
    """`told` is what the JSON that comes back must hold; `keys` are those of a test in a suite, or of Kind."""
    result = {key: keys.pop(key) for key in _OF_THE_RESULT if key in keys}
    expect = dict(keys.pop("expect", {}))
    if told is not None:
        expect["json"] = told
    keys = {"name": name, "endpoint": endpoint, **keys, **({"expect": expect} if expect else {})}
    return Kind(keys, **result)


def suite(kinds: Iterable[Kind], port: int, **keys: Any) -> str:
    """The text of a suite file with all of them, at the same time."""
    load = {"parallel_users": USERS, "iterations": ITERATIONS, "ramp_up": 0}
    document = {"name": "kinds", "base_url": "http://127.0.0.1:{port}", "mode": "parallel", "defaults": load}
    tests = [one.keys for one in kinds]
    text = json.dumps({"test_suite": {**document, **keys, "tests": tests}}, ensure_ascii=False)
    return text.replace("{port}", str(port))


def results_by_name(done: Run) -> dict[str, dict[str, Any]]:
    return {test["name"]: test for test in done.document["results"].values()}


def assert_is_as_told(test: Mapping[str, Any], one: Kind) -> None:
    """The result of one test."""
    assert_numbers_add_up(test)
    assert test["total_requests"] == REQUESTS
    assert test["interrupted_requests"] == 0
    found = {
        "attempts": test["attempts"],
        "errors": test["errors"],
        "retried": test["retried_requests"],
        "resent": test["resent_requests"],
        "connections": test["connections_opened"],
    }
    wanted = {name: getattr(one, name) for name in found if getattr(one, name) is not None}
    assert {name: found[name] for name in wanted} == wanted, test["failures"]
    for timing in (test["timing"], test["timing_failed"]):
        assert timing["min_ms"] is None or timing["min_ms"] >= one.least_ms
