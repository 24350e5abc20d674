"""Thousands of mistakes: the first ones in the file are told, and the rest is not even looked for."""

import gc
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpath_rfc9535 import JSONPathEnvironment

from perfcore.errors import SuiteError
from perfcore.suite import config_loader, found_mistakes, json_conditions
from perfcore.suite.config_loader import MOST_TESTS, load_suite
from perfcore.suite.expectation import Expectation

from .suites import suite

NUMBER = 4_000


def lines_of(line: str, number: int = NUMBER) -> str:
    """One test a line, `#` in it the test's number."""
    return "".join(line.replace("#", str(n)) + "\n" for n in range(number))


def mistakes(text: str, **options) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load_suite("-", stdin=text.encode(), environ={}, **options)
    assert caught.value.exit_code == 104
    return list(caught.value.mistakes)


def places(lines: list[str]) -> list[tuple[int, int]]:
    return [(int(line.split(":")[1]), int(line.split(":")[2])) for line in lines]


WRONG = "- {name: T#, endpoint: /a, timeout: x, iterations: -1}"
MANY = {
    "two in each test": suite(lines_of(WRONG)),
    "later checks find them in the first tests": suite(
        "- {name: T1, endpoint: 'ftp://h'}\n- {name: T2, endpoint: '${NOBODY}'}\n" + lines_of(WRONG, 3_000)
    ),
    "of two tests together": suite(
        lines_of(WRONG, 3) + "- {name: t2, endpoint: /}\n" + lines_of(WRONG, 3_000)
    ),
    "found first, but standing last": suite(lines_of(WRONG, 80))
    + "  variables:\n"
    + "".join(f"    V{n}: ${{NOBODY{n}}}\n" for n in range(NUMBER)),
    "in defaults and in tests": suite(
        lines_of("- {name: T#, endpoint: /a, timeout: x}"),
        "base_url: http://h\ndefaults: {pacing: x, retries: x}",
    ),
    "in the last tests alone": suite(
        lines_of("- {name: T#, endpoint: /a}", 2_500) + lines_of(WRONG.replace("T#", "W#"), 1_500)
    ),
    "in keys of the suite below the tests": suite(lines_of(WRONG, 2_000))
    + "".join(f"  key{n}: 1\n" for n in range(1_500)),
}


@pytest.mark.parametrize("kind", MANY)
def test_the_same_hundred_are_told_as_when_everything_is_looked_at(kind, monkeypatch):
    told = mistakes(MANY[kind])

    monkeypatch.setattr(found_mistakes, "MOST_FOUND", 10**9)
    every = mistakes(MANY[kind])

    assert len(told) == 101
    assert told[:100] == every[:100]
    assert places(told) == sorted(places(told))
    assert places(told)[100] == places(every)[100]


@pytest.mark.parametrize(
    ("kind", "last"),
    [
        # Two mistakes a test: after a thousand tests there are enough of them.
        ("two in each test", ": … and at least 1,900 more mistakes from here on"),
        # The variables come first, and what stands above them is looked at all the same.
        ("found first, but standing last", ": … and at least 2,060 more mistakes from here on"),
    ],
)
def test_the_last_line_says_at_least_when_not_everything_was_looked_at(kind, last):
    assert mistakes(MANY[kind])[-1].endswith(last)


def test_with_a_thousand_mistakes_everything_is_looked_at():
    assert mistakes(suite(lines_of(WRONG, 500)))[-1].endswith(": … and 900 more mistakes from here on")


def test_no_more_tests_are_made_than_it_takes_to_find_enough_mistakes(monkeypatch):
    made = []
    make_model = config_loader.make_model

    def counted(model, data):
        made.append(data["name"])
        return make_model(model, data)

    monkeypatch.setattr(config_loader, "make_model", counted)
    mistakes(MANY["two in each test"])
    assert made == [f"T{n}" for n in range(1_000)]


def test_a_mistake_of_the_defaults_is_one_however_many_tests_have_it():
    told = mistakes(
        suite(lines_of("- {name: T#, endpoint: /a}"), "base_url: http://h\ndefaults: {timeout: x}")
    )
    assert len(told) == 1
    assert told[0].startswith("stdin:4:14: defaults.timeout: 'x' is not a duration")


def test_wrong_tests_do_not_hide_what_is_wrong_with_the_suite():
    told = mistakes(
        suite("- {name: A, endpoint: /, timeout: x}\n- {name: a, endpoint: /}", "mode: both\nbase: b")
    )
    assert [line.split(": ")[1] for line in told] == [
        "mode",
        "base",
        "tests[0].endpoint",
        "tests[0].timeout",
        "tests[1].name",
        "tests[1].endpoint",
    ]


def test_a_suite_has_so_many_tests_and_no_more():
    right = suite(lines_of("- {name: T#, endpoint: /a}", MOST_TESTS))
    assert len(load_suite("-", stdin=right.encode(), environ={}).tests) == MOST_TESTS
    assert mistakes(suite(lines_of("- t#", MOST_TESTS + 1))) == [
        f"stdin:4:3: tests: {MOST_TESTS + 1:,} tests are more than a suite may have, {MOST_TESTS:,}"
    ]


@pytest.mark.parametrize("was_enabled", [True, False])
@pytest.mark.parametrize("text", [suite(), "no suite"])
def test_loading_leaves_the_collector_as_it_was(was_enabled, text):
    before = gc.isenabled()
    try:
        (gc.enable if was_enabled else gc.disable)()
        try:
            load_suite("-", stdin=text.encode(), environ={})
        except SuiteError:
            assert text == "no suite"
        assert gc.isenabled() is was_enabled
    finally:
        (gc.enable if before else gc.disable)()


NAMES = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=9)
STEPS = st.one_of(NAMES.map(lambda name: f".{name}"), st.integers(0, 10**16).map(lambda index: f"[{index}]"))


@given(st.lists(STEPS, min_size=1, max_size=20).map(lambda steps: "$" + "".join(steps)))
def test_a_path_that_is_not_compiled_at_load_cannot_be_wrong(path):
    if json_conditions._PLAIN_PATH.fullmatch(path):
        JSONPathEnvironment().compile(path)


def test_of_thousands_of_paths_a_wrong_one_is_told_and_the_others_hold():
    number = 3 * json_conditions._MOST_COMPILED_EARLY
    expected = Expectation(json={f"$.a[{n}].b": n for n in range(number)})
    body = b'{"a": [%s]}' % b", ".join(b'{"b": %d}' % n for n in range(number))
    with pytest.raises(SuiteError, match="is not a JSONPath"):
        Expectation(json={**{f"$.c[{n}]": n for n in range(number)}, "$.d[": 1})
    assert expected.first_broken(200, {}, body, 0.1) is None
    assert expected.first_broken(200, {}, body.replace(b"2999", b"7"), 0.1) == (
        "json",
        "$.a[2999].b is 7, expected 2999",
    )
