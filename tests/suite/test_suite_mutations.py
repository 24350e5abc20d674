"""Two thousand suites gone wrong: each loads, and then runs, or is told line by line with its places."""

import re
import time
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.engine.plan import plan_run
from perfcore.engine.scenario import Scenario
from perfcore.engine.transport import Exchange
from perfcore.errors import SuiteError
from perfcore.suite.config_loader import load_suite
from perfcore.suite.effective_suite import effective_suite
from perfcore.suite.masker import Masker
from perfcore.suite.test_suite import TestSuite

from .mutations import Mutator, valid_suites

ENVIRON = {"TOKEN": "a token of the process", "A": "a"}
SUITES = valid_suites()
EXAMPLES, MUTATIONS_OF_EACH = 20, 100
# Of processor time, and far above what any of them takes: a mistake is told within a second on a busy machine too.
LONGEST_S = 5.0
LONGEST_LINE = 1000
# What cannot be read as text at all has no place.
WITHOUT_PLACE = re.compile(r"stdin: (is empty; a suite file starts with test_suite:|is a binary file; .*)")
WITH_PLACE = re.compile(r"stdin:([0-9]+):([0-9]+): .")


def load(content: bytes, env: str | None = None) -> TestSuite:
    return load_suite("-", stdin=content, environ=ENVIRON, env=env)


def assert_told(error: SuiteError, content: bytes) -> None:
    assert error.mistakes
    lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", content.decode("utf-8-sig", "replace"))
    for told in error.mistakes:
        assert told.isprintable(), ascii(told)
        assert len(told) <= LONGEST_LINE, told
        assert "Input should" not in told, told
        if WITHOUT_PLACE.fullmatch(told):
            continue
        place = WITH_PLACE.match(told)
        assert place, told
        line, column = int(place[1]), int(place[2])
        # The end of the file lies behind its last line.
        assert 1 <= line <= len(lines) + 1, told
        assert 1 <= column <= (len(lines[line - 1]) if line <= len(lines) else 0) + 1, told
    assert len(set(error.mistakes)) == len(error.mistakes)


def assert_usable(suite: TestSuite) -> None:
    """Whatever loads can be planned, prepared, rendered and shown, and what is shown loads again."""
    plan_run(suite, 2)
    for index, case in enumerate(suite.tests):
        user = SimpleNamespace(user=1, iteration=1, render_context=None)
        request = Scenario(suite, case, index, seed=1).request_for(cast(Exchange, user))
        assert request.url.lower().startswith(("http://", "https://", "embedded")) or "${" in case.endpoint
        assert request.url.isascii()
        assert not any(set(line) & set("\r\n\0") for line in request.headers)
    text = effective_suite(suite, Masker.for_suite(suite))
    # A value that was masked is put back by whoever runs it.
    if "***" not in text:
        again = load_suite("-", stdin=text.encode(), environ=ENVIRON)
        assert [case.key for case in again.tests] == [case.key for case in suite.tests]


@pytest.mark.parametrize("number", range(len(SUITES)))
def test_the_suites_that_are_mutated_are_right(number: int) -> None:
    assert_usable(load(SUITES[number].encode()))


@settings(derandomize=True, max_examples=EXAMPLES, deadline=None, database=None)
@given(st.integers(0, 2**32 - 1))
def test_a_mutated_suite_runs_or_is_told_line_by_line(seed: int) -> None:
    mutator = Mutator(seed, SUITES)
    for _ in range(MUTATIONS_OF_EACH):
        content = mutator.mutated()
        start = time.process_time()
        try:
            suite = load(content)
        except SuiteError as error:
            assert_told(error, content)
        else:
            assert_usable(suite)
        assert time.process_time() - start < LONGEST_S, content
