"""httpbin as the judge: every kind of request that it has, as a test of one suite, and it tells what it understood.

It is a program of others, served by a program of others: where an answer fits what the suite meant, both sides
read HTTP alike. Its own count of requests is what `attempts` is compared with.
"""

from dataclasses import dataclass
from typing import Any

import pytest
from httpbin_process import running_httpbin
from integration.httpbin_kinds import BINARY, KINDS, LINES
from integration.runs import Run, run
from integration.suite_kinds import Kind, assert_is_as_told, results_by_name, suite


@dataclass
class Judged:
    """A run over all kinds, and what httpbin says of it."""

    run: Run
    results: dict[str, dict[str, Any]]
    counted: dict[str, int]
    kinds: set[str]


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    pytest.importorskip("httpbin", reason="needs httpbin, of the extra `dev`")
    folder = tmp_path_factory.mktemp("httpbin")
    (folder / "lines.txt").write_text(LINES)
    (folder / "data.bin").write_bytes(BINARY)
    with running_httpbin() as httpbin:
        done = run(folder, suite(KINDS, httpbin.port), "--procs", "2")
        assert done.code == 99, done.stderr  # some of the tests are to have no success
        return Judged(done, results_by_name(done), httpbin.counted(), httpbin.kinds())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "_"))
def test_httpbin_understands_what_the_suite_meant(judged: Judged, kind: Kind) -> None:
    assert_is_as_told(judged.results[kind.name], kind)


def test_attempts_equal_what_httpbin_counted(judged):
    assert sum(test["attempts"] for test in judged.results.values()) == sum(judged.counted.values())


def test_no_kind_of_request_that_httpbin_has_was_left_out(judged):
    assert judged.kinds - judged.counted.keys() == set()
    assert "unknown" not in judged.counted


def test_the_summary_tells_of_attempts_and_retries(judged):
    totals = {
        name: sum(test[name] for test in judged.results.values()) for name in ("attempts", "retried_requests")
    }
    assert f"{totals['attempts']:,} attempts · {totals['retried_requests']:,} retried" in judged.run.stdout
