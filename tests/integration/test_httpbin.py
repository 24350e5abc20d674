"""httpbin as the judge: every kind of request that it has, as a test of one suite, and it tells what it understood.

It is a program of others, served by a program of others: where an answer fits what the suite meant, both sides
read HTTP alike. Its own count of requests is what `attempts` is compared with.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from httpbin_process import running_httpbin
from integration.engine_facts import assert_each_has_its_engine, facts_of
from integration.httpbin_kinds import BINARY, KINDS, LINES
from integration.runs import Run, run
from integration.suite_kinds import Kind, assert_is_as_told, results_by_name, suite

# Once on the wire as far as that goes, and once without it.
ENGINES = ("auto", "transfer")
# Its answer, as it came, has the time in it.
VARYING = {"json that was not decoded"}


@dataclass
class Judged:
    """A run over all kinds, and what httpbin says of it."""

    run: Run
    results: dict[str, dict[str, Any]]
    counted: Counter[str]
    kinds: set[str]


@pytest.fixture(scope="module")
def judged_of(tmp_path_factory) -> dict[str, Judged]:
    """The runs, by the engine that was wished for."""
    pytest.importorskip("httpbin", reason="needs httpbin, of the extra `dev`")
    folder = tmp_path_factory.mktemp("httpbin")
    (folder / "lines.txt").write_text(LINES)
    (folder / "data.bin").write_bytes(BINARY)
    found = {}
    with running_httpbin() as httpbin:
        counted = Counter[str]()
        for engine in ENGINES:
            done = run(folder, suite(KINDS, httpbin.port), "--procs", "2", "--engine", engine)
            assert done.code == 99, done.stderr  # some of the tests are to have no success
            before, counted = counted, Counter(httpbin.counted())
            found[engine] = Judged(done, results_by_name(done), counted - before, httpbin.kinds())
    return found


@pytest.fixture(scope="module", params=ENGINES)
def judged(request, judged_of) -> Judged:
    judged: Judged = judged_of[request.param]
    return judged


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "_"))
def test_httpbin_understands_what_the_suite_meant(judged: Judged, kind: Kind) -> None:
    assert_is_as_told(judged.results[kind.name], kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "_"))
def test_both_engines_tell_the_same_of_a_kind_and_each_test_has_its_own(
    judged_of: dict[str, Judged], kind: Kind
) -> None:
    test, transferred = (judged_of[engine].results[kind.name] for engine in ENGINES)
    assert_each_has_its_engine(test, transferred, kind)
    facts, others = facts_of(test, kind), facts_of(transferred, kind)
    if kind.name in VARYING:
        for told in (facts, others):
            del told["samples"]
    assert facts == others


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
